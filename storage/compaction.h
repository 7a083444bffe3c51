#ifndef GREGOR_STORAGE_COMPACTION_H_
#define GREGOR_STORAGE_COMPACTION_H_

#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "storage/batch_filter.h"
#include "storage/key_map.h"
#include "storage/log_config.h"
#include "storage/log_directory.h"
#include "storage/segment.h"
#include "storage/segment_cursor.h"

namespace gregor {

// One round of compaction of one log, from the key map to the last segment.

// What it works on: the log as it was when the round began.
struct CompactionJob {
  TopicIdPartition id;
  std::vector<Segment> segments;  // complete ones, oldest first
  Offset dirty_start{0};          // an earlier round has been through everything before it
  Offset end{0};                  // of the last segment
  // Last offsets of batches that are kept, be it without records, and base offsets of such; in
  // order.
  std::vector<Offset> needed_ends;
  std::vector<Offset> needed_bases;
  LogConfig config;
  Timestamp now{0};
  size_t batch_bytes_max = 1u << 30;
  size_t memory_bytes = 0;  // of the key map
  KeyMap::HashKey hash_keys[2];
};

// Some adjacent segments, written anew as one. Its file is complete and durable, under its name
// with kUnfinishedSuffix.
struct CompactedGroup {
  std::vector<SegmentName> sources;
  Segment segment;
};

struct CompactionStep {
  uint64_t bytes = 0;  // read and written
  std::optional<CompactedGroup>
      group;                        // to be put in the place of its sources before the next step
  std::optional<Offset> clean_end;  // the round is through: everything before it is clean
};

// The round itself, in steps of about a megabyte, so that it can be slowed down, and ended between
// any two of them. First it maps the latest offset of each key from `dirty_start` on, as far as the
// memory goes; then it goes through all segments below that, and writes those anew from which
// something goes, or which are small enough to be merged. Offsets stay; each segment keeps its last
// batch, so that its end is known from its file.
// Thread: disk, one step at a time.
class Compaction {
 public:
  // REQUIRES: `directory` outlives it.
  Compaction(LogDirectory& directory, CompactionJob job);
  ~Compaction();

  // Fails with kStorageError where a segment cannot be read or is damaged, or what it writes cannot
  // be written (also kDiskFull): the round is over then.
  Result<CompactionStep> Step();
  // The group that the last step gave is in its sources' place. REQUIRES: no step is running.
  void NoteAdopted() { finished_.reset(); }
  // Removes what it has written and nobody adopted. REQUIRES: no step is running.
  void Discard();

 private:
  class Output;
  struct Group {
    size_t begin, end;  // of job_.segments
  };

  Result<void> MapSome();
  Result<void> OpenForMap();
  bool MapBatch(const SegmentCursor::Batch& batch);
  void PlanGroups();
  Result<void> OpenGroup();
  Result<void> BeginOutput();
  Result<void> OpenSource(size_t number, uint64_t position, Offset next_offset);
  Result<void> FilterSome(CompactionStep& step);
  Result<void> EndGroup(CompactionStep& step);
  bool IsNeeded(const SegmentCursor::Batch& batch) const;
  Result<std::optional<SegmentCursor::Batch>> NextBatch();
  Offset EndOf(size_t segment) const;

  LogDirectory& directory_;
  CompactionJob job_;
  KeyMap map_;
  std::optional<Offset> map_end_;  // once the map is made
  uint64_t step_bytes_ = 0;

  size_t source_ = 0;  // which segment is being read
  FilePtr file_;
  std::optional<SegmentCursor> cursor_;

  std::vector<Group> groups_;  // from the next one on, last one first
  std::unique_ptr<BatchFilter> filter_;
  std::unique_ptr<Output> output_;
  std::optional<SegmentName> finished_;  // a group that waits to be adopted
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_COMPACTION_H_
