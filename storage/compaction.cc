#include "storage/compaction.h"

#include <algorithm>
#include <utility>

#include "storage/file_cache.h"
#include "storage/log_files.h"

namespace gregor {
namespace {

constexpr uint64_t kStepBytes = 1u << 20;
constexpr uint64_t kSyncBytes = 16u << 20;  // of output that one sync has to write at most
constexpr int64_t kOffsetSpanMax = INT32_MAX;
constexpr uint64_t kBytesPerKeyGuess = 64;

uint64_t DirtyBytes(const CompactionJob& job) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < job.segments.size(); ++i) {
    const Offset end = i + 1 < job.segments.size() ? job.segments[i + 1].base() : job.end;
    if (end > job.dirty_start) bytes += job.segments[i].size;
  }
  return bytes;
}

}  // namespace

// The file that a group becomes. Nothing is written as long as the group is one segment from which
// nothing went: then it stays as it is.
class Compaction::Output {
 public:
  Output(LogDirectory& directory, const TopicIdPartition& id, const SegmentName& name,
         int64_t index_interval_bytes)
      : files_(directory.disk().files()),
        path_(SegmentPath(directory, id, name).append(kUnfinishedSuffix)),
        index_interval_bytes_(index_interval_bytes) {
    segment_.name = name;
    segment_.index = std::make_shared<SegmentIndex>();
    next_offset_ = name.base;
  }

  const Segment& segment() const { return segment_; }
  bool is_different() const { return file_ != nullptr; }

  // From here on it differs from its source, of which the bytes so far are to be copied.
  Result<void> Begin() {
    ASSIGN_OR_RETURN(file_, files_.Open(path_, OpenMode::kCreate));
    flushed_ = prefix_left_ = segment_.size;
    return file_->Truncate(0);
  }
  // Copies about a megabyte of those bytes; returns how many.
  Result<uint64_t> CopyPrefix(File& source) {
    const uint64_t position = flushed_ - prefix_left_;
    std::string bytes(std::min(prefix_left_, kStepBytes), '\0');
    ASSIGN_OR_RETURN(
        const size_t got,
        source.Read(position, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()}));
    if (got != bytes.size()) return Error(Reason::kStorageError, "a segment became shorter");
    prefix_left_ -= got;
    RETURN_IF_ERROR(file_->Write(position, Slice::Own(std::move(bytes))));
    return 2 * got;
  }
  bool has_prefix_left() const { return prefix_left_ > 0; }

  void Add(const BatchHeader& header, std::string_view bytes) {
    segment_.Note(header, next_offset_, index_interval_bytes_);
    next_offset_ = header.next_offset();
    if (is_different()) buffer_ += bytes;
  }
  // Writes what has gathered if it is a megabyte or the last; returns how many bytes that were.
  Result<uint64_t> Flush(bool is_last) {
    if (!is_different() || buffer_.empty() || (!is_last && buffer_.size() < kStepBytes))
      return uint64_t{0};
    const uint64_t size = buffer_.size();
    RETURN_IF_ERROR(file_->Write(flushed_, Slice::Own(std::exchange(buffer_, {}))));
    flushed_ += size;
    unsynced_ += size;
    if (unsynced_ >= kSyncBytes) RETURN_IF_ERROR(Sync());
    return size;
  }
  Result<void> Finish(const std::string& folder) {
    RETURN_IF_ERROR(Sync());
    file_->DropCache(0, segment_.size);
    return WriteIndexFile(files_, folder, segment_);
  }
  void Discard() {
    if (!is_different()) return;
    file_ = nullptr;
    const auto removed = files_.Remove(path_);
    LOG_IF(WARNING, !removed.ok()) << "Left behind: " << removed.error();
  }

 private:
  Result<void> Sync() {
    unsynced_ = 0;
    return file_->Sync();
  }

  FileSystem& files_;
  const std::string path_;
  const int64_t index_interval_bytes_;
  Segment segment_;
  Offset next_offset_{0};
  FilePtr file_;
  uint64_t prefix_left_ = 0;
  std::string buffer_;
  uint64_t flushed_ = 0;
  uint64_t unsynced_ = 0;
};

Compaction::Compaction(LogDirectory& directory, CompactionJob job)
    : directory_(directory),
      job_(std::move(job)),
      map_(job_.memory_bytes, DirtyBytes(job_) / kBytesPerKeyGuess, job_.hash_keys[0],
           job_.hash_keys[1]) {
  while (source_ < job_.segments.size() && EndOf(source_) <= job_.dirty_start) ++source_;
}

Compaction::~Compaction() = default;

Offset Compaction::EndOf(size_t segment) const {
  return segment + 1 < job_.segments.size() ? job_.segments[segment + 1].base() : job_.end;
}

Result<CompactionStep> Compaction::Step() {
  CompactionStep step;
  step_bytes_ = 0;
  if (!map_end_.has_value()) {
    RETURN_IF_ERROR(MapSome());
  } else if (output_ == nullptr && groups_.empty()) {
    step.clean_end = *map_end_;
  } else {
    RETURN_IF_ERROR(FilterSome(step));
  }
  step.bytes = step_bytes_;
  return step;
}

void Compaction::Discard() {
  if (output_ != nullptr) output_->Discard();
  output_ = nullptr;
  if (!finished_.has_value()) return;
  FileSystem& files = directory_.disk().files();
  const std::string path = SegmentPath(directory_, job_.id, *finished_);
  for (const std::string& left : {path + std::string(kUnfinishedSuffix),
                                  SegmentPath(directory_, job_.id, *finished_, kIndexSuffix)}) {
    const auto removed = files.Remove(left);
    LOG_IF(WARNING, !removed.ok()) << "Left behind: " << removed.error();
  }
  finished_.reset();
}

Result<void> Compaction::OpenSource(size_t number, uint64_t position, Offset next_offset) {
  source_ = number;
  const Segment& segment = job_.segments[number];
  ASSIGN_OR_RETURN(
      file_, directory_.file_cache().Get(SegmentPath(directory_, job_.id, segment.name), false));
  cursor_.emplace(*file_, SegmentCursor::Options{.position = position,
                                                 .end = segment.size,
                                                 .next_offset = next_offset,
                                                 .has_gaps = segment.has_gaps,
                                                 .end_offset = EndOf(number),
                                                 .batch_bytes_max = job_.batch_bytes_max});
  return {};
}

// The next batch of the segment; nullopt at its end. Damage is an error here: what lies behind it
// must not be lost.
Result<std::optional<SegmentCursor::Batch>> Compaction::NextBatch() {
  ASSIGN_OR_RETURN(const auto batch, cursor_->Next());
  if (!cursor_->what().empty()) {
    const std::string path = SegmentPath(directory_, job_.id, job_.segments[source_].name);
    return Error(Reason::kStorageError,
                 path + " at " + std::to_string(cursor_->position()) + ": " + cursor_->what());
  }
  if (batch.has_value()) step_bytes_ += batch->header.size();
  return batch;
}

// Begins with the batch of `dirty_start`, or a little before it.
Result<void> Compaction::OpenForMap() {
  const Segment& segment = job_.segments[source_];
  uint64_t position = 0;
  Offset next_offset = segment.base();
  if (segment.base() < job_.dirty_start) {
    ASSIGN_OR_RETURN(const auto index, LoadIndex(directory_, job_.id, segment, job_.batch_bytes_max,
                                                 job_.config.index_interval_bytes));
    if (const auto entry = index->Floor(job_.dirty_start); entry.has_value()) {
      position = entry->position;
      next_offset = entry->base;
    }
  }
  return OpenSource(source_, position, next_offset);
}

Result<void> Compaction::MapSome() {
  while (step_bytes_ < kStepBytes && !map_end_.has_value()) {
    if (source_ == job_.segments.size()) {
      map_end_ = job_.end;
      break;
    }
    if (!cursor_.has_value()) RETURN_IF_ERROR(OpenForMap());
    ASSIGN_OR_RETURN(const auto batch, NextBatch());
    if (batch.has_value()) {
      if (!MapBatch(*batch)) break;
    } else {
      cursor_.reset();
      ++source_;
    }
  }
  if (map_end_.has_value()) PlanGroups();
  return {};
}

// False once the map is full: it then ends before the record that did not fit.
bool Compaction::MapBatch(const SegmentCursor::Batch& batch) {
  const BatchHeader& header = batch.header;
  if (header.is_control() || header.is_transactional() || header.next_offset() <= job_.dirty_start)
    return true;
  auto reader = RecordReader::Open({header, Slice(nullptr, batch.bytes.data(), batch.bytes.size())},
                                   kDecompressedBytesMax);
  while (reader.ok()) {
    // What cannot be read is kept as it is, and supersedes nothing.
    const auto record = reader->Next();
    if (!record.ok() || !record->has_value()) break;
    if (!(*record)->key.has_value() || (*record)->offset < job_.dirty_start) continue;
    if (map_.Put(*(*record)->key, (*record)->offset)) continue;
    map_end_ = (*record)->offset;
    return false;
  }
  return true;
}

// Adjacent segments that make one of a usual size together.
void Compaction::PlanGroups() {
  cursor_.reset();
  for (size_t begin = 0; begin < job_.segments.size() && job_.segments[begin].base() < *map_end_;) {
    uint64_t size = job_.segments[begin].size;
    size_t end = begin + 1;
    for (; end < job_.segments.size() && job_.segments[end].base() < *map_end_; ++end) {
      size += job_.segments[end].size;
      if (size > static_cast<uint64_t>(job_.config.segment_bytes) ||
          EndOf(end) - job_.segments[begin].base() > kOffsetSpanMax)
        break;
    }
    groups_.push_back({begin, end});
    begin = end;
  }
  std::reverse(groups_.begin(), groups_.end());
  filter_ = std::make_unique<BatchFilter>(
      map_, BatchFilter::Rules{.map_end = *map_end_,
                               .now = job_.now,
                               .delete_retention_ms = job_.config.delete_retention_ms,
                               .batch_bytes_max = job_.batch_bytes_max});
}

// Both the old files and the new one are there for a while, and that must leave the disk's reserve
// to those who need it.
Result<void> Compaction::BeginOutput() {
  RETURN_IF_ERROR(directory_.CheckWritable());
  uint64_t size = 0;
  for (size_t i = groups_.back().begin; i < groups_.back().end; ++i) size += job_.segments[i].size;
  FileSystem& files = directory_.disk().files();
  ASSIGN_OR_RETURN(const DiskSpace space, files.Space(directory_.options().path));
  const uint64_t free = space.free_bytes;
  if (free < directory_.options().reserve_bytes + size) {
    return Error(Reason::kDiskFull, "compaction of " + std::to_string(size) +
                                        " bytes would leave less than the reserve of " +
                                        std::to_string(directory_.options().reserve_bytes) +
                                        " bytes: " + std::to_string(free) + " are left");
  }
  directory_.NoteGrowth(size);
  return output_->Begin();
}

Result<void> Compaction::OpenGroup() {
  const Group& group = groups_.back();
  SegmentName name{job_.segments[group.begin].base(), 0};
  for (size_t i = group.begin; i < group.end; ++i)
    name.generation = std::max(name.generation, job_.segments[i].name.generation + 1);
  output_ = std::make_unique<Output>(directory_, job_.id, name, job_.config.index_interval_bytes);
  if (group.end - group.begin > 1) RETURN_IF_ERROR(BeginOutput());
  return OpenSource(group.begin, 0, name.base);
}

// Whether something tells by this batch where the log ends, where an epoch began, or what a
// producer sent last.
bool Compaction::IsNeeded(const SegmentCursor::Batch& batch) const {
  const BatchHeader& header = batch.header;
  const Segment& last = job_.segments[groups_.back().end - 1];
  const bool is_last =
      job_.segments[source_].name == last.name && batch.position + header.size() == last.size;
  return is_last ||
         std::binary_search(job_.needed_ends.begin(), job_.needed_ends.end(),
                            header.last_offset()) ||
         std::binary_search(job_.needed_bases.begin(), job_.needed_bases.end(), header.base_offset);
}

Result<void> Compaction::FilterSome(CompactionStep& step) {
  if (output_ == nullptr) RETURN_IF_ERROR(OpenGroup());
  if (output_->is_different()) RETURN_IF_ERROR(directory_.CheckWritable());
  while (step_bytes_ < kStepBytes) {
    if (output_->has_prefix_left()) {
      ASSIGN_OR_RETURN(const uint64_t copied, output_->CopyPrefix(*file_));
      step_bytes_ += copied;
      continue;
    }
    ASSIGN_OR_RETURN(const auto batch, NextBatch());
    if (!batch.has_value()) {
      if (source_ + 1 == groups_.back().end) return EndGroup(step);
      RETURN_IF_ERROR(OpenSource(source_ + 1, 0, job_.segments[source_ + 1].base()));
      continue;
    }
    const FilteredBatch filtered = filter_->Apply(batch->header, batch->bytes, IsNeeded(*batch));
    const bool is_whole = filtered.kind == FilteredBatch::Kind::kWhole;
    if (!is_whole && !output_->is_different()) RETURN_IF_ERROR(BeginOutput());
    if (is_whole) {
      output_->Add(batch->header,
                   {reinterpret_cast<const char*>(batch->bytes.data()), batch->bytes.size()});
    } else if (filtered.kind == FilteredBatch::Kind::kRewritten) {
      output_->Add(filtered.header, filtered.bytes);
    }
    ASSIGN_OR_RETURN(const uint64_t written, output_->Flush(false));
    step_bytes_ += written;
  }
  return {};
}

Result<void> Compaction::EndGroup(CompactionStep& step) {
  ASSIGN_OR_RETURN(const uint64_t written, output_->Flush(true));
  step_bytes_ += written;
  if (output_->is_different()) {
    RETURN_IF_ERROR(output_->Finish(directory_.PathOf(job_.id)));
    CompactedGroup compacted{.sources = {}, .segment = output_->segment()};
    for (size_t i = groups_.back().begin; i < groups_.back().end; ++i) {
      const Segment& source = job_.segments[i];
      compacted.sources.push_back(source.name);
      compacted.segment.appended_at = std::max(compacted.segment.appended_at, source.appended_at);
    }
    compacted.segment.index = nullptr;  // read back when it is needed
    finished_ = compacted.segment.name;
    step.group = std::move(compacted);
  }
  output_ = nullptr;
  cursor_.reset();
  file_ = nullptr;
  groups_.pop_back();
  return {};
}

}  // namespace gregor
