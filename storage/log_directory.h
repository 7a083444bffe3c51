#ifndef GREGOR_STORAGE_LOG_DIRECTORY_H_
#define GREGOR_STORAGE_LOG_DIRECTORY_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/types.h"
#include "storage/compactor.h"
#include "storage/disk.h"

namespace gregor {

class FileCache;
class GroupSync;

// What is known to be durable of one partition's log (D3): everything before `end_offset` was
// synced, and lies in front of `position` in the segment with base offset `segment_base`; `chain`
// is the running CRC-32C of that segment's batches (base offset, length, leader epoch, crc of each)
// up to there. Also carries the log start offset, so that deleted records stay deleted. Kept in the
// directory's journal of synced marks; trails what was acknowledged by what was synced less than
// Options::marks_trail before the last group began, and by up to a second where no group followed.
struct SyncedMark {
  Offset log_start{0};
  Offset end_offset{0};
  Offset segment_base{0};
  uint64_t position = 0;
  uint32_t chain = 0;
  // The log is being cut to this: what its files have behind it does not belong to it any more.
  bool is_cut = false;
  // More may have been synced: the journal that said so was missing or damaged.
  bool is_doubtful = false;

  friend bool operator==(const SyncedMark&, const SyncedMark&) = default;
};

// One folder that holds partitions' logs on one disk: identity, lock, journal of synced marks,
// group sync, open files, space. A failed write or sync takes it offline for good (A9): every later
// write is refused with kStorageError, reads go on where they can. Thread: any, unless said
// otherwise.
class LogDirectory {
 public:
  struct Options {
    std::string path;
    ClusterId cluster_id;
    NodeId node_id{-1};
    // False: an empty folder is refused (a missing mount must not become a fresh disk).
    bool format_if_empty = true;
    std::string empty_advice;      // then: what to do about one that is new, a sentence
    uint64_t reserve_bytes = 0;    // appends are refused while less than this is free
    size_t open_files_max = 1024;  // least recently used ones are closed
    // Bounds of what is written and not synced: of all logs together, and of each.
    uint64_t flush_bytes_max = 64u << 20;
    Duration flush_interval = std::chrono::seconds(1);
    uint64_t file_step_bytes_max = 16u << 20;  // files grow in steps up to this
    uint64_t checkpoint_bytes = 64u << 20;     // bounds what a start reads of a log after a crash
    uint64_t journal_bytes_min = 1u << 20;     // a smaller journal of marks is not rewritten
    // Marks wait this long for others before a group takes them along, so that few groups have two
    // files to sync where one would do (ADR 0010).
    Duration marks_trail = std::chrono::milliseconds(10);
    // They are written at once all the same, not durably: after a kill nothing that was
    // acknowledged is taken for a torn write (ADR 0018). For directories of few logs.
    bool notes_marks = false;
    Compactor::Options compaction;
    // How long a group's sync took, and how many files it had; for metrics. Thread: the sync lane.
    std::function<void(Duration took, size_t files)> on_synced = {};
    // For metrics, too; thread: the log's. So many bytes of an unfinished write were cut off a log
    // when it was opened.
    std::function<void(uint64_t bytes)> on_torn = {};
    // Whole segments in front of a log's start go.
    std::function<void(size_t count, uint64_t bytes)> on_segments_deleted = {};
    DirectoryId new_id;  // of a folder that is formatted; zero: random
  };

  // Locks the folder, reads or writes its meta.properties, loads the journal. `loop` carries the
  // directory's timers. Fails with kStorageError (locked; another node's; newer format; unreadable;
  // empty) or kInconsistentClusterId, naming what to do. Thread: a disk thread, or start-up before
  // the loops run.
  static Result<std::unique_ptr<LogDirectory>> Open(Disk& disk, EventLoop& loop, Options options);
  // Whether an error of Open() is the disk's fault (it cannot be read, or is not there), and so
  // costs what it holds only; otherwise the folder is in use, or another's.
  static bool IsDiskFailure(const Error& error);
  // The id in the folder's meta.properties, without opening it; zero where it cannot be read.
  // Thread: disk, or start-up.
  static DirectoryId IdOf(FileSystem& files, const std::string& path);
  virtual ~LogDirectory() = default;

  virtual DirectoryId id() const = 0;
  virtual const Options& options() const = 0;
  virtual Disk& disk() = 0;
  // Whether the last stop was clean (the marker is gone once Open() has returned).
  virtual bool was_clean() const = 0;
  // Partition folders that existed when it was opened, in order. Names that are none of ours are
  // reported and left alone.
  virtual const std::vector<TopicIdPartition>& found() const = 0;
  // Partitions whose folders were set aside by an earlier start and are still there, in order.
  virtual const std::vector<TopicIdPartition>& found_strays() const = 0;
  // Partitions that have a synced mark now, in order.
  virtual std::vector<TopicIdPartition> marked() const = 0;
  // Folders that were set aside: before Open() or since.
  virtual int64_t stray_folders() const = 0;
  // What is known to be synced of the partition: found in the journal, or synced since.
  virtual std::optional<SyncedMark> MarkOf(const TopicIdPartition& partition) const = 0;
  virtual std::string PathOf(const TopicIdPartition& partition) const = 0;

  // Sticky failure: kStorageError, also where space or files were missing.
  virtual std::optional<Error> failure() const = 0;
  // The first failure counts; logs it, and calls the observers (posted to their loops).
  virtual void Fail(const Error& error) = 0;
  virtual void OnFailure(EventLoop& loop, UniqueFunction<void(const Error&)> observer) = 0;

  // kDiskFull while the free space is below the reserve (looked up every second while writes go on,
  // not per call), the sticky failure, or OK.
  virtual Result<void> CheckWritable() const = 0;
  // So many bytes are about to be written: they count as used until the space is looked up again.
  virtual void NoteGrowth(uint64_t bytes) = 0;
  virtual DiskSpace space() const = 0;

  // How many bytes a log appends at most before it takes a checkpoint: the less the more logs have
  // some that are in none, so that a start after a crash has a bounded number to read in all.
  virtual uint64_t CheckpointBytes() const = 0;
  // A log has such bytes now (1), or has none any more (-1).
  virtual void CountUnreadLog(int change) = 0;
  // So many bytes more, or fewer, are written and their sync has not begun. Returns all of them.
  virtual uint64_t CountUnsynced(int64_t change) = 0;
  // A log has such bytes now (1), or has none any more (-1): it holds a file open that long.
  // Whether those are as many as may be open.
  virtual bool CountUnsyncedLog(int change) = 0;

  virtual GroupSync& group_sync() = 0;
  virtual FileCache& file_cache() = 0;
  virtual Compactor& compactor() = 0;

  // Sets a stray partition's folder aside as "<name>.stray" (never deleted by itself). Thread:
  // disk.
  virtual Result<void> SetAside(const TopicIdPartition& partition) = 0;
  // Removes folder and mark of a partition that has no open log; what a crash leaves of them is
  // removed by the next Open(). Several are removed together. `done` is called on `reply`. Thread:
  // any.
  virtual void Discard(const TopicIdPartition& partition, EventLoop& reply,
                       UniqueFunction<void(Result<void>)> done) = 0;
  // The directory is about to be closed: from now on folders to remove get their other name only,
  // so that no stop waits for large files to go. Thread: any.
  virtual void HurryRemovals() = 0;

  // After all logs are closed: a last sync of the journal and the clean-shutdown marker. Thread:
  // the sync lane of its disk, so that no group runs beside it.
  virtual Result<void> CloseCleanly() = 0;
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_LOG_DIRECTORY_H_
