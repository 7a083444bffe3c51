#include "storage/batch_filter.h"

#include <algorithm>

#include "base/check.h"
#include "base/compression.h"
#include "base/crc32c.h"
#include "base/varint.h"

namespace gregor {
namespace {

void PutVarint(std::string& out, int64_t value) {
  uint8_t bytes[10];
  const uint8_t* const end = WriteVarint(bytes, value);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(end - bytes));
}

size_t FieldSize(const std::optional<std::string_view>& field) {
  return field.has_value() ? VarintSize(static_cast<int64_t>(field->size())) + field->size() : 1;
}

void PutField(std::string& out, const std::optional<std::string_view>& field) {
  PutVarint(out, field.has_value() ? static_cast<int64_t>(field->size()) : -1);
  if (field.has_value()) out += *field;
}

void PutRecord(std::string& out, const BatchHeader& header, const RecordView& record) {
  // The times of records lie within 64 bits of each other, or they could not have been read.
  const bool own_time = header.timestamp_type() == TimestampType::kCreateTime;
  const auto time_delta =
      own_time ? static_cast<int64_t>(static_cast<uint64_t>(record.timestamp.value) -
                                      static_cast<uint64_t>(header.base_timestamp.value))
               : 0;
  const int64_t offset_delta = record.offset - header.base_offset;
  const size_t size = 1 + VarintSize(time_delta) + VarintSize(offset_delta) +
                      FieldSize(record.key) + FieldSize(record.value) +
                      VarintSize(record.header_count) + record.headers.size();
  PutVarint(out, static_cast<int64_t>(size));
  out += '\0';  // attributes
  PutVarint(out, time_delta);
  PutVarint(out, offset_delta);
  PutField(out, record.key);
  PutField(out, record.value);
  PutVarint(out, record.header_count);
  out += record.headers;
}

// A batch of `header` and `payload`, with length and checksum put right.
FilteredBatch Seal(BatchHeader header, const std::string& payload) {
  FilteredBatch result{.kind = FilteredBatch::Kind::kRewritten};
  header.length = static_cast<int32_t>(kBatchHeaderBytes - kBatchLengthEnd + payload.size());
  result.bytes.assign(kBatchHeaderBytes, '\0');
  result.bytes += payload;
  auto* const data = reinterpret_cast<uint8_t*>(result.bytes.data());
  header.Encode(data);
  header.crc = Crc32c(0, {data + kBatchCrcStart, result.bytes.size() - kBatchCrcStart});
  header.Encode(data);
  result.header = header;
  return result;
}

// Its offsets, sequences and flags; no records.
FilteredBatch Emptied(BatchHeader header) {
  header.attributes &=
      static_cast<int16_t>(~(BatchHeader::kCodecMask | BatchHeader::kDeleteHorizonBit));
  header.record_count = 0;
  header.base_timestamp = kNoTimestamp;
  return Seal(header, "");
}

}  // namespace

bool BatchFilter::IsKept(const BatchHeader& header, const RecordView& record,
                         bool* wants_horizon) const {
  if (record.offset >= rules_.map_end) return true;
  if (!record.key.has_value()) return false;
  const auto latest = map_.Find(*record.key);
  if (latest.has_value() && *latest > record.offset) return false;
  if (record.value.has_value()) return true;
  // What could not be read may hold an older value of the key, which must not come back.
  if (unreadable_ > 0) return true;
  if (header.has_delete_horizon()) return header.base_timestamp > rules_.now;
  *wants_horizon = true;
  return true;
}

FilteredBatch BatchFilter::Unreadable(const BatchHeader& header, const Error& error) {
  LOG_IF(WARNING, unreadable_ == 0) << "Compaction keeps the batch at offset " << header.base_offset
                                    << " and others like it as they are: " << error;
  ++unreadable_;
  return {};
}

FilteredBatch BatchFilter::Apply(const BatchHeader& header, std::span<const uint8_t> bytes,
                                 bool is_needed) {
  if (header.is_control() || header.is_transactional()) return {};
  const FilteredBatch nothing{.kind = FilteredBatch::Kind::kNothing};
  if (header.record_count == 0) return is_needed ? FilteredBatch() : nothing;
  auto reader = RecordReader::Open({header, Slice(nullptr, bytes.data(), bytes.size())},
                                   kDecompressedBytesMax);
  if (!reader.ok()) return Unreadable(header, reader.error());
  std::vector<RecordView> kept;
  int32_t count = 0;
  bool wants_horizon = false;
  while (true) {
    const auto record = reader->Next();
    if (!record.ok()) return Unreadable(header, record.error());
    if (!record->has_value()) break;
    ++count;
    if (IsKept(header, **record, &wants_horizon)) kept.push_back(**record);
  }
  if (kept.empty()) return is_needed ? Emptied(header) : nothing;
  if (static_cast<int32_t>(kept.size()) == count && !wants_horizon) return {};
  return Rewrite(header, kept, wants_horizon);
}

FilteredBatch BatchFilter::Rewrite(const BatchHeader& header,
                                   const std::vector<RecordView>& records, bool set_horizon) {
  BatchHeader changed = header;
  changed.record_count = static_cast<int32_t>(records.size());
  if (set_horizon) {
    changed.attributes |= BatchHeader::kDeleteHorizonBit;
    changed.base_timestamp =
        rules_.now + std::min(rules_.delete_retention_ms, INT64_MAX - rules_.now.value);
  }
  if (header.timestamp_type() == TimestampType::kCreateTime) {
    changed.max_timestamp = records.front().timestamp;
    for (const RecordView& record : records)
      changed.max_timestamp = std::max(changed.max_timestamp, record.timestamp);
  }
  std::string payload;
  for (const RecordView& record : records) PutRecord(payload, changed, record);
  if (header.codec() != Codec::kNone) payload = Compress(header.codec(), payload);
  if (kBatchHeaderBytes + payload.size() > rules_.batch_bytes_max) {
    return Unreadable(header,
                      Error(Reason::kBatchTooLarge, "with fewer records it would be larger"));
  }
  return Seal(changed, payload);
}

}  // namespace gregor
