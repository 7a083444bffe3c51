// Links: gregor_base
// A batch from a client, and what every reader of it must agree on. The first byte of the input
// says how it is treated (see Options), the rest is the batch.
#include <algorithm>
#include <cstdint>
#include <string>

#include "base/crc32c.h"
#include "base/record_batch.h"

namespace gregor {
namespace {

constexpr size_t kPlainBytesMax = 1 << 20;

struct Options {
  bool repair;  // length, magic and checksum are made right first, so that more than they is tested
  bool keys_required;  // as for a compacted topic
  bool append_time;    // the topic stamps records
  size_t piece;        // how the bytes are cut into slices

  explicit Options(uint8_t bits)
      : repair((bits & 1) != 0),
        keys_required((bits & 2) != 0),
        append_time((bits & 4) != 0),
        piece(size_t{1} + (bits >> 3)) {}
};

std::string Repaired(std::string bytes) {
  if (bytes.size() < kBatchHeaderBytes) return bytes;
  auto* const data = reinterpret_cast<uint8_t*>(bytes.data());
  BatchHeader header = BatchHeader::Decode(data);
  header.length = static_cast<int32_t>(bytes.size() - kBatchLengthEnd);
  header.magic = 2;
  header.crc = Crc32c(0, {data + kBatchCrcStart, bytes.size() - kBatchCrcStart});
  header.Encode(data);
  return bytes;
}

Bytes Cut(const std::string& bytes, size_t piece) {
  Bytes cut;
  for (size_t at = 0; at < bytes.size(); at += piece)
    cut.Append(Slice::Copy(std::string_view(bytes).substr(at, piece)));
  return cut;
}

struct Walked {
  int32_t record_count = 0;
  bool whole = false;
  RecordBatch rebuilt;  // only if there were records, and all of them were read
};

// Reads all records, and encodes them anew.
Walked Walk(const RecordBatch& batch) {
  Walked walked;
  auto reader = RecordReader::Open(batch, kPlainBytesMax);
  if (!reader.ok()) return walked;
  BatchBuilder builder;
  size_t bound = kBatchHeaderBytes;
  while (true) {
    const auto next = reader->Next();
    if (!next.ok()) return walked;
    if (!next->has_value()) break;
    const RecordView& view = **next;
    NewRecord record{view.key, view.value, DecodeHeaders(view), view.timestamp};
    CHECK_EQ(record.headers.size(), static_cast<size_t>(view.header_count));
    bound += BatchBuilder::SizeBound(record);
    builder.Add(record);
    ++walked.record_count;
  }
  CHECK_LE(builder.size(), bound);
  walked.whole = true;
  if (walked.record_count > 0) walked.rebuilt = builder.Build();
  return walked;
}

// What was read once reads the same after it was written.
void CheckRebuilt(const RecordBatch& batch, const RecordBatch& rebuilt) {
  auto before = RecordReader::Open(batch, kPlainBytesMax);
  auto after = RecordReader::Open(*CheckBatch(rebuilt.bytes), kPlainBytesMax);
  int64_t delta = 0;
  while (true) {
    const auto old_record = before->Next();
    const auto new_record = after->Next();
    CHECK(old_record.ok());
    if (!new_record.ok()) return;  // times too far apart for one batch
    CHECK_EQ(old_record->has_value(), new_record->has_value());
    if (!old_record->has_value()) return;
    CHECK((*old_record)->key == (*new_record)->key);
    CHECK((*old_record)->value == (*new_record)->value);
    CHECK_EQ((*old_record)->header_count, (*new_record)->header_count);
    CHECK_EQ((*old_record)->timestamp, (*new_record)->timestamp);
    CHECK_EQ((*new_record)->offset, Offset{delta++});
  }
}

void CheckAccepted(const RecordBatch& batch, const ProduceRules& rules) {
  const BatchHeader& header = batch.header;
  CHECK(CheckBatch(batch.bytes).ok());
  const Walked walked = Walk(batch);
  // The records were walked before it was accepted.
  CHECK(walked.whole);
  CHECK_EQ(walked.record_count, header.record_count);
  RecordBatch stamped = batch;
  StampBatch(stamped, Offset{int64_t{1} << 40}, LeaderEpoch{3}, rules.timestamp_type,
             Timestamp{77});
  const auto checked = CheckBatch(stamped.bytes);
  CHECK(checked.ok()) << checked.error();
  CHECK_EQ(checked->header.next_offset() - stamped.header.base_offset, header.record_count);
  CHECK_EQ(Walk(*checked).record_count, walked.record_count);
}

void Run(std::string bytes, const Options& options) {
  if (options.repair) bytes = Repaired(std::move(bytes));
  const Bytes flat = Slice::Copy(bytes);
  (void)PeekHeader(flat, 1 << 20);

  const auto batch = CheckBatch(flat);
  if (batch.ok()) {
    const Walked walked = Walk(*batch);
    if (walked.record_count > 0 && walked.whole) CheckRebuilt(*batch, walked.rebuilt);
  }

  ProduceRules rules;
  rules.now = Timestamp{1700000000000};
  rules.keys_required = options.keys_required;
  rules.timestamp_type =
      options.append_time ? TimestampType::kLogAppendTime : TimestampType::kCreateTime;
  rules.decompressed_bytes_max = kPlainBytesMax;
  const auto whole = CheckProducedBatch(flat, rules);
  const auto sliced = CheckProducedBatch(Cut(bytes, options.piece), rules);
  CHECK_EQ(whole.ok(), sliced.ok());
  if (!whole.ok()) {
    CHECK(whole.error().reason == sliced.error().reason) << whole.error() << sliced.error();
    return;
  }
  CHECK(batch.ok());
  CHECK_EQ(whole->bytes.ToString(), sliced->bytes.ToString());
  CheckAccepted(*whole, rules);
}

}  // namespace
}  // namespace gregor

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  gregor::Run(std::string(reinterpret_cast<const char*>(data) + 1, size - 1),
              gregor::Options(data[0]));
  return 0;
}
