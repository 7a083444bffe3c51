#ifndef GREGOR_TESTS_SIM_CLUSTER_NODE_H_
#define GREGOR_TESTS_SIM_CLUSTER_NODE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "broker/controller_session.h"
#include "controller/controller.h"
#include "controller/operation_router.h"
#include "controller/operation_server.h"
#include "tests/sim/checkers.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_file_system.h"
#include "tests/sim/sim_network.h"

namespace gregor {

// A node of a cluster without its doors and its partitions: controller (or follower of the
// controllers), the operations' way to the active one, and a broker's session. It starts and ends
// any number of times. Thread: the simulation's.
class ClusterNode final : private SnapshotSource, private RemoteController {
 public:
  struct Options {
    NodeId node{1};
    ClusterId cluster;
    std::array<uint8_t, 16> request_id_key{};
    raft::Options raft;  // with the voters
    ControllerOptions behavior;
    int64_t segment_bytes = 1 << 20;
    size_t snapshot_record_bytes = 20u << 20;
    std::function<ClusterNode&(NodeId)> peer;
    // The node's image moved on; up to there the node knows that the log is committed.
    std::function<void(const MetadataDelta&, Offset commit)> on_image;
  };

  ClusterNode(Scheduler& scheduler, SimNetwork& network, Options options, uint64_t seed);
  ~ClusterNode() override { Stop(StopKind::kKill); }

  // REQUIRES: stopped.
  void Start();
  void Stop(StopKind stop);
  // The disk is exchanged for an empty one, and formatted. REQUIRES: stopped.
  void Wipe();
  void Pause();
  void Resume();
  void Hang() { process_->disk.Hang(); }
  void ResumeDisk() { process_->disk.Resume(); }
  void SetLatency(const SimDisk::Latency& latency) { process_->disk.set_latency(latency); }

  NodeId id() const { return options_.node; }
  // Rises with each process.
  uint64_t life() const { return life_; }
  bool is_running() const { return process_ != nullptr; }
  bool is_paused() const { return is_paused_; }
  // Whether it serves: its broker is registered.
  bool is_ready() const { return is_running() && process_->is_registered; }
  bool leads() const { return is_open() && leader().leader == id(); }
  QuorumLeader leader() const {
    return is_open() ? process_->controller->leader() : QuorumLeader{};
  }
  // nullptr where it is not open.
  ImagePtr image() const { return is_open() ? process_->controller->image() : nullptr; }
  // Whether it was not let in.
  bool has_given_up() const { return is_open() && process_->failure.has_value(); }
  // What keeps the process from going on.
  std::optional<Error> failure() const;
  SimFileSystem& files() { return *files_; }
  // What a registration of it names.
  const DirectoryId& log_directory() const { return log_directory_; }

  // Who votes, with their directories; none where something is under way. REQUIRES: leads().
  std::vector<VoterKey> CommittedVoters();
  // Changes the voters; what comes of it is seen there. REQUIRES: leads().
  void AddVoter(NodeId node);
  void RemoveVoter(const VoterKey& voter);
  // The one that the node would vote with.
  VoterKey voter_key() const { return {id(), directory_}; }

  // REQUIRES: is_ready(). The answer never comes if the process ends first.
  ControllerApi& operations() { return *process_->router; }

 private:
  struct Process {
    Process(Scheduler& scheduler, SimFileSystem& files, const std::string& name)
        : loop(scheduler, name), disk(scheduler, files), metrics(Metrics::Create()) {}
    SimLoop loop;
    SimDisk disk;
    std::unique_ptr<Metrics> metrics;
    std::unique_ptr<RaftTransport> transport;
    Reader reader;
    std::unique_ptr<Controller> controller;
    std::unique_ptr<OperationServer> server;
    std::unique_ptr<OperationRouter> router;
    std::unique_ptr<ControllerSession> session;
    std::shared_ptr<void> watch;
    bool is_registered = false;
    std::optional<Error> failure;
  };

  void Format();
  bool is_open() const { return is_running() && process_->controller != nullptr; }
  void OnOpened(Result<std::unique_ptr<Controller>> opened);
  BrokerImage Broker();
  Duration Delay();
  // The same process as when `life` was it.
  bool Lives(uint64_t life) const { return is_running() && life == life_; }
  void Serve(const pb::OperationRequest& request,
             std::function<void(Result<pb::OperationResponse>)> answer);

  void Fetch(NodeId from, Offset end_min, Fetched fetched) override;
  void SetReader(Reader reader) override { process_->reader = std::move(reader); }
  void Execute(NodeId node, const pb::OperationRequest& request, Duration timeout,
               Done done) override;

  Scheduler& scheduler_;
  SimNetwork& network_;
  const Options options_;
  std::unique_ptr<SimFileSystem> files_;
  Random random_;
  DirectoryId directory_;      // of its metadata
  DirectoryId log_directory_;  // of what a broker keeps
  uint64_t life_ = 0;
  bool is_paused_ = false;
  std::unique_ptr<Process> process_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_CLUSTER_NODE_H_
