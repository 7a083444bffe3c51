#ifndef GREGOR_RPC_QUORUM_SERVICE_H_
#define GREGOR_RPC_QUORUM_SERVICE_H_

#include <memory>

#include "base/thread_annotations.h"
#include "controller/quorum_server.h"
#include "gregor/internal/v1/quorum.grpc.pb.h"
#include "rpc/internal_server.h"

namespace gregor {

// What other nodes ask the metadata quorum (proto/gregor/internal/v1/quorum.proto), for the
// internal listener, which is there before the controller is and after it has gone: then all is
// refused as by a node that does not lead. Thread: any.
class QuorumService final : public InternalService {
 public:
  explicit QuorumService(const ClusterId& cluster) : cluster_(cluster) {}

  // Hands requests to `server` from now on. REQUIRES: not between another Serve() and Stop().
  void Serve(std::shared_ptr<QuorumServer> server);
  // Hands it no more. What runs takes its course.
  void Stop();

  grpc::Service& service() override { return methods_; }
  void Listen(CallQueue& queue) override;

 private:
  class Call;

  std::shared_ptr<QuorumServer> Server();

  internal::v1::QuorumService::AsyncService methods_;
  const ClusterId cluster_;
  Mutex mutex_;
  std::shared_ptr<QuorumServer> server_ TS_GUARDED_BY(mutex_);
};

}  // namespace gregor

#endif  // GREGOR_RPC_QUORUM_SERVICE_H_
