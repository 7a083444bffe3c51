#include "tests/raft/raft_cluster.h"

#include <algorithm>
#include <sstream>

#include "base/check.h"
#include "raft/core/mutant.h"

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

DirectoryId TestDirectory(NodeId node, int wipes) {
  DirectoryId directory;
  directory.bytes[14] = static_cast<uint8_t>(wipes);
  directory.bytes[15] = static_cast<uint8_t>(node.value);
  return directory;
}

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

std::optional<VotersAt> StoredNode::VotersBefore(Offset end) const {
  std::optional<VotersAt> found = voters_before_start;
  for (const StoredBatch& batch : log) {
    if (batch.info.next <= end && batch.info.voters.has_value())
      found = VotersAt{batch.info.next, *batch.info.voters};
  }
  return found;
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
  if (stored_.snapshot.has_value()) raft_->OnSnapshotTaken(stored_.snapshot->id);
  checks_.OnBoot(*this);
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
  snapshot_.reset();
  log_reads_.clear();
  wanted_snapshot_.reset();
  reads_.clear();
}

void RaftNode::Lose(size_t batches) {
  CHECK(!is_up());
  while (batches-- > 0 && !stored_.log.empty()) stored_.log.pop_back();
}

void RaftNode::Wipe(DirectoryId directory) {
  CHECK(!is_up());
  checks_.OnWipe(*this);
  stored_ = StoredNode();
  key_.directory = directory;
}

void RaftNode::SetStored(StoredNode stored) {
  CHECK(!is_up());
  stored_ = std::move(stored);
}

void RaftNode::Append(StoredBatch batch, const std::optional<QuorumRecord>& record) {
  CHECK_EQ(batch.info.base, memory_.end());
  batch.chain = NextChain(memory_.chain(), batch.info, batch.content);
  checks_.OnAppend(*this, batch);
  if (record.has_value() && std::holds_alternative<LeaderChange>(*record))
    checks_.OnLeaderChange(*this, std::get<LeaderChange>(*record));
  if (batch.info.voters.has_value()) checks_.OnVoters(*this, batch);
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
  Append(std::move(batch), {});
  return *base;
}

void RaftNode::Cut(Offset end, bool leads) {
  checks_.OnCut(*this, end, leads);
  while (!memory_.log.empty() && memory_.log.back().info.base >= end) memory_.log.pop_back();
  if (memory_.end() != end) checks_.Violate("R10: a cut in the middle of a batch");
  cuts_.push_back(end);
}

void RaftNode::Drain(MonotonicTime now, const std::function<void(Message)>& send) {
  if (!is_up()) return;
  const bool led = raft_->role() == Role::kLeader;
  Effects effects = raft_->TakeEffects();
  if (effects.save.has_value()) saves_.push_back(*effects.save);
  const size_t violations = checks_.violations().size();
  if (effects.truncate_to.has_value()) Cut(*effects.truncate_to, led);
  if (checks_.violations().size() > violations) return;  // what follows would not fit
  for (AppendBatch& append : effects.append) {
    StoredBatch batch{.info = append.info, .content = append.bytes.ToString()};
    if (append.record.has_value()) batch.content = ContentOf(*append.record);
    batch.info.bytes = batch.content.size();
    Append(std::move(batch), append.record);
  }
  for (Message& message : effects.send) {
    checks_.OnSend(*this, message);
    send(std::move(message));
  }
  for (const ReadLog& request : effects.read_log) {
    if (reads_slowly_) {
      log_reads_.push_back(request);
    } else {
      ReadLogFor(request, send);
    }
  }
  checks_.OnState(*this);
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
  if (!effects.read_log.empty() && !reads_slowly_) Drain(now, send);
}

void RaftNode::AnswerReads(MonotonicTime now, const std::function<void(Message)>& send) {
  for (const ReadLog& request : std::exchange(log_reads_, {})) ReadLogFor(request, send);
  Drain(now, send);
}

void RaftNode::ReadLogFor(const ReadLog& request, const std::function<void(Message)>& send) {
  std::vector<BatchInfo> batches;
  std::string bytes;
  const auto limit = raft_->ReadLimit(request);
  if (!limit.has_value()) return;
  for (const StoredBatch& batch : memory_.log) {
    if (batch.info.base < request.from) continue;
    if (batch.info.next > *limit) break;
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
  Offset end = raft_->log().commit();
  if (end > stored_.end() || end <= stored_.start || snapshot_.has_value()) return;
  if (stored_.snapshot.has_value() && stored_.snapshot->id.end >= end) return;
  StoredSnapshot snapshot{.id = {end, *raft_->log().TermBefore(end)},
                          .voters = stored_.VotersBefore(end),
                          .chain = checks_.ChainAt(end)};
  if (IsMutant(15)) snapshot.id.end = end + -1;
  checks_.OnSnapshot(snapshot);
  snapshot_ = std::move(snapshot);
  if (IsMutant(16)) TrimBefore(end);
}

void RaftNode::SyncSnapshot() {
  const auto before = std::exchange(stored_.snapshot, std::exchange(snapshot_, std::nullopt));
  memory_.snapshot = stored_.snapshot;
  raft_->OnSnapshotTaken(stored_.snapshot->id);
  if (before.has_value()) TrimBefore(before->id.end);
}

void RaftNode::TrimBefore(Offset start) {
  if (start <= stored_.start || !cuts_.empty()) return;
  for (StoredNode* const node : {&stored_, &memory_}) {
    while (!node->log.empty() && node->log.front().info.next <= start) {
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
  const StoredSnapshot snapshot = *leader.snapshot;
  if (snapshot.id.end < wanted->end || !raft_->BeginInstall(snapshot.id)) return;
  const auto hard = stored_.hard;
  stored_ = StoredNode();
  stored_.hard = hard;
  stored_.start = snapshot.id.end;
  stored_.term_before_start = snapshot.id.term;
  stored_.chain_before_start = snapshot.chain;
  stored_.snapshot = snapshot;
  stored_.voters_before_start = snapshot.voters;
  snapshot_.reset();
  memory_ = stored_;
  VoterSet voters;
  if (snapshot.voters.has_value()) voters = snapshot.voters->voters;
  checks_.OnInstall(*this, snapshot.id, snapshot.chain);
  raft_->OnSnapshotInstalled(now, snapshot.id, voters);
}

}  // namespace gregor::raft
