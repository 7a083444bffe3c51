#ifndef GREGOR_TESTS_SIM_CLUSTER_SCENARIO_H_
#define GREGOR_TESTS_SIM_CLUSTER_SCENARIO_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/cluster_checkers.h"
#include "tests/sim/cluster_node.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_run.h"

namespace gregor {

// What a run does and suffers, drawn from its seed.
struct ClusterSwarm {
  enum Fault {
    kKill,
    kPowerLoss,
    kPowerLossOfAll,
    kKillLeader,
    kIsolate,
    kCutSome,
    kHeal,
    kPause,
    kSlowDisk,
    kHang,
    kFailCall,
    kClockJump,
    kFaultCount,
  };

  explicit ClusterSwarm(Random& random);

  int voter_count = 3;
  int follower_count = 0;  // brokers that are no controllers
  std::vector<uint64_t> fault_weights;
  Duration duration{0};
  Duration operation_interval{0};  // mean
  Duration fault_interval{0};      // mean
  NetworkFaults network;
  int64_t segment_bytes = 1 << 20;
  size_t snapshot_record_bytes = 20u << 20;
  BrokerSessions::Options sessions;
};

// Controllers and brokers, their administrators, and faults of all kinds.
class ClusterScenario {
 public:
  explicit ClusterScenario(const SimRun& run);
  SimReport Run();

 private:
  using Node = ClusterNode;

  void Start(Node& node);
  void Stop(Node& node, StopKind stop);
  void AfterEvent();
  Node* Leader();
  Node* AnyReady();
  ImagePtr NewestImage() const;

  void ScheduleOperation();
  void Operate();
  void CreateTopic(ControllerApi& api);
  void DeleteTopic(ControllerApi& api);
  void AddPartitions(ControllerApi& api);
  void TakeProducerIds(ControllerApi& api);
  void FenceByHand(ControllerApi& api);

  void ScheduleFault();
  void Inject(ClusterSwarm::Fault fault);
  void InjectAt(Node& node, ClusterSwarm::Fault fault);
  void Isolate(Node& node);
  void CutSome();
  void Heal();

  // The steps of the end, when all is well again.
  bool RunUntil(const std::function<bool()>& done, Duration limit);
  bool IsSettled() const;
  void CheckSettles(const char* when);
  void CheckDeadIsFenced();
  void CheckQuiet();
  std::string Describe() const;

  Scheduler scheduler_;
  SimReport report_;
  Verdict verdict_;
  Random random_;
  ClusterSwarm swarm_;
  SimNetwork network_;
  ClusterChecker checker_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::map<NodeId, uint64_t> known_errors_;  // when the process began
  uint64_t last_name_ = 0;
  bool chaos_ = true;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_CLUSTER_SCENARIO_H_
