#ifndef GREGOR_STORAGE_LOG_IMPL_H_
#define GREGOR_STORAGE_LOG_IMPL_H_

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/file_cache.h"
#include "storage/group_sync.h"
#include "storage/log.h"
#include "storage/log_files.h"

namespace gregor {

// Log on a log directory. Appends queue up while a write runs, and go to the file as one write;
// what was written is handed to the group sync; a synced end moves with it. Truncation and the like
// wait until nothing is on its way. Thread: the partition's loop; jobs capture what they need by
// value.
class LogImpl final : public Log {
 public:
  LogImpl(LogDirectory& directory, EventLoop& loop, Options options, RecoveredLog recovered);
  ~LogImpl() override;

  const TopicIdPartition& id() const override { return options_.id; }
  LogEnds ends() const override { return ends_; }
  LeaderEpoch last_epoch() const override;
  const EpochCache& epochs() const override { return epochs_; }
  ProducerState& producers() override { return producers_; }
  uint64_t size_bytes() const override;
  size_t segment_count() const override { return segments_.size(); }
  std::optional<Error> failure() const override;

  Result<void> Append(RecordBatch batch) override;
  size_t unwritten_bytes() const override { return queued_bytes_ + writing_bytes_; }
  void RequestSync() override;
  void Read(const ReadSpec& spec, UniqueFunction<void(Result<LogRead>)> done) override;
  void FindByTime(Timestamp time, Offset limit,
                  UniqueFunction<void(Result<std::optional<TimedOffset>>)> done) override;
  void FindMaxTimestamp(Offset limit,
                        UniqueFunction<void(Result<std::optional<TimedOffset>>)> done) override;
  void TruncateTo(Offset end, Done done) override;
  void ResetTo(Offset start, Done done) override;
  void DeleteBefore(Offset start, Done done) override;
  void SetConfig(const LogConfig& config) override { options_.config = config; }
  void ApplyRetention(Offset limit) override;
  void Close(Done done) override;
  void Remove(Done done) override;

  // Puts the mark of what was recovered into the journal, if it is not there.
  void PublishRecoveredMark(const std::optional<SyncedMark>& known);

 private:
  // Bytes for one segment file that lie together.
  struct Chunk {
    Offset segment;
    uint64_t position = 0;
    uint64_t allocate_to = 0;
    bool is_new = false;                  // the file is made
    std::optional<uint64_t> trim;         // no bytes: the file is complete, and cut to this size
    std::shared_ptr<SegmentIndex> index;  // with trim: written beside it
    Bytes bytes;
  };
  using Chunks = std::vector<Chunk>;
  struct ReadPlace {
    Offset segment;
    uint64_t position = 0;
    uint64_t end = 0;       // of the segment's bytes
    bool is_exact = false;  // the wanted batch begins at `position`
  };
  struct TimeQuery;

  std::string PathOf(Offset segment) const;
  std::string Folder() const { return directory_.PathOf(options_.id); }
  bool NeedsRoll(const BatchHeader& header) const;
  void Roll(Offset base);
  uint64_t AllocationFor(uint64_t end) const;
  SyncedMark MarkNow() const;  // of everything that was appended
  void Adopt(RecoveredLog recovered);

  void StartWrite();
  void SubmitWrite(std::shared_ptr<const Chunks> chunks, SyncedMark mark);
  void OnDiskFull(std::shared_ptr<const Chunks> chunks, SyncedMark mark, const Error& error);
  static Result<std::vector<FilePtr>> WriteChunks(LogDirectory& directory,
                                                  const TopicIdPartition& id, const Chunks& chunks);
  void OnWritten(SyncedMark mark, Result<std::vector<FilePtr>> files);
  bool SyncIsDue() const;
  void SetFlushTimer();
  void StartSync();
  void OnSynced(const SyncedMark& mark, Result<void> result);
  void Fail(const Error& error);
  void TakeCheckpoint();
  void WriteCheckpoint();

  // Runs `work` once nothing is being written or synced, and nothing else of this kind runs.
  void WhenQuiet(Task work);
  void RunQuietWork();
  // Makes `mark` durable in the journal before `done`; with `replaces` also where it is lower.
  void JournalMark(const SyncedMark& mark, bool replaces, Done done);
  void RunDeletions();
  void FailDeletions(const Error& error);
  void EndQuietWork();
  void CutTo(SyncedMark mark, Done done);

  // Submits a job that reads; Close() and Remove() wait until it has ended.
  template <typename Job, typename Finish>
  void SubmitRead(Lane lane, const char* name, Job job, Finish finish) {
    ++reads_running_;
    directory_.disk().Submit(
        lane, name, loop_, std::move(job),
        [this, alive = alive_, finish = std::move(finish)](auto result) mutable {
          if (*alive) --reads_running_;
          finish(std::move(result));
          if (*alive) RunQuietWork();
        });
  }
  uint64_t WrittenSize(const Segment& segment) const;
  std::optional<ReadPlace> PlaceOf(Offset from) const;
  void ReadFrom(const ReadSpec& spec, ReadPlace place, size_t bytes,
                UniqueFunction<void(Result<LogRead>)> done);
  void OnBytes(const ReadSpec& spec, ReadPlace place, Slice bytes,
               UniqueFunction<void(Result<LogRead>)> done);
  Result<std::optional<LogRead>> Parse(const ReadSpec& spec, ReadPlace& place, const Slice& bytes,
                                       size_t* wanted_bytes);
  Result<std::optional<BatchHeader>> HeaderAt(const ReadPlace& place, const Slice& bytes, size_t at,
                                              Offset last_end) const;
  Error DamagedAt(const ReadPlace& place, const std::string& what) const;
  static Result<std::optional<TimedOffset>> RunSearch(LogDirectory& directory,
                                                      const TopicIdPartition& id, TimeQuery query,
                                                      size_t batch_bytes_max,
                                                      int64_t interval_bytes);
  void Search(TimeQuery query, UniqueFunction<void(Result<std::optional<TimedOffset>>)> done);
  bool CanDrop(const SyncedMark& journaled) const;
  void DropSegments(const SyncedMark& journaled);
  void LoadTimes();

  LogDirectory& directory_;
  EventLoop& loop_;
  Options options_;
  LogEnds ends_;
  EpochCache epochs_;
  ProducerState producers_;
  std::vector<Segment> segments_;  // oldest first; the last one is active
  Timestamp active_since_{
      -1};  // largest time when the active segment got its first batch, for segment.ms
  uint64_t active_allocated_ = 0;
  bool folder_exists_ = false;

  Chunks queue_;
  size_t queued_bytes_ = 0;
  size_t writing_bytes_ = 0;
  bool writing_ = false;
  bool syncing_ = false;
  bool sync_wanted_ = false;
  std::vector<FilePtr> dirty_;
  SyncedMark written_mark_;
  SyncedMark synced_mark_;
  MonotonicTime unsynced_since_;
  bool flush_timer_set_ = false;

  std::deque<Task> quiet_work_;
  bool quiet_running_ = false;
  struct Deletion {
    Offset start;
    Done done;
  };
  std::vector<Deletion> deletions_;  // that wait for a sync, or for each other
  bool deleting_ = false;
  Offset durable_log_start_{0};  // that the journal has
  int drops_running_ = 0;  // jobs that remove segments
  int reads_running_ = 0;  // jobs that read
  bool closing_ = false;
  bool changed_ = false;  // since the last checkpoint that Close() would write
  std::optional<Error> failure_;
  std::optional<Error> disk_full_;  // a write waits for space

  uint64_t bytes_since_checkpoint_ = 0;
  std::optional<std::pair<Offset, std::string>> checkpoint_;  // taken, written once it is synced
  bool checkpoint_running_ = false;

  // Where the last read ended: a reader that goes on there needs no search.
  struct Hint {
    Offset offset{-1};
    Offset segment{0};
    uint64_t position = 0;
  };
  std::array<Hint, 4> hints_;
  size_t next_hint_ = 0;

  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_LOG_IMPL_H_
