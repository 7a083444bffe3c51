#ifndef GREGOR_RPC_RANGE_TRANSFER_H_
#define GREGOR_RPC_RANGE_TRANSFER_H_

#include <grpcpp/grpcpp.h>

#include <functional>

#include "base/event_loop.h"
#include "gregor/internal/v1/raft.grpc.pb.h"
#include "raft/host/transport.h"
#include "rpc/queue/call_queue.h"

namespace gregor {

// Parts of a metadata log over the internal listener (RaftService.FetchRange). Thread: any.

// Answers nodes that ask. `read` gives what this node has (RaftTransport::RangeReader, on its
// loop).
void AnswerRanges(internal::v1::RaftService::AsyncService& service, CallQueue& queue,
                  const ClusterId& cluster, RaftTransport::RangeReader read);

// Asks a node. `fetched` runs on `loop`. The call keeps itself until it has ended; `ended` runs on
// the queue's thread then, or at once where the queue is closed. Returns what breaks it off, also
// behind its end, and calls nobody back.
std::function<void()> FetchRange(internal::v1::RaftService::Stub& stub, CallQueue& queue,
                                 EventLoop& loop, const ClusterId& cluster, Offset from,
                                 LogRangeRead fetched, Task ended);

}  // namespace gregor

#endif  // GREGOR_RPC_RANGE_TRANSFER_H_
