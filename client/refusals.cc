#include "client/refusals.h"

namespace gregor {
namespace {

bool IsAboutBroker(Reason reason) {
  return reason == Reason::kDiskFull || reason == Reason::kQuotaExceeded;
}

}  // namespace

void Refusals::Note(const ProducerPartition& partition, size_t link, const Error& error,
                    MonotonicTime now) {
  // It only says that there was another one.
  if (error.reason == Reason::kPriorRequestFailed) return;
  by_partition_.insert_or_assign(&partition, Refusal{error, now});
  if (IsAboutBroker(error.reason)) by_link_.insert_or_assign(link, Refusal{error, now});
}

const Refusals::Refusal* Refusals::Find(const ProducerPartition& partition, size_t link,
                                        MonotonicTime since) const {
  if (const auto own = by_partition_.find(&partition);
      own != by_partition_.end() && own->second.at >= since)
    return &own->second;
  const auto others = by_link_.find(link);
  return others != by_link_.end() && others->second.at >= since ? &others->second : nullptr;
}

}  // namespace gregor
