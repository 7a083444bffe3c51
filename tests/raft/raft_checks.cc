// What must hold in every run: the invariants by their numbers.
#include <algorithm>

#include "tests/raft/raft_cluster.h"

namespace gregor::raft {
namespace {

// Counted here once more, and not with the algorithm's own function: that may be what is wrong.
bool IsMajority(size_t some, size_t all) { return 2 * some > all; }

bool HasDurably(const StoredNode& stored, Offset end, uint64_t chain) {
  if (stored.start >= end) return true;
  return std::any_of(stored.log.begin(), stored.log.end(), [&](const StoredBatch& batch) {
    return batch.info.next == end && batch.chain == chain;
  });
}

size_t CountMissing(const VoterSet& of, const VoterSet& in) {
  return static_cast<size_t>(std::count_if(of.voters.begin(), of.voters.end(),
                                           [&](const Voter& voter) { return !in.Has(voter.key); }));
}

}  // namespace

void RaftChecks::Violate(std::string what) { violations_.push_back(std::move(what)); }

// R2 (through a restart), S2 and S5: what is not in the log any more is in a snapshot.
void RaftChecks::OnBoot(const RaftNode& node) {
  const StoredNode& stored = node.stored();
  if (stored.hard.has_value() && node.raft().hard_state().term < stored.hard->term)
    Violate("R2: a term was forgotten");
  if (stored.start > Offset{0} &&
      (!stored.snapshot.has_value() || stored.snapshot->id.end < stored.start))
    Violate("S5: the log was trimmed, and no snapshot has what it had");
  seen_[&node] = {};
}

// R2, R8.
void RaftChecks::OnState(const RaftNode& node) {
  Seen& seen = seen_[&node];
  const Offset commit = node.raft().log().commit();
  if (node.raft().hard_state().term < seen.term) Violate("R2: a node's term fell");
  if (commit < seen.commit) Violate("R8: a node's commit index fell");
  seen = {node.raft().hard_state().term, std::max(seen.commit, commit)};
}

// R1, R5.
void RaftChecks::OnLeader(const RaftNode& node, Term term) {
  const auto [at, is_new] = leaders_.emplace(term, node.key());
  if (at->second != node.key()) Violate("R1: two leaders in one term");
  if (!is_new) return;
  // Who is elected late need not have what a later leader has committed meanwhile.
  const auto later = std::partition_point(committed_in_.begin(), committed_in_.end(),
                                          [&](Term in) { return in < term; });
  if (later == committed_in_.begin()) return;
  const StoredBatch& last = committed_[static_cast<size_t>(later - committed_in_.begin()) - 1];
  const StoredNode& memory = node.memory();
  if (memory.end() < last.info.next) return Violate("R5: a leader lacks what is committed");
  for (const StoredBatch& batch : memory.log) {
    if (batch.info.next == last.info.next && batch.chain != last.chain)
      Violate("R5: a leader has other records than the committed ones");
  }
}

// R1, R3, R15: what is said is durable.
void RaftChecks::OnSend(const RaftNode& node, const Message& message) {
  const bool is_of_leader = std::holds_alternative<AppendRequest>(message.body) ||
                            std::holds_alternative<Heartbeat>(message.body) ||
                            std::holds_alternative<SnapshotOffer>(message.body);
  if (is_of_leader && leaders_.emplace(message.term, node.key()).first->second != node.key())
    Violate("R1: two nodes speak as leader in one term");
  if (const auto* const request = std::get_if<VoteRequest>(&message.body)) {
    if (request->pre) return;
    const auto [at, is_new] = votes_.emplace(std::pair(node.key(), message.term), node.key());
    if (at->second != node.key()) Violate("R3: a candidate has voted for another one");
  } else if (std::holds_alternative<VoteReply>(message.body)) {
    CheckVote(node, message);
  } else {
    CheckDurability(node, message);
  }
}

void RaftChecks::CheckVote(const RaftNode& node, const Message& message) {
  const auto& reply = std::get<VoteReply>(message.body);
  const auto& hard = node.stored().hard;
  if (reply.pre || !reply.granted) return;
  if (!hard.has_value() || hard->term < message.term ||
      (hard->term == message.term && hard->voted_for != message.to))
    Violate("R15: a vote was given that is not durable");
  const auto [at, is_new] = votes_.emplace(std::pair(node.key(), message.term), message.to);
  if (at->second != message.to) Violate("R3: two votes in one term");
}

void RaftChecks::CheckDurability(const RaftNode& node, const Message& message) {
  const auto& hard = node.stored().hard;
  Offset durable{0};
  if (const auto* const reply = std::get_if<AppendReply>(&message.body)) durable = reply->durable;
  if (const auto* const reply = std::get_if<HeartbeatReply>(&message.body))
    durable = reply->durable;
  if (durable > node.stored().end()) Violate("R15: records are acknowledged that are not durable");
  if (message.term > Term{0} && (!hard.has_value() || hard->term < message.term))
    Violate("R15: something was said in a term that is not durable");
}

// R4: a term and an offset name one content, and everything before it.
void RaftChecks::OnAppend(const RaftNode& node, const StoredBatch& batch) {
  const auto [at, is_new] =
      chains_.emplace(std::pair(batch.info.term, batch.info.next), batch.chain);
  if (at->second != batch.chain) Violate("R4: logs differ though term and offset agree");
}

// R14: a leader has the votes of a majority of the voters in its log, each by its directory.
void RaftChecks::OnLeaderChange(const RaftNode& node, const LeaderChange& change) {
  const Term term = node.raft().hard_state().term;
  const auto set = node.memory().VotersBefore(node.memory().end());
  const auto& configured = node.options().configured;
  size_t votes = 0;
  for (const VoterKey& key : change.granting) {
    const auto vote = votes_.find({key, term});
    const bool is_own = key == change.leader;
    if (!is_own && (vote == votes_.end() || vote->second != change.leader))
      Violate("R14: a vote was counted that was not given");
    if (!set.has_value() || set->voters.Has(key)) ++votes;
  }
  // As long as there is no set, all have to agree.
  const bool is_elected =
      set.has_value() ? IsMajority(votes, set->voters.voters.size()) : votes == configured.size();
  if (!is_elected) Violate("R14: a leader without the votes of a majority of the voters");
}

// R13: voters change one at a time, so that majorities share a voter.
void RaftChecks::OnVoters(const RaftNode& node, const StoredBatch& batch) {
  const auto before = node.memory().VotersBefore(node.memory().end());
  if (!before.has_value()) return;
  const VoterSet& now = *batch.info.voters;
  if (CountMissing(now, before->voters) + CountMissing(before->voters, now) > 1)
    Violate("R13: more than one voter changed at once");
  const Raft& raft = node.raft();
  if (raft.role() != Role::kLeader) return;
  if (before->end > raft.log().commit())
    Violate("R13: voters were changed before the last change was committed");
  if (raft.log().TermBefore(raft.log().commit()) != raft.hard_state().term)
    Violate("R13: voters were changed by a leader that knows no commit of its term");
}

// R10, R11.
void RaftChecks::OnCut(const RaftNode& node, Offset end, bool leads) {
  if (end < seen_[&node].commit) Violate("R10: a node cut what it knew to be committed");
  if (leads) Violate("R11: a leader cut its own log");
}

uint64_t RaftChecks::ChainAt(Offset end) const {
  const auto at =
      std::partition_point(committed_.begin(), committed_.end(),
                           [&](const StoredBatch& batch) { return batch.info.next < end; });
  return at != committed_.end() && at->info.next == end ? at->chain : 0;
}

// R6, R7, R9, R12.
void RaftChecks::OnCommit(const RaftNode& node, Offset to, bool leads) {
  const StoredNode& memory = node.memory();
  for (const StoredBatch& batch : memory.log) {
    if (batch.info.next > to) break;
    if (batch.info.next > committed()) {
      if (!leads) Violate("R12: a follower knows of a commit before its leader does");
      committed_.push_back(batch);
      committed_in_.push_back(node.raft().hard_state().term);
      if (batch.info.next == to && batch.info.term != node.raft().hard_state().term)
        Violate("R9: committed without a record of the term");
      continue;
    }
    if (ChainAt(batch.info.next) != batch.chain) Violate("R6: other records are committed");
  }
  if (!leads) return;
  const auto set = memory.VotersBefore(memory.end());
  if (!set.has_value()) return Violate("R7: committed before there are voters");
  size_t have = 0;
  for (const Voter& voter : set->voters.voters) {
    // Once acknowledged it counts, though the disk is gone since.
    const auto wiped = wiped_.find(voter.key);
    if (wiped != wiped_.end() && HasDurably(wiped->second, to, ChainAt(to))) ++have;
    for (const RaftNode* const each : nodes_) {
      if (each->key() == voter.key && HasDurably(each->stored(), to, ChainAt(to))) ++have;
    }
  }
  if (!IsMajority(have, set->voters.voters.size()))
    Violate("R7: committed before it is durable on a majority");
}

// S1: of what is committed, and at a batch's end.
void RaftChecks::OnSnapshot(const StoredSnapshot& snapshot) {
  if (snapshot.id.end > committed() || ChainAt(snapshot.id.end) != snapshot.chain)
    Violate("S1: a snapshot does not end where committed batches end");
}

void RaftChecks::OnInstall(const RaftNode& node, const SnapshotId& snapshot, uint64_t chain) {
  if (ChainAt(snapshot.end) != chain || snapshot.end > committed())
    Violate("S1: a snapshot is not of what is committed");
}

}  // namespace gregor::raft
