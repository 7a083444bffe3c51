#include "controller/image/security_records.h"

#include <utility>

namespace gregor {
namespace {

// First bytes of keys; those of other rows are in rows.cc.
constexpr char kQuotaKind = 0x12;
constexpr char kAclKind = 0x13;
constexpr char kUserKind = 0x14;

// Texts have no control characters, so that keys are in the order of what they stand for.
std::string RowKey(const QuotaEntity& entity) {
  std::string key(1, kQuotaKind);
  for (const auto* part : {&entity.user, &entity.client_id, &entity.ip}) {
    key += part->has_value() ? '\x01' : '\0';
    if (part->has_value()) key += **part + '\0';
  }
  return key;
}
std::string RowKey(const Acl& acl) {
  return std::string{kAclKind, static_cast<char>(acl.resource), static_cast<char>(acl.pattern)} +
         acl.name + '\0' + acl.principal + '\0' + acl.host + '\0' +
         static_cast<char>(acl.operation) + static_cast<char>(acl.permission);
}
std::string RowKey(const UserKey& key) {
  return kUserKind + key.user + '\0' + static_cast<char>(key.mechanism);
}

std::string RowOf(const QuotaEntity& entity, const std::shared_ptr<const QuotaValues>& values) {
  pb::MetadataRecord record;
  FillRecord(entity, values.get(), *record.mutable_client_quota());
  return SerializeRecord(record);
}
std::string RowOf(const Acl& acl, std::monostate) {
  pb::MetadataRecord record;
  FillAcl(acl, *record.mutable_acl());
  return SerializeRecord(record);
}
std::string RowOf(const UserKey& key, const std::shared_ptr<const ScramCredential>& credential) {
  pb::MetadataRecord record;
  FillRecord(key, *credential, *record.mutable_user_credential());
  return SerializeRecord(record);
}

template <typename Table>
Result<void> VisitTable(const Table& table, const RowVisitor& visit) {
  Result<void> result;
  table.VisitAll([&](const auto& key, const auto& value) {
    if (result.ok()) result = visit(RowKey(key), RowOf(key, value));
  });
  return result;
}

template <typename T>
bool IsSame(const std::shared_ptr<T>& a, const std::shared_ptr<T>& b) {
  return a == b || *a == *b;
}
bool IsSame(std::monostate, std::monostate) { return true; }

template <typename Table>
void DiffTables(const Table& before, const Table& after, const SecurityChangeVisitor& visit) {
  Table::VisitChanges(before, after, [&](const auto& key, const auto* old, const auto* now) {
    if (old != nullptr && now != nullptr && IsSame(*old, *now)) return;
    const LazyRow old_row = [&] { return RowOf(key, *old); };
    const LazyRow now_row = [&] { return RowOf(key, *now); };
    visit(RowKey(key), old == nullptr ? nullptr : &old_row, now == nullptr ? nullptr : &now_row);
  });
}

template <typename Kind>
std::optional<Kind> Known(int number, bool (*is_valid)(int)) {
  if (number == 0 || !is_valid(number)) return std::nullopt;
  return static_cast<Kind>(number);
}

}  // namespace

void FillRecord(const UserKey& key, const ScramCredential& credential,
                pb::UserCredentialRecord& record) {
  record.set_user(key.user);
  record.set_mechanism(static_cast<pb::ScramMechanism>(key.mechanism));
  record.set_salt(credential.salt);
  record.set_stored_key(credential.stored_key);
  record.set_server_key(credential.server_key);
  record.set_iterations(credential.iterations);
}

void FillRecord(const QuotaEntity& entity, const QuotaValues* values,
                pb::ClientQuotaRecord& record) {
  if (entity.user.has_value()) record.set_user(*entity.user);
  if (entity.client_id.has_value()) record.set_client_id(*entity.client_id);
  if (entity.ip.has_value()) record.set_ip(*entity.ip);
  if (values == nullptr) return;
  for (const auto& [name, value] : *values) {
    auto& entry = *record.add_set();
    entry.set_name(name);
    entry.set_value(value);
  }
}

std::optional<AclResource> KnownResource(int number) {
  return Known<AclResource>(number, pb::AclRecord::Resource_IsValid);
}
std::optional<AclPattern> KnownPattern(int number) {
  return Known<AclPattern>(number, pb::AclRecord::Pattern_IsValid);
}
std::optional<AclOperation> KnownOperation(int number) {
  return Known<AclOperation>(number, pb::AclRecord::Operation_IsValid);
}
std::optional<AclPermission> KnownPermission(int number) {
  return Known<AclPermission>(number, pb::AclRecord::Permission_IsValid);
}
std::optional<ScramMechanism> KnownMechanism(int number) {
  return Known<ScramMechanism>(number, pb::ScramMechanism_IsValid);
}

Result<void> VisitSecurityRows(const MetadataImage& image, const RowVisitor& visit) {
  RETURN_IF_ERROR(VisitTable(image.quotas, visit));
  RETURN_IF_ERROR(VisitTable(image.acls, visit));
  return VisitTable(image.users, visit);
}

void VisitSecurityChanges(const MetadataImage& before, const MetadataImage& after,
                          const SecurityChangeVisitor& visit) {
  DiffTables(before.quotas, after.quotas, visit);
  DiffTables(before.acls, after.acls, visit);
  DiffTables(before.users, after.users, visit);
}

}  // namespace gregor
