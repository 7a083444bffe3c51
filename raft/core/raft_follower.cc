// The part of Raft that follows a leader (Raft §5.3), and finds one where it has no vote.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/overloaded.h"
#include "raft/core/mutant.h"
#include "raft/core/raft.h"

namespace gregor::raft {
namespace {

bool IsOfLeader(const Message& message) {
  return std::holds_alternative<AppendRequest>(message.body) ||
         std::holds_alternative<Heartbeat>(message.body) ||
         std::holds_alternative<SnapshotOffer>(message.body);
}

// Of what may be answered to, or is only asked, whatever the term.
bool IsOfAnyTerm(const Message& message) {
  if (const auto* const reply = std::get_if<VoteReply>(&message.body))
    return reply->pre && reply->granted;
  return std::holds_alternative<VoteRequest>(message.body);
}

}  // namespace

void Raft::Receive(MonotonicTime now, Message message) {
  now_ = now;
  // A node with another disk is another voter.
  const bool is_mine = message.to.node == options_.self.node &&
                       (message.to.directory == DirectoryId{} ||
                        message.to.directory == options_.self.directory || IsMutant(13));
  if (is_stopped_ || !is_mine || message.from == options_.self) return;
  gone_.erase(message.from.node);
  if (!IsOfAnyTerm(message)) {
    if (message.term > hard_.term) {
      BecomeFollower(now, message.term, IsOfLeader(message) ? message.from.node : NodeId{-1});
    } else if (message.term < hard_.term && !(IsMutant(9) && IsOfLeader(message))) {
      if (IsOfLeader(message)) return ReplyToOldLeader(message);
      const bool is_asked = std::holds_alternative<Attach>(message.body) ||
                            std::holds_alternative<AttachReply>(message.body);
      if (!is_asked) return;
    }
  }
  std::visit(Overloaded{
                 [&](const VoteRequest& body) { OnVoteRequest(now, message, body); },
                 [&](const VoteReply& body) { OnVoteReply(now, message, body); },
                 [&](const AppendRequest& body) { OnAppendRequest(now, message, body); },
                 [&](const AppendReply& body) {
                   if (leadership_) leadership_->OnAppendReply(now, message.from, body);
                 },
                 [&](const Heartbeat& body) { OnHeartbeat(now, message, body); },
                 [&](const HeartbeatReply& body) {
                   if (leadership_) leadership_->OnHeartbeatReply(now, message.from, body);
                 },
                 [&](const TimeoutNow&) { OnTimeoutNow(now); },
                 [&](const SnapshotOffer& body) { OnSnapshotOffer(now, message, body); },
                 [&](const Attach& body) { OnAttach(now, message, body); },
                 [&](const AttachReply& body) { OnAttachReply(now, body); },
             },
             message.body);
}

// A leader of an earlier term learns by the answer's term that it is none any more.
void Raft::ReplyToOldLeader(const Message& message) {
  Send(message.from, hard_.term, HeartbeatReply{});
}

// Takes the sender as the leader of this term. False: that cannot be.
bool Raft::FollowLeader(MonotonicTime now, const Message& message) {
  if (leadership_ != nullptr || (leader_.node.value >= 0 && leader_.node != message.from.node)) {
    Fail("nodes " + std::to_string(leader_.node.value) + " and " +
         std::to_string(message.from.node.value) + " both lead the metadata quorum in term " +
         std::to_string(hard_.term.value) +
         ": one of them has lost its vote file, or its data directory was copied");
    return false;
  }
  if (role_ != Role::kFollower || leader_.node.value < 0)
    BecomeFollower(now, hard_.term, message.from.node);
  leader_key_ = message.from;
  heard_leader_ = now;
  quick_attempts_ = 0;
  is_deadline_put_off_ = false;
  election_deadline_ = RandomDeadline(now);
  return true;
}

void Raft::OnAppendRequest(MonotonicTime now, const Message& message,
                           const AppendRequest& request) {
  if (!FollowLeader(now, message) || is_installing_) return;
  // What is committed here is the leader's, too (§5.4), whether the log still says so or not. It is
  // not where the quorum was recovered from a voter that had less than this node.
  const std::optional<Term> prev_term = log_.TermBefore(request.base);
  if (request.base <= log_.commit() && prev_term.has_value() && *prev_term != request.prev_term)
    return FailContradicted(request.base);
  const bool is_match = request.base <= log_.commit() || prev_term == request.prev_term;
  if (!is_match) {
    TermEnd hint = log_.EndOf(request.prev_term);
    // What is committed is the leader's, whatever its terms: there is no need to look before it.
    if (hint.end < log_.commit()) hint = {request.prev_term, log_.commit()};
    AppendReply reply{.matched = false,
                      .base = request.base,
                      .received = {},
                      .durable = {},
                      .hint_term = hint.term,
                      .hint_end = hint.end};
    return Send(message.from, hard_.term, reply);
  }
  if (!AppendFrom(request)) return;
  leader_commit_ = std::max(leader_commit_, request.commit);
  FollowCommit();
  if (!request.asks) return;
  if (request.batches.empty() || verified_end_ <= log_.durable()) Acknowledge();
}

void Raft::FailContradicted(Offset at) {
  Fail("the leader's log contradicts what is committed here, at offset " +
       std::to_string(at.value) +
       ": the quorum was recovered without this node, or one of the two was restored from a copy. "
       "Replace this node's data directory by an empty one (docs/operations.md)");
}

// Appends what the log does not have yet; cuts what it has instead. False: that cannot be.
bool Raft::AppendFrom(const AppendRequest& request) {
  Offset end = request.base;
  size_t position = 0;
  for (const BatchInfo& batch : request.batches) {
    const size_t begin = std::exchange(position, position + batch.bytes);
    if (batch.base != end || batch.next <= batch.base) return false;  // nonsense
    end = batch.next;
    const bool is_cut = IsMutant(10) && batch.base == request.base;
    if (batch.next <= log_.commit() && !is_cut) {
      const std::optional<Term> term = log_.TermBefore(batch.next);
      if (!term.has_value() || *term == batch.term) continue;
      FailContradicted(batch.base);
      return false;
    }
    // Same term and offset: same batch (log matching, §5.3).
    if (batch.next <= log_.end() && log_.TermBefore(batch.next) == batch.term && !is_cut) continue;
    if (batch.base < log_.commit() && !is_cut) {
      FailContradicted(batch.base);
      return false;
    }
    if (batch.base < log_.end()) {
      effects_.truncate_to = std::min(batch.base, effects_.truncate_to.value_or(batch.base));
      log_.Truncate(batch.base);
    }
    if (batch.term < log_.last_term()) return false;  // nonsense
    log_.Append(batch);
    effects_.append.push_back(
        {.info = batch, .record = {}, .bytes = request.bytes.Sub(begin, batch.bytes)});
  }
  verified_end_ = std::max(verified_end_, end);
  return true;
}

void Raft::FollowCommit() { log_.CommitUpTo(std::min(leader_commit_, Verified())); }

void Raft::Acknowledge() {
  acknowledged_ = Verified();
  Send(leader_key_, hard_.term,
       AppendReply{.matched = true,
                   .base = {},
                   .received = verified_end_,
                   .durable = acknowledged_,
                   .hint_term = {},
                   .hint_end = {}});
}

void Raft::OnHeartbeat(MonotonicTime now, const Message& message, const Heartbeat& heartbeat) {
  if (!FollowLeader(now, message)) return;
  leader_commit_ = std::max(leader_commit_, heartbeat.commit);
  FollowCommit();
  Send(message.from, hard_.term,
       HeartbeatReply{.round = heartbeat.round, .received = verified_end_, .durable = Verified()});
}

void Raft::OnSnapshotOffer(MonotonicTime now, const Message& message, const SnapshotOffer& offer) {
  if (!FollowLeader(now, message)) return;
  if (!log_.Has(offer.snapshot)) {
    effects_.fetch_snapshot = offer.snapshot;
    return;
  }
  // The log has got further meanwhile. It stays as it is: what follows on the snapshot may have
  // been acknowledged (§7).
  verified_end_ = std::max({verified_end_, log_.commit(), offer.snapshot.end});
  leader_commit_ = std::max(leader_commit_, offer.snapshot.end);
  FollowCommit();
  Acknowledge();
}

void Raft::SendAttach(MonotonicTime now, NodeId node) {
  election_deadline_ = now + options_.election_timeout_min / 4;
  Send({.node = node, .directory = {}}, hard_.term, Attach{.end = log_.end()});
}

void Raft::OnAttach(MonotonicTime now, const Message& message, const Attach& attach) {
  if (leadership_ != nullptr) return leadership_->OnAttach(now, message.from, attach);
  Send(message.from, hard_.term, AttachReply{.leader = leader_.node});
}

void Raft::OnAttachReply(MonotonicTime now, const AttachReply& reply) {
  if (leader_.node.value >= 0 || reply.leader.value < 0 || reply.leader == options_.self.node)
    return;
  if (!MayCampaign()) return SendAttach(now, reply.leader);
  leader_hint_ = reply.leader;
  AskWhoLeads();
}

}  // namespace gregor::raft
