#ifndef GREGOR_TESTS_SIM_QUORUM_NODE_H_
#define GREGOR_TESTS_SIM_QUORUM_NODE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "raft/host/raft_log.h"
#include "raft/host/vote_file.h"
#include "storage/reserved_files.h"
#include "tests/sim/checkers.h"
#include "tests/sim/mutants.h"
#include "tests/sim/quorum_checkers.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_file_system.h"
#include "tests/sim/sim_network.h"

namespace gregor {

// A node of the metadata quorum with nothing on top: its disk, its log, its process, which starts
// and ends any number of times. Thread: the simulation's.
class QuorumNode final : private MetadataLog::Listener {
 public:
  // What a node has of its state beside the log: here only up to where it is.
  struct Snapshot {
    raft::SnapshotId id;
    std::optional<raft::VotersAt> voters;
    Offset state_end{0};  // of the state in it
  };
  struct Options {
    NodeId node{1};
    ClusterId cluster;
    std::vector<Voter> configured;
    raft::Options raft;
    int64_t segment_bytes = 1 << 20;
    Mutant mutant = Mutant::kNone;
    // What the node's peers have to give; nullopt: it is not there. Some time passes until it
    // comes.
    std::function<std::optional<Snapshot>(NodeId)> fetch;
  };

  QuorumNode(Scheduler& scheduler, SimNetwork& network, QuorumChecker& checker, Options options,
             uint64_t seed);
  ~QuorumNode() override { Stop(StopKind::kKill); }

  // REQUIRES: stopped.
  void Start();
  void Stop(StopKind stop);
  // The disk is exchanged for an empty one. REQUIRES: stopped.
  void Wipe();
  // Flips a bit of what its log has durably. False: there is too little. REQUIRES: stopped.
  bool DamageLog(Random& random);
  void Pause();
  void Resume();
  bool is_paused() const { return is_paused_; }
  void Hang() { process_->disk.Hang(); }
  void ResumeDisk() { process_->disk.Resume(); }
  void SetLatency(const SimDisk::Latency& latency) { process_->disk.set_latency(latency); }

  NodeId id() const { return options_.node; }
  VoterKey key() const { return {options_.node, directory_}; }
  // What a power loss would leave of its vote file.
  std::optional<Vote> DurableVote() const;
  // Of its log, where it is open; else 0.
  Offset durable_end() const { return is_open() ? process_->log->durable_offset() : Offset{0}; }
  Term TermAt(Offset offset) const { return is_open() ? process_->log->TermAt(offset) : Term{-1}; }
  std::optional<raft::VotersAt> VotersBefore(Offset offset) const {
    return is_open() ? process_->log->VotersBefore(offset) : std::nullopt;
  }
  Offset log_end() const { return is_open() ? process_->log->end_offset() : Offset{0}; }
  // REQUIRES: is_open().
  Offset log_start() const { return process_->log->start_offset(); }
  bool is_running() const { return process_ != nullptr; }
  bool is_open() const { return is_running() && process_->log != nullptr; }
  // Whether it takes part: before that the log may still have to give way to a snapshot.
  bool has_begun() const;
  bool leads() const { return is_open() && process_->log->leader().leader == options_.node; }
  QuorumLeader leader() const { return is_open() ? process_->log->leader() : QuorumLeader{}; }
  // REQUIRES: is_open().
  QuorumStatus status() const { return process_->log->quorum(); }
  Offset delivered() const { return delivered_; }
  // The state that a crash leaves.
  Offset kept() const;
  // Of its log, and where its terms begin.
  std::string ends() const;
  // What keeps the process from going on.
  const std::optional<Error>& failure() const { return failure_; }
  SimFileSystem& files() { return *files_; }

  const std::optional<Snapshot>& snapshot() const { return snapshot_; }
  // Of everything that it was given and has durably; the log begins at the one before then.
  void TakeSnapshot();

  // Gives a vote to another node, or takes it; `changed` if that is committed while it leads.
  // REQUIRES: leads().
  void ChangeVoter(NodeId other, std::function<void()> changed);
  // REQUIRES: leads().
  void Append(std::string value, size_t records);

 private:
  // Formats an empty disk, with a new directory id.
  void Format();

  struct Process {
    Process(Scheduler& scheduler, SimFileSystem& disk_files, Mutant mutant, const std::string& name)
        : files(disk_files, mutant),
          reserved(files, {.path = "/node/reserve", .beneficiaries = {"/node/"}}),
          loop(scheduler, name),
          disk(scheduler, reserved) {
      (void)reserved.Fill();
    }
    MutantFileSystem files;
    ReservedFiles reserved;
    SimLoop loop;
    SimDisk disk;
    std::unique_ptr<RaftTransport> transport;
    std::unique_ptr<MetadataLog> log;
  };

  void OnOpened(Result<std::unique_ptr<MetadataLog>> log);
  void KeepSnapshot(const Snapshot& snapshot);
  void OnCommitted(std::vector<CommittedRecords> batches) override;
  void OnConnection(NodeId, bool) override {}
  void OnLeader(const QuorumLeader& leader) override;
  void OnSnapshotOffered(NodeId leader, const raft::SnapshotId& snapshot) override;
  void OnFailure(const Error& error) override { failure_ = error; }

  Scheduler& scheduler_;
  SimNetwork& network_;
  QuorumChecker& checker_;
  const Options options_;
  std::unique_ptr<SimFileSystem> files_;
  Random random_;
  DirectoryId directory_;
  bool is_new_ = true;                // nothing was ever delivered
  Offset delivered_{0};               // in this life; the state machine's
  std::optional<Snapshot> snapshot_;  // durable
  bool is_keeping_ = false;           // one is being written
  bool is_installing_ = false;
  std::optional<Error> failure_;
  bool is_paused_ = false;
  mutable bool has_begun_ = false;
  std::unique_ptr<Process> process_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_QUORUM_NODE_H_
