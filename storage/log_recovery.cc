#include "storage/log_recovery.h"

#include <algorithm>
#include <utility>

#include "storage/log_files.h"
#include "storage/log_recovery_impl.h"

namespace gregor {
namespace {

constexpr uint64_t kCheckpointBytesMax = 1u << 30;

}  // namespace

Result<RecoveredLog> LogRecovery::Run() {
  log_.producers = ProducerState(options_.producers);
  RETURN_IF_ERROR(ListFiles());
  RETURN_IF_ERROR(LoadCheckpoint());
  RETURN_IF_ERROR(CheckMarkedFile());
  RETURN_IF_ERROR(ChooseFiles());
  RETURN_IF_ERROR(LoadProducers());
  RETURN_IF_ERROR(Scan());
  RETURN_IF_ERROR(CheckReachedMark());
  RETURN_IF_ERROR(CheckNothingBehind());
  ChooseActive();
  RETURN_IF_ERROR(CutAndSync());
  RETURN_IF_ERROR(RemoveLeftovers());
  return Finish();
}

void LogRecovery::UseMark(std::optional<SyncedMark> mark) {
  if (mark.has_value()) is_doubtful_ = std::exchange(mark->is_doubtful, false);
  const bool says_nothing = is_doubtful_ && *mark == SyncedMark();
  marked_ = says_nothing ? std::nullopt : mark;
  mark_ = marked_.value_or(SyncedMark());
  needs_mark_check_ = marked_.has_value() && mark_.position > 0;
}

void LogRecovery::UseAsMark(const LogCheckpoint& checkpoint) {
  const Segment& active = checkpoint.active;
  const bool is_beyond = active.base() > mark_.segment_base ||
                         (active.base() == mark_.segment_base && active.size > mark_.position);
  if (is_beyond) needs_mark_check_ = false;
  if (mark_.is_cut) return;
  const Offset log_start = std::max(mark_.log_start, checkpoint.log_start);
  if (!marked_.has_value() || (is_doubtful_ && is_beyond)) {
    mark_ = {log_start, checkpoint.end, active.base(), active.size, active.chain};
    needs_mark_check_ = false;
  }
  mark_.log_start = log_start;
  marked_ = mark_;
}

Error LogRecovery::Damaged(const std::string& what) const {
  return Error(Reason::kStorageError, folder_ + ": " + what +
                                          ". Records that were acknowledged are damaged or "
                                          "missing, so this log is not served; "
                                          "its files are left as they are. Restore them, or " +
                                          options_.way_out)
      .With("path", folder_);
}

Error LogRecovery::Ahead(LeaderEpoch epoch) const {
  const std::string first = std::to_string(epoch.value);
  return Error(Reason::kStorageError,
               folder_ + ": has records of leader epoch " + first +
                   ", and the metadata know none after " +
                   std::to_string(options_.epoch_max.value) +
                   ". The metadata are older than the log, as after a restore from a backup, so "
                   "this log is not served; its files are left as they are. Restore newer "
                   "metadata, or " +
                   options_.way_out)
      .With("path", folder_);
}

Error LogRecovery::Missing(const SegmentName& name) const {
  return Damaged("segment " + name.FileName("log") + " is missing");
}

Error LogRecovery::Short(const Found& file, uint64_t synced) const {
  return Damaged("segment " + file.name.FileName("log") + " has " + std::to_string(file.size) +
                 " bytes, and " + std::to_string(synced) + " were synced");
}

Result<void> LogRecovery::ListFiles() {
  ASSIGN_OR_RETURN(const bool exists, files_.Exists(folder_));
  if (!exists) return {};
  folder_exists_ = true;
  ASSIGN_OR_RETURN(const auto entries, files_.List(folder_));
  for (const DirectoryEntry& entry : entries) {
    const std::string_view name = entry.name;
    if (const auto log = SegmentName::Parse(name, "log"); log.has_value()) {
      found_.push_back({*log, entry.size});
    } else if (const auto index = SegmentName::Parse(name, "index"); index.has_value()) {
      indexes_.push_back(*index);
    } else if (const auto base = SegmentName::Parse(name, kProducersSuffix); base.has_value()) {
      snapshots_.push_back(base->base);
    } else if (name == kCheckpointFile) {
      has_checkpoint_ = true;
    } else if (name.ends_with(kDeletedSuffix) || name.ends_with(kUnfinishedSuffix) ||
               name.ends_with(".tmp")) {
      leftovers_.push_back(entry.name);
    }
  }
  // What compaction wrote last comes first among those that begin at the same offset.
  std::sort(found_.begin(), found_.end(), [](const Found& a, const Found& b) {
    return a.name.base != b.name.base ? a.name.base < b.name.base
                                      : a.name.generation > b.name.generation;
  });
  return {};
}

Result<void> LogRecovery::LoadCheckpoint() {
  if (!has_checkpoint_) return {};
  log_.checkpoint_end = Offset{INT64_MAX};  // not known
  const std::string path = JoinPath(folder_, kCheckpointFile);
  const auto text = ReadWholeFile(files_, path, kCheckpointBytesMax);
  if (!text.ok() && IsShortage(text.error())) return text.error();  // it is a good one, perhaps
  Result<LogCheckpoint> checkpoint =
      text.ok() ? LogCheckpoint::Decode(*text, options_.producers) : text.error();
  if (checkpoint.ok()) {
    const auto last = checkpoint->epochs.last();
    if (last.has_value() && last->epoch > options_.epoch_max) return Ahead(last->epoch);
    UseAsMark(*checkpoint);
    checkpoint_ = std::move(*checkpoint);
  } else {
    LOG(WARNING) << path << ": " << checkpoint.error().message << "; the log is read instead";
  }
  return {};
}

Result<void> LogRecovery::CheckMarkedFile() const {
  if (!needs_mark_check_) return {};
  if (found_.empty()) {
    return Damaged("there are no segment files, and records up to offset " +
                   std::to_string(mark_.end_offset.value) + " were synced");
  }
  const auto found = std::find_if(found_.begin(), found_.end(), [&](const Found& file) {
    return file.name.base == mark_.segment_base;
  });
  if (found == found_.end()) return Missing({mark_.segment_base, 0});
  if (found->size < mark_.position) return Short(*found, mark_.position);
  return {};
}

void LogRecovery::Leave(const Found& file) { leftovers_.push_back(file.name.FileName("log")); }

Result<void> LogRecovery::ChooseFiles() {
  emptied_ = marked_.has_value() && mark_.position == 0 && mark_.log_start == mark_.segment_base;
  const auto is_gone = [&](const Found& file) {
    if (!mark_.is_cut) return false;
    if (emptied_) return true;
    return file.name.base > mark_.segment_base ||
           (file.name.base == mark_.segment_base && mark_.position == 0);
  };
  for (const Found& file : found_) {
    if (is_gone(file)) Leave(file);
  }
  std::erase_if(found_, is_gone);

  if (checkpoint_.has_value()) return ChooseListed();
  to_scan_ = found_;
  log_.log_end = to_scan_.empty() ? mark_.end_offset : to_scan_.front().name.base;
  return {};
}

std::optional<LogRecovery::Found> LogRecovery::TakeFound(const SegmentName& name) {
  const auto found = std::find_if(found_.begin(), found_.end(),
                                  [&](const Found& file) { return file.name == name; });
  if (found == found_.end()) return std::nullopt;
  const Found taken = *found;
  found_.erase(found);
  return taken;
}

Result<void> LogRecovery::ChooseListed() {
  std::vector<Segment>& complete = checkpoint_->complete;
  const Segment& active = checkpoint_->active;
  for (size_t i = 0; i < complete.size(); ++i) {
    const Offset end = i + 1 < complete.size() ? complete[i + 1].base() : active.base();
    const bool is_deleted = end <= mark_.log_start;
    const auto file = TakeFound(complete[i].name);
    if (!file.has_value() && is_deleted) continue;
    if (!file.has_value()) return Missing(complete[i].name);
    const bool is_short = file->size < complete[i].size;
    if (is_short && is_deleted) {
      Leave(*file);
      continue;
    }
    if (is_short) return Short(*file, complete[i].size);
    log_.segments.push_back(std::move(complete[i]));
  }
  RETURN_IF_ERROR(ChooseListedActive());
  // Newer ones than the checkpoint; what compaction made of them was not listed, so it does not
  // count, and they are all still there.
  for (const Found& file : found_) {
    if (file.name.generation == 0 && file.name.base > active.base()) {
      to_scan_.push_back(file);
    } else {
      Leave(file);
    }
  }
  log_.epochs = std::move(checkpoint_->epochs);
  log_.producers = std::move(checkpoint_->producers);
  log_.log_end = emptied_ ? std::max(checkpoint_->end, mark_.end_offset) : checkpoint_->end;
  log_.clean_end = checkpoint_->clean_end;
  log_.checkpoint_end = checkpoint_->end;
  return {};
}

Result<void> LogRecovery::ChooseListedActive() {
  const Segment& active = checkpoint_->active;
  const auto file = TakeFound(active.name);
  if (file.has_value()) {
    if (file->size < active.size) return Short(*file, active.size);
    from_checkpoint_ = active;
    to_scan_.push_back(*file);
    return {};
  }
  // Without batches it has no file yet; it may also have been deleted since.
  const bool deleted = std::any_of(found_.begin(), found_.end(), [&](const Found& later) {
    return later.name.base > active.base() && later.name.base <= mark_.log_start;
  });
  if (active.size == 0 || deleted || (emptied_ && active.base() < mark_.segment_base)) return {};
  return Missing(active.name);
}

Result<void> LogRecovery::LoadProducers() {
  const Offset begin = emptied_ || to_scan_.empty() ? std::max(log_.log_end, mark_.segment_base)
                                                    : to_scan_.front().name.base;
  const bool is_known = checkpoint_.has_value() && begin <= checkpoint_->end;
  return is_known ? Result<void>() : LoadProducersAt(begin);
}

Result<void> LogRecovery::LoadProducersAt(Offset begin) {
  const bool has_snapshot =
      std::find(snapshots_.begin(), snapshots_.end(), begin) != snapshots_.end();
  if (!has_snapshot) return {};
  const std::string path = JoinPath(folder_, SegmentName{begin}.FileName(kProducersSuffix));
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(files_, path, kCheckpointBytesMax));
  ProducerState producers(options_.producers);
  const Result<Offset> end = producers.Decode(text);
  if (end.ok()) {
    log_.producers = std::move(producers);
  } else {
    LOG(WARNING) << path << ": " << end.error().message
                 << "; producers whose batches were deleted are not known any more";
  }
  return {};
}

Result<void> LogRecovery::WriteProducers() {
  if (log_.producers.id_count() == 0) return {};
  const std::string name = SegmentName{log_.log_end}.FileName(kProducersSuffix);
  auto file = files_.Open(JoinPath(folder_, name), OpenMode::kCreate);
  Result<void> written;
  if (!file.ok()) written = file.error();
  if (written.ok()) written = (*file)->Truncate(0);
  if (written.ok()) written = (*file)->Write(0, Slice::Own(log_.producers.Encode(log_.log_end)));
  // A full disk is no reason not to serve the log.
  if (!written.ok() && !IsShortage(written.error())) return written.error();
  LOG_IF(WARNING, !written.ok()) << written.error();
  if (file.ok()) dirty_.push_back(*std::move(file));
  return {};
}

void LogRecovery::ChooseActive() {
  std::vector<Segment>& segments = log_.segments;
  while (segments.size() > 1 && segments.back().size == 0) segments.pop_back();
  for (const Found& file : to_scan_) {
    const bool used = std::any_of(segments.begin(), segments.end(), [&](const Segment& segment) {
      return segment.name == file.name;
    });
    const bool replaced = file.scanned && !used && file.name.base < log_.log_end;
    if (!used && !replaced) torn_.push_back(file);
  }
  // The mark may know of a segment that was begun and has no file yet. What is appended would lie
  // in the one before it, where the mark expects nothing any more.
  const bool is_begun =
      marked_.has_value() && mark_.position == 0 && mark_.segment_base == log_.log_end;
  if (!segments.empty() &&
      (segments.back().index == nullptr || (is_begun && segments.back().base() < log_.log_end))) {
    segments.push_back({.name = {log_.log_end, 0}, .index = std::make_shared<SegmentIndex>()});
  }
  log_.log_start =
      marked_.has_value() || segments.empty() ? mark_.log_start : segments.front().base();
}

uint64_t LogRecovery::KnownSynced(const Segment& segment) const {
  uint64_t known = 0;
  if (marked_.has_value() && segment.base() < mark_.segment_base) known = segment.size;
  if (marked_.has_value() && segment.base() == mark_.segment_base) known = mark_.position;
  if (checkpoint_.has_value() && segment.base() < checkpoint_->active.base()) known = segment.size;
  if (checkpoint_.has_value() && segment.name == checkpoint_->active.name)
    known = std::max(known, checkpoint_->active.size);
  return std::min(known, segment.size);
}

// What could not be read now may be read at the next start, and would name files that go.
Result<void> LogRecovery::RemoveBadCheckpoint() {
  if (!has_checkpoint_ || checkpoint_.has_value()) return {};
  RETURN_IF_ERROR(Remove(kCheckpointFile));
  RETURN_IF_ERROR(files_.SyncDirectory(folder_));
  log_.checkpoint_end = Offset{0};
  return {};
}

Result<void> LogRecovery::CutAndSync() {
  if (!folder_exists_) return {};
  RETURN_IF_ERROR(RemoveBadCheckpoint());
  bool names_changed = !torn_.empty() || mark_.is_cut;
  // Of a segment that has no file yet: what is there may be old, and where nothing is, only the
  // checkpoint knows them, which a cut takes away.
  const bool is_there =
      std::find(snapshots_.begin(), snapshots_.end(), log_.log_end) != snapshots_.end();
  const bool is_wanted = !log_.segments.empty() && log_.segments.back().size == 0;
  if (is_there ? log_.log_end > mark_.segment_base : is_wanted) RETURN_IF_ERROR(WriteProducers());
  for (const Found& file : torn_) {
    cut_bytes_ += file.size;
    RETURN_IF_ERROR(Remove(file.name.FileName("log")));
  }
  std::vector<FilePtr> dirty = std::move(dirty_);
  names_changed = names_changed || !dirty.empty();
  for (const Found& found : to_scan_) {
    const auto segment = std::find_if(log_.segments.begin(), log_.segments.end(),
                                      [&](const Segment& each) { return each.name == found.name; });
    const bool is_torn = std::any_of(torn_.begin(), torn_.end(),
                                     [&](const Found& torn) { return torn.name == found.name; });
    if (segment == log_.segments.end() || is_torn) continue;
    RETURN_IF_ERROR(FinishFile(found, *segment, dirty));
    // Also of an empty one: what is appended to it later has it that its folder is durable.
    const bool is_new = segment->size > 0 || !IsFolderDurable();
    names_changed = names_changed || (is_new && KnownSynced(*segment) == 0);
  }
  std::vector<std::string> folders;
  if (names_changed) folders.push_back(folder_);
  if (names_changed && !IsFolderDurable()) folders.push_back(ParentPath(folder_));
  RETURN_IF_ERROR(files_.SyncAll(dirty, folders));
  if (!mark_.is_cut) log_.torn_bytes = cut_bytes_;
  LOG_IF(INFO, cut_bytes_ > 0) << folder_ << ": " << cut_bytes_ << " bytes behind offset "
                               << log_.log_end
                               << (mark_.is_cut ? " were to go, and are gone now"
                                                : " were an unfinished write, and were cut off (" +
                                                      what_ + ")");
  return {};
}

// A log that was emptied before it had anything has a mark, too.
bool LogRecovery::IsFolderDurable() const { return marked_.has_value() && mark_.position > 0; }

Result<void> LogRecovery::FinishFile(const Found& found, const Segment& segment,
                                     std::vector<FilePtr>& dirty) {
  const bool is_last = segment.name == log_.segments.back().name;
  const bool has_tail = found.size > segment.size;
  const bool keeps_tail = is_last && has_room_;
  // What was cut already is perhaps not cut on the disk: as with what is written again.
  const bool cut_again = mark_.is_cut && segment.base() == mark_.segment_base;
  // A segment that was completed since the mark: perhaps its room is still there on the disk.
  const bool completed = !is_last && segment.base() >= mark_.segment_base;
  const uint64_t known = KnownSynced(segment);
  if (is_last) log_.active_file_bytes = keeps_tail ? found.size : segment.size;
  const bool as_it_was = known == segment.size && (!has_tail || keeps_tail);
  if (as_it_was && !cut_again && !completed) return {};
  ASSIGN_OR_RETURN(FilePtr file, files_.Open(JoinPath(folder_, found.name.FileName("log")),
                                             OpenMode::kReadWrite));
  if (cut_again && !has_tail) RETURN_IF_ERROR(file->Truncate(segment.size + 1));
  if ((has_tail && !keeps_tail) || cut_again) RETURN_IF_ERROR(file->Truncate(segment.size));
  if (is_last && has_tail && !keeps_tail) cut_bytes_ += found.size - segment.size;
  RETURN_IF_ERROR(WriteAgain(*file, known, segment.size));
  dirty.push_back(std::move(file));
  return {};
}

Result<void> LogRecovery::Remove(const std::string& name) {
  const std::string path = JoinPath(folder_, name);
  cache_.Forget(path);
  return files_.Remove(path);
}

Result<void> LogRecovery::RemoveLeftovers() {
  for (const SegmentName& index : indexes_) {
    const bool used = std::any_of(log_.segments.begin(), log_.segments.end(),
                                  [&](const Segment& segment) { return segment.name == index; });
    if (!used) leftovers_.push_back(index.FileName("index"));
  }
  for (const Offset offset : snapshots_) {
    const bool used = offset == log_.log_end ||
                      std::any_of(log_.segments.begin(), log_.segments.end(),
                                  [&](const Segment& segment) { return segment.base() == offset; });
    if (!used) leftovers_.push_back(SegmentName{offset}.FileName(kProducersSuffix));
  }
  if (leftovers_.empty()) return {};
  if (checkpoint_.has_value()) {
    ASSIGN_OR_RETURN(const FilePtr file,
                     files_.Open(JoinPath(folder_, kCheckpointFile), OpenMode::kReadWrite));
    RETURN_IF_ERROR(file->Sync());
    RETURN_IF_ERROR(files_.SyncDirectory(folder_));
  }
  for (const std::string& name : leftovers_) RETURN_IF_ERROR(Remove(name));
  return files_.SyncDirectory(folder_);
}

Result<RecoveredLog> LogRecovery::Finish() {
  if (log_.segments.empty()) {
    log_.log_start = log_.log_end;
    log_.mark = {log_.log_end, log_.log_end, log_.log_end, 0, 0};
  } else {
    const Segment& last = log_.segments.back();
    log_.log_start = std::min(std::max(log_.log_start, log_.segments.front().base()), log_.log_end);
    log_.mark = {log_.log_start, log_.log_end, last.base(), last.size, last.chain};
  }
  log_.clean_end = std::min(std::max(log_.clean_end, log_.log_start), log_.log_end);
  log_.is_checkpointed = checkpoint_.has_value() && checkpoint_->end == log_.log_end &&
                         checkpoint_->log_start == log_.log_start;
  log_.epochs.TruncateFromStart(log_.log_start);
  return std::move(log_);
}

Result<RecoveredLog> RecoverLog(LogDirectory& directory, const RecoveryOptions& options) {
  return LogRecovery(directory, options).Run();
}

}  // namespace gregor
