#ifndef GREGOR_RAFT_HOST_METADATA_LOG_H_
#define GREGOR_RAFT_HOST_METADATA_LOG_H_

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "base/types.h"
#include "raft/core/log_view.h"
#include "raft/core/types.h"
#include "raft/host/quorum_status.h"

namespace gregor {

// Committed records of one batch, in log order. Control batches (leader change, voters) are not
// shown, but take offsets.
struct CommittedRecords {
  Offset base_offset{0};
  Term term{0};
  Timestamp appended{0};
  std::vector<std::string> records;  // serialized gregor.internal.v1.MetadataRecord
  Offset next_offset() const { return base_offset + static_cast<int64_t>(records.size()); }
};

// What became of an Append().
struct AppendedRecords {
  Offset next_offset{0};  // after the last record; committed when OnCommitted() has passed it
  Timestamp appended{0};  // as OnCommitted() will say
};

// The replicated log that owns the cluster's metadata, as its users see it. A quorum of one
// appends, syncs and commits; a larger one does so through Raft: no user can tell. Thread: the
// controller loop, callbacks included.
class MetadataLog {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    // Records became committed (on a leader and on a follower alike), in order, without gaps but
    // for control batches: all batches that are known to be by now, up to about 1 MiB. Never none.
    virtual void OnCommitted(std::vector<CommittedRecords> batches) = 0;
    // A new leader, or none. When it is this node everything committed in earlier terms has been
    // delivered before.
    virtual void OnLeader(const QuorumLeader& leader) = 0;
    // A connection to or from the node is there, or was lost: its process may have ended.
    virtual void OnConnection(NodeId node, bool is_there) = 0;
    // What comes next lies before the log of `leader`: its snapshot of `snapshot`, or a newer one,
    // is to be fetched and handed to Install(). Said again from time to time until that is done.
    virtual void OnSnapshotOffered(NodeId leader, const raft::SnapshotId& snapshot) = 0;
    // The log cannot go on (failed disk, damage): the node has resigned. Once; nothing follows.
    virtual void OnFailure(const Error& error) = 0;
  };

  // REQUIRES: closed, or the loop has stopped.
  virtual ~MetadataLog() = default;

  // Whether the state machine may begin at `from`: within the log, or at a snapshot whose Install()
  // did not end.
  virtual bool MayStartAt(Offset from) const = 0;
  // Delivers everything committed from `from` on (what the state machine has not applied yet), then
  // follows. Once. REQUIRES: MayStartAt(from); the listener outlives the log.
  virtual void Start(Offset from, Listener& listener) = 0;
  // Delivers what is committed from `from` on once more, for a state that is to be made again; no
  // effect while a snapshot is being installed, which takes that state's place. REQUIRES: started;
  // `from` is within the log, and delivered already; this node does not lead, as the listener
  // knows; not inside of OnCommitted().
  virtual void DeliverAgain(Offset from) = 0;
  virtual Offset start_offset() const = 0;
  // Offset of the next record to be appended; on a leader nobody else appends, so the next batch
  // begins there.
  virtual Offset end_offset() const = 0;
  // Everything before it is durable here. What is committed may be beyond it, as it is durable
  // elsewhere then: state that is kept must not be of more than this.
  virtual Offset durable_offset() const = 0;
  // Term of the record at `offset`; -1 where that is not known.
  virtual Term TermAt(Offset offset) const = 0;
  virtual QuorumLeader leader() const = 0;

  // Appends `records` as one batch, all or nothing; if leadership is lost before it is committed,
  // OnLeader() says so. Fails with kNotController (not the leader of `term`), kBatchTooLarge,
  // kStorageError, kDiskFull: then nothing was appended. REQUIRES: records are not empty.
  virtual Result<AppendedRecords> Append(Term term, std::vector<std::string> records) = 0;

  // A durable snapshot of what is committed is there: others may be told to fetch it.
  virtual void NoteSnapshot(const raft::SnapshotId& snapshot) = 0;
  // Records before `offset` are in a durable snapshot and may be dropped.
  virtual void TrimBefore(Offset offset) = 0;
  // Who votes at a snapshot's end: what goes with it to another node; nullopt where that is not
  // known any more.
  virtual std::optional<raft::VotersAt> VotersBefore(Offset offset) const = 0;
  // Puts a snapshot of the leader's in the place of the log, which then begins at its end, and goes
  // on from there; false: the log has got further meanwhile, and stays as it is. `keep` is called
  // to make the snapshot itself durable where the state machine finds it, and answers; a crash
  // before that finds the old log and state, one after it the snapshot, from which the node may
  // start. Durable before `done`. REQUIRES: no other one is being installed.
  using Kept = UniqueFunction<void(Result<void>)>;
  virtual void Install(const raft::SnapshotId& snapshot, std::optional<raft::VotersAt> voters,
                       UniqueFunction<void(Kept)> keep,
                       UniqueFunction<void(Result<bool>)> done) = 0;

  // The quorum as this node knows it.
  virtual QuorumStatus quorum() const = 0;
  // Asks a majority whether this node still leads (Raft thesis §6.4): what it says of the cluster
  // at `confirmed` is not older than the question, and everything before that offset is committed.
  // Fails with kNotController (`outcome` NOT_APPLIED).
  virtual void ConfirmLeadership(UniqueFunction<void(Result<Offset>)> confirmed) = 0;
  // One change at a time, by the leader; `changed` when it is committed. Both fail with
  // kNotController (`outcome` UNKNOWN where leadership was lost meanwhile),
  // kReassignmentInProgress (another change, or the node has not caught up, or does not answer: try
  // again) and kInvalidArgument (too few voters would be left that answer).
  using Changed = UniqueFunction<void(Result<void>)>;
  // Gives a vote to a node that follows. A directory of zero is that with which it follows now;
  // without endpoints it is reached where it says that it listens. Fails also with kDuplicateVoter,
  // kInvalidVoterKey (it does not follow, or is no controller), kInvalidArgument.
  virtual void AddVoter(Voter voter, Changed changed) = 0;
  // Takes a vote. A directory of zero is the voter's of that node. Fails also with kVoterNotFound.
  virtual void RemoveVoter(VoterKey voter, Changed changed) = 0;
  // Hands leadership to a voter (nullopt: the one with most of the log); `done` gets who leads
  // then. Fails with kNotController, kVoterNotFound, kReassignmentInProgress, kCommitTimedOut (it
  // did not take over in time: this node leads on).
  virtual void Transfer(std::optional<NodeId> to, UniqueFunction<void(Result<NodeId>)> done) = 0;
  // The same as far as it can be done, for a node that is about to stop; `done` when it leads no
  // more, or that takes too long.
  virtual void HandOver(Task done) = 0;

  // The state machine cannot go on: this node neither leads nor votes from now on, and nothing is
  // delivered any more. Also inside of a listener's call.
  virtual void GiveUp(const Error& error) = 0;

  // Syncs and closes; what is not committed then is not delivered any more. `done` runs on the
  // loop.
  virtual void Close(UniqueFunction<void(Result<void>)> done) = 0;
};

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_METADATA_LOG_H_
