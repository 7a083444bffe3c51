#ifndef GREGOR_CONTROLLER_IMAGE_SECURITY_TABLES_H_
#define GREGOR_CONTROLLER_IMAGE_SECURITY_TABLES_H_

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "controller/image/persistent_map.h"

namespace gregor {

// Who may do what, who users are, and what they may use: the part of the image that is about
// clients. Kept and told, and without any effect so far. Thread: any.

// The numbers are those of records and of the API.
enum class AclResource : uint8_t {
  kTopic = 1,
  kGroup = 2,
  kCluster = 3,
  kTransactionalId = 4,
  kUser = 5,
};
enum class AclPattern : uint8_t { kLiteral = 1, kPrefixed = 2 };
enum class AclOperation : uint8_t {
  kAll = 1,
  kRead = 2,
  kWrite = 3,
  kCreate = 4,
  kDelete = 5,
  kAlter = 6,
  kDescribe = 7,
  kClusterAction = 8,
  kDescribeConfigs = 9,
  kAlterConfigs = 10,
  kIdempotentWrite = 11,
};
enum class AclPermission : uint8_t { kAllow = 1, kDeny = 2 };

// A rule. It is what it says: there are no two of the same content.
struct Acl {
  AclResource resource = AclResource::kTopic;
  AclPattern pattern = AclPattern::kLiteral;
  std::string name = {};       // of the resource; "*" with kLiteral: any
  std::string principal = {};  // "User:alice"; "User:*": everybody
  std::string host = {};       // "*": anywhere; else an IP address as inet_ntop() writes it
  AclOperation operation = AclOperation::kAll;
  AclPermission permission = AclPermission::kAllow;
  friend auto operator<=>(const Acl&, const Acl&) = default;
};
using AclTable = PersistentMap<Acl, std::monostate>;

// How a password is proven without being sent (RFC 5802, RFC 7677).
enum class ScramMechanism : uint8_t { kSha256 = 1, kSha512 = 2 };

struct UserKey {
  std::string user = {};
  ScramMechanism mechanism = ScramMechanism::kSha512;
  friend auto operator<=>(const UserKey&, const UserKey&) = default;
};

// What a server keeps of a password: secret, but no password.
struct ScramCredential {
  std::string salt = {};
  std::string stored_key = {};
  std::string server_key = {};
  int32_t iterations = 0;
  friend bool operator==(const ScramCredential&, const ScramCredential&) = default;
};
using UserTable = PersistentMap<UserKey, std::shared_ptr<const ScramCredential>>;

// Whom a quota is for; at least one is set. Empty text: everybody who has no quota of their own.
struct QuotaEntity {
  std::optional<std::string> user = {};
  std::optional<std::string> client_id = {};
  std::optional<std::string> ip = {};
  friend auto operator<=>(const QuotaEntity&, const QuotaEntity&) = default;
};
using QuotaValues = std::map<std::string, double, std::less<>>;
using QuotaTable = PersistentMap<QuotaEntity, std::shared_ptr<const QuotaValues>>;

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_SECURITY_TABLES_H_
