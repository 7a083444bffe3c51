#include "rpc/controller_service.h"

#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"
#include "controller/operation_codec.h"
#include "rpc/node_name.h"

namespace gregor {
namespace {

// One call: ends with the operation's answer, or when nobody waits for that any more, or when the
// answer is dropped (the controller was closed): whichever comes first.
class Call final : public grpc::ServerUnaryReactor, public std::enable_shared_from_this<Call> {
 public:
  explicit Call(internal::v1::OperationResponse& response) : response_(response) {}

  // gRPC needs it until OnDone().
  void Keep() { self_ = shared_from_this(); }

  void Answer(internal::v1::OperationResponse response) {
    {
      const MutexLock lock(mutex_);
      if (std::exchange(has_ended_, true)) return;
      response_ = std::move(response);
    }
    Finish(grpc::Status::OK);
  }
  void End(grpc::StatusCode code, const char* why) {
    {
      const MutexLock lock(mutex_);
      if (std::exchange(has_ended_, true)) return;
    }
    Finish(grpc::Status(code, why));
  }

 private:
  void OnCancel() override { End(grpc::StatusCode::CANCELLED, "nobody waits for the answer"); }
  void OnDone() override { self_.reset(); }

  internal::v1::OperationResponse& response_;  // gRPC's, until the call has ended
  std::shared_ptr<Call> self_;
  Mutex mutex_;
  bool has_ended_ TS_GUARDED_BY(mutex_) = false;
};

// The answer to a call, or that there will be none.
class CallAnswerer {
 public:
  explicit CallAnswerer(std::shared_ptr<Call> call) : call_(std::move(call)) {}
  CallAnswerer(CallAnswerer&&) = default;
  CallAnswerer& operator=(CallAnswerer&&) = delete;
  ~CallAnswerer() {
    if (call_ != nullptr)
      call_->End(grpc::StatusCode::UNAVAILABLE,
                 "the node stops; what became of the operation is "
                 "not known");
  }
  void operator()(internal::v1::OperationResponse response) { call_->Answer(std::move(response)); }

 private:
  std::shared_ptr<Call> call_;
};

Result<void> CheckCaller(const internal::v1::OperationRequest& request,
                         const Result<std::optional<NodeId>>& certified) {
  if (!certified.ok()) return Error(certified.error()).With("outcome", "NOT_APPLIED");
  const std::optional<NodeId> caller = *certified;
  if (!caller.has_value()) return {};
  int32_t named = caller->value;
  if (request.has_register_broker()) named = request.register_broker().broker().node_id();
  if (request.has_broker_heartbeat()) named = request.broker_heartbeat().node_id();
  if (named == caller->value) return {};
  return Error(Reason::kInvalidArgument, "broker " + std::to_string(named) +
                                             " is spoken for with the certificate of node " +
                                             std::to_string(caller->value))
      .With("outcome", "NOT_APPLIED");
}

}  // namespace

void ControllerService::Serve(OperationServer& server) {
  const MutexLock lock(mutex_);
  CHECK(server_ == nullptr);
  server_ = &server;
}

void ControllerService::Stop() {
  {
    const MutexLock lock(mutex_);
    server_ = nullptr;
  }
  WaitUntilLeft();
}

OperationServer* ControllerService::Enter() {
  const MutexLock lock(mutex_);
  if (server_ != nullptr) ++inside_count_;
  return server_;
}

void ControllerService::Leave() {
  const MutexLock lock(mutex_);
  --inside_count_;
  left_.notify_all();
}

void ControllerService::WaitUntilLeft() TS_NO_ANALYSIS {
  std::unique_lock<std::mutex> lock(mutex_.native());
  while (inside_count_ > 0) left_.wait(lock);
}

grpc::ServerUnaryReactor* ControllerService::Execute(grpc::CallbackServerContext* context,
                                                     const internal::v1::OperationRequest* request,
                                                     internal::v1::OperationResponse* response) {
  auto call = std::make_shared<Call>(*response);
  call->Keep();
  Call* const reactor = call.get();
  CallAnswerer answer(std::move(call));
  if (const auto allowed = CheckCaller(*request, CertifiedCaller(*context, cluster_));
      !allowed.ok()) {
    LOG_EVERY_T(WARNING, 1) << "An operation was refused: " << allowed.error().message;
    internal::v1::OperationResponse refusal;
    EncodeError(allowed.error(), *refusal.mutable_error());
    answer(std::move(refusal));
  } else if (OperationServer* const server = Enter()) {
    server->Execute(*request, std::move(answer));
    Leave();
  } else {
    answer(OperationServer::NotServing());
  }
  return reactor;
}

}  // namespace gregor
