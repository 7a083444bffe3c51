#include "broker/grpc/control_call.h"

namespace gregor {

ControlCall::ControlCall(std::shared_ptr<Door> door, ControlMethod& method)
    : HotUnary(std::move(door), method.metrics), method_(method) {
  SetNotifyGone();
  SetListensLater();
}

void ControlCall::OnRequest(const Bytes& message) {
  door().OnControl([self = Self(), message] { self->Handle(message); });
}

void ControlCall::Handle(const Bytes& message) {
  ListenAgain();
  if (IsOver()) return;
  if (method_.writes && door().drain->begun()) {
    return Fail(Error(Reason::kServerDraining, "the broker stops: try another one")
                    .With("outcome", "NOT_APPLIED"));
  }
  method_.handle(message, *this);
}

void ControlMethods::Serve(const std::shared_ptr<Door>& door) {
  for (const auto& method : methods_) {
    for (int i = 0; i < kControlCallsListening; ++i)
      std::make_shared<ControlCall>(door, *method)->Listen();
  }
}

}  // namespace gregor
