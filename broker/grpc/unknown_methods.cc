#include "broker/grpc/unknown_methods.h"

#include <string>

#include "broker/grpc/status.h"

namespace gregor {
namespace {

class Refusal final : public grpc::ServerGenericBidiReactor {
 public:
  explicit Refusal(grpc::GenericCallbackServerContext& context) {
    const Error error =
        Error(Reason::kUnsupportedVersion,
              "this version of the server does not have the method " + context.method())
            .With("method", context.method())
            .With("outcome", "NOT_APPLIED");
    AddReasonTrailer(context, error);
    Finish(ToStatus(error));
  }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerGenericBidiReactor* UnknownMethods::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  return new Refusal(*context);
}

}  // namespace gregor
