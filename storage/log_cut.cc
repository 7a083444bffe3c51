// LogImpl: truncation, deletion, closing.
#include <algorithm>
#include <utility>

#include "storage/log_impl.h"

namespace gregor {

void LogImpl::WhenQuiet(Task work) {
  quiet_work_.push_back(std::move(work));
  if (!writing_ && !syncing_ && SyncIsDue()) StartSync();
  RunQuietWork();
}

void LogImpl::RunQuietWork() {
  if (quiet_running_ || quiet_work_.empty() || writing_ || syncing_ || checkpoint_running_ ||
      deleting_ || drops_running_ > 0 || !queue_.empty())
    return;
  if (closing_ && reads_running_ > 0) return;
  // Everything written is synced first, unless that is not possible any more.
  if (ends_.synced_end != ends_.written_end && !failure().has_value()) return;
  quiet_running_ = true;
  Task work = std::move(quiet_work_.front());
  quiet_work_.pop_front();
  work();
}

void LogImpl::EndQuietWork() {
  quiet_running_ = false;
  RunDeletions();
  RunQuietWork();
}

// A mark rides to the journal with the group after its own: so it takes two. The second one is
// asked for even if the log is gone meanwhile: `done` says that the mark is durable.
void LogImpl::JournalMark(const SyncedMark& mark, bool replaces, Done done) {
  GroupSync::Part part;
  part.partition = options_.id;
  part.mark = mark;
  part.replaces = replaces;
  part.reply = &loop_;
  part.done = [&directory = directory_, &loop = loop_, id = options_.id,
               done = std::move(done)](Result<void> first) mutable {
    if (!first.ok()) return done(std::move(first));
    GroupSync::Part journal;
    journal.partition = id;
    journal.needs_journal = true;
    journal.reply = &loop;
    journal.done = std::move(done);
    directory.group_sync().Add(std::move(journal));
  };
  directory_.group_sync().Add(std::move(part));
}

namespace {

// The mark of the segment as it is up to the batch that begins at or covers `end`. Thread: disk.
Result<SyncedMark> FindCutIn(LogDirectory& directory, const TopicIdPartition& id,
                             const Segment& segment, Offset log_start, Offset end,
                             bool gaps_allowed, size_t batch_bytes_max) {
  const std::string path = JoinPath(directory.PathOf(id), SegmentFileName(segment.base, "log"));
  ASSIGN_OR_RETURN(const FilePtr file, directory.file_cache().Get(path, false));
  SyncedMark mark{log_start, segment.base, segment.base, 0, 0};
  std::optional<Offset> stopped_at;
  ASSIGN_OR_RETURN(const SegmentWalk walk,
                   WalkSegment(*file, 0, segment.size, segment.base, kNoLeaderEpoch,
                               batch_bytes_max, [&](const BatchHeader& header, uint64_t position) {
                                 if (header.next_offset() > end) {
                                   stopped_at = header.base_offset;
                                   return false;
                                 }
                                 mark.end_offset = header.next_offset();
                                 mark.position = position + header.size();
                                 mark.chain = ChainCrc(mark.chain, header);
                                 return true;
                               }));
  if (!walk.at_end)
    return Error(Reason::kStorageError,
                 path + ": " + walk.what + " at " + std::to_string(walk.position));
  // The offset lies outside of the batch's checksum. A wrong one must not make the cut too deep.
  if (stopped_at.has_value() && *stopped_at != mark.end_offset && !gaps_allowed)
    return Error(Reason::kStorageError, path + ": a batch of offset " +
                                            std::to_string(stopped_at->value) + " lies at " +
                                            std::to_string(mark.position) + ", where offset " +
                                            std::to_string(mark.end_offset.value) + " belongs");
  return mark;
}

// The mark of the log that keeps all whole batches below `end`; an empty log's that begins at
// log_start where there is none. `segments` begin below `end`, newest first. Thread: disk.
Result<SyncedMark> FindCut(LogDirectory& directory, const TopicIdPartition& id,
                           const std::vector<Segment>& segments, Offset log_start, Offset end,
                           bool gaps_allowed, size_t batch_bytes_max) {
  for (const Segment& segment : segments) {
    ASSIGN_OR_RETURN(const SyncedMark mark, FindCutIn(directory, id, segment, log_start, end,
                                                      gaps_allowed, batch_bytes_max));
    // At the beginning of a segment a mark would say that the log begins there.
    if (mark.position > 0 && mark.end_offset > log_start) return mark;
    if (mark.position > 0) break;
  }
  return SyncedMark{log_start, log_start, log_start, 0, 0};
}

// Removes everything behind `mark`. Thread: disk.
Result<void> CutFiles(LogDirectory& directory, const TopicIdPartition& id, const SyncedMark& mark,
                      const std::vector<Offset>& segments) {
  FileSystem& files = directory.disk().files();
  const std::string folder = directory.PathOf(id);
  for (auto segment = segments.rbegin(); segment != segments.rend(); ++segment) {
    if (*segment < mark.segment_base || (*segment == mark.segment_base && mark.position > 0)) break;
    // The oldest goes when the others are gone for good: what a crash leaves is a log's beginning.
    if (std::next(segment) == segments.rend()) RETURN_IF_ERROR(files.SyncDirectory(folder));
    const std::string path = JoinPath(folder, SegmentFileName(*segment, "log"));
    directory.file_cache().Forget(path);
    RETURN_IF_ERROR(files.Remove(path));
    RETURN_IF_ERROR(files.Remove(JoinPath(folder, SegmentFileName(*segment, "index"))));
  }
  if (mark.position > 0) {
    ASSIGN_OR_RETURN(const FilePtr file,
                     directory.file_cache().Get(
                         JoinPath(folder, SegmentFileName(mark.segment_base, "log")), false));
    RETURN_IF_ERROR(file->Truncate(mark.position));
    RETURN_IF_ERROR(file->Sync());
    RETURN_IF_ERROR(files.Remove(JoinPath(folder, SegmentFileName(mark.segment_base, "index"))));
  }
  return files.SyncDirectory(folder);
}

Result<void> RemoveCheckpoint(LogDirectory& directory, const TopicIdPartition& id) {
  const std::string folder = directory.PathOf(id);
  ASSIGN_OR_RETURN(const bool exists, directory.disk().files().Exists(folder));
  if (!exists) return {};
  RETURN_IF_ERROR(directory.disk().files().Remove(JoinPath(folder, "checkpoint")));
  return directory.disk().files().SyncDirectory(folder);
}

}  // namespace

void LogImpl::TruncateTo(Offset end, Done done) {
  CHECK_GE(end.value, ends_.log_start.value);
  if (end >= ends_.log_end) return done({});
  WhenQuiet([this, end, done = std::move(done)]() mutable {
    std::vector<Segment> below;
    for (auto segment = segments_.rbegin(); segment != segments_.rend(); ++segment) {
      if (segment->base < end) below.push_back(*segment);
    }
    directory_.disk().Submit(
        Lane::kWrite, "log.find_cut", loop_,
        [&directory = directory_, id = options_.id, below, start = ends_.log_start, end,
         gaps_allowed = options_.config.cleanup_compact,
         max = options_.recovery_batch_bytes_max]() -> Result<SyncedMark> {
          return FindCut(directory, id, below, start, end, gaps_allowed, max);
        },
        [this, alive = alive_, done = std::move(done)](Result<SyncedMark> mark) mutable {
          if (!*alive) return;
          if (mark.ok()) return CutTo(*mark, std::move(done));
          EndQuietWork();
          done(mark.error());
        });
  });
}

void LogImpl::ResetTo(Offset start, Done done) {
  WhenQuiet([this, start, done = std::move(done)]() mutable {
    CutTo({start, start, start, 0, 0}, std::move(done));
  });
}

// First the checkpoint goes, then the journal learns of the lower end, then the files are cut: a
// crash in between leaves a log that is read as a longer or as the shorter one, never as a damaged
// one.
void LogImpl::CutTo(SyncedMark mark, Done done) {
  const auto fail = [this](Done& to, const Error& error) {
    Fail(error);
    EndQuietWork();
    to(error);
  };
  auto cut = [this, mark, fail, alive = alive_,
              done = std::move(done)](Result<void> journaled) mutable {
    if (!*alive) return;
    if (!journaled.ok()) return fail(done, journaled.error());
    RecoveryOptions recovery;
    recovery.id = options_.id;
    recovery.producers.expiration_ms = options_.producer_id_expiration_ms;
    recovery.producers.ids_max = options_.producer_ids_max;
    recovery.batch_bytes_max = options_.recovery_batch_bytes_max;
    recovery.index_interval_bytes = options_.config.index_interval_bytes;
    recovery.epoch_max = last_epoch();
    recovery.now = loop_.clock().WallNow();
    recovery.mark = mark;
    std::vector<Offset> bases;
    for (const Segment& segment : segments_) bases.push_back(segment.base);
    directory_.disk().Submit(
        Lane::kWrite, "log.cut", loop_,
        [&directory = directory_, recovery, mark, bases]() -> Result<RecoveredLog> {
          if (!bases.empty()) RETURN_IF_ERROR(CutFiles(directory, recovery.id, mark, bases));
          return RecoverLog(directory, recovery);
        },
        [this, fail, alive, done = std::move(done)](Result<RecoveredLog> rest) mutable {
          if (!*alive) return;
          if (!rest.ok()) return fail(done, rest.error());
          Adopt(std::move(*rest));
          EndQuietWork();
          done({});
          if (options_.on_progress) options_.on_progress();
        });
  };
  directory_.disk().Submit(
      Lane::kWrite, "log.remove_checkpoint", loop_,
      [&directory = directory_, id = options_.id] { return RemoveCheckpoint(directory, id); },
      [this, alive = alive_, mark, cut = std::move(cut)](Result<void> removed) mutable {
        if (!*alive) return;
        if (!removed.ok()) return cut(std::move(removed));
        JournalMark(mark, true, std::move(cut));
      });
}

void LogImpl::DeleteBefore(Offset start, Done done) {
  CHECK_LE(start.value, ends_.log_end.value);
  if (const auto failed = failure(); failed.has_value()) return done(*failed);
  if (start <= durable_log_start_) return done({});
  deletions_.push_back({start, std::move(done)});
  RunDeletions();
  // What is not synced cannot be deleted: after a power loss the log would end before it begins.
  if (!deletions_.empty()) RequestSync();
}

// Raises the log start to the highest one asked for that is synced; one at a time, and not while
// the log is being cut. Durable in the journal before the files go.
void LogImpl::RunDeletions() {
  if (deleting_ || quiet_running_) return;
  const Offset synced = ends_.synced_end;
  const auto waits =
      std::stable_partition(deletions_.begin(), deletions_.end(),
                            [&](const Deletion& each) { return each.start <= synced; });
  if (waits == deletions_.begin() && !CanDrop(synced_mark_)) return;
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
                  if (result.ok())
                    durable_log_start_ = std::max(durable_log_start_, mark.log_start);
                  if (result.ok()) DropSegments(mark);
                }
                for (Deletion& each : ready) each.done(result);
                if (!*alive) return;
                RunDeletions();
                RunQuietWork();
              });
  if (options_.on_progress) options_.on_progress();
}

void LogImpl::FailDeletions(const Error& error) {
  for (Deletion& each : std::exchange(deletions_, {})) each.done(error);
}

// Whether the oldest segment lies below the log start, and is needed by nothing: neither by writes
// that wait, nor by recovery, which looks for the segment of the mark in the journal.
bool LogImpl::CanDrop(const SyncedMark& journaled) const {
  return segments_.size() > 1 && segments_[1].base <= journaled.log_start &&
         segments_[1].base <= journaled.segment_base;
}

void LogImpl::DropSegments(const SyncedMark& journaled) {
  std::vector<Offset> dropped;
  while (CanDrop(journaled)) {
    dropped.push_back(segments_.front().base);
    segments_.erase(segments_.begin());
  }
  if (dropped.empty()) return;
  ++drops_running_;
  directory_.disk().Submit(
      Lane::kBackground, "log.drop_segments", loop_,
      [&directory = directory_, id = options_.id, dropped]() -> Result<void> {
        FileSystem& files = directory.disk().files();
        // Oldest first, so that a crash leaves no gap.
        for (const Offset base : dropped) {
          const std::string path = JoinPath(directory.PathOf(id), SegmentFileName(base, "log"));
          directory.file_cache().Forget(path);
          RETURN_IF_ERROR(files.Remove(path));
          RETURN_IF_ERROR(
              files.Remove(JoinPath(directory.PathOf(id), SegmentFileName(base, "index"))));
          RETURN_IF_ERROR(files.SyncDirectory(directory.PathOf(id)));
        }
        return {};
      },
      [this, alive = alive_, &directory = directory_](Result<void> removed) {
        if (!removed.ok()) directory.Fail(removed.error());
        if (!*alive) return;
        --drops_running_;
        RunQuietWork();
      });
}

void LogImpl::ApplyRetention(Offset limit) {
  if (!options_.config.cleanup_delete || segments_.size() < 2 || failure().has_value()) return;
  const LogConfig& config = options_.config;
  const Timestamp now = loop_.clock().WallNow();
  uint64_t size = size_bytes();
  Offset start = ends_.log_start;
  for (size_t i = 0; i + 1 < segments_.size() && segments_[i + 1].base <= limit; ++i) {
    const Segment& segment = segments_[i];
    const bool by_size = config.retention_bytes != LogConfig::kNever &&
                         size >= segment.size + static_cast<uint64_t>(config.retention_bytes);
    bool by_time = false;
    if (config.retention_ms != LogConfig::kNever) {
      if (segment.max_timestamp == kNoTimestamp && segment.size > 0 && !by_size) return LoadTimes();
      by_time = segment.max_timestamp != kNoTimestamp &&
                now - segment.max_timestamp > config.retention_ms;
    }
    if (!by_size && !by_time) break;
    size -= segment.size;
    start = segments_[i + 1].base;
  }
  if (start <= ends_.log_start) return;
  DeleteBefore(start, [folder = Folder(), start](Result<void> deleted) {
    LOG_IF(ERROR, !deleted.ok()) << folder << ": retention failed: " << deleted.error();
    LOG_IF(INFO, deleted.ok()) << folder << ": retention deleted the records before offset "
                               << start;
  });
}

// The largest times of older segments, from their index files, for the next round of retention.
void LogImpl::LoadTimes() {
  std::vector<Segment> unknown;
  for (const Segment& segment : segments_) {
    if (segment.max_timestamp == kNoTimestamp && segment.index == nullptr)
      unknown.push_back(segment);
  }
  SubmitRead(
      Lane::kBackground, "log.load_times",
      [&directory = directory_, id = options_.id, unknown, max = options_.recovery_batch_bytes_max,
       interval = options_.config.index_interval_bytes] {
        std::vector<std::pair<Offset, Timestamp>> times;
        for (const Segment& segment : unknown) {
          const auto index = LoadIndex(directory, id, segment, max, interval);
          if (index.ok()) times.emplace_back(segment.base, (*index)->max_timestamp());
        }
        return times;
      },
      [this, alive = alive_](const std::vector<std::pair<Offset, Timestamp>>& times) {
        if (!*alive) return;
        for (Segment& segment : segments_) {
          for (const auto& [base, time] : times) {
            if (segment.base == base) segment.max_timestamp = std::max(time, Timestamp{0});
          }
        }
      });
}

void LogImpl::Close(Done done) {
  closing_ = true;
  WhenQuiet([this, done = std::move(done)]() mutable {
    if (const auto failed = failure(); failed.has_value()) return done(*failed);
    if (segments_.empty() || !changed_) return done({});
    TakeCheckpoint();
    directory_.disk().Submit(
        Lane::kBackground, "log.close", loop_,
        [&directory = directory_, path = PathOf(segments_.back().base),
         size = segments_.back().size, folder = Folder(),
         checkpoint = std::exchange(checkpoint_, {})->second]() -> Result<void> {
          ASSIGN_OR_RETURN(const FilePtr file, directory.file_cache().Get(path, false));
          RETURN_IF_ERROR(file->Truncate(size));
          RETURN_IF_ERROR(file->Sync());
          directory.file_cache().Forget(path);
          return ReplaceFile(directory.disk().files(), JoinPath(folder, "checkpoint"), checkpoint);
        },
        [done = std::move(done)](Result<void> closed) mutable { done(std::move(closed)); });
  });
}

void LogImpl::Remove(Done done) {
  closing_ = true;
  WhenQuiet([this, done = std::move(done)]() mutable {
    std::vector<std::string> paths;
    for (const Segment& segment : segments_) paths.push_back(PathOf(segment.base));
    directory_.disk().Submit(
        Lane::kBackground, "log.remove", loop_,
        [&directory = directory_, id = options_.id, paths]() -> Result<void> {
          for (const std::string& path : paths) directory.file_cache().Forget(path);
          ASSIGN_OR_RETURN(const bool exists,
                           directory.disk().files().Exists(directory.PathOf(id)));
          if (exists) {
            RETURN_IF_ERROR(RemoveTree(directory.disk().files(), directory.PathOf(id)));
            RETURN_IF_ERROR(directory.disk().files().SyncDirectory(directory.options().path));
          }
          directory.group_sync().Forget(id);
          return {};
        },
        [done = std::move(done)](Result<void> removed) mutable { done(std::move(removed)); });
  });
}

}  // namespace gregor
