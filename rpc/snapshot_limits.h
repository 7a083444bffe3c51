#ifndef GREGOR_RPC_SNAPSHOT_LIMITS_H_
#define GREGOR_RPC_SNAPSHOT_LIMITS_H_

#include <cstddef>

#include "base/time.h"

namespace gregor {

// What the transfer of metadata snapshots between nodes may take.
struct SnapshotLimits {
  // A call is broken off, by either end, where nothing moves for so long.
  Duration stall = std::chrono::seconds(30);
  // So many nodes are served at a time; others are refused, and come again.
  int served_max = 2;
  // Of one message.
  size_t chunk_bytes = size_t{1} << 20;
  // A peer's claim is no reason to allocate: bytes are taken as they come, up to this many (and of
  // one message up to kInternalMessageBytesMax, rpc/internal_server.h).
  size_t snapshot_bytes_max = size_t{4} << 30;
  // Who fetched a snapshot whole and asks the same node again could not use it: it comes again
  // after this time at the earliest, twice that for the next time, and so on.
  Duration pause_min = std::chrono::seconds(1);
  Duration pause_max = std::chrono::minutes(1);
  // What came before a connection broke is given up when nobody has asked for the rest by then.
  Duration part_kept = std::chrono::minutes(1);
};

}  // namespace gregor

#endif  // GREGOR_RPC_SNAPSHOT_LIMITS_H_
