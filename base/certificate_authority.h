#ifndef GREGOR_BASE_CERTIFICATE_AUTHORITY_H_
#define GREGOR_BASE_CERTIFICATE_AUTHORITY_H_

#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "base/types.h"

namespace gregor {

// Makes certificates for tests and small installations: ECDSA with P-256, in PEM. Thread: any.

struct KeyAndCertificate {
  std::string key;
  std::string certificate;
};

// An authority that signs certificates, and is signed by itself. Valid from a little before `now`,
// as the machines' clocks differ. Fails with kInvalidArgument (a name that is empty or longer than
// 64 bytes).
Result<KeyAndCertificate> MakeAuthority(const std::string& name, Timestamp now, Duration lifetime);

struct CertificateRequest {
  std::string name;  // CN
  // Whom it stands for.
  std::vector<std::string> hosts;  // DNS names, or IP addresses
  std::vector<std::string> uris;
  Timestamp now;
  Duration lifetime{};
  bool for_server = true;
  bool for_client = true;
};
// A new key with a certificate, which ends when the authority's does at the latest. Fails with
// kInvalidArgument (a name that cannot be in a certificate; an authority that is none, is not of
// this key, or has expired).
Result<KeyAndCertificate> IssueCertificate(const KeyAndCertificate& authority,
                                           const CertificateRequest& request);

}  // namespace gregor

#endif  // GREGOR_BASE_CERTIFICATE_AUTHORITY_H_
