#ifndef GREGOR_BASE_TYPES_H_
#define GREGOR_BASE_TYPES_H_

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "base/strong.h"

namespace gregor {

// The field's ids and counters; docs/glossary.md says what each means.
using Offset = Strong<int64_t, struct OffsetTag>;
using LeaderEpoch = Strong<int32_t, struct LeaderEpochTag>;
using PartitionEpoch = Strong<int32_t, struct PartitionEpochTag>;
using BrokerEpoch = Strong<int64_t, struct BrokerEpochTag>;
using NodeId = Strong<int32_t, struct NodeIdTag>;
using PartitionIndex = Strong<int32_t, struct PartitionIndexTag>;
using ProducerId = Strong<int64_t, struct ProducerIdTag>;
using ProducerEpoch = Strong<int16_t, struct ProducerEpochTag>;
// Sequence of a record of an idempotent producer; wraps from 2147483647 to 0. -1: none.
using Sequence = Strong<int32_t, struct SequenceTag>;
// Milliseconds since 1970-01-01 UTC; -1: none.
using Timestamp = Strong<int64_t, struct TimestampTag>;

constexpr Offset operator+(Offset offset, int64_t records) { return {offset.value + records}; }
constexpr Offset operator-(Offset offset, int64_t records) { return {offset.value - records}; }
constexpr int64_t operator-(Offset end, Offset begin) { return end.value - begin.value; }
// Records may have any time, and settings any number of milliseconds: what is too large or too
// small stays at the end of its range.
constexpr int64_t SaturatedSum(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b > 0 ? INT64_MAX : INT64_MIN;
}
constexpr int64_t SaturatedDifference(int64_t a, int64_t b) {
  int64_t difference = 0;
  if (!__builtin_sub_overflow(a, b, &difference)) return difference;
  return b < 0 ? INT64_MAX : INT64_MIN;
}
constexpr Timestamp operator+(Timestamp time, int64_t ms) { return {SaturatedSum(time.value, ms)}; }
constexpr Timestamp operator-(Timestamp time, int64_t ms) {
  return {SaturatedDifference(time.value, ms)};
}
constexpr int64_t operator-(Timestamp end, Timestamp begin) {
  return SaturatedDifference(end.value, begin.value);
}

inline constexpr ProducerId kNoProducerId{-1};
inline constexpr ProducerEpoch kNoProducerEpoch{-1};
inline constexpr Sequence kNoSequence{-1};
inline constexpr Timestamp kNoTimestamp{-1};
inline constexpr LeaderEpoch kNoLeaderEpoch{-1};

// A sequence `count` records further on, wrapping as KIP-98 says.
constexpr Sequence Advance(Sequence sequence, int32_t count) {
  return {static_cast<int32_t>((static_cast<int64_t>(sequence.value) + count) & 0x7fffffff)};
}

// 128 random bits that name a topic, a log directory or a cluster. All zero: none.
template <typename Tag>
struct Uuid {
  std::array<uint8_t, 16> bytes{};

  friend constexpr auto operator<=>(const Uuid&, const Uuid&) = default;
  bool IsZero() const { return *this == Uuid{}; }
  // 22 characters of unpadded URL-safe base64, as Kafka prints ids; safe as a file name.
  std::string ToString() const;
  // Takes what ToString() gives; nullopt for anything else.
  static std::optional<Uuid> Parse(std::string_view text);
  friend std::ostream& operator<<(std::ostream& out, const Uuid& uuid) {
    return out << uuid.ToString();
  }
};

using TopicId = Uuid<struct TopicIdTag>;
using DirectoryId = Uuid<struct DirectoryIdTag>;
using ClusterId = Uuid<struct ClusterIdTag>;

std::string UuidToString(const std::array<uint8_t, 16>& bytes);
bool ParseUuid(std::string_view text, std::array<uint8_t, 16>* bytes);

template <typename Tag>
std::string Uuid<Tag>::ToString() const {
  return UuidToString(bytes);
}
template <typename Tag>
std::optional<Uuid<Tag>> Uuid<Tag>::Parse(std::string_view text) {
  Uuid uuid;
  if (!ParseUuid(text, &uuid.bytes)) return std::nullopt;
  return uuid;
}

// A partition by its topic's id: what files, streams and records name it by.
struct TopicIdPartition {
  TopicId topic_id;
  PartitionIndex partition;

  friend constexpr auto operator<=>(const TopicIdPartition&, const TopicIdPartition&) = default;
  // "<topic id>-<partition>", the name of its folder.
  std::string ToString() const;
  static std::optional<TopicIdPartition> Parse(std::string_view text);
  friend std::ostream& operator<<(std::ostream& out, const TopicIdPartition& id) {
    return out << id.ToString();
  }
};

}  // namespace gregor

template <typename Tag>
struct std::hash<gregor::Uuid<Tag>> {
  size_t operator()(const gregor::Uuid<Tag>& uuid) const {
    uint64_t low;
    __builtin_memcpy(&low, uuid.bytes.data() + 8, sizeof low);
    return low;
  }
};
template <>
struct std::hash<gregor::TopicIdPartition> {
  size_t operator()(const gregor::TopicIdPartition& id) const {
    return std::hash<gregor::TopicId>()(id.topic_id) * 0x9e3779b97f4a7c15u +
           static_cast<uint32_t>(id.partition.value);
  }
};

#endif  // GREGOR_BASE_TYPES_H_
