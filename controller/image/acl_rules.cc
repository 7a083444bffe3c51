#include "controller/image/acl_rules.h"

#include <algorithm>
#include <utility>

#include "base/ip_address.h"
#include "base/utf8.h"

namespace gregor {
namespace {

Error Invalid(const std::string& what) { return Error(Reason::kInvalidArgument, what); }

Result<void> CheckText(const char* what, std::string_view text) {
  if (text.size() > kAclTextBytesMax) {
    return Invalid("a rule's " + std::string(what) + " has at most " +
                   std::to_string(kAclTextBytesMax) + " bytes, not " + std::to_string(text.size()));
  }
  if (IsPlainText(text)) return {};
  return Invalid("a rule's " + std::string(what) +
                 " has control characters, or is not UTF-8: it may not");
}

const char* NameOf(AclResource resource) {
  switch (resource) {
    case AclResource::kTopic:
      return "a topic";
    case AclResource::kGroup:
      return "a group";
    case AclResource::kCluster:
      return "the cluster";
    case AclResource::kTransactionalId:
      return "a transactional id";
    case AclResource::kUser:
      return "a user";
  }
  return "this";
}

Result<void> CheckPrincipal(const std::string& principal) {
  RETURN_IF_ERROR(CheckText("principal", principal));
  const size_t colon = principal.find(':');
  if (colon != std::string::npos && colon > 0 && colon + 1 < principal.size()) return {};
  return Invalid("the principal \"" + principal +
                 "\" is none: write its type, a colon and its name, such as User:alice");
}

Result<std::string> CheckHost(std::string host) {
  if (host.empty()) return std::string("*");
  if (host == "*") return host;
  RETURN_IF_ERROR(CheckText("host", host));
  auto address = CanonicalAddress(host);
  if (address.has_value()) return *std::move(address);
  return Invalid("the host \"" + host + "\" is no IP address: write one, or * for any");
}

// The place of the first rule that a filter of this resource, pattern and name matches, where those
// are all there is to look for.
std::optional<Acl> PlaceOf(const AclFilter& filter) {
  if (!HasPlace(filter)) return std::nullopt;
  Acl place;
  place.resource = *filter.resource;
  place.pattern = *filter.pattern;
  place.name = *filter.name;
  place.operation = AclOperation{0};  // before all of the name's
  place.permission = AclPermission{0};
  return place;
}

bool MatchesName(const AclFilter& filter, const Acl& acl) {
  if (!filter.name.has_value() || *filter.name == acl.name) return true;
  if (!filter.covers) return false;
  if (acl.pattern == AclPattern::kLiteral) return acl.name == "*";
  return filter.name->starts_with(acl.name);
}

template <typename T>
bool MatchesOne(const std::optional<T>& wanted, const T& value) {
  return !wanted.has_value() || *wanted == value;
}

}  // namespace

bool IsPlainText(std::string_view text) {
  if (!IsUtf8(text)) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if (byte < 0x20 || byte == 0x7f) return false;
    // U+0080 to U+009F: what a terminal might obey, too.
    if (byte == 0xc2 && static_cast<uint8_t>(text[i + 1]) < 0xa0) return false;
  }
  return true;
}

bool HasOperation(AclResource resource, AclOperation operation) {
  using Op = AclOperation;
  const auto is_one_of = [operation](std::initializer_list<AclOperation> operations) {
    return std::find(operations.begin(), operations.end(), operation) != operations.end();
  };
  if (operation == Op::kAll) return true;
  switch (resource) {
    case AclResource::kTopic:
      return is_one_of({Op::kRead, Op::kWrite, Op::kCreate, Op::kDelete, Op::kAlter, Op::kDescribe,
                        Op::kDescribeConfigs, Op::kAlterConfigs});
    case AclResource::kGroup:
      return is_one_of(
          {Op::kRead, Op::kDescribe, Op::kDelete, Op::kDescribeConfigs, Op::kAlterConfigs});
    case AclResource::kCluster:
      return is_one_of({Op::kCreate, Op::kClusterAction, Op::kDescribeConfigs, Op::kAlterConfigs,
                        Op::kIdempotentWrite, Op::kAlter, Op::kDescribe});
    case AclResource::kTransactionalId:
      return is_one_of({Op::kDescribe, Op::kWrite});
    case AclResource::kUser:
      return is_one_of({Op::kAlter, Op::kDescribe});
  }
  return false;
}

Result<Acl> CheckAcl(Acl acl) {
  RETURN_IF_ERROR(CheckText("name", acl.name));
  if (acl.name.empty()) return Invalid("a rule's name is empty: write * for all of its kind");
  if (acl.resource == AclResource::kCluster && acl.name != kClusterResourceName) {
    return Invalid("the cluster's name in rules is \"" + std::string(kClusterResourceName) +
                   "\", not \"" + acl.name + "\"");
  }
  RETURN_IF_ERROR(CheckPrincipal(acl.principal));
  ASSIGN_OR_RETURN(acl.host, CheckHost(std::move(acl.host)));
  if (HasOperation(acl.resource, acl.operation)) return acl;
  return Invalid("a rule allows or denies an operation that " + std::string(NameOf(acl.resource)) +
                 " does not have");
}

Result<AclFilter> CheckAclFilter(AclFilter filter) {
  if (filter.name.has_value()) RETURN_IF_ERROR(CheckText("name", *filter.name));
  if (filter.principal.has_value()) RETURN_IF_ERROR(CheckText("principal", *filter.principal));
  if (!filter.host.has_value()) return filter;
  RETURN_IF_ERROR(CheckText("host", *filter.host));
  if (auto address = CanonicalAddress(*filter.host)) filter.host = std::move(address);
  return filter;
}

bool Matches(const AclFilter& filter, const Acl& acl) {
  return MatchesOne(filter.resource, acl.resource) && MatchesOne(filter.pattern, acl.pattern) &&
         MatchesName(filter, acl) && MatchesOne(filter.principal, acl.principal) &&
         MatchesOne(filter.host, acl.host) && MatchesOne(filter.operation, acl.operation) &&
         MatchesOne(filter.permission, acl.permission);
}

bool HasPlace(const AclFilter& filter) {
  return filter.resource.has_value() && filter.pattern.has_value() && filter.name.has_value();
}

void VisitMatches(const AclTable& acls, const AclFilter& filter, const Acl& from,
                  const std::function<bool(const Acl&)>& visit) {
  const std::optional<Acl> place = PlaceOf(filter);
  const Acl& first = place.has_value() && from < *place ? *place : from;
  acls.VisitFrom(first, [&](const Acl& acl, std::monostate) {
    const bool is_behind =
        place.has_value() && (acl.resource != place->resource || acl.pattern != place->pattern ||
                              acl.name != place->name);
    if (is_behind) return false;
    return !Matches(filter, acl) || visit(acl);
  });
}

}  // namespace gregor
