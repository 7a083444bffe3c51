#ifndef GREGOR_RAFT_CORE_TYPES_H_
#define GREGOR_RAFT_CORE_TYPES_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <variant>
#include <vector>

#include "base/types.h"

namespace gregor {

// A term of the metadata quorum. Stored as the leader epoch of its batches.
using Term = Strong<int32_t, struct TermTag>;

// A voter is a node with its metadata directory: a wiped disk is another voter (KIP-853).
struct VoterKey {
  NodeId node{-1};
  DirectoryId directory;
  friend auto operator<=>(const VoterKey&, const VoterKey&) = default;
};
inline std::ostream& operator<<(std::ostream& out, const VoterKey& key) {
  return out << key.node << "@" << key.directory;
}

// Where a voter can be reached.
struct VoterEndpoint {
  std::string listener;
  std::string host;
  uint16_t port = 0;
  friend bool operator==(const VoterEndpoint&, const VoterEndpoint&) = default;
};
struct Voter {
  VoterKey key;
  std::vector<VoterEndpoint> endpoints;
  friend bool operator==(const Voter&, const Voter&) = default;
};

// The first record of each term.
struct LeaderChange {
  VoterKey leader;
  std::vector<VoterKey> granting;  // who voted for it
  friend bool operator==(const LeaderChange&, const LeaderChange&) = default;
};
// Who votes from here on.
struct VoterSet {
  std::vector<Voter> voters;

  const Voter* Find(const VoterKey& key) const {
    const auto at = std::find_if(voters.begin(), voters.end(),
                                 [&](const Voter& voter) { return voter.key == key; });
    return at == voters.end() ? nullptr : &*at;
  }
  bool Has(const VoterKey& key) const { return Find(key) != nullptr; }
  friend bool operator==(const VoterSet&, const VoterSet&) = default;
};
// What the quorum writes to the log for itself.
using QuorumRecord = std::variant<LeaderChange, VoterSet>;

namespace raft {

// What a voter must not forget (Raft §5.1, §5.2): the latest term that it has seen, and whom it
// voted for in it.
struct HardState {
  Term term{0};
  std::optional<VoterKey> voted_for;
  friend bool operator==(const HardState&, const HardState&) = default;
};

// The end of a snapshot: the state up to `end` (exclusive), whose last record is of `term`.
struct SnapshotId {
  Offset end{0};
  Term term{0};
  friend auto operator<=>(const SnapshotId&, const SnapshotId&) = default;
};

}  // namespace raft
}  // namespace gregor

#endif  // GREGOR_RAFT_CORE_TYPES_H_
