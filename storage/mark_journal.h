#ifndef GREGOR_STORAGE_MARK_JOURNAL_H_
#define GREGOR_STORAGE_MARK_JOURNAL_H_

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "storage/file_system.h"
#include "storage/log_directory.h"

namespace gregor {

// The journal of synced marks of a log directory: records of fixed size, appended; rewritten when
// most of it is stale. A damaged record is passed over (at the end it is a torn append): marks may
// trail, they never run ahead. Format: docs/formats.md "Synced marks". Thread: one at a time, disk.
class MarkJournal {
 public:
  using Marks = std::unordered_map<TopicIdPartition, SyncedMark>;

  // Reads what is there, and makes the file if it is missing. Fails with kStorageError where it
  // cannot be read or made.
  static Result<MarkJournal> Open(FileSystem& files, const std::string& path,
                                  uint64_t rewrite_bytes_min);

  const Marks& marks() const { return marks_; }
  // Adds marks, to be synced by the caller; nullopt: the partition is forgotten. Durable when
  // file() is synced afterwards.
  Result<void> Append(
      const std::vector<std::pair<TopicIdPartition, std::optional<SyncedMark>>>& changes);
  const FilePtr& file() const { return file_; }

 private:
  MarkJournal(FileSystem& files, std::string path, uint64_t rewrite_bytes_min)
      : files_(&files), path_(std::move(path)), rewrite_bytes_min_(rewrite_bytes_min) {}
  Result<void> Rewrite();

  FileSystem* files_;
  std::string path_;
  uint64_t rewrite_bytes_min_;
  FilePtr file_;
  uint64_t size_ = 0;
  Marks marks_;
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_MARK_JOURNAL_H_
