#ifndef GREGOR_CLIENT_CONSUMER_H_
#define GREGOR_CLIENT_CONSUMER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/record_batch.h"
#include "base/result.h"
#include "client/channel.h"

namespace gregor {

// Where to begin to read.
struct StartPosition {
  enum class Kind : uint8_t { kEarliest, kLatest, kOffset, kTail, kTimestamp };
  Kind kind = Kind::kEarliest;
  int64_t value = 0;  // offset, records before the end, or milliseconds since the epoch
};

struct ConsumerOptions {
  std::string server = "127.0.0.1:9094";
  size_t credit_bytes = 8u << 20;  // what may be on its way
  size_t batch_bytes_max =
      4u << 20;  // largest message of batches; a batch above it fails with kFetchTooSmall
  Duration wait_max = std::chrono::milliseconds(500);
};

// What came of one partition: whole batches, checked.
struct Consumed {
  std::string topic;
  PartitionIndex partition;
  std::vector<RecordBatch> batches;  // records before `from` are not asked for
  Offset from{0};
  Offset next_offset{0};
  Offset high_watermark{0};
  bool caught_up = false;  // nothing more was there when this was sent
};

// Reads partitions from given positions on, following them; goes on where it was when the
// connection breaks. Thread: its owner's.
class Consumer {
 public:
  static std::unique_ptr<Consumer> Create(ConsumerOptions options);
  virtual ~Consumer() = default;

  // Reads `topic`'s partition too, or from another position (seek). What was on its way of it is
  // dropped.
  virtual void Assign(const std::string& topic, PartitionIndex partition, StartPosition start) = 0;
  virtual void Unassign(const std::string& topic, PartitionIndex partition) = 0;
  // The next batches of any partition; nullopt if none came within `timeout`. Fails with what the
  // server says of a partition (kTopicNotFound, kOffsetOutOfRange, kFetchTooSmall ...), details
  // topic and partition; that partition is unassigned then. Fails with kCorruptBatch where bytes
  // were damaged.
  virtual Result<std::optional<Consumed>> Poll(Duration timeout) = 0;
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_CONSUMER_H_
