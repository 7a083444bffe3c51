#ifndef GREGOR_TESTS_SIM_CONTROLLER_CLUSTER_H_
#define GREGOR_TESTS_SIM_CONTROLLER_CLUSTER_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "controller/controller.h"
#include "controller/format.h"
#include "tests/controller/controller_harness.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_file_system.h"
#include "tests/sim/sim_network.h"

namespace gregor {

// Controllers 1 to `size` on simulated disks and a simulated network; those up to 3 are voters from
// the beginning. Each may be killed, and started again.
class ControllerCluster {
 public:
  static constexpr char kDataDir[] = "/node";

  explicit ControllerCluster(uint64_t seed, int size = 3, size_t snapshot_record_bytes = 20u << 20,
                             size_t transaction_batch_bytes = 256u << 10,
                             int32_t feature_level = kFeatureLevel)
      : scheduler_(seed),
        network_(scheduler_),
        feature_level_(feature_level),
        snapshot_record_bytes_(snapshot_record_bytes),
        transaction_batch_bytes_(transaction_batch_bytes) {
    cluster_ = scheduler_.random().NewUuid<ClusterId>();
    for (int id = 1; id <= size; ++id) {
      nodes_.push_back(std::make_unique<Node>(*this, NodeId{id}));
      Start(id);
    }
  }
  ~ControllerCluster() {
    for (auto& node : nodes_) node->Stop();
  }

  void Start(int id) { nodes_[static_cast<size_t>(id - 1)]->Start(); }
  void Kill(int id) { nodes_[static_cast<size_t>(id - 1)]->Stop(); }
  Controller& controller(int id) {
    return *nodes_[static_cast<size_t>(id - 1)]->process->controller;
  }
  bool IsOpen(int id) {
    const auto& node = nodes_[static_cast<size_t>(id - 1)];
    return node->process != nullptr && node->process->controller != nullptr;
  }
  bool WaitFor(const std::function<bool()>& done, Duration limit = std::chrono::seconds(30)) {
    return scheduler_.RunUntil(done, limit);
  }
  bool WaitForOpen(std::vector<int> ids) {
    return WaitFor(
        [&] { return std::all_of(ids.begin(), ids.end(), [&](int id) { return IsOpen(id); }); });
  }
  // Sets the cluster's log.retention.ms: asks one node after the other, until one of them leads.
  bool Set(const std::string& value) {
    for (int turn = 0; turn < 200; ++turn) {
      for (size_t i = 0; i < nodes_.size(); ++i) {
        if (!IsOpen(static_cast<int>(i + 1))) continue;
        std::optional<Result<std::vector<Result<void>>>> answer;
        nodes_[i]->process->controller->Run(AlterConfigs{{{.type = ConfigResourceType::kBroker,
                                                           .name = "",
                                                           .ops = {{.name = "log.retention.ms",
                                                                    .kind = ConfigOpKind::kSet,
                                                                    .value = value}}}},
                                                         false},
                                            [&](auto result) { answer = std::move(result); });
        if (!WaitFor([&] { return answer.has_value(); })) return false;
        if (answer->ok()) return (**answer)[0].ok();
      }
      scheduler_.RunFor(std::chrono::milliseconds(50));
    }
    return false;
  }
  bool WaitForSameImages(std::vector<int> ids) {
    return WaitFor([&] {
      return std::all_of(ids.begin(), ids.end(), [&](int id) {
        return IsOpen(id) && RowsOf(*controller(id).image()) == RowsOf(*controller(ids[0]).image());
      });
    });
  }
  int snapshots_fetched = 0;
  bool has_stores = false;  // of nodes that start from now on: in memory

  // The node that leads; 0: none.
  int Leader() {
    for (int id = 1; id <= static_cast<int>(nodes_.size()); ++id) {
      if (IsOpen(id) && controller(id).leader().leader.value == id) return id;
    }
    return 0;
  }
  int WaitForLeader() {
    EXPECT_TRUE(WaitFor([&] { return Leader() != 0; }));
    return Leader();
  }
  template <typename T>
  Result<T> Ask(int id, std::function<void(Controller&, UniqueFunction<void(Result<T>)>)> ask) {
    std::optional<Result<T>> answer;
    nodes_[static_cast<size_t>(id - 1)]->process->loop.Post(
        "ask", [&] { ask(controller(id), [&](Result<T> result) { answer = std::move(result); }); });
    if (!WaitFor([&] { return answer.has_value(); }))
      return Error(Reason::kUnspecified, "there is no answer");
    return *answer;
  }
  Result<void> AddVoter(int leader, int id, DirectoryId directory = {}) {
    return Ask<void>(leader, [&](Controller& controller, auto done) {
      controller.AddVoter({{NodeId{id}, directory}, {{"internal", "node", 9093}}}, std::move(done));
    });
  }
  Result<void> RemoveVoter(int leader, int id) {
    return Ask<void>(leader, [&](Controller& controller, auto done) {
      controller.RemoveVoter({NodeId{id}, DirectoryId{}}, std::move(done));
    });
  }
  Result<QuorumStatus> Describe(int id) {
    return Ask<QuorumStatus>(
        id, [](Controller& controller, auto done) { controller.DescribeQuorum(std::move(done)); });
  }
  Result<NodeId> Transfer(int leader, std::optional<NodeId> to) {
    return Ask<NodeId>(leader, [&](Controller& controller, auto done) {
      controller.Transfer(to, std::move(done));
    });
  }
  // Ids of those who vote, as a node knows.
  std::vector<int> Voters(int id) {
    std::vector<int> voters;
    for (const QuorumMember& voter : controller(id).quorum().voters)
      voters.push_back(voter.key.node.value);
    std::sort(voters.begin(), voters.end());
    return voters;
  }
  // Until a node follows, and has everything.
  bool WaitForObserver(int leader, int id) {
    return WaitFor([&] {
      const QuorumStatus status = controller(leader).quorum();
      return std::any_of(status.observers.begin(), status.observers.end(),
                         [&](const QuorumMember& each) {
                           return each.key.node.value == id && each.match == status.commit;
                         });
    });
  }
  void CloseCleanly(int id) {
    bool is_closed = false;
    controller(id).Close([&](const Result<void>& closed) { is_closed = closed.ok(); });
    EXPECT_TRUE(WaitFor([&] { return is_closed; }));
    Kill(id);
  }
  // Its disk is exchanged for a new one. REQUIRES: killed.
  void Wipe(int id) { nodes_[static_cast<size_t>(id - 1)]->Format(); }
  // The node alone on its side of the network, until HealNetwork(). `noticed`: they learn of it.
  void Isolate(int id, bool noticed = true) {
    for (const auto& node : nodes_) {
      if (node->id.value == id) continue;
      network_.Cut(NodeId{id}, node->id, noticed);
      network_.Cut(node->id, NodeId{id}, noticed);
    }
  }
  void HealNetwork() { network_.HealAll(); }
  MemoryRows& store(int id) { return *nodes_[static_cast<size_t>(id - 1)]->store; }
  // Of a number without labels.
  int64_t Metric(int id, const std::string& name) {
    const std::string text = nodes_[static_cast<size_t>(id - 1)]->process->metrics->Render();
    const size_t at = text.find("\n" + name + " ");
    CHECK(at != std::string::npos) << name;
    return std::stoll(text.substr(at + name.size() + 2));
  }
  MonotonicTime Now() { return scheduler_.clock().Now(); }
  Random& random() { return scheduler_.random(); }
  SimFileSystem& disk(int id) { return *nodes_[static_cast<size_t>(id - 1)]->disk; }
  void RunFor(Duration duration) { scheduler_.RunFor(duration); }

 private:
  struct Node final : SnapshotSource {
    struct Process {
      Process(Scheduler& scheduler, SimFileSystem& files)
          : loop(scheduler, "controller"), disk(scheduler, files) {}
      SimLoop loop;
      SimDisk disk;
      std::unique_ptr<Metrics> metrics = Metrics::Create();
      std::unique_ptr<RaftTransport> transport;
      Reader reader;
      std::unique_ptr<Controller> controller;
    };

    Node(ControllerCluster& cluster, NodeId id) : cluster(cluster), id(id) { Format(); }

    void Format() {
      files_seed += 100;
      *store = MemoryRows();
      disk = std::make_unique<SimFileSystem>(files_seed, nullptr);
      Random random(files_seed);
      const auto formatted = FormatDirectory(*disk, kDataDir,
                                             {.node_id = id,
                                              .cluster_id = cluster.cluster_,
                                              .request_id_key = {},
                                              .feature_level = cluster.feature_level_},
                                             random);
      CHECK(formatted.ok()) << formatted.error();
    }

    void Start() {
      ++life;
      process = std::make_unique<Process>(cluster.scheduler_, *disk);
      process->transport = cluster.network_.Attach(id, process->loop);
      Controller::Options options;
      options.loop = &process->loop;
      options.disk = &process->disk;
      options.data_dir = kDataDir;
      options.behavior.node_id = id;
      // Nobody speaks for the brokers.
      options.behavior.broker_sessions.timeout = std::chrono::hours(1000);
      options.behavior.transaction_batch_bytes = cluster.transaction_batch_bytes_;
      // So that a large operation goes in many messages.
      options.raft.append_bytes_max = cluster.transaction_batch_bytes_;
      for (size_t i = 1; i <= 3; ++i)
        options.raft.configured.push_back({{NodeId{static_cast<int32_t>(i)}, DirectoryId{}}, {}});
      options.transport = process->transport.get();
      options.snapshots = this;
      options.random = cluster.scheduler_.random().Fork();
      options.persistent_image = false;
      if (cluster.has_stores) options.image_store = NewMemoryStore(store);
      options.metrics = process->metrics.get();
      options.snapshot_record_bytes = cluster.snapshot_record_bytes_;
      options.segment_bytes = 2000;
      Controller::Open(std::move(options), [this](auto opened) {
        ASSERT_TRUE(opened.ok()) << opened.error();
        process->controller = *std::move(opened);
      });
    }
    void Stop() {
      if (process == nullptr) return;
      process->disk.Kill();
      process->loop.Kill();
      process->controller.reset();
      process->transport.reset();
      process.reset();
      disk->KillProcess();
    }
    void SetReader(Reader reader) override { process->reader = std::move(reader); }
    void Fetch(NodeId from, Offset end_min, Fetched fetched) override {
      ++cluster.snapshots_fetched;
      Node& other = *cluster.nodes_[static_cast<size_t>(from.value - 1)];
      // Whoever is asked may end before it has answered.
      const auto waiting = std::make_shared<Fetched>(std::move(fetched));
      const auto answer = [waiting](Result<TravellingSnapshot> snapshot) {
        if (*waiting) std::exchange(*waiting, {})(std::move(snapshot));
      };
      if (!cluster.IsOpen(from.value))
        return answer(Error(Reason::kLeaderNotAvailable, "it is not there"));
      process->loop.After(std::chrono::seconds(2), "fetch.timeout", [answer] {
        answer(Error(Reason::kLeaderNotAvailable, "it does not answer"));
      });
      other.process->loop.Post("read", [this, &other, end_min, answer, life = life] {
        ReadWhole(other.process->reader, end_min,
                  [this, answer, life](Result<TravellingSnapshot> snapshot) {
                    if (process == nullptr || life != this->life) return;
                    process->loop.Post("fetched",
                                       [answer, snapshot = std::move(snapshot)]() mutable {
                                         answer(std::move(snapshot));
                                       });
                  });
      });
    }

    ControllerCluster& cluster;
    const NodeId id;
    uint64_t files_seed = static_cast<uint64_t>(id.value);
    int life = 0;  // counts starts
    std::unique_ptr<SimFileSystem> disk;
    std::shared_ptr<MemoryRows> store = std::make_shared<MemoryRows>();
    std::unique_ptr<Process> process;
  };

  Scheduler scheduler_;
  SimNetwork network_;
  ClusterId cluster_;
  const int32_t feature_level_;
  const size_t snapshot_record_bytes_;
  const size_t transaction_batch_bytes_;
  std::vector<std::unique_ptr<Node>> nodes_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_CONTROLLER_CLUSTER_H_
