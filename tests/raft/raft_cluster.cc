#include "tests/raft/raft_cluster.h"

#include <algorithm>
#include <sstream>

#include "base/check.h"
#include "raft/core/quorum.h"

namespace gregor::raft {
namespace {

std::string ContentOf(const QuorumRecord& record) {
  std::ostringstream text;
  if (const auto* const change = std::get_if<LeaderChange>(&record)) {
    text << "leader " << change->leader;
  } else {
    text << "voters";
    for (const Voter& voter : std::get<VoterSet>(record).voters) text << " " << voter.key;
  }
  return text.str();
}

}  // namespace

uint64_t NextChain(uint64_t chain, const BatchInfo& info, const std::string& content) {
  const auto mix = [&](uint64_t value) {
    chain = (chain ^ value) * 0x9e3779b97f4a7c15u;
    chain ^= chain >> 29;
  };
  mix(static_cast<uint64_t>(info.base.value) + 1);
  mix(static_cast<uint64_t>(info.next.value));
  mix(static_cast<uint64_t>(info.term.value));
  mix(std::hash<std::string>()(content));
  return chain;
}

RestoredLog RaftNode::Restored(Offset applied) const {
  RestoredLog log;
  log.start = stored_.start;
  log.end = stored_.end();
  log.commit = std::clamp(applied, stored_.start, stored_.end());
  log.term_before_start = stored_.term_before_start;
  if (stored_.voters_before_start.has_value()) log.voters.push_back(*stored_.voters_before_start);
  for (const StoredBatch& batch : stored_.log) {
    if (log.terms.empty() || log.terms.back().term != batch.info.term)
      log.terms.push_back({batch.info.term, batch.info.base});
    if (batch.info.voters.has_value()) log.voters.push_back({batch.info.next, *batch.info.voters});
  }
  return log;
}

void RaftNode::Boot(MonotonicTime now, Random random, Offset applied) {
  CHECK(!is_up());
  memory_ = stored_;
  Options options = options_;
  options.self = key_;
  raft_ = std::make_unique<Raft>(options, stored_.hard, Restored(applied), std::move(random));
  if (stored_.snapshot.has_value()) raft_->OnSnapshotTaken(*stored_.snapshot);
  raft_->Start(now);
}

void RaftNode::Crash(size_t keep, bool keep_vote) {
  raft_.reset();
  if (keep_vote && !saves_.empty()) stored_.hard = saves_.front();
  if (cuts_.empty()) {
    for (const StoredBatch& batch : memory_.log) {
      if (batch.info.base < stored_.end()) continue;
      if (keep-- == 0) break;
      stored_.log.push_back(batch);
    }
  }
  saves_.clear();
  cuts_.clear();
  wanted_snapshot_.reset();
  reads_.clear();
}

void RaftNode::Wipe(DirectoryId directory) {
  CHECK(!is_up());
  stored_ = StoredNode();
  key_.directory = directory;
}

void RaftNode::Append(StoredBatch batch) {
  CHECK_EQ(batch.info.base, memory_.end());
  batch.chain = NextChain(memory_.chain(), batch.info, batch.content);
  checks_.OnAppend(batch);
  memory_.log.push_back(std::move(batch));
}

std::optional<Offset> RaftNode::Propose(MonotonicTime now, int64_t records,
                                        const std::string& content) {
  const Term term = raft_->hard_state().term;
  const auto base = raft_->Propose(now, term, records);
  if (!base.ok()) return std::nullopt;
  StoredBatch batch;
  batch.info = {
      .base = *base, .next = *base + records, .term = term, .bytes = content.size(), .voters = {}};
  batch.content = content;
  Append(std::move(batch));
  return *base;
}

void RaftNode::Drain(MonotonicTime now, const std::function<void(Message)>& send) {
  if (!is_up()) return;
  const bool led = raft_->role() == Role::kLeader;
  Effects effects = raft_->TakeEffects();
  if (effects.save.has_value()) saves_.push_back(*effects.save);
  if (effects.truncate_to.has_value()) {
    while (!memory_.log.empty() && memory_.log.back().info.base >= *effects.truncate_to)
      memory_.log.pop_back();
    CHECK_EQ(memory_.end(), *effects.truncate_to);
    cuts_.push_back(*effects.truncate_to);
  }
  for (AppendBatch& append : effects.append) {
    StoredBatch batch{.info = append.info, .content = append.bytes.ToString()};
    if (append.record.has_value()) batch.content = ContentOf(*append.record);
    batch.info.bytes = batch.content.size();
    Append(std::move(batch));
  }
  for (Message& message : effects.send) {
    checks_.OnSend(*this, message);
    send(std::move(message));
  }
  for (const ReadLog& request : effects.read_log) ReadLogFor(request, send);
  const bool leads = raft_->role() == Role::kLeader;
  if (leads) checks_.OnLeader(*this, raft_->hard_state().term);
  if (effects.commit.has_value()) checks_.OnCommit(*this, *effects.commit, led || leads);
  for (const ReadReady& read : effects.reads) reads_.push_back(read);
  if (effects.fetch_snapshot.has_value()) wanted_snapshot_ = effects.fetch_snapshot;
  transfer_failed_ |= effects.transfer_failed;
  if (effects.failure.has_value()) {
    failure_ = effects.failure;
    checks_.Violate("node failed: " + *failure_);
  }
  // What was read may ask for more.
  if (!effects.read_log.empty()) Drain(now, send);
}

void RaftNode::ReadLogFor(const ReadLog& request, const std::function<void(Message)>& send) {
  std::vector<BatchInfo> batches;
  std::string bytes;
  for (const StoredBatch& batch : memory_.log) {
    if (batch.info.base < request.from) continue;
    if (batch.info.next > request.limit) break;
    if (!batches.empty() && bytes.size() + batch.content.size() > request.bytes_max) break;
    batches.push_back(batch.info);
    bytes += batch.content;
  }
  auto message = raft_->OnLogRead(request, std::move(batches), Slice::Own(std::move(bytes)));
  if (!message.has_value()) return;
  checks_.OnSend(*this, *message);
  send(std::move(*message));
}

void RaftNode::SaveVote(MonotonicTime now) {
  stored_.hard = saves_.front();
  saves_.pop_front();
  raft_->OnSaved(now);
}

void RaftNode::SyncLog(MonotonicTime now) {
  if (!cuts_.empty()) {
    while (!stored_.log.empty() && stored_.log.back().info.base >= cuts_.front())
      stored_.log.pop_back();
    cuts_.pop_front();
    return raft_->OnTruncated(now);
  }
  for (const StoredBatch& batch : memory_.log) {
    if (batch.info.base >= stored_.end()) stored_.log.push_back(batch);
  }
  raft_->OnLogSynced(now, stored_.end());
}

void RaftNode::TakeSnapshot() {
  const Offset end = raft_->log().commit();
  if (end > stored_.end() || (stored_.snapshot.has_value() && stored_.snapshot->end >= end)) return;
  const Offset trim = stored_.snapshot.has_value() ? stored_.snapshot->end : Offset{0};
  stored_.snapshot = SnapshotId{end, *raft_->log().TermBefore(end)};
  stored_.snapshot_chain = checks_.ChainAt(end);
  stored_.snapshot_voters.reset();
  if (stored_.voters_before_start.has_value())
    stored_.snapshot_voters = stored_.voters_before_start;
  for (const StoredBatch& batch : stored_.log) {
    if (batch.info.next <= end && batch.info.voters.has_value())
      stored_.snapshot_voters = VotersAt{batch.info.next, *batch.info.voters};
  }
  raft_->OnSnapshotTaken(*stored_.snapshot);
  if (trim <= stored_.start || !cuts_.empty()) return;
  for (StoredNode* const node : {&stored_, &memory_}) {
    while (!node->log.empty() && node->log.front().info.next <= trim) {
      const StoredBatch& batch = node->log.front();
      node->term_before_start = batch.info.term;
      node->chain_before_start = batch.chain;
      node->start = batch.info.next;
      if (batch.info.voters.has_value())
        node->voters_before_start = VotersAt{batch.info.next, *batch.info.voters};
      node->log.erase(node->log.begin());
    }
  }
  raft_->OnTrimmed(stored_.start);
}

void RaftNode::InstallFrom(MonotonicTime now, const StoredNode& leader) {
  const auto wanted = std::exchange(wanted_snapshot_, std::nullopt);
  if (!wanted.has_value() || !leader.snapshot.has_value() || !cuts_.empty()) return;
  const SnapshotId snapshot = *leader.snapshot;
  if (snapshot.end < wanted->end || !raft_->BeginInstall(snapshot)) return;
  const auto hard = stored_.hard;
  stored_ = StoredNode();
  stored_.hard = hard;
  stored_.start = snapshot.end;
  stored_.term_before_start = snapshot.term;
  stored_.chain_before_start = stored_.snapshot_chain = leader.snapshot_chain;
  stored_.snapshot = snapshot;
  stored_.voters_before_start = stored_.snapshot_voters = leader.snapshot_voters;
  memory_ = stored_;
  VoterSet voters;
  if (leader.snapshot_voters.has_value()) voters = leader.snapshot_voters->voters;
  checks_.OnInstall(*this, snapshot, leader.snapshot_chain);
  raft_->OnSnapshotInstalled(now, snapshot, voters);
}

void RaftChecks::Violate(std::string what) { violations_.push_back(std::move(what)); }

// R1, R5.
void RaftChecks::OnLeader(const RaftNode& node, Term term) {
  const auto [at, is_new] = leaders_.emplace(term, node.key());
  if (at->second != node.key()) Violate("R1: two leaders in one term");
  if (!is_new || committed_.empty()) return;
  const StoredNode& memory = node.memory();
  if (memory.end() < committed()) return Violate("R5: a leader lacks what is committed");
  for (const StoredBatch& batch : memory.log) {
    if (batch.info.next == committed() && batch.chain != committed_.back().chain)
      Violate("R5: a leader has other records than the committed ones");
  }
}

// R3, R15: what is said is durable.
void RaftChecks::OnSend(const RaftNode& node, const Message& message) {
  const auto& hard = node.stored().hard;
  if (const auto* const reply = std::get_if<VoteReply>(&message.body)) {
    if (reply->pre || !reply->granted) return;
    if (!hard.has_value() || hard->term < message.term ||
        (hard->term == message.term && hard->voted_for != message.to))
      Violate("R15: a vote was given that is not durable");
    const auto [at, is_new] = votes_.emplace(std::pair(node.key(), message.term), message.to);
    if (at->second != message.to) Violate("R3: two votes in one term");
  }
  Offset durable{0};
  if (const auto* const reply = std::get_if<AppendReply>(&message.body)) durable = reply->durable;
  if (const auto* const reply = std::get_if<HeartbeatReply>(&message.body))
    durable = reply->durable;
  if (durable > node.stored().end()) Violate("R15: records are acknowledged that are not durable");
  if (message.term > Term{0} && !std::holds_alternative<VoteReply>(message.body) &&
      !std::holds_alternative<VoteRequest>(message.body) &&
      (!hard.has_value() || hard->term < message.term))
    Violate("R15: something was said in a term that is not durable");
}

// R4: a term and an offset name one content, and everything before it.
void RaftChecks::OnAppend(const StoredBatch& batch) {
  const auto [at, is_new] =
      chains_.emplace(std::pair(batch.info.term, batch.info.next), batch.chain);
  if (at->second != batch.chain) Violate("R4: logs differ though term and offset agree");
}

uint64_t RaftChecks::ChainAt(Offset end) const {
  for (auto at = committed_.rbegin(); at != committed_.rend(); ++at) {
    if (at->info.next == end) return at->chain;
  }
  return 0;
}

namespace {

bool HasDurably(const StoredNode& stored, Offset end, uint64_t chain) {
  if (stored.start >= end) return true;
  return std::any_of(stored.log.begin(), stored.log.end(), [&](const StoredBatch& batch) {
    return batch.info.next == end && batch.chain == chain;
  });
}

}  // namespace

// R6, R7, R9.
void RaftChecks::OnCommit(const RaftNode& node, Offset to, bool leads) {
  const StoredNode& memory = node.memory();
  for (const StoredBatch& batch : memory.log) {
    if (batch.info.next > to) break;
    if (batch.info.next > committed()) {
      if (!leads) Violate("R6: a follower knows of a commit before its leader does");
      committed_.push_back(batch);
      if (batch.info.next == to && batch.info.term != node.raft().hard_state().term)
        Violate("R9: committed without a record of the term");
      continue;
    }
    if (ChainAt(batch.info.next) != batch.chain) Violate("R6: other records are committed");
  }
  if (!leads) return;
  size_t have = 0, voters = 0;
  for (const Voter& voter : node.raft().log().voters()->voters.voters) {
    ++voters;
    for (const RaftNode* const each : nodes_) {
      if (each->key() == voter.key && HasDurably(each->stored(), to, ChainAt(to))) ++have;
    }
  }
  if (have < MajorityOf(voters)) Violate("R7: committed before it is durable on a majority");
}

void RaftChecks::OnInstall(const RaftNode& node, const SnapshotId& snapshot, uint64_t chain) {
  if (ChainAt(snapshot.end) != chain || snapshot.end > committed())
    Violate("S1: a snapshot is not of what is committed");
}

}  // namespace gregor::raft
