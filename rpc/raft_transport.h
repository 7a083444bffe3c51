#ifndef GREGOR_RPC_RAFT_TRANSPORT_H_
#define GREGOR_RPC_RAFT_TRANSPORT_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "controller/snapshot_source.h"
#include "raft/core/types.h"
#include "raft/host/transport.h"
#include "rpc/internal_server.h"
#include "rpc/node_credentials.h"
#include "rpc/snapshot_limits.h"

namespace gregor {

// The quorum's transport over the internal gRPC listener (proto/gregor/internal/v1/raft.proto).
// Calls every node that is named as a voter, again and again until it answers, on two connections;
// answers nodes that call; and sends on whichever of these is up: so a node whose address nobody
// knows is reached on the connections that it has made itself. Thread: as RaftTransport, but for
// construction, service() and snapshots().
class GrpcRaftTransport : public RaftTransport {
 public:
  struct Options {
    EventLoop* loop = nullptr;   // the controller loop
    CallQueue* queue = nullptr;  // of its calls; outlives it
    ClusterId cluster;
    VoterKey self;
    DirectoryId incarnation;  // of this process
    // Where nodes are, by the settings: "host:port". What a voter set says of a node counts as long
    // as they say nothing.
    std::map<NodeId, std::string> addresses;
    std::shared_ptr<NodeCredentials> credentials;
    // Which endpoint of a voter is meant.
    std::string listener = "internal";
    SnapshotLimits snapshots;
    // Where the nodes that it calls are, by node, whenever that changes: on the loop.
    std::function<void(const std::map<NodeId, std::string>&)> on_addresses;
  };
  static std::unique_ptr<GrpcRaftTransport> Create(Options options);

  // What it says of itself to nodes that it is connected with later. Thread: any.
  virtual void SetIntroduction(Introduction introduction) = 0;
  // Where a node that is too far behind gets what it needs, and what this one has for others.
  virtual SnapshotSource& snapshots() = 0;
  // What the internal server has to serve. Nothing may call any more when this goes.
  virtual InternalService& service() = 0;
  // Breaks all streams and fetches off; returns when they have ended, without waiting for what the
  // other end does. No stream or fetch begins afterwards. REQUIRES: the internal server is shut
  // down. Thread: main.
  virtual void Shutdown() = 0;
};

}  // namespace gregor

#endif  // GREGOR_RPC_RAFT_TRANSPORT_H_
