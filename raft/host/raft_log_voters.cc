// The part of RaftLog that says who votes, and changes it.
#include <algorithm>
#include <string>
#include <utility>

#include "raft/core/mutant.h"
#include "raft/host/control_records.h"
#include "raft/host/raft_log_impl.h"

namespace gregor {
namespace {

std::string Name(NodeId node) { return "node " + std::to_string(node.value); }

Error NotApplied(Reason reason, const std::string& what) {
  return Error(reason, what).With("outcome", "NOT_APPLIED");
}

Error Lost() {
  return Error(Reason::kNotController,
               "the leadership of the metadata quorum was lost; whether the voters have changed is "
               "not known: look, then retry")
      .With("outcome", "UNKNOWN");
}

}  // namespace

QuorumStatus RaftLog::quorum() const {
  QuorumStatus status;
  status.leader = told_;
  status.end = end_offset();
  if (core_ == nullptr) return status;
  status.leader.term = core_->hard_state().term;
  status.commit = core_->log().commit();
  const raft::Leadership* const leadership = core_->leadership();
  const MonotonicTime now = Now();
  const auto describe = [&](const VoterKey& key, std::vector<VoterEndpoint> endpoints) {
    QuorumMember member{key, std::move(endpoints), {}, {}, {}, 0, 0};
    if (options_.transport != nullptr) {
      const auto said = options_.transport->IntroductionOf(key);
      if (said.has_value()) member.feature_level_min = said->feature_level_min;
      if (said.has_value()) member.feature_level_max = said->feature_level_max;
    }
    if (leadership == nullptr) return member;
    if (key == options_.raft.self) {
      member.match = core_->log().durable();
      member.heard_ago = member.caught_up_ago = Duration(0);
      return member;
    }
    const auto peer = leadership->peers().find(key);
    if (peer == leadership->peers().end()) return member;
    member.match = peer->second.match();
    member.heard_ago = now - peer->second.heard();
    if (const auto at = peer->second.caught_up()) member.caught_up_ago = now - *at;
    return member;
  };
  const auto* const voters = core_->log().voters();
  if (voters != nullptr) {
    for (const Voter& voter : voters->voters.voters)
      status.voters.push_back(describe(voter.key, voter.endpoints));
  }
  if (leadership == nullptr) return status;
  for (const auto& [key, peer] : leadership->peers()) {
    if (peer.votes()) continue;
    const auto said = options_.transport->IntroductionOf(key);
    status.observers.push_back(
        describe(key, said.has_value() ? said->endpoints : std::vector<VoterEndpoint>()));
  }
  return status;
}

void RaftLog::ConfirmLeadership(UniqueFunction<void(Result<Offset>)> confirmed) {
  if (const auto leads = LeadsForChange(); !leads.ok()) return confirmed(leads.error());
  const uint64_t id = ++last_read_;
  reads_.emplace(id, std::move(confirmed));
  Step([this, id](MonotonicTime now) {
    if (!core_->Read(now, id).ok()) AnswerReads({{id, std::nullopt}});
  });
}

void RaftLog::AnswerReads(const std::vector<raft::ReadReady>& reads) {
  for (const raft::ReadReady& read : reads) {
    auto waiting = reads_.extract(read.id);
    if (waiting.empty()) continue;
    if (read.offset.has_value()) {
      waiting.mapped()(*read.offset);
    } else {
      waiting.mapped()(NotApplied(Reason::kNotController,
                                  "this node does not lead the metadata quorum any more"));
    }
  }
}

void RaftLog::OnVoters(const VoterSet& voters) {
  if (options_.transport != nullptr) options_.transport->SetVoters(voters);
  std::string names;
  for (const Voter& voter : voters.voters)
    names += (names.empty() ? "" : ", ") + std::to_string(voter.key.node.value);
  LOG(INFO) << "Voters of the metadata quorum: " << names << "; this node "
            << (voters.Has(options_.raft.self) ? "is one of them" : "follows without a vote");
}

Result<void> RaftLog::LeadsForChange() const {
  const bool leads = is_running() && core_ != nullptr && core_->leadership() != nullptr;
  if (!leads || told_.leader != options_.raft.self.node)
    return NotApplied(Reason::kNotController, "this node does not lead the metadata quorum");
  return {};
}

Result<VoterSet> RaftLog::WithVoter(Voter voter) const {
  RETURN_IF_ERROR(LeadsForChange());
  VoterSet voters = core_->log().voters()->voters;
  const NodeId node = voter.key.node;
  const auto& peers = core_->leadership()->peers();
  if (voter.key.directory == DirectoryId{}) {
    // One that lost its directory may yet be known with the old one.
    const raft::Progress* latest = nullptr;
    for (const auto& [key, peer] : peers) {
      if (key.node != node || peer.votes()) continue;
      if (latest == nullptr || peer.heard() > latest->heard()) latest = &peer;
    }
    if (latest != nullptr) voter.key.directory = latest->key().directory;
  }
  for (const Voter& each : voters.voters) {
    if (each.key.node != node) continue;
    if (each.key == voter.key || voter.key.directory == DirectoryId{})
      return NotApplied(Reason::kDuplicateVoter, Name(node) + " is a voter already");
    return NotApplied(Reason::kDuplicateVoter,
                      Name(node) + " is a voter with another directory (" +
                          each.key.directory.ToString() +
                          "), which it seems to have lost: remove that one first");
  }
  if (peers.count(voter.key) == 0) {
    return NotApplied(Reason::kInvalidVoterKey,
                      Name(node) + " does not follow the metadata log" +
                          (voter.key.directory == DirectoryId{} ? "" : " with that directory") +
                          ": start it with `controllers` as on the other nodes, and try again");
  }
  const auto said = options_.transport->IntroductionOf(voter.key);
  if (said.has_value() && !said->may_vote) {
    return NotApplied(Reason::kInvalidVoterKey,
                      Name(node) + " is no controller: add the role to its settings (`roles`)");
  }
  if (voter.endpoints.empty() && said.has_value()) voter.endpoints = said->endpoints;
  if (voter.endpoints.empty()) {
    return NotApplied(Reason::kInvalidArgument, "where " + Name(node) +
                                                    " listens for the other nodes is not known: "
                                                    "say its endpoint");
  }
  if (!std::all_of(voter.endpoints.begin(), voter.endpoints.end(), MayBeWritten)) {
    return NotApplied(Reason::kInvalidArgument,
                      "a voter's host has 1 to " + std::to_string(kEndpointTextBytesMax) +
                          " bytes, and neither spaces nor other than ASCII: correct the endpoint");
  }
  voters.voters.push_back(std::move(voter));
  return voters;
}

Result<VoterSet> RaftLog::WithoutVoter(const VoterKey& voter) const {
  RETURN_IF_ERROR(LeadsForChange());
  VoterSet voters = core_->log().voters()->voters;
  const size_t removed = std::erase_if(voters.voters, [&](const Voter& each) {
    return each.key == voter || (voter.directory == DirectoryId{} && each.key.node == voter.node);
  });
  if (removed > 0) return voters;
  return NotApplied(Reason::kVoterNotFound,
                    Name(voter.node) + " is no voter" +
                        (voter.directory == DirectoryId{} ? "" : " with that directory"));
}

void RaftLog::AddVoter(Voter voter, Changed changed) {
  ChangeVoters(WithVoter(std::move(voter)), std::move(changed));
}

void RaftLog::RemoveVoter(VoterKey voter, Changed changed) {
  ChangeVoters(WithoutVoter(voter), std::move(changed));
}

void RaftLog::ChangeVoters(Result<VoterSet> voters, Changed changed) {
  if (!voters.ok()) return changed(std::move(voters).error());
  Step(
      [this, voters = *std::move(voters), changed = std::move(changed)](MonotonicTime now) mutable {
        auto begun = core_->ChangeVoters(now, std::move(voters));
        if (!begun.ok()) return changed(Error(begun.error()).With("outcome", "NOT_APPLIED"));
        // The algorithm allows one at a time, and one whose leadership is lost was answered.
        CHECK(!change_.has_value() || raft::IsMutant(12));
        change_ = Change{core_->log().end(), core_->hard_state().term, std::move(changed)};
      });
}

void RaftLog::Transfer(std::optional<NodeId> to, UniqueFunction<void(Result<NodeId>)> done) {
  if (const auto leads = LeadsForChange(); !leads.ok()) return done(leads.error());
  std::optional<VoterKey> key;
  if (to.has_value()) {
    for (const Voter& each : core_->log().voters()->voters.voters) {
      if (each.key.node == *to) key = each.key;
    }
    if (!key.has_value())
      return done(NotApplied(Reason::kVoterNotFound, Name(*to) + " is no voter"));
    if (*key == options_.raft.self) return done(*to);
  }
  BeginTransfer(key, {.is_leader_awaited = true, .term = told_.term, .done = std::move(done)});
}

void RaftLog::HandOver(Task done) {
  if (!LeadsForChange().ok()) return done();
  BeginTransfer(std::nullopt,
                {.is_leader_awaited = false,
                 .term = told_.term,
                 .done = [done = std::move(done)](Result<NodeId>) mutable { done(); }});
}

void RaftLog::BeginTransfer(std::optional<VoterKey> to, HandingOver handing_over) {
  Step([this, to, handing_over = std::move(handing_over)](MonotonicTime now) mutable {
    if (handing_over_.has_value()) {
      return handing_over.done(NotApplied(Reason::kReassignmentInProgress,
                                          "the leadership is being handed over already"));
    }
    auto begun = core_->Transfer(now, to);
    if (!begun.ok()) return handing_over.done(Error(begun.error()).With("outcome", "NOT_APPLIED"));
    handing_over_ = std::move(handing_over);
  });
}

// A record is the one that this node wrote as long as its term is.
void RaftLog::AnswerChange() {
  if (!change_.has_value() || !is_running()) return;
  const raft::LogView& log = core_->log();
  const bool is_committed = log.commit() >= change_->end;
  if (!is_committed && core_->leadership() != nullptr) return;
  Change change = *std::exchange(change_, std::nullopt);
  if (is_committed && log.TermBefore(change.end) == change.term) return change.changed({});
  change.changed(Lost());
}

void RaftLog::AnswerTransfer(bool has_failed) {
  if (!handing_over_.has_value() || !is_running()) return;
  const bool leads = core_->leadership() != nullptr;
  const NodeId leader = core_->leader().node;
  if (leads && !has_failed && core_->hard_state().term == handing_over_->term) return;
  if (!leads && leader.value < 0 && handing_over_->is_leader_awaited) return;
  HandingOver handed = *std::exchange(handing_over_, std::nullopt);
  if (!leads) return handed.done(leader);
  handed.done(NotApplied(Reason::kCommitTimedOut,
                         "the other voter did not take over in time: it does not answer, or has "
                         "not caught up; this node leads on"));
}

void RaftLog::FailVoters(const Error& error) {
  if (change_.has_value()) std::exchange(change_, std::nullopt)->changed(error);
  if (handing_over_.has_value()) std::exchange(handing_over_, std::nullopt)->done(error);
  for (auto& [id, confirmed] : std::exchange(reads_, {}))
    confirmed(NotApplied(Reason::kNotController, error.message));
}

}  // namespace gregor
