// Controllers on a quorum of several: one image everywhere, whoever leads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/controller.h"
#include "controller/format.h"
#include "tests/controller/controller_harness.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_file_system.h"
#include "tests/sim/sim_network.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kDataDir[] = "/node";

class Cluster {
 public:
  explicit Cluster(uint64_t seed, int size = 3, size_t snapshot_record_bytes = 20u << 20)
      : scheduler_(seed), network_(scheduler_), snapshot_record_bytes_(snapshot_record_bytes) {
    cluster_ = scheduler_.random().NewUuid<ClusterId>();
    for (int id = 1; id <= size; ++id) {
      nodes_.push_back(std::make_unique<Node>(*this, NodeId{id}));
      Start(id);
    }
  }
  ~Cluster() {
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
  bool WaitFor(const std::function<bool()>& done, Duration limit = seconds(30)) {
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
      scheduler_.RunFor(milliseconds(50));
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

 private:
  struct Node final : SnapshotSource {
    struct Process {
      Process(Scheduler& scheduler, SimFileSystem& files)
          : loop(scheduler, "controller"), disk(scheduler, files) {}
      SimLoop loop;
      SimDisk disk;
      std::unique_ptr<RaftTransport> transport;
      std::unique_ptr<Controller> controller;
    };

    Node(Cluster& cluster, NodeId id)
        : cluster(cluster), id(id), files(static_cast<uint64_t>(id.value), nullptr) {
      Random random(static_cast<uint64_t>(id.value));
      const auto formatted = FormatDirectory(
          files, kDataDir, {.node_id = id, .cluster_id = cluster.cluster_, .request_id_key = {}},
          random);
      CHECK(formatted.ok()) << formatted.error();
    }

    void Start() {
      process = std::make_unique<Process>(cluster.scheduler_, files);
      process->transport = cluster.network_.Attach(id, process->loop);
      Controller::Options options;
      options.loop = &process->loop;
      options.disk = &process->disk;
      options.data_dir = kDataDir;
      options.behavior.node_id = id;
      for (size_t i = 1; i <= 3; ++i)
        options.raft.configured.push_back({{NodeId{static_cast<int32_t>(i)}, DirectoryId{}}, {}});
      options.transport = process->transport.get();
      options.snapshots = this;
      options.random = cluster.scheduler_.random().Fork();
      options.persistent_image = false;
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
      files.KillProcess();
    }
    void Fetch(NodeId from, Offset end_min, Fetched fetched) override {
      ++cluster.snapshots_fetched;
      auto& other = *cluster.nodes_[static_cast<size_t>(from.value - 1)];
      if (!cluster.IsOpen(from.value))
        return fetched(Error(Reason::kLeaderNotAvailable, "it is not there"));
      other.process->loop.Post(
          "read", [this, &other, end_min, fetched = std::move(fetched)]() mutable {
            other.process->controller->ReadSnapshot(
                end_min, [this, fetched = std::move(fetched)](auto snapshot) mutable {
                  process->loop.Post("fetched", [fetched = std::move(fetched),
                                                 snapshot = std::move(snapshot)]() mutable {
                    fetched(std::move(snapshot));
                  });
                });
          });
    }

    Cluster& cluster;
    const NodeId id;
    SimFileSystem files;
    std::unique_ptr<Process> process;
  };

  Scheduler scheduler_;
  SimNetwork network_;
  ClusterId cluster_;
  const size_t snapshot_record_bytes_;
  std::vector<std::unique_ptr<Node>> nodes_;
};

TEST(ControllerQuorum, WhatTheLeaderDoesComesToAll) {
  Cluster cluster(1);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3}));
  ASSERT_TRUE(cluster.Set("1000"));
  ASSERT_TRUE(cluster.Set("2000"));
  EXPECT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
  EXPECT_GT(cluster.controller(3).image()->version, Offset{2});
}

TEST(ControllerQuorum, OneThatIsKilledIsMissedByNobodyAndCatchesUp) {
  Cluster cluster(2);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3}));
  for (int id = 1; id <= 3; ++id) {
    ASSERT_TRUE(cluster.Set(std::to_string(1000 * id)));
    cluster.Kill(id);
    ASSERT_TRUE(cluster.Set(std::to_string(1000 * id + 1))) << "without node " << id;
    cluster.Start(id);
    ASSERT_TRUE(cluster.WaitForOpen({id}));
    EXPECT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
  }
}

TEST(ControllerQuorum, AllOfThemComeBack) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3}));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(cluster.Set(std::to_string(1000 + i)));
  ASSERT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
  const auto before = RowsOf(*cluster.controller(1).image());
  for (int id = 1; id <= 3; ++id) cluster.Kill(id);
  for (int id = 1; id <= 3; ++id) cluster.Start(id);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3}));
  EXPECT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
  EXPECT_EQ(RowsOf(*cluster.controller(1).image()), before);
}

TEST(ControllerQuorum, OneThatWasAwayForLongGetsASnapshot) {
  Cluster cluster(4, 3, /*snapshot_record_bytes=*/1000);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3}));
  ASSERT_TRUE(cluster.Set("1000"));
  ASSERT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
  cluster.Kill(2);
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(cluster.Set(std::to_string(2000 + i)));
  cluster.Start(2);
  ASSERT_TRUE(cluster.WaitForOpen({2}));
  EXPECT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
  EXPECT_GT(cluster.snapshots_fetched, 0);
  // ... and goes on from there, also after a restart.
  ASSERT_TRUE(cluster.Set("9000"));
  EXPECT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
  cluster.Kill(2);
  cluster.Start(2);
  ASSERT_TRUE(cluster.WaitForOpen({2}));
  EXPECT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
}

}  // namespace
}  // namespace gregor
