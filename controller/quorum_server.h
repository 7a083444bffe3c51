#ifndef GREGOR_CONTROLLER_QUORUM_SERVER_H_
#define GREGOR_CONTROLLER_QUORUM_SERVER_H_

#include "base/event_loop.h"
#include "controller/controller.h"
#include "gregor/internal/v1/quorum.pb.h"

namespace gregor {

// Asks a node's own controller what the metadata quorum is asked for
// (proto/gregor/internal/v1/quorum.proto). Thread: any.
class QuorumServer {
 public:
  using Done = UniqueFunction<void(internal::v1::QuorumResponse)>;

  // REQUIRES: all of them outlive what was asked. `loop` is the controller's.
  QuorumServer(EventLoop& loop, Controller& controller, const ClusterId& cluster)
      : loop_(loop), controller_(controller), cluster_(cluster) {}

  // `done` runs on the loop, never within this call.
  void Execute(internal::v1::QuorumRequest request, Done done);
  // The answer of a node whose controller is not there.
  static internal::v1::QuorumResponse NotServing();
  static internal::v1::QuorumResponse Refusal(const Error& error);

 private:
  void Run(const internal::v1::QuorumRequest& request, Done done);

  EventLoop& loop_;
  Controller& controller_;
  const ClusterId cluster_;
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_QUORUM_SERVER_H_
