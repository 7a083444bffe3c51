#ifndef GREGOR_STORAGE_MARK_JOURNAL_H_
#define GREGOR_STORAGE_MARK_JOURNAL_H_

#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "storage/file_system.h"
#include "storage/log_directory.h"

namespace gregor {

// The journal of synced marks of a log directory: records of fixed size, appended; rewritten when
// most of it is stale. Marks may trail, they never run ahead. What of the last append is not whole
// was torn; any other record that is not there was lost, and then no mark is believed to be the
// last. Behind the records is room, written with zeros: an append there needs neither space nor
// file-system metadata. Format: docs/formats.md "Synced marks". Thread: one at a time, disk.
class MarkJournal {
 public:
  using Marks = std::unordered_map<TopicIdPartition, SyncedMark>;

  using Changes = std::vector<std::pair<TopicIdPartition, std::optional<SyncedMark>>>;

  // Reads what is there into `marks`, and makes the file if it is missing. `folders`: partitions
  // that have files. If it is missing although there are some, or damaged, this is reported, the
  // file is kept under another name, and their marks are doubtful. Fails with kStorageError where
  // it cannot be read or made. On a full disk it goes on in the file that is there.
  static Result<MarkJournal> Open(FileSystem& files, const std::string& path,
                                  uint64_t rewrite_bytes_min, Marks& marks,
                                  const std::vector<TopicIdPartition>& folders = {});

  // Adds marks, to be synced by the caller; nullopt: the partition is forgotten. Durable when
  // file() is synced afterwards. REQUIRES: what was appended before is synced.
  Result<void> Append(const Changes& changes);
  // Writes them where the next Append() will, which has these partitions, too. They are true by
  // then, but not durable: a killed process has left them, a machine without power may have or not.
  // REQUIRES: as Append().
  Result<void> Note(const Changes& changes);
  // Whether most of it would be stale with so many more records, of so many partitions.
  bool IsFull(size_t more, size_t partitions) const;
  // Whether something was appended since it was written as a whole.
  bool has_appended() const { return has_appended_; }
  // Begins anew with `marks`. Durable when it returns.
  Result<void> Rewrite(const Marks& marks);
  const FilePtr& file() const { return file_; }

 private:
  MarkJournal(FileSystem& files, std::string path, uint64_t rewrite_bytes_min)
      : files_(&files), path_(std::move(path)), rewrite_bytes_min_(rewrite_bytes_min) {}
  // Goes on in the file that is there, behind its records, which end at `end`, with what an append
  // that was torn has left. Durable when it returns.
  Result<void> Continue(uint64_t end, const Changes& behind);

  FileSystem* files_;
  std::string path_;
  uint64_t rewrite_bytes_min_;
  FilePtr file_;
  uint64_t size_ = 0;      // of the records
  uint64_t room_end_ = 0;  // of the file
  bool has_appended_ = false;
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_MARK_JOURNAL_H_
