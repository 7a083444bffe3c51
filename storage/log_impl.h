#ifndef GREGOR_STORAGE_LOG_IMPL_H_
#define GREGOR_STORAGE_LOG_IMPL_H_

#include <array>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "storage/compaction.h"
#include "storage/compactor.h"
#include "storage/epoch_cache.h"
#include "storage/log.h"
#include "storage/log_checkpoint.h"
#include "storage/log_files.h"
#include "storage/log_recovery.h"
#include "storage/producer_state.h"
#include "storage/segment.h"

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
  void RequestSync() override;
  void Read(const ReadSpec& spec, UniqueFunction<void(Result<LogRead>)> done) override;
  void FindByTime(Timestamp time, Offset limit,
                  UniqueFunction<void(Result<std::optional<TimedOffset>>)> done) override;
  void FindMaxTimestamp(Offset limit,
                        UniqueFunction<void(Result<std::optional<TimedOffset>>)> done) override;
  void TruncateTo(Offset end, Done done) override;
  void ResetTo(Offset start, Done done) override;
  void DeleteBefore(Offset start, Done done) override;
  void SetConfig(const LogConfig& config) override;
  void ApplyRetention(Offset limit) override;
  void Close(Done done) override;
  void Remove(Done done) override;

  // Puts the mark of what was recovered into the journal, if it is not there. `done` is called once
  // the log may be used.
  void PublishRecoveredMark(const std::optional<SyncedMark>& known, Done done);

 private:
  // Bytes for one segment file that lie together.
  struct Chunk {
    SegmentName segment;
    uint64_t position = 0;
    uint64_t allocate_to = 0;             // 0: there is room
    bool is_new = false;                  // the file is made
    bool makes_folder = false;            // ... and the log's folder, unless it is there
    bool syncs_names = false;             // ... once those of the segments before it are durable
    std::optional<uint64_t> trim;         // no bytes: the file is complete, and cut to this size
    std::shared_ptr<SegmentIndex> index;  // with trim: written beside it
    Offset next_base{0};                  // with trim: of the segment that follows
    std::string producers;                // with trim: those in front of it, if there are any
    Bytes bytes;
  };
  using Chunks = std::vector<Chunk>;
  // What has to be synced.
  struct Touched {
    std::vector<FilePtr> files;
    std::vector<std::string> folders;
  };
  struct ReadPlace {
    SegmentName segment;
    std::shared_ptr<const SegmentIndex> index;  // nullptr: not in memory
    uint32_t cuts = 0;                          // cuts_ as it was when this was found
    uint64_t position = 0;
    uint64_t end = 0;             // of the segment's bytes
    Offset end_offset{0};         // of what lies in them
    uint64_t bound_position = 0;  // a batch at `position` ends there at the latest, once noted
    Offset bound_offset{0};
    Offset next_offset{0};  // where the batch before `position` ended, or an earlier one
    bool is_exact = false;  // the wanted batch begins at `position`
    bool has_gaps = false;
  };
  // What was read at a place. With less than was wanted comes why.
  struct ReadBytes {
    Slice bytes;
    size_t buffer_bytes = 0;  // what they keep in memory
    std::optional<Error> failure = std::nullopt;
  };
  // What Parse() found in it.
  struct Parsed {
    std::optional<LogRead> read = std::nullopt;  // none: it is not in there
    // Then so many bytes of the place, which has moved on, are needed, or nothing of the segment;
    size_t wanted_bytes = 0;
    bool wants_index = false;  // or first the segment's index
  };
  // What marks in the journal say at least.
  struct Journaled {
    Offset segment_base{-1};
    Offset log_start{0};
  };
  // A round of compaction that is on its way. The work is shared with the job that does a step of
  // it, and the turn lasts as long as that.
  struct CompactionRun {
    struct Work {
      CompactionTurn turn;
      Compaction compaction;
    };
    std::shared_ptr<Work> work;
    bool is_stepping = false;
    bool is_swapping = false;  // files change their names: the round ends after that only
    bool is_ending = false;
    bool is_outrun = false;  // segments were dropped that it may have wanted to read
  };

  std::string Folder() const { return directory_.PathOf(options_.id); }
  RecoveryOptions RecoveryOptionsNow() const;
  const Segment* FindSegment(const SegmentName& name) const;
  Timestamp Now() const { return loop_.clock().WallNow(); }
  // The time of day that goes on evenly from the opening on: what is remembered for a while must
  // not be forgotten at once because somebody set the clock.
  Timestamp EvenNow() const {
    return opened_wall_ +
           std::chrono::duration_cast<std::chrono::milliseconds>(loop_.clock().Now() - opened_at_)
               .count();
  }

  Result<void> CheckFollows(const BatchHeader& header) const;
  bool NeedsRoll(const BatchHeader& header) const;
  bool NamesAreSynced() const;
  int64_t RollAfterMs() const;
  void Roll(Offset base);
  uint64_t AllocationFor(uint64_t end) const;
  SyncedMark MarkNow() const;  // of everything that was appended
  void Adopt(RecoveredLog recovered);

  void StartWrite();
  void SubmitWrite(std::shared_ptr<const Chunks> chunks, SyncedMark mark);
  bool IsPlain(const Chunks& chunks) const;
  bool WriteAndSync(const std::shared_ptr<const Chunks>& chunks, const SyncedMark& mark);
  void OnNotWritten(std::shared_ptr<const Chunks> chunks, SyncedMark mark, const Error& error);
  void OnDiskFull(std::shared_ptr<const Chunks> chunks, SyncedMark mark, const Error& error);
  static Result<Touched> WriteChunks(LogDirectory& directory, const TopicIdPartition& id,
                                     const Chunks& chunks);
  static Result<void> CompleteSegment(LogDirectory& directory, const TopicIdPartition& id,
                                      const Chunk& chunk, File& file, Touched& touched);
  void OnWritten(const SyncedMark& mark, Touched touched);
  void NoteWritten(const SyncedMark& mark);
  static void AddTouched(Touched& all, Touched more);
  bool SyncIsDue() const;
  void SetUnsynced(uint64_t bytes);
  void SetFlushTimer();
  void StartSync();
  void OnSynced(const SyncedMark& mark, Result<void> result);
  void Fail(const Error& error);
  void GiveUp();

  // Checkpoints: one is taken when it is due, and written once everything in it is synced.
  void MaybeCheckpoint();
  LogCheckpoint CheckpointNow() const;
  void WriteCheckpoint();
  void CountUnread(uint64_t bytes);

  // Runs `work` once nothing is being written or synced, no file is being changed, and nothing else
  // of this kind runs.
  void WhenQuiet(Task work);
  void RunQuietWork();
  void EndQuietWork();
  // Counts a job that changes files beside the write lane; returns what to call when it has ended.
  void BeginFileJob() { ++file_jobs_; }
  void EndFileJob();
  // Makes `mark` durable in the journal before `done`; with `replaces` also where it is lower.
  void JournalMark(const SyncedMark& mark, bool replaces, Done done);
  void FindCut(Offset end, Done done);
  void CutTo(SyncedMark mark, std::optional<Offset> forget_producers, Done done);
  void JournalCut(const SyncedMark& mark, Done done);
  void CutFilesTo(SyncedMark mark, Done done);
  void JournalEndOfCut(Done done);
  void EndCut(Done done);
  void FailQuietWork(Done& done, const Error& error);
  void RetryCut(Done& done, const Error& error, UniqueFunction<void(Done)> step);

  void RollIdle();
  bool HasExpired(const Segment& segment, Timestamp now) const;
  bool ActiveHasExpired(Offset limit) const;
  void RunDeletions();
  void NoteJournaled(const SyncedMark& mark);
  bool CanDrop(const Journaled& journaled) const;
  void DropSegments();
  // Takes the files away: at once from the log, after file.delete.delay.ms from the disk.
  void DeleteFiles(std::vector<SegmentName> names);
  void DeleteNextFiles();
  void DeleteFilesLater(std::vector<SegmentName> names, const Error& error);
  void RemoveFilesAfter(Duration delay, std::vector<SegmentName> names);
  DeletedSegments Deleted(std::vector<SegmentName> names) const;

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
  ReadPlace PlaceAt(const Segment& segment) const;
  const Segment& SegmentOf(Offset from) const;
  void LoadIndexThenRead(const ReadSpec& spec, UniqueFunction<void(Result<LogRead>)> done);
  void BeginRead(const ReadSpec& spec, ReadPlace place, size_t bytes,
                 UniqueFunction<void(Result<LogRead>)> done);
  void ReadFrom(const ReadSpec& spec, ReadPlace place, size_t bytes,
                UniqueFunction<void(Result<LogRead>)> done);
  static Result<ReadBytes> ReadFile(LogDirectory& directory, const std::string& path,
                                    uint64_t position, std::span<uint8_t> out, Slice bytes);
  void OnBytes(const ReadSpec& spec, ReadPlace place, ReadBytes bytes,
               UniqueFunction<void(Result<LogRead>)> done);
  void ReadNextSegment(const ReadSpec& spec, const ReadPlace& place,
                       UniqueFunction<void(Result<LogRead>)> done);
  Result<Parsed> Parse(const ReadSpec& spec, ReadPlace& place, const Slice& bytes);
  Result<std::optional<BatchHeader>> HeaderAt(const ReadPlace& place, const Slice& bytes) const;
  Error BadChecksum(const ReadPlace& place, const BatchHeader& header) const;
  size_t BytesToJudge(const ReadPlace& place, const Slice& bytes) const;
  Result<size_t> PassDamage(Offset from, Error error, const Slice& bytes, ReadPlace& place) const;
  std::optional<ReadPlace> BehindDamage(const ReadPlace& place, const Slice& bytes) const;
  std::optional<ReadPlace> BehindByLength(const ReadPlace& place, const Slice& bytes) const;
  void NoteBound(ReadPlace& place) const;
  Error DamagedAt(const ReadPlace& place, const std::string& what) const;
  void NoteDamage(const Error& error);
  void Search(std::optional<Timestamp> time, Offset limit,
              UniqueFunction<void(Result<std::optional<TimedOffset>>)> done);

  // Compaction (log_compaction.cc).
  struct Dirt {
    uint64_t clean_bytes = 0, dirty_bytes = 0;
    Offset end{0};         // what may be compacted now
    bool is_late = false;  // max.compaction.lag.ms has passed
    double ratio() const {
      return dirty_bytes == 0 ? 0
                              : static_cast<double>(dirty_bytes) /
                                    static_cast<double>(clean_bytes + dirty_bytes);
    }
  };
  Dirt DirtNow();
  Offset CleanEnd() const;
  bool CompactionIsDue(const Dirt& dirt) const;
  // Asks the directory for a turn if there is enough to do.
  void ConsiderCompaction();
  void StartCompaction(CompactionTurn turn);
  void ContinueCompaction();  // now, or when the rate allows
  void StepCompaction();
  void OnCompactionStep(Result<CompactionStep> step);
  void SwapIn(CompactedGroup group);
  void AdoptCompacted(const CompactedGroup& group);
  void EndCompaction(std::optional<Offset> clean_end);

  LogDirectory& directory_;
  EventLoop& loop_;
  Options options_;
  LogEnds ends_;
  EpochCache epochs_;
  const Timestamp opened_wall_ = Now();
  const MonotonicTime opened_at_ = loop_.clock().Now();
  ProducerState producers_;
  std::vector<Segment> segments_;  // oldest first; the last one is active
  Timestamp active_since_{-1};     // when the active segment got its first batch, by the wall clock
  uint64_t active_allocated_ = 0;

  Chunks queue_;
  size_t queued_bytes_ = 0;
  size_t writing_bytes_ = 0;
  uint64_t unsynced_bytes_ = 0;  // written since the last sync began
  bool writing_ = false;
  bool syncing_ = false;
  bool sync_wanted_ = false;
  bool flush_timer_set_ = false;
  bool has_folder_ = false;  // and its name is durable
  Touched dirty_;
  SyncedMark written_mark_;
  SyncedMark synced_mark_;
  Journaled journaled_;

  std::vector<Task> quiet_work_;
  bool quiet_running_ = false;
  struct Deletion {
    Offset start;
    Done done;
  };
  std::vector<Deletion> deletions_;  // that wait for a sync, or for each other
  bool deleting_ = false;
  std::vector<SegmentName> to_delete_;  // files, once the ones before them are
  bool deleting_files_ = false;
  int reads_running_ = 0;  // jobs that read
  bool closing_ = false;
  bool changed_ = false;  // since the last checkpoint that Close() would write
  int file_jobs_ = 0;
  std::unique_ptr<Error> failure_;
  std::unique_ptr<Error> disk_full_;  // a write waits for space

  struct PendingCheckpoint {
    Offset log_start;
    Offset end;
    std::string content;
    std::vector<SegmentName> replaced;
  };
  uint64_t bytes_since_checkpoint_ = 0;
  bool checkpoint_wanted_ = false;
  Offset checkpoint_end_{0};    // of the one in the folder; 0: there is none
  Offset checkpoint_start_{0};  // the log start in it, where its name is durable
  Offset awaited_start_{0};     // segments go once that is as high as this
  bool checkpoint_lacks_space_ = false;
  std::unique_ptr<PendingCheckpoint> checkpoint_;
  bool checkpoint_running_ = false;

  Offset clean_end_{0};
  // Files that compaction replaced, and that the checkpoint in the folder still names.
  std::vector<SegmentName> replaced_;
  std::unique_ptr<CompactionRun> compaction_;
  uint32_t replacements_ = 0;            // how often segments went or were replaced
  bool compaction_lacks_space_ = false;  // which was reported
  bool compaction_failed_ = false;       // a segment is damaged: not again before the next start

  // Where the last reads ended: a reader that goes on there needs no search.
  struct Hint {
    Offset offset{-1};
    SegmentName segment;
    uint64_t position = 0;
  };
  std::array<Hint, 4> hints_;
  size_t next_hint_ = 0;
  uint32_t cuts_ = 0;                   // how often the files were cut
  std::set<std::string> noted_damage_;  // what was said of it

  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_LOG_IMPL_H_
