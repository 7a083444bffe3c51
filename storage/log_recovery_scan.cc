// LogRecovery: reading what no checkpoint tells.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "storage/log_files.h"
#include "storage/log_recovery_impl.h"
#include "storage/segment_cursor.h"

namespace gregor {

Result<void> LogRecovery::Scan() {
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
    if (const auto next = EndOfDeleted(file); next.has_value()) {
      ScanDeleted(file, *next);
      continue;
    }
    ASSIGN_OR_RETURN(const bool whole, ScanFile(file));
    if (!whole) break;
  }
  return {};
}

std::optional<Offset> LogRecovery::EndOfDeleted(const Found& file) const {
  if (!marked_.has_value()) return std::nullopt;
  const auto next = std::find_if(to_scan_.begin(), to_scan_.end(), [&](const Found& other) {
    return other.name.base > file.name.base;
  });
  if (next == to_scan_.end() || next->name.base > mark_.log_start) return std::nullopt;
  return next->name.base;
}

void LogRecovery::ScanDeleted(const Found& file, Offset next) {
  const EpochCache epochs = log_.epochs;
  const std::string producers = log_.producers.Encode(log_.log_end);
  const std::vector<Segment> segments = log_.segments;
  const Result<bool> whole = ScanFile(file);
  if (whole.ok() && *whole && log_.log_end <= next) return;
  if (what_.empty()) what_ = "it ends behind the beginning of the next one";
  LOG(WARNING) << JoinPath(folder_, file.name.FileName("log")) << " is damaged ("
               << (whole.ok() ? what_ : whole.error().message)
               << "); all of it was deleted before, so it is removed";
  log_.epochs = epochs;
  log_.producers = ProducerState(options_.producers);
  CHECK(log_.producers.Decode(producers).ok());
  log_.segments = segments;
  log_.log_end = file.name.base;
  what_.clear();
  has_room_ = false;
  Leave(file);
}

bool LogRecovery::IsReplaced(const Found& file) const {
  return !checkpoint_.has_value() && !log_.segments.empty() && file.name.base < log_.log_end &&
         file.name.generation < log_.segments.back().name.generation;
}

bool LogRecovery::FollowsOn(const Found& file) {
  const bool is_first =
      checkpoint_.has_value() ? file.name == checkpoint_->active.name : &file == &to_scan_.front();
  // One that begins before the end is no torn write: it is read, and refused.
  if (is_first || file.name.base <= mark_.segment_base || file.name.base <= log_.log_end)
    return true;
  what_ = "segment " + file.name.FileName("log") + " begins behind a gap";
  return false;
}

uint64_t LogRecovery::EndOf(const Found& file) const {
  return mark_.is_cut && file.name.base == mark_.segment_base ? mark_.position : file.size;
}

Result<bool> LogRecovery::ScanFile(const Found& found) {
  Segment segment{.name = found.name, .index = std::make_shared<SegmentIndex>()};
  if (from_checkpoint_.has_value()) segment = *std::exchange(from_checkpoint_, std::nullopt);
  if (segment.size == 0 && found.name.base < log_.log_end)
    return Damaged("segments overlap at offset " + std::to_string(found.name.base.value));
  // Of segments that were deleted in between only the snapshot knows whose batches they had.
  if (segment.size == 0 && found.name.base > log_.log_end)
    RETURN_IF_ERROR(LoadProducersAt(found.name.base));
  if (segment.size == 0) log_.log_end = std::max(log_.log_end, found.name.base);
  if (segment.size == 0 && found.name.base > mark_.segment_base && &found != &to_scan_.front())
    RETURN_IF_ERROR(WriteProducers());
  RETURN_IF_ERROR(CheckAgainstMark(segment));
  what_.clear();
  has_room_ = false;
  const uint64_t known = segment.size;
  if (segment.size < EndOf(found)) RETURN_IF_ERROR(ReadOn(found, segment));
  log_.unread_bytes += segment.size - known;
  const bool is_last = &found == &to_scan_.back();
  // The room of a segment that is complete is cut off beside the first write of the next one, so it
  // may be there yet.
  const bool whole =
      what_.empty() && (!has_room_ || is_last || (&found)[1].name == SegmentName{log_.log_end});
  if (whole && !is_last) {
    // It is built again when it is needed.
    const auto written = WriteIndexFile(files_, folder_, segment);
    if (!written.ok() && !IsShortage(written.error())) return written.error();
  }
  log_.segments.push_back(std::move(segment));
  return whole;
}

Result<void> LogRecovery::ReadOn(const Found& found, Segment& segment) {
  ASSIGN_OR_RETURN(const FilePtr file,
                   files_.Open(JoinPath(folder_, found.name.FileName("log")), OpenMode::kRead));
  // Most often a log that was idle has nothing there but room.
  if (segment.size > 0) {
    ASSIGN_OR_RETURN(has_room_, file->IsBlank(segment.size));
    if (has_room_) return {};
  }
  const auto last_epoch = log_.epochs.last();
  SegmentCursor cursor(*file, {.position = segment.size,
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
    if (batch->header.leader_epoch > options_.epoch_max) return Ahead(batch->header.leader_epoch);
    what_ = ReasonToDoubt(segment, batch->header);
    if (!what_.empty()) return {};
    Note(segment, batch->header);
    RETURN_IF_ERROR(CheckAgainstMark(segment));
  }
  what_ = cursor.what();
  if (!what_.empty()) {
    ASSIGN_OR_RETURN(has_room_, file->IsBlank(segment.size));
    if (has_room_) what_.clear();
  }
  return {};
}

std::string LogRecovery::ReasonToDoubt(const Segment& segment, const BatchHeader& header) const {
  const bool is_above_mark =
      marked_.has_value() && (segment.base() > mark_.segment_base ||
                              (segment.base() == mark_.segment_base && !needs_mark_check_));
  return is_above_mark && IsGap(segment, header) ? "a batch behind a gap" : "";
}

bool LogRecovery::IsGap(const Segment& segment, const BatchHeader& header) const {
  return header.base_offset != log_.log_end && segment.name.generation == 0 &&
         !options_.gaps_allowed;
}

void LogRecovery::Note(Segment& segment, const BatchHeader& header) {
  segment.Note(header, log_.log_end, options_.index_interval_bytes);
  segment.appended_at = std::max(segment.appended_at, options_.now);
  log_.epochs.Assign(header.leader_epoch, header.base_offset);
  log_.producers.Note(header, options_.now);
  log_.log_end = header.next_offset();
}

Result<void> LogRecovery::CheckAgainstMark(const Segment& segment) {
  if (!needs_mark_check_ || segment.base() != mark_.segment_base || segment.size < mark_.position)
    return {};
  needs_mark_check_ = false;
  if (segment.size == mark_.position && segment.chain == mark_.chain &&
      log_.log_end == mark_.end_offset)
    return {};
  return Damaged("the batches in " + segment.name.FileName("log") + " before position " +
                 std::to_string(mark_.position) + " are not those that were synced");
}

bool LogRecovery::CouldFollow(const BatchHeader& header) const {
  const int64_t distance = header.base_offset - log_.log_end;
  return distance >= 0 && distance <= INT32_MAX && header.last_offset_delta >= 0 &&
         header.leader_epoch >= LeaderEpoch{0} && header.leader_epoch <= options_.epoch_max;
}

Result<void> LogRecovery::CheckNothingBehind() const {
  if (!is_doubtful_) return {};
  const auto open = [this](const Found& file) {
    return files_.Open(JoinPath(folder_, file.name.FileName("log")), OpenMode::kRead);
  };
  const std::string doubt = ", and how much of this log was synced is not known";
  for (const Found& found : to_scan_) {
    const bool is_last = !log_.segments.empty() && log_.segments.back().name == found.name;
    if (found.scanned && (!is_last || what_.empty())) continue;
    ASSIGN_OR_RETURN(const FilePtr file, open(found));
    const uint64_t known = found.scanned ? log_.segments.back().size : 0;
    ASSIGN_OR_RETURN(const auto sound,
                     FindBatch(*file, known, EndOf(found), options_.batch_bytes_max,
                               [this](const BatchHeader& header) { return CouldFollow(header); }));
    if (!sound.has_value()) continue;
    return Damaged("batches follow in " + found.name.FileName("log") + " at position " +
                   std::to_string(*sound) + " behind " +
                   (what_.empty() ? "the end of a segment" : what_) + doubt);
  }
  return {};
}

Result<void> LogRecovery::CheckReachedMark() const {
  if (!marked_.has_value()) return {};
  const bool reached = !needs_mark_check_ && log_.log_end >= mark_.end_offset;
  // The segment that the mark lies in may have no file yet; those before it have.
  const bool lacks_all =
      log_.segments.empty() && !mark_.is_cut && mark_.log_start < mark_.end_offset;
  if (reached && !lacks_all) return {};
  std::string where = "there are no segment files";
  if (!log_.segments.empty()) {
    const Segment& last = log_.segments.back();
    where = "in " + last.name.FileName("log") + " at position " + std::to_string(last.size) +
            " lies " + (what_.empty() ? "the end of the file" : what_);
  }
  return Damaged(where + ", and everything up to offset " + std::to_string(mark_.end_offset.value) +
                 " was synced");
}

}  // namespace gregor
