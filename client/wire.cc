#include "client/wire.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/crc32c.h"

namespace gregor {
namespace {

constexpr int kVarint = 0, kLengthDelimited = 2;

void PutVarint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

void PutTag(std::string& out, uint32_t field, int type) {
  PutVarint(out, field << 3 | static_cast<uint32_t>(type));
}

void PutInt(std::string& out, uint32_t field, int64_t value) {
  if (value == 0) return;
  PutTag(out, field, kVarint);
  PutVarint(out, static_cast<uint64_t>(value));
}

// Reads forward over several slices.
class Cursor {
 public:
  Cursor(const Bytes& bytes, size_t position, size_t end)
      : bytes_(bytes), position_(position), end_(end) {}

  bool AtEnd() const { return position_ == end_; }
  size_t position() const { return position_; }
  bool Varint(uint64_t* value) {
    *value = 0;
    for (int shift = 0; shift < 64 && position_ < end_; shift += 7) {
      uint8_t byte;
      bytes_.CopyTo(position_++, {&byte, 1});
      *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool Skip(uint64_t size) {
    if (size > end_ - position_) return false;
    position_ += size;
    return true;
  }
  // Over the value of a field of wire type `type`.
  bool SkipValue(int type) {
    uint64_t value;
    if (type == kVarint) return Varint(&value);
    if (type == kLengthDelimited) return Varint(&value) && Skip(value);
    if (type == 1) return Skip(8);
    return type == 5 && Skip(4);
  }

 private:
  const Bytes& bytes_;
  size_t position_;
  size_t end_;
};

}  // namespace

Bytes EncodeProduceFrame(int64_t frame_id, std::string_view topic, PartitionIndex partition,
                         int32_t attempt, const Bytes& batch) {
  std::string frame;
  frame.reserve(64 + topic.size());
  PutInt(frame, 1, frame_id);
  PutTag(frame, 2, kLengthDelimited);
  PutVarint(frame, topic.size());
  frame += topic;
  PutTag(frame, 3, kVarint);
  PutVarint(frame, static_cast<uint64_t>(partition.value));
  PutInt(frame, 4, attempt);
  PutTag(frame, 15, kLengthDelimited);
  PutVarint(frame, batch.size());
  std::string outer;
  PutTag(outer, 2, kLengthDelimited);
  PutVarint(outer, frame.size() + batch.size());
  Bytes message(Slice::Own(outer + frame));
  message.Append(batch);
  return message;
}

RecordBatch WithProducer(const RecordBatch& batch, ProducerId id, ProducerEpoch epoch,
                         Sequence sequence) {
  std::string bytes = batch.bytes.ToString();
  auto* const data = reinterpret_cast<uint8_t*>(bytes.data());
  BatchHeader header = batch.header;
  header.producer_id = id;
  header.producer_epoch = epoch;
  header.base_sequence = sequence;
  header.Encode(data);
  header.crc = Crc32c(0, {data + kBatchCrcStart, bytes.size() - kBatchCrcStart});
  header.Encode(data);
  return {header, Slice::Own(std::move(bytes))};
}

bool SplitFetchData(const Bytes& message, FetchDataParts* parts) {
  Cursor outer(message, 0, message.size());
  uint64_t tag, size;
  if (!outer.Varint(&tag) || tag != (2u << 3 | kLengthDelimited) || !outer.Varint(&size))
    return false;
  if (size != message.size() - outer.position()) return false;
  Cursor cursor(message, outer.position(), message.size());
  while (!cursor.AtEnd()) {
    const size_t begin = cursor.position();
    if (!cursor.Varint(&tag)) return false;
    if (tag == (15u << 3 | kLengthDelimited)) {
      if (!cursor.Varint(&size)) return false;
      parts->payload = {};
      const size_t at = cursor.position();
      if (!cursor.Skip(size)) return false;
      parts->payload = message.Sub(at, size);
      continue;
    }
    if (!cursor.SkipValue(static_cast<int>(tag & 7))) return false;
    std::string field(cursor.position() - begin, '\0');
    message.CopyTo(begin, {reinterpret_cast<uint8_t*>(field.data()), field.size()});
    parts->head += field;
  }
  return true;
}

}  // namespace gregor
