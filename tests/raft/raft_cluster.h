#ifndef GREGOR_TESTS_RAFT_RAFT_CLUSTER_H_
#define GREGOR_TESTS_RAFT_RAFT_CLUSTER_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "raft/core/raft.h"

namespace gregor::raft {

// A batch with its content, as a log keeps it.
struct StoredBatch {
  BatchInfo info;
  std::string content;
  uint64_t chain = 0;  // of all batches up to this one
};

struct StoredSnapshot {
  SnapshotId id;
  std::optional<VotersAt> voters;
  uint64_t chain = 0;  // of what it holds
};

// What a node's disk keeps through a crash.
struct StoredNode {
  std::optional<HardState> hard;
  Offset start{0};
  std::optional<Term> term_before_start = Term{0};
  uint64_t chain_before_start = 0;
  std::optional<VotersAt> voters_before_start;
  std::vector<StoredBatch> log;
  std::optional<StoredSnapshot> snapshot;

  Offset end() const { return log.empty() ? start : log.back().info.next; }
  uint64_t chain() const { return log.empty() ? chain_before_start : log.back().chain; }
  // The latest set in the log, or before it; below `end`.
  std::optional<VotersAt> VotersBefore(Offset end) const;
};

class RaftChecks;

// One node: the algorithm on a disk whose writes become durable when they are told to.
class RaftNode {
 public:
  RaftNode(VoterKey key, Options options, RaftChecks& checks)
      : key_(key), options_(std::move(options)), checks_(checks) {}

  const VoterKey& key() const { return key_; }
  bool is_up() const { return raft_ != nullptr; }
  Raft& raft() { return *raft_; }
  const Raft& raft() const { return *raft_; }
  const StoredNode& stored() const { return stored_; }
  const StoredNode& memory() const { return memory_; }
  const Options& options() const { return options_; }

  void Boot(MonotonicTime now, Random random, Offset applied);
  // Of what was not durable, `keep` batches are there all the same; so is a vote, if `keep_vote`.
  void Crash(size_t keep, bool keep_vote);
  // The disk is exchanged for an empty one.
  // What is said to be durable is not, for so many batches. REQUIRES: it is down.
  void Lose(size_t batches);
  void Wipe(DirectoryId directory);
  // It has the content of another one.
  void SetStored(StoredNode stored);

  // Carries out what the last input asks for; messages go to `send`.
  void Drain(MonotonicTime now, const std::function<void(Message)>& send);

  // --- the disk ---
  bool HasUnsavedVote() const { return !saves_.empty(); }
  bool HasUnsyncedLog() const { return !cuts_.empty() || stored_.end() != memory_.end(); }
  void SaveVote(MonotonicTime now);
  void SyncLog(MonotonicTime now);
  // Writes a snapshot of everything that is committed. Once it is durable the log begins at the one
  // before.
  void TakeSnapshot();
  bool HasUnsyncedSnapshot() const { return snapshot_.has_value(); }
  void SyncSnapshot();
  // The log begins at `start`, or at the batch that has it.
  void TrimBefore(Offset start);
  // Reading the log for followers takes until AnswerReads(), instead of no time.
  void SetReadsSlowly(bool slowly) { reads_slowly_ = slowly; }
  void AnswerReads(MonotonicTime now, const std::function<void(Message)>& send);
  void InstallFrom(MonotonicTime now, const StoredNode& leader);

  std::optional<Offset> Propose(MonotonicTime now, int64_t records, const std::string& content);

  // What was answered since it was last taken.
  std::vector<ReadReady> TakeReads() { return std::exchange(reads_, {}); }
  std::optional<SnapshotId> wanted_snapshot() const { return wanted_snapshot_; }
  bool transfer_failed() const { return transfer_failed_; }
  const std::optional<std::string>& failure() const { return failure_; }

 private:
  void Append(StoredBatch batch, const std::optional<QuorumRecord>& record);
  void Cut(Offset end, bool leads);
  void ReadLogFor(const ReadLog& request, const std::function<void(Message)>& send);
  RestoredLog Restored(Offset applied) const;

  VoterKey key_;
  const Options options_;
  RaftChecks& checks_;
  std::unique_ptr<Raft> raft_;
  StoredNode stored_;
  StoredNode memory_;  // what the disk will have once it has written all
  std::deque<HardState> saves_;
  std::deque<Offset> cuts_;                 // not durable yet
  std::optional<StoredSnapshot> snapshot_;  // not durable yet
  bool reads_slowly_ = false;
  std::vector<ReadLog> log_reads_;
  std::vector<ReadReady> reads_;
  std::optional<SnapshotId> wanted_snapshot_;
  bool transfer_failed_ = false;
  std::optional<std::string> failure_;
};

// What must hold in every run (scenarios R1-R16), however messages and disks behave. Fails the test
// with what was seen.
class RaftChecks {
 public:
  void OnBoot(const RaftNode& node);
  void OnWipe(const RaftNode& node) { wiped_[node.key()] = node.stored(); }
  void OnState(const RaftNode& node);
  void OnLeader(const RaftNode& node, Term term);
  void OnSend(const RaftNode& node, const Message& message);
  void OnAppend(const RaftNode& node, const StoredBatch& batch);
  void OnLeaderChange(const RaftNode& node, const LeaderChange& change);
  void OnVoters(const RaftNode& node, const StoredBatch& batch);
  void OnCut(const RaftNode& node, Offset end, bool leads);
  void OnSnapshot(const StoredSnapshot& snapshot);
  // `nodes`: all, up or not.
  void OnCommit(const RaftNode& node, Offset to, bool leads);
  void OnInstall(const RaftNode& node, const SnapshotId& snapshot, uint64_t chain);
  void SetNodes(std::vector<const RaftNode*> nodes) { nodes_ = std::move(nodes); }

  Offset committed() const { return committed_.empty() ? Offset{0} : committed_.back().info.next; }
  const std::vector<StoredBatch>& batches() const { return committed_; }
  uint64_t ChainAt(Offset end) const;
  const std::vector<std::string>& violations() const { return violations_; }
  void Violate(std::string what);

 private:
  struct Seen {
    Term term{0};
    Offset commit{0};
  };

  void CheckDurability(const RaftNode& node, const Message& message);
  void CheckVote(const RaftNode& node, const Message& message);

  std::vector<const RaftNode*> nodes_;
  std::map<VoterKey, StoredNode> wiped_;  // what they had
  std::map<const RaftNode*, Seen> seen_;  // of nodes since they were booted
  std::map<Term, VoterKey> leaders_;
  std::map<std::pair<VoterKey, Term>, VoterKey> votes_;
  std::map<std::pair<Term, Offset>, uint64_t> chains_;  // by term and end
  std::vector<StoredBatch> committed_;
  std::vector<Term> committed_in_;  // each of them, by a leader of that term
  std::vector<std::string> violations_;
};

// A directory's id in these tests: of a node, and how often it got a new one.
DirectoryId TestDirectory(NodeId node, int wipes = 0);

uint64_t NextChain(uint64_t chain, const BatchInfo& info, const std::string& content);

}  // namespace gregor::raft

#endif  // GREGOR_TESTS_RAFT_RAFT_CLUSTER_H_
