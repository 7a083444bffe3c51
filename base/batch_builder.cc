#include <algorithm>
#include <cstring>
#include <utility>

#include "base/crc32c.h"
#include "base/record_batch.h"
#include "base/varint.h"

namespace gregor {
namespace {

constexpr size_t kVarintBytesMax = 10;

size_t FieldSize(const std::optional<std::string_view>& field) {
  return field.has_value() ? VarintSize(static_cast<int64_t>(field->size())) + field->size() : 1;
}

uint8_t* WriteBytes(uint8_t* out, std::string_view bytes) {
  out = WriteVarint(out, static_cast<int64_t>(bytes.size()));
  if (!bytes.empty()) std::memcpy(out, bytes.data(), bytes.size());
  return out + bytes.size();
}

uint8_t* WriteField(uint8_t* out, const std::optional<std::string_view>& field) {
  return field.has_value() ? WriteBytes(out, *field) : WriteVarint(out, -1);
}

size_t HeadersSize(const std::vector<RecordHeader>& headers) {
  size_t size = VarintSize(static_cast<int64_t>(headers.size()));
  for (const RecordHeader& header : headers) {
    size += VarintSize(static_cast<int64_t>(header.key.size())) + header.key.size() +
            FieldSize(header.value);
  }
  return size;
}

}  // namespace

BatchBuilder::BatchBuilder(Options options) : options_(options) {}

size_t BatchBuilder::SizeBound(const NewRecord& record) {
  constexpr size_t kFixed =
      5 + 1 + kVarintBytesMax + 5;  // length, attributes, time and offset deltas
  return kFixed + FieldSize(record.key) + FieldSize(record.value) + HeadersSize(record.headers);
}

void BatchBuilder::Add(const NewRecord& record) {
  if (header_.record_count == 0) {
    header_.base_timestamp = header_.max_timestamp = record.timestamp;
  } else {
    header_.max_timestamp = std::max(header_.max_timestamp, record.timestamp);
  }
  // Wraps for times that are further apart than 64 bits hold; such a batch is refused when it is
  // read.
  const auto time_delta = static_cast<int64_t>(static_cast<uint64_t>(record.timestamp.value) -
                                               static_cast<uint64_t>(header_.base_timestamp.value));
  const int64_t offset_delta = header_.record_count++;
  const size_t size = 1 + VarintSize(time_delta) + VarintSize(offset_delta) +
                      FieldSize(record.key) + FieldSize(record.value) + HeadersSize(record.headers);
  const size_t needed = kBatchHeaderBytes + used_ + VarintSize(static_cast<int64_t>(size)) + size;
  if (needed > capacity_) Grow(needed);
  uint8_t* const begin = buffer_.get() + kBatchHeaderBytes + used_;
  uint8_t* out = WriteVarint(begin, static_cast<int64_t>(size));
  *out++ = 0;  // attributes
  out = WriteVarint(out, time_delta);
  out = WriteVarint(out, offset_delta);
  out = WriteField(out, record.key);
  out = WriteField(out, record.value);
  out = WriteVarint(out, static_cast<int64_t>(record.headers.size()));
  for (const RecordHeader& header : record.headers) {
    out = WriteBytes(out, header.key);
    out = WriteField(out, header.value);
  }
  used_ += static_cast<size_t>(out - begin);
}

void BatchBuilder::Grow(size_t needed) {
  capacity_ = std::max({needed, 2 * capacity_, options_.capacity});
  // Not zeroed: the records fill it.
  auto grown = std::make_unique_for_overwrite<uint8_t[]>(capacity_);
  if (used_ > 0) {
    std::memcpy(grown.get() + kBatchHeaderBytes, buffer_.get() + kBatchHeaderBytes, used_);
  }
  buffer_ = std::move(grown);
}

void BatchBuilder::SetProducer(ProducerId id, ProducerEpoch epoch, Sequence base_sequence) {
  options_.producer_id = id;
  options_.producer_epoch = epoch;
  options_.base_sequence = base_sequence;
}

RecordBatch BatchBuilder::Build() {
  CHECK_GT(header_.record_count, 0);
  std::shared_ptr<uint8_t[]> buffer = std::move(buffer_);
  size_t size = kBatchHeaderBytes + std::exchange(used_, 0);
  capacity_ = 0;
  if (options_.codec != Codec::kNone) {
    const std::string packed =
        Compress(options_.codec, {reinterpret_cast<const char*>(buffer.get()) + kBatchHeaderBytes,
                                  size - kBatchHeaderBytes});
    size = kBatchHeaderBytes + packed.size();
    buffer = std::shared_ptr<uint8_t[]>(std::make_unique_for_overwrite<uint8_t[]>(size));
    std::memcpy(buffer.get() + kBatchHeaderBytes, packed.data(), packed.size());
  }
  CHECK_LE(size, size_t{INT32_MAX});
  BatchHeader header = std::exchange(header_, {});
  header.length = static_cast<int32_t>(size - kBatchLengthEnd);
  header.attributes =
      static_cast<int16_t>(options_.attributes | static_cast<int16_t>(options_.codec));
  header.last_offset_delta = header.record_count - 1;
  header.producer_id = options_.producer_id;
  header.producer_epoch = options_.producer_epoch;
  header.base_sequence = options_.base_sequence;
  uint8_t* const data = buffer.get();
  header.Encode(data);
  header.crc = Crc32c(0, {data + kBatchCrcStart, size - kBatchCrcStart});
  header.Encode(data);
  return {header, Bytes(Slice(std::move(buffer), data, size))};
}

}  // namespace gregor
