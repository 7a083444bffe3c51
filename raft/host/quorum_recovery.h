#ifndef GREGOR_RAFT_HOST_QUORUM_RECOVERY_H_
#define GREGOR_RAFT_HOST_QUORUM_RECOVERY_H_

#include <optional>

#include "base/result.h"
#include "base/task.h"
#include "raft/core/types.h"
#include "raft/host/raft_log.h"

namespace gregor {

// What a stopped node knows of its quorum.
struct QuorumOnDisk {
  std::optional<VoterSet> voters;  // nullopt: its files do not say
  Term term{0};                    // the latest that it has seen
  Term last_term{0};               // of the end of its log
  Offset end{0};                   // of its log
};

// The last resort where a majority of the voters is lost for ever (docs/operations.md "Disaster
// recovery"). What only the lost ones had is gone; what this node has counts as committed, whether
// it was or not. Whoever has the node's directory must keep others away from it, and make sure that
// the lost voters never come back: they would go on by themselves.

// Reads; changes nothing that a start would not change. `read` runs on the loop. Fails with
// kStorageError where the files are locked, damaged or missing, and with kInvalidArgument where the
// node is no voter, or the only one already. Thread: any.
void ReadQuorum(RaftLogOptions options, UniqueFunction<void(Result<QuorumOnDisk>)> read);

// Makes this node the only voter: by a voter set of its own at the end of its log, in a term far
// above all that it knows. Durable before `done`, which runs on the loop; a crash before leaves the
// old set or the new one, and it can be called again. Fails as ReadQuorum(). Thread: any.
void MakeOnlyVoter(RaftLogOptions options, UniqueFunction<void(Result<QuorumOnDisk>)> done);

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_QUORUM_RECOVERY_H_
