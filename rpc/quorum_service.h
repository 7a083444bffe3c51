#ifndef GREGOR_RPC_QUORUM_SERVICE_H_
#define GREGOR_RPC_QUORUM_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "base/thread_annotations.h"
#include "controller/quorum_server.h"
#include "gregor/internal/v1/quorum.grpc.pb.h"

namespace gregor {

// What other nodes ask the metadata quorum (proto/gregor/internal/v1/quorum.proto), for the
// internal listener, which is there before the controller is and after it has gone: then all is
// refused as by a node that does not lead. Thread: any.
class QuorumService final : public internal::v1::QuorumService::CallbackService {
 public:
  explicit QuorumService(const ClusterId& cluster) : cluster_(cluster) {}

  // Hands requests to `server` from now on. REQUIRES: not between another Serve() and Stop().
  void Serve(std::shared_ptr<QuorumServer> server);
  // Hands it no more. What runs takes its course.
  void Stop();

  grpc::ServerUnaryReactor* Execute(grpc::CallbackServerContext* context,
                                    const internal::v1::QuorumRequest* request,
                                    internal::v1::QuorumResponse* response) override;

 private:
  const ClusterId cluster_;
  Mutex mutex_;
  std::shared_ptr<QuorumServer> server_ TS_GUARDED_BY(mutex_);
};

}  // namespace gregor

#endif  // GREGOR_RPC_QUORUM_SERVICE_H_
