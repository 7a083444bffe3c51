#ifndef GREGOR_RPC_RANGE_TRANSFER_H_
#define GREGOR_RPC_RANGE_TRANSFER_H_

#include <grpcpp/grpcpp.h>

#include "base/event_loop.h"
#include "gregor/internal/v1/raft.grpc.pb.h"
#include "raft/host/transport.h"

namespace gregor {

// Parts of a metadata log over the internal listener (RaftService.FetchRange). Thread: any.

// Answers a node that asks. `read` gives what this node has (RaftTransport::RangeReader, on its
// loop).
grpc::ServerUnaryReactor* SendRange(const internal::v1::FetchRangeRequest& request,
                                    internal::v1::FetchRangeResponse& response,
                                    const ClusterId& cluster,
                                    const RaftTransport::RangeReader& read);

// Asks a node. `fetched` runs on `loop`. The call keeps itself until it has ended; `ended` runs on
// a thread of gRPC's then.
void FetchRange(internal::v1::RaftService::Stub& stub, EventLoop& loop, const ClusterId& cluster,
                Offset from, LogRangeRead fetched, Task ended);

}  // namespace gregor

#endif  // GREGOR_RPC_RANGE_TRANSFER_H_
