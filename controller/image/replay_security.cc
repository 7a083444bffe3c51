#include "controller/image/replay_security.h"

#include <algorithm>
#include <cmath>

#include "controller/image/acl_rules.h"
#include "controller/image/replay_parts.h"
#include "controller/image/security_records.h"

namespace gregor {
namespace {

// What keys of rows are made of.
bool IsName(const std::string& text) { return !text.empty() && IsPlainText(text); }

Result<UserKey> ReadKey(const std::string& user, pb::ScramMechanism mechanism) {
  if (!IsName(user)) return Contradiction("a user without a valid name");
  const auto known = KnownMechanism(mechanism);
  if (!known.has_value())
    return Contradiction("a credential of a kind that this version does not know");
  return UserKey{user, *known};
}

Result<QuotaEntity> ReadEntity(const pb::ClientQuotaRecord& record) {
  QuotaEntity entity;
  if (record.has_user()) entity.user = record.user();
  if (record.has_client_id()) entity.client_id = record.client_id();
  if (record.has_ip()) entity.ip = record.ip();
  bool is_valid = false;
  for (const auto* part : {&entity.user, &entity.client_id, &entity.ip}) {
    if (!part->has_value()) continue;
    if (!IsPlainText(**part)) return Contradiction("quotas of an entity without a valid name");
    is_valid = true;
  }
  if (!is_valid) return Contradiction("quotas of nobody");
  return entity;
}

}  // namespace

Result<void> SecurityReplay::Apply(const pb::ClientQuotaRecord& record) {
  ASSIGN_OR_RETURN(QuotaEntity entity, ReadEntity(record));
  const bool sorted = IsSortedByName(record.set()) &&
                      std::adjacent_find(record.removed().begin(), record.removed().end(),
                                         std::greater_equal<>()) == record.removed().end();
  if (!sorted) return Contradiction("quotas that are not in order");
  const auto* const before = quotas_.Find(base_->quotas, entity);
  auto values =
      before == nullptr ? std::make_shared<QuotaValues>() : std::make_shared<QuotaValues>(**before);
  for (const auto& entry : record.set()) {
    if (!IsName(entry.name()) || !std::isfinite(entry.value()) || entry.value() <= 0)
      return Contradiction("a quota without a valid name and value");
    (*values)[entry.name()] = entry.value();
  }
  for (const std::string& name : record.removed()) values->erase(name);
  if (values->empty()) {
    quotas_.Erase(entity);
  } else {
    quotas_.Set(std::move(entity), std::move(values));
  }
  return {};
}

Result<void> SecurityReplay::Apply(const pb::AclRecord& record) {
  auto acl = ReadAcl(record);
  if (!acl.has_value()) return Contradiction("a rule of a kind that this version does not know");
  if (!IsName(acl->name) || !IsName(acl->principal) || !IsName(acl->host))
    return Contradiction("a rule without a valid name, principal and host");
  if (acls_.Find(base_->acls, *acl) != nullptr) return Contradiction("the rule is there already");
  acls_.Set(*std::move(acl), {});
  return {};
}

Result<void> SecurityReplay::Apply(const pb::RemoveAclRecord& record) {
  const auto acl = ReadAcl(record.acl());
  if (!acl.has_value() || acls_.Find(base_->acls, *acl) == nullptr)
    return Contradiction("there is no such rule");
  acls_.Erase(*acl);
  return {};
}

Result<void> SecurityReplay::Apply(const pb::UserCredentialRecord& record) {
  ASSIGN_OR_RETURN(UserKey key, ReadKey(record.user(), record.mechanism()));
  if (record.salt().empty() || record.stored_key().empty() || record.server_key().empty() ||
      record.iterations() < 1)
    return Contradiction("a user's credential that is none");
  users_.Set(std::move(key), std::make_shared<const ScramCredential>(
                                 ScramCredential{.salt = record.salt(),
                                                 .stored_key = record.stored_key(),
                                                 .server_key = record.server_key(),
                                                 .iterations = record.iterations()}));
  return {};
}

Result<void> SecurityReplay::Apply(const pb::RemoveUserCredentialRecord& record) {
  ASSIGN_OR_RETURN(const UserKey key, ReadKey(record.user(), record.mechanism()));
  if (users_.Find(base_->users, key) == nullptr)
    return Contradiction("the user has no such credential");
  users_.Erase(key);
  return {};
}

void SecurityReplay::Finish(MetadataImage& image, MetadataDelta& delta) {
  delta.acls_changed = acls_.Finish(image.acls);
  delta.users_changed = users_.Finish(image.users);
  delta.quotas_changed = quotas_.Finish(image.quotas);
}

}  // namespace gregor
