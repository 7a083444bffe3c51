#include "client/topic_lookup.h"

#include <algorithm>
#include <charconv>

#include "base/record_batch.h"
#include "client/admin.h"
#include "client/timing.h"

namespace gregor {
namespace {

// A question has so long, however little of the time is left.
constexpr Duration kCallMin = std::chrono::milliseconds(50);

}  // namespace

Result<Accumulator::TopicInfo> LookUpTopic(const std::shared_ptr<Router>& router,
                                           const std::string& name, MonotonicTime deadline) {
  const auto left = [&] {
    return std::clamp<Duration>(deadline - SystemClock().Now(), kCallMin, kCallTimeout);
  };
  Accumulator::TopicInfo info;
  ASSIGN_OR_RETURN(info.partition_count, Admin(router, left()).PartitionCount(name));
  if (info.partition_count <= 0)
    return Error(Reason::kUnspecified, "the server gives topic \"" + name + "\" no partitions");
  RETURN_IF_ERROR(router->AskForTopic(name, left()));
  info.batch_bytes_max = ProduceRules().batch_bytes_max;
  const auto limit = Admin(router, left()).TopicConfig(name, "max.message.bytes");
  if (!limit.ok()) {
    if (IsRetriable(limit.error())) return limit.error();
    return info;  // the server decides
  }
  size_t bytes = 0;
  std::from_chars(limit->data(), limit->data() + limit->size(), bytes);
  if (bytes > 0) info.batch_bytes_max = bytes;
  return info;
}

}  // namespace gregor
