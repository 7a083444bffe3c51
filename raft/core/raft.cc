#include "raft/core/raft.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/core/mutant.h"

namespace gregor::raft {

Raft::Raft(Options options, std::optional<HardState> hard, RestoredLog log, Random random)
    : options_(std::move(options)),
      random_(std::move(random)),
      hard_(hard.value_or(HardState{})),
      log_(std::move(log)) {
  // The log may be ahead of a vote that was restored: terms rise all the same.
  if (log_.last_term() > hard_.term) SetHard({.term = log_.last_term(), .voted_for = {}});
  told_commit_ = log_.commit();
  if (log_.voters() != nullptr) told_voters_ = log_.voters()->end;
}

bool Raft::is_voter() const { return ElectorateOfNow().Has(options_.self); }

// Who is not in the latest set campaigns all the same as long as that is not committed: those of
// the set may need its longer log (thesis §4.2.2). Nobody does while others have a voter set that
// this node does not know, nor with a log that is being exchanged.
bool Raft::MayCampaign() const {
  if (is_installing_) return false;
  if (log_.voters() == nullptr) return is_voter() && !others_have_voters_;
  return log_.MayBeVoter(options_.self);
}

Electorate Raft::ElectorateOfNow() const {
  if (log_.voters() != nullptr) return Electorate(log_.voters()->voters);
  return Electorate::FromSettings(options_.configured);
}

void Raft::Start(MonotonicTime now) {
  now_ = tick_due_ = now;
  heard_leader_ = now;
  // Whether there is a leader is asked at once: asking disturbs nobody.
  if (IsMutant(4) && hard_.voted_for == options_.self && log_.last_term() == hard_.term) {
    campaign_.emplace(ElectorateOfNow(), hard_.term, /*pre=*/false, /*forced=*/false);
    return BecomeLeader(now);
  }
  const bool is_alone = is_voter() && ElectorateOfNow().voters().size() == 1;
  election_deadline_ = is_alone ? now : QuickDeadline(now);
}

MonotonicTime Raft::next_tick() const {
  return leadership_ != nullptr ? leadership_->next_tick() : election_deadline_;
}

void Raft::Tick(MonotonicTime now) {
  if (is_stopped_) return;
  // A process that was stopped, or had no processor, has messages that it has not seen yet: the
  // time that it did not have is not held against those who sent them. Once only until it hears of
  // a leader: where every tick is late there has to be an election, too.
  const Duration late = now - std::max(tick_due_, now_);
  if (late > options_.heartbeat_interval) {
    if (!std::exchange(is_deadline_put_off_, true))
      election_deadline_ = std::max(election_deadline_, now + 2 * options_.heartbeat_interval);
    if (leadership_ != nullptr) leadership_->Forgive(late);
  }
  now_ = now;
  if (leadership_ != nullptr) {
    if (!leadership_->Tick(now)) StepDown(now);
  } else if (now >= election_deadline_) {
    OnElectionTimeout(now);
  }
}

void Raft::SetHard(HardState hard) {
  CHECK(hard.term >= hard_.term);
  if (hard == hard_) return;
  hard_ = hard;
  is_unsaved_ = true;
}

void Raft::OnSaved(MonotonicTime now) {
  now_ = now;
  CHECK_GT(saves_under_way_, 0);
  --saves_under_way_;
  if (IsSaving() || is_stopped_) return;
  for (Message& message : std::exchange(held_, {})) effects_.send.push_back(std::move(message));
  // A vote for itself counts like any other: once it is durable.
  if (role_ == Role::kCandidate && !is_own_vote_counted_) {
    is_own_vote_counted_ = true;
    campaign_->Count(options_.self, true);
    CheckCampaign(now);
  }
}

void Raft::Send(const VoterKey& to, Term term, decltype(Message::body) body) {
  Message message{.from = options_.self, .to = to, .term = term, .body = std::move(body)};
  const bool is_held = IsSaving() && !IsMutant(2);
  (is_held ? held_ : effects_.send).push_back(std::move(message));
}

void Raft::Fail(std::string what) {
  effects_.failure = std::move(what);
  Stop();
}

void Raft::Stop() {
  is_stopped_ = true;
  if (leadership_ != nullptr) leadership_->FailReads();
  leadership_.reset();
  campaign_.reset();
  held_.clear();
  effects_.send.clear();
  role_ = Role::kFollower;
  leader_ = {.node = NodeId{-1}, .term = hard_.term};
}

void Raft::OnTruncated(MonotonicTime now) {
  now_ = now;
  log_.OnTruncated();
}

void Raft::OnLogSynced(MonotonicTime now, Offset end) {
  now_ = now;
  log_.OnSynced(end);
  if (is_stopped_ || leadership_ != nullptr || leader_.node.value < 0) return;
  FollowCommit();
  if (Verified() > acknowledged_) Acknowledge();
}

void Raft::OnConnected(MonotonicTime now, NodeId node) {
  now_ = now;
  gone_.erase(node);
  if (is_stopped_) return;
  if (leadership_ != nullptr) return leadership_->Reconnect(node);
  if (leader_.node.value >= 0) return;
  if (!MayCampaign()) return SendAttach(now, node);
  if (!campaign_.has_value()) {
    election_deadline_ = std::min(election_deadline_, QuickDeadline(now));
    return;
  }
  for (const Voter& voter : campaign_->electorate().voters()) {
    if (voter.key.node == node) SendVoteRequest(voter);
  }
}

void Raft::OnDisconnected(MonotonicTime now, NodeId node) {
  now_ = now;
  gone_.insert(node);
  if (is_stopped_) return;
  if (campaign_.has_value()) CheckCampaign(now);
  if (leadership_ != nullptr) return leadership_->Reconnect(node);
  if (node != leader_.node) return;
  std::deque<MonotonicTime>& losses = losses_[node];
  while (!losses.empty() && now - losses.front() >= options_.losses_window) losses.pop_front();
  if (static_cast<int>(losses.size()) >= options_.losses_max) return;
  losses.push_back(now);
  ForgetLeader();
  election_deadline_ = QuickDeadline(now);
}

std::optional<Offset> Raft::ReadLimit(const ReadLog& request) const {
  if (IsMutant(9, 'b') && leadership_ == nullptr) return log_.end();
  if (leadership_ == nullptr || request.term != hard_.term) return std::nullopt;
  return leadership_->ReadLimit(request.to);
}

std::optional<Message> Raft::OnLogRead(const ReadLog& request, std::vector<BatchInfo> batches,
                                       Bytes bytes) {
  if (IsMutant(9, 'b') && leadership_ == nullptr && !batches.empty()) {
    const AppendRequest late{.base = request.from,
                             .prev_term = log_.TermBefore(request.from).value_or(Term{0}),
                             .commit = log_.commit(),
                             .batches = std::move(batches),
                             .bytes = std::move(bytes)};
    return Message{.from = options_.self, .to = request.to, .term = hard_.term, .body = late};
  }
  if (leadership_ == nullptr || request.term != hard_.term) return std::nullopt;
  return leadership_->OnLogRead(request, std::move(batches), std::move(bytes));
}

void Raft::OnSnapshotTaken(const SnapshotId& snapshot) {
  snapshot_ = snapshot;
  if (leadership_ != nullptr) leadership_->OnSnapshotTaken(snapshot);
}

bool Raft::BeginInstall(const SnapshotId& snapshot) {
  if (is_stopped_ || leadership_ != nullptr || log_.Has(snapshot)) return false;
  is_installing_ = true;
  campaign_.reset();
  role_ = Role::kFollower;
  return true;
}

void Raft::OnSnapshotInstalled(MonotonicTime now, const SnapshotId& snapshot,
                               const VoterSet& voters) {
  now_ = now;
  CHECK(std::exchange(is_installing_, false));
  log_.Reset(snapshot, voters);
  // What was committed is every later leader's, too.
  verified_end_ = leader_.node.value >= 0 ? snapshot.end : Offset{0};
  snapshot_ = snapshot;
  if (leader_.node.value >= 0) Acknowledge();
}

void Raft::OnTrimmed(Offset start) { log_.TrimBefore(start); }

namespace {

Error NotLeader(Term term) {
  return Error(Reason::kNotController, "this node does not lead the metadata quorum (term " +
                                           std::to_string(term.value) + ")");
}

}  // namespace

bool Raft::MayPropose(Term term) const {
  return leadership_ != nullptr && term == hard_.term && !leadership_->is_transferring();
}

Result<Offset> Raft::Propose(MonotonicTime now, Term term, int64_t records) {
  now_ = now;
  if (!MayPropose(term)) return NotLeader(hard_.term);
  return leadership_->Append(records);
}

Result<void> Raft::Read(MonotonicTime now, uint64_t id) {
  now_ = now;
  if (leadership_ == nullptr) return NotLeader(hard_.term);
  leadership_->Read(now, id);
  return {};
}

Result<void> Raft::ChangeVoters(MonotonicTime now, VoterSet voters) {
  now_ = now;
  if (leadership_ == nullptr || leadership_->is_transferring()) return NotLeader(hard_.term);
  return leadership_->ChangeVoters(now, std::move(voters));
}

Result<void> Raft::Transfer(MonotonicTime now, std::optional<VoterKey> to) {
  now_ = now;
  if (leadership_ == nullptr) return NotLeader(hard_.term);
  if (!to.has_value()) to = leadership_->MostAdvanced();
  if (!to.has_value()) return Error(Reason::kInvalidArgument, "there is no other voter");
  return leadership_->Transfer(now, *to);
}

void Raft::Advance(MonotonicTime now) {
  if (leadership_ == nullptr) return;
  leadership_->Advance(now);
  if (!leadership_->is_removed()) return;
  // It led until its removal was committed (thesis §4.2.2), and hands over.
  if (const auto next = leadership_->MostAdvanced()) Send(*next, hard_.term, TimeoutNow{});
  StepDown(now);
}

Effects Raft::TakeEffects() {
  Advance(now_);
  tick_due_ = next_tick();
  if (is_unsaved_) {
    is_unsaved_ = false;
    ++saves_under_way_;
    effects_.save = hard_;
  }
  if (log_.commit() > told_commit_) effects_.commit = told_commit_ = log_.commit();
  if (!(leader_ == told_leader_)) effects_.leader = told_leader_ = leader_;
  if (log_.voters() != nullptr && log_.voters()->end != told_voters_) {
    told_voters_ = log_.voters()->end;
    effects_.voters = log_.voters()->voters;
  }
  return std::exchange(effects_, {});
}

}  // namespace gregor::raft
