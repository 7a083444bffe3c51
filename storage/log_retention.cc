// LogImpl: the log's start: deletion, retention, rolls without an append.
#include <algorithm>
#include <utility>

#include "storage/log_files.h"
#include "storage/log_impl.h"

namespace gregor {
namespace {

constexpr Duration kDeleteRetry = std::chrono::seconds(1);

}  // namespace

void LogImpl::DeleteBefore(Offset start, Done done) {
  CHECK_LE(start.value, ends_.log_end.value);
  if (auto failed = failure(); failed.has_value()) return done(*std::move(failed));
  if (start <= journaled_.log_start && !deleting_) return done({});
  deletions_.push_back({start, std::move(done)});
  // Of everything: then the last segment goes, too, and not when a record comes one day.
  const bool is_all = start == ends_.log_end && !segments_.empty() && segments_.back().size > 0;
  if (is_all && !quiet_running_ && !closing_) RollIdle();
  RunDeletions();
  // What is not synced cannot be deleted: after a power loss the log would end before it begins.
  if (!deletions_.empty()) RequestSync();
}

// Raises the log start to the highest one asked for that is synced; one at a time, and not while
// the log is being cut. Durable in the journal before the files go. Also has the journal follow
// where only that keeps files from going.
void LogImpl::RunDeletions() {
  if (deleting_ || quiet_running_ || failure().has_value()) return;
  if (CanDrop(journaled_)) DropSegments();
  const Offset synced = ends_.synced_end;
  const auto waits =
      std::stable_partition(deletions_.begin(), deletions_.end(),
                            [&](const Deletion& each) { return each.start <= synced; });
  const bool journal_lags =
      !CanDrop(journaled_) && CanDrop({synced_mark_.segment_base, ends_.log_start});
  if (waits == deletions_.begin() && !journal_lags) return;
  std::vector<Deletion> ready(std::move_iterator(deletions_.begin()), std::move_iterator(waits));
  deletions_.erase(deletions_.begin(), waits);
  deleting_ = true;
  changed_ = true;
  for (const Deletion& each : ready) ends_.log_start = std::max(ends_.log_start, each.start);
  epochs_.TruncateFromStart(ends_.log_start);
  SyncedMark mark = synced_mark_;
  mark.log_start = ends_.log_start;
  JournalMark(mark, false,
              [this, alive = alive_, mark, ready = std::move(ready)](Result<void> result) mutable {
                if (*alive) {
                  deleting_ = false;
                  if (result.ok()) NoteJournaled(mark);
                  if (result.ok()) DropSegments();
                }
                for (Deletion& each : ready) each.done(result);
                if (!*alive) return;
                if (result.ok()) RunDeletions();
                if (const auto failed = failure(); failed.has_value()) {
                  for (Deletion& each : std::exchange(deletions_, {})) each.done(*failed);
                }
                RunQuietWork();
              });
  if (options_.on_progress) options_.on_progress();
}

void LogImpl::NoteJournaled(const SyncedMark& mark) {
  journaled_.segment_base = std::max(journaled_.segment_base, mark.segment_base);
  journaled_.log_start = std::max(journaled_.log_start, mark.log_start);
}

// Whether the oldest segment lies below the log start as a whole, and recovery does not look for
// it: neither for the segment of a mark, nor because a mark says that the log begins there.
bool LogImpl::CanDrop(const Journaled& journaled) const {
  return segments_.size() > 1 && segments_[1].base() <= journaled.log_start &&
         segments_[1].base() <= journaled.segment_base;
}

void LogImpl::DropSegments() {
  if (compaction_ != nullptr && compaction_->is_swapping) return;  // when that is through
  std::vector<SegmentName> dropped;
  uint64_t bytes = 0;
  while (CanDrop(journaled_)) {
    // First a checkpoint says that the log begins behind it. Else, once the marks are lost, its
    // absence is damage; and where no other file is left the same offsets would be given again.
    const Offset start = segments_[1].base();
    if (checkpoint_start_ < start && !checkpoint_lacks_space_) {
      if (std::exchange(awaited_start_, std::max(awaited_start_, start)) < start)
        checkpoint_wanted_ = true;
      break;
    }
    bytes += segments_.front().size;
    dropped.push_back(segments_.front().name);
    segments_.erase(segments_.begin());
  }
  if (dropped.empty()) return MaybeCheckpoint();
  const auto& on_deleted = directory_.options().on_segments_deleted;
  if (on_deleted) on_deleted(dropped.size(), bytes);
  checkpoint_wanted_ = checkpoint_wanted_ || checkpoint_lacks_space_;
  if (compaction_ != nullptr) compaction_->is_outrun = true;
  ++replacements_;
  DeleteFiles(std::move(dropped));
}

// REQUIRES: they are not among the segments any more.
DeletedSegments LogImpl::Deleted(std::vector<SegmentName> names) const {
  DeletedSegments deleted;
  if (names.empty()) return deleted;
  deleted.first_left = segments_.front().base();
  for (const SegmentName& name : names) {
    if (SegmentOf(name.base).base() != name.base) deleted.former_bases.push_back(name.base);
  }
  deleted.names = std::move(names);
  return deleted;
}

void LogImpl::DeleteFiles(std::vector<SegmentName> names) {
  to_delete_.insert(to_delete_.end(), names.begin(), names.end());
  if (!deleting_files_) DeleteNextFiles();
}

// One job at a time: what one syncs another may remove.
void LogImpl::DeleteNextFiles() {
  std::vector<SegmentName> names = std::exchange(to_delete_, {});
  // An empty log was recovered without them.
  if (segments_.empty()) names.clear();
  // Those that the log has again, since its end was cut off.
  std::erase_if(names, [&](const SegmentName& name) { return FindSegment(name) != nullptr; });
  deleting_files_ = !names.empty();
  if (names.empty()) return;
  BeginFileJob();
  // On a disk that is full the space is wanted now.
  const bool is_full = disk_full_ != nullptr || !directory_.CheckWritable().ok();
  const int64_t delay_ms = is_full ? 0 : options_.config.file_delete_delay_ms;
  directory_.disk().Submit(
      Lane::kBackground, "log.mark_deleted", loop_,
      [&directory = directory_, id = options_.id, deleted = Deleted(names),
       delay_ms]() -> Result<void> {
        RETURN_IF_ERROR(MarkDeleted(directory, id, deleted));
        if (delay_ms > 0) return {};
        return RemoveDeleted(directory, id, deleted.names);
      },
      [this, &directory = directory_, alive = alive_, names, delay_ms](Result<void> marked) {
        if (!marked.ok() && !IsShortage(marked.error())) directory.Fail(marked.error());
        if (!*alive) return;  // the next start removes them
        DeleteNextFiles();
        EndFileJob();
        if (!marked.ok()) return DeleteFilesLater(names, marked.error());
        if (delay_ms > 0) RemoveFilesAfter(DurationOfMs(delay_ms), names);
      });
}

// What they lacked may be there again soon.
void LogImpl::DeleteFilesLater(std::vector<SegmentName> names, const Error& error) {
  if (failure_ != nullptr || !IsShortage(error)) return;
  LOG_EVERY_T(WARNING, 1) << Folder() << ": " << error << "; the files of deleted records go later";
  loop_.After(kDeleteRetry, "log.delete_again",
              [this, alive = alive_, names = std::move(names), error]() mutable {
                if (!*alive || closing_) return;
                // Not while files are being cut.
                if (quiet_running_) return DeleteFilesLater(std::move(names), error);
                DeleteFiles(std::move(names));
              });
}

void LogImpl::RemoveFilesAfter(Duration delay, std::vector<SegmentName> names) {
  loop_.After(delay, "log.remove_deleted", [this, alive = alive_, names = std::move(names)] {
    if (!*alive || closing_) return;
    directory_.disk().Submit(Lane::kBackground, "log.remove_deleted",
                             [&directory = directory_, id = options_.id, names] {
                               const auto removed = RemoveDeleted(directory, id, names);
                               if (!removed.ok()) directory.Fail(removed.error());
                             });
  });
}

// A new active segment without a batch to put into it; it has no file until there is one.
void LogImpl::RollIdle() {
  if (disk_full_ != nullptr) return;
  Roll(ends_.log_end);
  changed_ = true;
  if (!writing_) StartWrite();
  RequestSync();
}

// By the largest time of its records; where they have none, by when they were appended.
bool LogImpl::HasExpired(const Segment& segment, Timestamp now) const {
  const Timestamp time =
      segment.max_timestamp != kNoTimestamp ? segment.max_timestamp : segment.appended_at;
  return options_.config.retention_ms != LogConfig::kNever && time != kNoTimestamp &&
         now - time > options_.config.retention_ms;
}

bool LogImpl::ActiveHasExpired(Offset limit) const {
  const LogConfig& config = options_.config;
  const Segment& active = segments_.back();
  if (active.size == 0) return false;
  if (config.cleanup_compact && config.max_compaction_lag_ms != LogConfig::kNever &&
      active.first_timestamp != kNoTimestamp &&
      Now() - active.first_timestamp > config.max_compaction_lag_ms)
    return true;
  return config.cleanup_delete && ends_.log_end <= limit && HasExpired(active, Now());
}

void LogImpl::ApplyRetention(Offset limit) {
  if (producers_.id_count() > 0) producers_.Expire(EvenNow());
  if (segments_.empty() || closing_ || quiet_running_ || failure().has_value()) return;
  RunDeletions();
  if (ActiveHasExpired(limit)) RollIdle();
  ConsiderCompaction();
  const LogConfig& config = options_.config;
  if (!config.cleanup_delete) return;
  const Timestamp now = Now();
  uint64_t size = size_bytes();
  Offset start = ends_.log_start;
  for (size_t i = 0; i + 1 < segments_.size() && segments_[i + 1].base() <= limit; ++i) {
    const Segment& segment = segments_[i];
    const bool by_size = config.retention_bytes != LogConfig::kNever &&
                         size >= segment.size + static_cast<uint64_t>(config.retention_bytes);
    if (!by_size && !HasExpired(segment, now)) break;
    size -= segment.size;
    start = segments_[i + 1].base();
  }
  if (start <= ends_.log_start) return;
  DeleteBefore(start, [folder = Folder(), start](Result<void> deleted) {
    LOG_IF(ERROR, !deleted.ok()) << folder << ": retention failed: " << deleted.error();
    LOG_IF(INFO, deleted.ok()) << folder << ": retention deleted the records before offset "
                               << start;
  });
}

}  // namespace gregor
