#ifndef GREGOR_STORAGE_LOG_CHECKPOINT_H_
#define GREGOR_STORAGE_LOG_CHECKPOINT_H_

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "storage/epoch_cache.h"
#include "storage/producer_state.h"
#include "storage/segment.h"

namespace gregor {

// What a log was at some offset up to which everything was durable when this was written: saves a
// restart from reading the log, says which files it consists of, and keeps what cannot be told from
// them any more (producers whose batches were deleted, how far compaction came). It says what was
// synced as a mark does (storage/log_directory.h), and stands in for one that is lost. A log
// without a good one is read as a whole. File "checkpoint"; format: docs/formats.md "Log
// checkpoint". Thread: any.
struct LogCheckpoint {
  Offset log_start{0};
  Offset end{0};
  Offset clean_end{0};            // compaction has been through everything before it
  std::vector<Segment> complete;  // oldest first; without indexes and chains
  Segment active;                 // with its index
  EpochCache epochs;
  ProducerState producers;

  // With the log's producers and index, which are not copied for it.
  std::string EncodeWith(const ProducerState& producers_of_log) const;
  // Fails with kStorageError where it is damaged.
  static Result<LogCheckpoint> Decode(std::string_view text, const ProducerState::Options& options);
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_LOG_CHECKPOINT_H_
