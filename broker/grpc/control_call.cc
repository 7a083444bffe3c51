#include "broker/grpc/control_call.h"

#include <algorithm>
#include <iterator>

namespace gregor {

ControlCall::ControlCall(std::shared_ptr<Door> door, ControlMethod& method)
    : HotUnary(std::move(door), method.metrics), method_(method) {
  SetNotifyGone();
  SetListensLater();
}

bool IsLocalPeer(std::string_view peer) {
  constexpr std::string_view kLocal[] = {"ipv4:127.",           "ipv6:[::1]:",
                                         "ipv6:%5B::1%5D:",     "ipv6:[::ffff:127.",
                                         "ipv6:%5B::ffff:127.", "unix:"};
  return std::any_of(std::begin(kLocal), std::end(kLocal),
                     [&](std::string_view prefix) { return peer.starts_with(prefix); });
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
