// Operations on rules, users and quotas.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/scram.h"
#include "controller/image/quota_rules.h"
#include "controller/image/security_records.h"
#include "controller/operations.h"

namespace gregor {
namespace {

Error Invalid(const std::string& what) { return Error(Reason::kInvalidArgument, what); }
Error Unacceptable(const std::string& what) { return Error(Reason::kUnacceptableCredential, what); }
Error TooMany(size_t limit, const char* what) {
  return Error(Reason::kPolicyViolation,
               "the cluster would have more than " + std::to_string(limit) + " " + what);
}

OperationAnswer AnswerNothing(const MetadataImage&, Offset) { return std::monostate(); }

size_t TextBytes(const Acl& acl) {
  return acl.name.size() + acl.principal.size() + acl.host.size();
}

// The rules that one of the filters matches, each once.
Result<std::set<Acl>> FindAcls(const DeleteAcls& operation, const MetadataImage& image) {
  std::set<Acl> found;
  size_t bytes = 0;
  size_t wide_count = 0;
  for (const AclFilter& each : operation.filters) {
    ASSIGN_OR_RETURN(const AclFilter filter, CheckAclFilter(each));
    if (!HasPlace(filter) && ++wide_count > kWideAclFiltersMax) {
      return Invalid("more than " + std::to_string(kWideAclFiltersMax) +
                     " filters without resource type, pattern or name, each of which looks at all "
                     "rules: give narrower ones, or fewer of them at a time");
    }
    VisitMatches(image.acls, filter, Acl{.operation = AclOperation{0}}, [&](const Acl& acl) {
      if (found.insert(acl).second) bytes += TextBytes(acl);
      return found.size() <= kAclsRemovedMax && bytes <= kAclBytesRemovedMax;
    });
    if (found.size() <= kAclsRemovedMax && bytes <= kAclBytesRemovedMax) continue;
    return Invalid("the filters match more than the " + std::to_string(kAclsRemovedMax) +
                   " rules, or 3 MiB of them, that one operation may remove: give narrower ones");
  }
  return found;
}

Result<void> CheckCredential(const UserKey& key, const ScramCredential& credential) {
  const bool is_printable = std::all_of(key.user.begin(), key.user.end(),
                                        [](char letter) { return letter >= ' ' && letter <= '~'; });
  if (key.user.empty() || key.user.size() > kUserNameBytesMax || !is_printable)
    return Unacceptable("a user's name is 1 to 255 printable characters of ASCII");
  if (credential.iterations < kScramIterationsMin || credential.iterations > kScramIterationsMax) {
    return Unacceptable("a credential has " + std::to_string(kScramIterationsMin) + " to " +
                        std::to_string(kScramIterationsMax) + " iterations, not " +
                        std::to_string(credential.iterations));
  }
  if (credential.salt.size() < kScramSaltBytesMin || credential.salt.size() > kScramSaltBytesMax)
    return Unacceptable("a credential's salt has 8 to 64 bytes");
  const bool is_256 = key.mechanism == ScramMechanism::kSha256;
  const size_t key_bytes = ScramKeyBytes(is_256 ? ScramHash::kSha256 : ScramHash::kSha512);
  if (credential.stored_key.size() == key_bytes && credential.server_key.size() == key_bytes)
    return {};
  return Unacceptable("the keys of a credential of SCRAM-SHA-" +
                      std::string(is_256 ? "256" : "512") + " have " + std::to_string(key_bytes) +
                      " bytes each");
}

void AddRemoval(const UserKey& key, Planned& planned) {
  auto& record = *planned.records.emplace_back().mutable_remove_user_credential();
  record.set_user(key.user);
  record.set_mechanism(static_cast<pb::ScramMechanism>(key.mechanism));
}

// The entities of one operation with what they have before and after.
struct QuotaChange {
  QuotaValues before;
  QuotaValues after;
};
using QuotaChanges = std::map<QuotaEntity, QuotaChange>;

Result<void> ApplyAlteration(const AlterQuota& alteration, const MetadataImage& image,
                             QuotaChanges& changes) {
  ASSIGN_OR_RETURN(const QuotaEntity entity, CheckQuotaEntity(alteration.entity));
  const auto* const before = image.quotas.Find(entity);
  QuotaChange change;
  if (before != nullptr) change = {**before, **before};
  if (const auto earlier = changes.find(entity); earlier != changes.end()) change = earlier->second;
  for (const auto& [name, value] : alteration.set) {
    RETURN_IF_ERROR(CheckQuota(entity, name, value));
    change.after[name] = value;
  }
  for (const std::string& name : alteration.removed) {
    RETURN_IF_ERROR(CheckQuotaName(entity, name));
    if (alteration.set.count(name) != 0)
      return Invalid("the quota " + name + " of " + Describe(entity) + " is set and removed");
    change.after.erase(name);
  }
  if (before == nullptr && image.quotas.size() + changes.size() >= kQuotaEntitiesMax)
    return TooMany(kQuotaEntitiesMax, "entities with quotas");
  changes[entity] = std::move(change);
  return {};
}

void AddQuotaRecord(const QuotaEntity& entity, const QuotaChange& change, Planned& planned) {
  QuotaValues set;
  for (const auto& [name, value] : change.after) {
    const auto before = change.before.find(name);
    if (before == change.before.end() || before->second != value) set.emplace(name, value);
  }
  pb::MetadataRecord record;
  auto& quota = *record.mutable_client_quota();
  FillRecord(entity, &set, quota);
  for (const auto& [name, value] : change.before) {
    if (change.after.count(name) == 0) quota.add_removed(name);
  }
  if (quota.set_size() > 0 || quota.removed_size() > 0)
    planned.records.push_back(std::move(record));
}

}  // namespace

Result<Planned> Plan(const CreateAcls& operation, const PlanContext& context) {
  const AclTable& acls = context.image.acls;
  if (operation.acls.empty() || operation.acls.size() > kAclsPerOperationMax)
    return Invalid("one operation makes 1 to " + std::to_string(kAclsPerOperationMax) + " rules");
  std::set<Acl> added;
  for (const Acl& each : operation.acls) {
    ASSIGN_OR_RETURN(Acl acl, CheckAcl(each));
    if (acls.Find(acl) == nullptr) added.insert(std::move(acl));
  }
  if (acls.size() + added.size() > kAclsMax) return TooMany(kAclsMax, "rules");
  Planned planned{.records = {}, .answer = AnswerNothing};
  for (const Acl& acl : added) FillAcl(acl, *planned.records.emplace_back().mutable_acl());
  return planned;
}

Result<Planned> Plan(const DeleteAcls& operation, const PlanContext& context) {
  if (operation.filters.empty() || operation.filters.size() > kAclFiltersMax) {
    return Invalid("one operation removes by 1 to " + std::to_string(kAclFiltersMax) +
                   " filters; one that says nothing matches all rules");
  }
  ASSIGN_OR_RETURN(const std::set<Acl> found, FindAcls(operation, context.image));
  Planned planned;
  for (const Acl& acl : found)
    FillAcl(acl, *planned.records.emplace_back().mutable_remove_acl()->mutable_acl());
  planned.answer = [removed = std::vector<Acl>(found.begin(), found.end())](
                       const MetadataImage&, Offset) { return removed; };
  return planned;
}

Result<Planned> Plan(const UpsertUser& operation, const PlanContext& context) {
  RETURN_IF_ERROR(CheckCredential(operation.key, operation.credential));
  Planned planned{.records = {}, .answer = AnswerNothing};
  const auto* const before = context.image.users.Find(operation.key);
  if (before != nullptr && **before == operation.credential) return planned;
  if (before == nullptr && context.image.users.size() >= kCredentialsMax)
    return TooMany(kCredentialsMax, "credentials of users");
  FillRecord(operation.key, operation.credential,
             *planned.records.emplace_back().mutable_user_credential());
  return planned;
}

Result<Planned> Plan(const DeleteUser& operation, const PlanContext& context) {
  Planned planned{.records = {}, .answer = AnswerNothing};
  for (const ScramMechanism mechanism : {ScramMechanism::kSha256, ScramMechanism::kSha512}) {
    const UserKey key{operation.user, mechanism};
    if (operation.mechanism.value_or(mechanism) != mechanism) continue;
    if (context.image.users.Find(key) != nullptr) AddRemoval(key, planned);
  }
  if (!planned.records.empty()) return planned;
  return Error(Reason::kUserNotFound, operation.mechanism.has_value()
                                          ? "there is no such credential of a user of that name"
                                          : "there is no user of that name");
}

Result<Planned> Plan(const AlterQuotas& operation, const PlanContext& context) {
  QuotaChanges changes;
  std::vector<Result<void>> results;
  for (const AlterQuota& alteration : operation.alterations) {
    results.push_back(results.size() < kQuotasPerOperationMax
                          ? ApplyAlteration(alteration, context.image, changes)
                          : Invalid("one operation alters the quotas of at most " +
                                    std::to_string(kQuotasPerOperationMax) + " entities"));
  }
  Planned planned;
  for (const auto& [entity, change] : changes) AddQuotaRecord(entity, change, planned);
  planned.answer = [results = std::move(results)](const MetadataImage&, Offset) { return results; };
  return planned;
}

}  // namespace gregor
