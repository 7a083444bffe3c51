#include "base/bytes.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/check.h"

namespace gregor {

Slice Slice::Copy(std::string_view text) { return Own(std::string(text)); }

Slice Slice::Own(std::string text) {
  auto owner = std::make_shared<const std::string>(std::move(text));
  const auto* data = reinterpret_cast<const uint8_t*>(owner->data());
  const size_t size = owner->size();
  return Slice(std::move(owner), data, size);
}

Slice Slice::Static(std::string_view text) {
  return Slice(nullptr, reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

Slice Slice::Sub(size_t position, size_t size) const {
  CHECK_LE(position, size_);
  CHECK_LE(size, size_ - position);
  return Slice(owner_, data_ + position, size);
}

void Bytes::Append(Slice slice) {
  if (slice.empty()) return;
  size_ += slice.size();
  slices_.push_back(std::move(slice));
}

void Bytes::Append(const Bytes& bytes) {
  if (&bytes == this) return Append(Bytes(bytes));
  slices_.insert(slices_.end(), bytes.slices_.begin(), bytes.slices_.end());
  size_ += bytes.size_;
}

void Bytes::Append(Bytes&& bytes) {
  if (&bytes == this) return Append(Bytes(bytes));
  if (slices_.empty()) {
    slices_ = std::move(bytes.slices_);
  } else {
    slices_.insert(slices_.end(), std::make_move_iterator(bytes.slices_.begin()),
                   std::make_move_iterator(bytes.slices_.end()));
  }
  size_ += bytes.size_;
  bytes.slices_.clear();
  bytes.size_ = 0;
}

Bytes Bytes::Sub(size_t position, size_t size) const {
  CHECK_LE(position, size_);
  CHECK_LE(size, size_ - position);
  Bytes result;
  for (const Slice& slice : slices_) {
    if (size == 0) break;
    if (position >= slice.size()) {
      position -= slice.size();
      continue;
    }
    const size_t part = std::min(size, slice.size() - position);
    result.Append(slice.Sub(position, part));
    position = 0;
    size -= part;
  }
  return result;
}

void Bytes::CopyTo(size_t position, std::span<uint8_t> out) const {
  CHECK_LE(position, size_);
  CHECK_LE(out.size(), size_ - position);
  size_t done = 0;
  for (const Slice& slice : slices_) {
    if (done == out.size()) break;
    if (position >= slice.size()) {
      position -= slice.size();
      continue;
    }
    const size_t part = std::min(out.size() - done, slice.size() - position);
    std::memcpy(out.data() + done, slice.data() + position, part);
    position = 0;
    done += part;
  }
}

Slice Bytes::Flatten() const {
  if (slices_.empty()) return Slice();
  if (slices_.size() == 1) return slices_.front();
  return Slice::Own(ToString());
}

std::string Bytes::ToString() const {
  std::string text;
  text.reserve(size_);
  for (const Slice& slice : slices_) text += slice.view();
  return text;
}

}  // namespace gregor
