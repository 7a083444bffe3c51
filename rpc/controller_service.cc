#include "rpc/controller_service.h"

#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"
#include "controller/operation_codec.h"
#include "rpc/node_name.h"
#include "rpc/queue/server_call.h"

namespace gregor {
namespace {

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

// The answer to a call, or that there will be none.
class ControllerService::Answerer {
 public:
  explicit Answerer(std::shared_ptr<Call> call) : call_(std::move(call)) {}
  Answerer(Answerer&&) = default;
  Answerer& operator=(Answerer&&) = delete;
  ~Answerer();
  void operator()(const internal::v1::OperationResponse& response);

 private:
  std::shared_ptr<Call> call_;
};

// Ends with the operation's answer, or when the answer is dropped (the controller was closed).
class ControllerService::Call final
    : public ServerUnary<Call, internal::v1::OperationRequest, internal::v1::OperationResponse> {
 public:
  Call(ControllerService& service, CallQueue& queue) : ServerUnary(queue), service_(service) {}

 private:
  friend ServerUnary;
  friend ServerCall;
  void Ask(void* tag) {
    service_.methods_.RequestExecute(&context(), &request(), &responder(), queue().get(),
                                     queue().get(), tag);
  }
  std::shared_ptr<Call> Another() { return std::make_shared<Call>(service_, queue()); }
  void OnStart() {
    const auto allowed = CheckCaller(request(), CertifiedCaller(context(), service_.cluster_));
    if (!allowed.ok()) {
      LOG_EVERY_T(WARNING, 1) << "An operation was refused: " << allowed.error().message;
      internal::v1::OperationResponse refusal;
      EncodeError(allowed.error(), *refusal.mutable_error());
      Reply(refusal);
    } else if (OperationServer* const server = service_.Enter()) {
      server->Execute(request(), Answerer(shared_from_this()));
      service_.Leave();
    } else {
      Reply(OperationServer::NotServing());
    }
  }

  ControllerService& service_;
};

ControllerService::Answerer::~Answerer() {
  if (call_ == nullptr) return;
  call_->Fail(
      {grpc::StatusCode::UNAVAILABLE, "the node stops; what became of the operation is not known"});
}

void ControllerService::Answerer::operator()(const internal::v1::OperationResponse& response) {
  call_->Reply(response);
}

void ControllerService::Listen(CallQueue& queue) { std::make_shared<Call>(*this, queue)->Await(); }

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

}  // namespace gregor
