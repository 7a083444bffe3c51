#include "base/scram.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

namespace gregor {
namespace {

std::string FromBase64(std::string text) {
  std::string bytes(3 * text.size() / 4, '\0');
  const int size =
      EVP_DecodeBlock(reinterpret_cast<uint8_t*>(bytes.data()),
                      reinterpret_cast<const uint8_t*>(text.data()), static_cast<int>(text.size()));
  EXPECT_EQ(size, static_cast<int>(bytes.size()));
  while (!text.empty() && text.back() == '=') {
    text.pop_back();
    bytes.pop_back();
  }
  return bytes;
}

// An exchange that a specification shows, as the server sees it.
struct Exchange {
  ScramHash hash;
  std::string salt;
  int32_t iterations;
  std::string auth_message;
  std::string client_proof;
  std::string server_signature;
};

void Check(const Exchange& exchange) {
  const auto keys = KeysOfSaltedPassword(
      exchange.hash,
      SaltPassword(exchange.hash, "pencil", FromBase64(exchange.salt), exchange.iterations));
  ASSERT_EQ(keys.stored_key.size(), ScramKeyBytes(exchange.hash));
  EXPECT_EQ(ScramHmac(exchange.hash, keys.server_key, exchange.auth_message),
            FromBase64(exchange.server_signature));
  // The client's key is the proof without the signature; its hash is what is stored.
  std::string client_key = FromBase64(exchange.client_proof);
  const std::string signature = ScramHmac(exchange.hash, keys.stored_key, exchange.auth_message);
  ASSERT_EQ(client_key.size(), signature.size());
  for (size_t i = 0; i < signature.size(); ++i)
    client_key[i] = static_cast<char>(client_key[i] ^ signature[i]);
  std::string stored_key(ScramKeyBytes(exchange.hash), '\0');
  EXPECT_EQ(EVP_Digest(client_key.data(), client_key.size(),
                       reinterpret_cast<uint8_t*>(stored_key.data()), nullptr,
                       exchange.hash == ScramHash::kSha256 ? EVP_sha256() : EVP_sha512(), nullptr),
            1);
  EXPECT_EQ(stored_key, keys.stored_key);
}

TEST(Scram, KeysAreThoseOfRfc7677) {
  Check({.hash = ScramHash::kSha256,
         .salt = "W22ZaJ0SNY7soEsUEjb6gQ==",
         .iterations = 4096,
         .auth_message =
             "n=user,r=rOprNGfwEbeRWgbNEkqO,"
             "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,"
             "i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
         .client_proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
         .server_signature = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="});
}

TEST(Scram, KeysHaveTheLengthOfTheirHash) {
  for (const ScramHash hash : {ScramHash::kSha256, ScramHash::kSha512}) {
    const auto salted = SaltPassword(hash, "pencil", "0123456789", 4096);
    const auto keys = KeysOfSaltedPassword(hash, salted);
    EXPECT_EQ(salted.size(), ScramKeyBytes(hash));
    EXPECT_EQ(keys.stored_key.size(), ScramKeyBytes(hash));
    EXPECT_EQ(keys.server_key.size(), ScramKeyBytes(hash));
    EXPECT_NE(salted, SaltPassword(hash, "pencil", "0123456789", 4097));
    EXPECT_NE(salted, SaltPassword(hash, "pencil", "0123456788", 4096));
    EXPECT_NE(salted, SaltPassword(hash, "pencils", "0123456789", 4096));
  }
}

TEST(Scram, SaltsAreNew) {
  EXPECT_GE(NewScramSalt().size(), kScramSaltBytesMin);
  EXPECT_NE(NewScramSalt(), NewScramSalt());
}

TEST(Scram, PasswordsThatWouldBeNormalizedAreRefused) {
  for (const std::string& good :
       {std::string("pencil"), std::string(" "), std::string("a b~!\""), std::string(1024, 'x')})
    EXPECT_TRUE(CheckScramPassword(good).ok()) << good;
  for (const std::string& bad :
       {std::string(), std::string("p\xc3\xa9ncil"), std::string("a\tb"), std::string("a\0b", 3),
        std::string("\x7f"), std::string("secret\xff"), std::string(1025, 'x')}) {
    const auto refused = CheckScramPassword(bad);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().reason, Reason::kUnacceptableCredential);
    EXPECT_EQ(refused.error().message.find("secret"), std::string::npos);
  }
}

}  // namespace
}  // namespace gregor
