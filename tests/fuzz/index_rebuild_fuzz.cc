// Links: gregor_sim gregor_storage gregor_base
// The index of a segment, from its file or from the segment. The first byte of the input says what
// the rest is: 0 an index file of a sound segment as the disk gives it, 1 the same with its
// checksum made right, 2 a segment whose index file is missing.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/record_batch.h"
#include "storage/encoding.h"
#include "storage/log_files.h"
#include "storage/segment_cursor.h"
#include "tests/fuzz/log_directory_world.h"

namespace gregor {
namespace {

constexpr int64_t kInterval = 200;
constexpr size_t kBatchBytesMax = 1 << 16;
constexpr size_t kInputBytesMax = 1 << 14;
constexpr uint32_t kIndexMagic = 0x47495831;

std::string SoundSegment() {
  std::string content;
  int64_t offset = 0;
  for (int i = 0; i < 30; ++i) {
    BatchBuilder builder;
    NewRecord record;
    record.value = "value";
    record.timestamp = Timestamp{1000 + i % 7 * 100};
    for (int count = 0; count <= i % 3; ++count) builder.Add(record);
    RecordBatch batch = builder.Build();
    StampBatch(batch, Offset{offset}, LeaderEpoch{1}, TimestampType::kCreateTime, Timestamp{0});
    offset = batch.header.next_offset().value;
    content += batch.bytes.ToString();
  }
  return content;
}

// One segment in a log directory.
class World : public LogDirectoryWorld {
 public:
  explicit World(std::string_view content) {
    segment_.size = content.size();
    Write("log", content);
  }

  void Write(std::string_view suffix, std::string_view content) {
    const auto file =
        files().Open(SegmentPath(directory(), id(), segment_.name, suffix), OpenMode::kCreate);
    CHECK(file.ok() && (*file)->Truncate(0).ok());
    CHECK((*file)->Write(0, Slice::Copy(content)).ok());
  }
  std::shared_ptr<SegmentIndex> Load() {
    const auto index = LoadIndex(directory(), id(), segment_, kBatchBytesMax, kInterval);
    CHECK(index.ok()) << index.error();
    return *index;
  }
  std::optional<SegmentIndex> FromFile() {
    return ReadIndexFile(files(), directory().PathOf(id()), segment_);
  }
  // The batches up to the end, or to the first that is damaged.
  std::vector<std::pair<BatchHeader, uint64_t>> Batches() {
    const auto file = files().Open(SegmentPath(directory(), id(), segment_.name), OpenMode::kRead);
    SegmentCursor cursor(
        **file,
        {.end = segment_.size, .has_gaps = segment_.has_gaps, .batch_bytes_max = kBatchBytesMax});
    std::vector<std::pair<BatchHeader, uint64_t>> batches;
    while (true) {
      const auto batch = cursor.Next();
      CHECK(batch.ok());
      if (!batch->has_value()) break;
      batches.emplace_back((*batch)->header, (*batch)->position);
    }
    whole_ = cursor.at_end();
    return batches;
  }
  // Whether Batches() came to the end.
  bool whole() const { return whole_; }

 private:
  Segment segment_;
  bool whole_ = false;
};

// Whoever looks for a batch or a time there begins before it, and not long before it.
void CheckLeadsToAll(const SegmentIndex& index,
                     const std::vector<std::pair<BatchHeader, uint64_t>>& batches) {
  Timestamp max{-1};
  for (const auto& [header, position] : batches) {
    for (const Offset offset : {header.base_offset, header.last_offset()}) {
      const auto entry = index.Floor(offset);
      CHECK(entry.has_value() && entry->base <= header.base_offset);
      CHECK(entry->position <= position && position - entry->position < kInterval + kBatchBytesMax);
    }
    if (header.record_count > 0 && header.max_timestamp > max) {
      max = header.max_timestamp;
      const auto entry = index.FloorByTime(max);
      CHECK(entry.has_value() && entry->position <= position);
    }
  }
  CHECK(index.max_timestamp() == max);
}

void Run(uint8_t kind, std::string_view rest) {
  static const std::string sound = SoundSegment();
  World world(kind == 2 ? rest : std::string_view(sound));
  if (kind == 0) world.Write("index", rest);
  if (kind == 1) world.Write("index", Seal(kIndexMagic, std::string(rest)));
  const auto batches = world.Batches();
  const bool from_file = world.FromFile().has_value();
  const auto index = world.Load();
  // An index that somebody made up with a sound checksum may lead anywhere; readers notice.
  if (kind == 1 && from_file) return;
  CheckLeadsToAll(*index, batches);
  const auto written = world.FromFile();
  CHECK_EQ(written.has_value(), world.whole());
  if (written.has_value()) CHECK(written->entries() == index->entries());
}

}  // namespace
}  // namespace gregor

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > gregor::kInputBytesMax) return 0;
  gregor::Run(data[0] % 3, {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
