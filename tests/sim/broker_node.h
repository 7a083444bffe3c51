#ifndef GREGOR_TESTS_SIM_BROKER_NODE_H_
#define GREGOR_TESTS_SIM_BROKER_NODE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "broker/broker.h"
#include "controller/controller.h"
#include "tests/sim/storage_node.h"

namespace gregor {

// A whole node but for its doors: controller and broker on simulated loops and disks, put together
// as node/node.cc does. It starts and ends any number of times; the files stay.
// Thread: the simulation's.
class BrokerNode {
 public:
  struct Options {
    StorageNode::Options storage;
    ConfigMap static_configs;
    Duration retention_check_interval = std::chrono::seconds(10);
    int64_t metadata_segment_bytes = 16 << 20;
    size_t snapshot_record_bytes = 20u << 20;
  };

  BrokerNode(Scheduler& scheduler, SimFileSystem& files, Options options);
  ~BrokerNode() { Stop(StopKind::kKill); }

  // Formats the disk if that was not done, starts controller and broker. `serving` runs once calls
  // can be made; `ended` once all logs are open, or with what was in the way: then it is to be
  // stopped. REQUIRES: stopped.
  void Start(std::function<void()> serving, std::function<void(Result<void>)> ended);
  // As a stop by SIGTERM: `done` says how clean it was; Stop() has to follow.
  void Close(UniqueFunction<void(Result<void>)> done);
  void Stop(StopKind stop);
  bool is_running() const { return process_ != nullptr; }

  Broker& broker() { return *process_->broker; }
  bool is_serving() const { return process_ != nullptr && process_->serving; }
  // What makes the process unfit to go on, if anything does.
  std::optional<Error> failure() const;
  void Hang();
  void Resume();
  void SetLatency(const SimDisk::Latency& latency);
  size_t directory_count() const { return options_.storage.directory_count; }

 private:
  struct Process {
    std::unique_ptr<SimLoop> loop;  // the controller's
    std::unique_ptr<SimDisk> disk;
    std::unique_ptr<MutantDisk> mutant_disk;
    std::unique_ptr<Controller> controller;
    std::unique_ptr<Broker> broker;
    std::shared_ptr<void> watch;
    bool serving = false;
    std::function<void()> on_serving;
    std::function<void(Result<void>)> on_ended;
  };

  Options WithAlias(Options options);
  TopicIdPartition AliasOf(const TopicIdPartition& partition) const;
  Result<void> Format();
  void OnController(Result<std::unique_ptr<Controller>> opened);
  void StartBroker();
  void OnRegistered();
  void OnMetadata(const MetadataDelta& delta);
  void EndStart(Result<void> result);
  // Those from `first` on.
  void CloseDirectories(size_t first, UniqueFunction<void(Result<void>)> done);

  Scheduler& scheduler_;
  SimFileSystem& files_;
  std::map<TopicId, std::string> names_;  // of all topics that ever were
  const Options options_;
  StorageNode storage_;
  MutantFileSystem mutant_files_;
  Random random_;
  std::array<uint8_t, 16> request_id_key_{};
  std::unique_ptr<Process> process_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_BROKER_NODE_H_
