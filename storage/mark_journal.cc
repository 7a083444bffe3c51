#include "storage/mark_journal.h"

#include <algorithm>

#include "base/crc32c.h"
#include "storage/encoding.h"

namespace gregor {
namespace {

constexpr size_t kRecordBytes = 64;
constexpr uint64_t kRoomBytes = 32u << 10;
constexpr uint64_t kReadBytesMax = uint64_t{1} << 32;
constexpr uint8_t kMark = 1, kForgotten = 2, kCut = 3;

bool IsDiskFull(const Result<void>& result) {
  return !result.ok() && result.error().reason == Reason::kDiskFull;
}

// Where the file ends that has its records' end at `end`.
uint64_t WithRoom(uint64_t end) { return (end / kRoomBytes + 1) * kRoomBytes; }

uint32_t CrcOf(std::string_view text) {
  return Crc32c(0, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

// checksum, kind, topic id, partition, log start, end, segment base, position, chain, zeros
void Encode(const TopicIdPartition& id, const std::optional<SyncedMark>& mark, std::string& out) {
  std::string body;
  const uint8_t kind = !mark.has_value() ? kForgotten : mark->is_cut ? kCut : kMark;
  PutBigEndian(&body, kind);
  body.append(reinterpret_cast<const char*>(id.topic_id.bytes.data()), id.topic_id.bytes.size());
  PutBigEndian(&body, id.partition.value);
  const SyncedMark stored = mark.value_or(SyncedMark());
  PutBigEndian(&body, stored.log_start.value);
  PutBigEndian(&body, stored.end_offset.value);
  PutBigEndian(&body, stored.segment_base.value);
  // The position shares its 8 bytes with nothing, the chain has 4: 1 + 16 + 4 + 8 + 8 + 8 + 8 + 4
  // = 57.
  PutBigEndian(&body, stored.position);
  PutBigEndian(&body, stored.chain);
  body.resize(kRecordBytes - sizeof(uint32_t), '\0');
  PutBigEndian(&out, CrcOf(body));
  out += body;
}

// False where the record is damaged.
bool Decode(std::string_view record, MarkJournal::Marks& marks) {
  const uint32_t crc = *TakeBigEndian<uint32_t>(&record);
  if (CrcOf(record) != crc) return false;
  const uint8_t kind = *TakeBigEndian<uint8_t>(&record);
  TopicIdPartition id;
  std::copy(record.begin(), record.begin() + 16, id.topic_id.bytes.begin());
  record.remove_prefix(16);
  id.partition = PartitionIndex{*TakeBigEndian<int32_t>(&record)};
  if (kind == kForgotten) return marks.erase(id), true;
  if (kind != kMark && kind != kCut) return false;
  SyncedMark mark;
  mark.is_cut = kind == kCut;
  mark.log_start = Offset{*TakeBigEndian<int64_t>(&record)};
  mark.end_offset = Offset{*TakeBigEndian<int64_t>(&record)};
  mark.segment_base = Offset{*TakeBigEndian<int64_t>(&record)};
  mark.position = *TakeBigEndian<uint64_t>(&record);
  mark.chain = *TakeBigEndian<uint32_t>(&record);
  marks[id] = mark;
  return true;
}

}  // namespace

Result<MarkJournal> MarkJournal::Open(FileSystem& files, const std::string& path,
                                      uint64_t rewrite_bytes_min, Marks& marks) {
  MarkJournal journal(files, path, rewrite_bytes_min);
  ASSIGN_OR_RETURN(const bool exists, files.Exists(path));
  uint64_t end = 0;  // of the last record that is good
  uint64_t file_end = 0;
  if (exists) {
    ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(files, path, kReadBytesMax));
    std::string_view rest = text;
    file_end = text.size();
    // Every record stands for itself: it was written after what it says had become true. So one
    // that is damaged costs itself alone; at the end that is an append which was torn.
    size_t damaged = 0, damaged_before = 0;
    for (; rest.size() >= kRecordBytes; rest.remove_prefix(kRecordBytes)) {
      if (Decode(rest.substr(0, kRecordBytes), marks)) {
        damaged_before = damaged;
        end = file_end - rest.size() + kRecordBytes;
      } else {
        ++damaged;
      }
    }
    LOG_IF(WARNING, damaged_before > 0)
        << path << ": " << damaged_before << " synced marks are damaged, and were passed over";
  }
  // What was read may be in the page cache only: nothing is built on it before it is durable.
  Result<void> begun = journal.Rewrite(marks);
  // The old one does as well until there is space.
  if (IsDiskFull(begun) && exists) begun = journal.Continue(end, file_end);
  RETURN_IF_ERROR(std::move(begun));
  return journal;
}

Result<void> MarkJournal::Continue(uint64_t end, uint64_t file_end) {
  ASSIGN_OR_RETURN(file_, files_->Open(path_, OpenMode::kReadWrite));
  size_ = end;
  room_end_ = file_end;
  return file_->Sync();
}

Result<void> MarkJournal::Rewrite(const Marks& marks) {
  std::string text;
  text.reserve(marks.size() * kRecordBytes);
  for (const auto& [id, mark] : marks) Encode(id, mark, text);
  const size_t size = text.size();
  text.resize(WithRoom(size), '\0');
  Result<void> replaced = ReplaceFile(*files_, path_, text);
  if (IsDiskFull(replaced)) {
    text.resize(size);
    replaced = ReplaceFile(*files_, path_, text);
  }
  RETURN_IF_ERROR(std::move(replaced));
  ASSIGN_OR_RETURN(file_, files_->Open(path_, OpenMode::kReadWrite));
  size_ = size;
  room_end_ = text.size();
  return {};
}

bool MarkJournal::IsFull(size_t more, size_t partitions) const {
  return size_ + more * kRecordBytes >
         std::max<uint64_t>(rewrite_bytes_min_, 8 * partitions * kRecordBytes);
}

Result<void> MarkJournal::Append(const Changes& changes) {
  std::string text;
  text.reserve(changes.size() * kRecordBytes);
  for (const auto& [id, mark] : changes) Encode(id, mark, text);
  const uint64_t end = size_ + text.size();
  if (end > room_end_) {
    std::string with_room = text;
    with_room.resize(WithRoom(end) - size_, '\0');
    Result<void> written = file_->Write(size_, Slice::Own(std::move(with_room)));
    if (!IsDiskFull(written)) {
      RETURN_IF_ERROR(std::move(written));
      size_ = end;
      room_end_ = WithRoom(end);
      return {};
    }
  }
  RETURN_IF_ERROR(file_->Write(size_, Slice::Own(std::move(text))));
  size_ = end;
  room_end_ = std::max(room_end_, end);
  return {};
}

}  // namespace gregor
