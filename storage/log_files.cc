#include "storage/log_files.h"

#include <utility>

#include "storage/encoding.h"
#include "storage/file_cache.h"
#include "storage/segment_cursor.h"

namespace gregor {
namespace {

constexpr uint32_t kIndexMagic = 0x47495831;  // "GIX1"
constexpr uint64_t kIndexBytesMax = 1u << 20;

}  // namespace

std::string SegmentPath(const LogDirectory& directory, const TopicIdPartition& id,
                        const SegmentName& segment, std::string_view suffix) {
  return JoinPath(directory.PathOf(id), segment.FileName(suffix));
}

Result<void> WriteIndexFile(FileSystem& files, const std::string& folder, const Segment& segment) {
  std::string body;
  PutBigEndian(&body, segment.base().value);
  PutBigEndian(&body, segment.size);
  segment.index->Encode(&body);
  ASSIGN_OR_RETURN(const FilePtr file,
                   files.Open(JoinPath(folder, segment.name.FileName("index")), OpenMode::kCreate));
  // Not synced: a torn one is noticed, and built again.
  RETURN_IF_ERROR(file->Truncate(0));
  return file->Write(0, Slice::Own(Seal(kIndexMagic, body)));
}

std::optional<SegmentIndex> ReadIndexFile(FileSystem& files, const std::string& folder,
                                          const Segment& segment) {
  const auto text =
      ReadWholeFile(files, JoinPath(folder, segment.name.FileName("index")), kIndexBytesMax);
  if (!text.ok()) return std::nullopt;
  auto rest = Unseal(kIndexMagic, *text);
  if (!rest.has_value()) return std::nullopt;
  const auto base = TakeBigEndian<int64_t>(&*rest);
  const auto size = TakeBigEndian<uint64_t>(&*rest);
  if (!size.has_value() || Offset{*base} != segment.base() || *size != segment.size)
    return std::nullopt;
  auto index = SegmentIndex::Take(&*rest);
  if (!index.has_value() || !rest->empty()) return std::nullopt;
  if (!index->entries().empty() && index->entries().back().position >= segment.size)
    return std::nullopt;
  return index;
}

Result<std::shared_ptr<SegmentIndex>> LoadIndex(LogDirectory& directory, const TopicIdPartition& id,
                                                const Segment& segment, size_t batch_bytes_max,
                                                int64_t interval_bytes) {
  FileSystem& files = directory.disk().files();
  const std::string folder = directory.PathOf(id);
  if (auto index = ReadIndexFile(files, folder, segment); index.has_value()) {
    return std::make_shared<SegmentIndex>(std::move(*index));
  }
  ASSIGN_OR_RETURN(const FilePtr file,
                   directory.file_cache().Get(SegmentPath(directory, id, segment.name), false));
  Segment built{.name = segment.name, .index = std::make_shared<SegmentIndex>()};
  SegmentCursor cursor(*file, {.end = segment.size,
                               .next_offset = segment.base(),
                               .has_gaps = segment.has_gaps,
                               .batch_bytes_max = batch_bytes_max});
  while (true) {
    const Offset next_offset = cursor.next_offset();
    auto batch = cursor.Next();
    if (!batch.ok()) batch = cursor.Next();  // a disk's error may pass
    if (!batch.ok() || !batch->has_value()) break;
    built.Note((*batch)->header, next_offset, interval_bytes);
  }
  if (cursor.at_end()) {
    const auto written = WriteIndexFile(files, folder, built);
    LOG_IF(WARNING, !written.ok()) << "An index could not be written: " << written.error();
  } else {
    // Who reads on from before the damage learns what is wrong.
    built.index->EndEarly();
  }
  return built.index;
}

Result<void> WriteAgain(File& file, uint64_t begin, uint64_t end) {
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

namespace {

// A longer name may need space. Where there is none the file goes at once: it is what takes it.
Result<void> MarkDeletedFile(FileSystem& files, const std::string& path) {
  Result<void> renamed = files.Rename(path, path + std::string(kDeletedSuffix));
  const bool is_full = !renamed.ok() && renamed.error().reason == Reason::kDiskFull;
  return is_full ? files.Remove(path) : std::move(renamed);
}

}  // namespace

Result<void> MarkDeleted(LogDirectory& directory, const TopicIdPartition& id,
                         const DeletedSegments& segments) {
  FileSystem& files = directory.disk().files();
  const std::string producers =
      SegmentPath(directory, id, {segments.first_left, 0}, kProducersSuffix);
  ASSIGN_OR_RETURN(const bool has_producers, files.Exists(producers));
  if (has_producers) {
    ASSIGN_OR_RETURN(const FilePtr file, files.Open(producers, OpenMode::kReadWrite));
    RETURN_IF_ERROR(file->Sync());
    RETURN_IF_ERROR(files.SyncDirectory(directory.PathOf(id)));
  }
  for (const SegmentName& segment : segments.names) {
    const std::string path = SegmentPath(directory, id, segment);
    directory.file_cache().Forget(path);
    ASSIGN_OR_RETURN(const bool exists, files.Exists(path));
    if (exists) RETURN_IF_ERROR(MarkDeletedFile(files, path));
    RETURN_IF_ERROR(files.Remove(SegmentPath(directory, id, segment, kIndexSuffix)));
  }
  for (const Offset base : segments.former_bases)
    RETURN_IF_ERROR(files.Remove(SegmentPath(directory, id, {base, 0}, kProducersSuffix)));
  return files.SyncDirectory(directory.PathOf(id));
}

Result<void> RemoveDeleted(LogDirectory& directory, const TopicIdPartition& id,
                           const std::vector<SegmentName>& segments) {
  for (const SegmentName& segment : segments) {
    RETURN_IF_ERROR(directory.disk().files().Remove(SegmentPath(directory, id, segment) +
                                                    std::string(kDeletedSuffix)));
  }
  return {};
}

}  // namespace gregor
