#ifndef GREGOR_CLIENT_PRODUCER_H_
#define GREGOR_CLIENT_PRODUCER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/record_batch.h"
#include "base/result.h"
#include "client/channel.h"

namespace gregor {

// Who has to have a record: all in-sync replicas, so many replicas, the leader, nobody.
enum class ClientAcks : uint8_t { kAll, kCount, kLeader, kNone };

struct ProducerOptions {
  std::string server = "127.0.0.1:9094";  // or several addresses, with commas between
  std::string client_id;
  ClientAcks acks = ClientAcks::kAll;
  int32_t acks_count = 0;  // with kCount: replicas, the leader among them
  Codec compression = Codec::kNone;
  // A batch is sent once it has so many bytes (or the topic's max.message.bytes), or its first
  // record has waited so long, or Flush() or somebody who needs memory waits for it. None: 1 ms
  // while others are on their way, and no wait while nothing is.
  size_t batch_bytes = 1u << 20;
  std::optional<Duration> linger;
  size_t memory_bytes = 64u << 20;  // batches not acknowledged yet; Send() waits beyond it
  size_t in_flight_bytes_max = 0;   // sent and not acknowledged; 0: as the server says
  Duration delivery_timeout = std::chrono::minutes(2);  // from Send() to giving up
  bool idempotent = true;  // retries leave no duplicates, and keep the order
  // Without idempotence: a batch that may have been written is sent again (true: duplicates are
  // possible) or fails (false).
  bool retry_unknown = true;
};

// What became of a batch of records of one partition.
struct Delivery {
  std::string_view topic;
  PartitionIndex partition;
  int32_t record_count = 0;
  size_t bytes = 0;
  Offset base_offset{-1};      // -1 with an error, or with ClientAcks::kNone
  MonotonicTime first_record;  // when the batch's first record was given to Send()
  // Which ones its first and its last record are of all that Send() took, from 1. Between them may
  // be records of other partitions, unless there are just record_count.
  int64_t first_number = 0;
  int64_t last_number = 0;
  const Error* error = nullptr;
};

// Writes records: batches them by partition, keeps several batches in flight on a stream to each
// broker that leads one, and sends them again when a connection or a broker fails or another broker
// leads. Records of one partition keep their
// order, and are delivered in it, also where they fail.
// Thread: Send() and Flush() from any; deliveries come on the producer's own ("producer"), without
// a lock, and must not block: neither Send() nor Flush() may be called there.
class Producer {
 public:
  using OnDelivery = std::function<void(const Delivery&)>;

  // Connects. Fails as Channel::Call() does where no server answers.
  static Result<std::unique_ptr<Producer>> Create(ProducerOptions options, OnDelivery on_delivery);
  // Flushes; that takes the delivery timeout at most, and a second after Abort().
  virtual ~Producer() = default;

  // Asks for the topic, so that the first record finds it known. Fails as Send() does.
  virtual Result<void> Prepare(const std::string& topic) = 0;
  // Takes a record; copies it. Without `partition`: by murmur2 of the key, and without key to one
  // partition per batch (sticky). Waits while memory_bytes are in use. Fails with kTopicNotFound,
  // kPartitionNotFound, with kBatchTooLarge where the record alone is more than the topic takes,
  // and after the server has refused the whole producer with what it said.
  virtual Result<void> Send(const std::string& topic, std::optional<PartitionIndex> partition,
                            const NewRecord& record) = 0;
  // Sends what is batched, and waits until everything so far is delivered or has failed.
  virtual void Flush() = 0;
  // Gives up what is not delivered: Send() fails from now on, nothing more is sent, and what is on
  // its way and not answered within a second fails (outcome=UNKNOWN, the rest NOT_APPLIED). Does
  // not wait; Flush() does. Thread: any, also in a delivery.
  virtual void Abort() = 0;
  // The first delivery that failed, if any.
  virtual std::optional<Error> first_error() const = 0;
  // Why nothing is written at present (no connection, for example); nullopt: no trouble is known.
  virtual std::optional<Error> trouble() const = 0;
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_PRODUCER_H_
