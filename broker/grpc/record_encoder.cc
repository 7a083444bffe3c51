#include "broker/grpc/record_encoder.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/record_batch.h"
#include "broker/fetch_memory.h"

namespace gregor {
namespace {

constexpr size_t kSlowBytes = 64u << 10;
// The memory for an answer is taken so much at a time, as records are often small.
constexpr size_t kGrowBytes = 64u << 10;

constexpr size_t VarintBytes(uint64_t value) {
  return (static_cast<size_t>(63 - __builtin_clzll(value | 1)) * 37 >> 8) + 1;  // (bits + 6) / 7
}

// Of a bytes field with a one-byte key.
constexpr size_t FieldBytes(size_t size) { return 1 + VarintBytes(size) + size; }

void AppendVarint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

void AppendField(std::string& out, uint32_t field, std::string_view value) {
  AppendVarint(out, field << 3 | 2);
  AppendVarint(out, value.size());
  out += value;
}

size_t HeaderBytes(const RecordHeader& header) {
  return (header.key.empty() ? 0 : FieldBytes(header.key.size())) +
         (header.value.has_value() ? FieldBytes(header.value->size()) : 0);
}

// A v1::Record that is about to be written.
class RecordMessage {
 public:
  explicit RecordMessage(const RecordView& record) : record_(record) {
    if (record.header_count > 0) headers_ = DecodeHeaders(record);
    if (record.key.has_value()) size_ += FieldBytes(record.key->size());
    if (record.value.has_value()) size_ += FieldBytes(record.value->size());
    for (const RecordHeader& header : headers_) size_ += FieldBytes(HeaderBytes(header));
    size_ += 1 + VarintBytes(static_cast<uint64_t>(record.timestamp.value));
    if (record.offset.value != 0)
      size_ += 1 + VarintBytes(static_cast<uint64_t>(record.offset.value));
  }

  // With the key of its field.
  size_t size() const { return FieldBytes(size_); }

  void AppendTo(std::string& out, uint32_t field) const {
    AppendVarint(out, field << 3 | 2);
    AppendVarint(out, size_);
    if (record_.key.has_value()) AppendField(out, 1, *record_.key);
    if (record_.value.has_value()) AppendField(out, 2, *record_.value);
    for (const RecordHeader& header : headers_) {
      AppendVarint(out, 3 << 3 | 2);
      AppendVarint(out, HeaderBytes(header));
      if (!header.key.empty()) AppendField(out, 1, header.key);
      if (header.value.has_value()) AppendField(out, 2, *header.value);
    }
    AppendVarint(out, 4 << 3);
    AppendVarint(out, static_cast<uint64_t>(record_.timestamp.value));
    if (record_.offset.value == 0) return;
    AppendVarint(out, 5 << 3);
    AppendVarint(out, static_cast<uint64_t>(record_.offset.value));
  }

 private:
  const RecordView& record_;
  std::vector<RecordHeader> headers_;
  size_t size_ = 0;
};

Error Undecodable(const BatchHeader& header, const Error& cause) {
  const std::string next = std::to_string(header.next_offset().value);
  const Reason reason =
      cause.reason == Reason::kBatchTooLarge ? Reason::kBatchTooLarge : Reason::kCorruptBatch;
  return Error(reason, "the batch at offset " + std::to_string(header.base_offset.value) +
                           " cannot be decoded (" + cause.message + "): go on at offset " + next +
                           ", or fetch it as it is with RECORD_FORMAT_BATCHES")
      .With("offset", std::to_string(header.base_offset.value))
      .With("next_offset", next);
}

class Encoder {
 public:
  Encoder(const EncodeLimits& limits, uint32_t field) : limits_(limits), field_(field) {}

  // False where a limit has stopped it.
  Result<bool> Add(const RecordBatch& batch) {
    if (batch.header.is_control()) return true;
    auto reader = Open(batch);
    if (!reader.ok()) return StopAt(batch.header, reader.error());
    while (true) {
      auto record = reader->Next();
      if (!record.ok()) return StopAt(batch.header, record.error());
      if (!record->has_value()) return true;
      if ((*record)->offset < limits_.from) continue;
      ASSIGN_OR_RETURN(const bool goes_on, Add(**record));
      if (!goes_on) return false;
    }
  }

  EncodedRecords Take(Offset next_offset) {
    if (!IsCharged() || out_.empty()) return {Slice::Own(std::move(out_)), count_, next_offset};
    Budget::Share share = limits_.answer->Split(std::min(out_.size(), limits_.answer->bytes()));
    return {Holding(std::move(out_), std::move(share)), count_, next_offset};
  }
  Offset stopped_at() const { return stopped_at_; }

 private:
  Result<RecordReader> Open(const RecordBatch& batch) {
    auto reader = RecordReader::Open(batch, kDecompressedBytesMax, limits_.memory);
    // Decompress() may have twice as much for a moment.
    const bool never_fits = !reader.ok() && reader.error().reason == Reason::kBatchTooLarge &&
                            limits_.memory != nullptr &&
                            limits_.memory->max() <= 2 * kDecompressedBytesMax;
    if (!never_fits) return reader;
    // It was stored while the budget was larger: it has all of this one to itself.
    const Budget::Share all = limits_.memory->TryAcquire(limits_.memory->max());
    if (all) return RecordReader::Open(batch, kDecompressedBytesMax);
    return Error(Reason::kQuotaExceeded,
                 "the batch at offset " + std::to_string(batch.header.base_offset.value) +
                     " takes all the memory there is to decompress in, which is in use: retry");
  }
  // What lies before it is delivered first, so that whoever then goes on behind it misses nothing.
  Result<bool> StopAt(const BatchHeader& header, const Error& cause) {
    if (count_ == 0)
      return cause.reason == Reason::kQuotaExceeded ? cause : Undecodable(header, cause);
    stopped_at_ = std::max(stopped_at_, header.base_offset);
    return false;
  }
  Result<bool> Add(const RecordView& record) {
    const RecordMessage message(record);
    stopped_at_ = record.offset;
    if (record.offset >= limits_.before || count_ == limits_.records_max) return false;
    if (out_.size() + message.size() > limits_.bytes_max) {
      if (count_ > 0) return false;
      return TooLarge(record.offset, message.size());
    }
    if (!HasMemory(out_.size() + message.size())) {
      if (count_ > 0) return false;
      return Error(Reason::kQuotaExceeded,
                   "the memory for answers to fetches (" +
                       std::to_string(limits_.answer->budget_max()) +
                       " bytes) is in use: retry, or ask for less at a time");
    }
    message.AppendTo(out_, field_);
    ++count_;
    stopped_at_ = record.offset + 1;
    return true;
  }

  Error TooLarge(Offset offset, size_t size) const {
    const std::string text = "the record at offset " + std::to_string(offset.value) + " needs " +
                             std::to_string(size) + " bytes";
    Error error(Reason::kFetchTooSmall, text + ": ask for more at a time");
    const std::string next = std::to_string(offset.value + 1);
    const std::string limit = std::to_string(limits_.bytes_limit);
    if (size > limits_.bytes_limit) {
      error.message = text + ", and no answer has more than " + limit +
                      " (by the setting message_limit): go on at offset " + next +
                      ", or fetch its batch as it was written with RECORD_FORMAT_BATCHES";
      error.With("limit_bytes", limit).With("next_offset", next);
    }
    return std::move(error)
        .With("needed_bytes", std::to_string(size))
        .With("offset", std::to_string(offset.value));
  }
  bool IsCharged() const { return limits_.answer != nullptr && *limits_.answer; }
  // Whether the answer may take so many bytes; one that exceeds the whole budget has it to itself.
  bool HasMemory(size_t bytes) const {
    if (!IsCharged()) return true;
    Budget::Share& share = *limits_.answer;
    const size_t needed = std::min(bytes, share.budget_max());
    if (needed <= share.bytes()) return true;
    const size_t missing = needed - share.bytes();
    const size_t step = std::min(std::max(missing, kGrowBytes), share.budget_max() - share.bytes());
    return share.TryGrow(step) || share.TryGrow(missing);
  }

  const EncodeLimits& limits_;
  const uint32_t field_;
  std::string out_;
  int64_t count_ = 0;
  Offset stopped_at_{0};
};

}  // namespace

Result<EncodedRecords> EncodeRecords(const Bytes& batches, Offset end, const EncodeLimits& limits,
                                     uint32_t field) {
  Encoder encoder(limits, field);
  for (size_t at = 0; at < batches.size();) {
    const Bytes rest = batches.Sub(at, batches.size() - at);
    ASSIGN_OR_RETURN(const BatchHeader header, PeekHeader(rest, rest.size()));
    at += header.size();
    if (header.next_offset() <= limits.from) continue;
    const RecordBatch batch{header, rest.Sub(0, header.size())};
    ASSIGN_OR_RETURN(const bool goes_on, encoder.Add(batch));
    if (!goes_on) return encoder.Take(encoder.stopped_at());
  }
  return encoder.Take(std::min(end, limits.before));
}

bool IsSlowToEncode(const Bytes& batches) {
  if (batches.size() > kSlowBytes) return true;
  for (size_t at = 0; at < batches.size();) {
    const Bytes rest = batches.Sub(at, batches.size() - at);
    const auto header = PeekHeader(rest, rest.size());
    if (!header.ok() || header->codec() != Codec::kNone) return true;
    at += header->size();
  }
  return false;
}

}  // namespace gregor
