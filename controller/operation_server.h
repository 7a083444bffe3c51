#ifndef GREGOR_CONTROLLER_OPERATION_SERVER_H_
#define GREGOR_CONTROLLER_OPERATION_SERVER_H_

#include "base/task.h"
#include "base/types.h"
#include "controller/controller.h"
#include "gregor/internal/v1/controller.pb.h"

namespace gregor {

// Runs the operations that other nodes pass on to this one, where this one is the active
// controller. Thread: any.
class OperationServer {
 public:
  using Done = UniqueFunction<void(internal::v1::OperationResponse)>;

  // REQUIRES: `controller` outlives the last Execute(), and is closed when this goes.
  OperationServer(Controller& controller, ClusterId cluster)
      : controller_(controller), cluster_(cluster) {}

  // `done` runs once the result is committed, on the controller loop, or within this call where
  // nothing is done. Errors are part of the response, those of ControllerApi and:
  // kInconsistentClusterId; kInvalidArgument (a message of no meaning); kNotController with the
  // leader that this node knows; all NOT_APPLIED.
  void Execute(const internal::v1::OperationRequest& request, Done done);
  // The answer of a node that has no controller to ask (yet, or any more).
  static internal::v1::OperationResponse NotServing();

 private:
  Controller& controller_;
  const ClusterId cluster_;
};

// Says in `error` whom a node takes for the active controller, and reads it there; nobody: leader
// -1.
void AddLeader(const QuorumLeader& leader, Error& error);
QuorumLeader LeaderOf(const Error& error);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_OPERATION_SERVER_H_
