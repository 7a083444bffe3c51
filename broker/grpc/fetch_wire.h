#ifndef GREGOR_BROKER_GRPC_FETCH_WIRE_H_
#define GREGOR_BROKER_GRPC_FETCH_WIRE_H_

#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "broker/grpc/wire_reader.h"

namespace gregor {

// The messages of fetch.proto that are hot, taken off the wire by hand. Fields have the names and
// meanings of the .proto; enums are not checked. Unknown fields are skipped. Thread: any.

struct WirePosition {
  enum class Kind : uint8_t { kUnset, kOffset, kTimestampMs, kTail, kAnchor };
  Kind kind = Kind::kUnset;
  int64_t value = 0;
};

struct WireFetchRequest {
  std::string_view topic;
  int32_t partition = 0;
  WirePosition position;
  int32_t max_wait_ms = 0;
  int32_t min_bytes = 0;
  int32_t max_bytes = 0;
  int32_t format = 0;
  int32_t isolation = 0;
  int32_t routing = 0;
  std::string_view client_rack;
  std::optional<int32_t> current_leader_epoch;
  std::optional<int32_t> last_fetched_epoch;
  std::string_view topic_id;
};

struct WireFetchOpen {
  int32_t format = 0;
  int32_t isolation = 0;
  int32_t routing = 0;
  std::string_view client_id;
  std::string_view client_rack;
  int32_t max_batch_bytes = 0;
  int32_t min_bytes = 0;
  int32_t max_wait_ms = 0;
};

struct WireFetchAdd {
  int32_t slot = 0;
  std::string_view topic;
  int32_t partition = 0;
  WirePosition position;
  std::optional<int32_t> current_leader_epoch;
  std::optional<int32_t> last_fetched_epoch;
  std::string_view topic_id;
};

struct WireFetchStreamRequest {
  enum class Kind : uint8_t { kNone, kOpen, kAdd, kRemove, kCredit, kRefreshAuthorization };
  Kind kind = Kind::kNone;
  WireFetchOpen open;
  WireFetchAdd add;
  int32_t remove_slot = 0;
  int64_t credit_bytes = 0;
  std::string_view refresh_authorization;
};

// Both parse into `request`, which has to be new. Views point into `message` and `arena`. Fail with
// kInvalidArgument where the message is malformed.
Result<void> ParseFetchRequest(const Bytes& message, CopyArena& arena, WireFetchRequest& request);
Result<void> ParseFetchStreamRequest(const Bytes& message, CopyArena& arena,
                                     WireFetchStreamRequest& request);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_FETCH_WIRE_H_
