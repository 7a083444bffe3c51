#ifndef GREGOR_BROKER_GRPC_PRODUCE_WIRE_H_
#define GREGOR_BROKER_GRPC_PRODUCE_WIRE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/record_batch.h"
#include "base/result.h"
#include "broker/grpc/wire_reader.h"

namespace gregor {

// The messages of produce.proto that are hot, taken off the wire by hand: what lies in them is
// pointed to, not copied. Fields have the names and meanings of the .proto; enums are not checked.
// Unknown fields are skipped. Thread: any.

struct WireProducerSession {
  int64_t producer_id = 0;
  int32_t producer_epoch = 0;
  int32_t base_sequence = 0;
  std::string_view transactional_id;
};

struct WireProduceRequest {
  std::string_view topic;
  std::optional<int32_t> partition;
  std::vector<NewRecord> records;  // timestamp -1 where it is unset
  int32_t acks = 0;
  std::string_view request_id;
  std::optional<WireProducerSession> producer;
  int32_t compression = 0;
  int32_t routing = 0;
  std::string_view topic_id;
  int32_t acks_count = 0;
  bool receipt = false;
  Bytes record_batch;
};

struct WireProduceOpen {
  int32_t acks = 0;
  int32_t routing = 0;
  std::optional<WireProducerSession> producer;
  std::string_view client_id;
  int64_t max_in_flight_bytes = 0;
  int32_t max_in_flight_frames = 0;
  int32_t acks_count = 0;
  bool receipt = false;
  int32_t compression = 0;
};

struct WireProduceFrame {
  int64_t frame_id = 0;
  std::string_view topic;
  std::optional<int32_t> partition;
  int32_t attempt = 0;
  std::vector<NewRecord> records;
  std::string_view topic_id;
  int32_t base_sequence = 0;
  Bytes record_batch;
};

struct WireProduceStreamRequest {
  enum class Kind : uint8_t { kNone, kOpen, kFrame, kRefreshAuthorization };
  Kind kind = Kind::kNone;
  WireProduceOpen open;
  WireProduceFrame frame;
  std::string_view refresh_authorization;
};

// Records and headers together that one message may have: each costs memory beside its bytes.
inline constexpr size_t kWireRecordsMax = 100'000;

// Both parse into `request`, which has to be new. Views point into `message` and `arena`. Fail with
// kInvalidArgument where the message is malformed, kBatchTooLarge where it has too many records.
Result<void> ParseProduceRequest(const Bytes& message, CopyArena& arena,
                                 WireProduceRequest& request);
Result<void> ParseProduceStreamRequest(const Bytes& message, CopyArena& arena,
                                       WireProduceStreamRequest& request);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_PRODUCE_WIRE_H_
