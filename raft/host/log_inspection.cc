#include "raft/host/log_inspection.h"

#include <glog/logging.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "raft/host/control_records.h"
#include "storage/log_checkpoint.h"
#include "storage/log_files.h"
#include "storage/segment_cursor.h"

namespace gregor {
namespace {

constexpr uint64_t kCheckpointBytesMax = 1u << 30;
constexpr Offset kNoEnd{std::numeric_limits<int64_t>::max()};

Result<FilePtr> OpenSegment(FileSystem& files, const std::string& folder, const SegmentName& name) {
  return files.Open(JoinPath(folder, name.FileName(kLogSuffix)), OpenMode::kRead);
}

// Finds the sound batches of one segment, over whatever lies between them.
class SegmentReader {
 public:
  struct Batch {
    BatchHeader header;
    uint64_t position = 0;
  };
  // Offsets lie in [next, limit).
  SegmentReader(File& file, uint64_t end, Offset next, Offset limit, LeaderEpoch epoch,
                size_t batch_bytes_max)
      : file_(file),
        end_(end),
        limit_(limit),
        batch_bytes_max_(batch_bytes_max),
        epoch_(epoch),
        cursor_(CursorAt(0, next, epoch)) {}

  // The next one. nullopt: no more. Fails with kStorageError.
  Result<std::optional<Batch>> Next() {
    while (true) {
      const uint64_t position = cursor_.position();
      const Offset next = cursor_.next_offset();
      ASSIGN_OR_RETURN(const auto batch, cursor_.Next());
      if (batch.has_value() && batch->header.next_offset() <= limit_) {
        epoch_ = batch->header.leader_epoch;
        return std::optional(Batch{batch->header, batch->position});
      }
      if (position >= end_) return std::optional<Batch>();
      ASSIGN_OR_RETURN(const bool is_room, file_.IsBlank(position));
      if (is_room) return std::optional<Batch>();
      ASSIGN_OR_RETURN(const auto sound, FindNext(position + 1, next));
      if (!sound.has_value()) return std::optional<Batch>();
      cursor_ = CursorAt(*sound, next, epoch_);
    }
  }

 private:
  SegmentCursor CursorAt(uint64_t position, Offset next, LeaderEpoch epoch) {
    return SegmentCursor(file_, {.position = position,
                                 .end = end_,
                                 .next_offset = next,
                                 .epoch = epoch,
                                 .batch_bytes_max = batch_bytes_max_});
  }
  Result<std::optional<uint64_t>> FindNext(uint64_t position, Offset next) {
    return FindBatch(file_, position, end_, batch_bytes_max_, [&](const BatchHeader& header) {
      return header.base_offset >= next && header.last_offset_delta >= 0 &&
             header.base_offset - next <= std::numeric_limits<int32_t>::max() &&
             header.next_offset() <= limit_ && header.leader_epoch >= epoch_;
    });
  }

  File& file_;
  const uint64_t end_;
  const Offset limit_;
  const size_t batch_bytes_max_;
  LeaderEpoch epoch_;
  SegmentCursor cursor_;
};

// One InspectLog().
class Inspection {
 public:
  Inspection(FileSystem& files, const std::string& folder, size_t batch_bytes_max)
      : files_(files), folder_(folder), batch_bytes_max_(batch_bytes_max) {}

  Result<LogInspection> Run(std::optional<SyncedMark> mark) {
    if (mark.has_value()) is_doubtful_ = std::exchange(mark->is_doubtful, false);
    if (is_doubtful_ && *mark == SyncedMark()) mark.reset();
    found_.mark = mark;
    RETURN_IF_ERROR(UseCheckpoint());
    ASSIGN_OR_RETURN(segments_, ListSegments(files_, folder_));
    DropWhatIsGone();
    const SyncedMark known = found_.mark.value_or(SyncedMark());
    is_emptied_ = known.position == 0 && known.log_start == known.segment_base;
    if (found_.mark.has_value()) {
      next_ = is_emptied_ ? known.end_offset : known.log_start;
    } else if (!segments_.empty()) {
      next_ = segments_.front().name.base;
    }
    // Records in front of the log's start may be there yet.
    if (!segments_.empty()) next_ = std::min(next_, segments_.front().name.base);
    found_.start = next_;
    for (const SegmentFile& segment : segments_) found_.bases.push_back(segment.name.base);
    for (size_t i = 0; i < segments_.size() && !is_over_; ++i) {
      const bool is_last = i + 1 == segments_.size();
      Read(segments_[i], is_last ? kNoEnd : segments_[i + 1].name.base);
    }
    if (next_ < known.end_offset) found_.holes.push_back({next_, known.end_offset, std::nullopt});
    if (chain_is_wrong_) DoubtMarkedSegment();
    found_.end = std::max(next_, known.end_offset);
    if (!found_.holes.empty()) {
      for (const SoundRun& run : found_.runs) {
        if (const auto read = FindVoters(run); !read.ok()) SayUnreadable(read.error());
      }
    }
    return std::move(found_);
  }

 private:
  // A log's checkpoint says what was synced, too.
  Result<void> UseCheckpoint() {
    const std::string path = JoinPath(folder_, kCheckpointFile);
    ASSIGN_OR_RETURN(const bool exists, files_.Exists(path));
    if (!exists) return {};
    const auto text = ReadWholeFile(files_, path, kCheckpointBytesMax);
    if (!text.ok()) return {};
    const auto checkpoint = LogCheckpoint::Decode(*text, {});
    if (!checkpoint.ok() || (found_.mark.has_value() && found_.mark->is_cut)) return {};
    const SyncedMark mark = found_.mark.value_or(SyncedMark());
    const Offset start = std::max(mark.log_start, checkpoint->log_start);
    const Segment& active = checkpoint->active;
    if (!found_.mark.has_value() || (is_doubtful_ && checkpoint->end > mark.end_offset))
      found_.mark = {start, checkpoint->end, active.base(), active.size, active.chain};
    found_.mark->log_start = start;
    return {};
  }

  // Segments that are on their way out.
  void DropWhatIsGone() {
    if (!found_.mark.has_value()) return;
    const SyncedMark& mark = *found_.mark;
    const bool is_emptied = mark.position == 0 && mark.log_start == mark.segment_base;
    std::erase_if(segments_, [&](const SegmentFile& segment) {
      const Offset base = segment.name.base;
      if (is_emptied && (mark.is_cut || base < mark.segment_base)) return true;
      return mark.is_cut &&
             (base > mark.segment_base || (base == mark.segment_base && mark.position == 0));
    });
    while (segments_.size() > 1 && segments_[1].name.base <= mark.log_start)
      segments_.erase(segments_.begin());
  }

  bool IsMarked(const SegmentName& name) const {
    return found_.mark.has_value() && found_.mark->position > 0 &&
           name.base == found_.mark->segment_base;
  }

  void Read(const SegmentFile& segment, Offset limit) {
    const bool is_marked = IsMarked(segment.name);
    const uint64_t end = is_marked && found_.mark->is_cut
                             ? std::min(segment.size, found_.mark->position)
                             : segment.size;
    const auto file = OpenSegment(files_, folder_, segment.name);
    if (!file.ok()) return SayUnreadable(file.error());
    SegmentReader reader(**file, end, std::max(next_, segment.name.base), limit, epoch_,
                         batch_bytes_max_);
    uint32_t chain = 0;
    uint64_t position = 0;
    bool is_whole = true;  // everything in front of `position` is sound
    while (true) {
      const auto next = reader.Next();
      if (!next.ok()) SayUnreadable(next.error());
      if (!next.ok() || !next->has_value()) break;
      const auto& batch = *next;
      const bool follows = batch->header.base_offset == next_ && batch->position == position;
      is_whole = is_whole && batch->position == position;
      if (!follows && next_ >= SyncedEnd() && !is_doubtful_) {
        is_over_ = true;  // what is behind a torn write is torn, too
        return;
      }
      Note(segment.name, *batch);
      position = batch->position + batch->header.size();
      chain = ChainCrc(chain, batch->header);
      if (is_marked && is_whole && position >= found_.mark->position && !is_checked_) {
        is_checked_ = true;
        chain_is_wrong_ = position > found_.mark->position || chain != found_.mark->chain ||
                          next_ != found_.mark->end_offset;
      }
    }
    is_over_ = limit != kNoEnd && next_ < limit && next_ >= SyncedEnd() && !is_doubtful_;
  }

  Result<void> FindVoters(const SoundRun& run) {
    ASSIGN_OR_RETURN(const FilePtr file, OpenSegment(files_, folder_, run.file));
    SegmentCursor cursor(*file, {.position = run.position,
                                 .end = run.position + run.size,
                                 .next_offset = run.begin,
                                 .batch_bytes_max = batch_bytes_max_});
    while (true) {
      ASSIGN_OR_RETURN(const auto next, cursor.Next());
      if (!next.has_value()) return {};
      if (!next->header.is_control()) continue;
      const std::string_view bytes(reinterpret_cast<const char*>(next->bytes.data()),
                                   next->bytes.size());
      ASSIGN_OR_RETURN(auto voters, ReadVoters(bytes));
      if (voters.has_value())
        found_.voters.push_back({next->header.next_offset(), *std::move(voters)});
    }
  }

  // A bad sector: the rest of the file is as good as gone.
  void SayUnreadable(const Error& error) const { LOG(ERROR) << folder_ << ": " << error; }

  void Note(const SegmentName& file, const SegmentReader::Batch& batch) {
    const BatchHeader& header = batch.header;
    if (header.base_offset > next_) found_.holes.push_back({next_, header.base_offset, header});
    // What lies behind the mark is a run of its own: what is wrong in front of it stays apart.
    const bool is_at_mark = IsMarked(file) && batch.position == found_.mark->position;
    const bool goes_on = !found_.runs.empty() && header.base_offset == next_ && !is_at_mark &&
                         found_.runs.back().file == file &&
                         found_.runs.back().position + found_.runs.back().size == batch.position;
    if (!goes_on)
      found_.runs.push_back({file, batch.position, 0, header.base_offset, header.base_offset});
    found_.runs.back().size += header.size();
    found_.runs.back().end = next_ = header.next_offset();
    epoch_ = header.leader_epoch;
  }

  // A bit is wrong that no checksum covers (an epoch), and nothing says of which batch.
  void DoubtMarkedSegment() {
    const SyncedMark& mark = *found_.mark;
    std::erase_if(found_.runs, [&](const SoundRun& run) {
      return run.file.base == mark.segment_base && run.begin < mark.end_offset;
    });
    std::erase_if(found_.holes,
                  [&](const LogHole& hole) { return hole.begin >= mark.segment_base; });
    found_.holes.push_back({mark.segment_base, mark.end_offset, std::nullopt});
  }

  Offset SyncedEnd() const { return found_.mark.has_value() ? found_.mark->end_offset : Offset{0}; }

  FileSystem& files_;
  const std::string& folder_;
  const size_t batch_bytes_max_;
  std::vector<SegmentFile> segments_;
  LogInspection found_;
  bool is_doubtful_ = false;
  bool is_emptied_ = false;
  bool is_checked_ = false;
  bool chain_is_wrong_ = false;
  bool is_over_ = false;
  Offset next_{0};
  LeaderEpoch epoch_{-1};
};

}  // namespace

Result<std::vector<SegmentFile>> ListSegments(FileSystem& files, const std::string& folder) {
  std::vector<SegmentFile> segments;
  ASSIGN_OR_RETURN(const bool exists, files.Exists(folder));
  if (!exists) return segments;
  ASSIGN_OR_RETURN(const auto entries, files.List(folder));
  for (const DirectoryEntry& entry : entries) {
    const auto name = SegmentName::Parse(entry.name, kLogSuffix);
    // This log is never compacted.
    if (name.has_value() && name->generation == 0) segments.push_back({*name, entry.size});
  }
  std::sort(segments.begin(), segments.end(),
            [](const SegmentFile& a, const SegmentFile& b) { return a.name < b.name; });
  return segments;
}

Result<LogInspection> InspectLog(FileSystem& files, const std::string& folder,
                                 const std::optional<SyncedMark>& mark, size_t batch_bytes_max) {
  return Inspection(files, folder, batch_bytes_max).Run(mark);
}

Result<Bytes> ReadSoundBatches(FileSystem& files, const std::string& folder, Offset from,
                               size_t bytes_max, size_t batch_bytes_max) {
  Bytes bytes;
  ASSIGN_OR_RETURN(const auto segments, ListSegments(files, folder));
  auto after = std::find_if(segments.begin(), segments.end(),
                            [&](const SegmentFile& each) { return each.name.base > from; });
  if (after == segments.begin()) return bytes;
  const Offset limit = after == segments.end() ? kNoEnd : after->name.base;
  const SegmentFile& segment = *(after - 1);
  ASSIGN_OR_RETURN(const FilePtr file, OpenSegment(files, folder, segment.name));
  SegmentReader reader(*file, segment.size, segment.name.base, limit, LeaderEpoch{-1},
                       batch_bytes_max);
  Offset next = from;
  while (bytes.size() < bytes_max) {
    ASSIGN_OR_RETURN(const auto batch, reader.Next());
    if (!batch.has_value()) break;
    const BatchHeader& header = batch->header;
    if (header.next_offset() <= from) continue;
    const bool begins = bytes.empty() && header.base_offset <= from;
    if (!begins && (bytes.empty() || header.base_offset != next)) break;
    std::string content(header.size(), '\0');
    const std::span<uint8_t> out(reinterpret_cast<uint8_t*>(content.data()), content.size());
    ASSIGN_OR_RETURN(const size_t got, file->Read(batch->position, out));
    if (got != content.size()) break;
    bytes.Append(Slice::Own(std::move(content)));
    next = header.next_offset();
  }
  return bytes;
}

}  // namespace gregor
