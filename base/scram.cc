#include "base/scram.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>

#include "base/check.h"
#include "base/random.h"

namespace gregor {
namespace {

const EVP_MD* DigestOf(ScramHash hash) {
  return hash == ScramHash::kSha256 ? EVP_sha256() : EVP_sha512();
}

uint8_t* BytesOf(std::string& text) { return reinterpret_cast<uint8_t*>(text.data()); }
const uint8_t* BytesOf(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

std::string Digest(ScramHash hash, std::string_view text) {
  std::string digest(ScramKeyBytes(hash), '\0');
  unsigned size = 0;
  CHECK(EVP_Digest(text.data(), text.size(), BytesOf(digest), &size, DigestOf(hash), nullptr) == 1);
  CHECK_EQ(size, digest.size());
  return digest;
}

}  // namespace

size_t ScramKeyBytes(ScramHash hash) { return hash == ScramHash::kSha256 ? 32 : 64; }

std::string NewScramSalt() {
  const auto bytes = Random::SecretBytes();
  return {bytes.begin(), bytes.end()};
}

Result<void> CheckScramPassword(std::string_view password) {
  const auto refuse = [](const char* why) {
    return Error(Reason::kUnacceptableCredential, std::string("the password ") + why);
  };
  if (password.empty()) return refuse("is empty");
  if (password.size() > kScramPasswordBytesMax) return refuse("has more than 1024 bytes");
  const bool is_printable = std::all_of(password.begin(), password.end(),
                                        [](char letter) { return letter >= ' ' && letter <= '~'; });
  if (is_printable) return {};
  return refuse(
      "has characters beside the printable ones of ASCII: clients do not agree on how those are "
      "normalized (SASLprep). Choose another one");
}

std::string SaltPassword(ScramHash hash, std::string_view password, std::string_view salt,
                         int32_t iterations) {
  CHECK_GT(iterations, 0);
  std::string salted(ScramKeyBytes(hash), '\0');
  CHECK(PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), BytesOf(salt),
                          static_cast<int>(salt.size()), iterations, DigestOf(hash),
                          static_cast<int>(salted.size()), BytesOf(salted)) == 1);
  return salted;
}

std::string ScramHmac(ScramHash hash, std::string_view key, std::string_view message) {
  std::string code(ScramKeyBytes(hash), '\0');
  unsigned size = 0;
  CHECK(HMAC(DigestOf(hash), key.data(), static_cast<int>(key.size()), BytesOf(message),
             message.size(), BytesOf(code), &size) != nullptr);
  CHECK_EQ(size, code.size());
  return code;
}

ScramKeys KeysOfSaltedPassword(ScramHash hash, std::string_view salted_password) {
  return {.stored_key = Digest(hash, ScramHmac(hash, salted_password, "Client Key")),
          .server_key = ScramHmac(hash, salted_password, "Server Key")};
}

}  // namespace gregor
