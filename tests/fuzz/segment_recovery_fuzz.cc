// Links: gregor_sim gregor_storage gregor_base
// What a start makes of segment files that may hold anything. The first three bytes of the input
// say how they come to be (see Options), the rest is what is in them.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/crc32c.h"
#include "base/record_batch.h"
#include "storage/log_files.h"
#include "storage/log_recovery.h"
#include "storage/segment_cursor.h"
#include "tests/fuzz/log_directory_world.h"

namespace gregor {
namespace {

constexpr size_t kBatchBytesMax = 1 << 16;
constexpr size_t kInputBytesMax = 1 << 14;

struct Options {
  bool repair;        // lengths, magic and checksums are made right first
  bool number;        // ... and offsets and epochs
  bool gaps_allowed;  // as on a follower of a compacted log
  bool has_mark;      // of as many batches as `marked` says
  bool wrong_mark;    // ... which were others
  bool has_room;      // behind what was written
  bool is_doubtful;   // the mark, or that there is none
  size_t marked;
  size_t split;  // so many batches are in the first of two segments; 0: all

  Options(uint8_t bits, uint8_t marked_batches, uint8_t split_at)
      : repair((bits & 1) != 0),
        number((bits & 2) != 0),
        gaps_allowed((bits & 4) != 0),
        has_mark((bits & 8) != 0),
        wrong_mark((bits & 16) != 0),
        has_room((bits & 32) != 0),
        is_doubtful((bits & 64) != 0),
        marked(marked_batches),
        split(split_at) {}
};

std::string Repaired(std::string bytes, bool number) {
  int64_t next_offset = 0;
  for (size_t at = 0; bytes.size() - at >= kBatchHeaderBytes;) {
    auto* const data = reinterpret_cast<uint8_t*>(bytes.data()) + at;
    const size_t left = bytes.size() - at;
    BatchHeader header = BatchHeader::Decode(data);
    const auto length = static_cast<size_t>(static_cast<uint32_t>(header.length));
    const bool fits =
        length <= left - kBatchLengthEnd && length >= kBatchHeaderBytes - kBatchLengthEnd;
    header.length = static_cast<int32_t>((fits ? length : left) - (fits ? 0 : kBatchLengthEnd));
    header.magic = 2;
    if (number) {
      header.base_offset = Offset{next_offset};
      header.leader_epoch = LeaderEpoch{1};
      header.last_offset_delta &= 0xff;
      next_offset += header.last_offset_delta + 1;
    }
    header.Encode(data);
    header.crc = Crc32c(0, {data + kBatchCrcStart, header.size() - kBatchCrcStart});
    header.Encode(data);
    at += header.size();
  }
  return bytes;
}

// A node's disk with one log directory.
class World : public LogDirectoryWorld {
 public:
  void Write(Offset base, std::string_view content, uint64_t room) {
    const auto file = files().Open(SegmentPath(directory(), id(), {base, 0}), OpenMode::kCreate);
    CHECK(file.ok() && (*file)->Write(0, Slice::Copy(content)).ok());
    CHECK((*file)->Allocate(content.size() + room).ok());
  }
  std::string Content() {
    std::string all;
    const auto entries = files().List(directory().PathOf(id()));
    for (const DirectoryEntry& entry : *entries) {
      const auto content =
          ReadWholeFile(files(), JoinPath(directory().PathOf(id()), entry.name), 1 << 20);
      CHECK(content.ok()) << content.error();
      if (entry.name.ends_with(".log")) all += entry.name + *content;
    }
    return all;
  }

  Result<RecoveredLog> Recover(std::optional<SyncedMark> mark, bool gaps_allowed) {
    RecoveryOptions options;
    options.id = id();
    options.batch_bytes_max = kBatchBytesMax;
    options.index_interval_bytes = 100;
    options.gaps_allowed = gaps_allowed;
    options.mark = std::move(mark);
    return RecoverLog(directory(), options);
  }

  // Everything that the log is said to have is there.
  void CheckWhole(const RecoveredLog& log) {
    Offset next{0};
    LeaderEpoch epoch = kNoLeaderEpoch;
    for (const Segment& segment : log.segments) {
      CHECK_GE(segment.base(), next);
      next = segment.base();
      if (segment.size == 0) {
        CHECK(&segment == &log.segments.back());
        continue;
      }
      const auto file = files().Open(SegmentPath(directory(), id(), segment.name), OpenMode::kRead);
      CHECK(file.ok()) << file.error();
      SegmentCursor cursor(**file, {.end = segment.size,
                                    .next_offset = next,
                                    .epoch = epoch,
                                    .batch_bytes_max = kBatchBytesMax});
      while (true) {
        const auto batch = cursor.Next();
        CHECK(batch.ok());
        if (!batch->has_value()) break;
        epoch = (*batch)->header.leader_epoch;
      }
      CHECK(cursor.at_end()) << cursor.what();
      next = cursor.next_offset();
    }
    if (!log.segments.empty()) CHECK_EQ(next, log.log_end);
    CHECK_LE(log.log_start, log.log_end);
  }
};

// Where the first `count` batches of `content` end, as a log would remember it.
SyncedMark MarkAfter(std::string_view content, size_t count, size_t split) {
  SyncedMark mark;
  size_t at = 0;
  for (size_t i = 0; i < count; ++i) {
    const std::string_view rest = content.substr(at);
    const auto header = PeekHeader(
        Slice(nullptr, reinterpret_cast<const uint8_t*>(rest.data()), rest.size()), kBatchBytesMax);
    if (!header.ok() || header->size() > rest.size()) break;
    if (i == split && split > 0) {
      mark.segment_base = header->base_offset;
      mark.position = 0;
      mark.chain = 0;
    }
    mark.position += header->size();
    mark.chain = ChainCrc(mark.chain, *header);
    mark.end_offset = header->next_offset();
    at += header->size();
  }
  return mark;
}

// How many bytes the first `count` batches have; all if there are fewer.
size_t BytesOf(std::string_view content, size_t count) {
  size_t at = 0;
  for (size_t i = 0; i < count && content.size() - at >= kBatchHeaderBytes; ++i) {
    const auto header = BatchHeader::Decode(reinterpret_cast<const uint8_t*>(content.data()) + at);
    if (header.length < 0 || header.size() > content.size() - at) return content.size();
    at += header.size();
  }
  return at;
}

// In doubt no batch goes that could belong to the log.
void CheckNothingWholeBehind(const std::string& content, size_t cut, const RecoveredLog& log) {
  const auto* data = reinterpret_cast<const uint8_t*>(content.data());
  const bool in_first = log.segments.empty() || log.segments.back().base() == Offset{0};
  const size_t begin = log.segments.empty() ? 0 : log.segments.back().size;
  for (size_t at = in_first ? begin : cut + begin; at + kBatchHeaderBytes <= content.size(); ++at) {
    const size_t end = at < cut ? cut : content.size();
    const auto header = PeekHeader(Slice(nullptr, data + at, end - at), kBatchBytesMax);
    if (!header.ok() || header->size() > end - at || header->leader_epoch < LeaderEpoch{0} ||
        header->last_offset_delta < 0 || header->base_offset < log.log_end ||
        header->base_offset - log.log_end > INT32_MAX)
      continue;
    const std::span<const uint8_t> covered(data + at + kBatchCrcStart,
                                           header->size() - kBatchCrcStart);
    CHECK_NE(Crc32c(0, covered), header->crc) << "a whole batch was given up";
  }
}

void Run(std::string content, const Options& options) {
  if (options.repair) content = Repaired(std::move(content), options.number);
  World world;
  const uint64_t room = options.has_room ? 5000 : 0;
  const size_t cut = options.split > 0 ? BytesOf(content, options.split) : content.size();
  const std::string_view all = content;
  world.Write(Offset{0}, all.substr(0, cut), cut == content.size() ? room : 0);
  if (content.size() - cut >= kBatchHeaderBytes) {
    const auto header = BatchHeader::Decode(reinterpret_cast<const uint8_t*>(content.data()) + cut);
    if (header.base_offset.value <= 0) return;
    world.Write(header.base_offset, all.substr(cut), room);
  }
  std::optional<SyncedMark> mark;
  if (options.has_mark) mark = MarkAfter(content, options.marked, options.split);
  const bool wrong = options.has_mark && options.wrong_mark && mark->position > 0;
  if (wrong) mark->chain ^= 1;

  if (options.is_doubtful) {
    if (!mark.has_value()) mark.emplace();
    mark->is_doubtful = true;
  }
  const std::string before = world.Content();
  const auto log = world.Recover(mark, options.gaps_allowed);
  if (!log.ok()) {
    CHECK(log.error().reason == Reason::kStorageError) << log.error();
    CHECK(world.Content() == before) << "files of a log that is not served stay as they are";
    return;
  }
  CHECK(!wrong) << "what was synced is not there";
  if (mark.has_value()) CHECK_GE(log->log_end, mark->end_offset);
  world.CheckWhole(*log);
  if (options.is_doubtful) CheckNothingWholeBehind(content, cut, *log);

  // Nothing is found out differently the second time, and nothing is cut.
  const std::string after = world.Content();
  const auto again = world.Recover(log->mark, options.gaps_allowed);
  CHECK(again.ok()) << again.error();
  CHECK(again->mark == log->mark);
  CHECK_EQ(again->log_start, log->log_start);
  CHECK_EQ(again->log_end, log->log_end);
  CHECK_EQ(again->segments.size(), log->segments.size());
  CHECK(again->epochs.entries() == log->epochs.entries());
  CHECK(world.Content() == after);
}

}  // namespace
}  // namespace gregor

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3 || size > gregor::kInputBytesMax) return 0;
  gregor::Run(std::string(reinterpret_cast<const char*>(data) + 3, size - 3),
              gregor::Options(data[0], data[1], data[2]));
  return 0;
}
