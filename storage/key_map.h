#ifndef GREGOR_STORAGE_KEY_MAP_H_
#define GREGOR_STORAGE_KEY_MAP_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace gregor {

// The latest offset of each key of a log, within a bound of memory: 24 bytes a key, for 128 bits of
// keyed hash and the offset. Keys are not kept, so two that had the same hash would be taken for
// one: with a hash key that nobody knows and that changes with each map, the chance of that is
// below 1 in 10^20 for a billion keys. Thread: its owner's.
class KeyMap {
 public:
  using HashKey = std::array<uint8_t, 16>;

  // `keys_expected`: a guess; the map grows beyond it as far as `bytes_max` allows.
  // REQUIRES: `first` and `second` are independent.
  KeyMap(size_t bytes_max, size_t keys_expected, const HashKey& first, const HashKey& second);

  // Notes that the record at `offset` has `key`. REQUIRES: offsets rise. False if there is no room
  // for another key; the map is then as it was.
  bool Put(std::string_view key, Offset offset);
  // nullopt if the key was not put.
  std::optional<Offset> Find(std::string_view key) const;

  size_t size() const { return used_; }
  size_t memory_bytes() const { return slots_.size() * sizeof(Slot); }

 private:
  struct Slot {
    uint64_t first = 0, second = 0;
    int64_t offset = -1;  // -1: free
  };
  Slot HashOf(std::string_view key) const;
  // Of the slot that has the hash, or of the free one where it belongs.
  size_t SlotOf(const Slot& hash) const;
  bool MakeRoom();

  const size_t bytes_max_;
  const HashKey first_key_, second_key_;
  std::vector<Slot> slots_;
  size_t used_ = 0;
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_KEY_MAP_H_
