#include "broker/grpc/byte_buffer.h"

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"

namespace gregor {
namespace {

// Messages are known to be uncompressed or decompressed: those fail to open whose bytes are broken.
std::vector<grpc::Slice> SlicesOf(grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  grpc::Slice single;
  if (buffer.TrySingleSlice(&single).ok()) {
    slices.push_back(std::move(single));
  } else {
    CHECK(buffer.Dump(&slices).ok());
  }
  buffer.Clear();
  return slices;
}

Slice CopyOf(const std::vector<grpc::Slice>& slices, size_t size) {
  const std::shared_ptr<uint8_t[]> copy(new uint8_t[size]);
  uint8_t* at = copy.get();
  for (const grpc::Slice& slice : slices) {
    std::memcpy(at, slice.begin(), slice.size());
    at += slice.size();
  }
  return Slice(copy, copy.get(), size);
}

}  // namespace

Bytes TakeMessage(grpc::ByteBuffer& buffer) {
  const size_t size = buffer.Length();
  auto owner = std::make_shared<std::vector<grpc::Slice>>(SlicesOf(buffer));
  if (size < kCopiedBytesBelow) return CopyOf(*owner, size);
  Bytes bytes;
  for (const grpc::Slice& slice : *owner) bytes.Append(Slice(owner, slice.begin(), slice.size()));
  return bytes;
}

Bytes Unpinned(Bytes bytes) {
  if (bytes.size() >= kCopiedBytesBelow || bytes.empty()) return bytes;
  const std::shared_ptr<uint8_t[]> copy(new uint8_t[bytes.size()]);
  bytes.CopyTo(0, {copy.get(), bytes.size()});
  return Slice(copy, copy.get(), bytes.size());
}

grpc::ByteBuffer MakeMessage(std::string_view head, const Bytes& payload) {
  if (payload.empty()) {
    const grpc::Slice slice(head.data(), head.size());
    return grpc::ByteBuffer(&slice, 1);
  }
  std::vector<grpc::Slice> slices;
  slices.reserve(payload.slices().size() + 1);
  slices.emplace_back(head.data(), head.size());
  for (const Slice& slice : payload.slices()) {
    auto* const owner = new Slice(slice);
    slices.emplace_back(
        const_cast<uint8_t*>(slice.data()), slice.size(),
        [](void* held) { delete static_cast<Slice*>(held); }, owner);
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

}  // namespace gregor
