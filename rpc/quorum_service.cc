#include "rpc/quorum_service.h"

#include <utility>

#include "base/check.h"
#include "rpc/node_name.h"

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

grpc::ServerUnaryReactor* QuorumService::Execute(grpc::CallbackServerContext* context,
                                                 const internal::v1::QuorumRequest* request,
                                                 internal::v1::QuorumResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  std::shared_ptr<QuorumServer> server;
  {
    const MutexLock lock(mutex_);
    server = server_;
  }
  const auto caller = CertifiedCaller(*context, cluster_);
  if (!caller.ok() || server == nullptr) {
    *response = caller.ok() ? QuorumServer::NotServing() : QuorumServer::Refusal(caller.error());
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  // The request is gone once the call has ended, so the server takes a copy; whatever it is asked
  // it answers, also when the controller closes.
  server->Execute(*request, [reactor, response](internal::v1::QuorumResponse answer) {
    *response = std::move(answer);
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

}  // namespace gregor
