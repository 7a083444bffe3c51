#include "tests/sim/quorum_checkers.h"

#include <algorithm>

namespace gregor {
namespace {

bool IsOfLeader(const raft::Message& message) {
  return std::holds_alternative<raft::AppendRequest>(message.body) ||
         std::holds_alternative<raft::Heartbeat>(message.body) ||
         std::holds_alternative<raft::SnapshotOffer>(message.body);
}

// Those of a pre-vote name the term that is asked for.
bool NamesItsOwnTerm(const raft::Message& message) {
  if (const auto* const request = std::get_if<raft::VoteRequest>(&message.body))
    return !request->pre;
  if (const auto* const reply = std::get_if<raft::VoteReply>(&message.body)) return !reply->pre;
  return true;
}

}  // namespace

void QuorumChecker::OnResumed(NodeId node) {
  for (auto& [key, speaker] : speakers_) {
    if (key.node == node) speaker.leads_since = view_->Now();
  }
}

void QuorumChecker::OnReceived(const raft::Message& message) {
  heard_[{message.to.node, message.from.node}] = view_->Now();
}

void QuorumChecker::OnSent(const raft::Message& message) {
  Speaker& speaker = speakers_[message.from];
  speaker.durable = std::max(speaker.durable, view_->DurableEnd(message.from));
  if (NamesItsOwnTerm(message)) CheckTerm(message, speaker);
  if (IsOfLeader(message)) CheckLeader(message, speaker);
  if (const auto* const request = std::get_if<raft::VoteRequest>(&message.body)) {
    if (!request->pre) CheckVote(message.from, message.term, message.from);
  } else if (const auto* const reply = std::get_if<raft::VoteReply>(&message.body)) {
    CheckVoteReply(message, *reply);
  } else if (const auto* const append = std::get_if<raft::AppendRequest>(&message.body)) {
    CheckCommit(message, speaker, append->commit);
  } else if (const auto* const heartbeat = std::get_if<raft::Heartbeat>(&message.body)) {
    CheckCommit(message, speaker, heartbeat->commit);
  } else if (const auto* const reply = std::get_if<raft::AppendReply>(&message.body)) {
    CheckAcknowledged(message, reply->durable);
  } else if (const auto* const reply = std::get_if<raft::HeartbeatReply>(&message.body)) {
    CheckAcknowledged(message, reply->durable);
  }
}

void QuorumChecker::CheckTerm(const raft::Message& message, Speaker& speaker) {
  if (message.term < speaker.term) {
    verdict_.Fail("R2: node ", message.from.node, " speaks in term ", message.term, " after ",
                  speaker.term);
  }
  speaker.term = std::max(speaker.term, message.term);
  const bool asks = std::holds_alternative<raft::VoteRequest>(message.body);
  if (asks || message.term <= speaker.durable_term) return;
  const auto vote = view_->DurableVote(message.from.node);
  speaker.durable_term = vote.has_value() ? vote->term : Term{0};
  if (speaker.durable_term < message.term) {
    verdict_.Fail("R15: node ", message.from.node, " speaks in term ", message.term, ", and term ",
                  speaker.durable_term, " is durable");
  }
}

void QuorumChecker::CheckVote(const VoterKey& from, Term term, const VoterKey& to) {
  const auto [vote, is_new] = votes_.emplace(std::pair(from, term), to);
  if (vote->second != to) {
    verdict_.Fail("R3: node ", from.node, " votes for node ", to.node, " in term ", term,
                  ", and has voted for node ", vote->second.node);
  }
}

void QuorumChecker::CheckVoteReply(const raft::Message& message, const raft::VoteReply& reply) {
  if (reply.pre || !reply.granted) return;
  CheckVote(message.from, message.term, message.to);
  const auto vote = view_->DurableVote(message.from.node);
  const bool is_durable =
      vote.has_value() &&
      (vote->term > message.term || (vote->term == message.term && vote->voted_for == message.to));
  if (!is_durable) {
    verdict_.Fail("R15: node ", message.from.node, " votes in term ", message.term,
                  ", and that is not durable");
  }
}

void QuorumChecker::CheckAcknowledged(const raft::Message& message, Offset durable) {
  const Offset end = view_->DurableEnd(message.from);
  if (durable > end) {
    verdict_.Fail("R15: node ", message.from.node, " acknowledges up to ", durable, ", and ", end,
                  " is durable");
  }
}

void QuorumChecker::CheckLeader(const raft::Message& message, Speaker& speaker) {
  const NodeId node = message.from.node;
  const auto [leader, is_new] = speaking_leaders_.emplace(message.term, message.from);
  if (leader->second != message.from) {
    verdict_.Fail("R1: nodes ", node, " and ", leader->second.node, " speak as leader of term ",
                  message.term);
  }
  if (is_new && view_->LogEnd(message.from) < end_) {
    verdict_.Fail("R5: node ", node, " leads term ", message.term, " with a log up to ",
                  view_->LogEnd(message.from), ", and up to ", end_, " is committed");
  }
  const MonotonicTime now = view_->Now();
  if (speaker.leads != message.term) {
    speaker.leads = message.term;
    speaker.told_commit = Offset{0};
    speaker.leads_since = now;
  }
  // As long as nothing is committed there may be no voters yet.
  if (end_ == Offset{0} || now - speaker.leads_since <= silence_max_) return;
  // A majority of the voters in force: of the latest in the leader's log, committed or not, as no
  // others elect and commit (thesis §4.1). Who has removed the only other voter needs nobody.
  const auto latest = view_->VotersBefore(node, Offset{INT64_MAX});
  const std::vector<Voter>& voters = latest.has_value() ? latest->voters.voters : voters_;
  const auto silent = std::count_if(voters.begin(), voters.end(), [&](const Voter& voter) {
    const NodeId other = voter.key.node;
    return other != node && now - heard_[{node, other}] > silence_max_;
  });
  if (2 * static_cast<size_t>(silent) >= voters.size())
    verdict_.Fail("R16: node ", node, " leads on in term ", message.term,
                  ", and hears of no majority");
}

// Nobody but the leader that commits knows of it before others were told.
void QuorumChecker::CheckCommit(const raft::Message& message, Speaker& speaker, Offset commit) {
  if (commit < speaker.told_commit) {
    verdict_.Fail("R8: node ", message.from.node, " says in term ", message.term, " that up to ",
                  commit, " is committed, and has said so of ", speaker.told_commit);
  }
  speaker.told_commit = commit;
  if (commit <= std::max(told_commit_, end_)) return;
  told_commit_ = commit;
  const Term term = view_->TermAt(message.from, commit - 1);
  if (term.value >= 0 && term != message.term) {
    verdict_.Fail("R9: node ", message.from.node, " leads term ", message.term,
                  " and commits up to ", commit, ", a record of term ", term);
  }
}

void QuorumChecker::CheckMajority(NodeId node, Offset end) {
  if (view_ == nullptr) return;
  if (const auto voters = view_->VotersBefore(node, end)) voters_ = voters->voters.voters;
  const auto count = [&](const std::vector<Voter>& voters) {
    return static_cast<size_t>(std::count_if(voters.begin(), voters.end(), [&](const Voter& voter) {
      return std::max(speakers_[voter.key].durable, view_->DurableEnd(voter.key)) >= end;
    }));
  };
  // A change of the voters counts from its record on, committed or not: what comes before that
  // record may be committed by the new ones.
  const auto latest = view_->VotersBefore(node, Offset{INT64_MAX});
  if (latest.has_value() && 2 * count(latest->voters.voters) > latest->voters.voters.size()) return;
  const size_t have = count(voters_);
  if (2 * have <= voters_.size()) {
    verdict_.Fail("R7: up to ", end, " is committed, and durable on ", have, " of ", voters_.size(),
                  " voters");
  }
}

void QuorumChecker::OnRestored(NodeId node, Offset end, Offset state_end) {
  if (end != state_end)
    verdict_.Fail("S3: the snapshot of node ", node, " says that it ends at ", end,
                  ", and has the state at ", state_end);
}

void QuorumChecker::OnSnapshot(NodeId node, const raft::SnapshotId& snapshot) {
  // The quorum's own records are not known here.
  const auto last = records_.find(snapshot.end - 1);
  const bool is_other = last != records_.end() && last->second.term != snapshot.term;
  if (snapshot.end > end_ || is_other)
    verdict_.Fail("S1: node ", node, " has a snapshot up to ", snapshot.end, " of term ",
                  snapshot.term, ", and up to ", end_, " is committed");
}

void QuorumChecker::OnLog(NodeId node, Offset start, Offset end, Offset delivered,
                          Offset snapshot_end) {
  if (end < delivered)
    verdict_.Fail("R10: the log of node ", node, " ends at ", end, ", and it was given up to ",
                  delivered);
  if (start > snapshot_end)
    verdict_.Fail("S5: the log of node ", node, " begins at ", start, ", and its snapshot ends at ",
                  snapshot_end);
}

void QuorumChecker::OnLeader(NodeId node, const QuorumLeader& leader) {
  if (leader.leader.value < 0) return;
  const auto [at, is_new] = leaders_.emplace(leader.term, leader.leader);
  if (at->second != leader.leader) {
    verdict_.Fail("R1: node ", node, " takes node ", leader.leader, " for the leader of term ",
                  leader.term, ", which node ", at->second, " led");
  }
}

void QuorumChecker::OnAppended(Term term, Offset offset, const std::string& value) {
  const auto [at, is_new] = appended_.emplace(std::pair(term, offset), value);
  if (!is_new) verdict_.Fail("R4: offset ", offset, " was given twice in term ", term);
}

void QuorumChecker::OnRefused(Term term, Offset base, size_t records) {
  for (size_t i = 0; i < records; ++i) appended_.erase({term, base + static_cast<int64_t>(i)});
}

void QuorumChecker::OnDelivered(NodeId node, Offset from, const CommittedRecords& batch) {
  if (batch.base_offset < from)
    return verdict_.Fail("R12: node ", node, " is given offset ", batch.base_offset, " after ",
                         from);
  const Offset before = end_;
  // Between them lie records of the quorum's own, which nobody is shown.
  const auto missed = records_.lower_bound(from);
  if (missed != records_.end() && missed->first < batch.base_offset)
    return verdict_.Fail("R12: node ", node, " is not given offset ", missed->first);
  for (size_t i = 0; i < batch.records.size(); ++i) {
    const Offset offset = batch.base_offset + static_cast<int64_t>(i);
    const auto [known, is_new] = records_.emplace(offset, Known{batch.term, batch.records[i]});
    if (!is_new && (known->second.value != batch.records[i] || known->second.term != batch.term)) {
      return verdict_.Fail("R6: node ", node, " is given \"", batch.records[i], "\" of term ",
                           batch.term, " at offset ", offset, ", where \"", known->second.value,
                           "\" of term ", known->second.term, " is committed");
    }
    if (!is_new) continue;
    if (offset < end_)
      return verdict_.Fail("R6: node ", node, " is given offset ", offset,
                           ", which was passed over before");
    const auto appended = appended_.find({batch.term, offset});
    if (appended == appended_.end() || appended->second != batch.records[i])
      return verdict_.Fail("R6: node ", node, " is given \"", batch.records[i], "\" at offset ",
                           offset, ", which no leader of term ", batch.term, " appended there");
    end_ = offset + 1;
  }
  if (end_ > before) CheckMajority(node, end_);
}

}  // namespace gregor
