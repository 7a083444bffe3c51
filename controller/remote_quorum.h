#ifndef GREGOR_CONTROLLER_REMOTE_QUORUM_H_
#define GREGOR_CONTROLLER_REMOTE_QUORUM_H_

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "base/types.h"
#include "gregor/internal/v1/quorum.pb.h"

namespace gregor {

// Other nodes, as ones that may lead the metadata quorum. Thread: any.
class RemoteQuorum {
 public:
  using QuorumDone = UniqueFunction<void(Result<internal::v1::QuorumResponse>)>;

  virtual ~RemoteQuorum() = default;

  // Sends `request` to `node`, at most once. `done` runs once: within `timeout` or little later, on
  // any thread, perhaps within this call. Fails as RemoteController::Execute().
  virtual void AskQuorum(NodeId node, const internal::v1::QuorumRequest& request, Duration timeout,
                         QuorumDone done) = 0;
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_REMOTE_QUORUM_H_
