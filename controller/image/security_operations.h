#ifndef GREGOR_CONTROLLER_IMAGE_SECURITY_OPERATIONS_H_
#define GREGOR_CONTROLLER_IMAGE_SECURITY_OPERATIONS_H_

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "controller/image/acl_rules.h"
#include "controller/image/security_tables.h"

namespace gregor {

// Operations on rules, users and quotas: the part of controller/image/operation.h that is about
// them. Like all that write records of a feature level, they fail where the cluster is at a lower
// one.

// What one operation takes.
inline constexpr size_t kAclsPerOperationMax = 1000;
inline constexpr size_t kAclFiltersMax = 100;
// Of these such as look at all rules.
inline constexpr size_t kWideAclFiltersMax = 10;
inline constexpr size_t kQuotasPerOperationMax = 1000;
// What the rules may be, and have in bytes of text, that one operation removes.
inline constexpr size_t kAclsRemovedMax = 5000;
inline constexpr size_t kAclBytesRemovedMax = 3u << 20;
// What a cluster keeps.
inline constexpr size_t kAclsMax = 100'000;
inline constexpr size_t kCredentialsMax = 100'000;
inline constexpr size_t kQuotaEntitiesMax = 100'000;
inline constexpr size_t kUserNameBytesMax = 255;

// Adds rules, all or none; one that is there already stays. Fails with kInvalidArgument,
// kPolicyViolation (too many).
struct CreateAcls {
  using Answer = void;
  static constexpr char kName[] = "create_acls";

  std::vector<Acl> acls = {};
};

// Removes the rules that one of the filters matches, and answers with them, in their order. Fails
// with kInvalidArgument, also where they are more than one operation may remove.
struct DeleteAcls {
  using Answer = std::vector<Acl>;
  static constexpr char kName[] = "delete_acls";

  std::vector<AclFilter> filters = {};
  bool validate_only = false;
};

// Makes or replaces a credential. Fails with kUnacceptableCredential, kPolicyViolation (too many
// users).
struct UpsertUser {
  using Answer = void;
  static constexpr char kName[] = "upsert_user";

  UserKey key = {};
  ScramCredential credential = {};
};

// Removes a user's credential, or (without mechanism) all of them. Fails with kUserNotFound.
struct DeleteUser {
  using Answer = void;
  static constexpr char kName[] = "delete_user";

  std::string user = {};
  std::optional<ScramMechanism> mechanism = {};
};

struct AlterQuota {
  QuotaEntity entity = {};
  QuotaValues set = {};
  std::vector<std::string> removed = {};
};

// One result per alteration; each alteration is atomic. Items fail with kInvalidArgument,
// kPolicyViolation (too many entities).
struct AlterQuotas {
  using Answer = std::vector<Result<void>>;
  static constexpr char kName[] = "alter_quotas";

  std::vector<AlterQuota> alterations = {};
  bool validate_only = false;
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_SECURITY_OPERATIONS_H_
