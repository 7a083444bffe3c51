#ifndef GREGOR_TESTS_RAFT_METADATA_LOG_HARNESS_H_
#define GREGOR_TESTS_RAFT_METADATA_LOG_HARNESS_H_

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "raft/host/control_records.h"
#include "raft/host/raft_log.h"
#include "storage/log.h"
#include "storage/log_directory.h"
#include "storage/reserved_files.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_file_system.h"

namespace gregor {

// A metadata log of one voter on a simulated disk, which crashes and starts again.
class MetadataLogHarness : private MetadataLog::Listener {
 public:
  static constexpr size_t kBatchMax = 1u << 20;
  using Records = std::map<Offset, std::string>;

  explicit MetadataLogHarness(uint64_t seed) : scheduler_(seed), files_(seed, &scheduler_.trace()) {
    Random random(seed);
    cluster_ = random.NewUuid<ClusterId>();
    self = {NodeId{1}, random.NewUuid<DirectoryId>()};
    EXPECT_TRUE(files_.MakeDirectory("/data/metadata/log").ok());
    EXPECT_TRUE(ReplaceFile(files_, "/data/metadata/log/meta.properties",
                            "version=1\ncluster.id=" + cluster_.ToString() +
                                "\nnode.id=1\ndirectory.id=" + self.directory.ToString() + "\n")
                    .ok());
  }
  ~MetadataLogHarness() override { Kill(); }

  VoterKey self;
  bool may_be_empty = true;

  // Opens, starts to read at `from`, and waits until it leads. False where it does not; see
  // error().
  bool Start(Offset from = Offset{0}) {
    process_ = std::make_unique<Process>(scheduler_, files_);
    delivered_.clear();
    failure_.reset();
    error_.reset();
    RaftLogOptions options;
    options.loop = &process_->loop;
    options.disk = &process_->disk;
    options.path = "/data/metadata";
    options.cluster_id = cluster_;
    options.raft.self = self;
    options.raft.configured = {{{self.node, DirectoryId{}}, {}}};
    options.may_be_empty = may_be_empty;
    options.batch_bytes_max = kBatchMax;
    options.segment_bytes = 16 << 10;
    const bool ended = process_->loop.RunUntil(
        [&] {
          OpenRaftLog(options, [&, from](Result<std::unique_ptr<MetadataLog>> log) {
            if (!log.ok()) {
              error_ = log.error();
              return;
            }
            process_->log = std::move(*log);
            process_->log->Start(from, *this);
          });
        },
        [&] { return error_.has_value() || failure_.has_value() || leads(); },
        std::chrono::minutes(1));
    if (!ended) error_ = Error(Reason::kCommitTimedOut, "it neither leads nor fails");
    if (failure_.has_value()) error_ = failure_;
    if (error_.has_value()) End();
    return !error_.has_value();
  }

  Result<AppendedRecords> TryAppend(Term term, std::vector<std::string> records) {
    std::optional<Result<AppendedRecords>> result;
    process_->loop.Run([&] {
      const Offset base = log().end_offset();
      result = log().Append(term, records);
      if (!result->ok()) return;
      for (size_t i = 0; i < records.size(); ++i)
        appended_[base + static_cast<int64_t>(i)] = records[i];
    });
    return *result;
  }
  bool Append(std::vector<std::string> records) {
    return TryAppend(log().leader().term, std::move(records)).ok();
  }
  bool WaitForAll() {
    return process_->loop.RunUntil([] {},
                                   [&] {
                                     return !appended_.empty() && !delivered_.empty() &&
                                            delivered_.rbegin()->first == appended_.rbegin()->first;
                                   },
                                   std::chrono::minutes(1));
  }

  // The process is gone, in the middle of whatever it did.
  void Kill() {
    End();
    files_.KillProcess();
  }
  void LosePower() {
    End();
    files_.LosePower();
  }
  bool CloseCleanly() {
    std::optional<Result<void>> closed;
    process_->loop.RunUntil(
        [&] { log().Close([&](Result<void> result) { closed = std::move(result); }); },
        [&] { return closed.has_value(); }, std::chrono::minutes(1));
    Kill();
    return closed.has_value() && closed->ok();
  }

  // What the last start did not deliver was appended and lost: it was never committed.
  void ForgetWhatWasLost() { appended_ = delivered_; }

  // Adds a voters record with a second voter, as a larger quorum would have.
  void AppendForeignVoters() {
    Process process(scheduler_, files_);
    LogDirectory::Options options;
    options.path = "/data/metadata/log";
    options.cluster_id = cluster_;
    options.node_id = NodeId{1};
    auto directory = LogDirectory::Open(process.disk, process.loop, options);
    ASSERT_TRUE(directory.ok()) << directory.error();
    Log::Options log_options;
    log_options.id = MetadataLogId();
    std::unique_ptr<Log> log;
    process.loop.RunUntil(
        [&] {
          Log::Open(**directory, process.loop, std::move(log_options),
                    [&](Result<std::unique_ptr<Log>> opened) {
                      log = std::move(*opened);
                      const VoterSet voters{{{self, {}}, {{NodeId{2}, self.directory}, {}}}};
                      RecordBatch batch = EncodeControl(voters, Timestamp{1});
                      StampBatch(batch, log->ends().log_end, log->last_epoch(),
                                 TimestampType::kCreateTime, Timestamp{1});
                      EXPECT_TRUE(log->Append(std::move(batch)).ok());
                    });
        },
        [&] { return log != nullptr && log->ends().synced_end == log->ends().log_end; },
        std::chrono::minutes(1));
    process.disk.Kill();
    process.loop.Kill();
    log.reset();
    directory->reset();
    files_.KillProcess();
  }

  MetadataLog& log() { return *process_->log; }
  SimLoop& loop() { return process_->loop; }
  SimFileSystem& files() { return files_; }
  Scheduler& scheduler() { return scheduler_; }
  const std::optional<Error>& error() const { return error_; }
  const std::optional<Error>& failure() const { return failure_; }
  // By offset: what was appended by all processes, what the current one was given, and what any
  // was given.
  const Records& appended() const { return appended_; }
  const Records& delivered() const { return delivered_; }
  const Records& committed() const { return committed_; }

 private:
  struct Process {
    Process(Scheduler& scheduler, SimFileSystem& files)
        : reserved(files, {.path = "/data/metadata/reserve", .beneficiaries = {"/data/metadata/"}}),
          loop(scheduler, "controller"),
          disk(scheduler, reserved) {
      (void)reserved.Fill();  // without one it goes on, too
    }
    ReservedFiles reserved;
    SimLoop loop;
    SimDisk disk;
    std::unique_ptr<MetadataLog> log;
  };

  void End() {
    if (process_ == nullptr) return;
    process_->disk.Kill();
    process_->loop.Kill();
    process_.reset();
  }
  bool leads() const {
    return process_->log != nullptr && process_->log->leader().leader == self.node;
  }

  void OnCommitted(std::vector<CommittedRecords> batches) override {
    for (CommittedRecords& batch : batches) Take(batch);
  }
  void Take(CommittedRecords& batch) {
    Offset offset = batch.base_offset;
    for (std::string& record : batch.records) {
      const Offset last = delivered_.empty() ? Offset{-1} : delivered_.rbegin()->first;
      EXPECT_GT(offset, last) << "records must come in order";
      committed_[offset] = record;
      delivered_[offset] = std::move(record);
      offset = offset + 1;
    }
  }
  void OnConnection(NodeId, bool) override {}
  void OnLeader(const QuorumLeader&) override {}
  void OnSnapshotOffered(NodeId, const raft::SnapshotId&) override {}
  void OnFailure(const Error& error) override { failure_ = error; }

  Scheduler scheduler_;
  SimFileSystem files_;
  ClusterId cluster_;
  Records appended_, delivered_, committed_;
  std::optional<Error> error_, failure_;
  std::unique_ptr<Process> process_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_RAFT_METADATA_LOG_HARNESS_H_
