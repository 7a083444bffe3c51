#ifndef GREGOR_RPC_CONTROLLER_SERVICE_H_
#define GREGOR_RPC_CONTROLLER_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include "controller/operation_server.h"
#include "gregor/internal/v1/controller.grpc.pb.h"

namespace gregor {

// Operations that other nodes pass on (proto/gregor/internal/v1/controller.proto), for the internal
// listener. A call whose caller has gone, or whose server stops, ends at once; its operation takes
// its course. Thread: gRPC's.
class ControllerService final : public internal::v1::ControllerService::CallbackService {
 public:
  // REQUIRES: `server` outlives the gRPC server that this is registered with.
  explicit ControllerService(OperationServer& server) : server_(server) {}

  grpc::ServerUnaryReactor* Execute(grpc::CallbackServerContext* context,
                                    const internal::v1::OperationRequest* request,
                                    internal::v1::OperationResponse* response) override;

 private:
  OperationServer& server_;
};

}  // namespace gregor

#endif  // GREGOR_RPC_CONTROLLER_SERVICE_H_
