#ifndef GREGOR_CONTROLLER_SNAPSHOT_SOURCE_H_
#define GREGOR_CONTROLLER_SNAPSHOT_SOURCE_H_

#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/task.h"
#include "raft/core/log_view.h"

namespace gregor {

// A metadata snapshot as it travels from node to node.
struct TravellingSnapshot {
  raft::SnapshotId id;
  std::optional<raft::VotersAt> voters;  // in force at its end
  std::string bytes;                     // of the file (docs/formats.md "Metadata snapshot")
};

// Where a node that is too far behind gets a snapshot from, and gives its own to others. Thread:
// the controller loop.
class SnapshotSource {
 public:
  using Fetched = UniqueFunction<void(Result<TravellingSnapshot>)>;
  // The newest snapshot of this node, if it reaches `end_min`. Fails with kLeaderNotAvailable.
  using Reader = std::function<void(Offset end_min, Fetched read)>;
  virtual ~SnapshotSource() = default;
  // The newest that node `from` has, if it reaches `end_min`. `fetched` runs on the loop. Fails
  // with kLeaderNotAvailable (the node cannot be reached, or has none: try again later).
  virtual void Fetch(NodeId from, Offset end_min, Fetched fetched) = 0;
  // What others may fetch from now on; empty: nothing. A node gives its snapshots as soon as it has
  // them: a quorum whose majority needs them first could never commit anything otherwise.
  virtual void SetReader(Reader reader) = 0;
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_SNAPSHOT_SOURCE_H_
