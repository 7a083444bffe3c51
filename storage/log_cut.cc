// LogImpl: truncation, closing, removal: what waits until nothing is on its way.
#include <algorithm>
#include <utility>

#include "storage/checkpoint_save.h"
#include "storage/file_cache.h"
#include "storage/group_sync.h"
#include "storage/log_files.h"
#include "storage/log_impl.h"
#include "storage/segment_cursor.h"

namespace gregor {
namespace {

constexpr Duration kCutRetry = std::chrono::seconds(1);

}  // namespace

void LogImpl::WhenQuiet(Task work) {
  quiet_work_.push_back(std::move(work));
  EndCompaction(std::nullopt);
  if (!writing_ && !syncing_ && SyncIsDue()) StartSync();
  RunQuietWork();
}

void LogImpl::RunQuietWork() {
  if (quiet_running_ || quiet_work_.empty() || writing_ || syncing_ || deleting_ ||
      file_jobs_ > 0 || !queue_.empty())
    return;
  if (closing_ && reads_running_ > 0) return;
  // Everything written is synced first, unless that is not possible any more.
  if (ends_.synced_end != ends_.written_end && !failure().has_value()) return;
  quiet_running_ = true;
  Task work = std::move(quiet_work_.front());
  quiet_work_.erase(quiet_work_.begin());
  work();
}

void LogImpl::EndQuietWork() {
  quiet_running_ = false;
  RunDeletions();
  RunQuietWork();
}

void LogImpl::FailQuietWork(Done& done, const Error& error) {
  Fail(error);
  EndQuietWork();
  done(error);
}

// A step of a cut that failed: once more where it lacked something that may be there again. A log
// that is to be closed fails then; the next start ends the cut.
void LogImpl::RetryCut(Done& done, const Error& error, UniqueFunction<void(Done)> step) {
  if (!IsShortage(error)) return FailQuietWork(done, error);
  if (closing_) {
    // Of this log alone: the directory lacks nothing.
    failure_ = std::make_unique<Error>(error);
    GiveUp();
    EndQuietWork();
    return done(error);
  }
  LOG_EVERY_T(WARNING, 1) << Folder() << ": " << error << "; its end is cut off later";
  loop_.After(kCutRetry, "log.cut_again",
              [this, alive = alive_, done = std::move(done), step = std::move(step)]() mutable {
                if (!*alive) return;
                if (auto failed = failure(); failed.has_value())
                  return FailQuietWork(done, *failed);
                step(std::move(done));
              });
}

void LogImpl::EndFileJob() {
  --file_jobs_;
  MaybeCheckpoint();
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

// Where to cut a log: behind the last whole batch below `end`. Thread: disk.
class CutSearch {
 public:
  struct Options {
    std::vector<Segment> segments;  // that begin below `end`, newest first
    Offset log_start;
    Offset end;
    bool has_checkpoint = false;  // in the folder, and not beyond `end`
    RecoveryOptions recovery;
  };

  CutSearch(LogDirectory& directory, Options options)
      : directory_(directory), options_(std::move(options)) {}

  // The mark of the log as it is up to there; of an empty log that begins at log_start where no
  // batch stays that may be read.
  Result<SyncedMark> Run() {
    for (const Segment& segment : options_.segments) {
      ASSIGN_OR_RETURN(const SyncedMark mark, FindIn(segment));
      if (mark.position > 0 && mark.end_offset > options_.log_start) return mark;
      if (mark.position > 0) break;
    }
    return Emptied(options_.log_start);
  }

  static SyncedMark Emptied(Offset start) {
    return {.log_start = start, .end_offset = start, .segment_base = start};
  }

 private:
  Result<SyncedMark> FindIn(const Segment& segment) {
    SyncedMark mark = StartOf(segment);
    const std::string path = SegmentPath(directory_, options_.recovery.id, segment.name);
    ASSIGN_OR_RETURN(const FilePtr file, directory_.file_cache().Get(path, false));
    SegmentCursor cursor(*file, {.position = mark.position,
                                 .end = segment.size,
                                 .next_offset = mark.end_offset,
                                 .has_gaps = segment.has_gaps,
                                 .batch_bytes_max = options_.recovery.batch_bytes_max});
    // What lies behind the cut is of no interest, damaged or not.
    while (mark.end_offset < options_.end) {
      ASSIGN_OR_RETURN(const auto batch, cursor.Next());
      if (!batch.has_value()) break;
      const BatchHeader& header = batch->header;
      if (header.next_offset() > options_.end) break;
      mark.end_offset = header.next_offset();
      mark.position = batch->position + header.size();
      mark.chain = ChainCrc(mark.chain, header);
    }
    if (cursor.what().empty()) return mark;
    return Error(Reason::kStorageError,
                 path + ": " + cursor.what() + " at " + std::to_string(cursor.position()));
  }

  // The beginning of the segment, or what the checkpoint knows of it.
  SyncedMark StartOf(const Segment& segment) const {
    SyncedMark mark{.log_start = options_.log_start,
                    .end_offset = segment.base(),
                    .segment_base = segment.base()};
    if (!options_.has_checkpoint) return mark;
    const std::string path = JoinPath(directory_.PathOf(options_.recovery.id), kCheckpointFile);
    const auto text = ReadWholeFile(directory_.disk().files(), path, UINT32_MAX);
    if (!text.ok()) return mark;
    const auto checkpoint = LogCheckpoint::Decode(*text, options_.recovery.producers);
    if (!checkpoint.ok() || checkpoint->active.name != segment.name) return mark;
    mark.end_offset = checkpoint->end;
    mark.position = checkpoint->active.size;
    mark.chain = checkpoint->active.chain;
    return mark;
  }

  LogDirectory& directory_;
  const Options options_;
};

// `snapshot`: what is known of producers at this offset is to go, too. Thread: disk.
Result<void> RemoveCheckpoint(LogDirectory& directory, const TopicIdPartition& id,
                              std::optional<Offset> snapshot) {
  FileSystem& files = directory.disk().files();
  const std::string folder = directory.PathOf(id);
  ASSIGN_OR_RETURN(const bool exists, files.Exists(folder));
  if (!exists) return {};
  RETURN_IF_ERROR(files.Remove(JoinPath(folder, kCheckpointFile)));
  if (snapshot.has_value())
    RETURN_IF_ERROR(files.Remove(SegmentPath(directory, id, {*snapshot, 0}, kProducersSuffix)));
  return files.SyncDirectory(folder);
}

}  // namespace

void LogImpl::TruncateTo(Offset end, Done done) {
  CHECK_GE(end.value, ends_.log_start.value);
  if (end >= ends_.log_end) return done({});
  WhenQuiet([this, end, done = std::move(done)]() mutable {
    if (auto failed = failure(); failed.has_value()) return FailQuietWork(done, *failed);
    FindCut(end, std::move(done));
  });
}

void LogImpl::FindCut(Offset end, Done done) {
  CutSearch::Options search;
  for (auto segment = segments_.rbegin(); segment != segments_.rend(); ++segment) {
    if (segment->base() < end && segment->size > 0) search.segments.push_back(*segment);
  }
  search.log_start = ends_.log_start;
  search.end = end;
  search.has_checkpoint = checkpoint_end_ > Offset{0} && checkpoint_end_ <= end;
  search.recovery = RecoveryOptionsNow();
  directory_.disk().Submit(
      Lane::kWrite, "log.find_cut", loop_,
      [search = CutSearch(directory_, std::move(search))]() mutable { return search.Run(); },
      [this, alive = alive_, end, done = std::move(done)](Result<SyncedMark> mark) mutable {
        if (!*alive) return;
        if (mark.ok()) return CutTo(*mark, std::nullopt, std::move(done));
        if (IsShortage(mark.error()) && !closing_) {
          return RetryCut(done, mark.error(),
                          [this, end](Done again) { FindCut(end, std::move(again)); });
        }
        // Nothing was changed yet.
        EndQuietWork();
        done(mark.error());
      });
}

void LogImpl::ResetTo(Offset start, Done done) {
  WhenQuiet([this, start, done = std::move(done)]() mutable {
    if (auto failed = failure(); failed.has_value()) return FailQuietWork(done, *failed);
    CutTo(CutSearch::Emptied(start), start, std::move(done));
  });
}

// First a checkpoint that knows more goes, then the journal learns of the lower end, then the files
// are cut; the mark says that this is under way until it is done, so that a start after a crash
// finishes it.
void LogImpl::CutTo(SyncedMark mark, std::optional<Offset> forget_producers, Done done) {
  mark.is_cut = true;
  if (checkpoint_ != nullptr) {
    replaced_.insert(replaced_.end(), checkpoint_->replaced.begin(), checkpoint_->replaced.end());
    checkpoint_.reset();
  }
  const bool keep_checkpoint =
      mark.position > 0 && checkpoint_end_ <= mark.end_offset && replaced_.empty();
  directory_.disk().Submit(
      Lane::kWrite, "log.remove_checkpoint", loop_,
      [&directory = directory_, id = options_.id, keep_checkpoint,
       forget_producers]() -> Result<void> {
        if (keep_checkpoint) return {};
        return RemoveCheckpoint(directory, id, forget_producers);
      },
      [this, alive = alive_, mark, forget_producers,
       done = std::move(done)](Result<void> removed) mutable {
        if (!*alive) return;
        if (removed.ok()) return JournalCut(mark, std::move(done));
        RetryCut(done, removed.error(), [this, mark, forget_producers](Done again) {
          CutTo(mark, forget_producers, std::move(again));
        });
      });
}

void LogImpl::JournalCut(const SyncedMark& mark, Done done) {
  JournalMark(mark, true,
              [this, alive = alive_, mark, done = std::move(done)](Result<void> result) mutable {
                if (!*alive) return;
                if (result.ok()) return CutFilesTo(mark, std::move(done));
                RetryCut(done, result.error(),
                         [this, mark](Done again) { JournalCut(mark, std::move(again)); });
              });
}

void LogImpl::CutFilesTo(SyncedMark mark, Done done) {
  RecoveryOptions recovery = RecoveryOptionsNow();
  recovery.mark = mark;
  replaced_.clear();  // recovery sees that they are nothing that could follow
  recovery.epoch_max = last_epoch();

  directory_.disk().Submit(
      Lane::kWrite, "log.cut", loop_,
      [&directory = directory_, recovery] { return RecoverLog(directory, recovery); },
      [this, alive = alive_, mark, done = std::move(done)](Result<RecoveredLog> rest) mutable {
        if (!*alive) return;
        if (!rest.ok()) {
          return RetryCut(done, rest.error(),
                          [this, mark](Done again) { CutFilesTo(mark, std::move(again)); });
        }
        Adopt(std::move(*rest));
        changed_ = true;
        JournalEndOfCut(std::move(done));
      });
}

// Files that come from here on are the log's.
void LogImpl::JournalEndOfCut(Done done) {
  JournalMark(synced_mark_, true,
              [this, alive = alive_, done = std::move(done)](Result<void> result) mutable {
                if (!*alive) return;
                if (result.ok()) return EndCut(std::move(done));
                RetryCut(done, result.error(),
                         [this](Done again) { JournalEndOfCut(std::move(again)); });
              });
}

void LogImpl::EndCut(Done done) {
  journaled_ = {synced_mark_.segment_base, synced_mark_.log_start};
  checkpoint_wanted_ = checkpoint_wanted_ || checkpoint_end_ == Offset{0};
  // What was to be deleted is not there any more.
  const auto gone =
      std::stable_partition(deletions_.begin(), deletions_.end(),
                            [&](const Deletion& each) { return each.start <= ends_.log_end; });
  std::vector<Deletion> failed(std::make_move_iterator(gone),
                               std::make_move_iterator(deletions_.end()));
  deletions_.erase(gone, deletions_.end());
  for (Deletion& each : failed) {
    each.done(Error(Reason::kOffsetOutOfRange,
                    "the log was cut, and ends at " + std::to_string(ends_.log_end.value)));
  }
  EndQuietWork();
  MaybeCheckpoint();
  done({});
  if (options_.on_progress) options_.on_progress();
}

void LogImpl::Close(Done done) {
  closing_ = true;
  WhenQuiet([this, done = std::move(done)]() mutable {
    if (auto failed = failure(); failed.has_value()) return done(*std::move(failed));
    if (segments_.empty() || !changed_) return done({});
    const Segment& active = segments_.back();
    CheckpointSave save{directory_, loop_, options_.id, CheckpointNow().EncodeWith(producers_)};
    save.sync_name = true;
    if (active.size > 0) save.trim = {active.name, active.size};
    SaveCheckpoint(std::move(save), std::move(done));
  });
}

void LogImpl::Remove(Done done) {
  closing_ = true;
  WhenQuiet([this, done = std::move(done)]() mutable {
    for (const Segment& segment : segments_)
      directory_.file_cache().Forget(SegmentPath(directory_, options_.id, segment.name));
    directory_.Discard(options_.id, loop_, std::move(done));
  });
}

}  // namespace gregor
