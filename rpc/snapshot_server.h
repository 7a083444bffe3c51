#ifndef GREGOR_RPC_SNAPSHOT_SERVER_H_
#define GREGOR_RPC_SNAPSHOT_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>

#include "base/event_loop.h"
#include "controller/snapshot_source.h"
#include "gregor/internal/v1/raft.grpc.pb.h"
#include "rpc/queue/call_queue.h"
#include "rpc/snapshot_limits.h"

namespace gregor {

// Gives this node's metadata snapshots to others (RaftService.FetchSnapshot), some at a time, chunk
// after chunk: it holds one of each call, the next one is read once that is on its way. Thread:
// any.
class SnapshotServer {
 public:
  // `loop`: where snapshots are read; outlives all calls.
  SnapshotServer(EventLoop& loop, const ClusterId& cluster, const SnapshotLimits& limits);

  // Answers nodes that ask. `open` is called, and calls back, on whichever thread.
  void Listen(internal::v1::RaftService::AsyncService& service, CallQueue& queue,
              SnapshotSource::Reader open);

 private:
  class Sender;

  // A place among those that are served, as long as somebody has it; nullptr: there is none.
  std::shared_ptr<void> TakePlace();

  EventLoop& loop_;
  const ClusterId cluster_;
  const SnapshotLimits limits_;
  const std::shared_ptr<std::atomic<int>> served_;
};

}  // namespace gregor

#endif  // GREGOR_RPC_SNAPSHOT_SERVER_H_
