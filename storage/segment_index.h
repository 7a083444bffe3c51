#ifndef GREGOR_STORAGE_SEGMENT_INDEX_H_
#define GREGOR_STORAGE_SEGMENT_INDEX_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/record_batch.h"
#include "base/result.h"
#include "base/types.h"

namespace gregor {

// Where batches of one segment lie, by offset and by time: an entry for about every
// index.interval.bytes, fewer in a segment for which that would be more than kEntriesMax. Never
// needed to find data that is there, only to find it fast; rebuilt from the segment when it is
// missing or damaged. Format: docs/formats.md "Segment index". Thread: its owner's.
class SegmentIndex {
 public:
  // 384 KiB: what an index costs at most. A segment of 1 GiB gets an entry per 64 to 128 KiB.
  static constexpr size_t kEntriesMax = 16384;

  struct Entry {
    Offset base;               // of the batch
    uint64_t position = 0;     // of its first byte
    Timestamp max_before{-1};  // largest time of all batches before it
    friend bool operator==(const Entry&, const Entry&) = default;
  };

  // Notes the next batch, which lies at `position`.
  void Note(const BatchHeader& header, uint64_t position, int64_t interval_bytes);
  // The last entry at or before `offset`; nullopt where the first batch begins after it.
  std::optional<Entry> Floor(Offset offset) const;
  // The last entry before which no batch has a time of `time` or later; nullopt in an empty
  // segment.
  std::optional<Entry> FloorByTime(Timestamp time) const;
  // The first entry behind `position`; nullptr: none.
  const Entry* After(uint64_t position) const;

  const std::vector<Entry>& entries() const { return entries_; }
  Timestamp max_timestamp() const { return max_timestamp_; }
  size_t memory_bytes() const { return entries_.size() * sizeof(Entry); }
  // False where the segment is damaged, and the index has only what lies before that.
  bool is_whole() const { return is_whole_; }
  void EndEarly() { is_whole_ = false; }

  // Appends to / takes from the front of a file's content.
  void Encode(std::string* out) const;
  static std::optional<SegmentIndex> Take(std::string_view* rest);

 private:
  std::vector<Entry> entries_;
  Timestamp max_timestamp_{-1};
  bool is_whole_ = true;
  uint64_t spacing_ = 0;  // bytes from one entry to the next at least, since it was thinned out
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_SEGMENT_INDEX_H_
