#include "broker/grpc/byte_buffer.h"

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace gregor {
namespace {

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

bool TakeMessage(grpc::ByteBuffer& buffer, Bytes* bytes) {
  *bytes = Bytes();
  const size_t size = buffer.Length();
  auto owner = std::make_shared<std::vector<grpc::Slice>>(1);
  // Most messages are one slice, which needs no walk.
  const bool fine = buffer.TrySingleSlice(&owner->front()).ok() || buffer.Dump(owner.get()).ok();
  buffer.Clear();
  if (!fine) return false;
  if (size < kCopiedBytesBelow) {
    *bytes = CopyOf(*owner, size);
    return true;
  }
  for (const grpc::Slice& slice : *owner) bytes->Append(Slice(owner, slice.begin(), slice.size()));
  return true;
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
