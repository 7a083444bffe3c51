#ifndef GREGOR_BROKER_GRPC_WIRE_WRITER_H_
#define GREGOR_BROKER_GRPC_WIRE_WRITER_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace gregor {

// Writes a Protobuf message by hand, field by field, in the order of their numbers. Scalars that
// are zero are left out, as proto3 has it. Thread: its owner's.
class WireWriter {
 public:
  void Int(uint32_t field, int64_t value) {
    if (value != 0) Present(field, value);
  }
  // Also if it is zero: for `optional` fields and members of a oneof.
  void Present(uint32_t field, int64_t value) {
    Varint(field << 3);
    Varint(static_cast<uint64_t>(value));
  }
  void Bytes(uint32_t field, std::string_view value) {
    Length(field, value.size());
    out_ += value;
  }
  // The key of a bytes field whose content of `size` bytes the caller appends elsewhere.
  void Length(uint32_t field, size_t size) {
    Varint(field << 3 | 2);
    Varint(size);
  }
  // One number of a packed list, of which this is the content.
  void Element(int64_t value) { Varint(static_cast<uint64_t>(value)); }
  void Message(uint32_t field, const WireWriter& message) { Bytes(field, message.out_); }

  const std::string& bytes() const { return out_; }

 private:
  void Varint(uint64_t value) {
    while (value >= 0x80) {
      out_ += static_cast<char>(value | 0x80);
      value >>= 7;
    }
    out_ += static_cast<char>(value);
  }

  std::string out_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_WIRE_WRITER_H_
