#include "broker/grpc/byte_buffer.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"

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

Result<void> ParseMessage(const Bytes& bytes, google::protobuf::MessageLite& message) {
  const Slice flat = bytes.Flatten();
  if (message.ParseFromArray(flat.data(), static_cast<int>(flat.size()))) return {};
  return Error(Reason::kInvalidArgument, "the request is no " + message.GetTypeName() +
                                             ": it is malformed, or a string in it is not UTF-8")
      .With("outcome", "NOT_APPLIED");
}

grpc::ByteBuffer SerializeMessage(const google::protobuf::MessageLite& message) {
  using Traits = grpc::SerializationTraits<google::protobuf::MessageLite>;
  grpc::ByteBuffer bytes;
  bool own_buffer = false;
  CHECK(Traits::Serialize(message, &bytes, &own_buffer).ok());
  return bytes;
}

}  // namespace gregor
