#ifndef GREGOR_BROKER_GRPC_UNKNOWN_METHODS_H_
#define GREGOR_BROKER_GRPC_UNKNOWN_METHODS_H_

#include <grpcpp/generic/async_generic_service.h>

namespace gregor {

// Answers calls of methods that nothing serves, be they of the API or not: UNIMPLEMENTED with the
// reason UNSUPPORTED_VERSION and the method's name, where gRPC would say nothing. A service leaves
// methods to this by WithGenericMethod_*. Thread: any of gRPC's.
class UnknownMethods final : public grpc::CallbackGenericService {
 private:
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_UNKNOWN_METHODS_H_
