#ifndef GREGOR_NODE_QUORUM_LINKS_H_
#define GREGOR_NODE_QUORUM_LINKS_H_

#include <memory>

#include "base/event_loop.h"
#include "base/metrics.h"
#include "base/result.h"
#include "controller/controller.h"
#include "controller/format.h"
#include "controller/remote_controller.h"
#include "controller/remote_quorum.h"
#include "node/settings.h"
#include "raft/core/options.h"
#include "raft/host/transport.h"

namespace gregor {

// What a node of a cluster has to talk to the others: the internal listener, and the quorum's
// transport on it. Thread: main.
class QuorumLinks {
 public:
  // Listens and serves. Fails with kInvalidConfig where the address cannot be listened on, or a
  // file of internal_tls is no good; kDuplicateVoter where another process answers at the address
  // that `controllers` has for this node. `incarnation`: of this process. REQUIRES:
  // settings.IsCluster(); `loop` (the controller's) and `metrics` outlive it.
  static Result<std::unique_ptr<QuorumLinks>> Start(EventLoop& loop, const Settings& settings,
                                                    const NodeIdentity& identity,
                                                    const DirectoryId& incarnation,
                                                    Metrics& metrics);
  virtual ~QuorumLinks() = default;

  virtual HostPort listens() const = 0;
  virtual RaftTransport& transport() = 0;
  virtual SnapshotSource& snapshots() = 0;
  // Other nodes' controllers, for what this one cannot do itself.
  virtual RemoteController& controllers() = 0;
  virtual RemoteQuorum& quorum() = 0;
  // Other nodes may ask for its snapshots, and pass operations on to it, from now on.
  virtual void Serve(Controller& controller) = 0;
  // ... no more; returns when none is being handed over. What runs takes its course.
  virtual void StopServing() = 0;
  // Ends all that was begun, and the thread that tells of it: nothing is posted to the loop any
  // more when this returns. Twice is as good as once. REQUIRES: nobody uses the transport.
  virtual void Shutdown() = 0;
};

// The quorum as the settings have it.
raft::Options QuorumOptions(const Settings& settings);

}  // namespace gregor

#endif  // GREGOR_NODE_QUORUM_LINKS_H_
