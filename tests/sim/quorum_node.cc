#include "tests/sim/quorum_node.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/core/mutant.h"
#include "raft/host/vote_file.h"
#include "tests/sim/sim_damage.h"

namespace gregor {
namespace {

constexpr char kPath[] = "/node/metadata";

}  // namespace

QuorumNode::QuorumNode(Scheduler& scheduler, SimNetwork& network, QuorumChecker& checker,
                       Options options, uint64_t seed)
    : scheduler_(scheduler),
      network_(network),
      checker_(checker),
      options_(std::move(options)),
      random_(scheduler.random().Fork().Next() ^ seed) {
  Format();
}

void QuorumNode::Format() {
  files_ = std::make_unique<SimFileSystem>(random_.Next(), &scheduler_.trace());
  directory_ = random_.NewUuid<DirectoryId>();
  is_new_ = true;
  delivered_ = Offset{0};
  snapshot_.reset();
  const std::string folder = MetadataLogPath(kPath);
  for (const char* const each : {"/node", kPath}) CHECK(files_->MakeDirectory(each).ok());
  CHECK(files_->MakeDirectory(folder).ok());
  const auto written = ReplaceFile(*files_, JoinPath(folder, "meta.properties"),
                                   "version=1\ncluster.id=" + options_.cluster.ToString() +
                                       "\nnode.id=" + std::to_string(options_.node.value) +
                                       "\ndirectory.id=" + directory_.ToString() + "\n");
  CHECK(written.ok()) << written.error();
  for (const char* const each : {"/", "/node", kPath}) CHECK(files_->SyncDirectory(each).ok());
}

void QuorumNode::Start() {
  CHECK(process_ == nullptr);
  failure_.reset();
  has_begun_ = false;
  const std::string name = "node" + std::to_string(options_.node.value);
  process_ = std::make_unique<Process>(scheduler_, *files_, options_.mutant, name);
  process_->transport = network_.Attach(options_.node, process_->loop);
  RaftLogOptions options;
  options.loop = &process_->loop;
  options.disk = &process_->disk;
  options.path = kPath;
  options.cluster_id = options_.cluster;
  options.raft = options_.raft;
  options.raft.self = {options_.node, directory_};
  options.raft.configured = options_.configured;
  options.transport = process_->transport.get();
  options.random = random_.Fork();
  options.may_be_empty = is_new_;
  options.batch_bytes_max = 1u << 20;
  options.segment_bytes = options_.segment_bytes;
  process_->loop.Post("node.open", [this, options = std::move(options)]() mutable {
    OpenRaftLog(std::move(options), [this](auto log) { OnOpened(std::move(log)); });
  });
}

bool QuorumNode::has_begun() const {
  if (is_open() && !has_begun_) has_begun_ = process_->log->quorum().leader.term > Term{0};
  return is_open() && has_begun_;
}

bool QuorumNode::DamageLog(Random& random) {
  CHECK(process_ == nullptr);
  return FlipLogBit(*files_, MetadataLogPath(kPath), random);
}

std::optional<Vote> QuorumNode::DurableVote() const {
  const SimTree::Found folder = files_->tree().Find(kPath);
  const auto file = folder.inode->durable.find("vote");
  if (file == folder.inode->durable.end()) return std::nullopt;
  const SimContent& content = file->second->content.durable();
  std::string text(content.size(), '\0');
  content.Read(0, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
  const auto vote = DecodeVote(text);
  return vote.ok() ? std::optional(*vote) : std::nullopt;
}

void QuorumNode::OnOpened(Result<std::unique_ptr<MetadataLog>> log) {
  if (!log.ok()) {
    failure_ = log.error();
    return;
  }
  process_->log = *std::move(log);
  MetadataLog& opened = *process_->log;
  // The state machine has kept what it was given, or only its snapshot.
  const Offset at_snapshot = snapshot_.has_value() ? snapshot_->id.end : Offset{0};
  if (delivered_ < at_snapshot || random_.Chance(0.3)) delivered_ = at_snapshot;
  if (delivered_ < opened.start_offset()) {
    failure_ = Error(Reason::kStorageError, "the log begins after the last snapshot");
    return;
  }
  if (!opened.MayStartAt(delivered_)) {
    failure_ = Error(Reason::kStorageError, "the log lost what was committed");
    return;
  }
  if (snapshot_.has_value() && delivered_ == at_snapshot)
    checker_.OnRestored(options_.node, at_snapshot, snapshot_->state_end);
  if (snapshot_.has_value()) opened.NoteSnapshot(snapshot_->id);
  opened.Start(delivered_, *this);
}

void QuorumNode::TakeSnapshot() {
  process_->loop.Run([&] {
    MetadataLog& log = *process_->log;
    const Offset end = std::min(delivered_, log.durable_offset());
    if (is_keeping_ || is_installing_ || end <= log.start_offset() ||
        (snapshot_.has_value() && snapshot_->id.end >= end))
      return;
    const Term term = log.TermAt(end - 1);
    Snapshot snapshot{{end, term}, log.VotersBefore(end), end};
    if (raft::IsMutant(15)) snapshot.id.end = end - 1;
    if (raft::IsMutant(16)) log.TrimBefore(end);
    is_keeping_ = true;
    process_->disk.Submit(
        Lane::kBackground, "node.snapshot", process_->loop, [] { return true; },
        [this, snapshot](bool) { KeepSnapshot(snapshot); });
  });
}

// It is durable. The log goes on from the one before.
void QuorumNode::KeepSnapshot(const Snapshot& snapshot) {
  is_keeping_ = false;
  // Another node's may have come meanwhile.
  if (is_installing_ || (snapshot_.has_value() && snapshot_->id.end >= snapshot.id.end)) return;
  const auto before = std::exchange(snapshot_, snapshot);
  checker_.OnSnapshot(options_.node, snapshot.id);
  process_->log->NoteSnapshot(snapshot.id);
  if (before.has_value()) process_->log->TrimBefore(before->id.end);
}

void QuorumNode::OnSnapshotOffered(NodeId leader, const raft::SnapshotId& offered) {
  if (is_installing_) return;
  const auto fetched = options_.fetch(leader);
  if (!fetched.has_value() || fetched->id.end < offered.end) return;
  is_installing_ = true;
  const Duration delay(random_.Between(0, std::chrono::milliseconds(200).count() * 1'000'000));
  process_->loop.After(delay, "node.fetched", [this, fetched = *fetched] {
    process_->log->Install(
        fetched.id, fetched.voters,
        [this, fetched](MetadataLog::Kept kept) {
          snapshot_ = fetched;
          kept({});
        },
        [this, end = fetched.id.end](auto done) {
          is_installing_ = false;
          if (!done.ok() || !*done) return;
          checker_.OnRestored(options_.node, end, snapshot_->state_end);
          delivered_ = end;
          is_new_ = false;
        });
  });
}

Offset QuorumNode::kept() const {
  return is_open() ? std::min(delivered_, process_->log->durable_offset()) : delivered_;
}

std::string QuorumNode::ends() const {
  if (!is_open()) return "?";
  const Offset end = process_->log->end_offset();
  std::string text;
  Term last{-2};
  for (Offset at = process_->log->start_offset(); at < end; at = at + 1) {
    const Term term = process_->log->TermAt(at);
    if (term != std::exchange(last, term))
      text += std::to_string(at.value) + " (term " + std::to_string(term.value) + ") ";
  }
  return text + ".. " + std::to_string(end.value);
}

void QuorumNode::Pause() {
  is_paused_ = true;
  process_->loop.Pause();
}

void QuorumNode::Resume() {
  if (!std::exchange(is_paused_, false)) return;
  checker_.OnResumed(options_.node);
  process_->loop.Resume();
}

void QuorumNode::Stop(StopKind stop) {
  is_paused_ = is_installing_ = is_keeping_ = false;
  if (process_ != nullptr) {
    // The state that is kept is of what is durable.
    delivered_ = kept();
    process_->disk.Kill();
    process_->loop.Kill();
    process_->log.reset();
    process_->transport.reset();
    process_.reset();
  }
  if (stop == StopKind::kPowerLoss) {
    files_->LosePower();
  } else {
    files_->KillProcess();
  }
}

void QuorumNode::Wipe() {
  CHECK(process_ == nullptr);
  Format();
}

void QuorumNode::ChangeVoter(NodeId other, std::function<void()> changed) {
  process_->loop.Run([&] {
    const auto done = [changed](const Result<void>& result) {
      if (result.ok()) changed();
    };
    const std::vector<QuorumMember> voters = process_->log->quorum().voters;
    const bool votes = std::any_of(voters.begin(), voters.end(), [&](const QuorumMember& voter) {
      return voter.key.node == other;
    });
    if (votes) return process_->log->RemoveVoter({other, DirectoryId{}}, done);
    process_->log->AddVoter({{other, DirectoryId{}}, {{"internal", "node", 9093}}}, done);
  });
}

void QuorumNode::Append(std::string value, size_t records) {
  process_->loop.Run([&] {
    const Term term = process_->log->leader().term;
    const Offset base = process_->log->end_offset();
    std::vector<std::string> values;
    for (size_t i = 0; i < records; ++i) values.push_back(value + "." + std::to_string(i));
    for (size_t i = 0; i < records; ++i)
      checker_.OnAppended(term, base + static_cast<int64_t>(i), values[i]);
    const auto appended = process_->log->Append(term, values);
    if (!appended.ok()) checker_.OnRefused(term, base, records);
  });
}

void QuorumNode::OnCommitted(std::vector<CommittedRecords> batches) {
  for (const CommittedRecords& batch : batches) {
    checker_.OnDelivered(options_.node, delivered_, batch);
    delivered_ = batch.next_offset();
  }
  is_new_ = false;
}

void QuorumNode::OnLeader(const QuorumLeader& leader) {
  checker_.OnLeader(options_.node, leader);
  scheduler_.trace().Note("leader", static_cast<uint64_t>(leader.leader.value),
                          static_cast<uint64_t>(leader.term.value),
                          "seen by " + std::to_string(options_.node.value));
}

}  // namespace gregor
