#include "base/certificate.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>
#include <utility>

#include "base/openssl_handle.h"

namespace gregor {
namespace {

using Bio = OpenSslHandle<BIO, BIO_free_all>;
using Certificate = OpenSslHandle<X509, X509_free>;
using Key = OpenSslHandle<EVP_PKEY, EVP_PKEY_free>;
using Store = OpenSslHandle<X509_STORE, X509_STORE_free>;
using Verification = OpenSslHandle<X509_STORE_CTX, X509_STORE_CTX_free>;

void FreeStack(STACK_OF(X509) * stack) { sk_X509_free(stack); }
void FreeNames(GENERAL_NAMES* names) { GENERAL_NAMES_free(names); }
using Stack = OpenSslHandle<STACK_OF(X509), FreeStack>;
using Names = OpenSslHandle<GENERAL_NAMES, FreeNames>;

Error Bad(const std::string& what) { return Error(Reason::kInvalidConfig, what); }

Bio ReadFrom(std::string_view bytes) {
  return Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);  // NOLINT: OpenSSL's type
  return {data, static_cast<size_t>(size)};
}

// Instead of asking on the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

Result<std::vector<Certificate>> Parse(std::string_view pem) {
  ERR_clear_error();
  const Bio bio = ReadFrom(pem);
  std::vector<Certificate> certificates;
  while (X509* const next = PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr))
    certificates.emplace_back(next);
  // Where it ends well there is nothing more that begins.
  const bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!is_end) {
    return Bad("certificate " + std::to_string(certificates.size() + 1) +
               " cannot be read: the file is damaged or cut short");
  }
  if (certificates.empty()) return Bad("there is no certificate (-----BEGIN CERTIFICATE-----)");
  return certificates;
}

std::string NameOf(const X509_NAME* name) {
  const Bio bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  return TextOf(bio.get());
}

std::string Hexadecimal(const uint8_t* bytes, size_t size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < size; ++i) text += {kDigits[bytes[i] >> 4], kDigits[bytes[i] & 15]};
  return text;
}

std::string SerialOf(const X509* certificate) {
  const ASN1_INTEGER* const serial = X509_get0_serialNumber(certificate);
  return Hexadecimal(ASN1_STRING_get0_data(serial),
                     static_cast<size_t>(ASN1_STRING_length(serial)));
}

Timestamp TimeOf(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return kNoTimestamp;
  return Timestamp{int64_t{timegm(&parts)} * 1000};
}

std::string KeyOf(const X509* certificate) {
  const EVP_PKEY* const key = X509_get0_pubkey(certificate);
  if (key == nullptr) return "unknown";
  const std::string name = EVP_PKEY_get0_type_name(key);
  std::array<char, 80> group{};
  size_t size = 0;
  if (EVP_PKEY_get_group_name(key, group.data(), group.size(), &size) == 1)
    return name + " " + std::string(group.data(), size);
  return name + " " + std::to_string(EVP_PKEY_get_bits(key));
}

std::string BytesOf(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<size_t>(ASN1_STRING_length(text))};
}

std::string AddressOf(GENERAL_NAME* name) {
  const Bio bio(BIO_new(BIO_s_mem()));
  GENERAL_NAME_print(bio.get(), name);
  const std::string text = TextOf(bio.get());  // "IP Address:127.0.0.1"
  return text.substr(text.find(':') + 1);
}

void ReadNames(const X509* certificate, CertificateInfo& info) {
  const Names names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (names == nullptr) return;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) info.dns_names.push_back(BytesOf(name->d.dNSName));
    if (name->type == GEN_URI) info.uris.push_back(BytesOf(name->d.uniformResourceIdentifier));
    if (name->type == GEN_IPADD) info.ip_addresses.push_back(AddressOf(name));
  }
}

CertificateInfo Describe(X509* certificate) {
  CertificateInfo info;
  info.subject = NameOf(X509_get_subject_name(certificate));
  info.issuer = NameOf(X509_get_issuer_name(certificate));
  info.serial = SerialOf(certificate);
  info.not_before = TimeOf(X509_get0_notBefore(certificate));
  info.not_after = TimeOf(X509_get0_notAfter(certificate));
  info.is_authority = X509_check_ca(certificate) > 0;
  ReadNames(certificate, info);
  info.key = KeyOf(certificate);
  std::array<uint8_t, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) == 1)
    info.fingerprint = Hexadecimal(digest.data(), size);
  return info;
}

// What OpenSSL found wrong, in words of ours where those say more.
Error NotTrusted(X509_STORE_CTX* verification) {
  const int error = X509_STORE_CTX_get_error(verification);
  X509* const certificate = X509_STORE_CTX_get_current_cert(verification);
  const std::string whose =
      certificate == nullptr ? "it" : "\"" + NameOf(X509_get_subject_name(certificate)) + "\"";
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return Bad(whose + " has expired on " + ShowTime(TimeOf(X509_get0_notAfter(certificate))) +
                 ": issue a new one");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return Bad(whose + " is valid only from " +
                 ShowTime(TimeOf(X509_get0_notBefore(certificate))) +
                 " on: is this machine's clock right?");
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return Bad(whose + " is not signed by the authority that is to be trusted");
    default:
      return Bad(whose + ": " + X509_verify_cert_error_string(error));
  }
}

Result<void> CheckPurpose(const std::vector<Certificate>& chain, X509_STORE* store,
                          STACK_OF(X509) * between, int purpose, Timestamp now) {
  const Verification verification(X509_STORE_CTX_new());
  CHECK(X509_STORE_CTX_init(verification.get(), store, chain.front().get(), between) == 1);
  X509_STORE_CTX_set_purpose(verification.get(), purpose);
  X509_STORE_CTX_set_time(verification.get(), 0, now.value / 1000);
  const bool is_trusted = X509_verify_cert(verification.get()) == 1;
  Result<void> result;
  if (!is_trusted) result = NotTrusted(verification.get());
  ERR_clear_error();
  return result;
}

}  // namespace

Result<std::vector<CertificateInfo>> ReadCertificates(std::string_view pem) {
  ASSIGN_OR_RETURN(const auto certificates, Parse(pem));
  std::vector<CertificateInfo> all;
  for (const Certificate& certificate : certificates) all.push_back(Describe(certificate.get()));
  return all;
}

Result<void> CheckKey(std::string_view certificate, std::string_view key) {
  ASSIGN_OR_RETURN(const auto chain, Parse(certificate));
  const Bio bio = ReadFrom(key);
  const Key parsed(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  const bool fits =
      parsed != nullptr && X509_check_private_key(chain.front().get(), parsed.get()) == 1;
  ERR_clear_error();
  if (parsed == nullptr)
    return Bad("there is no private key that can be read (PEM, without a passphrase)");
  if (!fits) return Bad("the private key is not that of the certificate");
  return {};
}

Result<void> CheckTrust(std::string_view certificate, std::string_view authorities, Timestamp now) {
  ASSIGN_OR_RETURN(const auto chain, Parse(certificate));
  ASSIGN_OR_RETURN(const auto trusted, Parse(authorities));
  const Store store(X509_STORE_new());
  for (const Certificate& authority : trusted) X509_STORE_add_cert(store.get(), authority.get());
  const Stack between(sk_X509_new_null());
  for (size_t i = 1; i < chain.size(); ++i) sk_X509_push(between.get(), chain[i].get());
  for (const int purpose : {X509_PURPOSE_SSL_SERVER, X509_PURPOSE_SSL_CLIENT})
    RETURN_IF_ERROR(CheckPurpose(chain, store.get(), between.get(), purpose, now));
  return {};
}

std::string ShowTime(Timestamp time) {
  const std::time_t seconds = time.value / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 40> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return {text.data(), size};
}

}  // namespace gregor
