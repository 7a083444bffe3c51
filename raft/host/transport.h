#ifndef GREGOR_RAFT_HOST_TRANSPORT_H_
#define GREGOR_RAFT_HOST_TRANSPORT_H_

#include <functional>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/task.h"
#include "base/types.h"
#include "raft/core/messages.h"

namespace gregor {

// Part of a node's metadata log, as its files have it.
struct LogRange {
  Offset start{0};               // of its log
  std::optional<Offset> commit;  // committed before it, as far as the node knows; nullopt: nothing
  Bytes batches;  // sound ones, of which the first has the offset that was asked for; empty: the
                  // node does not have it
};
using LogRangeRead = UniqueFunction<void(Result<LogRange>)>;

// How the nodes of the quorum reach each other. Messages may be lost, repeated and overtaken by
// others; what a message claims of its sender is true (the transport checks cluster, node and
// directory). Thread: the controller loop, callbacks included.
class RaftTransport {
 public:
  class Receiver {
   public:
    virtual ~Receiver() = default;
    // Of an append request the bytes are as they came: `batches` is empty.
    virtual void OnMessage(raft::Message message) = 0;
    // A connection to or from the node is there: told of each, and again when what was sent over
    // the ones before may have been lost for want of one for it. Whoever has asked asks again.
    virtual void OnConnected(NodeId node) = 0;
    // The last one was lost.
    virtual void OnDisconnected(NodeId node) = 0;
  };

  virtual ~RaftTransport() = default;
  // Begins to give messages to `receiver`; nullptr: ends. Not inside of a call of the receiver.
  virtual void SetReceiver(Receiver* receiver) = 0;
  // Drops the message where it cannot be sent, or too many wait.
  virtual void Send(raft::Message message) = 0;
  // Where voters can be reached from now on, beside those of the settings; where one is named twice
  // the later place counts. Whoever is neither is not called any more.
  virtual void SetVoters(const VoterSet& voters) = 0;

  // Asks a node for its log from `from` on, for a log that is damaged here. Needs no receiver.
  // Fails with kLeaderNotAvailable (the node cannot be reached, or cannot read: try again later).
  virtual void FetchRange(NodeId node, Offset from, LogRangeRead fetched) = 0;
  // What answers those of the others; none: nothing does.
  using RangeReader = std::function<void(Offset from, LogRangeRead read)>;
  virtual void SetRangeReader(RangeReader reader) = 0;
  // What a connected node says of itself: where others reach it, whether it may be a voter, and
  // which feature levels of the metadata it supports (0: it does not say).
  struct Introduction {
    std::vector<VoterEndpoint> endpoints;
    bool may_vote = false;
    int32_t feature_level_min = 0;
    int32_t feature_level_max = 0;
  };
  virtual std::optional<Introduction> IntroductionOf(const VoterKey& node) const = 0;
};

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_TRANSPORT_H_
