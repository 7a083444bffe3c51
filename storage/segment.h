#ifndef GREGOR_STORAGE_SEGMENT_H_
#define GREGOR_STORAGE_SEGMENT_H_

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "base/record_batch.h"
#include "storage/segment_index.h"

namespace gregor {

// What names the files of a segment: the offset at which it begins, and how often compaction wrote
// it anew. A file never changes what it means under its name: what replaces it has a higher
// generation. Thread: any.
struct SegmentName {
  Offset base{0};
  uint32_t generation = 0;

  friend auto operator<=>(const SegmentName&, const SegmentName&) = default;
  // As the files are called, without their suffix: "<20 digits>" or "<20 digits>-<generation>".
  std::string ToString() const;
  std::string FileName(std::string_view suffix) const;
  // Takes what FileName(suffix) gives; nullopt for anything else.
  static std::optional<SegmentName> Parse(std::string_view file_name, std::string_view suffix);
  friend std::ostream& operator<<(std::ostream& out, const SegmentName& name) {
    return out << name.ToString();
  }
};

// One segment, as its log holds it. Thread: the log's.
struct Segment {
  SegmentName name;
  uint64_t size = 0;              // of its batches; the file may be longer
  Timestamp first_timestamp{-1};  // largest time of its first batch
  Timestamp max_timestamp{-1};    // largest time of all of them
  // When something was last appended, by the wall clock; what a start finds has the start's time.
  Timestamp appended_at{-1};
  uint32_t chain = 0;  // of the active one: see ChainCrc()
  // Whether offsets are missing between or before its batches: compaction leaves such gaps.
  bool has_gaps = false;
  // Of the active one always there; of older ones loaded when it is needed.
  std::shared_ptr<SegmentIndex> index = nullptr;

  Offset base() const { return name.base; }
  // Counts a batch in that follows at `size`. `next_offset`: where the batch before it ended.
  // REQUIRES: index != nullptr.
  void Note(const BatchHeader& header, Offset next_offset, int64_t index_interval_bytes);
};

// The chain after a batch: covers its offset, length, epoch and checksum, so that a batch in the
// wrong place shows. Thread: any.
uint32_t ChainCrc(uint32_t chain, const BatchHeader& header);

}  // namespace gregor

#endif  // GREGOR_STORAGE_SEGMENT_H_
