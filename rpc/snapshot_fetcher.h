#ifndef GREGOR_RPC_SNAPSHOT_FETCHER_H_
#define GREGOR_RPC_SNAPSHOT_FETCHER_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/event_loop.h"
#include "controller/snapshot_source.h"
#include "gregor/internal/v1/raft.grpc.pb.h"
#include "rpc/queue/call_queue.h"
#include "rpc/snapshot_limits.h"

namespace gregor {

// Gets metadata snapshots from other nodes (RaftService.FetchSnapshot), into memory. What came of
// one before its call broke is kept, and the next call to the same node asks for the rest. Thread:
// `loop`'s.
class SnapshotFetcher {
 public:
  // By `queue`, which outlives its calls.
  SnapshotFetcher(EventLoop& loop, CallQueue& queue, const ClusterId& cluster,
                  const SnapshotLimits& limits);
  // Nobody who asked hears anything any more.
  ~SnapshotFetcher();

  // Why the node is not asked now: what it had last was fetched a moment ago.
  std::optional<Error> WhyNotNow(NodeId node, Offset end_min) const;
  // Asks a node, as SnapshotSource::Fetch(). The call keeps itself until it has ended; `ended` runs
  // on the queue's thread then (at once where the queue is closed), also when this has gone.
  // Returns what breaks it off, also behind its end, and calls nobody back: any thread may do it.
  std::function<void()> Fetch(internal::v1::RaftService::Stub& stub, NodeId node, Offset end_min,
                              SnapshotSource::Fetched fetched, Task ended);

 private:
  // What is there of a snapshot: its first bytes, or all.
  struct Part {
    raft::SnapshotId id;
    size_t total_bytes = 0;
    std::string bytes;
  };
  struct Kept {
    NodeId node;
    Part part;
    uint64_t number;  // of the call that it came from
  };
  // What was fetched whole last.
  struct Delivered {
    NodeId node;
    raft::SnapshotId id;
    Duration pause{};
    MonotonicTime again;  // the same may be asked for from then on
  };
  struct Outcome;
  class Call;

  void OnEnded(NodeId node, uint64_t number, Outcome outcome, SnapshotSource::Fetched fetched);
  void Keep(NodeId node, uint64_t number, Part part);
  void NoteDelivered(NodeId node, const raft::SnapshotId& id);

  EventLoop& loop_;
  CallQueue& queue_;
  const ClusterId cluster_;
  const SnapshotLimits limits_;
  std::optional<Kept> kept_;
  std::optional<Delivered> delivered_;
  uint64_t calls_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gregor

#endif  // GREGOR_RPC_SNAPSHOT_FETCHER_H_
