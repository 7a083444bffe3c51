#include "base/record_walk.h"

#include <utility>

#include "base/varint.h"

namespace gregor {
namespace {

Error Invalid(const char* what) { return Error(Reason::kInvalidRecord, what); }

// Reads a length and that many bytes; a negative length is null.
const uint8_t* TakeField(const uint8_t* at, const uint8_t* end,
                         std::optional<std::string_view>* field) {
  int64_t size = 0;
  at = ReadVarint(at, end, 5, &size);
  if (at == nullptr) return nullptr;
  if (size < 0) {
    field->reset();
    return at;
  }
  if (size > end - at) return nullptr;
  field->emplace(reinterpret_cast<const char*>(at), static_cast<size_t>(size));
  return at + size;
}

// Checks the headers' structure; what follows them must be `end`.
bool HeadersFit(const uint8_t* at, const uint8_t* end, int64_t count) {
  std::optional<std::string_view> field;
  for (int64_t i = 0; i < count; ++i) {
    at = TakeField(at, end, &field);
    if (at == nullptr || !field.has_value()) return false;
    at = TakeField(at, end, &field);
    if (at == nullptr) return false;
  }
  return at == end;
}

Result<RecordView> DecodeBody(const BatchHeader& header, const uint8_t* at, const uint8_t* end) {
  if (at == end) return Invalid("an empty record");
  ++at;  // attributes, unused
  RecordView record;
  int64_t time_delta = 0, offset_delta = 0, header_count = 0;
  at = ReadVarint(at, end, 10, &time_delta);
  if (at != nullptr) at = ReadVarint(at, end, 5, &offset_delta);
  if (at != nullptr) at = TakeField(at, end, &record.key);
  if (at != nullptr) at = TakeField(at, end, &record.value);
  if (at != nullptr) at = ReadVarint(at, end, 5, &header_count);
  if (at == nullptr) return Invalid("a record ends before its fields do");
  if (offset_delta < 0 || offset_delta > header.last_offset_delta)
    return Invalid("a record's offset is outside of its batch");
  if (header_count < 0 || header_count > end - at)
    return Invalid("a record claims more headers than it can hold");
  if (!HeadersFit(at, end, header_count))
    return Invalid("a record's headers do not end where it does");
  record.offset = header.base_offset + offset_delta;
  record.header_count = static_cast<int32_t>(header_count);
  record.headers = {reinterpret_cast<const char*>(at), static_cast<size_t>(end - at)};
  if (header.timestamp_type() == TimestampType::kLogAppendTime) {
    record.timestamp = header.max_timestamp;
  } else if (__builtin_add_overflow(header.base_timestamp.value, time_delta,
                                    &record.timestamp.value)) {
    return Invalid("a record's timestamp overflows");
  }
  return record;
}

}  // namespace

Result<RecordView> TakeRecord(const BatchHeader& header, std::string_view& rest) {
  const auto* const begin = reinterpret_cast<const uint8_t*>(rest.data());
  const uint8_t* const end = begin + rest.size();
  int64_t size = 0;
  const uint8_t* const body = ReadVarint(begin, end, 5, &size);
  if (body == nullptr || size < 0 || size > end - body)
    return Invalid("a record is longer than what is left of its batch");
  ASSIGN_OR_RETURN(const RecordView record, DecodeBody(header, body, body + size));
  rest.remove_prefix(static_cast<size_t>(body + size - begin));
  return record;
}

std::vector<RecordHeader> DecodeHeaders(const RecordView& record) {
  std::vector<RecordHeader> headers;
  headers.reserve(static_cast<size_t>(record.header_count));
  const auto* at = reinterpret_cast<const uint8_t*>(record.headers.data());
  const uint8_t* const end = at + record.headers.size();
  for (int32_t i = 0; i < record.header_count; ++i) {
    std::optional<std::string_view> key;
    RecordHeader header;
    at = TakeField(at, end, &key);
    CHECK(at != nullptr && key.has_value());
    at = TakeField(at, end, &header.value);
    CHECK(at != nullptr);
    header.key = *key;
    headers.push_back(header);
  }
  return headers;
}

RecordWalk::RecordWalk(const BatchHeader& header, const Bytes& records)
    : header_(header), records_(records) {}

std::string_view& RecordWalk::Pending() {
  while (pending_.empty() && next_slice_ < records_.slices().size())
    pending_ = records_.slices()[next_slice_++].view();
  return pending_;
}

bool RecordWalk::Gather(size_t size) {
  if (rest_.empty()) rest_ = std::exchange(Pending(), {});
  if (rest_.size() >= size) return true;
  std::string gathered(rest_);
  while (gathered.size() < size && !Pending().empty()) {
    const std::string_view part = pending_.substr(0, size - gathered.size());
    gathered.append(part);
    pending_.remove_prefix(part.size());
  }
  straddle_ = std::move(gathered);
  rest_ = straddle_;
  return rest_.size() >= size;
}

Result<RecordView> RecordWalk::Next() {
  constexpr size_t kLengthBytesMax = 5;
  Gather(kLengthBytesMax);  // fewer may be left
  int64_t size = 0;
  const auto* const begin = reinterpret_cast<const uint8_t*>(rest_.data());
  const uint8_t* const body = ReadVarint(begin, begin + rest_.size(), kLengthBytesMax, &size);
  if (body == nullptr || size < 0) return Invalid("a record's length is malformed");
  const auto whole = static_cast<size_t>(body - begin) + static_cast<size_t>(size);
  if (!Gather(whole)) return Invalid("a record is longer than what is left of its batch");
  return TakeRecord(header_, rest_);
}

Result<void> RecordWalk::CheckEnd() const {
  size_t left = rest_.size() + pending_.size();
  for (size_t i = next_slice_; i < records_.slices().size(); ++i)
    left += records_.slices()[i].size();
  if (left == 0) return {};
  return Error(Reason::kInvalidRecord, std::to_string(left) + " bytes follow the last record");
}

}  // namespace gregor
