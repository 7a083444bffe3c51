#ifndef GREGOR_CONTROLLER_NODE_STOPS_H_
#define GREGOR_CONTROLLER_NODE_STOPS_H_

#include "base/result.h"

namespace gregor {

// What whoever asked a node that stops is told: kNotController, with what is known of the
// operation (OperationOutcome()): UNKNOWN where it may have been begun, else NOT_APPLIED.
// Thread: any.
inline Error NodeStops(bool may_be_applied) {
  return Error(Reason::kNotController,
               may_be_applied ? "the node stops; whether the operation took place is not known: "
                                "look, then retry"
                              : "the node stops: try another one")
      .With("outcome", may_be_applied ? "UNKNOWN" : "NOT_APPLIED");
}

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_NODE_STOPS_H_
