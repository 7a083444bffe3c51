#ifndef GREGOR_BROKER_GRPC_UNKNOWN_METHODS_H_
#define GREGOR_BROKER_GRPC_UNKNOWN_METHODS_H_

#include <grpcpp/generic/async_generic_service.h>

#include <memory>

#include "broker/grpc/door.h"

namespace gregor {

// Answers calls of methods that nothing serves, be they of the API or not: UNIMPLEMENTED with the
// reason UNSUPPORTED_VERSION and the method's name, where gRPC would say nothing. A service leaves
// methods to this by WithGenericMethod_*. Thread: main.
class UnknownMethods {
 public:
  // What is registered with the server, which this outlives.
  grpc::AsyncGenericService* service() { return &service_; }
  // Begins to take calls. Once, when the server runs.
  void Serve(const std::shared_ptr<Door>& door);

 private:
  grpc::AsyncGenericService service_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_UNKNOWN_METHODS_H_
