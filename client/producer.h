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

enum class ClientAcks : uint8_t { kAll, kLeader, kNone };

struct ProducerOptions {
  std::string server = "127.0.0.1:9094";
  ClientAcks acks = ClientAcks::kAll;
  Codec compression = Codec::kNone;
  // A batch is sent once it has so many bytes, or its first record has waited so long.
  size_t batch_bytes = 512u << 10;
  Duration linger = std::chrono::milliseconds(5);
  size_t memory_bytes = 64u << 20;         // records not acknowledged yet; Send() waits beyond it
  size_t in_flight_bytes_max = 32u << 20;  // sent and not acknowledged
  Duration delivery_timeout = std::chrono::minutes(2);  // from Send() to giving up
  bool idempotent = true;  // retries leave no duplicates, and keep the order
  // Without idempotence: a batch that may have been written is sent again (true: duplicates are
  // possible) or fails (false).
  bool retry_unknown = true;
};

// What became of a batch of records of one partition, in the order of Send().
struct Delivery {
  std::string_view topic;
  PartitionIndex partition;
  int32_t record_count = 0;
  size_t bytes = 0;
  Offset base_offset{-1};              // -1 with an error, or with ClientAcks::kNone
  MonotonicTime first_sent_by_caller;  // when the batch's first record was given to Send()
  const Error* error = nullptr;
};

// Writes records: batches them by partition, keeps many batches in flight on one stream, and sends
// them again when the connection or the broker fails. Records of one partition keep their order.
// Thread: Send() and Flush() from any; deliveries come on one thread of the producer
// ("producer-acks"), and must not block or call Flush().
class Producer {
 public:
  using OnDelivery = std::function<void(const Delivery&)>;

  // Connects lazily. Fails where a producer id cannot be had (idempotent), as Channel::Call() does.
  static Result<std::unique_ptr<Producer>> Create(ProducerOptions options, OnDelivery on_delivery);
  // Waits for what is on its way; at most the delivery timeout.
  virtual ~Producer() = default;

  // Takes a record; copies it. Without `partition`: by murmur2 of the key, and without key to one
  // partition per batch (sticky). Waits while memory_bytes are in use. Fails with kTopicNotFound,
  // kPartitionNotFound, and kBatchTooLarge where one record cannot fit the server's limit.
  virtual Result<void> Send(const std::string& topic, std::optional<PartitionIndex> partition,
                            const NewRecord& record) = 0;
  // Sends what is batched and waits until everything so far is delivered or has failed.
  virtual void Flush() = 0;
  // The first delivery that failed, if any.
  virtual std::optional<Error> first_error() const = 0;
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_PRODUCER_H_
