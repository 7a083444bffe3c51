#ifndef GREGOR_BASE_MURMUR2_H_
#define GREGOR_BASE_MURMUR2_H_

#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/types.h"

namespace gregor {

// MurmurHash2 (Austin Appleby, public domain), 32 bits, with the seed that Kafka's clients use for
// keys. Thread: any.
inline uint32_t Murmur2(std::string_view data) {
  constexpr uint32_t kMultiplier = 0x5bd1e995;
  const auto* bytes = reinterpret_cast<const uint8_t*>(data.data());
  size_t left = data.size();
  uint32_t hash = 0x9747b28cu ^ static_cast<uint32_t>(left);
  for (; left >= 4; bytes += 4, left -= 4) {
    uint32_t word;
    std::memcpy(&word, bytes, sizeof word);
    word *= kMultiplier;
    word ^= word >> 24;
    hash = hash * kMultiplier ^ word * kMultiplier;
  }
  if (left > 2) hash ^= static_cast<uint32_t>(bytes[2]) << 16;
  if (left > 1) hash ^= static_cast<uint32_t>(bytes[1]) << 8;
  if (left > 0) hash = (hash ^ bytes[0]) * kMultiplier;
  hash = (hash ^ hash >> 13) * kMultiplier;
  return hash ^ hash >> 15;
}

// The partition that Kafka's default partitioner gives `key`. REQUIRES: partition_count > 0.
inline PartitionIndex PartitionOfKey(std::string_view key, int32_t partition_count) {
  return {
      static_cast<int32_t>((Murmur2(key) & 0x7fffffff) % static_cast<uint32_t>(partition_count))};
}

}  // namespace gregor

#endif  // GREGOR_BASE_MURMUR2_H_
