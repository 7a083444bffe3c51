#ifndef GREGOR_BASE_SCRAM_H_
#define GREGOR_BASE_SCRAM_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gregor {

// What SCRAM makes of a password (RFC 5802 §3, RFC 7677), with OpenSSL's primitives. Thread: any.

enum class ScramHash { kSha256, kSha512 };

inline constexpr int32_t kScramIterationsMin = 4096;
inline constexpr int32_t kScramIterationsMax = 16384;
inline constexpr int32_t kScramIterationsDefault = 8192;
inline constexpr size_t kScramSaltBytesMin = 8;
inline constexpr size_t kScramSaltBytesMax = 64;
inline constexpr size_t kScramPasswordBytesMax = 1024;

// Length of a hash, and so of every key.
size_t ScramKeyBytes(ScramHash hash);

// A salt that nobody can guess.
std::string NewScramSalt();

// Whether it may be a password: printable ASCII, which SASLprep (RFC 4013) leaves as it is. Others
// it would change or forbid, and not all clients apply it. Fails with kUnacceptableCredential; the
// message does not have the password.
Result<void> CheckScramPassword(std::string_view password);

// Hi(password, salt, iterations). Takes milliseconds. REQUIRES: iterations > 0.
std::string SaltPassword(ScramHash hash, std::string_view password, std::string_view salt,
                         int32_t iterations);

struct ScramKeys {
  std::string stored_key;
  std::string server_key;
};
ScramKeys KeysOfSaltedPassword(ScramHash hash, std::string_view salted_password);

// HMAC(key, message): of keys and messages of the protocol.
std::string ScramHmac(ScramHash hash, std::string_view key, std::string_view message);

}  // namespace gregor

#endif  // GREGOR_BASE_SCRAM_H_
