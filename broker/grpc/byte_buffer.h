#ifndef GREGOR_BROKER_GRPC_BYTE_BUFFER_H_
#define GREGOR_BROKER_GRPC_BYTE_BUFFER_H_

#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>

#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace gregor {

// Between gRPC's messages and Bytes. Thread: any.

// A received slice pins the 64 KiB that it was read into: messages below this are copied out.
inline constexpr size_t kCopiedBytesBelow = 16u << 10;

// The bytes of a received message, which is empty afterwards. Shares its slices unless it is small.
// False where gRPC cannot decompress it.
bool TakeMessage(grpc::ByteBuffer& buffer, Bytes* bytes);
// The same bytes in a block of their own if they are few, so that they pin no more.
Bytes Unpinned(Bytes bytes);

// A message of `head`, which is copied, and then `payload`, whose slices stay alive until it is
// sent.
grpc::ByteBuffer MakeMessage(std::string_view head, const Bytes& payload = {});

// Calls take and give serialized messages, because gRPC answers one that it cannot parse without a
// word. Fails with kInvalidArgument, outcome NOT_APPLIED.
Result<void> ParseMessage(const Bytes& bytes, google::protobuf::MessageLite& message);
grpc::ByteBuffer SerializeMessage(const google::protobuf::MessageLite& message);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_BYTE_BUFFER_H_
