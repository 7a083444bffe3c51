#include "broker/grpc/produce_wire.h"

#include <algorithm>
#include <utility>

namespace gregor {
namespace {

using Field = WireReader::Field;
using wire::Int;
using wire::Len;
using wire::ParseAll;
using wire::ParseInside;

// How far the records of one message may go, and what became of it.
struct RecordLimit {
  size_t left = kWireRecordsMax;
  bool exceeded = false;

  bool Take() {
    exceeded = left == 0;
    if (!exceeded) --left;
    return !exceeded;
  }
};

bool ParseHeaderField(WireReader& reader, const Field& field, RecordHeader& header) {
  switch (field.tag()) {
    case Len(1):
      return reader.Text(&header.key);
    case Len(2):
      return reader.View(&header.value.emplace());
    default:
      return reader.Skip(field);
  }
}

bool ParseRecordField(WireReader& reader, const Field& field, RecordLimit& limit,
                      NewRecord& record) {
  int64_t ignored;
  switch (field.tag()) {
    case Len(1):
      return reader.View(&record.key.emplace());
    case Len(2):
      return reader.View(&record.value.emplace());
    case Len(3): {
      if (!limit.Take()) return false;
      RecordHeader& header = record.headers.emplace_back();
      return ParseInside(
          reader, [&](const Field& inner) { return ParseHeaderField(reader, inner, header); });
    }
    case Int(4):
      return reader.Int64(&record.timestamp.value);
    case Int(5):
      return reader.Int64(&ignored);
    default:
      return reader.Skip(field);
  }
}

bool AddRecord(WireReader& reader, RecordLimit& limit, std::vector<NewRecord>& records) {
  std::string_view bytes;
  if (!limit.Take() || !reader.View(&bytes)) return false;
  if (records.empty()) {
    // As many more of the same size as fit, but not without limit: the rest may be something else.
    records.reserve(std::min<size_t>(1024, 1 + reader.left() / (bytes.size() + 2)));
  }
  NewRecord& record = records.emplace_back();
  WireReader inside(bytes);
  return ParseAll(
      inside, [&](const Field& field) { return ParseRecordField(inside, field, limit, record); });
}

bool ParseSessionField(WireReader& reader, const Field& field, WireProducerSession& session) {
  switch (field.tag()) {
    case Int(1):
      return reader.Int64(&session.producer_id);
    case Int(2):
      return reader.Int32(&session.producer_epoch);
    case Int(3):
      return reader.Int32(&session.base_sequence);
    case Len(4):
      return reader.Text(&session.transactional_id);
    default:
      return reader.Skip(field);
  }
}

bool ParseSession(WireReader& reader, std::optional<WireProducerSession>& session) {
  if (!session.has_value()) session.emplace();
  return ParseInside(
      reader, [&](const Field& field) { return ParseSessionField(reader, field, *session); });
}

bool ParseRequestField(WireReader& reader, const Field& field, RecordLimit& limit,
                       WireProduceRequest& request) {
  switch (field.tag()) {
    case Len(1):
      return reader.Text(&request.topic);
    case Int(2):
      return reader.Int32(&request.partition.emplace());
    case Len(3):
      return AddRecord(reader, limit, request.records);
    case Int(4):
      return reader.Int32(&request.acks);
    case Len(5):
      return reader.Text(&request.request_id);
    case Len(6):
      return ParseSession(reader, request.producer);
    case Int(7):
      return reader.Int32(&request.compression);
    case Int(8):
      return reader.Int32(&request.routing);
    case Len(9):
      return reader.View(&request.topic_id);
    case Int(10):
      return reader.Int32(&request.acks_count);
    case Int(11):
      return reader.Bool(&request.receipt);
    case Len(15):
      return reader.Share(&request.record_batch);
    default:
      return reader.Skip(field);
  }
}

bool ParseOpenField(WireReader& reader, const Field& field, WireProduceOpen& open) {
  switch (field.tag()) {
    case Int(1):
      return reader.Int32(&open.acks);
    case Int(2):
      return reader.Int32(&open.routing);
    case Len(3):
      return ParseSession(reader, open.producer);
    case Len(4):
      return reader.Text(&open.client_id);
    case Int(5):
      return reader.Int64(&open.max_in_flight_bytes);
    case Int(6):
      return reader.Int32(&open.max_in_flight_frames);
    case Int(7):
      return reader.Int32(&open.acks_count);
    case Int(8):
      return reader.Bool(&open.receipt);
    case Int(9):
      return reader.Int32(&open.compression);
    default:
      return reader.Skip(field);
  }
}

bool ParseFrameField(WireReader& reader, const Field& field, RecordLimit& limit,
                     WireProduceFrame& frame) {
  switch (field.tag()) {
    case Int(1):
      return reader.Int64(&frame.frame_id);
    case Len(2):
      return reader.Text(&frame.topic);
    case Int(3):
      return reader.Int32(&frame.partition.emplace());
    case Int(4):
      return reader.Int32(&frame.attempt);
    case Len(5):
      return AddRecord(reader, limit, frame.records);
    case Len(6):
      return reader.View(&frame.topic_id);
    case Int(7):
      return reader.Int32(&frame.base_sequence);
    case Len(15):
      return reader.Share(&frame.record_batch);
    default:
      return reader.Skip(field);
  }
}

// Another member of the oneof takes the place of what was there.
void Switch(WireProduceStreamRequest& request, WireProduceStreamRequest::Kind kind) {
  if (request.kind == kind) return;
  request = WireProduceStreamRequest();
  request.kind = kind;
}

bool ParseStreamField(WireReader& reader, const Field& field, RecordLimit& limit,
                      WireProduceStreamRequest& request) {
  using Kind = WireProduceStreamRequest::Kind;
  switch (field.tag()) {
    case Len(1):
      Switch(request, Kind::kOpen);
      return ParseInside(
          reader, [&](const Field& inner) { return ParseOpenField(reader, inner, request.open); });
    case Len(2):
      Switch(request, Kind::kFrame);
      return ParseInside(reader, [&](const Field& inner) {
        return ParseFrameField(reader, inner, limit, request.frame);
      });
    case Len(3):
      Switch(request, Kind::kRefreshAuthorization);
      return reader.Text(&request.refresh_authorization);
    default:
      return reader.Skip(field);
  }
}

Error ParseFailure(const char* message, const RecordLimit& limit) {
  if (limit.exceeded) {
    return Error(Reason::kBatchTooLarge, "more than " + std::to_string(kWireRecordsMax) +
                                             " records and headers in one message: split it")
        .With("limit_records", std::to_string(kWireRecordsMax));
  }
  return Error(Reason::kInvalidArgument, std::string("the bytes are no ") + message +
                                             " (malformed Protobuf, or text that is not UTF-8)");
}

}  // namespace

Result<void> ParseProduceRequest(const Bytes& message, CopyArena& arena,
                                 WireProduceRequest& request) {
  WireReader reader(message, &arena);
  RecordLimit limit;
  const bool fine = ParseAll(
      reader, [&](const Field& field) { return ParseRequestField(reader, field, limit, request); });
  if (fine) return {};
  return ParseFailure("ProduceRequest", limit).With("outcome", "NOT_APPLIED");
}

Result<void> ParseProduceStreamRequest(const Bytes& message, CopyArena& arena,
                                       WireProduceStreamRequest& request) {
  WireReader reader(message, &arena);
  RecordLimit limit;
  const bool fine = ParseAll(
      reader, [&](const Field& field) { return ParseStreamField(reader, field, limit, request); });
  if (fine) return {};
  return ParseFailure("ProduceStreamRequest", limit);
}

}  // namespace gregor
