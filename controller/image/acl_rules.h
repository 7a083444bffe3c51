#ifndef GREGOR_CONTROLLER_IMAGE_ACL_RULES_H_
#define GREGOR_CONTROLLER_IMAGE_ACL_RULES_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "controller/image/security_tables.h"

namespace gregor {

// Which rules there may be, and which of them a filter means; as in Kafka. Thread: any.

// The one name of the cluster.
inline constexpr std::string_view kClusterResourceName = "kafka-cluster";
// Of a name, a principal or a host.
inline constexpr size_t kAclTextBytesMax = 512;

// What is not set matches anything.
struct AclFilter {
  std::optional<AclResource> resource = {};
  std::optional<AclPattern> pattern = {};
  // Every pattern that covers `name`: the name itself, "*", and what it begins with. REQUIRES:
  // `pattern` is not set.
  bool covers = false;
  std::optional<std::string> name = {};
  std::optional<std::string> principal = {};
  std::optional<std::string> host = {};
  std::optional<AclOperation> operation = {};
  std::optional<AclPermission> permission = {};
};

// The rule as it is kept: an address in the one way of writing it, no host as "*". Fails with
// kInvalidArgument where there may be no such rule.
Result<Acl> CheckAcl(Acl acl);
// The same of a filter; what no rule can have is no error but for a text that is too long or none.
Result<AclFilter> CheckAclFilter(AclFilter filter);

// Whether it means one resource, pattern and name: what it matches is found without looking at all
// rules.
bool HasPlace(const AclFilter& filter);
// REQUIRES: the filter was checked.
bool Matches(const AclFilter& filter, const Acl& acl);
// Calls `visit` for each rule from `from` on that the filter matches, in order, until it returns
// false. REQUIRES: the filter was checked.
void VisitMatches(const AclTable& acls, const AclFilter& filter, const Acl& from,
                  const std::function<bool(const Acl&)>& visit);

// Whether a kind of resource has the operation.
bool HasOperation(AclResource resource, AclOperation operation);

// Whether it is UTF-8 without control characters.
bool IsPlainText(std::string_view text);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_ACL_RULES_H_
