#ifndef GREGOR_CONTROLLER_IMAGE_QUOTA_RULES_H_
#define GREGOR_CONTROLLER_IMAGE_QUOTA_RULES_H_

#include <string>
#include <string_view>

#include "base/result.h"
#include "controller/image/security_tables.h"

namespace gregor {

// Which quotas there may be; as in Kafka. Thread: any.

// Of a user, a client id or an address.
inline constexpr size_t kQuotaTextBytesMax = 512;

// The entity as it is kept: an address in the one way of writing it. Fails with kInvalidArgument
// where quotas are for nobody, or for what there is no such pair of.
Result<QuotaEntity> CheckQuotaEntity(QuotaEntity entity);
// Whether the entity may have a quota of that name; and of that value. Fail with kInvalidArgument.
Result<void> CheckQuotaName(const QuotaEntity& entity, std::string_view name);
Result<void> CheckQuota(const QuotaEntity& entity, std::string_view name, double value);

// For people: "user alice, all client ids".
std::string Describe(const QuotaEntity& entity);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_QUOTA_RULES_H_
