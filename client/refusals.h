#ifndef GREGOR_CLIENT_REFUSALS_H_
#define GREGOR_CLIENT_REFUSALS_H_

#include <cstddef>
#include <unordered_map>

#include "base/clock.h"
#include "base/result.h"
#include "client/accumulator.h"

namespace gregor {

// Why frames of a producer were refused last, by partition and by link: for who has to say later
// why something was never written, when the broker says nothing any more. Thread: its owner's.
class Refusals {
 public:
  struct Refusal {
    Error error;
    MonotonicTime at;
  };

  void Note(const ProducerPartition& partition, size_t link, const Error& error, MonotonicTime now);
  // The last one of the partition, else the last one on the link that was about the broker as a
  // whole (DISK_FULL, QUOTA_EXCEEDED). nullptr: there was none since `since`.
  const Refusal* Find(const ProducerPartition& partition, size_t link, MonotonicTime since) const;

 private:
  std::unordered_map<const ProducerPartition*, Refusal> by_partition_;
  std::unordered_map<size_t, Refusal> by_link_;
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_REFUSALS_H_
