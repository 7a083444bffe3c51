#ifndef GREGOR_STORAGE_REQUEST_IDS_H_
#define GREGOR_STORAGE_REQUEST_IDS_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "base/types.h"

namespace gregor {

// The request ids that a log remembers, oldest first: what a window of time and count needs, in
// about 45 bytes each (an entry, and a slot of 4 bytes in a hash table that is 0.3 to 0.8 full).
// Thread: its owner's.
class RequestIds {
 public:
  struct Entry {
    ProducerId id{-1};  // -1: replaced by a later entry
    Offset base_offset{0};
    Timestamp noted{0};
    Sequence content{-1};
    int32_t last_offset_delta = 0;
  };

  // nullptr if `id` is not remembered. The pointer lasts until the next change.
  const Entry* Find(ProducerId id) const;
  // Adds `entry` as the youngest; replaces one with the same id.
  void Add(const Entry& entry);
  // REQUIRES: !empty().
  void DropOldest();
  const Entry& oldest() const { return entries_.front(); }

  // Including replaced ones, which count until they are the oldest.
  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  const std::deque<Entry>& entries() const { return entries_; }
  size_t memory_bytes() const;

 private:
  // Place of an entry in the order of all that were ever added, modulo 2^32.
  using Number = uint32_t;
  static constexpr Number kFree = UINT32_MAX;

  const Entry& At(Number number) const { return entries_[number - first_]; }
  Entry& At(Number number) { return entries_[number - first_]; }
  size_t Home(ProducerId id) const;
  // Slot of `id`, or the free one where it belongs. REQUIRES: !slots_.empty().
  size_t SlotOf(ProducerId id) const;
  void Free(size_t slot);
  // Numbers the entries from 0 and fills a table that fits them.
  void Rebuild();

  std::deque<Entry> entries_;
  Number first_ = 0;           // of entries_.front()
  std::vector<Number> slots_;  // linear probing; a power of two, or empty
  size_t used_ = 0;            // slots that are not free
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_REQUEST_IDS_H_
