#ifndef GREGOR_CONTROLLER_IMAGE_SECURITY_RECORDS_H_
#define GREGOR_CONTROLLER_IMAGE_SECURITY_RECORDS_H_

#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "controller/image/image.h"
#include "controller/image/records.h"
#include "controller/image/rows.h"

namespace gregor {

// Rules, users and quotas as records and as rows. Thread: any.

// A rule as an AclRecord, or another message with its fields.
template <typename Message>
void FillAcl(const Acl& acl, Message& message) {
  message.set_resource(static_cast<pb::AclRecord::Resource>(acl.resource));
  message.set_pattern(static_cast<pb::AclRecord::Pattern>(acl.pattern));
  message.set_name(acl.name);
  message.set_principal(acl.principal);
  message.set_host(acl.host);
  message.set_operation(static_cast<pb::AclRecord::Operation>(acl.operation));
  message.set_permission(static_cast<pb::AclRecord::Permission>(acl.permission));
}
void FillRecord(const UserKey& key, const ScramCredential& credential,
                pb::UserCredentialRecord& record);
// All that the entity has, or (nullptr) nothing but the entity.
void FillRecord(const QuotaEntity& entity, const QuotaValues* values,
                pb::ClientQuotaRecord& record);

// A number as the kind that it stands for; nullopt for 0, and for what this version does not know.
std::optional<AclResource> KnownResource(int number);
std::optional<AclPattern> KnownPattern(int number);
std::optional<AclOperation> KnownOperation(int number);
std::optional<AclPermission> KnownPermission(int number);
std::optional<ScramMechanism> KnownMechanism(int number);

// The rule that FillAcl() makes the message of; nullopt where it does of none.
template <typename Message>
std::optional<Acl> ReadAcl(const Message& message) {
  const auto resource = KnownResource(message.resource());
  const auto pattern = KnownPattern(message.pattern());
  const auto operation = KnownOperation(message.operation());
  const auto permission = KnownPermission(message.permission());
  if (!resource.has_value() || !pattern.has_value() || !operation.has_value() ||
      !permission.has_value())
    return std::nullopt;
  return Acl{.resource = *resource,
             .pattern = *pattern,
             .name = message.name(),
             .principal = message.principal(),
             .host = message.host(),
             .operation = *operation,
             .permission = *permission};
}

// The rows of the tables, in the order of their keys, which is between those of brokers and of
// topics.
Result<void> VisitSecurityRows(const MetadataImage& image, const RowVisitor& visit);
// Calls visit(key, before, after) for the rows that differ; nullptr: there is none. A row is made
// when it is asked for, during the call.
using LazyRow = std::function<std::string()>;
using SecurityChangeVisitor =
    std::function<void(std::string key, const LazyRow* before, const LazyRow* after)>;
void VisitSecurityChanges(const MetadataImage& before, const MetadataImage& after,
                          const SecurityChangeVisitor& visit);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_SECURITY_RECORDS_H_
