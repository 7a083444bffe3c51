#ifndef GREGOR_RAFT_HOST_RAFT_LOG_IMPL_H_
#define GREGOR_RAFT_HOST_RAFT_LOG_IMPL_H_

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "raft/core/raft.h"
#include "raft/host/delivery.h"
#include "raft/host/log_base_file.h"
#include "raft/host/log_inspection.h"
#include "raft/host/log_store.h"
#include "raft/host/quorum_metrics.h"
#include "raft/host/raft_log.h"
#include "raft/host/vote_writer.h"
#include "storage/log_directory.h"

namespace gregor {

// What the disk has, before the log is opened.
struct FoundRaftFiles {
  std::unique_ptr<LogDirectory> directory;
  std::optional<Vote> vote;
  std::optional<LogBase> base;
  LogInspection log;
};

// Opens the directory, and reads the rest. Fails with kStorageError (see OpenRaftLog()). Thread:
// disk.
Result<FoundRaftFiles> FindRaftFiles(const RaftLogOptions& options);
// How the log is opened in it.
Log::Options MetadataLogOptions(const RaftLogOptions& options);

// Runs the algorithm on the log, the vote file and the transport: gives it what happens, one thing
// after the other, and carries out what it asks for. Thread: the controller loop.
class RaftLog final : public MetadataLog, private RaftTransport::Receiver {
 public:
  RaftLog(RaftLogOptions options, FoundRaftFiles found);
  ~RaftLog() override;

  // The steps of opening.
  // ... first: what the log lacks comes from the other nodes, or the opening fails.
  void Repair(LogInspection found, UniqueFunction<void(Result<void>)> ended);
  Log::Options LogOptions();
  LogDirectory& directory() { return *directory_; }
  Result<void> Adopt(std::unique_ptr<Log> log);

  void Start(Offset from, Listener& listener) override;
  void DeliverAgain(Offset from) override;
  // Without what is about to be cut.
  Offset start_offset() const override {
    return core_ != nullptr ? core_->log().start() : store_->log().ends().log_start;
  }
  Offset end_offset() const override { return store_->end(); }
  Offset durable_offset() const override {
    return core_ != nullptr ? core_->log().durable() : store_->log().ends().synced_end;
  }
  Term TermAt(Offset offset) const override;
  QuorumLeader leader() const override { return told_; }
  Result<AppendedRecords> Append(Term term, std::vector<std::string> records) override;
  bool MayStartAt(Offset from) const override;
  void NoteSnapshot(const raft::SnapshotId& snapshot) override;
  void TrimBefore(Offset offset) override;
  std::optional<raft::VotersAt> VotersBefore(Offset offset) const override;
  void Install(const raft::SnapshotId& snapshot, std::optional<raft::VotersAt> voters,
               UniqueFunction<void(Kept)> keep, UniqueFunction<void(Result<bool>)> done) override;
  void Close(UniqueFunction<void(Result<void>)> done) override;

  // --- raft_log_voters.cc
  QuorumStatus quorum() const override;
  void ConfirmLeadership(UniqueFunction<void(Result<Offset>)> confirmed) override;
  void AddVoter(Voter voter, Changed changed) override;
  void RemoveVoter(VoterKey voter, Changed changed) override;
  void Transfer(std::optional<NodeId> to, UniqueFunction<void(Result<NodeId>)> done) override;
  void HandOver(Task done) override;
  void GiveUp(const Error& error) override { Fail(error); }

 private:
  // A voters record that is not committed yet.
  struct Change {
    Offset end{0};
    Term term{0};
    Changed changed;
  };
  struct HandingOver {
    bool is_leader_awaited = true;  // it is done when somebody else leads, not when nobody does
    Term term{0};                   // that this node leads
    UniqueFunction<void(Result<NodeId>)> done;
  };
  using Input = UniqueFunction<void(MonotonicTime now)>;

  void OnMessage(raft::Message message) override;
  void OnConnected(NodeId node) override;
  void OnDisconnected(NodeId node) override;

  // Who can be asked for what a damaged log lacks; the transport learns where they are.
  std::vector<NodeId> NodesForRepair(const LogInspection& found);
  // Nothing comes from the others any more.
  void EndTransport();
  // --- raft_log_voters.cc
  // Who votes has changed, committed or not.
  void OnVoters(const VoterSet& voters);
  Result<void> LeadsForChange() const;
  Result<VoterSet> WithVoter(Voter voter) const;
  Result<VoterSet> WithoutVoter(const VoterKey& voter) const;
  void ChangeVoters(Result<VoterSet> voters, Changed changed);
  void BeginTransfer(std::optional<VoterKey> to, HandingOver handing_over);
  void AnswerChange();
  void AnswerTransfer(bool has_failed);
  void AnswerReads(const std::vector<raft::ReadReady>& reads);
  // Nothing more comes of them.
  void FailVoters(const Error& error);

  // --- raft_log_snapshots.cc
  // Whether the snapshot that ends at `from` was to take the log's place when the node ended, and
  // the log is still the old one.
  bool IsInstalledAt(Offset from) const;
  void SaveBase(const LogBase& base, UniqueFunction<void(Result<void>)> saved);
  void FinishInstall(const raft::SnapshotId& snapshot, const VoterSet& voters,
                     UniqueFunction<void(Result<bool>)> done);

  // Goes on with ScanVoters() once the journal has the log's mark.
  void AwaitMark();
  // Reads the voters records of the log from `from` on, then begins.
  void ScanVoters(Offset from);
  void Begin();
  raft::RestoredLog Restored() const;
  Result<void> CheckReachable(const std::vector<raft::VotersAt>& voters) const;

  // Gives the algorithm an input, and carries out what comes of it; inside of that, afterwards.
  void Step(Input input);
  void Carry(raft::Effects effects);
  void SaveHard(const raft::HardState& hard);
  void AppendAll(std::vector<raft::AppendBatch> batches);
  void ReadSoon(const raft::ReadLog& request);
  void ReadFor(const raft::ReadLog& request, Offset limit);
  void TellLeader();
  void ArmTimer();
  void OnTimer();
  void OnSaved(Result<void> saved);
  void OnLogProgress();
  void SaveMarkSoon();
  void Fail(const Error& error);
  bool is_running() const { return listener_ != nullptr && !failed_; }
  MonotonicTime Now() const { return options_.loop->clock().Now(); }

  const RaftLogOptions options_;
  const std::unique_ptr<QuorumMetrics> metrics_;  // nullptr: nobody looks
  const std::unique_ptr<LogDirectory> directory_;
  std::optional<Vote> vote_;
  std::optional<LogBase> base_;
  std::unique_ptr<LogStore> store_;
  std::unique_ptr<VoteWriter> votes_;
  std::unique_ptr<Delivery> delivery_;
  std::unique_ptr<raft::Raft> core_;
  Listener* listener_ = nullptr;
  Offset from_{0};
  std::vector<raft::VotersAt> found_voters_;
  std::optional<raft::SnapshotId> snapshot_;  // noted before it began

  std::vector<raft::ReadLog> reads_due_;
  std::deque<Input> inputs_;
  bool stepping_ = false;
  bool failed_ = false;
  Offset marked_{0};  // the journal of marks has been told up to here
  bool mark_is_due_ = false;
  bool installing_ = false;  // the log base file is that of the snapshot already
  QuorumLeader told_;
  std::optional<Change> change_;
  std::optional<HandingOver> handing_over_;
  std::map<uint64_t, UniqueFunction<void(Result<Offset>)>> reads_;  // that wait for a majority
  uint64_t last_read_ = 0;
  TimerId timer_;
  std::optional<MonotonicTime> timer_due_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_RAFT_LOG_IMPL_H_
