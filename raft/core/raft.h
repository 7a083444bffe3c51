#ifndef GREGOR_RAFT_CORE_RAFT_H_
#define GREGOR_RAFT_CORE_RAFT_H_

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "raft/core/campaign.h"
#include "raft/core/effects.h"
#include "raft/core/leadership.h"
#include "raft/core/log_view.h"
#include "raft/core/mutant.h"
#include "raft/core/options.h"

namespace gregor::raft {

// One node's part in a Raft quorum (Ongaro and Ousterhout, "In Search of an Understandable
// Consensus Algorithm", 2014; Ongaro's thesis): voter, or observer that follows without a vote.
// Takes inputs and the time, and gives Effects; owns no clock, disk, network or thread. After each
// input (or several proposals) the host takes the effects and carries them out. Log positions are
// record offsets, and the log's unit is a batch. Beyond the paper: pre-vote (thesis §9.6),
// check-quorum and stickiness (§4.2.3, §6.2), batches pipelined with whole terms skipped where logs
// differ (§5.3), read index (§6.4), transfer (§3.10), one voter changed at a time (§4.1), and
// voters known by node and directory (KIP-853). Thread: its owner's.
class Raft {
 public:
  // `hard`: as saved last; nullopt on a node that never saved any.
  Raft(Options options, std::optional<HardState> hard, RestoredLog log, Random random);

  // --- inputs; `now` never goes back ---

  // Begins to take part. Once, before everything else.
  void Start(MonotonicTime now);
  // What is due. Called at next_tick(), or later.
  void Tick(MonotonicTime now);
  MonotonicTime next_tick() const;  // MonotonicTime::max(): nothing is due
  void Receive(MonotonicTime now, Message message);
  // Effects::save is durable; once for each, in order.
  void OnSaved(MonotonicTime now);
  // Effects::truncate_to was done, durably; once for each.
  void OnTruncated(MonotonicTime now);
  // The log is durable up to `end`.
  void OnLogSynced(MonotonicTime now, Offset end);
  // A connection to a node came to be, or was lost. Not needed for safety or progress: they save
  // the time of a timeout.
  void OnConnected(MonotonicTime now, NodeId node);
  void OnDisconnected(MonotonicTime now, NodeId node);
  // How far Effects::read_log is to be read now; nullopt: it is not needed any more.
  std::optional<Offset> ReadLimit(const ReadLog& request) const;
  // Answers Effects::read_log; `batches` begin at request.from, and may be none. Returns what to
  // send, if it is still to be sent.
  std::optional<Message> OnLogRead(const ReadLog& request, std::vector<BatchInfo> batches,
                                   Bytes bytes);
  // A snapshot of what is committed is there to be fetched.
  void OnSnapshotTaken(const SnapshotId& snapshot);
  // The log is about to be exchanged for this snapshot, which the leader had: nothing is appended
  // meanwhile. False: it is not needed any more, and would take away what was acknowledged.
  bool BeginInstall(const SnapshotId& snapshot);
  // The log is empty behind the snapshot, durably. REQUIRES: BeginInstall() agreed.
  void OnSnapshotInstalled(MonotonicTime now, const SnapshotId& snapshot, const VoterSet& voters);
  // The log begins at `start` now. REQUIRES: start <= log().commit().
  void OnTrimmed(Offset start);

  // Takes the next `records` offsets for one batch, which the host appends to the log at once, in
  // `term`; returns the first. It is committed once Effects::commit has passed it, and lost if the
  // term ends before. Fails with kNotController unless this node leads `term` and hands it to
  // nobody.
  Result<Offset> Propose(MonotonicTime now, Term term, int64_t records);
  bool MayPropose(Term term) const;
  // A linearizable read: Effects::reads answers with `id`. Fails with kNotController.
  Result<void> Read(MonotonicTime now, uint64_t id);
  // Makes `voters` the voters, which differ from those of now by one voter at most. Done when it is
  // committed. Fails with kNotController, kReassignmentInProgress (another change is under way, or
  // the new one has not caught up, or is not heard of: try again), kInvalidArgument (also where too
  // few of the new set are heard of to commit anything).
  Result<void> ChangeVoters(MonotonicTime now, VoterSet voters);
  // Hands leadership to a voter (nullopt: the one with most of the log), and takes no proposals
  // until that is done or Effects::transfer_failed. Fails with kNotController, kInvalidArgument.
  Result<void> Transfer(MonotonicTime now, std::optional<VoterKey> to);
  // This node can keep no promise any more (its disk has failed): it says nothing from now on.
  void Stop();

  // What the last input asks for.
  Effects TakeEffects();

  // --- state ---
  Role role() const { return role_; }
  const HardState& hard_state() const { return hard_; }
  const Leader& leader() const { return leader_; }
  const LogView& log() const { return log_; }
  bool is_voter() const;  // by the latest set in its log, or by the settings where there is none
  bool is_stopped() const { return is_stopped_; }
  // nullptr unless this node leads.
  const Leadership* leadership() const { return leadership_.get(); }

 private:
  void Advance(MonotonicTime now);
  void Send(const VoterKey& to, Term term, decltype(Message::body) body);
  bool IsSaving() const { return is_unsaved_ || saves_under_way_ > 0; }
  void SetHard(HardState hard);
  void Fail(std::string what);

  Electorate ElectorateOfNow() const;
  bool MayCampaign() const;
  bool HasLiveLeader(MonotonicTime now) const;
  MonotonicTime RandomDeadline(MonotonicTime now);
  MonotonicTime QuickDeadline(MonotonicTime now);
  void ForgetLeader();
  void OnElectionTimeout(MonotonicTime now);
  void BeginCampaign(MonotonicTime now, bool pre, bool forced);
  void AskWhoLeads();
  void SendVoteRequest(const Voter& voter);
  void CheckCampaign(MonotonicTime now);
  void BecomeFollower(MonotonicTime now, Term term, NodeId leader);
  void BecomeLeader(MonotonicTime now);
  void StepDown(MonotonicTime now);

  void OnVoteRequest(MonotonicTime now, const Message& message, const VoteRequest& request);
  bool MayGrant(MonotonicTime now, const Message& message, const VoteRequest& request);
  void OnVoteReply(MonotonicTime now, const Message& message, const VoteReply& reply);
  void ReplyToOldLeader(const Message& message);
  bool FollowLeader(MonotonicTime now, const Message& message);
  void OnAppendRequest(MonotonicTime now, const Message& message, const AppendRequest& request);
  bool AppendFrom(const AppendRequest& request);
  // What is committed here, at the offset, is not what the leader has.
  void FailContradicted(Offset at);
  void OnHeartbeat(MonotonicTime now, const Message& message, const Heartbeat& heartbeat);
  void OnSnapshotOffer(MonotonicTime now, const Message& message, const SnapshotOffer& offer);
  void OnTimeoutNow(MonotonicTime now);
  void OnAttach(MonotonicTime now, const Message& message, const Attach& attach);
  void OnAttachReply(MonotonicTime now, const AttachReply& reply);
  void SendAttach(MonotonicTime now, NodeId node);
  void FollowCommit();
  void Acknowledge();
  Offset Verified() const {
    return IsMutant(6) ? verified_end_ : std::min(log_.durable(), verified_end_);
  }

  const Options options_;
  Random random_;
  HardState hard_;
  LogView log_;
  Effects effects_;
  Role role_ = Role::kFollower;
  Leader leader_;
  bool is_stopped_ = false;
  bool is_installing_ = false;

  // What waits for the hard state to be durable.
  bool is_unsaved_ = false;
  int saves_under_way_ = 0;
  std::vector<Message> held_;

  // Of a follower: what it knows of the leader of hard_.term.
  VoterKey leader_key_;
  MonotonicTime heard_leader_;
  Offset verified_end_{0};  // up to here the log is the leader's
  Offset acknowledged_{0};
  Offset leader_commit_{0};
  std::map<NodeId, std::deque<MonotonicTime>> losses_;  // of leaders, by node
  std::set<NodeId> gone_;  // nodes whose connection was lost, and that were not heard of since

  // Of who has no leader.
  MonotonicTime election_deadline_;
  bool is_deadline_put_off_ = false;
  std::optional<Campaign> campaign_;
  bool is_own_vote_counted_ = false;
  int quick_attempts_ = 0;
  bool others_have_voters_ = false;
  NodeId leader_hint_{-1};
  size_t attach_turn_ = 0;

  std::optional<SnapshotId> snapshot_;  // the latest that this node has
  std::unique_ptr<Leadership> leadership_;

  // What was told last.
  Offset told_commit_{0};
  Leader told_leader_;
  Offset told_voters_{-1};
  MonotonicTime now_;
  MonotonicTime tick_due_;
};

}  // namespace gregor::raft

#endif  // GREGOR_RAFT_CORE_RAFT_H_
