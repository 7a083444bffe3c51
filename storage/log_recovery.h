#ifndef GREGOR_STORAGE_LOG_RECOVERY_H_
#define GREGOR_STORAGE_LOG_RECOVERY_H_

#include <optional>
#include <string>
#include <vector>

#include "storage/epoch_cache.h"
#include "storage/log_directory.h"
#include "storage/producer_state.h"
#include "storage/segment.h"

namespace gregor {

// Everything that Log::Open() finds out.
struct RecoveredLog {
  std::vector<Segment> segments;  // oldest first; may be empty; the last one is active
  Offset log_start{0};
  Offset log_end{0};
  Offset clean_end{0};  // how far compaction has been
  // Of the checkpoint in the folder. 0: there is none; INT64_MAX: it could not be read.
  Offset checkpoint_end{0};
  uint64_t active_file_bytes = 0;  // the last segment, and room behind it
  uint64_t unread_bytes = 0;       // that were read, since no checkpoint tells of them
  bool is_checkpointed = false;    // it says all of this
  uint64_t torn_bytes = 0;         // of an unfinished write, cut off
  EpochCache epochs;
  ProducerState producers;
  SyncedMark mark;  // of log_end
};

struct RecoveryOptions {
  TopicIdPartition id;
  ProducerState::Options producers;
  size_t batch_bytes_max = 1u << 30;
  int64_t index_interval_bytes = 4096;
  // Whether offsets may be missing in what was appended last (a follower of a compacted log).
  bool gaps_allowed = false;
  LeaderEpoch epoch_max{INT32_MAX};  // a log with a later one is refused
  std::string way_out;               // of a log that is refused (Log::Options)
  Timestamp now{0};
  std::optional<SyncedMark> mark;  // instead of the one that the journal had at the start
};

// Finds out where the log ends, cuts a torn tail above the synced mark, removes what compaction and
// retention left half done, and makes durable what it found (A12). Fails with kStorageError,
// leaving the files as they are, on damage below the mark (A4, A5), where the mark is doubtful also
// on damage that has something sound behind it, and on leader epochs that are none yet. Thread:
// disk.
Result<RecoveredLog> RecoverLog(LogDirectory& directory, const RecoveryOptions& options);

}  // namespace gregor

#endif  // GREGOR_STORAGE_LOG_RECOVERY_H_
