#include "controller/metadata_log_files.h"

#include <algorithm>
#include <utility>

#include "controller/format.h"
#include "raft/host/raft_log.h"
#include "storage/segment.h"
#include "storage/segment_cursor.h"

namespace gregor {
namespace {

constexpr size_t kBatchBytesMax = 1u << 30;
constexpr size_t kWindowBytes = 1u << 20;
constexpr char kSnapshotFolder[] = "snapshots";

Error Damaged(const std::string& path, const std::string& what) {
  return Error(Reason::kStorageError, path + ": " + what).With("path", path);
}

Result<bool> OnlyZeros(File& file, uint64_t position, uint64_t size) {
  std::vector<uint8_t> window(kWindowBytes);
  while (position < size) {
    ASSIGN_OR_RETURN(const size_t read, file.Read(position, {window.data(), window.size()}));
    if (read == 0) break;
    const auto end = window.begin() + static_cast<std::ptrdiff_t>(read);
    if (std::any_of(window.begin(), end, [](uint8_t byte) { return byte != 0; })) return false;
    position += read;
  }
  return true;
}

Result<RecordBatch> ReadBatch(File& file, const BatchHeader& header, uint64_t position) {
  std::string bytes(header.size(), '\0');
  ASSIGN_OR_RETURN(const size_t read,
                   file.Read(position, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()}));
  if (read != bytes.size()) return Error(Reason::kStorageError, "it became shorter");
  return CheckBatch(Slice::Own(std::move(bytes)));
}

}  // namespace

Result<MetadataLogFiles> MetadataLogFiles::Find(FileSystem& files, const std::string& data_dir) {
  MetadataLogFiles found(files, MetadataPath(data_dir));
  ASSIGN_OR_RETURN(found.snapshots_,
                   ListSnapshots(files, JoinPath(found.metadata_, kSnapshotFolder)));
  ASSIGN_OR_RETURN(const bool exists, files.Exists(found.LogFolder()));
  if (!exists) return found;
  ASSIGN_OR_RETURN(const auto entries, files.List(found.LogFolder()));
  for (const DirectoryEntry& entry : entries) {
    if (const auto name = SegmentName::Parse(entry.name, "log"))
      found.segments_.push_back(name->base);
  }
  std::sort(found.segments_.begin(), found.segments_.end());
  return found;
}

std::optional<Offset> MetadataLogFiles::start() const {
  return segments_.empty() ? std::nullopt : std::optional(segments_.front());
}

std::string MetadataLogFiles::LogFolder() const {
  return JoinPath(MetadataLogPath(metadata_), MetadataLogId().ToString());
}

Result<ImagePtr> MetadataLogFiles::Base(const std::function<bool(const ImagePosition&)>& fits,
                                        const std::function<void(const Error&)>& on_damaged) const {
  const Offset begin = start().value_or(Offset{0});
  if (begin == Offset{0}) return ImagePtr();
  const std::string folder = JoinPath(metadata_, kSnapshotFolder);
  for (auto snapshot = snapshots_.rbegin(); snapshot != snapshots_.rend(); ++snapshot) {
    if (snapshot->end_offset < begin) continue;
    auto image = ReadSnapshot(*files_, JoinPath(folder, snapshot->name));
    if (!image.ok()) {
      on_damaged(image.error());
    } else if (fits(PositionOf(**image))) {
      return image;
    }
  }
  return Error(Reason::kOffsetOutOfRange,
               folder + ": no snapshot is left that can be read, and the log begins at offset " +
                   std::to_string(begin.value))
      .With("path", folder);
}

Result<void> MetadataLogFiles::Walk(const Visit& visit) const {
  std::optional<Offset> walked_to;
  bool goes_on = true;
  for (size_t i = 0; i < segments_.size() && goes_on; ++i)
    RETURN_IF_ERROR(WalkSegment(i, visit, &walked_to, &goes_on));
  return {};
}

Result<void> MetadataLogFiles::WalkSegment(size_t number, const Visit& visit,
                                           std::optional<Offset>* walked_to, bool* goes_on) const {
  const Offset segment = segments_[number];
  const std::string path = JoinPath(LogFolder(), SegmentName{segment}.FileName("log"));
  ASSIGN_OR_RETURN(const FilePtr file, files_->Open(path, OpenMode::kRead));
  ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (walked_to->has_value() && **walked_to != segment)
    return Damaged(path, "the segment before it ends at offset " +
                             std::to_string((*walked_to)->value) +
                             ": a part of the log is missing");
  SegmentCursor cursor(*file,
                       {.end = size, .next_offset = segment, .batch_bytes_max = kBatchBytesMax});
  while (true) {
    ASSIGN_OR_RETURN(const auto found, cursor.Next());
    if (!found.has_value()) break;
    const auto batch = ReadBatch(*file, found->header, found->position);
    if (!batch.ok()) return Damaged(path, batch.error().message);
    auto visited = visit(*batch);
    if (!visited.ok()) return Damaged(path, visited.error().message);
    *goes_on = *visited;
    if (!*goes_on) return {};
  }
  *walked_to = cursor.next_offset();
  if (cursor.at_end()) return {};
  // Behind the last batch of the last segment lies room.
  if (number + 1 == segments_.size()) {
    ASSIGN_OR_RETURN(const bool is_room, OnlyZeros(*file, cursor.position(), size));
    if (is_room) return {};
  }
  return Damaged(path, cursor.what() + " at position " + std::to_string(cursor.position()) +
                           ": nothing from offset " + std::to_string((*walked_to)->value) +
                           " on is read here. A write that was cut off is removed at the next "
                           "start; other damage keeps the node from starting");
}

}  // namespace gregor
