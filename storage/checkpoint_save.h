#ifndef GREGOR_STORAGE_CHECKPOINT_SAVE_H_
#define GREGOR_STORAGE_CHECKPOINT_SAVE_H_

#include <optional>
#include <string>
#include <utility>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/task.h"
#include "storage/log_directory.h"
#include "storage/segment.h"

namespace gregor {

// Replaces the checkpoint of a log, with the group syncs instead of syncs of its own: many logs
// that close at the same time cost a few. Needs nothing of the log.
struct CheckpointSave {
  LogDirectory& directory;
  EventLoop& loop;
  TopicIdPartition id;
  std::string content;
  // Cuts this segment's file to this size, and closes it: the room ahead is not needed any more.
  std::optional<std::pair<SegmentName, uint64_t>> trim = std::nullopt;
  // Whether it waits until the new one has the name for good. Otherwise the old one may come back
  // after a power loss.
  bool sync_name = false;
};

// `done` runs on the loop. Fails with kStorageError, kDiskFull; the old one is there then.
void SaveCheckpoint(CheckpointSave save, UniqueFunction<void(Result<void>)> done);

}  // namespace gregor

#endif  // GREGOR_STORAGE_CHECKPOINT_SAVE_H_
