#ifndef GREGOR_CONTROLLER_SNAPSHOT_SOURCE_H_
#define GREGOR_CONTROLLER_SNAPSHOT_SOURCE_H_

#include <cstdint>
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

// A snapshot of this node's, open for another one that fetches it: it can be read as long as
// somebody has this, also once newer ones have taken its place.
struct ServedSnapshot {
  using ChunkRead = UniqueFunction<void(Result<std::string>)>;

  raft::SnapshotId id;
  std::optional<raft::VotersAt> voters;
  uint64_t size_bytes = 0;
  // Reads `size` bytes from `position` on; `read` runs on the loop. Fails with kStorageError, and
  // with kLeaderNotAvailable where the node stops. REQUIRES: the snapshot has them.
  std::function<void(uint64_t position, size_t size, ChunkRead read)> read;
};

// Which one another node asks for.
struct SnapshotWish {
  Offset end_min{0};  // it has to reach at least this offset
  // One of which the other node has a part: it is better than the newest.
  std::optional<raft::SnapshotId> begun;
};

// Where a node that is too far behind gets a snapshot from, and gives its own to others. Thread:
// the controller loop.
class SnapshotSource {
 public:
  using Fetched = UniqueFunction<void(Result<TravellingSnapshot>)>;
  using Opened = UniqueFunction<void(Result<ServedSnapshot>)>;
  // The snapshot of this node that fits the wish. Fails with kLeaderNotAvailable (there is none),
  // kStorageError (it cannot be read, or is damaged).
  using Reader = std::function<void(const SnapshotWish& wish, Opened opened)>;
  virtual ~SnapshotSource() = default;
  // The newest that node `from` has, if it reaches `end_min`, or an older one that does and of
  // which a part came before. `fetched` runs on the loop. Fails with kLeaderNotAvailable (the node
  // cannot be reached, has none, or serves others: try again later).
  virtual void Fetch(NodeId from, Offset end_min, Fetched fetched) = 0;
  // What others may fetch from now on; empty: nothing. A node gives its snapshots as soon as it has
  // them: a quorum whose majority needs them first could never commit anything otherwise.
  virtual void SetReader(Reader reader) = 0;
};

// All of what `reader` gives, in one piece, for those who fetch without a network.
void ReadWhole(const SnapshotSource::Reader& reader, Offset end_min,
               SnapshotSource::Fetched fetched);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_SNAPSHOT_SOURCE_H_
