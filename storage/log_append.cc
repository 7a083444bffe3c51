// LogImpl: appending, writing, syncing, checkpoints.
#include <algorithm>
#include <utility>

#include "storage/log_impl.h"

namespace gregor {
namespace {

constexpr uint64_t kAllocationMin = 64u << 10;
constexpr Duration kDiskFullRetry = std::chrono::seconds(1);
constexpr int64_t kOffsetSpanMax = INT32_MAX;

}  // namespace

void Log::Open(LogDirectory& directory, EventLoop& loop, Options options, Opened opened) {
  RecoveryOptions recovery;
  recovery.id = options.id;
  recovery.producers.expiration_ms = options.producer_id_expiration_ms;
  recovery.producers.ids_max = options.producer_ids_max;
  recovery.batch_bytes_max = options.recovery_batch_bytes_max;
  recovery.index_interval_bytes = options.config.index_interval_bytes;
  recovery.epoch_max = options.epoch_max;
  recovery.now = loop.clock().WallNow();
  directory.disk().Submit(
      Lane::kBackground, "log.open", loop,
      [&directory, recovery] { return RecoverLog(directory, recovery); },
      [&directory, &loop, options = std::move(options),
       opened = std::move(opened)](Result<RecoveredLog> recovered) mutable {
        if (!recovered.ok()) return opened(std::move(recovered).error());
        const auto known = directory.MarkOf(options.id);
        auto log =
            std::make_unique<LogImpl>(directory, loop, std::move(options), std::move(*recovered));
        log->PublishRecoveredMark(known);
        opened(std::unique_ptr<Log>(std::move(log)));
      });
}

LogImpl::LogImpl(LogDirectory& directory, EventLoop& loop, Options options, RecoveredLog recovered)
    : directory_(directory), loop_(loop), options_(std::move(options)) {
  Adopt(std::move(recovered));
}

LogImpl::~LogImpl() { *alive_ = false; }

void LogImpl::Adopt(RecoveredLog recovered) {
  segments_ = std::move(recovered.segments);
  epochs_ = std::move(recovered.epochs);
  producers_ = std::move(recovered.producers);
  ends_ = {recovered.log_start, recovered.log_end, recovered.log_end, recovered.log_end};
  written_mark_ = synced_mark_ = recovered.mark;
  durable_log_start_ = recovered.log_start;
  folder_exists_ = !segments_.empty();
  active_allocated_ = segments_.empty() ? 0 : segments_.back().size;
  active_since_ = kNoTimestamp;
  hints_ = {};
  checkpoint_.reset();
}

void LogImpl::PublishRecoveredMark(const std::optional<SyncedMark>& known) {
  if (segments_.empty() || (known.has_value() && *known == synced_mark_)) return;
  // Without it a flipped bit in what was recovered above the old mark would look like a torn write
  // next time.
  changed_ = true;
  GroupSync::Part part;
  part.partition = options_.id;
  part.mark = synced_mark_;
  part.reply = &loop_;
  part.done = [](Result<void>) {};
  directory_.group_sync().Add(std::move(part));
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
  return failure_.has_value() ? failure_ : directory_.failure();
}

std::string LogImpl::PathOf(Offset segment) const {
  return JoinPath(Folder(), SegmentFileName(segment, "log"));
}

bool LogImpl::NeedsRoll(const BatchHeader& header) const {
  if (segments_.empty()) return true;
  const Segment& active = segments_.back();
  if (active.size == 0) return false;
  const LogConfig& config = options_.config;
  if (active.size + header.size() > static_cast<uint64_t>(config.segment_bytes)) return true;
  if (header.last_offset() - active.base > kOffsetSpanMax) return true;
  return active_since_ != kNoTimestamp && header.max_timestamp - active_since_ > config.segment_ms;
}

void LogImpl::Roll(Offset base) {
  if (!segments_.empty()) {
    Segment& old = segments_.back();
    Chunk trim;
    trim.segment = old.base;
    trim.trim = old.size;
    trim.index = old.index;
    old.max_timestamp = old.index->max_timestamp();
    queue_.push_back(std::move(trim));
  }
  segments_.push_back({base, 0, 0, std::make_shared<SegmentIndex>(), kNoTimestamp});
  active_allocated_ = 0;
  active_since_ = kNoTimestamp;
}

uint64_t LogImpl::AllocationFor(uint64_t end) const {
  if (end <= active_allocated_) return active_allocated_;
  const uint64_t step = std::clamp(
      end, kAllocationMin, std::max(kAllocationMin, directory_.options().file_step_bytes_max));
  return std::max<uint64_t>(
      end, std::min<uint64_t>(end + step, static_cast<uint64_t>(options_.config.segment_bytes)));
}

SyncedMark LogImpl::MarkNow() const {
  if (segments_.empty()) return {ends_.log_start, ends_.log_end, ends_.log_end, 0, 0};
  const Segment& active = segments_.back();
  return {ends_.log_start, ends_.log_end, active.base, active.size, active.chain};
}

Result<void> LogImpl::Append(RecordBatch batch) {
  if (const auto failed = failure(); failed.has_value()) return *failed;
  CHECK(!closing_ && !quiet_running_);
  RETURN_IF_ERROR(directory_.CheckWritable());
  if (disk_full_.has_value()) return *disk_full_;
  const BatchHeader& header = batch.header;
  CHECK_GE(header.base_offset.value, ends_.log_end.value);
  CHECK_GE(header.leader_epoch.value, last_epoch().value);
  if (NeedsRoll(header)) Roll(header.base_offset);
  Segment& active = segments_.back();
  const size_t size = batch.bytes.size();
  const bool continues =
      !queue_.empty() && queue_.back().segment == active.base && !queue_.back().trim.has_value();
  if (!continues) {
    Chunk chunk;
    chunk.segment = active.base;
    chunk.position = active.size;
    chunk.is_new = active.size == 0;
    queue_.push_back(std::move(chunk));
  }
  const uint64_t allocated = std::exchange(active_allocated_, AllocationFor(active.size + size));
  if (active_allocated_ > allocated) directory_.NoteGrowth(active_allocated_ - allocated);
  queue_.back().allocate_to = active_allocated_;
  queue_.back().bytes.Append(batch.bytes);
  queued_bytes_ += size;
  active.index->Note(header, active.size, options_.config.index_interval_bytes);
  active.chain = ChainCrc(active.chain, header);
  active.size += size;
  if (active_since_ == kNoTimestamp) active_since_ = header.max_timestamp;
  epochs_.Assign(header.leader_epoch, header.base_offset);
  producers_.Note(header, loop_.clock().WallNow());
  ends_.log_end = header.next_offset();
  changed_ = true;
  bytes_since_checkpoint_ += size;
  if (bytes_since_checkpoint_ >= directory_.options().checkpoint_bytes &&
      !checkpoint_.has_value() && !checkpoint_running_)
    TakeCheckpoint();
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
      [this, alive = alive_, chunks, mark](Result<std::vector<FilePtr>> files) {
        if (!*alive) return;
        if (!files.ok() && files.error().reason == Reason::kDiskFull)
          return OnDiskFull(chunks, mark, files.error());
        OnWritten(mark, std::move(files));
      });
}

// The batches stay where they are, and are written once there is space: nothing that was taken is
// given up.
void LogImpl::OnDiskFull(std::shared_ptr<const Chunks> chunks, SyncedMark mark,
                         const Error& error) {
  LOG_IF(WARNING, !disk_full_.has_value())
      << Folder() << ": " << error << "; writes wait for space";
  disk_full_ = error;
  loop_.After(kDiskFullRetry, "log.write_again", [this, alive = alive_, chunks, mark] {
    if (*alive) SubmitWrite(chunks, mark);
  });
}

Result<std::vector<FilePtr>> LogImpl::WriteChunks(LogDirectory& directory,
                                                  const TopicIdPartition& id,
                                                  const Chunks& chunks) {
  FileSystem& files = directory.disk().files();
  const std::string folder = directory.PathOf(id);
  std::vector<FilePtr> touched;
  if (const auto failure = directory.failure(); failure.has_value()) return *failure;
  for (const Chunk& chunk : chunks) {
    const std::string path = JoinPath(folder, SegmentFileName(chunk.segment, "log"));
    if (chunk.is_new) {
      RETURN_IF_ERROR(files.MakeDirectory(folder));
      directory.file_cache().Forget(path);  // of that name before; a reader may have opened it
    }
    ASSIGN_OR_RETURN(FilePtr file, directory.file_cache().Get(path, chunk.is_new));
    // The name must be durable before anything in the file is promised.
    if (chunk.is_new) RETURN_IF_ERROR(files.SyncDirectory(folder));
    if (chunk.trim.has_value()) {
      RETURN_IF_ERROR(file->Truncate(*chunk.trim));
      Segment complete{chunk.segment, *chunk.trim, 0, chunk.index, kNoTimestamp};
      RETURN_IF_ERROR(WriteIndexFile(files, folder, complete));
    } else {
      // Room ahead only saves time: a disk that has none may still take the batches themselves.
      const auto room = file->Allocate(chunk.allocate_to);
      if (!room.ok() && room.error().reason != Reason::kDiskFull) return room.error();
      RETURN_IF_ERROR(file->Write(chunk.position, chunk.bytes));
    }
    touched.push_back(std::move(file));
  }
  return touched;
}

void LogImpl::OnWritten(SyncedMark mark, Result<std::vector<FilePtr>> files) {
  writing_ = false;
  writing_bytes_ = 0;
  if (!files.ok()) return Fail(files.error());
  disk_full_.reset();
  folder_exists_ = true;
  for (FilePtr& file : *files) {
    if (std::find(dirty_.begin(), dirty_.end(), file) == dirty_.end())
      dirty_.push_back(std::move(file));
  }
  if (ends_.written_end == ends_.synced_end) unsynced_since_ = loop_.clock().Now();
  ends_.written_end = mark.end_offset;
  // Indexes of segments that are complete now are read back when they are needed.
  for (Segment& segment : segments_) {
    if (segment.base >= written_mark_.segment_base && segment.base < mark.segment_base)
      segment.index = nullptr;
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
  if (ends_.written_end == ends_.synced_end) return false;
  const LogConfig& config = options_.config;
  if (config.durability == Durability::kSynced || sync_wanted_ || closing_ || !quiet_work_.empty())
    return true;
  if (ends_.written_end - ends_.synced_end >= config.flush_messages) return true;
  const uint64_t unsynced = written_mark_.segment_base == synced_mark_.segment_base
                                ? written_mark_.position - synced_mark_.position
                                : written_mark_.position + directory_.options().flush_bytes_max / 2;
  return unsynced >= directory_.options().flush_bytes_max;
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
  if (ends_.synced_end == ends_.log_end) return;
  sync_wanted_ = true;
  if (!syncing_ && SyncIsDue()) StartSync();
}

void LogImpl::StartSync() {
  syncing_ = true;
  sync_wanted_ = ends_.written_end < ends_.log_end && sync_wanted_;
  GroupSync::Part part;
  part.partition = options_.id;
  part.files = std::exchange(dirty_, {});
  SyncedMark mark = written_mark_;
  mark.log_start = ends_.log_start;
  part.mark = mark;
  part.reply = &loop_;
  part.done = [this, alive = alive_, mark](Result<void> result) {
    if (*alive) OnSynced(mark, std::move(result));
  };
  directory_.group_sync().Add(std::move(part));
}

void LogImpl::OnSynced(const SyncedMark& mark, Result<void> result) {
  syncing_ = false;
  if (!result.ok()) return Fail(result.error());
  ends_.synced_end = mark.end_offset;
  synced_mark_ = mark;
  if (SyncIsDue()) StartSync();
  if (!syncing_) SetFlushTimer();
  RunDeletions();
  if (checkpoint_.has_value() && checkpoint_->first <= ends_.synced_end && !checkpoint_running_)
    WriteCheckpoint();
  if (options_.on_progress) options_.on_progress();
  RunQuietWork();
}

void LogImpl::Fail(const Error& error) {
  if (!failure_.has_value()) {
    failure_ = error;
    // What waits will not be written any more, and nothing waits for it.
    queue_.clear();
    queued_bytes_ = 0;
    directory_.Fail(error);
    FailDeletions(error);
    if (options_.on_progress) options_.on_progress();
  }
  RunQuietWork();
}

void LogImpl::TakeCheckpoint() {
  LogCheckpoint checkpoint;
  checkpoint.end = ends_.log_end;
  checkpoint.active = segments_.back();
  checkpoint.epochs = epochs_;
  bytes_since_checkpoint_ = 0;
  checkpoint_ = {ends_.log_end, checkpoint.EncodeWith(producers_)};
}

void LogImpl::WriteCheckpoint() {
  checkpoint_running_ = true;
  directory_.disk().Submit(
      Lane::kBackground, "log.checkpoint", loop_,
      [&directory = directory_, folder = Folder(), text = std::exchange(checkpoint_, {})->second] {
        return ReplaceFile(directory.disk().files(), JoinPath(folder, "checkpoint"), text);
      },
      [this, alive = alive_](Result<void> written) {
        // Only a restart would have been faster with it.
        LOG_IF(WARNING, !written.ok()) << "A checkpoint could not be written: " << written.error();
        if (!*alive) return;
        checkpoint_running_ = false;
        RunQuietWork();
      });
}

}  // namespace gregor
