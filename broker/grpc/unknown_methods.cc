#include "broker/grpc/unknown_methods.h"

#include <string>
#include <utility>

#include "broker/grpc/status.h"

namespace gregor {
namespace {

// Thread: the hot queue's.
class Refusal final : public std::enable_shared_from_this<Refusal> {
 public:
  Refusal(std::shared_ptr<Door> door, grpc::AsyncGenericService& service)
      : door_(std::move(door)), service_(service), rpc_(&context_) {}

  void Listen() {
    door_->queue.Begin([&] {
      auto* const queue = door_->queue.get();
      service_.RequestCall(&context_, &rpc_, queue, queue, accept_.Begin(shared_from_this()));
    });
  }

 private:
  void OnAccepted(bool ok) {
    if (!ok) return;  // the server shuts down
    std::make_shared<Refusal>(door_, service_)->Listen();
    const Error error =
        Error(Reason::kUnsupportedVersion,
              "this version of the server does not have the method " + context_.method())
            .With("method", context_.method())
            .With("outcome", "NOT_APPLIED");
    AddReasonTrailer(context_, error);
    door_->queue.Begin([&] { rpc_.Finish(ToStatus(error), finish_.Begin(shared_from_this())); });
  }
  void OnFinished(bool ok) {}

  const std::shared_ptr<Door> door_;  // first: goes last
  grpc::AsyncGenericService& service_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter rpc_;
  Operation<Refusal> accept_{&Refusal::OnAccepted};
  Operation<Refusal> finish_{&Refusal::OnFinished};
};

}  // namespace

void UnknownMethods::Serve(const std::shared_ptr<Door>& door) {
  for (int i = 0; i < kControlCallsListening; ++i)
    std::make_shared<Refusal>(door, service_)->Listen();
}

}  // namespace gregor
