#include "controller/security_codec.h"

#include <utility>

#include "controller/image/security_records.h"

namespace gregor {
namespace {

Error Malformed(const std::string& what) {
  return Error(Reason::kInvalidArgument, "the operation that another node sent " + what)
      .With("outcome", "NOT_APPLIED");
}

Result<void> CheckCount(int count, size_t most, const char* what) {
  if (static_cast<size_t>(count) <= most) return {};
  return Error(Reason::kInvalidArgument, "an operation has at most " + std::to_string(most) + " " +
                                             what + ", not " + std::to_string(count))
      .With("outcome", "NOT_APPLIED");
}

void EncodeFilter(const AclFilter& filter, pb::DeleteAclsOperation::Filter& out) {
  using Record = pb::AclRecord;
  if (filter.resource.has_value())
    out.set_resource(static_cast<Record::Resource>(*filter.resource));
  if (filter.pattern.has_value()) out.set_pattern(static_cast<Record::Pattern>(*filter.pattern));
  out.set_covers(filter.covers);
  if (filter.name.has_value()) out.set_name(*filter.name);
  if (filter.principal.has_value()) out.set_principal(*filter.principal);
  if (filter.host.has_value()) out.set_host(*filter.host);
  if (filter.operation.has_value())
    out.set_operation(static_cast<Record::Operation>(*filter.operation));
  if (filter.permission.has_value())
    out.set_permission(static_cast<Record::Permission>(*filter.permission));
}

Result<AclFilter> ReadFilter(const pb::DeleteAclsOperation::Filter& message) {
  AclFilter filter{.resource = KnownResource(message.resource()),
                   .pattern = KnownPattern(message.pattern()),
                   .covers = message.covers(),
                   .operation = KnownOperation(message.operation()),
                   .permission = KnownPermission(message.permission())};
  // What is not known may not match anything instead.
  const bool is_known = filter.resource.has_value() == (message.resource() != 0) &&
                        filter.pattern.has_value() == (message.pattern() != 0) &&
                        filter.operation.has_value() == (message.operation() != 0) &&
                        filter.permission.has_value() == (message.permission() != 0);
  if (!is_known) return Malformed("has a filter of a kind that there is not: use a newer version");
  if (filter.covers && filter.pattern.has_value())
    return Malformed("has a filter that contradicts itself");
  if (message.has_name()) filter.name = message.name();
  if (message.has_principal()) filter.principal = message.principal();
  if (message.has_host()) filter.host = message.host();
  return filter;
}

Result<ScramMechanism> ReadMechanism(pb::ScramMechanism mechanism) {
  if (const auto known = KnownMechanism(mechanism)) return *known;
  return Malformed("has a credential of a kind that there is not");
}

}  // namespace

Result<void> CheckSecurityCounts(const pb::OperationRequest& request) {
  RETURN_IF_ERROR(CheckCount(request.create_acls().acls_size(), kAclsPerOperationMax, "rules"));
  RETURN_IF_ERROR(CheckCount(request.delete_acls().filters_size(), kAclFiltersMax, "filters"));
  const auto& quotas = request.alter_quotas();
  RETURN_IF_ERROR(CheckCount(quotas.alterations_size(), kQuotasPerOperationMax, "alterations"));
  for (const auto& each : quotas.alterations()) {
    RETURN_IF_ERROR(CheckCount(each.set_size(), kQuotasPerOperationMax, "quotas of an entity"));
    RETURN_IF_ERROR(CheckCount(each.removed_size(), kQuotasPerOperationMax, "quotas to remove"));
  }
  return {};
}

void EncodeSecurityOperation(const CreateAcls& operation, pb::OperationRequest& request) {
  auto& out = *request.mutable_create_acls();
  for (const Acl& acl : operation.acls) FillAcl(acl, *out.add_acls());
}

void EncodeSecurityOperation(const DeleteAcls& operation, pb::OperationRequest& request) {
  auto& out = *request.mutable_delete_acls();
  for (const AclFilter& filter : operation.filters) EncodeFilter(filter, *out.add_filters());
  out.set_validate_only(operation.validate_only);
}

void EncodeSecurityOperation(const UpsertUser& operation, pb::OperationRequest& request) {
  auto& out = *request.mutable_upsert_user();
  out.set_user(operation.key.user);
  out.set_mechanism(static_cast<pb::ScramMechanism>(operation.key.mechanism));
  out.set_salt(operation.credential.salt);
  out.set_stored_key(operation.credential.stored_key);
  out.set_server_key(operation.credential.server_key);
  out.set_iterations(operation.credential.iterations);
}

void EncodeSecurityOperation(const DeleteUser& operation, pb::OperationRequest& request) {
  auto& out = *request.mutable_delete_user();
  out.set_user(operation.user);
  if (operation.mechanism.has_value())
    out.set_mechanism(static_cast<pb::ScramMechanism>(*operation.mechanism));
}

void EncodeSecurityOperation(const AlterQuotas& operation, pb::OperationRequest& request) {
  auto& out = *request.mutable_alter_quotas();
  out.set_validate_only(operation.validate_only);
  for (const AlterQuota& each : operation.alterations) {
    auto& alteration = *out.add_alterations();
    if (each.entity.user.has_value()) alteration.set_user(*each.entity.user);
    if (each.entity.client_id.has_value()) alteration.set_client_id(*each.entity.client_id);
    if (each.entity.ip.has_value()) alteration.set_ip(*each.entity.ip);
    for (const auto& [name, value] : each.set) {
      auto& entry = *alteration.add_set();
      entry.set_name(name);
      entry.set_value(value);
    }
    for (const std::string& name : each.removed) alteration.add_removed(name);
  }
}

Result<CreateAcls> ReadOperation(const pb::CreateAclsOperation& message) {
  CreateAcls operation;
  operation.acls.reserve(static_cast<size_t>(message.acls_size()));
  for (const auto& each : message.acls()) {
    auto acl = ReadAcl(each);
    if (!acl.has_value())
      return Malformed("makes a rule of a kind that there is not: use a newer version");
    operation.acls.push_back(*std::move(acl));
  }
  return operation;
}

Result<DeleteAcls> ReadOperation(const pb::DeleteAclsOperation& message) {
  DeleteAcls operation;
  operation.validate_only = message.validate_only();
  operation.filters.reserve(static_cast<size_t>(message.filters_size()));
  for (const auto& each : message.filters()) {
    ASSIGN_OR_RETURN(AclFilter filter, ReadFilter(each));
    operation.filters.push_back(std::move(filter));
  }
  return operation;
}

Result<UpsertUser> ReadOperation(const pb::UpsertUserOperation& message) {
  UpsertUser operation{.key = {.user = message.user()},
                       .credential = {.salt = message.salt(),
                                      .stored_key = message.stored_key(),
                                      .server_key = message.server_key(),
                                      .iterations = message.iterations()}};
  ASSIGN_OR_RETURN(operation.key.mechanism, ReadMechanism(message.mechanism()));
  return operation;
}

Result<DeleteUser> ReadOperation(const pb::DeleteUserOperation& message) {
  DeleteUser operation{.user = message.user(), .mechanism = std::nullopt};
  if (message.mechanism() != pb::SCRAM_MECHANISM_UNSPECIFIED) {
    ASSIGN_OR_RETURN(operation.mechanism, ReadMechanism(message.mechanism()));
  }
  return operation;
}

Result<AlterQuotas> ReadOperation(const pb::AlterQuotasOperation& message) {
  AlterQuotas operation;
  operation.validate_only = message.validate_only();
  operation.alterations.reserve(static_cast<size_t>(message.alterations_size()));
  for (const auto& each : message.alterations()) {
    AlterQuota& alteration = operation.alterations.emplace_back();
    if (each.has_user()) alteration.entity.user = each.user();
    if (each.has_client_id()) alteration.entity.client_id = each.client_id();
    if (each.has_ip()) alteration.entity.ip = each.ip();
    for (const auto& entry : each.set()) {
      if (!alteration.set.emplace(entry.name(), entry.value()).second)
        return Malformed("sets a quota twice");
    }
    alteration.removed.assign(each.removed().begin(), each.removed().end());
  }
  return operation;
}

void EncodeSecurityAnswer(const std::vector<Acl>& answer, pb::AclsAnswer& message) {
  for (const Acl& acl : answer) FillAcl(acl, *message.add_acls());
}

std::optional<std::vector<Acl>> ReadAnswer(const pb::AclsAnswer& message) {
  std::vector<Acl> answer;
  answer.reserve(static_cast<size_t>(message.acls_size()));
  for (const auto& each : message.acls()) {
    auto acl = ReadAcl(each);
    if (!acl.has_value()) return std::nullopt;
    answer.push_back(*std::move(acl));
  }
  return answer;
}

}  // namespace gregor
