#ifndef GREGOR_TESTS_BROKER_GRPC_WIRE_COMPARE_H_
#define GREGOR_TESTS_BROKER_GRPC_WIRE_COMPARE_H_

#include <google/protobuf/stubs/logging.h>

#include <string>
#include <string_view>

#include "broker/grpc/fetch_wire.h"
#include "broker/grpc/produce_wire.h"
#include "gregor/v1/fetch.pb.h"
#include "gregor/v1/produce.pb.h"

namespace gregor {

// What was parsed by hand and what the generated parser made of the same bytes, in one form, so
// that they can be compared: Parsed() of either gives the canonical serialization, or kMalformed.
inline constexpr char kMalformed[] = "malformed";

inline void FillSession(const WireProducerSession& wire, v1::ProducerSession& proto) {
  proto.set_producer_id(wire.producer_id);
  proto.set_producer_epoch(wire.producer_epoch);
  proto.set_base_sequence(wire.base_sequence);
  proto.set_transactional_id(std::string(wire.transactional_id));
}

inline void FillRecord(const NewRecord& wire, v1::Record& proto) {
  if (wire.key.has_value()) proto.set_key(std::string(*wire.key));
  if (wire.value.has_value()) proto.set_value(std::string(*wire.value));
  for (const RecordHeader& header : wire.headers) {
    v1::Header& copy = *proto.add_headers();
    copy.set_key(std::string(header.key));
    if (header.value.has_value()) copy.set_value(std::string(*header.value));
  }
  if (wire.timestamp != kNoTimestamp) proto.set_timestamp_ms(wire.timestamp.value);
}

inline v1::ProduceRequest ToProto(const WireProduceRequest& wire) {
  v1::ProduceRequest proto;
  proto.set_topic(std::string(wire.topic));
  if (wire.partition.has_value()) proto.set_partition(*wire.partition);
  for (const NewRecord& record : wire.records) FillRecord(record, *proto.add_records());
  proto.set_acks(static_cast<v1::Acks>(wire.acks));
  proto.set_request_id(std::string(wire.request_id));
  if (wire.producer.has_value()) FillSession(*wire.producer, *proto.mutable_producer());
  proto.set_compression(static_cast<v1::Compression>(wire.compression));
  proto.set_routing(static_cast<v1::Routing>(wire.routing));
  proto.set_topic_id(std::string(wire.topic_id));
  proto.set_acks_count(wire.acks_count);
  proto.set_receipt(wire.receipt);
  proto.set_record_batch(wire.record_batch.ToString());
  return proto;
}

inline v1::ProduceStreamRequest ToProto(const WireProduceStreamRequest& wire) {
  v1::ProduceStreamRequest proto;
  switch (wire.kind) {
    case WireProduceStreamRequest::Kind::kNone:
      break;
    case WireProduceStreamRequest::Kind::kOpen: {
      v1::ProduceOpen& open = *proto.mutable_open();
      open.set_acks(static_cast<v1::Acks>(wire.open.acks));
      open.set_routing(static_cast<v1::Routing>(wire.open.routing));
      if (wire.open.producer.has_value())
        FillSession(*wire.open.producer, *open.mutable_producer());
      open.set_client_id(std::string(wire.open.client_id));
      open.set_max_in_flight_bytes(wire.open.max_in_flight_bytes);
      open.set_max_in_flight_frames(wire.open.max_in_flight_frames);
      open.set_acks_count(wire.open.acks_count);
      open.set_receipt(wire.open.receipt);
      open.set_compression(static_cast<v1::Compression>(wire.open.compression));
      break;
    }
    case WireProduceStreamRequest::Kind::kFrame: {
      v1::ProduceFrame& frame = *proto.mutable_frame();
      frame.set_frame_id(wire.frame.frame_id);
      frame.set_topic(std::string(wire.frame.topic));
      if (wire.frame.partition.has_value()) frame.set_partition(*wire.frame.partition);
      frame.set_attempt(wire.frame.attempt);
      for (const NewRecord& record : wire.frame.records) FillRecord(record, *frame.add_records());
      frame.set_topic_id(std::string(wire.frame.topic_id));
      frame.set_base_sequence(wire.frame.base_sequence);
      frame.set_record_batch(wire.frame.record_batch.ToString());
      break;
    }
    case WireProduceStreamRequest::Kind::kRefreshAuthorization:
      proto.set_refresh_authorization(std::string(wire.refresh_authorization));
      break;
  }
  return proto;
}

inline void FillPosition(const WirePosition& wire, v1::Position& proto) {
  switch (wire.kind) {
    case WirePosition::Kind::kUnset:
      break;
    case WirePosition::Kind::kOffset:
      return proto.set_offset(wire.value);
    case WirePosition::Kind::kTimestampMs:
      return proto.set_timestamp_ms(wire.value);
    case WirePosition::Kind::kTail:
      return proto.set_tail(wire.value);
    case WirePosition::Kind::kAnchor:
      return proto.set_anchor(static_cast<v1::Position::Anchor>(wire.value));
  }
}

inline v1::FetchRequest ToProto(const WireFetchRequest& wire) {
  v1::FetchRequest proto;
  proto.set_topic(std::string(wire.topic));
  proto.set_partition(wire.partition);
  if (wire.position.kind != WirePosition::Kind::kUnset)
    FillPosition(wire.position, *proto.mutable_position());
  proto.set_max_wait_ms(wire.max_wait_ms);
  proto.set_min_bytes(wire.min_bytes);
  proto.set_max_bytes(wire.max_bytes);
  proto.set_format(static_cast<v1::RecordFormat>(wire.format));
  proto.set_isolation(static_cast<v1::Isolation>(wire.isolation));
  proto.set_routing(static_cast<v1::Routing>(wire.routing));
  proto.set_client_rack(std::string(wire.client_rack));
  if (wire.current_leader_epoch.has_value())
    proto.set_current_leader_epoch(*wire.current_leader_epoch);
  if (wire.last_fetched_epoch.has_value()) proto.set_last_fetched_epoch(*wire.last_fetched_epoch);
  proto.set_topic_id(std::string(wire.topic_id));
  return proto;
}

inline void FillAdd(const WireFetchAdd& wire, v1::FetchAdd& add) {
  add.set_slot(wire.slot);
  if (!wire.topic.empty()) add.mutable_partition()->set_topic(std::string(wire.topic));
  if (wire.partition != 0) add.mutable_partition()->set_partition(wire.partition);
  if (wire.position.kind != WirePosition::Kind::kUnset)
    FillPosition(wire.position, *add.mutable_position());
  if (wire.current_leader_epoch.has_value())
    add.set_current_leader_epoch(*wire.current_leader_epoch);
  if (wire.last_fetched_epoch.has_value()) add.set_last_fetched_epoch(*wire.last_fetched_epoch);
  if (!wire.topic_id.empty()) add.set_topic_id(std::string(wire.topic_id));
}

inline v1::FetchStreamRequest ToProto(const WireFetchStreamRequest& wire) {
  v1::FetchStreamRequest proto;
  switch (wire.kind) {
    case WireFetchStreamRequest::Kind::kNone:
      break;
    case WireFetchStreamRequest::Kind::kOpen: {
      v1::FetchOpen& open = *proto.mutable_open();
      open.set_format(static_cast<v1::RecordFormat>(wire.open.format));
      open.set_isolation(static_cast<v1::Isolation>(wire.open.isolation));
      open.set_routing(static_cast<v1::Routing>(wire.open.routing));
      open.set_client_id(std::string(wire.open.client_id));
      open.set_client_rack(std::string(wire.open.client_rack));
      open.set_max_batch_bytes(wire.open.max_batch_bytes);
      open.set_min_bytes(wire.open.min_bytes);
      open.set_max_wait_ms(wire.open.max_wait_ms);
      break;
    }
    case WireFetchStreamRequest::Kind::kAdd:
      FillAdd(wire.add, *proto.mutable_add());
      break;
    case WireFetchStreamRequest::Kind::kRemove:
      proto.mutable_remove()->set_slot(wire.remove_slot);
      break;
    case WireFetchStreamRequest::Kind::kCredit:
      proto.set_credit_bytes(wire.credit_bytes);
      break;
    case WireFetchStreamRequest::Kind::kRefreshAuthorization:
      proto.set_refresh_authorization(std::string(wire.refresh_authorization));
      break;
  }
  return proto;
}

// Leaves out what the hand-written parsers do not keep: offsets of records, unknown fields, -1 as
// the time (which means the same as none), and submessages that are there and empty.
inline void Reduce(v1::Record& record) {
  record.clear_offset();
  if (record.timestamp_ms() == -1) record.clear_timestamp_ms();
}
inline void Reduce(v1::ProduceRequest& request) {
  for (v1::Record& record : *request.mutable_records()) Reduce(record);
}
inline void Reduce(v1::ProduceStreamRequest& request) {
  if (!request.has_frame()) return;
  for (v1::Record& record : *request.mutable_frame()->mutable_records()) Reduce(record);
}
inline void Reduce(v1::FetchRequest& request) {
  if (request.position().at_case() == v1::Position::AT_NOT_SET) request.clear_position();
}
inline void Reduce(v1::FetchStreamRequest& request) {
  if (!request.has_add()) return;
  v1::FetchAdd& add = *request.mutable_add();
  if (add.position().at_case() == v1::Position::AT_NOT_SET) add.clear_position();
  if (add.partition().topic().empty() && add.partition().partition() == 0) add.clear_partition();
}

template <typename Proto>
std::string ParsedByProtobuf(std::string_view bytes) {
  const google::protobuf::LogSilencer silence;  // text that is no UTF-8 is logged
  Proto proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return kMalformed;
  proto.DiscardUnknownFields();
  Reduce(proto);
  return proto.SerializeAsString();
}

template <typename Wire>
std::string ParsedByHand(const Bytes& bytes,
                         Result<void> (*parse)(const Bytes&, CopyArena&, Wire&)) {
  CopyArena arena;
  Wire wire;
  if (!parse(bytes, arena, wire).ok()) return kMalformed;
  return ToProto(wire).SerializeAsString();
}

}  // namespace gregor

#endif  // GREGOR_TESTS_BROKER_GRPC_WIRE_COMPARE_H_
