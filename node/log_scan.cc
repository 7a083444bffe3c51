#include "node/log_scan.h"

#include <algorithm>
#include <utility>

#include "storage/log_checkpoint.h"
#include "storage/log_directory.h"
#include "storage/log_files.h"
#include "storage/segment_cursor.h"

namespace gregor {
namespace {

constexpr size_t kBatchBytesMax = 512u << 20;  // above what any setting allows
constexpr size_t kWindowBytes = 1u << 20;

bool IsSegment(const DirectoryEntry& entry) {
  return !entry.is_directory && SegmentName::Parse(entry.name, "log").has_value();
}

bool IsOfLog(const DirectoryEntry& entry) {
  return IsSegment(entry) || (!entry.is_directory && entry.name == kCheckpointFile);
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
      ASSIGN_OR_RETURN(auto batch, Next(epoch));
      if (!batch.has_value()) {
        ASSIGN_OR_RETURN(const bool goes_on, GoOnBehind(epoch));
        if (!goes_on) break;
        continue;
      }
      const BatchHeader& header = batch->header;
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

  // Whether a batch may follow on what was seen so far; else why not.
  std::string WhyNot(const BatchHeader& header, LeaderEpoch epoch) const {
    if (header.base_offset < summary_.next_offset)
      return "the offset " + std::to_string(header.base_offset.value) + " goes back";
    if (header.leader_epoch < epoch)
      return "the leader epoch " + std::to_string(header.leader_epoch.value) + " goes back";
    return "";
  }

  // nullopt where something else lies, or nothing more; a problem unless only zeros follow.
  Result<std::optional<RecordBatch>> Next(LeaderEpoch epoch) {
    ASSIGN_OR_RETURN(const Slice front, ReadAt(*file_, position_, kBatchHeaderBytes));
    const auto header = PeekHeader(front, kBatchBytesMax);
    std::string what = "a batch is cut off";
    if (header.ok() && header->size() <= size_ - position_) {
      ASSIGN_OR_RETURN(const Slice whole, ReadAt(*file_, position_, header->size()));
      auto batch = CheckBatch(whole);
      what = batch.ok() ? WhyNot(*header, epoch) : batch.error().message;
      if (what.empty()) return std::optional(std::move(*batch));
    } else if (!header.ok()) {
      what = header.error().message;
    }
    ASSIGN_OR_RETURN(const bool zeros, OnlyZeros(*file_, position_, size_));
    if (zeros) {
      position_ = size_;
    } else {
      RETURN_IF_ERROR(Problem(what));
    }
    return std::optional<RecordBatch>();
  }

  // To the next batch behind a problem: by the length of the one that is damaged, or where one is
  // found. False: there is none.
  Result<bool> GoOnBehind(LeaderEpoch epoch) {
    if (position_ >= size_) return false;
    ASSIGN_OR_RETURN(const Slice front, ReadAt(*file_, position_, kBatchHeaderBytes));
    const auto fits = [&](const BatchHeader& header) { return WhyNot(header, epoch).empty(); };
    const auto header = PeekHeader(front, kBatchBytesMax);
    uint64_t from = position_ + 1;
    if (header.ok() && header->size() < size_ - position_) {
      ASSIGN_OR_RETURN(const Slice next,
                       ReadAt(*file_, position_ + header->size(), kBatchHeaderBytes));
      const auto follows = PeekHeader(next, kBatchBytesMax);
      if (follows.ok() && fits(*follows)) from = position_ + header->size();
    }
    ASSIGN_OR_RETURN(const auto found, FindBatch(*file_, from, size_, kBatchBytesMax, fits));
    if (found.has_value()) position_ = *found;
    return found.has_value();
  }

  const std::string path_;
  const Offset base_;
  const FilePtr file_;
  const uint64_t size_;
  ScanSummary& summary_;
  uint64_t position_ = 0;
};

Result<bool> HasLog(FileSystem& files, const std::string& folder) {
  ASSIGN_OR_RETURN(const auto entries, files.List(folder));
  return std::any_of(entries.begin(), entries.end(), IsOfLog);
}

// Whether the files are there that the log's checkpoint names, with what was durable of them.
void CompareWithCheckpoint(FileSystem& files, const std::string& folder, ScanSummary& summary) {
  const auto text = ReadWholeFile(files, JoinPath(folder, kCheckpointFile), UINT32_MAX);
  if (!text.ok()) return;
  auto checkpoint = LogCheckpoint::Decode(*text, {});
  if (!checkpoint.ok()) return;  // a start reads the log instead
  std::vector<Segment> named = std::move(checkpoint->complete);
  named.push_back(std::move(checkpoint->active));
  bool is_first = true;
  for (size_t i = 0; i < named.size(); ++i) {
    const std::string path = JoinPath(folder, named[i].name.FileName("log"));
    const auto file = files.Open(path, OpenMode::kRead);
    const auto size = file.ok() ? (*file)->Size() : Result<uint64_t>(0);
    const bool is_deleted = i + 1 < named.size() && named[i + 1].base() <= checkpoint->log_start;
    const bool is_there = file.ok() && size.ok();
    // Deleted files in front of the others may be known to the journal alone.
    const bool is_missing = !is_there && !is_first && !is_deleted && named[i].size > 0;
    const bool is_short = is_there && !is_deleted && *size < named[i].size;
    is_first = is_first && !is_there && i + 1 < named.size();
    if (is_missing) summary.problems.push_back({path, 0, "the file is missing"});
    if (is_short)
      summary.problems.push_back(
          {path, *size, "the file ends, and has had " + std::to_string(named[i].size) + " bytes"});
    if ((is_missing || is_short) && summary.problems.size() == 1)
      summary.good_up_to = named[i].base();
  }
}

}  // namespace

Result<std::vector<std::string>> FindLogFolders(FileSystem& files, const std::string& directory) {
  ASSIGN_OR_RETURN(const bool is_log, HasLog(files, directory));
  if (is_log) return std::vector<std::string>{directory};
  std::vector<std::string> folders;
  ASSIGN_OR_RETURN(const auto entries, files.List(directory));
  for (const DirectoryEntry& entry : entries) {
    if (!entry.is_directory) continue;
    const std::string path = JoinPath(directory, entry.name);
    ASSIGN_OR_RETURN(const bool has_log, HasLog(files, path));
    if (has_log) folders.push_back(path);
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
    const auto file = files.Open(path, OpenMode::kRead);
    const auto size = file.ok() ? (*file)->Size() : Result<uint64_t>(file.error());
    const auto scanned =
        size.ok() ? SegmentScan(path, segment.base, *file, *size, summary).Run(epoch, visit)
                  : Result<void>(size.error());
    if (scanned.ok()) continue;
    if (summary.problems.empty()) summary.good_up_to = std::max(segment.base, summary.next_offset);
    summary.problems.push_back({path, 0, scanned.error().message});
  }
  CompareWithCheckpoint(files, folder, summary);
  return summary;
}

}  // namespace gregor
