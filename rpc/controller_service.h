#ifndef GREGOR_RPC_CONTROLLER_SERVICE_H_
#define GREGOR_RPC_CONTROLLER_SERVICE_H_

#include <condition_variable>

#include "base/thread_annotations.h"
#include "controller/operation_server.h"
#include "gregor/internal/v1/controller.grpc.pb.h"
#include "rpc/internal_server.h"

namespace gregor {

// Operations that other nodes pass on (proto/gregor/internal/v1/controller.proto), for the internal
// listener, which is there before the controller is and after it has gone: then, operations are
// refused as by a node that does not lead. A call whose caller has gone, or whose server stops,
// ends at once; its operation takes its course. A node whose certificate is known registers itself,
// and no other. Thread: any.
class ControllerService final : public InternalService {
 public:
  explicit ControllerService(const ClusterId& cluster) : cluster_(cluster) {}

  // Hands operations to `server` from now on. REQUIRES: not between another Serve() and Stop().
  void Serve(OperationServer& server);
  // Hands it no more; returns when none is being handed over. Those that run take their course.
  void Stop();

  grpc::Service& service() override { return methods_; }
  void Listen(CallQueue& queue) override;

 private:
  class Call;
  class Answerer;

  OperationServer* Enter();
  void Leave();
  void WaitUntilLeft();

  internal::v1::ControllerService::AsyncService methods_;
  const ClusterId cluster_;
  Mutex mutex_;
  std::condition_variable left_;
  OperationServer* server_ TS_GUARDED_BY(mutex_) = nullptr;
  int inside_count_ TS_GUARDED_BY(mutex_) = 0;  // calls that are being handed over
};

}  // namespace gregor

#endif  // GREGOR_RPC_CONTROLLER_SERVICE_H_
