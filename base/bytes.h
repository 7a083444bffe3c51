#ifndef GREGOR_BASE_BYTES_H_
#define GREGOR_BASE_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gregor {

// Contiguous immutable bytes, kept alive by `owner` (a string, a gRPC slice, a read buffer ...).
// Copying shares them.
class Slice {
 public:
  Slice() = default;
  Slice(std::shared_ptr<const void> owner, const uint8_t* data, size_t size)
      : owner_(std::move(owner)), data_(data), size_(size) {}
  static Slice Copy(std::string_view text);
  static Slice Own(std::string text);
  // Bytes that live for ever (literals).
  static Slice Static(std::string_view text);

  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::string_view view() const { return {reinterpret_cast<const char*>(data_), size_}; }
  std::span<const uint8_t> span() const { return {data_, size_}; }
  // [position, position + size) of these bytes. REQUIRES: within them.
  Slice Sub(size_t position, size_t size) const;

 private:
  std::shared_ptr<const void> owner_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// A sequence of slices that reads as one run of bytes: how batches travel from a socket to the disk
// and back without copies.
class Bytes {
 public:
  Bytes() = default;
  Bytes(Slice slice) { Append(std::move(slice)); }  // NOLINT: implicit on purpose

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const std::vector<Slice>& slices() const { return slices_; }
  void Append(Slice slice);
  void Append(const Bytes& bytes);
  void Append(Bytes&& bytes);
  // [position, position + size). REQUIRES: within these bytes.
  Bytes Sub(size_t position, size_t size) const;
  // Copies [position, position + out.size()) to `out`. REQUIRES: within these bytes.
  void CopyTo(size_t position, std::span<uint8_t> out) const;
  // One slice with the same bytes; copies unless there is only one already.
  Slice Flatten() const;
  std::string ToString() const;

 private:
  std::vector<Slice> slices_;
  size_t size_ = 0;
};

}  // namespace gregor

#endif  // GREGOR_BASE_BYTES_H_
