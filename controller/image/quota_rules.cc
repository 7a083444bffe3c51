#include "controller/image/quota_rules.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/ip_address.h"
#include "controller/image/acl_rules.h"

namespace gregor {
namespace {

struct QuotaSpec {
  std::string_view name;
  bool of_ip;
  bool whole;
  double value_max;
};
// Whole ones are an int64 or an int32 for Kafka's clients.
constexpr QuotaSpec kQuotas[] = {
    {"connection_creation_rate", true, true, 2147483647.0},
    {"consumer_byte_rate", false, true, 9007199254740992.0},
    {"controller_mutation_rate", false, false, 9007199254740992.0},
    {"producer_byte_rate", false, true, 9007199254740992.0},
    {"request_percentage", false, false, 9007199254740992.0},
};

Error Invalid(const std::string& what) { return Error(Reason::kInvalidArgument, what); }

const QuotaSpec* FindQuota(std::string_view name) {
  const auto found = std::find_if(std::begin(kQuotas), std::end(kQuotas),
                                  [&](const QuotaSpec& spec) { return spec.name == name; });
  return found == std::end(kQuotas) ? nullptr : found;
}

// The names that an entity may have quotas of.
std::string NamesFor(bool of_ip) {
  std::string names;
  for (const QuotaSpec& spec : kQuotas) {
    if (spec.of_ip == of_ip) names += (names.empty() ? "" : ", ") + std::string(spec.name);
  }
  return names;
}

Result<void> CheckText(const char* what, const std::optional<std::string>& text) {
  if (!text.has_value()) return {};
  if (text->size() <= kQuotaTextBytesMax && IsPlainText(*text)) return {};
  return Invalid("the " + std::string(what) + " of a quota has at most " +
                 std::to_string(kQuotaTextBytesMax) +
                 " bytes of UTF-8, without control characters");
}

}  // namespace

Result<QuotaEntity> CheckQuotaEntity(QuotaEntity entity) {
  RETURN_IF_ERROR(CheckText("user", entity.user));
  RETURN_IF_ERROR(CheckText("client id", entity.client_id));
  RETURN_IF_ERROR(CheckText("IP address", entity.ip));
  const bool of_client = entity.user.has_value() || entity.client_id.has_value();
  if (!of_client && !entity.ip.has_value())
    return Invalid("a quota is for a user, a client id, both together, or an IP address");
  if (!entity.ip.has_value()) return entity;
  if (of_client) return Invalid("a quota for an IP address is for nothing else beside it");
  if (entity.ip->empty()) return entity;
  auto address = CanonicalAddress(*entity.ip);
  if (!address.has_value()) return Invalid("\"" + *entity.ip + "\" is no IP address");
  entity.ip = std::move(address);
  return entity;
}

Result<void> CheckQuotaName(const QuotaEntity& entity, std::string_view name) {
  const QuotaSpec* const spec = FindQuota(name);
  const bool of_ip = entity.ip.has_value();
  if (spec != nullptr && spec->of_ip == of_ip) return {};
  const std::string shown = IsPlainText(name) && name.size() <= kQuotaTextBytesMax
                                ? "\"" + std::string(name) + "\""
                                : "that name";
  return Invalid("there is no quota " + shown + " for " + Describe(entity) + ": there are " +
                 NamesFor(of_ip));
}

Result<void> CheckQuota(const QuotaEntity& entity, std::string_view name, double value) {
  RETURN_IF_ERROR(CheckQuotaName(entity, name));
  const QuotaSpec& spec = *FindQuota(name);
  const std::string quota = std::string(name) + " of " + Describe(entity);
  // A comparison with NaN is false.
  if (!(value > 0)) return Invalid("the quota " + quota + " must be above 0");
  if (!(value <= spec.value_max)) return Invalid("the quota " + quota + " is too large");
  if (spec.whole && value != std::floor(value))
    return Invalid("the quota " + quota + " must be a whole number");
  return {};
}

std::string Describe(const QuotaEntity& entity) {
  std::string text;
  const auto add = [&](const char* kind, const std::optional<std::string>& name) {
    if (!name.has_value()) return;
    if (!text.empty()) text += " with ";
    text += name->empty() ? "every other " + std::string(kind) : std::string(kind) + " " + *name;
  };
  add("user", entity.user);
  add("client id", entity.client_id);
  add("IP address", entity.ip);
  return text;
}

}  // namespace gregor
