#ifndef GREGOR_CONTROLLER_REMOTE_CONTROLLER_H_
#define GREGOR_CONTROLLER_REMOTE_CONTROLLER_H_

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "base/types.h"
#include "gregor/internal/v1/controller.pb.h"

namespace gregor {

// Other nodes, as ones that may be the active controller. Thread: any.
class RemoteController {
 public:
  using Done = UniqueFunction<void(Result<internal::v1::OperationResponse>)>;

  virtual ~RemoteController() = default;

  // Sends `request` to `node`, with `timeout` as its timeout_ms, at most once. `done` runs once:
  // within `timeout` or little later, on any thread, perhaps within this call. Fails with
  // kNotController, outcome NOT_APPLIED where nothing left this node (no connection, no address;
  // one is being made) and UNKNOWN where it did and no answer came; kCommitTimedOut, UNKNOWN;
  // kUnsupportedVersion, NOT_APPLIED.
  virtual void Execute(NodeId node, const internal::v1::OperationRequest& request, Duration timeout,
                       Done done) = 0;
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_REMOTE_CONTROLLER_H_
