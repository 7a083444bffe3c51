#include "base/certificate_authority.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <utility>

#include "base/certificate.h"
#include "base/check.h"
#include "base/openssl_handle.h"

namespace gregor {
namespace {

using Bio = OpenSslHandle<BIO, BIO_free_all>;
using Certificate = OpenSslHandle<X509, X509_free>;
using Key = OpenSslHandle<EVP_PKEY, EVP_PKEY_free>;
using Number = OpenSslHandle<BIGNUM, BN_free>;
using Extension = OpenSslHandle<X509_EXTENSION, X509_EXTENSION_free>;

void FreeNames(GENERAL_NAMES* names) { GENERAL_NAMES_free(names); }
using Names = OpenSslHandle<GENERAL_NAMES, FreeNames>;

constexpr int kSerialBits = 127;  // random and positive; RFC 5280 allows 20 bytes
constexpr size_t kNameBytesMax = 64;
constexpr Duration kClocksDiffer = std::chrono::hours(1);

Error Bad(const std::string& what) { return Error(Reason::kInvalidArgument, what); }

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);  // NOLINT: OpenSSL's type
  return {data, static_cast<size_t>(size)};
}

std::string PemOf(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_X509(bio.get(), certificate) == 1);
  return TextOf(bio.get());
}

std::string PemOf(const EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return TextOf(bio.get());
}

Certificate ReadCertificate(const std::string& pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return Certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

Key ReadKey(const std::string& pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  return Key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
}

bool IsPlainText(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; });
}

void SetTime(ASN1_TIME* time, Timestamp value) {
  CHECK(ASN1_TIME_set(time, value.value / 1000) != nullptr);
}

// `value` is text of our own.
void AddExtension(X509* certificate, X509* issuer, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value));
  CHECK(extension != nullptr) << value;
  CHECK(X509_add_ext(certificate, extension.get(), -1) == 1);
}

void AddName(GENERAL_NAMES* names, int type, void* value) {
  GENERAL_NAME* const name = GENERAL_NAME_new();
  GENERAL_NAME_set0_value(name, type, value);
  CHECK(sk_GENERAL_NAME_push(names, name) > 0);
}

ASN1_IA5STRING* TextName(const std::string& text) {
  ASN1_IA5STRING* const value = ASN1_IA5STRING_new();
  CHECK(ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) == 1);
  return value;
}

Result<void> AddNames(X509* certificate, const CertificateRequest& request) {
  const Names names(sk_GENERAL_NAME_new_null());
  for (const std::string& uri : request.uris) {
    if (!IsPlainText(uri)) return Bad("\"" + uri + "\" cannot be in a certificate");
    AddName(names.get(), GEN_URI, TextName(uri));
  }
  for (const std::string& host : request.hosts) {
    if (ASN1_OCTET_STRING* const address = a2i_IPADDRESS(host.c_str())) {
      AddName(names.get(), GEN_IPADD, address);
    } else if (IsPlainText(host) && host.find_first_of(":/@,") == std::string::npos) {
      AddName(names.get(), GEN_DNS, TextName(host));
    } else {
      return Bad("\"" + host + "\" is neither a host's name nor an IP address");
    }
  }
  if (sk_GENERAL_NAME_num(names.get()) == 0) return {};
  CHECK(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, 0) == 1);
  return {};
}

// All but what the two kinds differ in; not signed.
Result<Certificate> Begin(const std::string& name, Timestamp begin, Timestamp end, EVP_PKEY* key) {
  if (name.empty() || name.size() > kNameBytesMax)
    return Bad("a certificate's name has from 1 to 64 bytes");
  Certificate certificate(X509_new());
  CHECK(X509_set_version(certificate.get(), X509_VERSION_3) == 1);
  const Number serial(BN_new());
  CHECK(BN_rand(serial.get(), kSerialBits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1);
  BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get()));
  SetTime(X509_getm_notBefore(certificate.get()), begin);
  SetTime(X509_getm_notAfter(certificate.get()), end);
  X509_NAME* const subject = X509_get_subject_name(certificate.get());
  const auto add = [&](const char* field, const std::string& text) {
    return X509_NAME_add_entry_by_txt(subject, field, MBSTRING_UTF8,
                                      reinterpret_cast<const uint8_t*>(text.data()),
                                      static_cast<int>(text.size()), -1, 0) == 1;
  };
  const bool is_added = add("O", "Gregor") && add("CN", name);
  ERR_clear_error();
  if (!is_added) return Bad("\"" + name + "\" cannot be in a certificate");
  CHECK(X509_set_pubkey(certificate.get(), key) == 1);
  return certificate;
}

KeyAndCertificate Sign(X509* certificate, const EVP_PKEY* key, EVP_PKEY* by) {
  CHECK(X509_sign(certificate, by, EVP_sha256()) > 0);
  return {PemOf(key), PemOf(certificate)};
}

int64_t Milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

}  // namespace

Result<KeyAndCertificate> MakeAuthority(const std::string& name, Timestamp now, Duration lifetime) {
  const Key key(EVP_EC_gen("P-256"));
  CHECK(key != nullptr);
  ASSIGN_OR_RETURN(const Certificate certificate, Begin(name, now - Milliseconds(kClocksDiffer),
                                                        now + Milliseconds(lifetime), key.get()));
  X509* const self = certificate.get();
  CHECK(X509_set_issuer_name(self, X509_get_subject_name(self)) == 1);
  AddExtension(self, self, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  AddExtension(self, self, NID_key_usage, "critical,keyCertSign,cRLSign");
  AddExtension(self, self, NID_subject_key_identifier, "hash");
  return Sign(self, key.get(), key.get());
}

Result<KeyAndCertificate> IssueCertificate(const KeyAndCertificate& authority,
                                           const CertificateRequest& request) {
  ASSIGN_OR_RETURN(const auto issuers, ReadCertificates(authority.certificate));
  if (!issuers.front().is_authority)
    return Bad("\"" + issuers.front().subject + "\" is no authority, and signs nothing");
  if (issuers.front().not_after <= request.now)
    return Bad("the authority \"" + issuers.front().subject + "\" has expired on " +
               ShowTime(issuers.front().not_after));
  RETURN_IF_ERROR(CheckKey(authority.certificate, authority.key));
  const Certificate issuer = ReadCertificate(authority.certificate);
  const Key issuer_key = ReadKey(authority.key);
  CHECK(issuer != nullptr && issuer_key != nullptr);
  const Key key(EVP_EC_gen("P-256"));
  CHECK(key != nullptr);
  const Timestamp end =
      std::min(request.now + Milliseconds(request.lifetime), issuers.front().not_after);
  ASSIGN_OR_RETURN(const Certificate certificate,
                   Begin(request.name, request.now - Milliseconds(kClocksDiffer), end, key.get()));
  X509* const self = certificate.get();
  CHECK(X509_set_issuer_name(self, X509_get_subject_name(issuer.get())) == 1);
  AddExtension(self, issuer.get(), NID_basic_constraints, "critical,CA:FALSE");
  AddExtension(self, issuer.get(), NID_key_usage, "critical,digitalSignature");
  const std::string uses = std::string(request.for_server ? "serverAuth" : "") +
                           (request.for_server && request.for_client ? "," : "") +
                           (request.for_client ? "clientAuth" : "");
  AddExtension(self, issuer.get(), NID_ext_key_usage, uses.c_str());
  AddExtension(self, issuer.get(), NID_subject_key_identifier, "hash");
  AddExtension(self, issuer.get(), NID_authority_key_identifier, "keyid");
  RETURN_IF_ERROR(AddNames(self, request));
  return Sign(self, key.get(), issuer_key.get());
}

}  // namespace gregor
