#ifndef GREGOR_BASE_RECORD_BATCH_H_
#define GREGOR_BASE_RECORD_BATCH_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/compression.h"
#include "base/result.h"
#include "base/types.h"

namespace gregor {

// Kafka's RecordBatch v2, the one format from client to disk to client (DESIGN D2). Byte layout:
// docs/formats.md. Thread: any; nothing here keeps state.

inline constexpr size_t kBatchHeaderBytes = 61;
inline constexpr size_t kBatchLengthEnd = 12;  // the length field counts what follows it
inline constexpr size_t kBatchCrcStart = 21;   // the CRC covers [21, end)
// The offset after a batch must be one, too.
inline constexpr Offset kBaseOffsetMax{INT64_MAX - INT32_MAX - 1};

// What the records of a batch may decompress to. Producing refuses more, so that everybody who
// reads has to have room for this much and no more.
inline constexpr size_t kDecompressedBytesMax = 64u << 20;

enum class TimestampType : uint8_t { kCreateTime = 0, kLogAppendTime = 1 };

// The decoded fixed part of a batch.
struct BatchHeader {
  Offset base_offset{0};
  int32_t length = 0;  // bytes after the length field
  LeaderEpoch leader_epoch{-1};
  int8_t magic = 2;
  uint32_t crc = 0;
  int16_t attributes = 0;
  int32_t last_offset_delta = 0;
  Timestamp base_timestamp{-1};
  Timestamp max_timestamp{-1};
  ProducerId producer_id{-1};
  ProducerEpoch producer_epoch{-1};
  Sequence base_sequence{-1};
  int32_t record_count = 0;

  static constexpr int16_t kCodecMask = 7, kLogAppendTimeBit = 8, kTransactionalBit = 16,
                           kControlBit = 32, kDeleteHorizonBit = 64;

  size_t size() const { return kBatchLengthEnd + static_cast<size_t>(length); }
  Offset last_offset() const { return base_offset + last_offset_delta; }
  Offset next_offset() const { return base_offset + (static_cast<int64_t>(last_offset_delta) + 1); }
  Sequence last_sequence() const { return Advance(base_sequence, last_offset_delta); }
  // May be a value above kZstd in a malformed batch.
  uint8_t codec_id() const { return static_cast<uint8_t>(attributes & kCodecMask); }
  Codec codec() const { return static_cast<Codec>(codec_id()); }
  TimestampType timestamp_type() const {
    return (attributes & kLogAppendTimeBit) != 0 ? TimestampType::kLogAppendTime
                                                 : TimestampType::kCreateTime;
  }
  bool is_transactional() const { return (attributes & kTransactionalBit) != 0; }
  bool is_control() const { return (attributes & kControlBit) != 0; }
  bool has_delete_horizon() const { return (attributes & kDeleteHorizonBit) != 0; }
  bool has_producer() const { return producer_id.value >= 0; }

  // Decodes without checking. REQUIRES: `data` has kBatchHeaderBytes.
  static BatchHeader Decode(const uint8_t* data);
  // Writes kBatchHeaderBytes to `out`.
  void Encode(uint8_t* out) const;
};

// A batch whose header was decoded from the first bytes of `bytes`; header.size() == bytes.size().
struct RecordBatch {
  BatchHeader header;
  Bytes bytes;

  // The records' bytes as stored (compressed or not).
  Bytes payload() const { return bytes.Sub(kBatchHeaderBytes, bytes.size() - kBatchHeaderBytes); }
};

// The header at the front of `bytes`, of which more may follow. Checks that the fixed part is
// there, that magic is 2, that the length field is at least 49, and that the whole batch has at
// most `batch_bytes_max`. Does not need the rest of the batch to be there. Fails with
// kCorruptBatch.
Result<BatchHeader> PeekHeader(const Bytes& bytes, size_t batch_bytes_max);

// `bytes` as one whole batch: header as PeekHeader(), length equal to what is there, CRC. Fails
// with kCorruptBatch.
Result<RecordBatch> CheckBatch(Bytes bytes);

// What a topic asks of batches that clients send.
struct ProduceRules {
  size_t batch_bytes_max = 1048588;
  TimestampType timestamp_type = TimestampType::kCreateTime;
  Timestamp now{0};
  int64_t timestamp_before_max_ms = INT64_MAX;  // a record may be so much older than `now`
  int64_t timestamp_after_max_ms = 3600000;     // ... or so much newer
  bool keys_required = false;                   // compacted topic
  size_t decompressed_bytes_max = kDecompressedBytesMax;
  Budget* memory = nullptr;  // what decompressing draws from, if it is to
};

// Checks a batch sent by a client, in the order of docs/formats.md ("Checks on produce"): size,
// CRC, codec, counts, flags, producer fields, and the records: they are walked (structure, offset
// deltas, keys, times), and decompressed for it, so that what is stored can be read; the bytes are
// stored as they came (docs/adr/0009-records-are-read-on-produce.md). The header's largest time is
// put right.
// Fails with kCorruptBatch, kBatchTooLarge, kInvalidRecord, kInvalidArgument (the producer id),
// kInvalidTimestamp, kUnsupportedCompression or kQuotaExceeded (no memory to decompress it now).
Result<RecordBatch> CheckProducedBatch(Bytes bytes, const ProduceRules& rules);

// Gives a checked batch its place: base offset and leader epoch, which lie outside the CRC; with
// kLogAppendTime also the time `now`, for which the CRC is corrected without touching the payload.
// Only the header is copied.
void StampBatch(RecordBatch& batch, Offset base_offset, LeaderEpoch epoch, TimestampType type,
                Timestamp now);

// One header of a record. The value is nullopt where it is null.
struct RecordHeader {
  std::string_view key;
  std::optional<std::string_view> value;
};

// One record, pointing into the bytes that are walked.
struct RecordView {
  Offset offset{0};
  Timestamp timestamp{-1};
  std::optional<std::string_view> key;    // nullopt: null
  std::optional<std::string_view> value;  // nullopt: null, a tombstone in a compacted topic
  int32_t header_count = 0;
  std::string_view headers;  // encoded; see DecodeHeaders()
};

// The headers of a record, in order. REQUIRES: the view came out of a RecordReader (its structure
// is checked).
std::vector<RecordHeader> DecodeHeaders(const RecordView& record);

// Walks the records of a batch, one at a time; decompresses once when it is opened.
class RecordReader {
 public:
  // Fails as Decompress() does. The payload's bytes stay alive as long as the reader, which holds
  // a share of `memory` for them where they were decompressed.
  static Result<RecordReader> Open(const RecordBatch& batch, size_t decompressed_bytes_max,
                                   Budget* memory = nullptr);

  // The next record; nullopt after the last. Fails with kInvalidRecord when the bytes contradict
  // the header (count, deltas, lengths, bytes left over); the reader is finished then.
  Result<std::optional<RecordView>> Next();

 private:
  RecordReader() = default;
  BatchHeader header_;
  std::shared_ptr<const void> owner_;
  std::string_view rest_;
  int32_t read_count_ = 0;
  bool failed_ = false;
};

// What BatchBuilder::Add() takes.
struct NewRecord {
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  std::vector<RecordHeader> headers;
  Timestamp timestamp{-1};
};

// Encodes plain records into one batch. Thread: its owner's.
class BatchBuilder {
 public:
  struct Options {
    Codec codec = Codec::kNone;
    ProducerId producer_id = kNoProducerId;
    ProducerEpoch producer_epoch = kNoProducerEpoch;
    Sequence base_sequence = kNoSequence;
    int16_t attributes = 0;  // control and transactional bits
    size_t capacity = 1024;  // bytes of the batch that the first record makes room for
  };

  explicit BatchBuilder(Options options);
  BatchBuilder() : BatchBuilder(Options()) {}

  void Add(const NewRecord& record);
  int32_t record_count() const { return header_.record_count; }
  // Size of the batch as it stands, uncompressed.
  size_t size() const { return kBatchHeaderBytes + used_; }
  // Bytes allocated for the batch: what size() may grow to without another allocation. Beyond it
  // they double.
  size_t capacity() const { return capacity_; }
  // How many bytes Add(record) would add at most.
  static size_t SizeBound(const NewRecord& record);
  // Instead of what the options say.
  void SetProducer(ProducerId id, ProducerEpoch epoch, Sequence base_sequence);
  // The finished batch with base offset 0 and leader epoch -1, which keeps the bytes that were
  // allocated (uncompressed) or is a copy (compressed); the builder is empty afterwards.
  // REQUIRES: record_count() > 0.
  RecordBatch Build();

 private:
  void Grow(size_t needed);

  Options options_;
  BatchHeader header_;
  std::unique_ptr<uint8_t[]> buffer_;  // room for the header, then the payload
  size_t capacity_ = 0;
  size_t used_ = 0;  // bytes of the payload
};

}  // namespace gregor

#endif  // GREGOR_BASE_RECORD_BATCH_H_
