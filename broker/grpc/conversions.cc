#include "broker/grpc/conversions.h"

#include <algorithm>
#include <string>

#include "gregor/v1/types.pb.h"

namespace gregor {
namespace {

// What all clients take, unless they were told to take less.
constexpr size_t kAnswerBytesMaxLeast = 3u << 20;

Error UnknownValue(const char* field, int64_t value) {
  return Error(Reason::kInvalidArgument, std::string(field) + " " + std::to_string(value) +
                                             " is not known to this version of the server")
      .With("field", field);
}

}  // namespace

Result<TopicRef> TopicOf(std::string_view name, std::string_view id) {
  TopicRef topic;
  topic.name = name;
  if (id.empty()) {
    if (name.empty()) return Error(Reason::kInvalidArgument, "topic is missing: name one");
    return topic;
  }
  TopicId bytes;
  if (id.size() != bytes.bytes.size()) {
    return Error(Reason::kInvalidArgument,
                 "topic_id has " + std::to_string(id.size()) + " bytes: an id has 16")
        .With("field", "topic_id");
  }
  std::copy(id.begin(), id.end(), bytes.bytes.begin());
  topic.id = bytes;
  return topic;
}

Result<AckRule> AcksOf(int32_t acks, int32_t count, bool receipt) {
  AckRule rule;
  rule.receipt = receipt;
  switch (acks) {
    case v1::ACKS_UNSPECIFIED:
    case v1::ACKS_ALL:
      return rule;
    case v1::ACKS_COUNT:
      rule.acks = Acks::kCount;
      rule.count = count;
      return rule;
    case v1::ACKS_LEADER:
      rule.acks = Acks::kLeader;
      return rule;
    case v1::ACKS_NONE:
      rule.acks = Acks::kNone;
      return rule;
    default:
      return UnknownValue("acks", acks);
  }
}

Result<Codec> CodecOf(int32_t compression) {
  switch (compression) {
    case v1::COMPRESSION_UNSPECIFIED:
    case v1::COMPRESSION_NONE:
      return Codec::kNone;
    case v1::COMPRESSION_GZIP:
      return Codec::kGzip;
    case v1::COMPRESSION_SNAPPY:
      return Codec::kSnappy;
    case v1::COMPRESSION_LZ4:
      return Codec::kLz4;
    case v1::COMPRESSION_ZSTD:
      return Codec::kZstd;
    default:
      return UnknownValue("compression", compression);
  }
}

// Every broker serves every call itself as long as there is one.
Result<void> CheckRouting(int32_t routing) {
  if (routing < v1::ROUTING_UNSPECIFIED || routing > v1::ROUTING_DIRECT)
    return UnknownValue("routing", routing);
  return {};
}

Result<Isolation> IsolationOf(int32_t isolation) {
  switch (isolation) {
    case v1::ISOLATION_UNSPECIFIED:
    case v1::ISOLATION_READ_COMMITTED:
      return Isolation::kReadCommitted;
    case v1::ISOLATION_READ_UNCOMMITTED:
      return Isolation::kReadUncommitted;
    default:
      return UnknownValue("isolation", isolation);
  }
}

Result<Position> PositionOf(const WirePosition& position) {
  const auto not_negative = [&](const char* field, Position::Kind kind) -> Result<Position> {
    if (position.value >= 0) return Position{kind, position.value};
    return Error(Reason::kInvalidArgument, std::string("position.") + field +
                                               " is negative: " + std::to_string(position.value) +
                                               "; for the ends of the log there is anchor")
        .With("field", std::string("position.") + field);
  };
  switch (position.kind) {
    case WirePosition::Kind::kUnset:
      return Position{Position::Kind::kEarliest, 0};
    case WirePosition::Kind::kOffset:
      return not_negative("offset", Position::Kind::kOffset);
    case WirePosition::Kind::kTimestampMs:
      return not_negative("timestamp_ms", Position::Kind::kTimestamp);
    case WirePosition::Kind::kTail:
      return not_negative("tail", Position::Kind::kTail);
    case WirePosition::Kind::kAnchor:
      break;
  }
  switch (position.value) {
    case v1::Position::ANCHOR_UNSPECIFIED:
    case v1::Position::ANCHOR_EARLIEST:
      return Position{Position::Kind::kEarliest, 0};
    case v1::Position::ANCHOR_LATEST:
      return Position{Position::Kind::kLatest, 0};
    case v1::Position::ANCHOR_MAX_TIMESTAMP:
      return Position{Position::Kind::kMaxTimestamp, 0};
    case v1::Position::ANCHOR_COMMITTED:
      return Error(Reason::kInvalidArgument,
                   "ANCHOR_COMMITTED needs a consumer group: give an offset, or another anchor")
          .With("field", "position.anchor");
    default:
      return UnknownValue("position.anchor", position.value);
  }
}

Result<Position> PositionOf(const v1::Position& position) {
  switch (position.at_case()) {
    case v1::Position::kOffset:
      return PositionOf({WirePosition::Kind::kOffset, position.offset()});
    case v1::Position::kTimestampMs:
      return PositionOf({WirePosition::Kind::kTimestampMs, position.timestamp_ms()});
    case v1::Position::kTail:
      return PositionOf({WirePosition::Kind::kTail, position.tail()});
    case v1::Position::kAnchor:
      return PositionOf({WirePosition::Kind::kAnchor, position.anchor()});
    case v1::Position::AT_NOT_SET:
      break;
  }
  return PositionOf(WirePosition());
}

Result<FetchFormat> FetchFormatOf(int32_t format) {
  switch (format) {
    case v1::RECORD_FORMAT_UNSPECIFIED:
    case v1::RECORD_FORMAT_RECORDS:
      return FetchFormat::kRecords;
    case v1::RECORD_FORMAT_BATCHES:
      return FetchFormat::kBatches;
    default:
      return UnknownValue("format", format);
  }
}

std::optional<LeaderEpoch> EpochOf(std::optional<int32_t> epoch) {
  if (!epoch.has_value()) return std::nullopt;
  return LeaderEpoch{*epoch};
}

size_t AnswerBytesLimit(const BrokerApi& broker) {
  return std::max(kAnswerBytesMaxLeast, broker.message_bytes_limit());
}

Error AtPartition(Error error, const std::string& topic, PartitionIndex partition) {
  error.message = "partition " + std::to_string(partition.value) + " of topic \"" + topic +
                  "\": " + error.message;
  return std::move(error).With("topic", topic).With("partition", std::to_string(partition.value));
}

Error AtPartition(Error error, const BrokerApi& broker, const TopicRef& topic,
                  PartitionIndex partition) {
  if (!topic.name.empty() || !topic.id.has_value())
    return AtPartition(std::move(error), topic.name, partition);
  const ImagePtr image = broker.image();
  const TopicPtr found = image == nullptr ? nullptr : image->Topic(*topic.id);
  return AtPartition(std::move(error), found == nullptr ? topic.id->ToString() : found->name,
                     partition);
}

}  // namespace gregor
