#include "storage/mark_journal.h"

#include <algorithm>

#include "base/crc32c.h"
#include "storage/encoding.h"

namespace gregor {
namespace {

constexpr size_t kRecordBytes = 64;
constexpr uint64_t kRoomBytes = 32u << 10;
constexpr uint64_t kReadBytesMax = uint64_t{1} << 32;
constexpr uint8_t kMark = 1, kForgotten = 2, kCut = 3, kDoubtful = 4, kHead = 5;

bool IsShort(const Result<void>& result) { return !result.ok() && IsShortage(result.error()); }

// Where the file ends that has its records' end at `end`.
uint64_t WithRoom(uint64_t end) { return (end / kRoomBytes + 1) * kRoomBytes; }

uint32_t CrcOf(std::string_view text) {
  return Crc32c(0, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

struct Record {
  uint8_t kind = 0;
  TopicIdPartition id;
  SyncedMark mark;     // the head has the number of records behind it as log start
  uint32_t place = 0;  // in its append
};

uint8_t KindOf(const std::optional<SyncedMark>& mark) {
  if (!mark.has_value()) return kForgotten;
  if (mark->is_cut) return kCut;
  return mark->is_doubtful ? kDoubtful : kMark;
}

// checksum, kind, topic id, partition, log start, end, segment base, position, chain, place
void Encode(const Record& record, std::string* out) {
  std::string body;
  PutBigEndian(&body, record.kind);
  body.append(reinterpret_cast<const char*>(record.id.topic_id.bytes.data()),
              record.id.topic_id.bytes.size());
  PutBigEndian(&body, record.id.partition.value);
  PutBigEndian(&body, record.mark.log_start.value);
  PutBigEndian(&body, record.mark.end_offset.value);
  PutBigEndian(&body, record.mark.segment_base.value);
  PutBigEndian(&body, record.mark.position);
  PutBigEndian(&body, record.mark.chain);
  PutBigEndian(&body, static_cast<uint8_t>(record.place >> 16));
  PutBigEndian(&body, static_cast<uint16_t>(record.place));
  CHECK_EQ(body.size(), kRecordBytes - sizeof(uint32_t));
  PutBigEndian(out, CrcOf(body));
  *out += body;
}

std::string EncodeAll(const MarkJournal::Changes& changes) {
  std::string text;
  text.reserve(changes.size() * kRecordBytes);
  uint32_t place = 0;
  for (const auto& [id, mark] : changes)
    Encode({KindOf(mark), id, mark.value_or(SyncedMark()), place++}, &text);
  return text;
}

// nullopt where the record is damaged.
std::optional<Record> Decode(std::string_view text) {
  const uint32_t crc = *TakeBigEndian<uint32_t>(&text);
  if (CrcOf(text) != crc) return std::nullopt;
  Record record;
  record.kind = *TakeBigEndian<uint8_t>(&text);
  std::copy(text.begin(), text.begin() + 16, record.id.topic_id.bytes.begin());
  text.remove_prefix(16);
  record.id.partition = PartitionIndex{*TakeBigEndian<int32_t>(&text)};
  if (record.kind < kMark || record.kind > kHead) return std::nullopt;
  SyncedMark& mark = record.mark;
  mark.is_cut = record.kind == kCut;
  mark.is_doubtful = record.kind == kDoubtful;
  mark.log_start = Offset{*TakeBigEndian<int64_t>(&text)};
  mark.end_offset = Offset{*TakeBigEndian<int64_t>(&text)};
  mark.segment_base = Offset{*TakeBigEndian<int64_t>(&text)};
  mark.position = *TakeBigEndian<uint64_t>(&text);
  mark.chain = *TakeBigEndian<uint32_t>(&text);
  record.place = static_cast<uint32_t>(*TakeBigEndian<uint8_t>(&text)) << 16;
  record.place += *TakeBigEndian<uint16_t>(&text);
  return record;
}

struct Content {
  std::string
      wrong;         // with records that have to be there; an append that was torn is nothing wrong
  size_t count = 0;  // of records, up to a torn append
  MarkJournal::Changes behind;  // what is left of that
};

// Reads all records that are whole. An append begins only once the one before it is synced: so
// whatever lies before the last one of which something can be read has to be there.
Content ReadRecords(std::string_view text, MarkJournal::Marks& marks) {
  size_t expected = 1;
  std::vector<size_t> bad;
  std::vector<std::pair<size_t, std::pair<TopicIdPartition, std::optional<SyncedMark>>>> good;
  const size_t count = text.size() / kRecordBytes;
  for (size_t i = 0; i < count; ++i) {
    const auto record = Decode(text.substr(i * kRecordBytes, kRecordBytes));
    if (!record.has_value()) {
      bad.push_back(i);
    } else if (record->kind == kHead) {
      if (i == 0) expected = 1 + static_cast<size_t>(record->mark.log_start.value);
    } else {
      if (i >= expected && record->place <= i) expected = std::max(expected, i - record->place);
      const bool is_forgotten = record->kind == kForgotten;
      good.push_back({i, {record->id, is_forgotten ? std::nullopt : std::optional(record->mark)}});
    }
  }
  Content content;
  const auto torn = std::lower_bound(bad.begin(), bad.end(), expected);
  content.count = torn == bad.end() ? count : *torn;
  for (const auto& [place, change] : good) {
    if (place > content.count) content.behind.push_back(change);
    marks.erase(change.first);
    if (change.second.has_value()) marks[change.first] = *change.second;
  }
  if (torn != bad.begin())
    content.wrong = std::to_string(torn - bad.begin()) + " of its records are damaged";
  if (count < expected) content.wrong = "its end is missing";
  return content;
}

Result<std::string> KeepAside(FileSystem& files, const std::string& path) {
  std::string aside = path + ".damaged";
  for (int i = 1;; ++i) {
    ASSIGN_OR_RETURN(const bool taken, files.Exists(aside));
    if (!taken) break;
    aside = path + ".damaged." + std::to_string(i);
  }
  RETURN_IF_ERROR(files.Rename(path, aside));
  return aside;
}

}  // namespace

Result<MarkJournal> MarkJournal::Open(FileSystem& files, const std::string& path,
                                      uint64_t rewrite_bytes_min, Marks& marks,
                                      const std::vector<TopicIdPartition>& folders) {
  MarkJournal journal(files, path, rewrite_bytes_min);
  ASSIGN_OR_RETURN(const bool exists, files.Exists(path));
  Content content;
  if (exists) {
    ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(files, path, kReadBytesMax));
    content = ReadRecords(text, marks);
    journal.room_end_ = text.size();
  } else if (!folders.empty()) {
    content.wrong = "it is missing";
  }
  std::string aside;
  if (!content.wrong.empty()) {
    if (exists) {
      ASSIGN_OR_RETURN(aside, KeepAside(files, path));
    }
    LOG(WARNING) << "The journal of synced marks " << path << " is not whole: " << content.wrong
                 << (aside.empty() ? "" : "; it is kept as " + aside) << ". Of the "
                 << folders.size()
                 << " logs beside it one that is damaged anywhere but at its end will be refused";
    for (const TopicIdPartition& id : folders) {
      SyncedMark& mark = marks[id];
      mark.is_doubtful = !mark.is_cut;
    }
  }
  // What was read may be in the page cache only: nothing is built on it before it is durable.
  Result<void> begun = journal.Rewrite(marks);
  // The old one does as well until there is space.
  if (IsShort(begun) && exists) {
    if (!aside.empty()) RETURN_IF_ERROR(files.Rename(aside, path));
    begun = journal.Continue(content.count * kRecordBytes, content.behind);
  }
  RETURN_IF_ERROR(std::move(begun));
  return journal;
}

Result<void> MarkJournal::Continue(uint64_t end, const Changes& behind) {
  ASSIGN_OR_RETURN(file_, files_->Open(path_, OpenMode::kReadWrite));
  size_ = end;
  has_appended_ = true;
  RETURN_IF_ERROR(Append(behind));
  return file_->Sync();
}

Result<void> MarkJournal::Rewrite(const Marks& marks) {
  std::string text;
  SyncedMark head;
  head.log_start = Offset{static_cast<int64_t>(marks.size())};
  Encode({kHead, {}, head, 0}, &text);
  text += EncodeAll({marks.begin(), marks.end()});
  const size_t size = text.size();
  text.resize(WithRoom(size), '\0');
  Result<void> replaced = ReplaceFile(*files_, path_, text);
  if (IsShort(replaced)) {
    text.resize(size);
    replaced = ReplaceFile(*files_, path_, text);
  }
  RETURN_IF_ERROR(std::move(replaced));
  auto opened = files_->Open(path_, OpenMode::kReadWrite);
  // The one that is open is not the journal any more.
  if (!opened.ok()) return Error(Reason::kStorageError, opened.error().message);
  file_ = *std::move(opened);
  size_ = size;
  room_end_ = text.size();
  has_appended_ = false;
  return {};
}

bool MarkJournal::IsFull(size_t more, size_t partitions) const {
  return size_ + more * kRecordBytes >
         std::max<uint64_t>(rewrite_bytes_min_, 8 * partitions * kRecordBytes);
}

Result<void> MarkJournal::Append(const Changes& changes) {
  RETURN_IF_ERROR(Note(changes));
  size_ += changes.size() * kRecordBytes;
  return {};
}

Result<void> MarkJournal::Note(const Changes& changes) {
  if (changes.empty()) return {};
  has_appended_ = true;
  std::string text = EncodeAll(changes);
  const uint64_t end = size_ + text.size();
  if (end > room_end_) {
    std::string with_room = text;
    with_room.resize(WithRoom(end) - size_, '\0');
    Result<void> written = file_->Write(size_, Slice::Own(std::move(with_room)));
    if (written.ok()) room_end_ = WithRoom(end);
    if (!IsShort(written)) return written;
  }
  RETURN_IF_ERROR(file_->Write(size_, Slice::Own(std::move(text))));
  room_end_ = std::max(room_end_, end);
  return {};
}

}  // namespace gregor
