#include "storage/log_recovery.h"

#include <algorithm>
#include <utility>

#include "storage/file_cache.h"
#include "storage/log_checkpoint.h"
#include "storage/log_files.h"
#include "storage/segment_cursor.h"

namespace gregor {
namespace {

constexpr uint64_t kCheckpointBytesMax = 1u << 30;

// One run of RecoverLog().
class Recovery {
 public:
  Recovery(LogDirectory& directory, const RecoveryOptions& options)
      : files_(directory.disk().files()),
        cache_(directory.file_cache()),
        options_(options),
        folder_(directory.PathOf(options.id)),
        marked_(options.mark.has_value() ? options.mark : directory.MarkOf(options.id)),
        mark_(marked_.value_or(SyncedMark())) {
    needs_mark_check_ = marked_.has_value() && mark_.position > 0;
  }

  Result<RecoveredLog> Run() {
    log_.producers = ProducerState(options_.producers);
    RETURN_IF_ERROR(ListFiles());
    RETURN_IF_ERROR(LoadCheckpoint());
    RETURN_IF_ERROR(CheckMarkedFile());
    RETURN_IF_ERROR(ChooseFiles());
    RETURN_IF_ERROR(LoadProducers());
    RETURN_IF_ERROR(Scan());
    RETURN_IF_ERROR(CheckReachedMark());
    ChooseActive();
    RETURN_IF_ERROR(CutAndSync());
    RETURN_IF_ERROR(RemoveLeftovers());
    return Finish();
  }

 private:
  struct Found {
    SegmentName name;
    uint64_t size = 0;
    bool scanned = false;
  };

  Error Damaged(const std::string& what) const {
    return Error(Reason::kStorageError, folder_ + ": " + what +
                                            ". Records that were acknowledged are damaged or "
                                            "missing, so this log is not served; "
                                            "its files are left as they are. Restore them, or "
                                            "delete the topic to give it up")
        .With("path", folder_);
  }
  Error Missing(const SegmentName& name) const {
    return Damaged("segment " + name.FileName("log") + " is missing");
  }
  Error Short(const Found& file, uint64_t synced) const {
    return Damaged("segment " + file.name.FileName("log") + " has " + std::to_string(file.size) +
                   " bytes, and " + std::to_string(synced) + " were synced");
  }

  Result<void> ListFiles() {
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

  // Everything up to a checkpoint was durable before it was written.
  Result<void> LoadCheckpoint() {
    if (!has_checkpoint_) return {};
    log_.checkpoint_end = Offset{INT64_MAX};  // not known
    const std::string path = JoinPath(folder_, kCheckpointFile);
    const auto text = ReadWholeFile(files_, path, kCheckpointBytesMax);
    if (!text.ok()) return {};
    auto checkpoint = LogCheckpoint::Decode(*text, options_.producers);
    if (checkpoint.ok()) {
      const Segment& active = checkpoint->active;
      const bool mark_is_below =
          active.base() > mark_.segment_base ||
          (active.base() == mark_.segment_base && active.size > mark_.position);
      if (mark_is_below) needs_mark_check_ = false;
      checkpoint_ = std::move(*checkpoint);
    } else {
      LOG(WARNING) << path << ": " << checkpoint.error().message << "; the log is read instead";
    }
    return {};
  }

  // The segment that the mark lies in must be there, with at least as many bytes.
  Result<void> CheckMarkedFile() const {
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

  void Leave(const Found& file) { leftovers_.push_back(file.name.FileName("log")); }

  Result<void> ChooseFiles() {
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

  // The file, which is not looked at again; nullopt if it is missing.
  std::optional<Found> TakeFound(const SegmentName& name) {
    const auto found = std::find_if(found_.begin(), found_.end(),
                                    [&](const Found& file) { return file.name == name; });
    if (found == found_.end()) return std::nullopt;
    const Found taken = *found;
    found_.erase(found);
    return taken;
  }

  Result<void> ChooseListed() {
    std::vector<Segment>& complete = checkpoint_->complete;
    const Segment& active = checkpoint_->active;
    for (size_t i = 0; i < complete.size(); ++i) {
      const Offset end = i + 1 < complete.size() ? complete[i + 1].base() : active.base();
      const auto file = TakeFound(complete[i].name);
      if (!file.has_value() && end <= mark_.log_start) continue;  // deleted
      if (!file.has_value()) return Missing(complete[i].name);
      if (file->size < complete[i].size) return Short(*file, complete[i].size);
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

  Result<void> ChooseListedActive() {
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

  // Of producers whose batches were deleted a snapshot in front of what is left tells, unless the
  // checkpoint does.
  Result<void> LoadProducers() {
    const Offset begin = emptied_ || to_scan_.empty() ? std::max(log_.log_end, mark_.segment_base)
                                                      : to_scan_.front().name.base;
    const bool is_known = checkpoint_.has_value() && begin <= checkpoint_->end;
    const bool has_snapshot =
        std::find(snapshots_.begin(), snapshots_.end(), begin) != snapshots_.end();
    if (is_known || !has_snapshot) return {};
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

  Result<void> Scan() {
    for (Found& file : to_scan_) {
      if (emptied_ && file.name.base < mark_.segment_base) {
        // Deleted, or about to be: nothing of it is needed.
        log_.segments.push_back({.name = file.name, .size = file.size});
        from_checkpoint_.reset();
        file.scanned = true;
        log_.log_end = mark_.end_offset;
        continue;
      }
      if (IsReplaced(file)) {
        Leave(file);
        file.scanned = true;
        continue;
      }
      if (!FollowsOn(file)) break;
      file.scanned = true;
      ASSIGN_OR_RETURN(const bool whole, ScanFile(file));
      if (!whole) break;
    }
    return {};
  }

  // Without a checkpoint: what compaction wrote stands for all files within its offsets that are
  // older than it.
  bool IsReplaced(const Found& file) const {
    return !checkpoint_.has_value() && !log_.segments.empty() && file.name.base < log_.log_end &&
           file.name.generation < log_.segments.back().name.generation;
  }

  // Files reach the disk in any order: above the mark a segment may be there whose predecessor is
  // not, or not wholly. Below it gaps are what compaction left.
  bool FollowsOn(const Found& file) {
    const bool is_first = checkpoint_.has_value() ? file.name == checkpoint_->active.name
                                                  : &file == &to_scan_.front();
    if (is_first || file.name.base <= mark_.segment_base || file.name.base == log_.log_end)
      return true;
    what_ = "segment " + file.name.FileName("log") + " begins behind a gap";
    return false;
  }

  // Where the bytes end that may belong to the log.
  uint64_t EndOf(const Found& file) const {
    return mark_.is_cut && file.name.base == mark_.segment_base ? mark_.position : file.size;
  }

  // Reads one segment on. False: nothing goes on after it.
  Result<bool> ScanFile(const Found& found) {
    Segment segment{.name = found.name, .index = std::make_shared<SegmentIndex>()};
    if (from_checkpoint_.has_value()) segment = *std::exchange(from_checkpoint_, std::nullopt);
    if (segment.size == 0 && found.name.base < log_.log_end)
      return Damaged("segments overlap at offset " + std::to_string(found.name.base.value));
    ASSIGN_OR_RETURN(const FilePtr file,
                     files_.Open(JoinPath(folder_, found.name.FileName("log")), OpenMode::kRead));
    if (segment.size == 0) log_.log_end = std::max(log_.log_end, found.name.base);
    if (segment.size == 0 && found.name.base > mark_.segment_base && &found != &to_scan_.front())
      RETURN_IF_ERROR(WriteProducers());
    RETURN_IF_ERROR(CheckAgainstMark(segment));
    const auto last_epoch = log_.epochs.last();
    SegmentCursor cursor(*file,
                         {.position = segment.size,
                          .end = EndOf(found),
                          .next_offset = log_.log_end,
                          .epoch = last_epoch.has_value() ? last_epoch->epoch : kNoLeaderEpoch,
                          .batch_bytes_max = options_.batch_bytes_max});
    while (true) {
      ASSIGN_OR_RETURN(const auto batch, cursor.Next());
      if (!batch.has_value()) break;
      // Nothing says how far it was synced, and no torn write has a right checksum.
      if (!marked_.has_value() && IsGap(segment, batch->header))
        return Damaged("offset " + std::to_string(batch->header.base_offset.value) + " follows " +
                       std::to_string(log_.log_end.value));
      what_ = ReasonToDoubt(segment, batch->header);
      if (!what_.empty()) break;
      Note(segment, batch->header);
      RETURN_IF_ERROR(CheckAgainstMark(segment));
    }
    if (what_.empty()) what_ = cursor.what();
    const bool whole = what_.empty();
    const bool is_last = &found == &to_scan_.back();
    if (whole && !is_last) RETURN_IF_ERROR(WriteIndexFile(files_, folder_, segment));
    log_.segments.push_back(std::move(segment));
    return whole;
  }

  // The snapshot of producers in front of a segment is synced with the segment: above the mark it
  // may be torn, and what it should say is known only now, not once the segments before it are
  // deleted.
  Result<void> WriteProducers() {
    if (log_.producers.id_count() == 0) return {};
    const std::string name = SegmentName{log_.log_end}.FileName(kProducersSuffix);
    ASSIGN_OR_RETURN(FilePtr file, files_.Open(JoinPath(folder_, name), OpenMode::kCreate));
    RETURN_IF_ERROR(file->Truncate(0));
    const auto written = file->Write(0, Slice::Own(log_.producers.Encode(log_.log_end)));
    // A full disk is no reason not to serve the log.
    if (!written.ok() && written.error().reason != Reason::kDiskFull) return written.error();
    LOG_IF(WARNING, !written.ok()) << written.error();
    dirty_.push_back(std::move(file));
    return {};
  }

  // A bit may have flipped that no checksum covers: in the epoch, or in the offset, since what was
  // appended last continues without a gap.
  std::string ReasonToDoubt(const Segment& segment, const BatchHeader& header) const {
    if (header.leader_epoch > options_.epoch_max)
      return "a batch of an epoch that no leader has had yet";
    const bool is_above_mark =
        marked_.has_value() && (segment.base() > mark_.segment_base ||
                                (segment.base() == mark_.segment_base && !needs_mark_check_));
    return is_above_mark && IsGap(segment, header) ? "a batch behind a gap" : "";
  }

  bool IsGap(const Segment& segment, const BatchHeader& header) const {
    return header.base_offset != log_.log_end && segment.name.generation == 0 &&
           !options_.gaps_allowed;
  }

  void Note(Segment& segment, const BatchHeader& header) {
    segment.Note(header, log_.log_end, options_.index_interval_bytes);
    log_.epochs.Assign(header.leader_epoch, header.base_offset);
    log_.producers.Note(header, options_.now);
    log_.log_end = header.next_offset();
  }

  // Reading has come to the mark's position, or beyond it in one step: it must be what was synced
  // there.
  Result<void> CheckAgainstMark(const Segment& segment) {
    if (!needs_mark_check_ || segment.base() != mark_.segment_base || segment.size < mark_.position)
      return {};
    needs_mark_check_ = false;
    if (segment.size == mark_.position && segment.chain == mark_.chain &&
        log_.log_end == mark_.end_offset)
      return {};
    return Damaged("the batches in " + segment.name.FileName("log") + " before position " +
                   std::to_string(mark_.position) + " are not those that were synced");
  }

  Result<void> CheckReachedMark() const {
    if (!marked_.has_value()) return {};
    const bool reached = !needs_mark_check_ && log_.log_end >= mark_.end_offset;
    if (reached) return {};
    std::string where = "there are no segment files";
    if (!log_.segments.empty()) {
      const Segment& last = log_.segments.back();
      where = "in " + last.name.FileName("log") + " at position " + std::to_string(last.size) +
              " lies " + (what_.empty() ? "the end of the file" : what_);
    }
    return Damaged(where + ", and everything up to offset " +
                   std::to_string(mark_.end_offset.value) + " was synced");
  }

  // The last segment that has batches, unless only its checkpoint is known of it: then an empty one
  // follows.
  void ChooseActive() {
    std::vector<Segment>& segments = log_.segments;
    while (segments.size() > 1 && segments.back().size == 0) segments.pop_back();
    for (const Found& file : to_scan_) {
      const bool used = std::any_of(segments.begin(), segments.end(), [&](const Segment& segment) {
        return segment.name == file.name;
      });
      const bool replaced = file.scanned && !used && file.name.base < log_.log_end;
      if (!used && !replaced) torn_.push_back(file);
    }
    if (!segments.empty() && segments.back().index == nullptr) {
      segments.push_back({.name = {log_.log_end, 0}, .index = std::make_shared<SegmentIndex>()});
    }
    log_.log_start =
        marked_.has_value() || segments.empty() ? mark_.log_start : segments.front().base();
  }

  // What lies behind the last whole batch is a torn write that nobody was promised; then nothing
  // unsynced is left.
  Result<void> CutAndSync() {
    if (!folder_exists_) return {};
    uint64_t cut_bytes = 0;
    for (const Found& file : torn_) {
      cut_bytes += file.size;
      RETURN_IF_ERROR(Remove(file.name.FileName("log")));
    }
    // Of a segment that has no file yet.
    if (log_.log_end > mark_.segment_base &&
        std::find(snapshots_.begin(), snapshots_.end(), log_.log_end) != snapshots_.end())
      RETURN_IF_ERROR(WriteProducers());
    std::vector<FilePtr> dirty = std::move(dirty_);
    for (const Found& found : to_scan_) {
      const auto segment =
          std::find_if(log_.segments.begin(), log_.segments.end(),
                       [&](const Segment& each) { return each.name == found.name; });
      if (segment == log_.segments.end() || segment->base() < mark_.segment_base ||
          std::any_of(torn_.begin(), torn_.end(),
                      [&](const Found& torn) { return torn.name == found.name; }))
        continue;
      ASSIGN_OR_RETURN(FilePtr file, files_.Open(JoinPath(folder_, found.name.FileName("log")),
                                                 OpenMode::kReadWrite));
      if (segment + 1 == log_.segments.end() && found.size > segment->size) {
        if (!what_.empty()) cut_bytes += found.size - segment->size;
        RETURN_IF_ERROR(file->Truncate(segment->size));
      } else if (mark_.is_cut && segment->base() == mark_.segment_base) {
        // It was cut already, but perhaps not on the disk: as with what is written again.
        RETURN_IF_ERROR(file->Truncate(segment->size + 1));
        RETURN_IF_ERROR(file->Truncate(segment->size));
      }
      const uint64_t synced = segment->base() == mark_.segment_base ? mark_.position : 0;
      RETURN_IF_ERROR(WriteAgain(*file, synced, segment->size));
      dirty.push_back(std::move(file));
    }
    RETURN_IF_ERROR(files_.SyncAll(dirty));
    RETURN_IF_ERROR(files_.SyncDirectory(folder_));
    LOG_IF(INFO, cut_bytes > 0) << folder_ << ": " << cut_bytes << " bytes behind offset "
                                << log_.log_end
                                << " were room or an unfinished write, and were cut off (" << what_
                                << ")";
    return {};
  }

  // A log that is cut goes on with the names that it had, and not with the files.
  Result<void> Remove(const std::string& name) {
    const std::string path = JoinPath(folder_, name);
    cache_.Forget(path);
    return files_.Remove(path);
  }

  // Files that are no part of the log. What says so must be durable before they go.
  Result<void> RemoveLeftovers() {
    for (const SegmentName& index : indexes_) {
      const bool used = std::any_of(log_.segments.begin(), log_.segments.end(),
                                    [&](const Segment& segment) { return segment.name == index; });
      if (!used) leftovers_.push_back(index.FileName("index"));
    }
    for (const Offset offset : snapshots_) {
      const bool used =
          offset == log_.log_end ||
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

  Result<RecoveredLog> Finish() {
    if (log_.segments.empty()) {
      log_.log_start = log_.log_end;
      log_.mark = {log_.log_end, log_.log_end, log_.log_end, 0, 0};
    } else {
      const Segment& last = log_.segments.back();
      log_.log_start =
          std::min(std::max(log_.log_start, log_.segments.front().base()), log_.log_end);
      log_.mark = {log_.log_start, log_.log_end, last.base(), last.size, last.chain};
    }
    log_.clean_end = std::min(std::max(log_.clean_end, log_.log_start), log_.log_end);
    log_.epochs.TruncateFromStart(log_.log_start);
    return std::move(log_);
  }

  FileSystem& files_;
  FileCache& cache_;
  const RecoveryOptions& options_;
  const std::string folder_;
  const std::optional<SyncedMark> marked_;
  const SyncedMark mark_;  // zeros where there is none
  bool needs_mark_check_ = false;
  bool emptied_ = false;  // the mark says that the log begins there and has nothing yet
  bool folder_exists_ = false;
  bool has_checkpoint_ = false;
  std::vector<Found> found_;
  std::vector<SegmentName> indexes_;
  std::vector<Offset> snapshots_;       // of producers, at these offsets
  std::vector<FilePtr> dirty_;          // of those, what was written
  std::vector<std::string> leftovers_;  // names of files
  std::optional<LogCheckpoint> checkpoint_;
  std::optional<Segment> from_checkpoint_;  // the first of to_scan_, as far as it is known
  std::vector<Found> to_scan_;
  std::vector<Found> torn_;
  std::string what_;  // why the last scan ended, if not at the end of its file
  RecoveredLog log_;
};

}  // namespace

Result<RecoveredLog> RecoverLog(LogDirectory& directory, const RecoveryOptions& options) {
  return Recovery(directory, options).Run();
}

}  // namespace gregor
