#ifndef GREGOR_RAFT_CORE_OPTIONS_H_
#define GREGOR_RAFT_CORE_OPTIONS_H_

#include <cstddef>
#include <vector>

#include "base/time.h"
#include "raft/core/types.h"

namespace gregor::raft {

struct Options {
  VoterKey self;
  // Whom the settings name as voters, with directories of zero; counts until the first voter set is
  // in the log.
  std::vector<Voter> configured;

  // Of a leader to each follower.
  Duration heartbeat_interval = std::chrono::milliseconds(150);
  // A follower that has heard nothing of a leader for a random time between the two campaigns; a
  // leader that has not heard of a majority for the longer one resigns (thesis §6.2).
  Duration election_timeout_min = std::chrono::seconds(1);
  Duration election_timeout_max = std::chrono::seconds(2);
  // Campaigns that nobody with a leader stands against come sooner: at random up to this long after
  // the connection to the leader was lost, or after a vote was split.
  Duration quick_jitter = std::chrono::milliseconds(150);
  // Of lost connections to one node, so many in this time are believed to mean a lost leader.
  int losses_max = 3;
  Duration losses_window = std::chrono::seconds(10);
  // An observer that has said nothing for so long is forgotten.
  Duration observer_timeout = std::chrono::seconds(30);

  size_t append_bytes_max = 1u << 20;     // of one message; its first batch may exceed it
  size_t in_flight_bytes_max = 8u << 20;  // sent to one follower and not durable there
  size_t in_flight_messages_max = 64;
  size_t observers_max = 10'000;
  // A learner may become a voter once it is so close to what is committed.
  int64_t learner_lag_max = 1'000;
};

}  // namespace gregor::raft

#endif  // GREGOR_RAFT_CORE_OPTIONS_H_
