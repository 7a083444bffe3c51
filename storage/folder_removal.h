#ifndef GREGOR_STORAGE_FOLDER_REMOVAL_H_
#define GREGOR_STORAGE_FOLDER_REMOVAL_H_

#include <atomic>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/thread_annotations.h"
#include "base/types.h"
#include "storage/disk.h"

namespace gregor {

// Takes partitions' folders out of a log directory, some at a time: they share the sync of their
// names, and what else is to be done in the background gets its turn between them, however many
// partitions a deleted topic had. Thread: any.
class FolderRemoval {
 public:
  using Done = UniqueFunction<void(Result<void>)>;

  // Calls `forget` of each partition whose folder is gone, on a disk thread. REQUIRES: it outlives
  // what it was asked for.
  FolderRemoval(Disk& disk, std::string path, std::function<void(const TopicIdPartition&)> forget)
      : disk_(disk), path_(std::move(path)), forget_(std::move(forget)) {}

  // Removes the folder, if it is there: first by giving it another name, so that no part of it is
  // ever taken for a partition (where the disk is too full for that it goes at once, and what a
  // crash leaves of it is set aside by the next start). `done` is called on `reply`.
  void Remove(const TopicIdPartition& partition, EventLoop& reply, Done done);
  // From now on they get their other name only.
  void Hurry() { hurries_.store(true, std::memory_order_relaxed); }

  // What a removed folder is called until it is gone.
  static constexpr std::string_view kSuffix = ".removed";

 private:
  struct Removal {
    TopicIdPartition partition;
    EventLoop* reply;
    Done done;
    bool is_renamed = false;
    Result<void> result = {};
  };

  void Submit();
  void RemoveSome();
  std::vector<Removal> TakeSome();
  std::string PathOf(const Removal& removal) const;
  Result<void> Rename(Removal& removal);
  Result<void> RemoveRenamed(const Removal& removal);

  Disk& disk_;
  const std::string path_;
  const std::function<void(const TopicIdPartition&)> forget_;
  std::atomic<bool> hurries_{false};
  Mutex mutex_;
  std::deque<Removal> waiting_ TS_GUARDED_BY(mutex_);
  bool running_ TS_GUARDED_BY(mutex_) = false;
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_FOLDER_REMOVAL_H_
