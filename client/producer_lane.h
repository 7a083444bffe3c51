#ifndef GREGOR_CLIENT_PRODUCER_LANE_H_
#define GREGOR_CLIENT_PRODUCER_LANE_H_

#include <deque>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/record_batch.h"
#include "base/result.h"
#include "client/producer.h"

namespace gregor::producer_internal {

// What a producer holds of each partition. Guarded by the producer's lock.

struct Batch {
  RecordBatch data;
  MonotonicTime created;
  size_t memory = 0;  // what it counts for, of memory_bytes
  int64_t frame_id = 0;
};

struct Topic;

// One partition's records, oldest first: sent, ready to be sent, and the batch that is being
// filled.
struct Lane {
  const Topic* topic = nullptr;
  PartitionIndex partition;
  std::deque<Batch> sent;
  std::deque<Batch> ready;
  BatchBuilder filling;
  MonotonicTime filling_since;
  Sequence next_sequence{0};
  int32_t attempt = 0;
  MonotonicTime not_before;
  bool queued = false;  // in ready_lanes_
};

struct Topic {
  std::string name;
  std::vector<Lane> lanes;
  size_t sticky = 0;
};

// The lane of a record: of its partition, its key, or the one that is sticky. Fails with
// kPartitionNotFound.
Result<Lane*> ChooseLane(Topic& topic, std::optional<PartitionIndex> partition,
                         const NewRecord& record);
// The first message of a stream.
Bytes OpenMessage(const ProducerOptions& options, const BatchBuilder::Options& session);
// Gives a batch another base sequence, and the checksum that goes with it.
void SetSequence(RecordBatch& batch, Sequence sequence);
// Whether the same batch may be sent again after `error`.
bool IsRetriable(const Error& error);

}  // namespace gregor::producer_internal

#endif  // GREGOR_CLIENT_PRODUCER_LANE_H_
