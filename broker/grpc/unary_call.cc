#include "broker/grpc/unary_call.h"

#include <grpc/support/time.h>
#include <grpcpp/alarm.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include "base/check.h"
#include "broker/grpc/status.h"

namespace gregor {
namespace {

gpr_timespec InThe(Duration future) {
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(future).count();
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(ns, GPR_TIMESPAN));
}

}  // namespace

Result<void> ParseMessage(const grpc::ByteBuffer& bytes, google::protobuf::MessageLite& message) {
  using Traits = grpc::SerializationTraits<google::protobuf::MessageLite>;
  grpc::ByteBuffer taken(bytes);  // shares the slices
  if (Traits::Deserialize(&taken, &message).ok()) return {};
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

void RunOnGrpcThread(Task task) {
  struct Hop {
    grpc::Alarm alarm;
    Task task;
  };
  auto* const hop = new Hop{.alarm = {}, .task = std::move(task)};
  // Frees itself, whether gRPC runs or cancels it.
  hop->alarm.Set(InThe(Duration{0}), [hop](bool) {
    const std::unique_ptr<Hop> owner(hop);
    owner->task();
  });
}

UnaryCall* UnaryCall::Handle::Take() {
  const MutexLock lock(mutex_);
  return std::exchange(call_, nullptr);
}

UnaryCall::UnaryCall(grpc::CallbackServerContext& context, const CallRules& rules)
    : context_(context), metrics_(rules.metrics), handle_(std::make_shared<Handle>(this)) {
  const gpr_timespec deadline = context_.raw_deadline();
  const bool unlimited = gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0;
  if (!unlimited) return;  // the client's own deadline cancels the call
  timeout_ = std::make_unique<grpc::Alarm>();
  timeout_->Set(InThe(rules.timeout), [handle = handle_, writes = rules.writes](bool expired) {
    if (expired) EndLate(*handle, writes);
  });
}

std::pair<UnaryCall*, std::shared_ptr<UnaryCall::Handle>> UnaryCall::Begin(
    grpc::CallbackServerContext& context, const CallRules& rules) {
  auto* const call = new UnaryCall(context, rules);
  const gpr_timespec deadline = context.raw_deadline();
  if (gpr_time_cmp(deadline, gpr_now(deadline.clock_type)) > 0) return {call, call->handle_};
  if (UnaryCall* const taken = call->handle_->Take()) {
    taken->Fail(Error(Reason::kCommitTimedOut,
                      "the deadline had passed when the call arrived; nothing was done")
                    .With("outcome", "NOT_APPLIED"));
  }
  return {call, nullptr};
}

void UnaryCall::EndLate(Handle& handle, bool writes) {
  UnaryCall* const taken = handle.Take();
  if (taken == nullptr) return;
  Error error(Reason::kCommitTimedOut, "the broker could not answer in time");
  if (writes) error.With("outcome", "UNKNOWN");
  taken->Fail(error);
}

void UnaryCall::End(const grpc::Status& status) {
  if (metrics_ != nullptr) metrics_->Ended(status.error_code());
  Finish(status);
}

void UnaryCall::Fail(const Error& error) {
  AddReasonTrailer(context_, error);
  End(ToStatus(error));
}

void UnaryCall::OnCancel() {
  if (UnaryCall* const taken = handle_->Take()) taken->End(grpc::Status::CANCELLED);
}

}  // namespace gregor
