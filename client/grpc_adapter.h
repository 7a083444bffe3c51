#ifndef GREGOR_CLIENT_GRPC_ADAPTER_H_
#define GREGOR_CLIENT_GRPC_ADAPTER_H_

#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace grpc {
class ByteBuffer;
class Channel;
class Status;
}  // namespace grpc

namespace gregor {

class Channel;

// Between gRPC's types and ours, for the .cc files of this folder. Thread: any.

// Shares the bytes.
grpc::ByteBuffer ToGrpc(const Bytes& bytes);
// Shares the bytes; leaves `buffer` empty.
Bytes FromGrpc(grpc::ByteBuffer& buffer);
// What a call to `address` that failed ended with. REQUIRES: !status.ok().
Error ErrorOfCall(const std::string& address, const grpc::Status& status);
std::shared_ptr<grpc::Channel> GrpcOf(const Channel& channel);

}  // namespace gregor

#endif  // GREGOR_CLIENT_GRPC_ADAPTER_H_
