#ifndef GREGOR_BROKER_GRPC_WIRE_READER_H_
#define GREGOR_BROKER_GRPC_WIRE_READER_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace gregor {

// Keeps copies of what does not lie in one piece. Thread: its owner's.
class CopyArena {
 public:
  // `size` bytes to be filled.
  uint8_t* Allocate(size_t size);

 private:
  std::vector<std::unique_ptr<uint8_t[]>> pieces_;
};

// Walks one serialized Protobuf message that lies in one or several slices, without copying it:
// https://protobuf.dev/programming-guides/encoding/. Takes what the generated parsers take and
// refuses what they refuse. A length that a peer claimed is believed only as far as there are
// bytes. Once a call has returned false the message is malformed and the reader is not used any
// more. Thread: its owner's.
class WireReader {
 public:
  enum Type : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kStart = 3, kEnd = 4, kFixed32 = 5 };
  struct Field {
    uint32_t number = 0;
    Type type = kVarint;
    // One number for both, to be switched over: Tag(3, kBytes).
    uint32_t tag() const { return number << 3 | type; }
  };
  static constexpr uint32_t Tag(uint32_t number, Type type) { return number << 3 | type; }

  // REQUIRES: `message`, and `arena` if it is asked for views, outlive the reader.
  explicit WireReader(const Bytes& message, CopyArena* arena = nullptr);
  explicit WireReader(std::string_view message);

  // Whether the message, or the submessage that was entered last, is read to its end.
  bool AtEnd() const { return at_ == end_ && after_ == 0; }
  // Bytes to that end.
  size_t left() const { return static_cast<size_t>(end_ - at_) + after_; }

  // The key of the next field. REQUIRES: !AtEnd(), for this and all below.
  bool Next(Field* field);
  bool Varint(uint64_t* value) {
    if (at_ < end_ && *at_ < 0x80) {
      *value = *at_++;
      return true;
    }
    return SlowVarint(value);
  }
  // Narrower types take the low bits, as generated parsers do.
  bool Int32(int32_t* value);
  bool Int64(int64_t* value);
  bool Bool(bool* value);
  // Content of a kBytes field, in one piece: in place where it is, else as a copy in the arena.
  bool View(std::string_view* value);
  // The same, which has to be UTF-8.
  bool Text(std::string_view* value);
  // Content of a kBytes field, sharing the message's slices. REQUIRES: made of Bytes.
  bool Share(Bytes* value);
  // Goes into the submessage in a kBytes field: its end is the end until Leave(). `outer` keeps
  // what follows it.
  bool Enter(size_t* outer);
  // REQUIRES: AtEnd().
  void Leave(size_t outer) { SetLeft(outer); }
  // Over the value of a field that nobody knows.
  bool Skip(const Field& field);

 private:
  bool Length(size_t* size);
  bool SlowVarint(uint64_t* value);
  bool SkipBytes(size_t size);
  bool SkipGroup(uint32_t number);
  // Goes on in the next slice. False at the end.
  bool Advance();
  void SetLeft(size_t left);
  void Copy(uint8_t* out, size_t size);

  const uint8_t* at_ = nullptr;
  const uint8_t* end_ = nullptr;        // of what is read, in this slice
  const uint8_t* slice_end_ = nullptr;  // of this slice
  size_t after_ = 0;                    // bytes of what is read in the slices after this one
  const std::vector<Slice>* slices_ = nullptr;
  size_t slice_ = 0;  // which of them this is
  CopyArena* arena_ = nullptr;
};

// What parsers of messages are made of: each gives the fields of a message, one after another, to
// `parse`, which takes the field's value off the reader and returns false where it is malformed.
namespace wire {

constexpr uint32_t Int(uint32_t number) { return WireReader::Tag(number, WireReader::kVarint); }
constexpr uint32_t Len(uint32_t number) { return WireReader::Tag(number, WireReader::kBytes); }

template <typename Parse>
bool ParseAll(WireReader& reader, Parse parse) {
  for (WireReader::Field field; !reader.AtEnd();) {
    if (!reader.Next(&field) || !parse(field)) return false;
  }
  return true;
}

// The same for the submessage that comes next.
template <typename Parse>
bool ParseInside(WireReader& reader, Parse parse) {
  size_t outer;
  if (!reader.Enter(&outer) || !ParseAll(reader, parse)) return false;
  reader.Leave(outer);
  return true;
}

}  // namespace wire

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_WIRE_READER_H_
