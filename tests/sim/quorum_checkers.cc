#include "tests/sim/quorum_checkers.h"

#include <algorithm>
#include <tuple>
#include <utility>

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
  const Offset end = view_->EndsOf(message.from).value_or(LogBounds()).durable;
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
  if (is_new) {
    CheckComplete(message.from, message.term);
    CheckElected(message.from, message.term);
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

// What was committed in earlier terms: who is elected late need not have what a later leader has
// committed meanwhile, of whatever term the records are.
Offset QuorumChecker::CommittedBefore(Term term) const {
  const auto own = committed_in_.lower_bound(term);
  Offset end{0};
  std::for_each(committed_in_.begin(), own,
                [&](const auto& committed) { end = std::max(end, committed.second); });
  return std::min(end, end_);
}

void QuorumChecker::CheckComplete(const VoterKey& leader, Term term) {
  const LogBounds ends = view_->EndsOf(leader).value_or(LogBounds());
  const Offset committed = CommittedBefore(term);
  if (ends.end < committed) {
    return verdict_.Fail("R5: node ", leader.node, " leads term ", term, " with a log up to ",
                         ends.end, ", and up to ", committed, " is committed");
  }
  const auto end = records_.lower_bound(committed);
  for (auto at = records_.lower_bound(std::min(ends.start, committed)); at != end; ++at) {
    const Term own = view_->TermAt(leader, at->first);
    if (own == at->second.term) continue;
    return verdict_.Fail("R5: node ", leader.node, " leads term ", term, " with a record of term ",
                         own, " at ", at->first, ", where one of term ", at->second.term,
                         " is committed; its log is [", ends.start, ", ", ends.end, ")");
  }
}

// By a majority of the voters in its log, each by its directory.
void QuorumChecker::CheckElected(const VoterKey& leader, Term term) {
  const auto latest = view_->VotersBefore(leader.node, Offset{INT64_MAX});
  if (!latest.has_value()) return;
  const std::vector<Voter>& voters = latest->voters.voters;
  const auto votes = std::count_if(voters.begin(), voters.end(), [&](const Voter& voter) {
    const auto vote = votes_.find({voter.key, term});
    return voter.key == leader || (vote != votes_.end() && vote->second == leader);
  });
  if (2 * static_cast<size_t>(votes) <= voters.size())
    verdict_.Fail("R14: node ", leader.node, " leads term ", term, " with the votes of ", votes,
                  " of ", voters.size(), " voters");
}

// Nobody but the leader that commits knows of it before others were told.
void QuorumChecker::CheckCommit(const raft::Message& message, Speaker& speaker, Offset commit) {
  if (commit < speaker.told_commit) {
    verdict_.Fail("R8: node ", message.from.node, " says in term ", message.term, " that up to ",
                  commit, " is committed, and has said so of ", speaker.told_commit);
  }
  speaker.told_commit = commit;
  NoteCommitted(message.term, commit);
  if (commit <= std::max(told_commit_, end_)) return;
  told_commit_ = commit;
  if (const auto latest = view_->VotersBefore(message.from.node, Offset{INT64_MAX}))
    told_voters_[commit] = latest->voters.voters;
  const Term term = view_->TermAt(message.from, commit - 1);
  if (term.value >= 0 && term != message.term) {
    verdict_.Fail("R9: node ", message.from.node, " leads term ", message.term,
                  " and commits up to ", commit, ", a record of term ", term);
  }
}

bool QuorumChecker::HasDurably(const VoterKey& key, Offset end, Term term) const {
  const auto ends = view_->EndsOf(key);
  // Once acknowledged it counts, though the disk is gone since.
  if (!ends.has_value()) return logs_.HasDurably(key, end, term);
  if (ends->start >= end) return true;
  return ends->durable >= end && view_->TermAt(key, end - 1) == term;
}

void QuorumChecker::CheckMajority(NodeId node, Offset end) {
  if (view_ == nullptr) return;
  const Term term = records_.at(end - 1).term;
  if (const auto voters = view_->VotersBefore(node, end)) voters_ = voters->voters.voters;
  const auto count = [&](const std::vector<Voter>& voters) {
    return static_cast<size_t>(std::count_if(voters.begin(), voters.end(), [&](const Voter& voter) {
      return HasDurably(voter.key, end, term);
    }));
  };
  // A change of the voters counts from its record on, committed or not: what comes before that
  // record may be committed by the new ones. Who only follows may not know of them yet.
  const auto told = told_voters_.lower_bound(end);
  const bool is_told = told != told_voters_.end() && 2 * count(told->second) > told->second.size();
  told_voters_.erase(told_voters_.begin(), told);
  if (is_told) return;
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

void QuorumChecker::OnLog(const VoterKey& key, Offset delivered, Offset snapshot_end) {
  const auto ends = view_->EndsOf(key);
  if (!ends.has_value()) return OnNoLog(key);
  if (ends->end < delivered)
    verdict_.Fail("R10: the log of node ", key.node, " ends at ", ends->end,
                  ", and it was given up to ", delivered);
  if (ends->start > snapshot_end)
    verdict_.Fail("S5: the log of node ", key.node, " begins at ", ends->start,
                  ", and its snapshot ends at ", snapshot_end);
  if (const auto cut = logs_.FindCut(key, *ends, TermsOf(key))) CheckCut(key, *cut, delivered);
  if (logs_.Look(key, *ends, TermsOf(key))) CheckVoters(key);
}

// What was appended again within the same event hides no cut.
void QuorumChecker::CheckCut(const VoterKey& key, const QuorumLogs::Cut& cut, Offset delivered) {
  if (cut.from < delivered)
    return verdict_.Fail("R10: node ", key.node, " cuts its log at ", cut.from,
                         ", and it was given up to ", delivered);
  for (auto at = records_.lower_bound(cut.from); at != records_.end() && at->first < cut.end;
       ++at) {
    if (logs_.TermOf(key, at->first) == at->second.term)
      return verdict_.Fail("R10: node ", key.node, " cuts its log at ", cut.from,
                           ", and had what is committed at ", at->first);
  }
  // Nobody else speaks for the records of its term.
  const auto leader = speaking_leaders_.find(view_->TermOf(key.node));
  if (leader != speaking_leaders_.end() && leader->second == key)
    verdict_.Fail("R11: node ", key.node, " leads term ", leader->first, " and cuts its log at ",
                  cut.from);
}

// Of each change of the voters whoever makes it knows first.
void QuorumChecker::CheckVoters(const VoterKey& key) {
  const auto is_missing_in = [](const raft::VotersAt& in) {
    return [&in](const Voter& voter) { return !in.voters.Has(voter.key); };
  };
  auto now = view_->VotersBefore(key.node, Offset{INT64_MAX});
  while (now.has_value()) {
    const Term term = view_->TermAt(key, now->end - 1);
    if (term.value < 0 || !voter_sets_.emplace(term, now->end).second) return;
    auto before = view_->VotersBefore(key.node, now->end - 1);
    if (!before.has_value()) return;
    const auto& [voters, others] = std::tie(now->voters.voters, before->voters.voters);
    const auto changes = std::count_if(voters.begin(), voters.end(), is_missing_in(*before)) +
                         std::count_if(others.begin(), others.end(), is_missing_in(*now));
    if (changes > 1)
      return verdict_.Fail("R13: ", changes, " voters change at ", now->end, " of term ", term);
    const auto leader = speaking_leaders_.find(term);
    if (leader != speaking_leaders_.end() && leader->second == key) {
      const Offset commit = view_->CommitOf(key.node);
      if (before->end > commit)
        return verdict_.Fail("R13: voters change at ", now->end, ", and the change at ",
                             before->end, " is not committed");
      if (view_->TermAt(key, commit - 1) != term)
        return verdict_.Fail("R13: voters change at ", now->end, ", and nothing of term ", term,
                             " is committed");
    }
    now = std::move(before);
  }
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
  if (view_ != nullptr) NoteCommitted(view_->TermOf(node), batch.next_offset());
  if (end_ > before) CheckMajority(node, end_);
}

}  // namespace gregor
