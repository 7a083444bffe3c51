#include "storage/file_cache.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace gregor {
namespace {

bool IsReadOnly(const Error& error) {
  return std::any_of(error.details.begin(), error.details.end(), [](const auto& detail) {
    return detail.first == "errno" && detail.second == "EROFS";
  });
}

}  // namespace

FilePtr FileCache::Find(const std::string& path) {
  const MutexLock lock(mutex_);
  const auto found = by_path_.find(path);
  if (found == by_path_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  found->second->used = true;
  return found->second->file;
}

Result<FilePtr> FileCache::Open(const std::string& path, bool create) {
  auto open = files_.Open(path, create ? OpenMode::kCreate : OpenMode::kReadWrite);
  // A disk that takes no writes any more can still be read.
  if (!open.ok() && !create && IsReadOnly(open.error())) return files_.Open(path, OpenMode::kRead);
  return open;
}

Result<FilePtr> FileCache::Get(const std::string& path, bool create) {
  // A new file is opened itself: a reader may have put in what had the name before.
  if (!create) {
    if (FilePtr file = Find(path)) return file;
  }
  auto open = Open(path, create);
  const bool has_no_files = !open.ok() && open.error().reason == Reason::kQuotaExceeded;
  if (has_no_files && CloseUnused()) open = Open(path, create);
  ASSIGN_OR_RETURN(FilePtr opened, std::move(open));
  FilePtr closed;  // outside of the lock
  const MutexLock lock(mutex_);
  if (const auto found = by_path_.find(path); found != by_path_.end()) {
    if (create) closed = std::exchange(found->second->file, opened);
    return found->second->file;
  }
  entries_.push_front({path, opened, true});
  by_path_[path] = entries_.begin();
  if (entries_.size() > files_max_) {
    closed = std::move(entries_.back().file);
    by_path_.erase(entries_.back().path);
    entries_.pop_back();
  }
  return opened;
}

void FileCache::Forget(const std::string& path) {
  FilePtr closed;
  const MutexLock lock(mutex_);
  const auto found = by_path_.find(path);
  if (found == by_path_.end()) return;
  closed = std::move(found->second->file);
  entries_.erase(found->second);
  by_path_.erase(found);
}

bool FileCache::CloseUnused() {
  std::vector<FilePtr> closed;  // outside of the lock
  const MutexLock lock(mutex_);
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto next = std::next(entry);
    if (entry->file.use_count() == 1) {
      closed.push_back(std::move(entry->file));
      by_path_.erase(entry->path);
      entries_.erase(entry);
    }
    entry = next;
  }
  return !closed.empty();
}

void FileCache::CloseIdle() {
  std::vector<FilePtr> closed;
  const MutexLock lock(mutex_);
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto next = std::next(entry);
    if (!std::exchange(entry->used, false)) {
      closed.push_back(std::move(entry->file));
      by_path_.erase(entry->path);
      entries_.erase(entry);
    }
    entry = next;
  }
}

size_t FileCache::size() const {
  const MutexLock lock(mutex_);
  return entries_.size();
}

}  // namespace gregor
