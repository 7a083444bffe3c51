#ifndef GREGOR_TESTS_CONTROLLER_CONTROLLER_HARNESS_H_
#define GREGOR_TESTS_CONTROLLER_CONTROLLER_HARNESS_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "controller/controller.h"
#include "controller/format.h"
#include "controller/image/rows.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_file_system.h"

namespace gregor {

// An image as comparable rows.
using Rows = std::map<std::string, std::string>;
inline Rows RowsOf(const MetadataImage& image) {
  Rows rows;
  EXPECT_TRUE(VisitRows(image, [&](std::string_view key, const std::string& record) {
                rows[std::string(key)] = record;
                return Result<void>();
              }).ok());
  return rows;
}

// A controller on a simulated disk, which crashes and starts again.
class ControllerHarness {
 public:
  static constexpr char kDataDir[] = "/data";

  explicit ControllerHarness(uint64_t seed, int32_t feature_level = kFeatureLevel)
      : scheduler_(seed), files_(seed, &scheduler_.trace()), random_(seed) {
    behavior.node_id = NodeId{1};
    behavior.broker_sessions.timeout = std::chrono::hours(1000);  // nobody speaks for the brokers
    FormatOptions format;
    format.request_id_key[0] = 7;
    format.feature_level = feature_level;
    const auto formatted = FormatDirectory(files_, kDataDir, format, random_);
    EXPECT_TRUE(formatted.ok()) << formatted.error();
    directory_ = random_.NewUuid<DirectoryId>();
  }
  ~ControllerHarness() { Kill(); }

  ControllerOptions behavior;
  size_t snapshot_record_bytes = 20u << 20;
  int64_t segment_bytes = 16 << 10;
  // With an image store in memory, which a power loss sets back.
  bool has_store = true;
  Metrics* metrics = nullptr;   // outlives this
  std::vector<Error> failures;  // that ended an open controller's work

  // Opens the controller. False where it refuses; see error().
  bool Open() {
    End();
    error_.reset();
    process_ = std::make_unique<Process>(scheduler_, files_);
    Controller::Options options;
    options.loop = &process_->loop;
    options.disk = &process_->disk;
    options.data_dir = kDataDir;
    options.behavior = behavior;
    options.random = random_.Fork();
    options.persistent_image = false;
    if (has_store) options.image_store = NewMemoryStore(store_);
    options.snapshot_record_bytes = snapshot_record_bytes;
    options.segment_bytes = segment_bytes;
    options.metrics = metrics;
    options.on_failure = [this](const Error& error) { failures.push_back(error); };
    auto opened = Await<std::unique_ptr<Controller>>(
        [&](auto done) { Controller::Open(std::move(options), std::move(done)); });
    if (!opened.ok()) {
      error_ = opened.error();
      End();
      return false;
    }
    process_->controller = *std::move(opened);
    return true;
  }
  // Opens it, and registers broker 1.
  bool Start() { return Open() && Register(1).ok(); }

  void Kill() {
    End();
    files_.KillProcess();
  }
  void LosePower() {
    End();
    files_.LosePower();
  }
  Result<void> Close() {
    auto closed = Await<void>([&](auto done) { controller().Close(std::move(done)); });
    End();
    files_.KillProcess();
    return closed;
  }

  BrokerImage Broker(int32_t node) {
    BrokerImage broker;
    broker.id = NodeId{node};
    broker.incarnation = random_.NewUuid<DirectoryId>().bytes;
    broker.directories = {directory_};
    broker.directories[0].bytes[0] ^= static_cast<uint8_t>(node);
    broker.listeners["grpc"] = {"127.0.0.1", 9094};
    return broker;
  }
  Result<BrokerEpoch> Register(int32_t node) {
    return Await<BrokerEpoch>(
        [&](auto done) { controller().Run(RegisterBroker{Broker(node)}, std::move(done)); });
  }
  Result<TopicPtr> Create(CreateTopic operation) {
    return Await<TopicPtr>(
        [&](auto done) { controller().Run(std::move(operation), std::move(done)); });
  }
  Result<TopicPtr> Create(const std::string& name, int32_t partitions = 1, ConfigMap configs = {}) {
    CreateTopic operation;
    operation.name = name;
    operation.partitions = partitions;
    operation.configs = std::move(configs);
    return Create(std::move(operation));
  }
  Result<void> Delete(const std::string& name) {
    return Await<void>([&](auto done) {
      controller().Run(DeleteTopic{{name, std::nullopt}}, std::move(done));
    });
  }
  Result<TopicPtr> Add(AddPartitions operation) {
    return Await<TopicPtr>(
        [&](auto done) { controller().Run(std::move(operation), std::move(done)); });
  }
  // Of one alteration.
  Result<void> Alter(AlterConfig alteration, bool validate_only = false) {
    auto results = Await<std::vector<Result<void>>>([&](auto done) {
      controller().Run(AlterConfigs{{alteration}, validate_only}, std::move(done));
    });
    if (!results.ok()) return results.error();
    EXPECT_EQ(results->size(), 1u);
    return results->front();
  }
  Result<void> SetConfig(const std::string& topic, const std::string& name,
                         const std::string& value) {
    return Alter({ConfigResourceType::kTopic, topic, {{name, ConfigOpKind::kSet, value}}});
  }
  Result<ProducerIdBlock> ProducerIds(int64_t count) {
    return Await<ProducerIdBlock>(
        [&](auto done) { controller().Run(AllocateProducerIds{count}, std::move(done)); });
  }

  // Calls `start(done)` and waits for done(Result<T>).
  template <typename T, typename Call>
  Result<T> Await(Call call) {
    auto result = std::make_shared<std::optional<Result<T>>>();
    const bool came = process_->loop.RunUntil(
        [&] { call([result](Result<T> got) { result->emplace(std::move(got)); }); },
        [&] { return result->has_value(); }, std::chrono::minutes(1));
    if (!came) return Error(Reason::kCommitTimedOut, "no answer");
    return std::move(**result);
  }

  Controller& controller() { return *process_->controller; }
  ImagePtr image() { return controller().image(); }
  SimLoop& loop() { return process_->loop; }
  SimDisk& disk() { return process_->disk; }
  SimFileSystem& files() { return files_; }
  Scheduler& scheduler() { return scheduler_; }
  Random& random() { return random_; }
  const std::optional<Error>& error() const { return error_; }
  MemoryRows& store() { return *store_; }

 private:
  struct Process {
    Process(Scheduler& scheduler, SimFileSystem& files)
        : loop(scheduler, "controller"), disk(scheduler, files) {}
    SimLoop loop;
    SimDisk disk;
    std::unique_ptr<Controller> controller;
  };

  void End() {
    if (process_ == nullptr) return;
    process_->disk.Kill();
    process_->loop.Kill();
    process_.reset();
  }

  Scheduler scheduler_;
  SimFileSystem files_;
  Random random_;
  DirectoryId directory_;
  std::shared_ptr<MemoryRows> store_ = std::make_shared<MemoryRows>();
  std::optional<Error> error_;
  std::unique_ptr<Process> process_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_CONTROLLER_CONTROLLER_HARNESS_H_
