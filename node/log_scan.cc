#include "node/log_scan.h"

#include <algorithm>
#include <utility>

#include "storage/log_directory.h"
#include "storage/segment.h"

namespace gregor {
namespace {

constexpr size_t kBatchBytesMax = 512u << 20;  // above what any setting allows
constexpr size_t kWindowBytes = 1u << 20;

bool IsSegment(const DirectoryEntry& entry) {
  return !entry.is_directory && SegmentName::Parse(entry.name, "log").has_value();
}

Result<Slice> ReadAt(File& file, uint64_t position, size_t size) {
  std::string bytes(size, '\0');
  ASSIGN_OR_RETURN(const size_t got,
                   file.Read(position, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()}));
  bytes.resize(got);
  return Slice::Own(std::move(bytes));
}

// Whether only zeros lie in [position, size): room that the file was given in advance.
Result<bool> OnlyZeros(File& file, uint64_t position, uint64_t size) {
  for (; position < size; position += kWindowBytes) {
    ASSIGN_OR_RETURN(const Slice part, ReadAt(file, position, kWindowBytes));
    const auto bytes = part.span();
    if (std::any_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte != 0; }))
      return false;
  }
  return true;
}

// One segment file.
class SegmentScan {
 public:
  // `base`: the first offset that it may have.
  SegmentScan(std::string path, Offset base, FilePtr file, uint64_t size, ScanSummary& summary)
      : path_(std::move(path)),
        base_(base),
        file_(std::move(file)),
        size_(size),
        summary_(summary) {}

  Result<void> Run(LeaderEpoch& epoch, const std::function<void(const ScannedBatch&)>& visit) {
    while (position_ < size_) {
      ASSIGN_OR_RETURN(auto batch, Next());
      if (!batch.has_value()) break;
      const BatchHeader& header = batch->header;
      if (header.base_offset < summary_.next_offset)
        return Problem("the offset " + std::to_string(header.base_offset.value) + " goes back");
      if (header.leader_epoch < epoch)
        return Problem("the leader epoch " + std::to_string(header.leader_epoch.value) +
                       " goes back");
      epoch = header.leader_epoch;
      if (!summary_.first_offset.has_value()) summary_.first_offset = header.base_offset;
      summary_.next_offset = header.next_offset();
      ++summary_.batches;
      summary_.records += header.record_count;
      summary_.bytes += header.size();
      const uint64_t position = position_;
      position_ += header.size();
      visit({path_, position, std::move(*batch)});
    }
    return {};
  }

 private:
  Result<void> Problem(std::string what) {
    if (summary_.problems.empty())
      summary_.good_up_to = summary_.first_offset.has_value() ? summary_.next_offset : base_;
    summary_.problems.push_back({path_, position_, std::move(what)});
    return {};
  }

  // nullopt at the end of what is valid; says so where that is not the end.
  Result<std::optional<RecordBatch>> Next() {
    ASSIGN_OR_RETURN(const Slice front, ReadAt(*file_, position_, kBatchHeaderBytes));
    const auto header = PeekHeader(front, kBatchBytesMax);
    std::string what = "a batch is cut off";
    if (header.ok() && header->size() <= size_ - position_) {
      ASSIGN_OR_RETURN(const Slice whole, ReadAt(*file_, position_, header->size()));
      auto batch = CheckBatch(whole);
      if (batch.ok()) return std::optional(std::move(*batch));
      what = batch.error().message;
    } else if (!header.ok()) {
      what = header.error().message;
    }
    ASSIGN_OR_RETURN(const bool zeros, OnlyZeros(*file_, position_, size_));
    if (!zeros) RETURN_IF_ERROR(Problem(what));
    return std::optional<RecordBatch>();
  }

  const std::string path_;
  const Offset base_;
  const FilePtr file_;
  const uint64_t size_;
  ScanSummary& summary_;
  uint64_t position_ = 0;
};

Result<bool> HasSegments(FileSystem& files, const std::string& folder) {
  ASSIGN_OR_RETURN(const auto entries, files.List(folder));
  return std::any_of(entries.begin(), entries.end(), IsSegment);
}

}  // namespace

Result<std::vector<std::string>> FindLogFolders(FileSystem& files, const std::string& directory) {
  ASSIGN_OR_RETURN(const bool is_log, HasSegments(files, directory));
  if (is_log) return std::vector<std::string>{directory};
  std::vector<std::string> folders;
  ASSIGN_OR_RETURN(const auto entries, files.List(directory));
  for (const DirectoryEntry& entry : entries) {
    if (!entry.is_directory) continue;
    const std::string path = JoinPath(directory, entry.name);
    ASSIGN_OR_RETURN(const bool has_segments, HasSegments(files, path));
    if (has_segments) folders.push_back(path);
  }
  if (!folders.empty()) return folders;
  const bool has_topics = std::any_of(
      entries.begin(), entries.end(),
      [](const DirectoryEntry& entry) { return entry.is_directory && entry.name == "topics"; });
  if (has_topics) return FindLogFolders(files, JoinPath(directory, "topics"));
  // A log directory of which no partition was written to yet. (A data directory has an id, too.)
  const bool is_empty = std::none_of(
      entries.begin(), entries.end(),
      [](const DirectoryEntry& entry) { return entry.is_directory && entry.name != "lost+found"; });
  if (is_empty && !LogDirectory::IdOf(files, directory).IsZero()) return folders;
  return Error(Reason::kStorageError,
               directory +
                   " has no segment files, and neither has a folder in it. The logs are in the "
                   "node's log_dirs, which are data_dir/topics unless a setting says otherwise");
}

Result<ScanSummary> ScanLog(FileSystem& files, const std::string& folder,
                            const std::function<void(const ScannedBatch&)>& visit) {
  ScanSummary summary;
  LeaderEpoch epoch = kNoLeaderEpoch;
  ASSIGN_OR_RETURN(const auto entries, files.List(folder));
  std::vector<SegmentName> segments;
  for (const DirectoryEntry& entry : entries) {
    if (IsSegment(entry)) segments.push_back(*SegmentName::Parse(entry.name, "log"));
  }
  // What compaction wrote stands for all that is older and lies within its offsets.
  std::sort(segments.begin(), segments.end(), [](const SegmentName& a, const SegmentName& b) {
    return a.base != b.base ? a.base < b.base : a.generation > b.generation;
  });
  uint32_t generation = 0;
  for (const SegmentName& segment : segments) {
    if (segment.base < summary.next_offset && segment.generation < generation) continue;
    generation = segment.generation;
    ++summary.files;
    const std::string path = JoinPath(folder, segment.FileName("log"));
    ASSIGN_OR_RETURN(FilePtr file, files.Open(path, OpenMode::kRead));
    ASSIGN_OR_RETURN(const uint64_t size, file->Size());
    RETURN_IF_ERROR(
        SegmentScan(path, segment.base, std::move(file), size, summary).Run(epoch, visit));
  }
  return summary;
}

}  // namespace gregor
