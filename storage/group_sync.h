#ifndef GREGOR_STORAGE_GROUP_SYNC_H_
#define GREGOR_STORAGE_GROUP_SYNC_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "storage/file_system.h"
#include "storage/log_directory.h"

namespace gregor {

// Gathers the syncs of all logs of a directory: while one group is being synced the next one
// gathers, so the disk is never idle while somebody waits, and nobody waits for a timer (D3). A
// group also writes marks of groups before it to the journal, once they have waited long enough
// (LogDirectory::Options::marks_trail). Thread: any.
class GroupSync {
 public:
  // A log's part in a group: `files` hold everything up to `mark`, already written (not yet
  // synced).
  struct Part {
    TopicIdPartition partition;
    std::vector<FilePtr> files = {};
    std::vector<std::string> folders = {};  // whose names are to be durable, too
    // None: only to have the marks before it in the journal.
    std::optional<SyncedMark> mark = std::nullopt;
    bool replaces = false;  // the mark counts even where it is lower than the last one
    // Done only once the marks of all groups before it are durable, too. Fails with kDiskFull where
    // there is no space for them; without this they just trail then.
    bool needs_journal = false;
    // Called on `reply` once durable, or with the directory's failure.
    EventLoop* reply = nullptr;
    UniqueFunction<void(Result<void>)> done = {};
  };

  virtual ~GroupSync() = default;
  virtual void Add(Part part) = 0;
  // Where no group is on its way: runs `write` on the sync lane, and at once a group with the part
  // that it returns (nullopt: it has failed, and has said so itself). Spares what is written alone
  // the way between two lanes. False, and nothing is done: Add() has to do.
  virtual bool TryWrite(UniqueFunction<std::optional<Part>()> write) = 0;
  // The journal forgets the partition (removed topic), with the next group.
  virtual void Forget(const TopicIdPartition& partition) = 0;
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_GROUP_SYNC_H_
