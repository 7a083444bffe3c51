#ifndef GREGOR_TESTS_SIM_CLUSTER_SCENARIO_H_
#define GREGOR_TESTS_SIM_CLUSTER_SCENARIO_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/cluster_checkers.h"
#include "tests/sim/cluster_node.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_run.h"
#include "tests/sim/soak_checker.h"

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
    kWipe,   // a disk is exchanged for an empty one
    kClone,  // a copy of a disk is started beside the one that it was made of
    kFaultCount,
  };

  ClusterSwarm(Random& random, const SimRun& run);
  // A day of steady work, with a fault now and then that is over within minutes.
  static ClusterSwarm Soak(Random& random, const SimRun& run);
  // Takes out what the run leaves out.
  void LeaveOut(const SimRun& run);

  int voter_count = 3;
  int follower_count = 0;  // brokers that are no controllers
  std::vector<uint64_t> fault_weights;
  Duration duration{0};
  Duration operation_interval{0};  // mean
  Duration fault_interval{0};      // mean
  Duration heal_after{0};          // mean; 0: when it is drawn
  NetworkFaults network;
  int64_t segment_bytes = 1 << 20;
  size_t snapshot_record_bytes = 20u << 20;
  BrokerSessions::Options sessions;
  std::chrono::seconds balance_interval{0};
  // So that what makes a topic, or elects many leaders, is a transaction.
  size_t transaction_batch_bytes = 256u << 10;
  // Topics ask for several replicas in sync, and leaders are late with what they ask for. Not all
  // seeds have that, so that known ones stay the runs that they were.
  bool is_newer = false;
};

// Controllers and brokers, their administrators, and faults of all kinds.
class ClusterScenario {
 public:
  enum class Kind { kChaos, kSoak };
  ClusterScenario(const SimRun& run, Kind kind);
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
  void SetConfig(ControllerApi& api);
  void ElectSome(ControllerApi& api);
  void MoveSome(ControllerApi& api);
  // The leader of a partition says that all replicas that live are in sync, as its image has them.
  void GrowInSync();
  TopicPtr AnyTopic();
  void DrainBroker(ControllerApi& api);
  // Gives a voter whose disk was exchanged its vote back, a step at a time.
  void ReplaceVoters();

  void ScheduleFault();
  void Inject(ClusterSwarm::Fault fault);
  void InjectAt(Node& node, ClusterSwarm::Fault fault);
  void Wipe(Node& node);
  void Clone(Node& node);
  std::vector<NodeId> NodeIds() const;
  void Heal();

  // The steps of the end, when all is well again.
  bool RunUntil(const std::function<bool()>& done, Duration limit);
  // What must hold all the time of a cluster that is well, looked at each simulated minute.
  void ScheduleSoakCheck();
  void CheckSoak();
  SoakView ViewOf(Node& node) const;
  bool IsSettled() const;
  bool ReplaceAllVoters();
  void CheckSettles(const char* when);
  void CheckDeadIsFenced();
  void CheckQuiet();
  void CheckPreferredLead(const MetadataImage& image);
  std::string Describe() const;

  const SimRun run_;
  Scheduler scheduler_;
  SimReport report_;
  Verdict verdict_;
  Random random_;
  Random more_random_;  // for what not all seeds have
  ClusterSwarm swarm_;
  SimNetwork network_;
  ClusterChecker checker_;
  std::optional<SoakChecker> soak_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::map<NodeId, uint64_t> known_errors_;  // when the process began
  std::set<NodeId> wiped_;                   // voters whose disk is not the one that votes
  MonotonicTime well_since_;                 // the last fault is over since then
  bool is_well_ = true;
  uint64_t last_name_ = 0;
  bool chaos_ = true;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_CLUSTER_SCENARIO_H_
