#ifndef GREGOR_TESTS_SIM_QUORUM_SCENARIO_H_
#define GREGOR_TESTS_SIM_QUORUM_SCENARIO_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "tests/sim/quorum_checkers.h"
#include "tests/sim/quorum_node.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_run.h"

namespace gregor {

// What a run does and suffers, drawn from its seed.
struct QuorumSwarm {
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
    kWipe,
    kChangeVoter,
    kFaultCount,
  };

  QuorumSwarm(Random& random, const SimRun& run);

  int voter_count = 3;
  int observer_count = 0;
  std::vector<uint64_t> fault_weights;
  Duration duration{0};
  Duration append_interval{0};  // mean
  Duration fault_interval{0};   // mean
  int64_t segment_bytes = 1 << 20;
  Duration snapshot_interval{0};  // mean; 0: none are taken
  NetworkFaults network;
  raft::Options raft;
  // Not of all seeds, so that known ones stay the runs that they were.
  bool damages = false;  // bits of logs flip
  bool fills = false;    // disks get full
};

// Voters and observers of the metadata quorum, on disks and a network of all kinds.
class QuorumScenario final : private QuorumView {
 public:
  explicit QuorumScenario(const SimRun& run);
  SimReport Run();

 private:
  MonotonicTime Now() const override { return scheduler_.clock().Now(); }
  std::optional<Vote> DurableVote(NodeId node) const override { return At(node).DurableVote(); }
  std::optional<LogBounds> EndsOf(const VoterKey& key) const override {
    const QuorumNode& node = At(key.node);
    if (node.key() != key || !node.has_begun()) return std::nullopt;
    return LogBounds{node.log_start(), node.log_end(), node.durable_end()};
  }
  Term TermAt(const VoterKey& key, Offset offset) const override {
    return At(key.node).key() == key ? At(key.node).TermAt(offset) : Term{-1};
  }
  Term TermOf(NodeId node) const override { return At(node).status().leader.term; }
  Offset CommitOf(NodeId node) const override { return At(node).status().commit; }
  std::optional<raft::VotersAt> VotersBefore(NodeId node, Offset offset) const override {
    return At(node).VotersBefore(offset);
  }
  QuorumNode& At(NodeId node) const { return *nodes_[static_cast<size_t>(node.value - 1)]; }

  void Start(QuorumNode& node);
  void Crash(QuorumNode& node, StopKind stop);
  void AfterEvent();
  QuorumNode* Leader();
  void ScheduleAppend();
  void ScheduleSnapshot();
  void ScheduleFault();
  void Inject(QuorumSwarm::Fault fault);
  void ScheduleDiskFault();
  void Damage(QuorumNode& node);
  void Replace(QuorumNode& node);
  bool IsExplained(QuorumNode& node);
  std::vector<NodeId> NodeIds() const;
  void Heal();
  std::string Describe() const;
  bool RunUntil(const std::function<bool()>& done, Duration limit);
  void CheckLiveness();
  void CheckReturnOfFollower();

  const SimRun run_;
  Scheduler scheduler_;
  SimReport report_;
  Verdict verdict_;
  Random random_;
  Random disk_random_;  // for what not all seeds have
  QuorumSwarm swarm_;
  SimNetwork network_;
  QuorumChecker checker_;
  std::vector<std::unique_ptr<QuorumNode>> nodes_;
  std::map<NodeId, uint64_t> known_errors_;
  std::set<NodeId> damaged_;  // that have not opened their logs since
  int wiped_count_ = 0;
  uint64_t last_value_ = 0;
  bool chaos_ = true;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_QUORUM_SCENARIO_H_
