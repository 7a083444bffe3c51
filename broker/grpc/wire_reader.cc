#include "broker/grpc/wire_reader.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/utf8.h"

namespace gregor {
namespace {

constexpr int kVarintBytesMax = 10;
constexpr int kTagBytesMax = 5;
constexpr int kGroupDepthMax = 100;  // as generated parsers

}  // namespace

uint8_t* CopyArena::Allocate(size_t size) {
  pieces_.emplace_back(new uint8_t[size]);
  return pieces_.back().get();
}

WireReader::WireReader(const Bytes& message, CopyArena* arena)
    : slices_(&message.slices()), arena_(arena) {
  if (slices_->empty()) return;
  const Slice& first = slices_->front();
  at_ = first.data();
  slice_end_ = at_ + first.size();
  SetLeft(message.size());
}

WireReader::WireReader(std::string_view message)
    : at_(reinterpret_cast<const uint8_t*>(message.data())),
      end_(at_ + message.size()),
      slice_end_(end_) {}

void WireReader::SetLeft(size_t left) {
  const auto here = std::min(left, static_cast<size_t>(slice_end_ - at_));
  end_ = at_ + here;
  after_ = left - here;
}

bool WireReader::Advance() {
  if (after_ == 0) return false;
  const Slice& slice = (*slices_)[++slice_];
  at_ = slice.data();
  slice_end_ = at_ + slice.size();
  SetLeft(after_);
  return true;
}

bool WireReader::SlowVarint(uint64_t* value) {
  uint64_t result = 0;
  for (int i = 0; i < kVarintBytesMax; ++i) {
    if (at_ == end_ && !Advance()) return false;
    const uint64_t byte = *at_++;
    result |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      *value = result;
      return true;
    }
  }
  return false;
}

bool WireReader::Next(Field* field) {
  uint64_t tag;
  const size_t before = left();
  // Bits beyond 32 are dropped, as generated parsers do.
  if (!Varint(&tag) || before - left() > kTagBytesMax) return false;
  field->number = static_cast<uint32_t>(tag) >> 3;
  field->type = static_cast<Type>(tag & 7);
  return field->number != 0;
}

bool WireReader::Int32(int32_t* value) {
  uint64_t raw;
  if (!Varint(&raw)) return false;
  *value = static_cast<int32_t>(static_cast<uint32_t>(raw));
  return true;
}

bool WireReader::Int64(int64_t* value) {
  uint64_t raw;
  if (!Varint(&raw)) return false;
  *value = static_cast<int64_t>(raw);
  return true;
}

bool WireReader::Bool(bool* value) {
  uint64_t raw;
  if (!Varint(&raw)) return false;
  *value = raw != 0;
  return true;
}

bool WireReader::Length(size_t* size) {
  uint64_t raw;
  const size_t before = left();
  // Generated parsers take five bytes at most, and nothing that does not fit into an int.
  if (!Varint(&raw) || before - left() > kTagBytesMax || raw > left()) return false;
  *size = static_cast<size_t>(raw);
  return true;
}

void WireReader::Copy(uint8_t* out, size_t size) {
  while (size > 0) {
    if (at_ == end_) CHECK(Advance());
    const size_t part = std::min(size, static_cast<size_t>(end_ - at_));
    std::memcpy(out, at_, part);
    out += part;
    at_ += part;
    size -= part;
  }
}

bool WireReader::View(std::string_view* value) {
  size_t size;
  if (!Length(&size)) return false;
  if (size > 0 && at_ == end_) Advance();
  if (size <= static_cast<size_t>(end_ - at_)) {
    *value = {reinterpret_cast<const char*>(at_), size};
    at_ += size;
    return true;
  }
  CHECK(arena_ != nullptr);
  uint8_t* const copy = arena_->Allocate(size);
  Copy(copy, size);
  *value = {reinterpret_cast<const char*>(copy), size};
  return true;
}

bool WireReader::Text(std::string_view* value) { return View(value) && IsUtf8(*value); }

bool WireReader::Share(Bytes* value) {
  CHECK(slices_ != nullptr);
  size_t size;
  if (!Length(&size)) return false;
  *value = Bytes();
  while (size > 0) {
    if (at_ == end_) CHECK(Advance());
    const size_t part = std::min(size, static_cast<size_t>(end_ - at_));
    const Slice& slice = (*slices_)[slice_];
    value->Append(slice.Sub(static_cast<size_t>(at_ - slice.data()), part));
    at_ += part;
    size -= part;
  }
  return true;
}

bool WireReader::Enter(size_t* outer) {
  size_t size;
  if (!Length(&size)) return false;
  *outer = left() - size;
  SetLeft(size);
  return true;
}

bool WireReader::SkipBytes(size_t size) {
  if (size > left()) return false;
  while (size > 0) {
    if (at_ == end_) CHECK(Advance());
    const size_t part = std::min(size, static_cast<size_t>(end_ - at_));
    at_ += part;
    size -= part;
  }
  return true;
}

bool WireReader::Skip(const Field& field) {
  uint64_t value;
  size_t size;
  switch (field.type) {
    case kVarint:
      return Varint(&value);
    case kFixed64:
      return SkipBytes(8);
    case kBytes:
      return Length(&size) && SkipBytes(size);
    case kStart:
      return SkipGroup(field.number);
    case kFixed32:
      return SkipBytes(4);
    case kEnd:
      break;
  }
  return false;
}

bool WireReader::SkipGroup(uint32_t number) {
  std::vector<uint32_t> open = {number};
  while (!open.empty()) {
    Field field;
    if (AtEnd() || !Next(&field)) return false;
    if (field.type == kStart) {
      if (open.size() == kGroupDepthMax) return false;
      open.push_back(field.number);
    } else if (field.type == kEnd) {
      if (field.number != open.back()) return false;
      open.pop_back();
    } else if (!Skip(field)) {
      return false;
    }
  }
  return true;
}

}  // namespace gregor
