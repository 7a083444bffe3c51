#ifndef GREGOR_RPC_RAFT_STREAM_H_
#define GREGOR_RPC_RAFT_STREAM_H_

#include <functional>
#include <memory>
#include <optional>

#include "base/result.h"
#include "gregor/internal/v1/raft.grpc.pb.h"
#include "raft/core/types.h"
#include "raft/host/transport.h"
#include "rpc/queue/call_queue.h"

namespace gregor {

// Who this node is, as it tells others.
struct RaftSelf {
  ClusterId cluster;
  VoterKey key;
  RaftTransport::Introduction introduction;
  DirectoryId incarnation;  // of this process
};

// Who is at the other end of a stream, and what travels on it.
struct RaftPeer {
  VoterKey key;
  RaftTransport::Introduction introduction;
  bool is_bulk = false;
};

// One call of RaftService.Exchange, from either end: sends messages one after the other, drops what
// does not fit. Thread: any.
class RaftStream {
 public:
  virtual ~RaftStream() = default;
  // False: it has ended, or too much waits.
  virtual bool Send(internal::v1::RaftMessage message) = 0;
  // Breaks it off.
  virtual void Cancel() = 0;
};

// The room that a message takes of what may have come on its stream and not be handled yet, until
// this goes: where there is no more of it, nothing further is read, and the sender has to wait.
// Thread: any.
using RaftMessageRoom = std::shared_ptr<void>;

// What happens on streams. Thread: gRPC's.
class RaftStreamEvents {
 public:
  virtual ~RaftStreamEvents() = default;
  // The peer is known: messages may be sent.
  virtual void OnUp(const std::shared_ptr<RaftStream>& stream, const RaftPeer& peer) = 0;
  virtual void OnMessage(const RaftPeer& peer, internal::v1::RaftMessage message,
                         RaftMessageRoom room) = 0;
  // Nothing comes any more; once for each call to a node, and for each that came and was taken.
  // `peer`: whom OnUp() has named; nullopt where it was not up.
  virtual void OnDown(const RaftStream* stream, const std::optional<RaftPeer>& peer,
                      const grpc::Status& status) = 0;
};

// The Hello of one end.
internal::v1::RaftMessage RaftHello(const RaftSelf& self, NodeId to, bool is_bulk);
// What the Hello of the other end says. The message of the error is for the other end's log. Fails
// with kDuplicateVoter where that is another process under this node's id.
Result<RaftPeer> ReadRaftHello(const internal::v1::RaftMessage& message, const RaftSelf& self);

// Calls a node. The stream keeps itself until it has ended. `queue` and `events` outlive it.
std::shared_ptr<RaftStream> CallRaftPeer(internal::v1::RaftService::Stub& stub, CallQueue& queue,
                                         RaftStreamEvents& events, const RaftSelf& self, NodeId to,
                                         bool is_bulk);
// Answers nodes that call, each if it is the one whose certificate it has shown
// (CertifiedCaller()). `begin` says who this node is, at each call; that one's OnDown() comes.
// nullopt: the call is not taken, and nothing is heard of it.
void AnswerRaftPeers(internal::v1::RaftService::AsyncService& service, CallQueue& queue,
                     RaftStreamEvents& events, std::function<std::optional<RaftSelf>()> begin);

}  // namespace gregor

#endif  // GREGOR_RPC_RAFT_STREAM_H_
