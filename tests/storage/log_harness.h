#ifndef GREGOR_TESTS_STORAGE_LOG_HARNESS_H_
#define GREGOR_TESTS_STORAGE_LOG_HARNESS_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "storage/log.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_file_system.h"

namespace gregor {

// A log on a simulated disk, which crashes and starts again; each start has a leader epoch of its
// own.
class LogHarness {
 public:
  explicit LogHarness(uint64_t seed, LogConfig config = {})
      : config_(config), scheduler_(seed), files_(seed, &scheduler_.trace()) {
    Random random(seed);
    id_ = {random.NewUuid<TopicId>(), PartitionIndex{0}};
    directory_options_.path = "/data";
    directory_options_.cluster_id = random.NewUuid<ClusterId>();
    directory_options_.node_id = NodeId{1};
    directory_options_.file_step_bytes_max = 8192;
  }
  ~LogHarness() { Kill(); }

  // What is committed; all that is synced if it is not set. Counts from the next Start() on.
  std::function<Offset()> stable_end;

  // Starts a process: directory and log. False where one of them refuses; see error().
  bool Start() {
    ++epoch_;
    process_ = std::make_unique<Process>(scheduler_, files_);
    auto directory = LogDirectory::Open(process_->disk, process_->loop, directory_options_);
    if (!directory.ok()) return Refused(directory.error());
    process_->directory = std::move(*directory);
    return OpenLog();
  }

  bool OpenLog() {
    Log::Options options;
    options.id = id_;
    options.config = config_;
    options.recovery_batch_bytes_max = 1 << 20;
    options.epoch_max = epoch_max_;
    if (stable_end) options.stable_end = [this] { return stable_end(); };
    options.on_progress = [this] {
      synced_ =
          process_->log == nullptr ? synced_ : std::max(synced_, process_->log->ends().synced_end);
    };
    bool opened = false;
    std::optional<Error> error;
    const bool ended = process_->loop.RunUntil(
        [&] {
          Log::Open(*process_->directory, process_->loop, std::move(options),
                    [&](Result<std::unique_ptr<Log>> log) {
                      opened = true;
                      if (log.ok()) {
                        process_->log = std::move(*log);
                      } else {
                        error = log.error();
                      }
                    });
        },
        [&] { return opened; }, std::chrono::minutes(1));
    if (!ended) return Refused(Error(Reason::kStorageError, "the log does not open"));
    if (error.has_value()) return Refused(*error);
    return true;
  }

  // The process is gone, in the middle of whatever it did.
  void Kill() {
    if (process_ == nullptr) return;
    process_->disk.Kill();
    process_->loop.Kill();
    process_.reset();
    files_.KillProcess();
  }
  void LosePower() {
    if (process_ != nullptr) {
      process_->disk.Kill();
      process_->loop.Kill();
      process_.reset();
    }
    files_.LosePower();
  }
  void LosePower(SimSurvival survival) {
    Kill();
    files_.LosePower(survival);
  }

  // Appends a batch of `records` records whose values say their offsets, `size` bytes each. False
  // if refused.
  bool Append(int records = 1, size_t size = 10, Timestamp time = Timestamp{1000}) {
    bool appended = false;
    process_->loop.Run([&] {
      RecordBatch batch = Make(log().ends().log_end, LeaderEpoch{epoch_}, records, size, time);
      appended = log().Append(std::move(batch)).ok();
    });
    return appended;
  }
  // Appends what `builder` holds, at the end.
  bool Append(BatchBuilder& builder) {
    bool appended = false;
    process_->loop.Run([&] {
      RecordBatch batch = builder.Build();
      StampBatch(batch, log().ends().log_end, LeaderEpoch{epoch_}, TimestampType::kCreateTime,
                 Timestamp{0});
      appended = log().Append(std::move(batch)).ok();
    });
    return appended;
  }
  static RecordBatch Make(Offset base, LeaderEpoch epoch, int records, size_t size,
                          Timestamp time) {
    BatchBuilder builder;
    for (int i = 0; i < records; ++i) {
      std::string value = std::to_string(base.value + i) + "/" + std::to_string(epoch.value) + "/";
      value.resize(std::max(size, value.size()), 'x');
      NewRecord record;
      record.value = value;
      record.timestamp = time + i;
      builder.Add(record);
    }
    RecordBatch batch = builder.Build();
    StampBatch(batch, base, epoch, TimestampType::kCreateTime, time);
    return batch;
  }
  // Runs until everything appended is synced; false if that does not happen.
  bool Sync() {
    return process_->loop.RunUntil([&] { log().RequestSync(); },
                                   [&] { return log().ends().synced_end == log().ends().log_end; },
                                   std::chrono::minutes(1));
  }

  struct Record {
    Offset offset{0};
    Timestamp timestamp{-1};
    std::optional<std::string> key, value;
    friend bool operator==(const Record&, const Record&) = default;
  };
  // Values of all records from `from` on; stops at an error, which is kept.
  std::vector<std::string> ReadAll(Offset from, size_t bytes_max = 4096) {
    std::vector<std::string> values;
    for (const Record& record : ReadRecords(from, bytes_max))
      values.push_back(record.value.value_or("null"));
    return values;
  }
  std::vector<Record> ReadRecords(Offset from, size_t bytes_max = 4096) {
    std::vector<Record> records;
    while (true) {
      auto read = Await<LogRead>([&](auto done) {
        ReadSpec spec;
        spec.from = from;
        spec.bytes_max = bytes_max;
        log().Read(spec, std::move(done));
      });
      if (!read.ok()) {
        Refused(read.error());
        return records;
      }
      if (read->batches.empty()) return records;
      AddRecords(read->batches, from, records);
      EXPECT_GT(read->next_offset, from);
      from = read->next_offset;
    }
  }

  // Calls `start(done)` on the loop and waits for done(Result<T>).
  template <typename T, typename Start>
  Result<T> Await(Start start) {
    std::optional<Result<T>> result;
    const bool came = process_->loop.RunUntil(
        [&] { start([&](Result<T> got) { result.emplace(std::move(got)); }); },
        [&] { return result.has_value(); }, std::chrono::minutes(1));
    if (!came) return Error(Reason::kCommitTimedOut, "no answer");
    return std::move(*result);
  }

  bool CloseCleanly() {
    const auto closed = Await<void>([&](auto done) { log().Close(std::move(done)); });
    const auto directory = closed.ok() ? process_->directory->CloseCleanly() : closed;
    if (!directory.ok()) Refused(directory.error());
    const bool fine = directory.ok();
    Kill();
    return fine;
  }

  Log& log() { return *process_->log; }
  // Of directories that are opened from now on.
  void SetReserve(uint64_t bytes) { directory_options_.reserve_bytes = bytes; }
  LogDirectory& directory() { return *process_->directory; }
  SimFileSystem& files() { return files_; }
  Scheduler& scheduler() { return scheduler_; }
  SimLoop& loop() { return process_->loop; }
  const std::optional<Error>& error() const { return error_; }
  // The highest synced end that was ever reported.
  Offset synced() const { return synced_; }
  int32_t epoch() const { return epoch_; }
  // Both count from the next Start() on.
  LogConfig& config() { return config_; }
  void set_epoch_max(LeaderEpoch epoch) { epoch_max_ = epoch; }
  LogDirectory::Options& directory_options() { return directory_options_; }
  SimDisk& disk() { return process_->disk; }
  const TopicIdPartition& id() const { return id_; }
  std::string Path(int64_t base, const char* suffix = "log") const {
    char name[40];
    std::snprintf(name, sizeof name, "/%020lld.%s", static_cast<long long>(base), suffix);
    return "/data/" + id_.ToString() + name;
  }

 private:
  struct Process {
    Process(Scheduler& scheduler, SimFileSystem& files)
        : loop(scheduler, "loop"), disk(scheduler, files) {}
    SimLoop loop;
    SimDisk disk;
    std::unique_ptr<LogDirectory> directory;
    std::unique_ptr<Log> log;
  };

  bool Refused(const Error& error) {
    error_ = error;
    return false;
  }
  static void AddRecords(const Bytes& batches, Offset from, std::vector<Record>& records) {
    for (size_t at = 0; at < batches.size();) {
      const Bytes rest = batches.Sub(at, batches.size() - at);
      const auto header = PeekHeader(rest, rest.size());
      ASSERT_TRUE(header.ok());
      at += header->size();
      if (header->is_control()) continue;
      const auto batch = CheckBatch(rest.Sub(0, header->size()));
      ASSERT_TRUE(batch.ok());
      auto reader = RecordReader::Open(*batch, 1 << 20);
      while (true) {
        const auto record = reader->Next();
        ASSERT_TRUE(record.ok()) << record.error();
        if (!record->has_value()) break;
        if ((*record)->offset < from) continue;
        Record& added = records.emplace_back();
        added.offset = (*record)->offset;
        added.timestamp = (*record)->timestamp;
        if ((*record)->key.has_value()) added.key = *(*record)->key;
        if ((*record)->value.has_value()) added.value = *(*record)->value;
      }
    }
  }

  LogConfig config_;
  Scheduler scheduler_;
  SimFileSystem files_;
  TopicIdPartition id_;
  LogDirectory::Options directory_options_;
  int32_t epoch_ = 0;
  LeaderEpoch epoch_max_{INT32_MAX};
  Offset synced_{0};
  std::optional<Error> error_;
  std::unique_ptr<Process> process_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_STORAGE_LOG_HARNESS_H_
