#include "base/record_batch.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/crc32c.h"
#include "base/record_walk.h"

namespace gregor {
namespace {

template <typename T>
T LoadBig(const uint8_t* at) {
  std::make_unsigned_t<T> value;
  std::memcpy(&value, at, sizeof value);
  if constexpr (sizeof value == 2) value = __builtin_bswap16(value);
  if constexpr (sizeof value == 4) value = __builtin_bswap32(value);
  if constexpr (sizeof value == 8) value = __builtin_bswap64(value);
  return static_cast<T>(value);
}

template <typename T>
void StoreBig(uint8_t* at, T number) {
  auto value = static_cast<std::make_unsigned_t<T>>(number);
  if constexpr (sizeof value == 2) value = __builtin_bswap16(value);
  if constexpr (sizeof value == 4) value = __builtin_bswap32(value);
  if constexpr (sizeof value == 8) value = __builtin_bswap64(value);
  std::memcpy(at, &value, sizeof value);
}

Error Corrupt(const std::string& what) { return Error(Reason::kCorruptBatch, what); }
Error Invalid(const std::string& what) { return Error(Reason::kInvalidRecord, what); }

uint32_t CrcOf(const Bytes& batch) {
  return Crc32c(0, batch.Sub(kBatchCrcStart, batch.size() - kBatchCrcStart));
}

// Puts `header` in front of the batch's payload; only those bytes are copied.
void ReplaceHeader(RecordBatch& batch, const BatchHeader& header) {
  std::string encoded(kBatchHeaderBytes, '\0');
  header.Encode(reinterpret_cast<uint8_t*>(encoded.data()));
  Bytes bytes(Slice::Own(std::move(encoded)));
  bytes.Append(batch.payload());
  batch.header = header;
  batch.bytes = std::move(bytes);
}

// The CRC after the fixed part that it covers changed from that of `before` to that of `after`: it
// is linear, so the difference of the two parts' CRCs, moved over the payload's length, is all that
// changes.
uint32_t AdjustCrc(const BatchHeader& before, const BatchHeader& after) {
  uint8_t old_bytes[kBatchHeaderBytes];
  uint8_t new_bytes[kBatchHeaderBytes];
  before.Encode(old_bytes);
  after.Encode(new_bytes);
  const auto part = [](const uint8_t* bytes) {
    return Crc32c(0, {bytes + kBatchCrcStart, kBatchHeaderBytes - kBatchCrcStart});
  };
  return before.crc ^
         Crc32cConcat(part(old_bytes) ^ part(new_bytes), 0, before.size() - kBatchHeaderBytes);
}

Result<void> CheckProducedHeader(const BatchHeader& header) {
  if (header.codec_id() > static_cast<uint8_t>(Codec::kZstd)) {
    return Error(Reason::kUnsupportedCompression,
                 "compression " + std::to_string(header.codec_id()) +
                     " is none of 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd");
  }
  if (header.record_count <= 0 || header.last_offset_delta != header.record_count - 1) {
    return Invalid("the batch claims " + std::to_string(header.record_count) +
                   " records and a last offset delta of " +
                   std::to_string(header.last_offset_delta) +
                   ": a produced batch has the count less one there");
  }
  if (header.is_control()) return Invalid("control batches are written by brokers only");
  if (header.is_transactional())
    return Invalid(
        "transactional batches need a transaction, which this broker does not support yet");
  if (header.has_delete_horizon()) return Invalid("a delete horizon is set by compaction only");
  // No client has such an id: as "none" it would lose what is meant by the sequence beside it.
  if (header.producer_id.value < -1) {
    return Error(Reason::kInvalidArgument,
                 "producer id " + std::to_string(header.producer_id.value) +
                     " was not given by InitProducer: a batch without a producer has -1");
  }
  if (header.has_producer() &&
      (header.producer_epoch.value < 0 || header.base_sequence.value < 0)) {
    return Invalid(
        "a batch with a producer id needs a producer epoch and a base sequence of 0 or more");
  }
  return {};
}

// An empty share, if there is a budget.
Budget::Share ShareOf(Budget* budget) {
  return budget == nullptr ? Budget::Share() : budget->TryAcquire(0);
}

Error BadTime(Timestamp time, const ProduceRules& rules) {
  return Error(Reason::kInvalidTimestamp,
               "timestamp " + std::to_string(time.value) + " is too far from this broker's time " +
                   std::to_string(rules.now.value) +
                   " (message.timestamp.before.max.ms, message.timestamp.after.max.ms)")
      .With("timestamp", std::to_string(time.value));
}

bool TimeFits(Timestamp time, const ProduceRules& rules) {
  if (time == kNoTimestamp) return true;
  int64_t age = 0;
  if (__builtin_sub_overflow(rules.now.value, time.value, &age)) return false;
  return age <= rules.timestamp_before_max_ms &&
         age >= -std::min(rules.timestamp_after_max_ms, INT64_MAX);
}

// Walks the records of a produced batch; gives the largest time, which the header must carry.
Result<Timestamp> CheckRecords(const RecordBatch& batch, const ProduceRules& rules) {
  BatchHeader header = batch.header;
  // Whatever the sender claims, its records carry their own times.
  header.attributes &= static_cast<int16_t>(~BatchHeader::kLogAppendTimeBit);
  const bool times_count = rules.timestamp_type == TimestampType::kCreateTime;
  Bytes records = batch.payload();
  Budget::Share memory = ShareOf(rules.memory);
  if (header.codec() != Codec::kNone) {
    ASSIGN_OR_RETURN(std::string plain,
                     Decompress(header.codec(), records, rules.decompressed_bytes_max,
                                memory ? &memory : nullptr));
    records = Slice::Own(std::move(plain));
  }
  RecordWalk walk(header, records);
  Timestamp latest = kNoTimestamp;
  for (int32_t i = 0; i < header.record_count; ++i) {
    ASSIGN_OR_RETURN(const RecordView record, walk.Next());
    if (rules.keys_required && !record.key.has_value()) {
      return Invalid("record " + std::to_string(i) + " has no key, which a compacted topic needs")
          .With("record_index", std::to_string(i));
    }
    if (record.offset.value != header.base_offset.value + i) {
      return Invalid("record " + std::to_string(i) + " has the offset delta " +
                     std::to_string(record.offset - header.base_offset));
    }
    if (times_count && !TimeFits(record.timestamp, rules)) return BadTime(record.timestamp, rules);
    latest = std::max(latest, record.timestamp);
  }
  RETURN_IF_ERROR(walk.CheckEnd());
  return latest;
}

}  // namespace

BatchHeader BatchHeader::Decode(const uint8_t* data) {
  BatchHeader header;
  header.base_offset = Offset{LoadBig<int64_t>(data)};
  header.length = LoadBig<int32_t>(data + 8);
  header.leader_epoch = LeaderEpoch{LoadBig<int32_t>(data + 12)};
  header.magic = static_cast<int8_t>(data[16]);
  header.crc = LoadBig<uint32_t>(data + 17);
  header.attributes = LoadBig<int16_t>(data + 21);
  header.last_offset_delta = LoadBig<int32_t>(data + 23);
  header.base_timestamp = Timestamp{LoadBig<int64_t>(data + 27)};
  header.max_timestamp = Timestamp{LoadBig<int64_t>(data + 35)};
  header.producer_id = ProducerId{LoadBig<int64_t>(data + 43)};
  header.producer_epoch = ProducerEpoch{LoadBig<int16_t>(data + 51)};
  header.base_sequence = Sequence{LoadBig<int32_t>(data + 53)};
  header.record_count = LoadBig<int32_t>(data + 57);
  return header;
}

void BatchHeader::Encode(uint8_t* out) const {
  StoreBig(out, base_offset.value);
  StoreBig(out + 8, length);
  StoreBig(out + 12, leader_epoch.value);
  out[16] = static_cast<uint8_t>(magic);
  StoreBig(out + 17, crc);
  StoreBig(out + 21, attributes);
  StoreBig(out + 23, last_offset_delta);
  StoreBig(out + 27, base_timestamp.value);
  StoreBig(out + 35, max_timestamp.value);
  StoreBig(out + 43, producer_id.value);
  StoreBig(out + 51, producer_epoch.value);
  StoreBig(out + 53, base_sequence.value);
  StoreBig(out + 57, record_count);
}

Result<BatchHeader> PeekHeader(const Bytes& bytes, size_t batch_bytes_max) {
  if (bytes.size() < kBatchHeaderBytes) {
    return Corrupt("a batch has at least 61 bytes, there are " + std::to_string(bytes.size()));
  }
  uint8_t fixed[kBatchHeaderBytes];
  bytes.CopyTo(0, fixed);
  const BatchHeader header = BatchHeader::Decode(fixed);
  if (header.magic != 2) {
    return Corrupt("the batch has format version (magic) " + std::to_string(header.magic) +
                   ", only 2 is supported");
  }
  constexpr auto kLengthMin = static_cast<int32_t>(kBatchHeaderBytes - kBatchLengthEnd);
  if (header.length < kLengthMin || header.size() > batch_bytes_max) {
    return Corrupt("the batch claims a length of " + std::to_string(header.length) +
                   " bytes after the length field");
  }
  return header;
}

Result<RecordBatch> CheckBatch(Bytes bytes) {
  ASSIGN_OR_RETURN(const BatchHeader header, PeekHeader(bytes, SIZE_MAX));
  if (header.size() != bytes.size()) {
    return Corrupt("the batch claims " + std::to_string(header.size()) + " bytes, there are " +
                   std::to_string(bytes.size()));
  }
  if (CrcOf(bytes) != header.crc) return Corrupt("the batch's checksum does not match its content");
  return RecordBatch{header, std::move(bytes)};
}

Result<RecordBatch> CheckProducedBatch(Bytes bytes, const ProduceRules& rules) {
  ASSIGN_OR_RETURN(const BatchHeader header, PeekHeader(bytes, SIZE_MAX));
  if (header.size() < bytes.size()) {
    return Invalid("a request takes exactly one batch, " +
                   std::to_string(bytes.size() - header.size()) + " bytes follow the first");
  }
  if (header.base_offset.value != 0) {
    return Invalid("the base offset of a produced batch is 0, not " +
                   std::to_string(header.base_offset.value));
  }
  if (bytes.size() > rules.batch_bytes_max) {
    return Error(Reason::kBatchTooLarge, "the batch has " + std::to_string(bytes.size()) +
                                             " bytes, max.message.bytes is " +
                                             std::to_string(rules.batch_bytes_max))
        .With("limit_bytes", std::to_string(rules.batch_bytes_max))
        .With("actual_bytes", std::to_string(bytes.size()));
  }
  ASSIGN_OR_RETURN(RecordBatch batch, CheckBatch(std::move(bytes)));
  RETURN_IF_ERROR(CheckProducedHeader(header));
  if (header.timestamp_type() == TimestampType::kLogAppendTime &&
      rules.timestamp_type == TimestampType::kLogAppendTime) {
    return Error(Reason::kInvalidTimestamp,
                 "the batch is marked as stamped by a broker (attribute bit 3), which only a "
                 "broker may do");
  }
  ASSIGN_OR_RETURN(const Timestamp latest, CheckRecords(batch, rules));
  BatchHeader corrected = header;
  corrected.max_timestamp = latest;  // searches by time rely on it
  corrected.attributes &= static_cast<int16_t>(~BatchHeader::kLogAppendTimeBit);
  if (corrected.max_timestamp != header.max_timestamp ||
      corrected.attributes != header.attributes) {
    corrected.crc = AdjustCrc(header, corrected);
    ReplaceHeader(batch, corrected);
  }
  return batch;
}

void StampBatch(RecordBatch& batch, Offset base_offset, LeaderEpoch epoch, TimestampType type,
                Timestamp now) {
  BatchHeader header = batch.header;
  header.base_offset = base_offset;
  header.leader_epoch = epoch;
  if (type == TimestampType::kLogAppendTime) {
    header.attributes |= BatchHeader::kLogAppendTimeBit;
    header.max_timestamp = now;
  } else {
    header.attributes &= static_cast<int16_t>(~BatchHeader::kLogAppendTimeBit);
  }
  const BatchHeader& before = batch.header;
  if (header.attributes != before.attributes || header.max_timestamp != before.max_timestamp) {
    header.crc = AdjustCrc(before, header);
  }
  ReplaceHeader(batch, header);
}

Result<RecordReader> RecordReader::Open(const RecordBatch& batch, size_t decompressed_bytes_max,
                                        Budget* memory) {
  struct Held {
    Slice payload;
    Budget::Share memory;
  };
  auto held = std::make_shared<Held>();
  if (batch.header.codec() == Codec::kNone || batch.header.record_count == 0) {
    held->payload = batch.payload().Flatten();
  } else {
    held->memory = ShareOf(memory);
    ASSIGN_OR_RETURN(std::string plain,
                     Decompress(batch.header.codec(), batch.payload(), decompressed_bytes_max,
                                held->memory ? &held->memory : nullptr));
    held->payload = Slice::Own(std::move(plain));
  }
  RecordReader reader;
  reader.header_ = batch.header;
  reader.rest_ = held->payload.view();
  reader.owner_ = std::move(held);
  return reader;
}

Result<std::optional<RecordView>> RecordReader::Next() {
  if (failed_) return Invalid("the records contradict their batch");
  if (read_count_ >= header_.record_count) {
    if (rest_.empty()) return std::optional<RecordView>();
    failed_ = true;
    return Invalid(std::to_string(rest_.size()) + " bytes follow the last record");
  }
  auto record = TakeRecord(header_, rest_);
  if (!record.ok()) {
    failed_ = true;
    return std::move(record).error();
  }
  ++read_count_;
  return std::optional<RecordView>(*record);
}

}  // namespace gregor
