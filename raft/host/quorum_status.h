#ifndef GREGOR_RAFT_HOST_QUORUM_STATUS_H_
#define GREGOR_RAFT_HOST_QUORUM_STATUS_H_

#include <optional>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "raft/core/types.h"

namespace gregor {

// Who leads the quorum. Aligned so that one may be atomic without a lock.
struct alignas(8) QuorumLeader {
  NodeId leader{-1};  // -1: nobody known
  Term term{0};
  friend bool operator==(const QuorumLeader&, const QuorumLeader&) = default;
};

// A node that has the metadata log, and how far it is, as the leader knows: unset elsewhere, and
// where it has not heard of it.
struct QuorumMember {
  VoterKey key;
  std::vector<VoterEndpoint> endpoints;  // none: not known
  std::optional<Offset> match;           // its log is the leader's, durably, up to here
  std::optional<Duration> heard_ago;
  std::optional<Duration> caught_up_ago;  // since it had everything that was committed
  // Feature levels that it supports, as it says where it is connected; 0: not known.
  int32_t feature_level_min = 0;
  int32_t feature_level_max = 0;
};

// The quorum as one node knows it.
struct QuorumStatus {
  QuorumLeader leader;
  Offset commit{0};
  Offset end{0};  // of this node's log
  std::vector<QuorumMember> voters;
  std::vector<QuorumMember> observers;  // only the leader knows them
};

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_QUORUM_STATUS_H_
