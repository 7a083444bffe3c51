#ifndef GREGOR_RAFT_CORE_MESSAGES_H_
#define GREGOR_RAFT_CORE_MESSAGES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "raft/core/types.h"

namespace gregor::raft {

// What nodes of the quorum say to each other. A message may be lost, repeated, delayed and
// overtaken by others; none is ever believed by its order. The cluster's id and the sender's
// identity are checked by the transport.

// Raft §5.2, and §9.6 of the thesis where it is only asked (`pre`).
struct VoteRequest {
  bool pre = false;
  // By the leader's own wish (thesis §3.10): having heard of a leader is no reason to refuse.
  bool forced = false;
  Term last_term{0};  // of the candidate's log
  Offset end{0};
  // Whom the candidate's settings name, in order, while there is no voter set; else empty.
  std::vector<NodeId> configured;
};
struct VoteReply {
  bool pre = false;
  bool granted = false;
  Term of_term{0};          // the request's
  NodeId leader{-1};        // who leads the sender's term, as far as it knows
  bool has_voters = false;  // the sender knows a voter set
};

// One batch of the log, as far as the algorithm has to know it.
struct BatchInfo {
  Offset base{0};
  Offset next{0};
  Term term{0};
  size_t bytes = 0;
  std::optional<VoterSet> voters;  // of a voters batch
  friend bool operator==(const BatchInfo&, const BatchInfo&) = default;
};

// Raft §5.3: what follows in the log on the record before `base`, which is of `prev_term`.
struct AppendRequest {
  Offset base{0};
  Term prev_term{0};
  Offset commit{0};  // of the leader
  std::vector<BatchInfo> batches;
  Bytes bytes;  // of the batches, one behind the other
  // Whether an answer is wanted where the logs agree; not where only the commit index is told.
  bool asks = true;
};
struct AppendReply {
  bool matched = false;
  Offset base{0};  // the request's
  // Where it matched: the sender's log is the leader's up to `received`, and durable up to
  // `durable`. As of now, not of the request.
  Offset received{0};
  Offset durable{0};
  // Else where to look (§5.3 "faster"): the sender's largest term <= prev_term, and its end there.
  Term hint_term{0};
  Offset hint_end{0};
};

struct Heartbeat {
  Offset commit{0};
  uint64_t round = 0;  // counts the leader's rounds, for check-quorum and reads
};
struct HeartbeatReply {
  uint64_t round = 0;
  Offset received{0};
  Offset durable{0};
};

// "Campaign now" (thesis §3.10).
struct TimeoutNow {};

// What the receiver needs lies before the leader's log: it should fetch this snapshot.
struct SnapshotOffer {
  SnapshotId snapshot;
};

// Asks the leader for its log, without a vote.
struct Attach {
  Offset end{0};
};
// Of a node that is not the leader.
struct AttachReply {
  NodeId leader{-1};  // who is, as far as it knows
};

struct Message {
  VoterKey from;
  VoterKey to;   // a directory of zero: whichever the node has
  Term term{0};  // the sender's; of a pre-vote's request and of its grant the one asked for
  std::variant<VoteRequest, VoteReply, AppendRequest, AppendReply, Heartbeat, HeartbeatReply,
               TimeoutNow, SnapshotOffer, Attach, AttachReply>
      body;
};

}  // namespace gregor::raft

#endif  // GREGOR_RAFT_CORE_MESSAGES_H_
