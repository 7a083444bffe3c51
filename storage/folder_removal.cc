#include "storage/folder_removal.h"

#include <algorithm>
#include <utility>

#include "storage/file_system.h"

namespace gregor {
namespace {

constexpr size_t kAtATime = 64;

}  // namespace

void FolderRemoval::Remove(const TopicIdPartition& partition, EventLoop& reply, Done done) {
  bool start;
  {
    const MutexLock lock(mutex_);
    waiting_.push_back({.partition = partition, .reply = &reply, .done = std::move(done)});
    start = !std::exchange(running_, true);
  }
  if (start) Submit();
}

void FolderRemoval::Submit() {
  disk_.Submit(Lane::kBackground, "log_directory.remove", [this] { RemoveSome(); });
}

std::vector<FolderRemoval::Removal> FolderRemoval::TakeSome() {
  const MutexLock lock(mutex_);
  const auto end = waiting_.begin() + static_cast<ptrdiff_t>(std::min(kAtATime, waiting_.size()));
  std::vector<Removal> some(std::make_move_iterator(waiting_.begin()),
                            std::make_move_iterator(end));
  waiting_.erase(waiting_.begin(), end);
  return some;
}

void FolderRemoval::RemoveSome() {
  std::vector<Removal> some = TakeSome();
  for (Removal& removal : some) removal.result = Rename(removal);
  const bool any = std::any_of(some.begin(), some.end(),
                               [](const Removal& removal) { return removal.is_renamed; });
  const Result<void> synced = any ? disk_.files().SyncDirectory(path_) : Result<void>();
  for (Removal& removal : some) {
    if (removal.is_renamed) removal.result = synced.ok() ? RemoveRenamed(removal) : synced;
    if (removal.result.ok()) forget_(removal.partition);
  }
  bool more;
  {
    const MutexLock lock(mutex_);
    more = running_ = !waiting_.empty();
  }
  if (more) Submit();
  // Last, and of nothing that is this object's: who waits for the answer may destroy it.
  for (Removal& removal : some) {
    removal.reply->Post("log_directory.removed",
                        [done = std::move(removal.done), result = removal.result]() mutable {
                          done(std::move(result));
                        });
  }
}

std::string FolderRemoval::PathOf(const Removal& removal) const {
  return JoinPath(path_, removal.partition.ToString());
}

Result<void> FolderRemoval::Rename(Removal& removal) {
  FileSystem& files = disk_.files();
  const std::string path = PathOf(removal);
  ASSIGN_OR_RETURN(const bool exists, files.Exists(path));
  if (!exists) return {};
  const std::string doomed = path + std::string(kSuffix);
  RETURN_IF_ERROR(RemoveTree(files, doomed));
  const Result<void> renamed = files.Rename(path, doomed);
  // A longer name may need space, of which the folder has some.
  if (!renamed.ok() && renamed.error().reason == Reason::kDiskFull) return RemoveTree(files, path);
  removal.is_renamed = renamed.ok();
  return renamed;
}

Result<void> FolderRemoval::RemoveRenamed(const Removal& removal) {
  if (hurries_.load(std::memory_order_relaxed)) return {};
  return RemoveTree(disk_.files(), PathOf(removal) + std::string(kSuffix));
}

}  // namespace gregor
