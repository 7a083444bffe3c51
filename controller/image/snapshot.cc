#include "controller/image/snapshot.h"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/crc32c.h"
#include "storage/encoding.h"

namespace gregor {
namespace {

constexpr std::string_view kMagic = "GREGORS1";
constexpr int32_t kFormat = 1;
constexpr size_t kWriteBytes = 1u << 20;
constexpr size_t kReadBytes = 1u << 20;
constexpr size_t kFrameBytesMax = 64u << 20;
constexpr char kSuffix[] = ".snapshot";
// Of protobuf, for the field of that number with a message.
constexpr char kRowTag = pb::SnapshotFrame::kRowFieldNumber << 3 | 2;

Error Damaged(const std::string& what) {
  return Error(Reason::kStorageError, "damaged or incomplete: " + what);
}

uint32_t CrcOf(std::string_view bytes, uint32_t crc = 0) {
  return Crc32c(crc, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

// Where the bytes of a snapshot go.
using Sink = std::function<Result<void>(std::string_view bytes)>;

class Writer {
 public:
  explicit Writer(Sink sink) : sink_(std::move(sink)) {}

  Result<void> Write(const MetadataImage& image) {
    buffer_ = kMagic;
    pb::SnapshotFrame frame;
    auto& header = *frame.mutable_header();
    header.set_format(kFormat);
    header.set_end_offset(image.version.value);
    header.set_term(image.last_term.value);
    header.set_last_timestamp_ms(image.last_timestamp.value);
    header.set_cluster_id(ToBytes(image.cluster_id.bytes));
    const auto state_hash = PositionOf(image).state_hash;
    if (state_hash.has_value()) header.set_state_hash(*state_hash);
    RETURN_IF_ERROR(Add(frame));
    int64_t rows = 0;
    RETURN_IF_ERROR(VisitRows(image, [&](std::string_view key, const std::string& record) {
      frame.mutable_row()->set_key(key.data(), key.size());
      frame.mutable_row()->set_record(record);
      ++rows;
      return Add(frame);
    }));
    const uint32_t checksum = checksum_;
    frame.mutable_footer()->set_row_count(rows);
    frame.mutable_footer()->set_checksum(checksum);
    RETURN_IF_ERROR(Add(frame));
    return sink_(buffer_);
  }

 private:
  Result<void> Add(const pb::SnapshotFrame& frame) {
    frame.SerializeToString(&payload_);
    PutBigEndian(&buffer_, static_cast<uint32_t>(payload_.size()));
    PutBigEndian(&buffer_, CrcOf(payload_));
    buffer_ += payload_;
    checksum_ = CrcOf(payload_, checksum_);
    if (buffer_.size() < kWriteBytes) return {};
    RETURN_IF_ERROR(sink_(buffer_));
    buffer_.clear();
    return {};
  }

  const Sink sink_;
  std::string buffer_;
  std::string payload_;  // of the last frame
  uint32_t checksum_ = 0;
};

// Where they come from: fills with at most `size` further bytes; fewer only at the end.
using Source = std::function<Result<std::string>(size_t size)>;

class Reader {
 public:
  explicit Reader(Source source) : source_(std::move(source)) {}

  Result<ImagePtr> Read() {
    ImageLoader loader;
    ASSIGN_OR_RETURN(const pb::SnapshotHeader header, Walk([&](const pb::SnapshotRow& row) {
                       return loader.Add(row.key(), row.record());
                     }));
    ImagePosition position{Offset{header.end_offset()}, LeaderEpoch{header.term()},
                           Timestamp{header.last_timestamp_ms()}};
    if (header.has_state_hash()) position.state_hash = header.state_hash();
    auto finished = loader.Finish(position);
    if (!finished.ok()) return Damaged(finished.error().message);
    ImagePtr image = *std::move(finished);
    if (header.end_offset() < 0 || ToBytes(image->cluster_id.bytes) != header.cluster_id())
      return Damaged("the header does not match the rows");
    return image;
  }

  // Gives every row to `visit`, which may fail; returns the header once all is known to be whole.
  template <typename Visit>
  Result<pb::SnapshotHeader> Walk(Visit visit) {
    ASSIGN_OR_RETURN(const std::string_view magic, Take(kMagic.size()));
    if (magic != kMagic) return Damaged("no snapshot begins like this");
    RETURN_IF_ERROR(Next());
    if (!frame_.has_header()) return Damaged("the header is missing");
    pb::SnapshotHeader header = frame_.header();
    if (header.format() != kFormat) {
      return Error(Reason::kStorageError, "of format " + std::to_string(header.format()) +
                                              ", and this release knows " +
                                              std::to_string(kFormat));
    }
    int64_t rows = 0;
    uint32_t checksum = checksum_;
    while (true) {
      RETURN_IF_ERROR(Next());
      if (!frame_.has_row()) break;
      RETURN_IF_ERROR(visit(frame_.row()));
      ++rows;
      checksum = checksum_;
    }
    if (!frame_.has_footer() || frame_.footer().row_count() != rows ||
        frame_.footer().checksum() != checksum)
      return Damaged("the footer does not match the rows");
    ASSIGN_OR_RETURN(const bool ended, AtEnd());
    if (!ended) return Damaged("something follows the footer");
    return header;
  }

 private:
  // Reads the next frame.
  Result<void> Next() {
    ASSIGN_OR_RETURN(std::string_view head, Take(8));
    const auto size = *TakeBigEndian<uint32_t>(&head);
    const auto crc = *TakeBigEndian<uint32_t>(&head);
    if (size > kFrameBytesMax) return Damaged("a frame of " + std::to_string(size) + " bytes");
    ASSIGN_OR_RETURN(const std::string_view payload, Take(size));
    if (CrcOf(payload) != crc) return Damaged("a frame's checksum is wrong");
    checksum_ = CrcOf(payload, checksum_);
    // A row takes the memory of the one before. What does not begin as one may be none.
    if (frame_.has_row() && payload.starts_with(kRowTag)) {
      frame_.mutable_row()->Clear();
      pb::SnapshotFrame::GetReflection()->MutableUnknownFields(&frame_)->Clear();
    } else {
      frame_.Clear();
    }
    google::protobuf::io::CodedInputStream input(reinterpret_cast<const uint8_t*>(payload.data()),
                                                 static_cast<int>(payload.size()));
    if (!frame_.MergeFromCodedStream(&input) || !input.ConsumedEntireMessage())
      return Damaged("a frame cannot be decoded");
    return {};
  }

  // The next `size` bytes, valid until the next call.
  Result<std::string_view> Take(size_t size) {
    while (buffer_.size() - at_ < size) {
      ASSIGN_OR_RETURN(const std::string more, source_(kReadBytes));
      if (more.empty()) return Damaged("it ends early");
      buffer_.erase(0, at_);
      at_ = 0;
      buffer_ += more;
    }
    const std::string_view taken(buffer_.data() + at_, size);
    at_ += size;
    return taken;
  }
  Result<bool> AtEnd() {
    if (at_ < buffer_.size()) return false;
    ASSIGN_OR_RETURN(const std::string more, source_(1));
    return more.empty();
  }

  const Source source_;
  std::string buffer_;
  size_t at_ = 0;
  pb::SnapshotFrame frame_;  // of the last Next()
  uint32_t checksum_ = 0;
};

// What a file has, from its beginning.
Result<Source> SourceOf(const FilePtr& file) {
  ASSIGN_OR_RETURN(const uint64_t end, file->Size());
  return Source([file, end, at = uint64_t{0}](size_t size) mutable -> Result<std::string> {
    std::string bytes(std::min(size, end - at), '\0');
    ASSIGN_OR_RETURN(const size_t read,
                     file->Read(at, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()}));
    bytes.resize(read);
    at += read;
    return bytes;
  });
}

// The file `path` with what `fill` gives; whole, or not at all.
template <typename Fill>
Result<void> WriteFile(FileSystem& files, const std::string& path, Fill fill) {
  const std::string part = path + ".part";
  {
    ASSIGN_OR_RETURN(const FilePtr file, files.Open(part, OpenMode::kCreate));
    RETURN_IF_ERROR(file->Truncate(0));
    uint64_t size = 0;
    RETURN_IF_ERROR(fill([&](std::string_view bytes) {
      const uint64_t at = std::exchange(size, size + bytes.size());
      return file->Write(at, Slice::Copy(bytes));
    }));
    RETURN_IF_ERROR(file->Sync());
  }
  RETURN_IF_ERROR(files.Rename(part, path));
  return files.SyncDirectory(ParentPath(path));
}

Error Unusable(const std::string& path, const Error& error) {
  return Error(Reason::kStorageError, "snapshot " + path + " is " + error.message)
      .With("path", path);
}

}  // namespace

std::string SnapshotFileName(const ImagePosition& position) {
  char name[64];
  std::snprintf(name, sizeof name, "%020lld-%010d%s",
                static_cast<long long>(position.version.value), std::max(position.term.value, 0),
                kSuffix);
  return name;
}

Result<std::vector<SnapshotFile>> ListSnapshots(FileSystem& files, const std::string& folder) {
  std::vector<SnapshotFile> found;
  ASSIGN_OR_RETURN(const bool exists, files.Exists(folder));
  if (!exists) return found;
  ASSIGN_OR_RETURN(const auto entries, files.List(folder));
  for (const DirectoryEntry& entry : entries) {
    int64_t offset = 0;
    int32_t term = 0;
    const char* const begin = entry.name.data();
    const char* const end = begin + entry.name.size();
    const auto first = std::from_chars(begin, end, offset);
    if (first.ec != std::errc() || first.ptr == end || *first.ptr != '-') continue;
    const auto second = std::from_chars(first.ptr + 1, end, term);
    const ImagePosition position{Offset{offset}, LeaderEpoch{term}, Timestamp{0}};
    if (second.ec == std::errc() && SnapshotFileName(position) == entry.name)
      found.push_back({entry.name, position.version, position.term, entry.size});
  }
  return found;  // the order of names is that of offsets
}

Result<void> WriteSnapshot(FileSystem& files, const std::string& path, const MetadataImage& image) {
  return WriteFile(files, path, [&](const Sink& sink) { return Writer(sink).Write(image); });
}

Result<void> WriteSnapshotBytes(FileSystem& files, const std::string& path,
                                std::string_view bytes) {
  return WriteFile(files, path, [&](const Sink& sink) -> Result<void> {
    for (size_t at = 0; at < bytes.size(); at += kWriteBytes)
      RETURN_IF_ERROR(sink(bytes.substr(at, kWriteBytes)));
    return {};
  });
}

Result<ImagePtr> ReadSnapshot(FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(const FilePtr file, files.Open(path, OpenMode::kRead));
  ASSIGN_OR_RETURN(Source source, SourceOf(file));
  auto image = Reader(std::move(source)).Read();
  if (image.ok()) return image;
  return Unusable(path, image.error());
}

Result<void> CheckSnapshot(FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(const FilePtr file, files.Open(path, OpenMode::kRead));
  ASSIGN_OR_RETURN(Source source, SourceOf(file));
  const auto header =
      Reader(std::move(source)).Walk([](const pb::SnapshotRow&) { return Result<void>(); });
  if (header.ok()) return {};
  return Unusable(path, header.error());
}

std::string EncodeSnapshot(const MetadataImage& image) {
  std::string bytes;
  CHECK(Writer([&](std::string_view more) {
          bytes += more;
          return Result<void>();
        })
            .Write(image)
            .ok());
  return bytes;
}

Result<ImagePtr> DecodeSnapshot(std::string_view bytes) {
  return Reader([&](size_t size) -> Result<std::string> {
           std::string taken(bytes.substr(0, size));
           bytes.remove_prefix(taken.size());
           return taken;
         })
      .Read();
}

}  // namespace gregor
