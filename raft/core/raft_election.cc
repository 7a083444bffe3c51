// The part of Raft that finds a leader (Raft §5.2, §5.4.1; thesis §4.2.3, §9.6).
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/core/mutant.h"
#include "raft/core/raft.h"

namespace gregor::raft {
namespace {

std::vector<NodeId> NodesOf(const std::vector<Voter>& voters) {
  std::vector<NodeId> nodes;
  for (const Voter& voter : voters) nodes.push_back(voter.key.node);
  std::sort(nodes.begin(), nodes.end());
  return nodes;
}

// The first voter set: those who granted, where the settings say that they are.
VoterSet FirstVoters(const std::vector<Voter>& configured, const std::vector<VoterKey>& granting) {
  VoterSet set;
  for (const VoterKey& key : granting) {
    const auto at = std::find_if(configured.begin(), configured.end(),
                                 [&](const Voter& voter) { return voter.key.node == key.node; });
    set.voters.push_back({key, at->endpoints});
  }
  return set;
}

}  // namespace

MonotonicTime Raft::RandomDeadline(MonotonicTime now) {
  return now + Duration(random_.Between(options_.election_timeout_min.count(),
                                        options_.election_timeout_max.count()));
}

// Each time in a row up to twice as late, so that candidates part sooner or later.
MonotonicTime Raft::QuickDeadline(MonotonicTime now) {
  const Duration range = options_.quick_jitter * (1 << std::min(quick_attempts_, 3));
  return now + Duration(random_.Between(0, range.count()));
}

bool Raft::HasLiveLeader(MonotonicTime now) const {
  if (leadership_ != nullptr) return true;
  return leader_.node.value >= 0 && now - heard_leader_ < options_.election_timeout_min;
}

void Raft::ForgetLeader() { leader_ = {.node = NodeId{-1}, .term = hard_.term}; }

void Raft::OnElectionTimeout(MonotonicTime now) {
  is_deadline_put_off_ = false;
  ForgetLeader();
  if (MayCampaign()) {
    // Nobody has decided: perhaps the voters that it knows are gone, and others lead by now.
    if (campaign_.has_value()) AskWhoLeads();
    return BeginCampaign(now, /*pre=*/!IsMutant(14, 'b'), /*forced=*/false);
  }
  election_deadline_ = now + options_.election_timeout_min / 4;
  AskWhoLeads();
}

// Asks one after the other, whatever directory it has by now.
void Raft::AskWhoLeads() {
  std::vector<NodeId> nodes = NodesOf(ElectorateOfNow().voters());
  for (const Voter& voter : options_.configured) nodes.push_back(voter.key.node);
  std::erase(nodes, options_.self.node);
  if (nodes.empty()) return;
  NodeId node = std::exchange(leader_hint_, NodeId{-1});
  if (node.value < 0 || node == options_.self.node) node = nodes[attach_turn_++ % nodes.size()];
  Send({.node = node, .directory = {}}, hard_.term, Attach{.end = log_.end()});
}

void Raft::BeginCampaign(MonotonicTime now, bool pre, bool forced) {
  const Term term{hard_.term.value + 1};
  ForgetLeader();
  role_ = pre ? Role::kPreCandidate : Role::kCandidate;
  campaign_.emplace(ElectorateOfNow(), term, pre, forced);
  election_deadline_ = RandomDeadline(now);
  if (!pre) {
    SetHard({.term = term, .voted_for = options_.self});
    ForgetLeader();
  }
  is_own_vote_counted_ = pre;
  if (pre) campaign_->Count(options_.self, true);
  for (const Voter& voter : campaign_->electorate().voters()) {
    if (voter.key.node != options_.self.node) SendVoteRequest(voter);
  }
  CheckCampaign(now);
}

void Raft::SendVoteRequest(const Voter& voter) {
  VoteRequest request{.pre = campaign_->pre(),
                      .forced = campaign_->forced(),
                      .last_term = log_.last_term(),
                      .end = log_.end(),
                      .configured = {}};
  if (campaign_->electorate().is_first()) request.configured = NodesOf(options_.configured);
  Send(voter.key, campaign_->term(), std::move(request));
}

void Raft::CheckCampaign(MonotonicTime now) {
  switch (campaign_->outcome(gone_)) {
    case Campaign::Outcome::kOpen:
      return;
    case Campaign::Outcome::kWon:
      if (!campaign_->pre()) return BecomeLeader(now);
      return BeginCampaign(now, /*pre=*/false, campaign_->forced());
    case Campaign::Outcome::kLost:
      if (!campaign_->pre()) {
        // The votes were split: those who have a leader would not have let it come so far.
        ++quick_attempts_;
        election_deadline_ = QuickDeadline(now);
      } else if (leader_hint_.value >= 0 && leader_hint_ != options_.self.node) {
        // A leader that says nothing to this node: perhaps it was removed, and does not know.
        Send({.node = std::exchange(leader_hint_, NodeId{-1}), .directory = {}}, hard_.term,
             Attach{.end = log_.end()});
      }
      campaign_.reset();
      if (IsMutant(3)) SetHard({.term = hard_.term, .voted_for = {}});
      role_ = Role::kFollower;
  }
}

void Raft::BecomeFollower(MonotonicTime now, Term term, NodeId leader) {
  if (leadership_ != nullptr) {
    leadership_->FailReads();
    leadership_.reset();
    election_deadline_ = RandomDeadline(now);
  }
  if (term > hard_.term) {
    SetHard({.term = term, .voted_for = std::nullopt});
    std::erase_if(held_, [&](const Message& message) { return message.term < term; });
  }
  if (IsMutant(3) && role_ != Role::kFollower) SetHard({.term = hard_.term, .voted_for = {}});
  role_ = Role::kFollower;
  campaign_.reset();
  verified_end_ = Offset{0};
  acknowledged_ = Offset{0};
  leader_commit_ = Offset{0};
  leader_ = {.node = leader, .term = hard_.term};
}

void Raft::StepDown(MonotonicTime now) { BecomeFollower(now, hard_.term, NodeId{-1}); }

void Raft::BecomeLeader(MonotonicTime now) {
  const std::vector<VoterKey> granting = campaign_->granting();
  campaign_.reset();
  quick_attempts_ = 0;
  role_ = Role::kLeader;
  leader_ = {.node = options_.self.node, .term = hard_.term};
  leadership_ = std::make_unique<Leadership>(options_, log_, effects_, hard_.term, now);
  if (snapshot_.has_value()) leadership_->OnSnapshotTaken(*snapshot_);
  leadership_->Append(LeaderChange{options_.self, granting});
  if (log_.voters() == nullptr) leadership_->Append(FirstVoters(options_.configured, granting));
  leadership_->Advance(now);
  leadership_->Tick(now);
}

void Raft::OnVoteRequest(MonotonicTime now, const Message& message, const VoteRequest& request) {
  const bool granted = MayGrant(now, message, request);
  if (granted && !request.pre) {
    SetHard({.term = hard_.term, .voted_for = message.from});
    election_deadline_ = RandomDeadline(now);
  }
  VoteReply reply{.pre = request.pre,
                  .granted = granted,
                  .of_term = message.term,
                  .leader = leader_.node,
                  .has_voters = log_.voters() != nullptr};
  Send(message.from, request.pre && granted ? message.term : hard_.term, reply);
}

bool Raft::MayGrant(MonotonicTime now, const Message& message, const VoteRequest& request) {
  if (message.term < hard_.term) return false;
  // Whoever hears of a leader keeps it, and its term (thesis §4.2.3).
  if (!request.forced && HasLiveLeader(now)) return false;
  // Nodes whose settings disagree would make different quorums of each other.
  if (log_.voters() == nullptr && !request.configured.empty() &&
      request.configured != NodesOf(options_.configured))
    return false;
  const bool is_up_to_date = log_.IsUpToDate(request.last_term, request.end);
  if (request.pre) return is_up_to_date && message.term > hard_.term;
  if (message.term > hard_.term) BecomeFollower(now, message.term, NodeId{-1});
  if (leader_.node.value >= 0) return false;
  const bool is_free = !hard_.voted_for.has_value() || *hard_.voted_for == message.from;
  return is_free && is_up_to_date;
}

void Raft::OnVoteReply(MonotonicTime now, const Message& message, const VoteReply& reply) {
  if (reply.has_voters && log_.voters() == nullptr) others_have_voters_ = true;
  if (reply.leader.value >= 0) leader_hint_ = reply.leader;
  if (!campaign_.has_value() || campaign_->pre() != reply.pre || campaign_->term() != reply.of_term)
    return;
  campaign_->Count(message.from, reply.granted);
  CheckCampaign(now);
}

void Raft::OnTimeoutNow(MonotonicTime now) {
  if (leadership_ == nullptr && MayCampaign()) BeginCampaign(now, /*pre=*/false, /*forced=*/true);
}

}  // namespace gregor::raft
