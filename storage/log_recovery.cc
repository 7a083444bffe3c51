#include <algorithm>
#include <utility>

#include "storage/file_cache.h"
#include "storage/log_files.h"

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
        mark_(options.mark.has_value() ? options.mark : directory.MarkOf(options.id)) {}

  Result<RecoveredLog> Run() {
    log_.producers = ProducerState(options_.producers);
    RETURN_IF_ERROR(ListSegments());
    RETURN_IF_ERROR(FinishReset());
    if (segments_.empty()) return Empty();
    RETURN_IF_ERROR(CheckMarkedSegment());
    RETURN_IF_ERROR(LoadCheckpoint());
    for (next_ = first_scanned_; next_ < segments_.size() && FollowsOn(segments_[next_]); ++next_) {
      ASSIGN_OR_RETURN(const bool whole, ScanSegment());
      if (!whole) break;
    }
    RETURN_IF_ERROR(CheckReachedMark());
    // Marks never lie at the beginning of a segment that others precede.
    while (log_.segments.size() > 1 && log_.segments.back().size == 0) log_.segments.pop_back();
    RETURN_IF_ERROR(CutAndSync());
    return Finish();
  }

 private:
  struct Found {
    Offset base;
    uint64_t file_size = 0;
  };

  Error Damaged(const std::string& what) const {
    return Error(Reason::kStorageError, folder_ + ": " + what +
                                            ". Records that were acknowledged are damaged or "
                                            "missing, so this log is not served; "
                                            "its files are left as they are. Restore them, or "
                                            "delete the topic to give it up")
        .With("path", folder_);
  }

  Result<void> ListSegments() {
    ASSIGN_OR_RETURN(const bool exists, files_.Exists(folder_));
    if (!exists) return {};
    ASSIGN_OR_RETURN(const auto entries, files_.List(folder_));
    for (const DirectoryEntry& entry : entries) {
      const auto base = ParseSegmentFileName(entry.name, "log");
      if (base.has_value()) segments_.push_back({*base, entry.size});
    }
    std::sort(segments_.begin(), segments_.end(),
              [](const Found& a, const Found& b) { return a.base < b.base; });
    return {};
  }

  // A mark at the beginning of its segment says that the log was emptied and begins there. Segments
  // before it show that this is not done: then all that is here was on its way out.
  Result<void> FinishReset() {
    if (!mark_.has_value() || mark_->position > 0 || segments_.empty() ||
        segments_.front().base >= mark_->segment_base)
      return {};
    // Those before it go last, and only when the others are gone for good.
    while (!segments_.empty()) {
      const Offset base = segments_.back().base;
      const bool is_before = base < mark_->segment_base;
      if (is_before) RETURN_IF_ERROR(files_.SyncDirectory(folder_));
      RETURN_IF_ERROR(RemoveSegment(base));
      segments_.pop_back();
    }
    return files_.SyncDirectory(folder_);
  }

  Result<RecoveredLog> Empty() {
    // Segments that were removed must not come back.
    ASSIGN_OR_RETURN(const bool exists, files_.Exists(folder_));
    if (exists) RETURN_IF_ERROR(files_.SyncDirectory(folder_));
    if (mark_.has_value() && (mark_->position > 0 || mark_->end_offset > mark_->segment_base)) {
      return Damaged("there are no segment files, and records up to offset " +
                     std::to_string(mark_->end_offset.value) + " were synced");
    }
    if (mark_.has_value()) {
      log_.log_start = mark_->log_start;
      log_.log_end = mark_->end_offset;
      log_.mark = *mark_;
    }
    return std::move(log_);
  }

  // The segment that the mark lies in must be there, with at least as many bytes.
  Result<void> CheckMarkedSegment() {
    if (!mark_.has_value())
      mark_ =
          SyncedMark{segments_.front().base, segments_.front().base, segments_.front().base, 0, 0};
    if (mark_->position == 0) return {};
    const auto found = std::find_if(segments_.begin(), segments_.end(), [&](const Found& segment) {
      return segment.base == mark_->segment_base;
    });
    if (found == segments_.end())
      return Damaged("segment " + SegmentFileName(mark_->segment_base, "log") + " is missing");
    if (found->file_size >= mark_->position) return {};
    return Damaged("segment " + SegmentFileName(mark_->segment_base, "log") + " has " +
                   std::to_string(found->file_size) + " bytes, and " +
                   std::to_string(mark_->position) + " were synced");
  }

  // Where to begin to read. Everything up to a checkpoint was durable before it was written.
  Result<void> LoadCheckpoint() {
    log_.log_start = std::max(mark_->log_start, segments_.front().base);
    log_.log_end = segments_.front().base;
    const std::string path = JoinPath(folder_, "checkpoint");
    ASSIGN_OR_RETURN(const bool exists, files_.Exists(path));
    if (!exists) return {};
    const auto text = ReadWholeFile(files_, path, kCheckpointBytesMax);
    if (!text.ok()) return {};
    auto checkpoint = LogCheckpoint::Decode(*text, options_.producers);
    if (!checkpoint.ok()) {
      LOG(WARNING) << path << ": " << checkpoint.error().message << "; the log is read instead";
      return {};
    }
    const auto active = std::find_if(segments_.begin(), segments_.end(), [&](const Found& segment) {
      return segment.base == checkpoint->active.base;
    });
    if (active == segments_.end() || active->file_size < checkpoint->active.size) return {};
    first_scanned_ = static_cast<size_t>(active - segments_.begin());
    for (size_t i = 0; i < first_scanned_; ++i)
      log_.segments.push_back(
          {segments_[i].base, segments_[i].file_size, 0, nullptr, Timestamp{-1}});
    log_.epochs = std::move(checkpoint->epochs);
    log_.producers = std::move(checkpoint->producers);
    log_.log_end = checkpoint->end;
    from_checkpoint_ = std::move(checkpoint->active);
    return {};
  }

  // Reads one segment on. False: it does not go on after it.
  Result<bool> ScanSegment() {
    const Found& found = segments_[next_];
    Segment segment{found.base, 0, 0, std::make_shared<SegmentIndex>(), Timestamp{-1}};
    if (from_checkpoint_.has_value()) segment = *std::exchange(from_checkpoint_, std::nullopt);
    if (segment.size == 0 && found.base < log_.log_end)
      return Damaged("segments overlap at offset " + std::to_string(found.base.value));
    ASSIGN_OR_RETURN(
        const FilePtr file,
        files_.Open(JoinPath(folder_, SegmentFileName(found.base, "log")), OpenMode::kRead));
    std::optional<Error> contradiction = CheckAgainstMark(segment);
    const LeaderEpoch epoch =
        log_.epochs.last().has_value() ? log_.epochs.last()->epoch : kNoLeaderEpoch;
    const Offset next_offset =
        segment.size == 0 ? std::max(found.base, log_.log_end) : log_.log_end;
    bool believed = true;
    ASSIGN_OR_RETURN(
        const SegmentWalk walk,
        WalkSegment(*file, segment.size, found.file_size, next_offset, epoch,
                    options_.batch_bytes_max, [&](const BatchHeader& header, uint64_t position) {
                      believed = header.leader_epoch <= options_.epoch_max;
                      if (!believed) return false;
                      Note(segment, header, position);
                      contradiction = CheckAgainstMark(segment);
                      return !contradiction.has_value();
                    }));
    if (contradiction.has_value()) return *contradiction;
    what_ = believed ? walk.what : "a batch of an epoch that no leader has had yet";
    const bool is_last = next_ + 1 == segments_.size();
    const bool whole = walk.at_end && believed;
    if (!is_last && whole) RETURN_IF_ERROR(WriteIndexFile(files_, folder_, segment));
    log_.segments.push_back(std::move(segment));
    return whole;
  }

  // Files reach the disk in any order: above the mark a segment may be there whose predecessor is
  // not, or not wholly. Below it gaps are what compaction left.
  bool FollowsOn(const Found& segment) {
    if (next_ == first_scanned_ || segment.base <= mark_->segment_base ||
        segment.base == log_.log_end)
      return true;
    what_ = "segment " + SegmentFileName(segment.base, "log") + " begins behind a gap";
    return false;
  }

  void Note(Segment& segment, const BatchHeader& header, uint64_t position) {
    segment.index->Note(header, position, options_.index_interval_bytes);
    segment.chain = ChainCrc(segment.chain, header);
    segment.size = position + header.size();
    log_.epochs.Assign(header.leader_epoch, header.base_offset);
    log_.producers.Note(header, options_.now);
    log_.log_end = header.next_offset();
  }

  // Reading has come to the mark's position, or beyond it in one step: it must be what was synced
  // there.
  std::optional<Error> CheckAgainstMark(const Segment& segment) const {
    if (segment.base != mark_->segment_base || mark_->position == 0 ||
        segment.size < mark_->position)
      return std::nullopt;
    if (segment.size > mark_->position) return std::nullopt;  // only from a checkpoint beyond it
    if (segment.chain == mark_->chain && log_.log_end == mark_->end_offset) return std::nullopt;
    return Damaged("the batches in " + SegmentFileName(segment.base, "log") + " before position " +
                   std::to_string(mark_->position) + " are not those that were synced");
  }

  Result<void> CheckReachedMark() const {
    const Segment& last = log_.segments.back();
    const bool reached = last.base > mark_->segment_base ||
                         (last.base == mark_->segment_base && last.size >= mark_->position);
    if (reached || mark_->position == 0) return {};
    return Damaged(
        "in " + SegmentFileName(last.base, "log") + " at position " + std::to_string(last.size) +
        " lies " + (what_.empty() ? "the end of the file" : what_) +
        ", and everything up to offset " + std::to_string(mark_->end_offset.value) + " was synced");
  }

  // What lies behind the last whole batch is a torn write that nobody was promised; then nothing
  // unsynced is left.
  Result<void> CutAndSync() {
    const Segment& last = log_.segments.back();
    const size_t index = log_.segments.size() - 1;
    uint64_t cut_bytes = 0;
    for (size_t i = index + 1; i < segments_.size(); ++i) {
      cut_bytes += segments_[i].file_size;
      RETURN_IF_ERROR(RemoveSegment(segments_[i].base));
    }
    std::vector<FilePtr> dirty;
    for (size_t i = 0; i <= index; ++i) {
      if (segments_[i].base < mark_->segment_base) continue;
      const uint64_t synced = segments_[i].base == mark_->segment_base ? mark_->position : 0;
      ASSIGN_OR_RETURN(FilePtr file,
                       files_.Open(JoinPath(folder_, SegmentFileName(segments_[i].base, "log")),
                                   OpenMode::kReadWrite));
      if (i == index && segments_[i].file_size > last.size) {
        if (!what_.empty()) cut_bytes += segments_[i].file_size - last.size;
        RETURN_IF_ERROR(file->Truncate(last.size));
      }
      RETURN_IF_ERROR(WriteAgain(*file, synced, log_.segments[i].size));
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

  // After a sync that failed the system may hold pages that are not on the disk, and believe that
  // they are: a later sync would pass them over. What is written anew it has to write.
  static Result<void> WriteAgain(File& file, uint64_t begin, uint64_t end) {
    constexpr uint64_t kChunkBytes = 1u << 20;
    while (begin < end) {
      std::string chunk(std::min(kChunkBytes, end - begin), '\0');
      ASSIGN_OR_RETURN(const size_t read,
                       file.Read(begin, {reinterpret_cast<uint8_t*>(chunk.data()), chunk.size()}));
      if (read == 0) return {};
      chunk.resize(read);
      RETURN_IF_ERROR(file.Write(begin, Slice::Own(std::move(chunk))));
      begin += read;
    }
    return {};
  }

  Result<RecoveredLog> Finish() {
    log_.log_start = std::min(std::max(log_.log_start, mark_->log_start), log_.log_end);
    log_.epochs.TruncateFromStart(log_.log_start);
    const Segment& last = log_.segments.back();
    log_.mark = {log_.log_start, log_.log_end, last.base, last.size, last.chain};
    return std::move(log_);
  }

  // A log that is cut goes on with the names that it had, and not with the files.
  Result<void> RemoveSegment(Offset base) {
    const std::string path = JoinPath(folder_, SegmentFileName(base, "log"));
    cache_.Forget(path);
    RETURN_IF_ERROR(files_.Remove(path));
    return files_.Remove(JoinPath(folder_, SegmentFileName(base, "index")));
  }

  FileSystem& files_;
  FileCache& cache_;
  const RecoveryOptions& options_;
  const std::string folder_;
  std::optional<SyncedMark> mark_;
  std::vector<Found> segments_;
  size_t first_scanned_ = 0;
  size_t next_ = 0;
  std::optional<Segment> from_checkpoint_;
  std::string what_;  // why the last walk ended, if not at the end of its file
  RecoveredLog log_;
};

}  // namespace

Result<RecoveredLog> RecoverLog(LogDirectory& directory, const RecoveryOptions& options) {
  return Recovery(directory, options).Run();
}

}  // namespace gregor
