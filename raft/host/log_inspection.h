#ifndef GREGOR_RAFT_HOST_LOG_INSPECTION_H_
#define GREGOR_RAFT_HOST_LOG_INSPECTION_H_

#include <optional>
#include <string>
#include <vector>

#include "base/record_batch.h"
#include "base/result.h"
#include "raft/core/log_view.h"
#include "storage/file_system.h"
#include "storage/log_directory.h"
#include "storage/segment.h"

namespace gregor {

// Batches that lie one behind the other in a segment's file, each sound.
struct SoundRun {
  SegmentName file;
  uint64_t position = 0;
  uint64_t size = 0;
  Offset begin{0};
  Offset end{0};
};

// Offsets that a log must have, and has not.
struct LogHole {
  Offset begin{0};
  Offset end{0};
  // The sound batch that begins at `end`; nullopt: none does, and `end` is what the synced mark
  // says.
  std::optional<BatchHeader> behind;
};

// What the files of a metadata log have, and what they lack of what was synced.
struct LogInspection {
  std::vector<SoundRun> runs;  // in order
  std::vector<LogHole> holes;  // in order; between, before and behind the runs
  // What is known to have been synced, by the journal of marks or the log's checkpoint; nullopt:
  // nothing.
  std::optional<SyncedMark> mark;
  std::vector<Offset> bases;  // where the segments begin that are there
  Offset start{0};            // of what must be there
  Offset end{0};              // of all that was synced, or is there
  // Where there are holes: the voter sets that can be read, oldest first.
  std::vector<raft::VotersAt> voters;
};

// Reads every batch of the log in `folder`. A torn write, above the mark and with nothing sound
// behind it or no doubt about the mark, is no hole; what the disk cannot read any more is one.
// Changes nothing. Fails with kStorageError where the folder cannot be read. Thread: disk.
Result<LogInspection> InspectLog(FileSystem& files, const std::string& folder,
                                 const std::optional<SyncedMark>& mark, size_t batch_bytes_max);

// Sound batches of one segment, the first of which has offset `from`, up to `bytes_max` but one at
// least; empty where there is none. The log may be damaged, or be written meanwhile. Fails with
// kStorageError. Thread: disk.
Result<Bytes> ReadSoundBatches(FileSystem& files, const std::string& folder, Offset from,
                               size_t bytes_max, size_t batch_bytes_max);

// The segments in a log's folder, oldest first; none where it is missing. Thread: disk.
struct SegmentFile {
  SegmentName name;
  uint64_t size = 0;
};
Result<std::vector<SegmentFile>> ListSegments(FileSystem& files, const std::string& folder);

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_LOG_INSPECTION_H_
