#ifndef GREGOR_STORAGE_LOG_H_
#define GREGOR_STORAGE_LOG_H_

#include <memory>
#include <optional>
#include <vector>

#include "base/budget.h"
#include "base/event_loop.h"
#include "base/record_batch.h"
#include "base/result.h"
#include "base/types.h"
#include "storage/log_config.h"
#include "storage/log_directory.h"

namespace gregor {

class EpochCache;
class ProducerBudget;
class ProducerState;

// The offsets of a log, all of one moment. log_start <= synced_end <= written_end <= log_end.
struct LogEnds {
  Offset log_start{0};    // first offset that can be read
  Offset synced_end{0};   // below it everything is durable
  Offset written_end{0};  // below it everything is in the file (page cache)
  Offset log_end{0};      // next to be written
};

struct ReadSpec {
  Offset from{0};
  Offset limit{INT64_MAX};  // no batch that begins at or after it (high watermark, last stable
                            // offset); also <= written_end
  size_t bytes_max = 1 << 20;
  // Whether the first batch is given even if it alone exceeds bytes_max; otherwise the read fails
  // with kFetchTooSmall (details needed_bytes).
  bool first_batch_may_exceed = true;
};

// What a read takes beyond bytes_max, to find its first batch.
inline constexpr size_t kReadSlackBytes = 64u << 10;

struct LogRead {
  // Whole batches as stored; the first may begin before `from`. Empty at the end of the log.
  Bytes batches;
  // What they keep in memory: at most twice their size, or bytes_max + kReadSlackBytes (or the size
  // of a first batch that exceeds it) where that is less.
  size_t memory_bytes = 0;
  // Base offset of the first batch (== from where there is none).
  Offset base_offset{0};
  // Where the next read goes on.
  Offset next_offset{0};
  // Records in `batches`, as their headers say.
  int64_t record_count = 0;
};

// A record's place found by time.
struct TimedOffset {
  Offset offset{0};
  Timestamp timestamp{-1};
  LeaderEpoch leader_epoch{-1};
};

// One partition's log on disk: consecutive segments, oldest first (formats and recovery:
// docs/formats.md). Nothing is on the disk before the first append, and an idle log holds no open
// file. Appends go to the page cache through the directory's write lane and are then synced in
// groups; reads are checked against each batch's CRC and offsets, so that damaged bytes are never
// returned. Thread: all calls on `loop`, the partition's thread; callbacks run there too (possibly
// inside the call).
class Log {
 public:
  struct Options {
    TopicIdPartition id;
    LogConfig config;
    // Called after written_end, synced_end or log_start moved, and once after a failure.
    UniqueFunction<void()> on_progress;
    // What compaction does not pass: the last stable offset, or the high watermark. Asked on the
    // loop; without it all that is synced may be compacted.
    UniqueFunction<Offset()> stable_end;
    // No batch is larger: the largest max.message.bytes of any setting, not of today's, under which
    // a sound batch of yesterday would count as torn.
    size_t recovery_batch_bytes_max = kMessageBytesLimitMax + kBatchHeaderBytes;
    // The leader epoch as the metadata have it. A log with a later one is refused: the metadata are
    // older than it.
    LeaderEpoch epoch_max{INT32_MAX};
    // Whether offsets may be missing in what is appended: a replica of a log that was compacted.
    bool gaps_allowed = false;
    // What one can do, other than restoring its files, about a log that is refused.
    std::string way_out = "delete the topic to give it up";
    int64_t producer_id_expiration_ms = 24 * 3600 * 1000LL;
    size_t producer_ids_max = 100000;
    ProducerBudget* producer_budget = nullptr;  // outlives the log; nullptr: no bound
    Budget* search_memory = nullptr;  // what batches are decompressed in, to find records by time
  };
  using Done = UniqueFunction<void(Result<void>)>;
  using Opened = UniqueFunction<void(Result<std::unique_ptr<Log>>)>;

  // Recovers (off the loop, on the background lane) and opens the log: cuts a torn tail above the
  // synced mark, rebuilds indexes, epochs and producer state where needed, and syncs what it found
  // before anything of it can be read (A12). An empty or missing folder without a synced mark is an
  // empty log. Fails with kStorageError, leaving the files as they are, where a batch below the
  // synced mark is bad (corruption) or the log ends below it (lost data): the message says which
  // file and position (A4, A5). Where the mark is doubtful (its journal was lost or damaged), also
  // where something sound follows on what is bad.
  static void Open(LogDirectory& directory, EventLoop& loop, Options options, Opened opened);
  // Waits for nothing: what was submitted still goes to the disk. Use Close() first for a clean
  // stop.
  virtual ~Log() = default;

  virtual const TopicIdPartition& id() const = 0;
  virtual LogEnds ends() const = 0;
  // Epoch of the last batch; kNoLeaderEpoch in an empty log.
  virtual LeaderEpoch last_epoch() const = 0;
  virtual const EpochCache& epochs() const = 0;
  virtual ProducerState& producers() = 0;
  // Bytes in all segments; segments.
  virtual uint64_t size_bytes() const = 0;
  virtual size_t segment_count() const = 0;
  // The sticky failure of this log or its directory.
  virtual std::optional<Error> failure() const = 0;

  // Appends a batch that has its base offset and leader epoch (StampBatch): base offset == log_end
  // (or above it after compaction, on a follower), leader epoch >= last_epoch(). REQUIRES: size <=
  // what a segment takes. Rolls the segment when due. The bytes are held until they are written.
  // Durable when synced_end has passed the batch, which is pursued at once with
  // Durability::kSynced. Updates producer state and epochs. Fails with kStorageError (also where it
  // does not follow), kDiskFull; the log is then unchanged (and refuses later appends if the
  // failure is sticky).
  virtual Result<void> Append(RecordBatch batch) = 0;
  // Starts a group sync of everything appended so far (kReplicated logs; a kSynced log does it by
  // itself).
  virtual void RequestSync() = 0;

  // Reads whole batches. Fails with kOffsetOutOfRange unless log_start <= from <= log_end,
  // kFetchTooSmall, kQuotaExceeded (no open files are left), kStorageError (a file cannot be
  // opened) or kCorruptBatch (a batch whose checksum, length, offset or epoch is wrong, or that the
  // disk cannot read; the detail `next_offset` says where to go on, unless nothing behind it can be
  // found): both reported once in the log. What lies before it is served first. Calls `done` at
  // once where the page cache has the bytes.
  virtual void Read(const ReadSpec& spec, UniqueFunction<void(Result<LogRead>)> done) = 0;
  // The first record at or after `time`, in offset order, below `limit`; nullopt if there is none.
  // Fails with kQuotaExceeded where search_memory does not have enough, and with kCorruptBatch (as
  // Read()) where damage lies in the way to it; as the next one.
  virtual void FindByTime(Timestamp time, Offset limit,
                          UniqueFunction<void(Result<std::optional<TimedOffset>>)> done) = 0;
  // The first record with the largest timestamp of those below `limit` (ListOffsets -3); nullopt
  // if there is none.
  virtual void FindMaxTimestamp(Offset limit,
                                UniqueFunction<void(Result<std::optional<TimedOffset>>)> done) = 0;

  // Drops everything at and after `end`; durable (cut made and synced) before `done` and before
  // anything is appended after it. REQUIRES: end >= log_start, no other truncation running.
  virtual void TruncateTo(Offset end, Done done) = 0;
  // Drops everything; the log is empty and begins at `start`. Durable as above.
  virtual void ResetTo(Offset start, Done done) = 0;
  // Raises log_start to `start` (no effect if lower). Durable before `done`. Whole segments below
  // it are removed later. REQUIRES: start <= log_end.
  virtual void DeleteBefore(Offset start, Done done) = 0;

  virtual void SetConfig(const LogConfig& config) = 0;
  // Applies retention by time and size, up to `limit` (the high watermark); called every retention
  // check interval.
  virtual void ApplyRetention(Offset limit) = 0;

  // Writes what is pending, syncs it, writes producer snapshot and indexes, closes files. Nothing
  // may be called afterwards.
  virtual void Close(Done done) = 0;
  // Removes the folder and the mark; for a deleted topic.
  virtual void Remove(Done done) = 0;
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_LOG_H_
