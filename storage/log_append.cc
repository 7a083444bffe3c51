// LogImpl: opening and appending.
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
constexpr int64_t kOffsetSpanMax = INT32_MAX;

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
  recovery.way_out = options.way_out;
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
        const auto& on_torn = directory.options().on_torn;
        if (recovered->torn_bytes > 0 && on_torn) on_torn(recovered->torn_bytes);
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
  SetUnsynced(0);
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
  checkpoint_start_ = awaited_start_ = Offset{0};
  // What only the journal knows is in a checkpoint, too, after a clean stop.
  changed_ = changed_ || (!recovered.is_checkpointed && !segments_.empty());

  has_folder_ = has_folder_ || !segments_.empty();
  active_allocated_ = recovered.active_file_bytes;
  active_since_ = kNoTimestamp;
  SetUnsynced(0);
  hints_ = {};
  ++cuts_;
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

// Room that nobody asked for yet does not come out of the disk's reserve.
uint64_t LogImpl::AllocationFor(uint64_t end) const {
  if (end <= active_allocated_) return active_allocated_;
  const auto full = static_cast<uint64_t>(options_.config.segment_bytes);
  const uint64_t step = std::clamp(
      end, kAllocationMin, std::max(kAllocationMin, directory_.options().file_step_bytes_max));
  const uint64_t wanted = options_.config.preallocate ? full : std::min(end + step, full);
  const uint64_t free = directory_.space().free_bytes;
  const uint64_t reserve = directory_.options().reserve_bytes;
  const uint64_t left = free > reserve ? free - reserve : 0;
  return std::max(end, std::min(wanted, active_allocated_ + left));
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

}  // namespace gregor
