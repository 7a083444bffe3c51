#ifndef GREGOR_STORAGE_LOG_FILES_H_
#define GREGOR_STORAGE_LOG_FILES_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/record_batch.h"
#include "storage/epoch_cache.h"
#include "storage/file_system.h"
#include "storage/log_directory.h"
#include "storage/producer_state.h"
#include "storage/segment_index.h"

namespace gregor {

// The files of one log, and what is told from them. Thread: disk, unless said otherwise.

// One segment, as the log holds it. Thread: the log's.
struct Segment {
  Offset base{0};
  uint64_t size = 0;   // of its batches; the file may be longer
  uint32_t chain = 0;  // running CRC-32C over the headers of its batches, see ChainCrc()
  // Of the active segment always there; of older ones loaded when it is needed.
  std::shared_ptr<SegmentIndex> index;
  Timestamp max_timestamp{-1};  // of older segments known once the index was loaded
};

// "<20 digits>.<suffix>". Thread: any.
std::string SegmentFileName(Offset base, std::string_view suffix);
std::optional<Offset> ParseSegmentFileName(std::string_view name, std::string_view suffix);

// The chain after a batch: covers its offset, length, epoch and checksum, so that a batch in the
// wrong place shows.
uint32_t ChainCrc(uint32_t chain, const BatchHeader& header);

// What a log was at some offset up to which everything was durable: saves a restart from reading
// the logs. File "checkpoint"; format: docs/formats.md.
struct LogCheckpoint {
  Offset end{0};
  Segment active;  // with its index
  EpochCache epochs;
  ProducerState producers;

  // With the log's producers, which are not copied for it.
  std::string EncodeWith(const ProducerState& of_log) const;
  // Fails with kStorageError where it is damaged.
  static Result<LogCheckpoint> Decode(std::string_view text, const ProducerState::Options& options);
};

// Index file of a segment that is complete.
Result<void> WriteIndexFile(FileSystem& files, const std::string& folder, const Segment& segment);
// nullopt where it is missing, damaged, or of another size of the segment.
std::optional<SegmentIndex> ReadIndexFile(FileSystem& files, const std::string& folder,
                                          const Segment& segment);

// The index of a segment that is complete: from its file, or built again (and written). Fails with
// kStorageError where the segment cannot be read.
Result<std::shared_ptr<SegmentIndex>> LoadIndex(LogDirectory& directory, const TopicIdPartition& id,
                                                const Segment& segment, size_t batch_bytes_max,
                                                int64_t interval_bytes);

// Walks the batches of a segment file from `position` on up to `end`, in windows of a megabyte.
// `visit` gets each whole batch with a valid checksum whose base offset is not below what came
// before, and returns whether to go on. The result says where the walk ended and why.
struct SegmentWalk {
  uint64_t position = 0;  // after the last batch that was visited
  bool at_end = false;  // `end` was reached, or `visit` stopped it; otherwise something else than a
                        // batch lies there
  std::string what;     // ... which is this
};
Result<SegmentWalk> WalkSegment(
    File& file, uint64_t position, uint64_t end, Offset next_offset, LeaderEpoch epoch,
    size_t batch_bytes_max,
    const std::function<bool(const BatchHeader&, uint64_t position)>& visit);

// Everything that Log::Open() finds out.
struct RecoveredLog {
  std::vector<Segment> segments;  // oldest first; may be empty
  Offset log_start{0};
  Offset log_end{0};
  EpochCache epochs;
  ProducerState producers;
  SyncedMark mark;  // of log_end
};
struct RecoveryOptions {
  TopicIdPartition id;
  ProducerState::Options producers;
  size_t batch_bytes_max = 1u << 30;
  int64_t index_interval_bytes = 4096;
  LeaderEpoch epoch_max{INT32_MAX};  // batches of a later one are not believed
  Timestamp now{0};
  std::optional<SyncedMark> mark;  // instead of the one that the journal had at the start
};
// Finds out where the log ends, cuts a torn tail above the synced mark, and makes durable what it
// found (A12). Fails with kStorageError, leaving the files as they are, on damage below the mark
// (A4, A5).
Result<RecoveredLog> RecoverLog(LogDirectory& directory, const RecoveryOptions& options);

}  // namespace gregor

#endif  // GREGOR_STORAGE_LOG_FILES_H_
