#ifndef GREGOR_RAFT_CORE_EFFECTS_H_
#define GREGOR_RAFT_CORE_EFFECTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "raft/core/messages.h"
#include "raft/core/types.h"

namespace gregor::raft {

// A batch to append to the log.
struct AppendBatch {
  BatchInfo info;
  // Of a leader's own records, which the host has to encode; else the batch is in `bytes`.
  std::optional<QuorumRecord> record;
  Bytes bytes;
};

// The leader's log from `from` on is due to be sent: read whole batches up to Raft::ReadLimit() of
// then and `bytes_max` (the first may exceed it), and give them to OnLogRead().
struct ReadLog {
  VoterKey to;
  Term term{0};
  Offset from{0};
  size_t bytes_max = 0;
};

// What a linearizable read waits for: the state at `offset` (end of what was committed when it was
// asked) may be read. Without one this node no longer leads, and cannot say.
struct ReadReady {
  uint64_t id = 0;
  std::optional<Offset> offset;
};

enum class Role : uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };

// Who leads, as this node knows.
struct Leader {
  NodeId node{-1};  // -1: nobody known
  Term term{0};
  friend bool operator==(const Leader&, const Leader&) = default;
};

// A node has lost [from, until) of its log, which it had acknowledged as durable: its disk, or its
// directory, is not what it was. This leader sends it again.
struct Forgetful {
  VoterKey voter;
  Offset from{0};
  Offset until{0};
};

// What the host has to do after an input, in the order of the fields; what is to be durable is said
// by the inputs that answer it.
struct Effects {
  // To be made durable; then OnSaved(). The core keeps back what may not be sent before.
  std::optional<HardState> save;
  // The log to be cut, durably, before anything is appended; then OnTruncated(). Batches that wait
  // to be appended behind it go, too.
  std::optional<Offset> truncate_to;
  // To be appended, in order; OnLogSynced() says how far the log is durable.
  std::vector<AppendBatch> append;
  // At once; none of them claims what is not durable yet.
  std::vector<Message> send;
  std::vector<ReadLog> read_log;
  // Everything before it is committed. Only rises.
  std::optional<Offset> commit;
  std::optional<Leader> leader;
  // The voters have changed (committed or not).
  std::optional<VoterSet> voters;
  std::vector<ReadReady> reads;
  // Fetch it from the leader, install it, then OnSnapshotInstalled(). Until then it is said again
  // from time to time; a newer one replaces it.
  std::optional<SnapshotId> fetch_snapshot;
  std::vector<Forgetful> forgetful;
  // A transfer that was asked for did not come to pass in time.
  bool transfer_failed = false;
  // This node must not go on: it has said what contradicts what others have. It votes no more.
  std::optional<std::string> failure;
};

}  // namespace gregor::raft

#endif  // GREGOR_RAFT_CORE_EFFECTS_H_
