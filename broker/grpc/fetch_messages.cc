#include "broker/grpc/fetch_messages.h"

#include <string>

#include "broker/grpc/byte_buffer.h"
#include "broker/grpc/status.h"
#include "broker/grpc/wire_writer.h"

namespace gregor {
namespace {

constexpr uint32_t kPayload = 15;

WireWriter EpochEndOf(const EpochEnd& end) {
  WireWriter message;
  message.Int(1, end.epoch.value);
  message.Int(2, end.end.value);
  return message;
}

// What FetchResponse begins with.
WireWriter ResponseHead(const Fetched& fetched, Offset next_offset) {
  WireWriter head;
  head.Int(1, next_offset.value);
  head.Int(2, fetched.high_watermark.value);
  head.Int(3, fetched.last_stable_offset.value);
  head.Int(4, fetched.log_start.value);
  head.Int(5, fetched.leader_epoch.value);
  return head;
}

WireWriter DataHead(int32_t slot, const Fetched& fetched, Offset next_offset) {
  WireWriter head;
  head.Int(1, slot);
  head.Int(2, next_offset.value);
  head.Int(3, fetched.high_watermark.value);
  head.Int(4, fetched.last_stable_offset.value);
  head.Int(5, fetched.log_start.value);
  head.Int(6, fetched.leader_epoch.value);
  return head;
}

// A FetchStreamResponse whose FetchData is `head` and then `payload`.
grpc::ByteBuffer DataMessage(const WireWriter& head, const Bytes& payload) {
  WireWriter message;
  message.Length(2, head.bytes().size() + payload.size());
  return MakeMessage(message.bytes() + head.bytes(), payload);
}

grpc::ByteBuffer EventMessage(const WireWriter& event) {
  WireWriter message;
  message.Message(3, event);
  return MakeMessage(message.bytes());
}

}  // namespace

grpc::ByteBuffer EncodeFetchResponse(const Fetched& fetched) {
  WireWriter head = ResponseHead(fetched, fetched.next_offset);
  if (fetched.diverging.has_value()) head.Message(9, EpochEndOf(*fetched.diverging));
  if (!fetched.batches.empty()) head.Length(kPayload, fetched.batches.size());
  return MakeMessage(head.bytes(), fetched.batches);
}

grpc::ByteBuffer EncodeFetchResponse(const Fetched& fetched, const EncodedRecords& records) {
  WireWriter head = ResponseHead(fetched, records.next_offset);
  if (fetched.diverging.has_value()) head.Message(9, EpochEndOf(*fetched.diverging));
  return MakeMessage(head.bytes(), records.bytes);
}

grpc::ByteBuffer EncodeReadResponse(std::string_view topic_id, PartitionIndex partition,
                                    const EncodedRecords& records, Offset high_watermark) {
  WireWriter message;
  message.Int(1, partition.value);
  message.Int(3, records.next_offset.value);
  message.Int(4, high_watermark.value);
  message.Bytes(5, topic_id);
  return MakeMessage(message.bytes(), records.bytes);
}

grpc::ByteBuffer EncodeFetchOpened(std::string_view stream_id, NodeId broker_id) {
  WireWriter opened;
  opened.Bytes(1, stream_id);
  opened.Int(2, broker_id.value);
  WireWriter message;
  message.Message(1, opened);
  return MakeMessage(message.bytes());
}

grpc::ByteBuffer EncodeFetchData(int32_t slot, const Fetched& fetched) {
  WireWriter head = DataHead(slot, fetched, fetched.next_offset);
  head.Int(9, static_cast<int64_t>(fetched.batches.size()));
  if (!fetched.batches.empty()) head.Length(kPayload, fetched.batches.size());
  return DataMessage(head, fetched.batches);
}

grpc::ByteBuffer EncodeFetchData(int32_t slot, const Fetched& fetched,
                                 const EncodedRecords& records) {
  WireWriter head = DataHead(slot, fetched, records.next_offset);
  head.Int(9, static_cast<int64_t>(records.bytes.size()));
  return DataMessage(head, records.bytes);
}

grpc::ByteBuffer EncodeCaughtUp(int32_t slot, Offset offset) {
  WireWriter event;
  event.Int(1, slot);
  event.Present(2, offset.value);
  return EventMessage(event);
}

grpc::ByteBuffer EncodeDiverged(int32_t slot, const EpochEnd& end) {
  WireWriter event;
  event.Int(1, slot);
  event.Message(4, EpochEndOf(end));
  return EventMessage(event);
}

grpc::ByteBuffer EncodeSlotError(int32_t slot, const Error& error) {
  WireWriter event;
  event.Int(1, slot);
  event.Bytes(5, ToRpcStatus(error).SerializeAsString());
  return EventMessage(event);
}

grpc::ByteBuffer EncodeFetchDraining(Duration close_in) {
  WireWriter draining;
  draining.Int(1, std::chrono::duration_cast<std::chrono::milliseconds>(close_in).count());
  WireWriter message;
  message.Message(4, draining);
  return MakeMessage(message.bytes());
}

grpc::ByteBuffer EncodeFetchHeartbeat() { return MakeMessage({"\x2a\x00", 2}); }

}  // namespace gregor
