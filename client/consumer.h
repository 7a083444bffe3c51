#ifndef GREGOR_CLIENT_CONSUMER_H_
#define GREGOR_CLIENT_CONSUMER_H_

#include <memory>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"
#include "client/router.h"

namespace gregor {

// Where to begin to read.
struct StartPosition {
  enum class Kind : uint8_t { kEarliest, kLatest, kOffset, kTail, kTimestamp };
  Kind kind = Kind::kEarliest;
  int64_t value = 0;  // offset, records before the end, or milliseconds since the epoch
};

struct ConsumerOptions {
  std::string server = "127.0.0.1:9094";  // or several addresses, with commas between
  std::string client_id;
  // Connections to share with others; they take messages of message_bytes_max and 64 KiB more.
  // None: its own, to the cluster of `server`.
  std::shared_ptr<Router> router;
  size_t credit_bytes = 8u << 20;  // what may be on its way or wait for Poll()
  // Size of a message at first. It grows to the size of a batch that needs more, up to the maximum;
  // a batch beyond it fails with kFetchTooSmall.
  size_t message_bytes = 1u << 20;
  size_t message_bytes_max = 64u << 20;
  Duration wait_max = std::chrono::milliseconds(500);  // how long the server waits for more
  Duration topic_interval = std::chrono::seconds(30);  // how often FollowTopic() looks
};

// What came of one partition; RecordCursor walks its records.
struct Consumed {
  std::string topic;
  PartitionIndex partition;
  Bytes batches;          // whole batches as they are stored, not checked yet
  Offset from{0};         // records before it were not asked for
  Offset next_offset{0};  // where to go on
  Offset high_watermark{0};
  bool caught_up = false;  // nothing more was there when this was sent
};

// Reads partitions from given positions on, each from the broker that leads it, following them;
// goes on where it was when a connection breaks or another broker leads, for as long as it lives.
// It stays with the topic that is there when its first partition is assigned, until none is
// assigned any more: where that is deleted, all its partitions fail with kUnknownTopicId, also if
// it was created anew. Thread: its owner's; the network's is "consumer".
class Consumer {
 public:
  static std::unique_ptr<Consumer> Create(ConsumerOptions options);
  virtual ~Consumer() = default;

  // Reads `topic`'s partition too, or from another position (seek). What was on its way of it is
  // dropped. Returns at once; errors come from Poll().
  virtual void Assign(const std::string& topic, PartitionIndex partition, StartPosition start) = 0;
  virtual void Unassign(const std::string& topic, PartitionIndex partition) = 0;
  // Reads also partitions that are added to `topic`, from `first_new` on, each from its beginning.
  // They are found within topic_interval.
  virtual void FollowTopic(const std::string& topic, PartitionIndex first_new) = 0;
  // What comes next of any partition, in order of offsets for each; without batches where a
  // partition had none up to its end. nullopt if nothing came within `timeout`. Fails with what the
  // server says of a partition (kTopicNotFound, kOffsetOutOfRange, kFetchTooSmall ...; details
  // topic and partition), which is unassigned then; without these details all are.
  virtual Result<std::optional<Consumed>> Poll(Duration timeout) = 0;
  // Why nothing comes at present (no connection, for example); nullopt: no trouble is known.
  virtual std::optional<Error> trouble() const = 0;
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_CONSUMER_H_
