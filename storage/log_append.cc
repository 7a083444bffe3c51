// LogImpl: appending, writing, syncing.
#include <algorithm>
#include <iterator>
#include <utility>

#include "base/siphash.h"
#include "storage/file_cache.h"
#include "storage/group_sync.h"
#include "storage/log_files.h"
#include "storage/log_impl.h"

namespace gregor {
namespace {

constexpr uint64_t kAllocationMin = 16u << 10;
constexpr Duration kDiskFullRetry = std::chrono::seconds(1);
constexpr int64_t kOffsetSpanMax = INT32_MAX;

// What only saves time may be missing where the disk is full: the batches may still fit.
Result<void> UnlessFull(Result<void> result) {
  if (!result.ok() && result.error().reason != Reason::kDiskFull) return result;
  return {};
}

RecoveryOptions RecoveryOptionsOf(const Log::Options& options, Timestamp now) {
  RecoveryOptions recovery;
  recovery.id = options.id;
  recovery.producers.expiration_ms = options.producer_id_expiration_ms;
  recovery.producers.ids_max = options.producer_ids_max;
  recovery.producers.budget = options.producer_budget;
  recovery.batch_bytes_max = options.recovery_batch_bytes_max;
  recovery.index_interval_bytes = options.config.index_interval_bytes;
  recovery.epoch_max = options.epoch_max;
  recovery.gaps_allowed = options.gaps_allowed;
  recovery.now = now;
  return recovery;
}

}  // namespace

void Log::Open(LogDirectory& directory, EventLoop& loop, Options options, Opened opened) {
  const RecoveryOptions recovery = RecoveryOptionsOf(options, loop.clock().WallNow());
  directory.disk().Submit(
      Lane::kBackground, "log.open", loop,
      [&directory, recovery] { return RecoverLog(directory, recovery); },
      [&directory, &loop, options = std::move(options),
       opened = std::move(opened)](Result<RecoveredLog> recovered) mutable {
        if (!recovered.ok()) return opened(std::move(recovered).error());
        const auto known = directory.MarkOf(options.id);
        auto log =
            std::make_unique<LogImpl>(directory, loop, std::move(options), std::move(*recovered));
        LogImpl& opening = *log;
        opening.PublishRecoveredMark(known, [log = std::move(log), opened = std::move(opened)](
                                                Result<void> published) mutable {
          if (!published.ok()) return opened(std::move(published).error());
          opened(std::unique_ptr<Log>(std::move(log)));
        });
      });
}

LogImpl::LogImpl(LogDirectory& directory, EventLoop& loop, Options options, RecoveredLog recovered)
    : directory_(directory), loop_(loop), options_(std::move(options)) {
  Adopt(std::move(recovered));
}

LogImpl::~LogImpl() {
  *alive_ = false;
  CountUnread(0);
  directory_.compactor().Withdraw(options_.id);
}

RecoveryOptions LogImpl::RecoveryOptionsNow() const { return RecoveryOptionsOf(options_, Now()); }

void LogImpl::Adopt(RecoveredLog recovered) {
  segments_ = std::move(recovered.segments);
  epochs_ = std::move(recovered.epochs);
  producers_ = std::move(recovered.producers);
  ends_ = {recovered.log_start, recovered.log_end, recovered.log_end, recovered.log_end};
  written_mark_ = synced_mark_ = recovered.mark;
  clean_end_ = recovered.clean_end;
  checkpoint_end_ = recovered.checkpoint_end;
  // What only the journal knows is in a checkpoint, too, after a clean stop.
  changed_ = changed_ || (!recovered.is_checkpointed && !segments_.empty());

  has_folder_ = has_folder_ || !segments_.empty();
  active_allocated_ = recovered.active_file_bytes;
  active_since_ = kNoTimestamp;
  unsynced_bytes_ = 0;
  hints_ = {};
  ++replacements_;
  checkpoint_.reset();
  CountUnread(recovered.unread_bytes);
}

void LogImpl::PublishRecoveredMark(const std::optional<SyncedMark>& known, Done done) {
  if (known.has_value() && known->is_cut) {
    // Files that come from here on are the log's.
    JournalMark(synced_mark_, true, [this, done = std::move(done)](Result<void> result) mutable {
      if (result.ok()) NoteJournaled(synced_mark_);
      done(std::move(result));
    });
    return;
  }
  const bool is_known = known.has_value() && *known == synced_mark_;
  // Without it a flipped bit in what was recovered above the old mark would look like a torn write
  // next time.
  if (!segments_.empty() && !is_known) {
    changed_ = true;
    GroupSync::Part part;
    part.partition = options_.id;
    part.mark = synced_mark_;
    part.reply = &loop_;
    part.done = [](Result<void>) {};
    directory_.group_sync().Add(std::move(part));
  }
  RunDeletions();
  ConsiderCompaction();
  done({});
}

LeaderEpoch LogImpl::last_epoch() const {
  const auto last = epochs_.last();
  return last.has_value() ? last->epoch : kNoLeaderEpoch;
}

uint64_t LogImpl::size_bytes() const {
  uint64_t size = 0;
  for (const Segment& segment : segments_) size += segment.size;
  return size;
}

std::optional<Error> LogImpl::failure() const {
  return failure_ != nullptr ? std::optional<Error>(*failure_) : directory_.failure();
}

const Segment* LogImpl::FindSegment(const SegmentName& name) const {
  const auto found =
      std::lower_bound(segments_.begin(), segments_.end(), name.base,
                       [](const Segment& segment, Offset base) { return segment.base() < base; });
  return found == segments_.end() || found->name != name ? nullptr : &*found;
}

// segment.ms, less what keeps the segments of many partitions from rolling at the same time.
int64_t LogImpl::RollAfterMs() const {
  const LogConfig& config = options_.config;
  int64_t after = config.segment_ms;
  if (config.cleanup_compact) after = std::min(after, config.max_compaction_lag_ms);
  const int64_t jitter = std::min(config.segment_jitter_ms, after);
  if (jitter <= 0) return after;
  SipHash hash(options_.id.topic_id.bytes);
  hash.Add(static_cast<uint64_t>(options_.id.partition.value));
  hash.Add(static_cast<uint64_t>(segments_.back().base().value));
  return after - static_cast<int64_t>(hash.Finish() % static_cast<uint64_t>(jitter));
}

bool LogImpl::NeedsRoll(const BatchHeader& header) const {
  if (segments_.empty()) return true;
  const Segment& active = segments_.back();
  if (active.size == 0) return false;
  if (active.size + header.size() > static_cast<uint64_t>(options_.config.segment_bytes))
    return true;
  if (header.last_offset() - active.base() > kOffsetSpanMax) return true;
  if (active.index->memory_bytes() > static_cast<uint64_t>(options_.config.segment_index_bytes))
    return true;
  // By the records' time, so that it is the same on every replica; by the clock where they have
  // none.
  const bool timed = active.first_timestamp != kNoTimestamp && header.max_timestamp != kNoTimestamp;
  const int64_t age = timed ? header.max_timestamp - active.first_timestamp
                            : (active_since_ == kNoTimestamp ? 0 : Now() - active_since_);
  return age > RollAfterMs();
}

// Whether a power loss leaves all segments before the active one. Names survive it in any order,
// and a log that nothing else is known of yet would begin with the oldest one that is left.
bool LogImpl::NamesAreSynced() const {
  if (segments_.size() < 2) return true;
  const Offset before = segments_[segments_.size() - 2].base();
  return before < synced_mark_.segment_base ||
         (before == synced_mark_.segment_base && synced_mark_.position > 0);
}

void LogImpl::Roll(Offset base) {
  if (!segments_.empty()) {
    Segment& old = segments_.back();
    Chunk trim;
    trim.segment = old.name;
    trim.trim = old.size;
    trim.index = old.index;
    trim.next_base = base;
    if (producers_.id_count() > 0) trim.producers = producers_.Encode(base);
    queue_.push_back(std::move(trim));
    checkpoint_wanted_ = true;  // it names all files, so that a missing one is noticed
  }
  segments_.push_back({.name = {base, 0}, .index = std::make_shared<SegmentIndex>()});
  active_allocated_ = 0;
  active_since_ = kNoTimestamp;
}

uint64_t LogImpl::AllocationFor(uint64_t end) const {
  if (end <= active_allocated_) return active_allocated_;
  if (options_.config.preallocate)
    return std::max(end, static_cast<uint64_t>(options_.config.segment_bytes));
  const uint64_t step = std::clamp(
      end, kAllocationMin, std::max(kAllocationMin, directory_.options().file_step_bytes_max));
  return std::max<uint64_t>(
      end, std::min<uint64_t>(end + step, static_cast<uint64_t>(options_.config.segment_bytes)));
}

SyncedMark LogImpl::MarkNow() const {
  if (segments_.empty()) return {ends_.log_start, ends_.log_end, ends_.log_end, 0, 0};
  const Segment& active = segments_.back();
  return {ends_.log_start, ends_.log_end, active.base(), active.size, active.chain};
}

Result<void> LogImpl::CheckFollows(const BatchHeader& header) const {
  if (header.base_offset >= ends_.log_end && header.leader_epoch >= last_epoch()) return {};
  return Error(Reason::kStorageError,
               Folder() + ": a batch at offset " + std::to_string(header.base_offset.value) +
                   " of leader epoch " + std::to_string(header.leader_epoch.value) +
                   " does not follow what ends at " + std::to_string(ends_.log_end.value) +
                   " in epoch " + std::to_string(last_epoch().value) +
                   ": are the metadata older than the log?");
}

Result<void> LogImpl::Append(RecordBatch batch) {
  if (auto failed = failure(); failed.has_value()) return *std::move(failed);
  CHECK(!closing_ && !quiet_running_);
  RETURN_IF_ERROR(directory_.CheckWritable());
  if (disk_full_ != nullptr) return *disk_full_;
  const BatchHeader& header = batch.header;
  RETURN_IF_ERROR(CheckFollows(header));
  if (NeedsRoll(header)) Roll(header.base_offset);
  Segment& active = segments_.back();
  const size_t size = batch.bytes.size();
  const bool continues =
      !queue_.empty() && queue_.back().segment == active.name && !queue_.back().trim.has_value();
  if (!continues) {
    Chunk chunk;
    chunk.segment = active.name;
    chunk.position = active.size;
    chunk.is_new = active.size == 0;
    chunk.makes_folder = chunk.is_new && !has_folder_;
    chunk.syncs_names = chunk.is_new && !NamesAreSynced();
    queue_.push_back(std::move(chunk));
  }
  if (active.size + size > active_allocated_) {
    const uint64_t allocated = std::exchange(active_allocated_, AllocationFor(active.size + size));
    directory_.NoteGrowth(active_allocated_ - allocated);
    queue_.back().allocate_to = active_allocated_;
  }
  queue_.back().bytes.Append(std::move(batch.bytes));
  queued_bytes_ += size;
  if (active.size == 0) active_since_ = Now();
  active.Note(header, ends_.log_end, options_.config.index_interval_bytes);
  active.appended_at = std::max(active.appended_at, Now());
  epochs_.Assign(header.leader_epoch, header.base_offset);
  producers_.Note(header, EvenNow());
  ends_.log_end = header.next_offset();
  changed_ = true;
  CountUnread(bytes_since_checkpoint_ + size);
  MaybeCheckpoint();
  if (!writing_) StartWrite();
  return {};
}

void LogImpl::StartWrite() {
  const auto chunks = std::make_shared<const Chunks>(std::exchange(queue_, {}));
  writing_bytes_ = std::exchange(queued_bytes_, 0);
  writing_ = true;
  SubmitWrite(chunks, MarkNow());
}

void LogImpl::SubmitWrite(std::shared_ptr<const Chunks> chunks, SyncedMark mark) {
  directory_.disk().Submit(
      Lane::kWrite, "log.write", loop_,
      [&directory = directory_, id = options_.id, chunks] {
        return WriteChunks(directory, id, *chunks);
      },
      [this, alive = alive_, chunks, mark](Result<Touched> touched) {
        if (!*alive) return;
        if (!touched.ok() && touched.error().reason == Reason::kDiskFull)
          return OnDiskFull(chunks, mark, touched.error());
        OnWritten(mark, std::move(touched));
      });
}

// The batches stay where they are, and are written once there is space: nothing that was taken is
// given up.
void LogImpl::OnDiskFull(std::shared_ptr<const Chunks> chunks, SyncedMark mark,
                         const Error& error) {
  LOG_IF(WARNING, disk_full_ == nullptr) << Folder() << ": " << error << "; writes wait for space";
  disk_full_ = std::make_unique<Error>(error);
  if (closing_) {
    // Nobody was promised these batches, and a stop does not wait for space.
    writing_ = false;
    writing_bytes_ = 0;
    failure_ = std::make_unique<Error>(error);
    return GiveUp();
  }
  loop_.After(kDiskFullRetry, "log.write_again", [this, alive = alive_, chunks, mark] {
    if (*alive) SubmitWrite(chunks, mark);
  });
}

Result<LogImpl::Touched> LogImpl::WriteChunks(LogDirectory& directory, const TopicIdPartition& id,
                                              const Chunks& chunks) {
  FileSystem& files = directory.disk().files();
  Touched touched;
  if (auto failure = directory.failure(); failure.has_value()) return *std::move(failure);
  for (const Chunk& chunk : chunks) {
    const std::string path = SegmentPath(directory, id, chunk.segment);
    if (chunk.makes_folder) {
      RETURN_IF_ERROR(files.AddDirectory(directory.PathOf(id)));
      touched.folders.push_back(directory.options().path);
    }
    if (chunk.syncs_names) RETURN_IF_ERROR(files.SyncDirectory(directory.PathOf(id)));
    if (chunk.is_new) {
      directory.file_cache().Forget(path);  // of that name before; a reader may have opened it
      touched.folders.push_back(directory.PathOf(id));
    }
    ASSIGN_OR_RETURN(FilePtr file, directory.file_cache().Get(path, chunk.is_new));
    touched.files.push_back(file);
    if (chunk.trim.has_value()) {
      RETURN_IF_ERROR(CompleteSegment(directory, id, chunk, *file, touched));
      continue;
    }
    if (chunk.allocate_to > 0) RETURN_IF_ERROR(UnlessFull(file->Allocate(chunk.allocate_to)));
    RETURN_IF_ERROR(file->Write(chunk.position, chunk.bytes));
  }
  return touched;
}

Result<void> LogImpl::CompleteSegment(LogDirectory& directory, const TopicIdPartition& id,
                                      const Chunk& chunk, File& file, Touched& touched) {
  FileSystem& files = directory.disk().files();
  RETURN_IF_ERROR(file.Truncate(*chunk.trim));
  const Segment complete{.name = chunk.segment, .size = *chunk.trim, .index = chunk.index};
  RETURN_IF_ERROR(UnlessFull(WriteIndexFile(files, directory.PathOf(id), complete)));
  if (chunk.producers.empty()) return {};
  const std::string path = SegmentPath(directory, id, {chunk.next_base, 0}, kProducersSuffix);
  ASSIGN_OR_RETURN(FilePtr producers, files.Open(path, OpenMode::kCreate));
  RETURN_IF_ERROR(producers->Truncate(0));
  // Not left out on a full disk: once the segments before it are deleted nothing else knows.
  RETURN_IF_ERROR(producers->Write(0, Slice::Copy(chunk.producers)));
  touched.files.push_back(std::move(producers));
  touched.folders.push_back(directory.PathOf(id));
  return {};
}

void LogImpl::OnWritten(SyncedMark mark, Result<Touched> touched) {
  writing_ = false;
  unsynced_bytes_ += std::exchange(writing_bytes_, 0);
  if (!touched.ok()) return Fail(touched.error());
  disk_full_.reset();

  for (FilePtr& file : touched->files) {
    if (std::find(dirty_.files.begin(), dirty_.files.end(), file) == dirty_.files.end())
      dirty_.files.push_back(std::move(file));
  }
  std::move(touched->folders.begin(), touched->folders.end(), std::back_inserter(dirty_.folders));
  ends_.written_end = mark.end_offset;
  // Indexes of segments that are complete now are read back when they are needed.
  for (size_t i = segments_.size(); i-- > 0 && segments_[i].base() >= written_mark_.segment_base;) {
    if (segments_[i].base() < mark.segment_base) segments_[i].index = nullptr;
  }
  written_mark_ = mark;
  // The next write begins before the sync of this one: the two lanes work beside each other.
  if (!queue_.empty()) StartWrite();
  if (!syncing_ && SyncIsDue()) StartSync();
  if (!syncing_) SetFlushTimer();
  if (options_.on_progress) options_.on_progress();
  RunQuietWork();
}

bool LogImpl::SyncIsDue() const {
  const bool nothing_new = ends_.written_end == ends_.synced_end &&
                           written_mark_.segment_base == synced_mark_.segment_base;
  if (nothing_new) return false;
  const LogConfig& config = options_.config;
  if (config.durability == Durability::kSynced || sync_wanted_ || closing_ || !quiet_work_.empty())
    return true;
  return ends_.written_end - ends_.synced_end >= config.flush_messages ||
         unsynced_bytes_ >= directory_.options().flush_bytes_max;
}

// With durability=replicated: what was written does not stay unsynced for longer than this.
void LogImpl::SetFlushTimer() {
  if (flush_timer_set_ || ends_.written_end == ends_.synced_end) return;
  Duration wait = directory_.options().flush_interval;
  if (options_.config.flush_ms != LogConfig::kNever)
    wait = std::min<Duration>(wait, std::chrono::milliseconds(options_.config.flush_ms));
  flush_timer_set_ = true;
  loop_.After(wait, "log.flush", [this, alive = alive_] {
    if (!*alive) return;
    flush_timer_set_ = false;
    RequestSync();
  });
}

void LogImpl::RequestSync() {
  const bool all_is_synced =
      ends_.synced_end == ends_.log_end &&
      (segments_.empty() || synced_mark_.segment_base == segments_.back().base());
  if (all_is_synced) return;
  sync_wanted_ = true;
  if (!syncing_ && SyncIsDue()) StartSync();
}

void LogImpl::StartSync() {
  syncing_ = true;
  unsynced_bytes_ = 0;
  sync_wanted_ = sync_wanted_ && (writing_ || !queue_.empty());
  GroupSync::Part part;
  part.partition = options_.id;
  part.files = std::exchange(dirty_.files, {});
  part.folders = std::exchange(dirty_.folders, {});
  part.mark = written_mark_;
  part.mark->log_start = ends_.log_start;
  part.reply = &loop_;
  part.done = [this, alive = alive_, mark = *part.mark](Result<void> result) {
    if (*alive) OnSynced(mark, std::move(result));
  };
  directory_.group_sync().Add(std::move(part));
}

void LogImpl::OnSynced(const SyncedMark& mark, Result<void> result) {
  syncing_ = false;
  if (!result.ok()) return Fail(result.error());
  const bool rolled = synced_mark_.segment_base != mark.segment_base;
  ends_.synced_end = mark.end_offset;
  synced_mark_ = mark;
  has_folder_ = true;
  if (SyncIsDue()) StartSync();
  if (!syncing_) SetFlushTimer();
  RunDeletions();
  MaybeCheckpoint();
  if (options_.on_progress) options_.on_progress();
  if (rolled) ConsiderCompaction();
  RunQuietWork();
}

void LogImpl::Fail(const Error& error) {
  if (failure_ != nullptr) return RunQuietWork();
  failure_ = std::make_unique<Error>(error);
  directory_.Fail(error);
  GiveUp();
}

// What waits for something that will not happen is told so.
void LogImpl::GiveUp() {
  queue_.clear();
  queued_bytes_ = 0;
  EndCompaction(std::nullopt);
  for (Deletion& each : std::exchange(deletions_, {})) each.done(*failure_);
  if (options_.on_progress) options_.on_progress();
  RunQuietWork();
}

}  // namespace gregor
