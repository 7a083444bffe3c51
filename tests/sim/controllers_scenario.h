#ifndef GREGOR_TESTS_SIM_CONTROLLERS_SCENARIO_H_
#define GREGOR_TESTS_SIM_CONTROLLERS_SCENARIO_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/controller.h"
#include "tests/sim/checkers.h"
#include "tests/sim/metadata_checker.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_file_system.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_run.h"

namespace gregor {

// Controllers on a metadata quorum, on disks and a network of all kinds, and who asks them.
class ControllersScenario {
 public:
  explicit ControllersScenario(const SimRun& run);
  ~ControllersScenario();
  SimReport Run();

 private:
  class Node;
  enum Fault { kKill, kKillLeader, kPowerLoss, kPowerLossOfAll, kIsolate, kPause, kSlow, kHeal };

  void ScheduleOperation();
  void Ask(Node& node);
  void Register(Controller& controller);
  void Speak(Controller& controller);
  void ScheduleFault();
  void Inject(Fault fault);
  void ScheduleDiskFault();
  void Heal();
  void AfterEvent();
  Node* Leader();
  bool RunUntil(const std::function<bool()>& done, Duration limit);
  void CheckLiveness();
  void CheckHealing();
  // What a node gets of another one's snapshot: now and then less than there was.
  void Cut(NodeId receiver, TravellingSnapshot& snapshot);
  // Of a node that has stopped: what a start finds (S2-S5).
  void CheckDisk(Node& node);

  const SimRun run_;
  Scheduler scheduler_;
  SimReport report_;
  Verdict verdict_;
  MetadataChecker checker_;
  Random random_;
  Random disk_random_;  // for what not all seeds have
  SimNetwork network_;
  ClusterId cluster_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<uint64_t> fault_weights_;
  Duration duration_{0}, operation_interval_{0}, fault_interval_{0};
  size_t snapshot_record_bytes_ = 0;
  int64_t segment_bytes_ = 0;
  size_t transaction_batch_bytes_ = 0;
  Duration hash_interval_{0};
  double cuts_ = 0;
  bool damages_ = false, fills_ = false;
  Node* damaged_ = nullptr;  // one that has not opened its log since
  std::set<NodeId> hurt_;    // who has ever been, with this disk
  std::map<NodeId, uint64_t> known_full_;
  uint64_t last_value_ = 0;
  std::map<NodeId, BrokerEpoch> brokers_;  // as they were registered last
  bool chaos_ = true;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_CONTROLLERS_SCENARIO_H_
