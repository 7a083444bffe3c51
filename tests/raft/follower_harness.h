#ifndef GREGOR_TESTS_RAFT_FOLLOWER_HARNESS_H_
#define GREGOR_TESTS_RAFT_FOLLOWER_HARNESS_H_

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/record_batch.h"
#include "raft/host/control_records.h"
#include "raft/host/quorum_recovery.h"
#include "raft/host/raft_log.h"
#include "raft/host/transport.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_file_system.h"

namespace gregor {

// The wires of one node, whose other ends the test has in its hands.
class HandTransport final : public RaftTransport {
 public:
  using Ranges = std::function<Result<LogRange>(NodeId node, Offset from)>;

  HandTransport(EventLoop& loop, const Ranges& ranges) : loop_(loop), ranges_(ranges) {}

  void SetReceiver(Receiver* receiver) override { receiver_ = receiver; }
  void Send(raft::Message message) override { sent_.push_back(std::move(message)); }
  void SetVoters(const VoterSet& voters) override { voters_.push_back(voters); }
  void FetchRange(NodeId node, Offset from, LogRangeRead fetched) override {
    asked_.push_back(node);
    loop_.Post("hand.range", [fetched = std::move(fetched), range = ranges_(node, from)]() mutable {
      fetched(std::move(range));
    });
  }
  void SetRangeReader(RangeReader) override {}
  std::optional<Introduction> IntroductionOf(const VoterKey&) const override { return {}; }

  Receiver* receiver() const { return receiver_; }
  std::vector<raft::Message>& sent() { return sent_; }
  const std::vector<VoterSet>& voters() const { return voters_; }
  const std::vector<NodeId>& asked() const { return asked_; }

 private:
  EventLoop& loop_;
  const Ranges& ranges_;
  Receiver* receiver_ = nullptr;
  std::vector<raft::Message> sent_;
  std::vector<VoterSet> voters_;
  std::vector<NodeId> asked_;
};

// Node 1 of the voters 1, 2 and 3 on a simulated disk: it crashes and starts again, and the test
// leads it as one of the others. Its state is the snapshot that it has, and all records behind it.
class FollowerHarness : private MetadataLog::Listener {
 public:
  using Records = std::map<Offset, std::string>;

  explicit FollowerHarness(uint64_t seed) : scheduler_(seed), files_(seed, &scheduler_.trace()) {
    Random random(seed);
    cluster_ = random.NewUuid<ClusterId>();
    for (int id = 1; id <= 4; ++id)
      voters_.voters.push_back(
          {{NodeId{id}, random.NewUuid<DirectoryId>()},
           {{"internal", "node" + std::to_string(id), static_cast<uint16_t>(9090 + id)}}});
    fourth_ = voters_.voters.back();
    voters_.voters.pop_back();
    EXPECT_TRUE(files_.MakeDirectory("/data/metadata/log").ok());
    EXPECT_TRUE(ReplaceFile(files_, "/data/metadata/log/meta.properties",
                            "version=1\ncluster.id=" + cluster_.ToString() +
                                "\nnode.id=1\ndirectory.id=" + self().directory.ToString() + "\n")
                    .ok());
    for (const char* const each : {"/", "/data", "/data/metadata"})
      EXPECT_TRUE(files_.SyncDirectory(each).ok());
  }
  ~FollowerHarness() override { Kill(); }

  const VoterKey& self() const { return voters_.voters[0].key; }
  const VoterKey& key(int id) const { return voters_.voters[static_cast<size_t>(id - 1)].key; }
  const VoterSet& voters() const { return voters_; }
  // ... and node 4, which the settings do not name.
  VoterSet VotersWithFourth() const {
    VoterSet set = voters_;
    set.voters.push_back(fourth_);
    return set;
  }

  // Opens and starts: at the snapshot that it has, else at `from`. False where it fails within a
  // minute, or does not begin; see error().
  bool Start(Offset from = Offset{0}) {
    process_ = std::make_unique<Process>(scheduler_, files_, ranges);
    delivered_.clear();
    error_.reset();
    offered_.reset();
    const auto snapshot = KeptSnapshot();
    if (snapshot.has_value()) from = snapshot->end;
    const bool ended = process_->loop.RunUntil(
        [&] {
          OpenRaftLog(Options(), [&, from](Result<std::unique_ptr<MetadataLog>> log) {
            if (!log.ok()) {
              error_ = log.error();
              return;
            }
            process_->log = std::move(*log);
            EXPECT_TRUE(process_->log->MayStartAt(from)) << from;
            process_->log->Start(from, *this);
          });
        },
        [&] { return error_.has_value() || transport().receiver() != nullptr; },
        std::chrono::minutes(1));
    if (!ended) error_ = Error(Reason::kCommitTimedOut, "it neither starts nor fails");
    return !error_.has_value();
  }
  // As `gregor quorum recover` does. REQUIRES: it is not running.
  Result<QuorumOnDisk> BecomeOnlyVoter() {
    process_ = std::make_unique<Process>(scheduler_, files_, ranges);
    Result<QuorumOnDisk> done = Error(Reason::kCommitTimedOut, "it does not end");
    bool is_done = false;
    process_->loop.RunUntil(
        [&] {
          MakeOnlyVoter(Options(), [&](Result<QuorumOnDisk> made) {
            done = std::move(made);
            is_done = true;
          });
        },
        [&] { return is_done; }, std::chrono::minutes(1));
    End();
    return done;
  }
  void Kill() {
    End();
    files_.KillProcess();
  }
  void LosePower() {
    End();
    files_.LosePower();
  }

  // --- what a leader says: node `leader` in `term` ---

  void Say(int leader, Term term, decltype(raft::Message::body) body) {
    raft::Message message{key(leader), self(), term, std::move(body)};
    process_->loop.Run([&] {
      if (transport().receiver() != nullptr) transport().receiver()->OnMessage(std::move(message));
    });
  }
  void Heartbeat(int leader, Term term, Offset commit) {
    Say(leader, term, raft::Heartbeat{.commit = commit, .round = ++round_});
  }
  // Batches of `term` of one record each, the first at `base`, behind a record of `before`.
  void Send(int leader, Term term, Offset base, Term before, const std::vector<std::string>& values,
            Offset commit) {
    Bytes bytes;
    Offset at = base;
    for (const std::string& value : values) {
      BatchBuilder builder;
      NewRecord record;
      record.value = value;
      builder.Add(record);
      bytes.Append(Stamped(builder.Build(), at, term));
      at = at + 1;
    }
    SendBytes(leader, term, base, before, std::move(bytes), commit);
  }
  void SendVoters(int leader, Term term, Offset base, Term before, const VoterSet& voters,
                  Offset commit) {
    SendBytes(leader, term, base, before, Stamped(EncodeControl(voters, Timestamp{1}), base, term),
              commit);
  }
  static Bytes Stamped(RecordBatch batch, Offset base, Term term) {
    StampBatch(batch, base, LeaderEpoch{term.value}, TimestampType::kCreateTime, Timestamp{1});
    return batch.bytes;
  }
  void Offer(int leader, Term term, const raft::SnapshotId& snapshot) {
    Say(leader, term, raft::SnapshotOffer{snapshot});
  }
  // Installs a snapshot, as a state machine does that has fetched it.
  void Install(const raft::SnapshotId& snapshot, const std::optional<raft::VotersAt>& voters) {
    process_->loop.Run([&] { InstallNow(snapshot, voters); });
  }
  // The same, inside of a call of the log.
  void InstallNow(const raft::SnapshotId& snapshot, const std::optional<raft::VotersAt>& voters) {
    log().Install(
        snapshot, voters,
        [this, snapshot](MetadataLog::Kept kept) {
          if (!keeps) return;
          process_->disk.Submit(
              Lane::kSync, "state.keep", process_->loop,
              [this, snapshot] {
                return ReplaceFile(
                    files_, kSnapshotPath,
                    std::to_string(snapshot.end.value) + " " + std::to_string(snapshot.term.value));
              },
              [this, kept = std::move(kept)](Result<void> written) mutable {
                if (on_kept) on_kept();
                kept(std::move(written));
              });
        },
        [this](Result<bool> done) {
          installed_ = done.ok() && *done;
          if (installed_) delivered_.clear();
        });
  }

  // Runs until `done`; false where that is never, or not within 10 s.
  bool RunUntil(const std::function<bool()>& done) {
    return scheduler_.RunUntil(done, std::chrono::seconds(10));
  }
  bool WaitForDurable(Offset end) {
    return RunUntil([&] { return files_.is_powerless() || log().durable_offset() >= end; }) &&
           !files_.is_powerless();
  }
  bool WaitForInstalled() {
    return RunUntil([&] { return files_.is_powerless() || installed_; }) && installed_;
  }

  std::optional<raft::SnapshotId> KeptSnapshot() {
    if (!*files_.Exists(kSnapshotPath)) return std::nullopt;
    std::istringstream text(*ReadWholeFile(files_, kSnapshotPath, 100));
    raft::SnapshotId id;
    text >> id.end.value >> id.term.value;
    return id;
  }

  MetadataLog& log() { return *process_->log; }
  SimLoop& loop() { return process_->loop; }
  SimDisk& disk() { return process_->disk; }
  HandTransport& transport() { return process_->transport; }
  SimFileSystem& files() { return files_; }
  Scheduler& scheduler() { return scheduler_; }
  const std::optional<Error>& error() const { return error_; }
  const Records& delivered() const { return delivered_; }
  const std::optional<raft::SnapshotId>& offered() const { return offered_; }
  bool is_installed() const { return installed_; }

  bool may_be_empty = true;
  bool keeps = true;  // a snapshot that is installed; else that ends for ever before
  // What other nodes have, for a log that is damaged.
  HandTransport::Ranges ranges = [](NodeId, Offset) -> Result<LogRange> {
    return Error(Reason::kLeaderNotAvailable, "the node does not answer");
  };
  std::function<void()> on_kept;                          // just before an installing goes on
  std::function<void(const CommittedRecords&)> on_batch;  // that was delivered
  std::vector<size_t> deliveries;                         // how many batches each had

 private:
  static constexpr char kSnapshotPath[] = "/data/metadata/snapshot";

  struct Process {
    Process(Scheduler& scheduler, SimFileSystem& files, const HandTransport::Ranges& ranges)
        : loop(scheduler, "controller"), disk(scheduler, files), transport(loop, ranges) {}
    SimLoop loop;
    SimDisk disk;
    HandTransport transport;
    std::unique_ptr<MetadataLog> log;
  };

  RaftLogOptions Options() {
    RaftLogOptions options;
    options.loop = &process_->loop;
    options.disk = &process_->disk;
    options.path = "/data/metadata";
    options.cluster_id = cluster_;
    options.raft.self = self();
    for (int id = 1; id <= 3; ++id) options.raft.configured.push_back({{NodeId{id}, {}}, {}});
    options.transport = &process_->transport;
    options.may_be_empty = may_be_empty;
    options.batch_bytes_max = 1u << 20;
    options.segment_bytes = 16 << 10;
    return options;
  }
  void End() {
    if (process_ == nullptr) return;
    process_->disk.Kill();
    process_->loop.Kill();
    process_->log.reset();
    process_.reset();
    installed_ = false;
  }
  void SendBytes(int leader, Term term, Offset base, Term before, Bytes bytes, Offset commit) {
    Say(leader, term,
        raft::AppendRequest{.base = base,
                            .prev_term = before,
                            .commit = commit,
                            .batches = {},
                            .bytes = std::move(bytes)});
  }

  void OnCommitted(std::vector<CommittedRecords> batches) override {
    deliveries.push_back(batches.size());
    for (const CommittedRecords& batch : batches) Take(batch);
  }
  void Take(const CommittedRecords& batch) {
    Offset offset = batch.base_offset;
    for (const std::string& record : batch.records) {
      delivered_[offset] = record;
      offset = offset + 1;
    }
    if (on_batch) on_batch(batch);
  }
  void OnConnection(NodeId, bool) override {}
  void OnLeader(const QuorumLeader&) override {}
  void OnSnapshotOffered(NodeId, const raft::SnapshotId& snapshot) override { offered_ = snapshot; }
  void OnFailure(const Error& error) override { error_ = error; }

  Scheduler scheduler_;
  SimFileSystem files_;
  ClusterId cluster_;
  VoterSet voters_;
  Voter fourth_;
  uint64_t round_ = 0;
  Records delivered_;
  std::optional<raft::SnapshotId> offered_;
  bool installed_ = false;
  std::optional<Error> error_;
  std::unique_ptr<Process> process_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_RAFT_FOLLOWER_HARNESS_H_
