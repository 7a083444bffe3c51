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
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_file_system.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_run.h"

namespace gregor {

// What must hold of the cluster's metadata, as those see them who ask the controllers and who watch
// the images (numbers of reference scenarios): images of one version are equal (C1), what is
// answered is applied, and stays (C7, C11), no broker epoch and no producer id is given twice (C6,
// C10), and brokers are given their time by whoever leads (C12), and no image has a part of an
// operation (C8). One setting is set to ever higher values, so that the latest of two is known by
// its value. Thread: the simulation's.
class MetadataChecker {
 public:
  explicit MetadataChecker(Verdict& verdict) : verdict_(verdict) {}

  void OnImage(NodeId node, const MetadataImage& image);
  // The node leads `term` from now on, as far as was seen before.
  void OnLeads(Term term, MonotonicTime now) { leads_since_.emplace(term, now); }
  // A broker that said nothing of itself is fenced: not before a controller has led for as long as
  // it waits for brokers.
  void OnChange(const MetadataDelta& delta, MonotonicTime now);
  // The setting is to be `value`, for the whole cluster and for each of `brokers`: in one step
  // (C8).
  void OnAsked(uint64_t value, std::vector<NodeId> brokers) { asked_[value] = std::move(brokers); }
  // The setting was set to `value`, says the node that serves `image`.
  void OnSet(NodeId node, uint64_t value, const MetadataImage& image);
  void OnBrokerEpoch(BrokerEpoch epoch);
  void OnProducerIds(const ProducerIdBlock& block);

  static constexpr char kSetting[] = "log.retention.ms";
  // Of the whole cluster, or of one broker.
  static uint64_t ValueIn(const MetadataImage& image, NodeId broker = NodeId{-1});
  uint64_t answered() const { return answered_; }
  size_t version_count() const { return versions_.size(); }

 private:
  struct Version {
    uint64_t hash = 0;
    uint64_t value = 0;
  };
  void CheckWhole(NodeId node, const MetadataImage& image);

  Verdict& verdict_;
  std::map<Offset, Version> versions_;
  std::map<uint64_t, std::vector<NodeId>> asked_;
  uint64_t answered_ = 0;  // the highest value
  std::map<Term, MonotonicTime> leads_since_;
  std::set<BrokerEpoch> epochs_;
  std::map<int64_t, int64_t> producer_ids_;  // ends of blocks, by where they begin
};

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
  void Heal();
  void AfterEvent();
  Node* Leader();
  bool RunUntil(const std::function<bool()>& done, Duration limit);
  void CheckLiveness();
  // What a node gets of another one's snapshot: now and then less than there was.
  void Cut(TravellingSnapshot& snapshot);

  const SimRun run_;
  Scheduler scheduler_;
  SimReport report_;
  Verdict verdict_;
  MetadataChecker checker_;
  Random random_;
  SimNetwork network_;
  ClusterId cluster_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<uint64_t> fault_weights_;
  Duration duration_{0}, operation_interval_{0}, fault_interval_{0};
  size_t snapshot_record_bytes_ = 0;
  int64_t segment_bytes_ = 0;
  size_t transaction_batch_bytes_ = 0;
  double cuts_ = 0;
  uint64_t last_value_ = 0;
  std::map<NodeId, BrokerEpoch> brokers_;  // as they were registered last
  bool chaos_ = true;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_CONTROLLERS_SCENARIO_H_
