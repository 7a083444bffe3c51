#include "client/channel.h"

#include <grpc/support/time.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/client_unary_call.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/sync_stream.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gregor/v1/errors.pb.h"

namespace gregor {
namespace {

using grpc::ByteBuffer;

grpc::Slice ToGrpc(const Slice& slice) {
  auto* const owner = new Slice(slice);
  return grpc::Slice(
      const_cast<uint8_t*>(slice.data()), slice.size(),
      [](void* held) { delete static_cast<Slice*>(held); }, owner);
}

ByteBuffer ToGrpc(const Bytes& bytes) {
  std::vector<grpc::Slice> slices;
  slices.reserve(bytes.slices().size());
  for (const Slice& slice : bytes.slices()) slices.push_back(ToGrpc(slice));
  return ByteBuffer(slices.data(), slices.size());
}

Bytes FromGrpc(const ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  CHECK(buffer.Dump(&slices).ok());
  Bytes bytes;
  for (grpc::Slice& slice : slices) {
    auto owner = std::make_shared<grpc::Slice>(std::move(slice));
    const uint8_t* const data = owner->begin();
    const size_t size = owner->size();
    bytes.Append(Slice(std::move(owner), data, size));
  }
  return bytes;
}

Reason ReasonByName(std::string_view name) {
  for (const ReasonSpec& spec : AllReasons()) {
    if (spec.name == name) return spec.reason;
  }
  return Reason::kUnspecified;
}

Error ErrorOf(const google::rpc::Status& status) {
  Error error(Reason::kUnspecified, status.message());
  for (const auto& detail : status.details()) {
    google::rpc::ErrorInfo info;
    v1::WriteOutcome outcome;
    if (detail.UnpackTo(&info)) {
      error.reason = ReasonByName(info.reason());
      for (const auto& [key, value] : info.metadata()) error.With(key, value);
    } else if (detail.UnpackTo(&outcome)) {
      error.With("outcome", outcome.outcome() == v1::WriteOutcome::OUTCOME_NOT_APPLIED
                                ? "NOT_APPLIED"
                                : "UNKNOWN");
    }
  }
  return error;
}

// What gRPC itself says: the server was not reached, or did not answer.
Error ErrorOf(const std::string& address, const grpc::Status& status) {
  google::rpc::Status proto;
  if (!status.error_details().empty() && proto.ParseFromString(status.error_details()))
    return ErrorOf(proto);
  const auto unknown = [&](Reason reason, const std::string& message) {
    return Error(reason, message).With("outcome", "UNKNOWN");
  };
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      return unknown(Reason::kLeaderNotAvailable, "no connection to " + address + " (" +
                                                      status.error_message() +
                                                      "); is a server running there?");
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return unknown(Reason::kCommitTimedOut, address + " did not answer in time");
    case grpc::StatusCode::CANCELLED:
      return unknown(Reason::kServerDraining, "the call was cancelled");
    case grpc::StatusCode::UNIMPLEMENTED:
      return Error(Reason::kUnsupportedVersion,
                   address + " does not know this call: " + status.error_message());
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return Error(Reason::kBatchTooLarge, status.error_message()).With("outcome", "NOT_APPLIED");
    default:
      return unknown(Reason::kUnspecified, status.error_message());
  }
}

class GrpcStream final : public RawStream {
 public:
  GrpcStream(std::string address, const std::shared_ptr<grpc::Channel>& channel,
             const std::string& method)
      : address_(std::move(address)), method_(method) {
    const grpc::internal::RpcMethod rpc(method_.c_str(), grpc::internal::RpcMethod::BIDI_STREAMING);
    stream_.reset(grpc::internal::ClientReaderWriterFactory<ByteBuffer, ByteBuffer>::Create(
        channel.get(), rpc, &context_));
  }
  ~GrpcStream() override {
    if (finished_) return;
    context_.TryCancel();
    ByteBuffer rest;
    while (stream_->Read(&rest)) {
    }
    (void)stream_->Finish();
  }
  bool Write(const Bytes& message) override { return stream_->Write(ToGrpc(message)); }
  bool Read(Bytes* message) override {
    ByteBuffer buffer;
    if (!stream_->Read(&buffer)) return false;
    *message = FromGrpc(buffer);
    return true;
  }
  void WritesDone() override { stream_->WritesDone(); }
  Result<void> Finish() override {
    const grpc::Status status = stream_->Finish();
    finished_ = true;
    if (status.ok()) return {};
    return ErrorOf(address_, status);
  }
  void Cancel() override { context_.TryCancel(); }

 private:
  const std::string address_;
  const std::string method_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<ByteBuffer, ByteBuffer>> stream_;
  bool finished_ = false;
};

class GrpcChannel final : public Channel {
 public:
  GrpcChannel(std::string address, size_t message_bytes_max) : address_(std::move(address)) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(
        static_cast<int>(std::min<size_t>(message_bytes_max, INT32_MAX)));
    arguments.SetMaxSendMessageSize(-1);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    channel_ = grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
  }
  const std::string& address() const override { return address_; }

  Result<std::string> CallRaw(const std::string& method, const std::string& request,
                              Duration timeout) override {
    grpc::ClientContext context;
    context.set_deadline(gpr_time_add(
        gpr_now(GPR_CLOCK_MONOTONIC),
        gpr_time_from_millis(std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count(),
                             GPR_TIMESPAN)));
    const grpc::internal::RpcMethod rpc(method.c_str(), grpc::internal::RpcMethod::NORMAL_RPC);
    const grpc::Slice slice(request);
    const ByteBuffer in(&slice, 1);
    ByteBuffer out;
    const grpc::Status status = grpc::internal::BlockingUnaryCall<ByteBuffer, ByteBuffer>(
        channel_.get(), rpc, &context, in, &out);
    if (!status.ok()) return ErrorOf(address_, status);
    return FromGrpc(out).ToString();
  }
  std::unique_ptr<RawStream> OpenStream(const std::string& method) override {
    return std::make_unique<GrpcStream>(address_, channel_, method);
  }

 private:
  const std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace

std::shared_ptr<Channel> Channel::Connect(const std::string& address, size_t message_bytes_max) {
  return std::make_shared<GrpcChannel>(address, message_bytes_max);
}

Error ErrorOfStatus(const google::protobuf::MessageLite& status) {
  return ErrorOfStatusBytes(status.SerializeAsString());
}

Error ErrorOfStatusBytes(std::string_view status) {
  google::rpc::Status proto;
  if (!proto.ParseFromArray(status.data(), static_cast<int>(status.size()))) {
    return Error(Reason::kUnspecified, "an error that cannot be parsed");
  }
  return ErrorOf(proto);
}

}  // namespace gregor
