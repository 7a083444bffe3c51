#include "raft/core/leadership.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/core/mutant.h"
#include "raft/core/quorum.h"

namespace gregor::raft {

Leadership::Leadership(const Options& options, LogView& log, Effects& effects, Term term,
                       MonotonicTime now)
    : options_(options),
      log_(log),
      effects_(effects),
      term_(term),
      term_start_(log.end()),
      is_first_set_open_(log.voters() == nullptr),
      next_heartbeat_(now) {}

Message Leadership::To(const VoterKey& to) const {
  return {.from = options_.self, .to = to, .term = term_, .body = {}};
}

Offset Leadership::Append(int64_t records) {
  CHECK_GT(records, 0);
  const Offset base = log_.end();
  log_.Append({.base = base, .next = base + records, .term = term_, .bytes = 0, .voters = {}});
  return base;
}

void Leadership::Append(QuorumRecord record) {
  BatchInfo batch{
      .base = log_.end(), .next = log_.end() + 1, .term = term_, .bytes = 0, .voters = {}};
  if (const auto* const voters = std::get_if<VoterSet>(&record)) batch.voters = *voters;
  log_.Append(batch);
  effects_.append.push_back({.info = std::move(batch), .record = std::move(record), .bytes = {}});
}

bool Leadership::IsVoter(const VoterKey& key) const {
  return log_.voters() != nullptr && log_.voters()->voters.Has(key);
}

// A set counts as soon as it is in the log (thesis §4.1). Whoever left it is an observer.
void Leadership::FollowVoters(MonotonicTime now) {
  const VotersAt* const set = log_.voters();
  if (set == nullptr || set->end == voters_end_) return;
  voters_end_ = set->end;
  for (auto& [key, peer] : peers_) peer.SetVotes(IsVoter(key));
  for (const Voter& voter : set->voters.voters) {
    if (voter.key == options_.self) continue;
    peers_.try_emplace(voter.key, voter.key, /*votes=*/true, term_start_, now);
  }
}

void Leadership::OnAppendReply(MonotonicTime now, const VoterKey& from, const AppendReply& reply) {
  const auto found = peers_.find(from);
  if (found == peers_.end()) return;
  Progress& peer = found->second;
  peer.Hear(now);
  is_forgiven_ = false;
  if (reply.matched) {
    if (reply.received > log_.end() || reply.durable > reply.received) return;  // nonsense
    return peer.Matched(now, reply.received, reply.durable, /*is_answer=*/true);
  }
  // Whole terms are skipped: where this log has the follower's term, they agree at the end of the
  // shorter one at most; where it has not, they agree before it (Raft §5.3).
  const TermEnd own = log_.EndOf(reply.hint_term);
  if (IsMutant(11)) peer.Matched(now, reply.hint_end, reply.hint_end, /*is_answer=*/true);
  if (peer.Diverged(reply.base, std::min(own.end, reply.hint_end)))
    effects_.forgetful.push_back({.voter = from, .from = peer.match(), .until = reply.base});
}

void Leadership::OnHeartbeatReply(MonotonicTime now, const VoterKey& from,
                                  const HeartbeatReply& reply) {
  const auto found = peers_.find(from);
  if (found == peers_.end()) return;
  Progress& peer = found->second;
  peer.Hear(now);
  is_forgiven_ = false;
  peer.Answer(reply.round);
  if (reply.received > log_.end() || reply.durable > reply.received) return;
  if (reply.received > Offset{0})
    peer.Matched(now, reply.received, reply.durable, /*is_answer=*/false);
  if (peer.HasForgotten(now, reply.received, options_.election_timeout_min / 2)) peer.Restart();
  ConfirmReads(now);
}

void Leadership::OnAttach(MonotonicTime now, const VoterKey& from, const Attach& attach) {
  const auto found = peers_.find(from);
  if (found != peers_.end()) {
    found->second.Hear(now);
    return found->second.Restart();
  }
  if (peers_.size() >= options_.observers_max) return;
  const Offset next = std::clamp(attach.end, log_.start(), log_.commit());
  auto& peer = peers_.try_emplace(from, from, IsVoter(from), next, now).first->second;
  peer.Restart();
}

void Leadership::Reconnect(NodeId node) {
  for (auto& [key, peer] : peers_) {
    if (key.node == node) peer.Restart();
  }
}

// Others than voters get only what is committed, and so never have to cut it.
Offset Leadership::ReadLimit(const VoterKey& to) const {
  return IsVoter(to) ? log_.end() : log_.commit();
}

std::optional<Message> Leadership::OnLogRead(const ReadLog& request, std::vector<BatchInfo> batches,
                                             Bytes bytes) {
  const auto found = peers_.find(request.to);
  if (found == peers_.end()) return std::nullopt;
  Progress& peer = found->second;
  if (!peer.is_reading()) return std::nullopt;  // it was forgotten meanwhile, and came again
  const bool is_due = peer.IsReading(request.from);
  const auto prev_term = log_.TermBefore(request.from);
  if (!is_due || batches.empty() || !prev_term.has_value()) {
    peer.EndRead(peer.next(), 0);
    return std::nullopt;
  }
  peer.EndRead(batches.back().next, bytes.size());
  peer.SetToldCommit(log_.commit());
  Message message = To(request.to);
  message.body = AppendRequest{.base = request.from,
                               .prev_term = *prev_term,
                               .commit = log_.commit(),
                               .batches = std::move(batches),
                               .bytes = std::move(bytes)};
  return message;
}

void Leadership::OnSnapshotTaken(const SnapshotId& snapshot) { snapshot_ = snapshot; }

// What enough voters have durably: a majority; of the first set of all every voter that is heard
// of, because who never got it would found another quorum with empty disks.
Offset Leadership::CommittableEnd(MonotonicTime now) const {
  std::vector<Offset> ends;
  Offset of_present = log_.end();
  for (const Voter& voter : log_.voters()->voters.voters) {
    bool is_present = true;
    // Its own log counts as far as it is durable, like everybody's.
    if (voter.key == options_.self) {
      ends.push_back(IsMutant(5) ? log_.end() : log_.durable());
    } else {
      const Progress& peer = peers_.at(voter.key);
      ends.push_back(peer.match());
      is_present = now - peer.heard() < options_.election_timeout_max;
    }
    if (is_present) of_present = std::min(of_present, ends.back());
  }
  if (IsMutant(8, 'b') && !IsVoter(options_.self)) ends.push_back(log_.durable());
  const Offset end = ReachedByMajority(std::move(ends));
  return is_first_set_open_ ? std::min(end, of_present) : end;
}

void Leadership::Advance(MonotonicTime now) {
  FollowVoters(now);
  if (log_.voters() == nullptr) return;
  // Entries of earlier terms are not committed by counting, but by what follows on them (§5.4.2).
  const Offset end = CommittableEnd(now);
  if ((end > term_start_ || IsMutant(1)) && log_.CommitUpTo(end)) {
    if (log_.is_voters_committed()) is_first_set_open_ = false;
    for (const uint64_t id : std::exchange(early_reads_, {})) Read(now, id);
  }
  AdvanceTransfer();
  for (auto& [key, peer] : peers_) {
    if (peer.match() >= log_.commit()) peer.SetCaughtUp(now);
    SendTo(peer, now);
  }
}

void Leadership::SendTo(Progress& peer, MonotonicTime now) {
  if (peer.state() == Progress::State::kSnapshot) return;
  if (peer.next() < log_.start() || !log_.TermBefore(peer.next()).has_value())
    return OfferSnapshot(peer, now);
  if (peer.state() == Progress::State::kProbe) return Probe(peer, now);
  if (peer.next() < ReadLimit(peer.key())) {
    if (!peer.IsReadyToSend(options_)) return;
    peer.BeginRead(now);
    effects_.read_log.push_back({.to = peer.key(),
                                 .term = term_,
                                 .from = peer.next(),
                                 .bytes_max = options_.append_bytes_max});
  } else if (peer.told_commit() < log_.commit()) {
    Probe(peer, now);
  }
}

// Asks whether the logs agree at peer.next(), and tells the commit index.
void Leadership::Probe(Progress& peer, MonotonicTime now) {
  const bool asks = peer.state() == Progress::State::kProbe;
  if (asks) {
    if (peer.is_question_open()) return;
    peer.SetAsked(now);
  }
  peer.SetToldCommit(log_.commit());
  Message message = To(peer.key());
  message.body = AppendRequest{.base = peer.next(),
                               .prev_term = *log_.TermBefore(peer.next()),
                               .commit = log_.commit(),
                               .batches = {},
                               .bytes = {},
                               .asks = asks};
  effects_.send.push_back(std::move(message));
}

void Leadership::OfferSnapshot(Progress& peer, MonotonicTime now) {
  peer.BeginSnapshot(now);
  if (!snapshot_.has_value()) return;  // asked again when there is one
  Message message = To(peer.key());
  message.body = SnapshotOffer{*snapshot_};
  effects_.send.push_back(std::move(message));
}

void Leadership::SendHeartbeats(MonotonicTime now) {
  ++round_;
  next_heartbeat_ = now + options_.heartbeat_interval;
  for (auto& [key, peer] : peers_) {
    Message message = To(key);
    message.body = Heartbeat{.commit = log_.commit(), .round = round_};
    effects_.send.push_back(std::move(message));
  }
}

bool Leadership::Tick(MonotonicTime now) {
  if (now >= next_heartbeat_) SendHeartbeats(now);
  for (auto at = peers_.begin(); at != peers_.end();) {
    Progress& peer = at->second;
    if (!peer.votes() && now - peer.heard() >= options_.observer_timeout) {
      at = peers_.erase(at);
      continue;
    }
    if (peer.IsStuck(now, options_.election_timeout_min / 2)) {
      if (peer.state() == Progress::State::kSnapshot) {
        OfferSnapshot(peer, now);
      } else {
        peer.Restart();
      }
    }
    ++at;
  }
  if (transfer_.has_value() && now >= transfer_->deadline) {
    transfer_.reset();
    effects_.transfer_failed = true;
  }
  if (log_.voters() == nullptr || IsMutant(14)) return true;
  return HeardOfMajority(now, log_.voters()->voters);
}

bool Leadership::HeardOfMajority(MonotonicTime now, const VoterSet& set) const {
  std::vector<MonotonicTime> heard;
  for (const Voter& voter : set.voters) {
    const auto peer = peers_.find(voter.key);
    heard.push_back(peer == peers_.end() ? now : peer->second.heard());
  }
  return now - ReachedByMajority(std::move(heard)) < options_.election_timeout_max;
}

void Leadership::Forgive(Duration lost) {
  if (std::exchange(is_forgiven_, true)) return;
  for (auto& [key, peer] : peers_) peer.Forgive(lost);
  if (transfer_.has_value()) transfer_->deadline += lost;
}

// Thesis §6.4: the commit index of now, once a majority has answered to a round that began after it
// was asked for.
void Leadership::Read(MonotonicTime now, uint64_t id) {
  if (!is_established()) return early_reads_.push_back(id);
  const WaitingRead read{id, log_.commit()};
  if (!reads_.empty()) return later_reads_.push_back(read);
  reads_.push_back(read);
  SendHeartbeats(now);
  reads_round_ = round_;
  ConfirmReads(now);
}

void Leadership::ConfirmReads(MonotonicTime now) {
  while (!reads_.empty()) {
    std::vector<uint64_t> rounds;
    for (const Voter& voter : log_.voters()->voters.voters) {
      const auto peer = peers_.find(voter.key);
      rounds.push_back(peer == peers_.end() ? round_ : peer->second.round());
    }
    if (ReachedByMajority(std::move(rounds)) < reads_round_) return;
    for (const WaitingRead& read : reads_) effects_.reads.push_back({read.id, read.offset});
    reads_ = std::exchange(later_reads_, {});
    if (reads_.empty()) return;
    SendHeartbeats(now);
    reads_round_ = round_;
  }
}

void Leadership::FailReads() {
  for (auto* const list : {&reads_, &later_reads_}) {
    for (const WaitingRead& read : *list) effects_.reads.push_back({read.id, std::nullopt});
    list->clear();
  }
  for (const uint64_t id : early_reads_) effects_.reads.push_back({id, std::nullopt});
  early_reads_.clear();
}

Result<void> Leadership::ChangeVoters(MonotonicTime now, VoterSet voters) {
  const auto refuse = [](Reason reason, const char* why) -> Result<void> {
    return Error(reason, why);
  };
  // Before it has committed something of its term it may not know of a change under way (the bug of
  // the thesis' first membership change, found in 2015).
  const bool is_pending =
      (!is_established() && !IsMutant(12, 'c')) || (!log_.is_voters_committed() && !IsMutant(12));
  if (is_pending || log_.voters() == nullptr) {
    return refuse(Reason::kReassignmentInProgress,
                  "another change of the voters is not committed yet: try again");
  }
  const VoterSet& old = log_.voters()->voters;
  std::vector<VoterKey> added, removed;
  for (const Voter& voter : voters.voters) {
    if (!old.Has(voter.key)) added.push_back(voter.key);
  }
  for (const Voter& voter : old.voters) {
    if (!voters.Has(voter.key)) removed.push_back(voter.key);
  }
  if (added.size() + removed.size() > 1) {
    return refuse(Reason::kInvalidArgument, "one voter is added or removed at a time");
  }
  if (voters.voters.empty()) return refuse(Reason::kInvalidArgument, "the last voter stays");
  for (const VoterKey& key : added) {
    // Of a node whose disk was exchanged one directory votes, or two processes could vote as one.
    const auto is_other = [&](const Voter& voter) {
      return voter.key.node == key.node && voter.key != key;
    };
    if (std::any_of(voters.voters.begin(), voters.voters.end(), is_other)) {
      return refuse(Reason::kDuplicateVoter,
                    "the node votes already, with another directory: remove that voter first");
    }
    const auto peer = peers_.find(key);
    if (peer == peers_.end() || log_.commit() - peer->second.match() > options_.learner_lag_max) {
      return refuse(Reason::kReassignmentInProgress,
                    "the node has not caught up with the log yet: try again when it has");
    }
    // It would count at once, and not acknowledge anything.
    if (now - peer->second.heard() >= options_.election_timeout_max) {
      return refuse(Reason::kReassignmentInProgress,
                    "the node to be added does not answer: see that it runs, and try again");
    }
  }
  // What only those who are gone could commit would never be, nor anything behind it.
  if (!HeardOfMajority(now, voters)) {
    return refuse(Reason::kInvalidArgument,
                  "too few of these voters answer: remove those that are gone first");
  }
  Append(QuorumRecord(std::move(voters)));
  return {};
}

bool Leadership::is_removed() const {
  return log_.voters() != nullptr && log_.is_voters_committed() && !IsVoter(options_.self);
}

std::optional<VoterKey> Leadership::MostAdvanced() const {
  const Progress* best = nullptr;
  for (const auto& [key, peer] : peers_) {
    if (!peer.votes()) continue;
    if (best == nullptr || peer.match() > best->match() ||
        (peer.match() == best->match() && peer.heard() > best->heard()))
      best = &peer;
  }
  if (best == nullptr) return std::nullopt;
  return best->key();
}

Result<void> Leadership::Transfer(MonotonicTime now, const VoterKey& to) {
  const auto peer = peers_.find(to);
  if (peer == peers_.end() || !peer->second.votes())
    return Error(Reason::kInvalidArgument, "the node is no other voter");
  transfer_ = HandOver{to, now + options_.election_timeout_min};
  return {};
}

// Thesis §3.10: once the target has the whole log, durably.
void Leadership::AdvanceTransfer() {
  if (!transfer_.has_value() || transfer_->told) return;
  const auto peer = peers_.find(transfer_->to);
  if (peer == peers_.end() || peer->second.match() < log_.end()) return;
  transfer_->told = true;
  Message message = To(transfer_->to);
  message.body = TimeoutNow{};
  effects_.send.push_back(std::move(message));
}

}  // namespace gregor::raft
