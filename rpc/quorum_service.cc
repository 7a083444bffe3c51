#include "rpc/quorum_service.h"

#include <utility>

#include "base/check.h"
#include "rpc/node_name.h"
#include "rpc/queue/server_call.h"

namespace gregor {

void QuorumService::Serve(std::shared_ptr<QuorumServer> server) {
  const MutexLock lock(mutex_);
  CHECK(server_ == nullptr);
  server_ = std::move(server);
}

void QuorumService::Stop() {
  const MutexLock lock(mutex_);
  server_ = nullptr;
}

std::shared_ptr<QuorumServer> QuorumService::Server() {
  const MutexLock lock(mutex_);
  return server_;
}

class QuorumService::Call final
    : public ServerUnary<Call, internal::v1::QuorumRequest, internal::v1::QuorumResponse> {
 public:
  Call(QuorumService& service, CallQueue& queue) : ServerUnary(queue), service_(service) {}

 private:
  friend ServerUnary;
  friend ServerCall;
  void Ask(void* tag) {
    service_.methods_.RequestExecute(&context(), &request(), &responder(), queue().get(),
                                     queue().get(), tag);
  }
  std::shared_ptr<Call> Another() { return std::make_shared<Call>(service_, queue()); }
  void OnStart() {
    const auto server = service_.Server();
    const auto caller = CertifiedCaller(context(), service_.cluster_);
    if (!caller.ok()) return Reply(QuorumServer::Refusal(caller.error()));
    if (server == nullptr) return Reply(QuorumServer::NotServing());
    // Whatever it is asked it answers, also when the controller closes.
    server->Execute(request(),
                    [self = shared_from_this()](const internal::v1::QuorumResponse& answer) {
                      self->Reply(answer);
                    });
  }

  QuorumService& service_;
};

void QuorumService::Listen(CallQueue& queue) { std::make_shared<Call>(*this, queue)->Await(); }

}  // namespace gregor
