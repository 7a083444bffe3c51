#ifndef GREGOR_BASE_CERTIFICATE_H_
#define GREGOR_BASE_CERTIFICATE_H_

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace gregor {

// X.509 certificates and their keys in PEM: what they say, and whether they fit each other. TLS
// itself is the adapters'. Thread: any.

struct CertificateInfo {
  std::string subject;  // as "CN=node 1,O=Gregor"
  std::string issuer;
  std::string serial;  // hexadecimal
  Timestamp not_before;
  Timestamp not_after;
  bool is_authority = false;  // may sign others
  // Whom it stands for.
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
  std::vector<std::string> uris;
  std::string key;          // "EC prime256v1", "RSA 2048"
  std::string fingerprint;  // SHA-256, hexadecimal
};

// All certificates of `pem`, in their order. Fails with kInvalidConfig where there is none, or one
// that cannot be read.
Result<std::vector<CertificateInfo>> ReadCertificates(std::string_view pem);

// Whether `key` belongs to the first certificate. Fails with kInvalidConfig, also where it is no
// key, or needs a passphrase.
Result<void> CheckKey(std::string_view certificate, std::string_view key);

// Whether the first certificate is valid at `now` and signed, over those that follow it, by one of
// `authorities`, both for a server and for a client. Fails with kInvalidConfig, saying why not.
Result<void> CheckTrust(std::string_view certificate, std::string_view authorities, Timestamp now);

// "2026-11-26 20:50:00 UTC".
std::string ShowTime(Timestamp time);

}  // namespace gregor

#endif  // GREGOR_BASE_CERTIFICATE_H_
