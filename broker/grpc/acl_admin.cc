#include "broker/grpc/acl_admin.h"

#include <string>
#include <utility>
#include <vector>

#include "broker/grpc/convert.h"
#include "broker/grpc/page_token.h"
#include "controller/image/acl_rules.h"
#include "controller/image/security_records.h"

namespace gregor {
namespace {

Error Invalid(const std::string& what) { return Error(Reason::kInvalidArgument, what); }

Error NotKnown(const char* field, int number) {
  if (number == 0) return Invalid("the rule's " + std::string(field) + " is missing");
  return Invalid("the rule's " + std::string(field) + " " + std::to_string(number) +
                 " is not known");
}

Result<AclPattern> PatternOf(const v1::Acl& message) {
  if (message.pattern() == v1::ACL_PATTERN_UNSPECIFIED) return AclPattern::kLiteral;
  if (const auto pattern = KnownPattern(message.pattern())) return *pattern;
  if (message.pattern() == v1::ACL_PATTERN_MATCH)
    return Invalid("ACL_PATTERN_MATCH is for filters: a rule is literal or prefixed");
  return NotKnown("pattern", message.pattern());
}

Result<AclPermission> PermissionOf(const v1::Acl& message) {
  if (message.permission() == v1::ACL_PERMISSION_UNSPECIFIED) return AclPermission::kAllow;
  if (const auto permission = KnownPermission(message.permission())) return *permission;
  return NotKnown("permission", message.permission());
}

Result<Acl> ToAcl(const v1::Acl& message) {
  Acl acl{.name = message.name(), .principal = message.principal(), .host = message.host()};
  const auto resource = KnownResource(message.resource());
  if (!resource.has_value()) return NotKnown("resource", message.resource());
  const auto operation = KnownOperation(message.operation());
  if (!operation.has_value()) return NotKnown("operation", message.operation());
  acl.resource = *resource;
  acl.operation = *operation;
  ASSIGN_OR_RETURN(acl.pattern, PatternOf(message));
  ASSIGN_OR_RETURN(acl.permission, PermissionOf(message));
  return CheckAcl(std::move(acl));
}

v1::Acl ToMessage(const Acl& acl) {
  v1::Acl message;
  message.set_resource(static_cast<v1::AclResource>(acl.resource));
  message.set_name(acl.name);
  message.set_pattern(static_cast<v1::AclPattern>(acl.pattern));
  message.set_principal(acl.principal);
  message.set_host(acl.host);
  message.set_operation(static_cast<v1::AclOperation>(acl.operation));
  message.set_permission(static_cast<v1::AclPermission>(acl.permission));
  return message;
}

// A kind that a filter names; nullopt: any. Fails with kInvalidArgument where it is not known.
template <typename Kind>
Result<std::optional<Kind>> Wanted(const char* field, int number,
                                   std::optional<Kind> (*known)(int)) {
  const auto kind = known(number);
  if (kind.has_value() || number == 0) return kind;
  return Invalid("the filter's " + std::string(field) + " " + std::to_string(number) +
                 " is not known");
}

Result<AclFilter> ToFilter(const v1::AclFilter& message) {
  AclFilter filter;
  ASSIGN_OR_RETURN(filter.resource, Wanted("resource", message.resource(), KnownResource));
  filter.covers = message.pattern() == v1::ACL_PATTERN_MATCH;
  if (!filter.covers) {
    ASSIGN_OR_RETURN(filter.pattern, Wanted("pattern", message.pattern(), KnownPattern));
  }
  ASSIGN_OR_RETURN(filter.operation, Wanted("operation", message.operation(), KnownOperation));
  ASSIGN_OR_RETURN(filter.permission, Wanted("permission", message.permission(), KnownPermission));
  if (message.has_name()) filter.name = message.name();
  if (message.has_principal()) filter.principal = message.principal();
  if (message.has_host()) filter.host = message.host();
  return CheckAclFilter(std::move(filter));
}

// The rule before those of a page; the first page's is before all of them.
Result<Acl> PlaceOf(const Pages::Page& page) {
  if (page.after.empty()) return Acl{.operation = AclOperation{0}};
  v1::Acl last;
  if (!last.ParseFromString(page.after)) return Invalid("the page token is of another list");
  return ToAcl(last);
}

}  // namespace

void AddAcls(BrokerApi& broker, const v1::CreateAclsRequest& request,
             Reply<v1::CreateAclsResponse> reply) {
  gregor::CreateAcls operation;
  for (const v1::Acl& each : request.acls()) {
    auto acl = ToAcl(each);
    if (!acl.ok()) return reply(std::move(acl).error());
    operation.acls.push_back(*std::move(acl));
  }
  const OperationContext context = reply.operation_context();
  auto done = [reply = std::move(reply)](Result<void> result) mutable {
    if (!result.ok()) return reply(std::move(result).error());
    reply(v1::CreateAclsResponse());
  };
  broker.controller().Run(std::move(operation), std::move(done), context);
}

void RemoveAcls(BrokerApi& broker, const v1::DeleteAclsRequest& request,
                Reply<v1::DeleteAclsResponse> reply) {
  gregor::DeleteAcls operation;
  operation.validate_only = request.validate_only();
  for (const v1::AclFilter& each : request.filters()) {
    auto filter = ToFilter(each);
    if (!filter.ok()) return reply(std::move(filter).error());
    operation.filters.push_back(*std::move(filter));
  }
  const OperationContext context = reply.operation_context();
  auto done = [reply = std::move(reply)](Result<std::vector<Acl>> removed) mutable {
    if (!removed.ok()) return reply(std::move(removed).error());
    v1::DeleteAclsResponse response;
    for (const Acl& acl : *removed) *response.add_deleted() = ToMessage(acl);
    reply(std::move(response));
  };
  broker.controller().Run(std::move(operation), std::move(done), context);
}

Result<v1::ListAclsResponse> ListedAcls(const BrokerApi& broker,
                                        const v1::ListAclsRequest& request) {
  ASSIGN_OR_RETURN(const ImagePtr image, ImageOf(broker));
  ASSIGN_OR_RETURN(const AclFilter filter, ToFilter(request.filter()));
  const Pages pages(image->request_id_key, {"ListAcls", request.filter().SerializeAsString()});
  ASSIGN_OR_RETURN(const Pages::Page page, pages.Parse(request.page(), {}));
  ASSIGN_OR_RETURN(const Acl place, PlaceOf(page));
  v1::ListAclsResponse response;
  size_t bytes = 0;
  VisitMatches(image->acls, filter, place, [&](const Acl& acl) {
    if (!page.after.empty() && acl == place) return true;
    if (static_cast<size_t>(response.acls_size()) == page.size || bytes > kPageBytesMax) {
      const v1::Acl& last = response.acls(response.acls_size() - 1);
      response.set_next_page_token(pages.TokenAfter(last.SerializeAsString()));
      return false;
    }
    *response.add_acls() = ToMessage(acl);
    bytes += response.acls(response.acls_size() - 1).ByteSizeLong();
    return true;
  });
  return response;
}

}  // namespace gregor
