#ifndef GREGOR_RPC_SNAPSHOT_TRANSFER_H_
#define GREGOR_RPC_SNAPSHOT_TRANSFER_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>

#include "base/event_loop.h"
#include "controller/snapshot_source.h"
#include "gregor/internal/v1/raft.grpc.pb.h"

namespace gregor {

// Metadata snapshots over the internal listener (RaftService.FetchSnapshot). Thread: any.

// Answers a node that asks, piece by piece. `read` gives the newest snapshot.
grpc::ServerWriteReactor<internal::v1::SnapshotChunk>* SendSnapshot(
    const internal::v1::FetchSnapshotRequest& request, const ClusterId& cluster,
    const SnapshotSource::Reader& read);

// Asks a node. `fetched` runs on `loop`. The call keeps itself until it has ended; `ended` runs on
// a thread of gRPC's then.
void FetchSnapshot(internal::v1::RaftService::Stub& stub, EventLoop& loop, const ClusterId& cluster,
                   Offset end_min, SnapshotSource::Fetched fetched, Task ended);

}  // namespace gregor

#endif  // GREGOR_RPC_SNAPSHOT_TRANSFER_H_
