#include "broker/grpc/fetch_wire.h"

#include <string>

namespace gregor {
namespace {

using Field = WireReader::Field;
using wire::Int;
using wire::Len;
using wire::ParseAll;
using wire::ParseInside;

bool ParsePositionField(WireReader& reader, const Field& field, WirePosition& position) {
  using Kind = WirePosition::Kind;
  int32_t anchor;
  switch (field.tag()) {
    case Int(1):
      position.kind = Kind::kOffset;
      return reader.Int64(&position.value);
    case Int(2):
      position.kind = Kind::kTimestampMs;
      return reader.Int64(&position.value);
    case Int(3):
      position.kind = Kind::kTail;
      return reader.Int64(&position.value);
    case Int(4):
      position.kind = Kind::kAnchor;
      if (!reader.Int32(&anchor)) return false;
      position.value = anchor;
      return true;
    default:
      return reader.Skip(field);
  }
}

bool ParsePosition(WireReader& reader, WirePosition& position) {
  return ParseInside(
      reader, [&](const Field& field) { return ParsePositionField(reader, field, position); });
}

bool ParseRequestField(WireReader& reader, const Field& field, WireFetchRequest& request) {
  switch (field.tag()) {
    case Len(1):
      return reader.Text(&request.topic);
    case Int(2):
      return reader.Int32(&request.partition);
    case Len(3):
      return ParsePosition(reader, request.position);
    case Int(4):
      return reader.Int32(&request.max_wait_ms);
    case Int(5):
      return reader.Int32(&request.min_bytes);
    case Int(6):
      return reader.Int32(&request.max_bytes);
    case Int(7):
      return reader.Int32(&request.format);
    case Int(8):
      return reader.Int32(&request.isolation);
    case Int(9):
      return reader.Int32(&request.routing);
    case Len(10):
      return reader.Text(&request.client_rack);
    case Int(11):
      return reader.Int32(&request.current_leader_epoch.emplace());
    case Int(12):
      return reader.Int32(&request.last_fetched_epoch.emplace());
    case Len(13):
      return reader.View(&request.topic_id);
    default:
      return reader.Skip(field);
  }
}

bool ParseOpenField(WireReader& reader, const Field& field, WireFetchOpen& open) {
  switch (field.tag()) {
    case Int(1):
      return reader.Int32(&open.format);
    case Int(2):
      return reader.Int32(&open.isolation);
    case Int(3):
      return reader.Int32(&open.routing);
    case Len(4):
      return reader.Text(&open.client_id);
    case Len(5):
      return reader.Text(&open.client_rack);
    case Int(6):
      return reader.Int32(&open.max_batch_bytes);
    case Int(7):
      return reader.Int32(&open.min_bytes);
    case Int(8):
      return reader.Int32(&open.max_wait_ms);
    default:
      return reader.Skip(field);
  }
}

bool ParseAddField(WireReader& reader, const Field& field, WireFetchAdd& add) {
  switch (field.tag()) {
    case Int(1):
      return reader.Int32(&add.slot);
    case Len(2):
      return ParseInside(reader, [&](const Field& inner) {
        if (inner.tag() == Len(1)) return reader.Text(&add.topic);
        if (inner.tag() == Int(2)) return reader.Int32(&add.partition);
        return reader.Skip(inner);
      });
    case Len(3):
      return ParsePosition(reader, add.position);
    case Int(4):
      return reader.Int32(&add.current_leader_epoch.emplace());
    case Int(5):
      return reader.Int32(&add.last_fetched_epoch.emplace());
    case Len(6):
      return reader.View(&add.topic_id);
    default:
      return reader.Skip(field);
  }
}

// Another member of the oneof takes the place of what was there.
void Switch(WireFetchStreamRequest& request, WireFetchStreamRequest::Kind kind) {
  if (request.kind == kind) return;
  request = WireFetchStreamRequest();
  request.kind = kind;
}

bool ParseStreamField(WireReader& reader, const Field& field, WireFetchStreamRequest& request) {
  using Kind = WireFetchStreamRequest::Kind;
  switch (field.tag()) {
    case Len(1):
      Switch(request, Kind::kOpen);
      return ParseInside(
          reader, [&](const Field& inner) { return ParseOpenField(reader, inner, request.open); });
    case Len(2):
      Switch(request, Kind::kAdd);
      return ParseInside(
          reader, [&](const Field& inner) { return ParseAddField(reader, inner, request.add); });
    case Len(3):
      Switch(request, Kind::kRemove);
      return ParseInside(reader, [&](const Field& inner) {
        return inner.tag() == Int(1) ? reader.Int32(&request.remove_slot) : reader.Skip(inner);
      });
    case Int(4):
      Switch(request, Kind::kCredit);
      return reader.Int64(&request.credit_bytes);
    case Len(5):
      Switch(request, Kind::kRefreshAuthorization);
      return reader.Text(&request.refresh_authorization);
    default:
      return reader.Skip(field);
  }
}

Error Malformed(const char* message) {
  return Error(Reason::kInvalidArgument, std::string("the bytes are no ") + message +
                                             " (malformed Protobuf, or text that is not UTF-8)");
}

}  // namespace

Result<void> ParseFetchRequest(const Bytes& message, CopyArena& arena, WireFetchRequest& request) {
  WireReader reader(message, &arena);
  const bool fine = ParseAll(
      reader, [&](const Field& field) { return ParseRequestField(reader, field, request); });
  if (!fine) return Malformed("FetchRequest");
  return {};
}

Result<void> ParseFetchStreamRequest(const Bytes& message, CopyArena& arena,
                                     WireFetchStreamRequest& request) {
  WireReader reader(message, &arena);
  const bool fine = ParseAll(
      reader, [&](const Field& field) { return ParseStreamField(reader, field, request); });
  if (!fine) return Malformed("FetchStreamRequest");
  return {};
}

}  // namespace gregor
