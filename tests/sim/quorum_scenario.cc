#include "tests/sim/quorum_scenario.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "base/check.h"
#include "tests/sim/swarm.h"

namespace gregor {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kSettleLimit = std::chrono::minutes(2);
constexpr Duration kCalmInterval = std::chrono::milliseconds(200);

}  // namespace

QuorumSwarm::QuorumSwarm(Random& random, const SimRun& run) {
  voter_count = Pick<int>(random, {1, 3, 3, 3, 5});
  observer_count = static_cast<int>(random.Below(3));
  // Nobody sets up an even number for long, but while voters change there is one. Not drawn from
  // `random`, so that known seeds keep what they drew.
  if (run.seed % 8 == 0) voter_count = run.seed % 16 == 0 ? 2 : 4;
  fault_weights = {4, 4, 2, 3, 3, 3, 4, 2, 2, 2, 2, 1, 4};
  CHECK_EQ(fault_weights.size(), size_t{kFaultCount});
  for (uint64_t& weight : fault_weights) {
    if (random.Chance(0.5)) weight = 0;
  }
  fault_weights[kHeal] = 4;
  // How many disks may be lost is known only of a voter set that stays.
  if (fault_weights[kChangeVoter] != 0) fault_weights[kWipe] = 0;
  duration = seconds(random.Between(5, 30));
  append_interval = microseconds(LogUniform(random, 5'000, 200'000));
  fault_interval = milliseconds(LogUniform(random, 200, 10'000));
  segment_bytes = LogUniform(random, 5000, 1 << 20);
  if (random.Chance(0.7)) snapshot_interval = milliseconds(LogUniform(random, 100, 10'000));
  if (random.Chance(0.5)) network.loss = random.Fraction() * 0.2;
  if (random.Chance(0.5)) network.duplicate = random.Fraction() * 0.2;
  if (random.Chance(0.3)) network.late = random.Fraction() * 0.05;
  network.delay_max = microseconds(LogUniform(random, 200, 50'000));
  raft.append_bytes_max = static_cast<size_t>(LogUniform(random, 100, 1 << 20));
  raft.in_flight_bytes_max = static_cast<size_t>(LogUniform(random, 200, 8 << 20));
  raft.in_flight_messages_max = random.Between(1, 64);
  // Who else has a log is known only of a voter set that stays.
  const uint64_t kind = run.seed % 5;
  damages = (kind == 1 || kind == 3) && voter_count >= 3 && fault_weights[kChangeVoter] == 0;
  fills = kind == 3 || kind == 4;
  for (size_t fault = 0; fault < kFaultCount; ++fault) {
    if (run.LeavesOut(fault)) fault_weights[fault] = 0;
  }
  if (run.LeavesOut(kFaultCount)) network.loss = 0;
  if (run.LeavesOut(kFaultCount + 1)) network.duplicate = 0;
  if (run.LeavesOut(kFaultCount + 2)) network.late = 0;
  if (run.LeavesOut(kFaultCount + 3)) snapshot_interval = Duration(0);
  damages &= !run.LeavesOut(kFaultCount + 4);
  fills &= !run.LeavesOut(kFaultCount + 5);
}

QuorumScenario::QuorumScenario(const SimRun& run)
    : run_(run),
      scheduler_(run.seed),
      random_(scheduler_.random().Fork()),
      disk_random_(~run.seed),
      swarm_(random_, run),
      network_(scheduler_),
      checker_(verdict_, swarm_.raft.election_timeout_max + milliseconds(500)) {
  scheduler_.trace().Keep(run.trace_kept);
  network_.faults() = swarm_.network;
  QuorumNode::Options options;
  options.cluster = random_.NewUuid<ClusterId>();
  options.raft = swarm_.raft;
  options.segment_bytes = swarm_.segment_bytes;
  options.mutant = run.mutant;
  options.fetch = [this](NodeId from) -> std::optional<QuorumNode::Snapshot> {
    QuorumNode& node = *nodes_[static_cast<size_t>(from.value - 1)];
    if (!node.is_running() || node.is_paused() || random_.Chance(0.2)) return std::nullopt;
    ++report_.counts["snapshots fetched"];
    return node.snapshot();
  };
  for (int id = 1; id <= swarm_.voter_count; ++id)
    options.configured.push_back({{NodeId{id}, DirectoryId{}}, {}});
  for (int id = 1; id <= swarm_.voter_count + swarm_.observer_count; ++id) {
    options.node = NodeId{id};
    nodes_.push_back(std::make_unique<QuorumNode>(scheduler_, network_, checker_, options,
                                                  run.seed * 100 + static_cast<uint64_t>(id)));
  }
  checker_.Watch(*this);
  network_.SetObserver(&checker_);
}

SimReport QuorumScenario::Run() {
  for (auto& node : nodes_) Start(*node);
  ScheduleAppend();
  ScheduleSnapshot();
  ScheduleFault();
  if (swarm_.damages || swarm_.fills) ScheduleDiskFault();
  const MonotonicTime end = scheduler_.clock().Now() + run_.ChaosOf(swarm_.duration);
  while (!verdict_.failed() && scheduler_.clock().Now() < end && scheduler_.Step()) AfterEvent();
  chaos_ = false;
  if (!verdict_.failed()) CheckLiveness();
  report_.failure = verdict_.what();
  report_.trace_hash = scheduler_.trace().hash();
  report_.event_count = scheduler_.trace().event_count();
  report_.trace = scheduler_.trace().kept();
  report_.counts["records"] = checker_.record_count();
  report_.counts["terms"] = checker_.term_count();
  report_.counts["simulated seconds"] =
      static_cast<uint64_t>((scheduler_.clock().Now() - MonotonicTime()) / seconds(1));
  return std::move(report_);
}

void QuorumScenario::Start(QuorumNode& node) {
  node.Start();
  if (chaos_ && random_.Chance(0.3)) {
    node.SetLatency({.min = microseconds(20),
                     .max = microseconds(random_.Between(100, 20'000)),
                     .outlier_chance = random_.Fraction() * 0.1,
                     .outlier = milliseconds(random_.Between(10, 2000))});
  }
}

// A failed disk ends the process, as a supervisor sees it, and it is started again.
void QuorumScenario::AfterEvent() {
  for (auto& node : nodes_) {
    if (!node->failure().has_value() && node->has_begun()) {
      damaged_.erase(node->id());
      const auto& snapshot = node->snapshot();
      checker_.OnLog(node->key(), node->delivered(),
                     snapshot.has_value() ? snapshot->id.end : Offset{0});
    } else {
      checker_.OnNoLog(node->key());
    }
    if (!node->failure().has_value() || !node->is_running()) continue;
    if (!IsExplained(*node))
      return verdict_.Fail("node ", node->id(), " fails, and nothing is wrong: ", *node->failure());
    // What others have trimmed, too, comes back to nobody: an administrator begins anew.
    const bool is_hopeless = damaged_.count(node->id()) != 0 &&
                             node->failure()->message.find("replace this") != std::string::npos;
    node->Stop(node->files().is_powerless() ? StopKind::kPowerLoss : StopKind::kKill);
    node->files().Disarm();
    if (is_hopeless) Replace(*node);
    Start(*node);
  }
}

void QuorumScenario::Replace(QuorumNode& node) {
  if (node.id().value <= swarm_.voter_count) ++wiped_count_;
  damaged_.erase(node.id());
  known_errors_[node.id()] = 0;
  node.Wipe();
  ++report_.counts["damaged nodes replaced"];
}

bool QuorumScenario::IsExplained(QuorumNode& node) {
  const SimFaultCounts& counts = node.files().counts();
  const uint64_t errors = counts.io_errors + counts.full;
  const bool is_new = errors > std::exchange(known_errors_[node.id()], errors);
  return is_new || node.files().is_powerless() || damaged_.count(node.id()) != 0;
}

QuorumNode* QuorumScenario::Leader() {
  QuorumNode* leader = nullptr;
  for (auto& node : nodes_) {
    if (node->leads() && (leader == nullptr || node->leader().term > leader->leader().term))
      leader = node.get();
  }
  return leader;
}

void QuorumScenario::ScheduleAppend() {
  scheduler_.After(About(random_, swarm_.append_interval), "client.append", [this] {
    // Whoever takes itself for the leader may be asked.
    for (auto& node : nodes_) {
      if (!node->leads() || node->is_paused()) continue;
      const size_t records = random_.Chance(0.1) ? random_.Between(1, 50) : 1;
      std::string value = "v" + std::to_string(++last_value_);
      value.resize(static_cast<size_t>(LogUniform(random_, 10, 2000)), '.');
      node->Append(std::move(value), records);
    }
    ScheduleAppend();
  });
}

void QuorumScenario::ScheduleSnapshot() {
  if (swarm_.snapshot_interval == Duration(0)) return;
  scheduler_.After(About(random_, swarm_.snapshot_interval), "snapshot", [this] {
    QuorumNode& node = *nodes_[random_.Below(nodes_.size())];
    if (node.is_open() && !node.is_paused()) node.TakeSnapshot();
    ScheduleSnapshot();
  });
}

void QuorumScenario::ScheduleFault() {
  scheduler_.After(About(random_, swarm_.fault_interval), "fault", [this] {
    if (!chaos_ || !HasWeight(swarm_.fault_weights)) return;
    const auto fault = static_cast<QuorumSwarm::Fault>(PickWeighted(random_, swarm_.fault_weights));
    scheduler_.trace().Note("fault", fault);
    Inject(fault);
    ScheduleFault();
  });
}

void QuorumScenario::ScheduleDiskFault() {
  scheduler_.After(About(disk_random_, 2 * swarm_.fault_interval), "disk fault", [this] {
    if (!chaos_) return;
    QuorumNode& node = *nodes_[disk_random_.Below(nodes_.size())];
    if (swarm_.damages && (!swarm_.fills || disk_random_.Chance(0.5))) {
      Damage(node);
    } else {
      ++report_.counts["full disk"];
      node.files().faults().capacity_bytes =
          node.files().tree().UsedBytes() + disk_random_.Below(20'000);
    }
    ScheduleDiskFault();
  });
}

// Never more copies than the others can do without.
void QuorumScenario::Damage(QuorumNode& node) {
  const auto hurt = static_cast<int>(damaged_.size()) + wiped_count_;
  if (!node.has_begun() || node.is_paused() || hurt >= (swarm_.voter_count - 1) / 2) return;
  node.Stop(StopKind::kKill);
  if (node.DamageLog(disk_random_)) {
    ++report_.counts["damage"];
    damaged_.insert(node.id());
  }
  Start(node);
}

void QuorumScenario::Crash(QuorumNode& node, StopKind stop) {
  if (node.is_running()) {
    node.Stop(stop);
  } else {
    Start(node);
  }
}

void QuorumScenario::Inject(QuorumSwarm::Fault fault) {
  QuorumNode& node = *nodes_[random_.Below(nodes_.size())];
  QuorumNode* const leader = Leader();
  static constexpr const char* kNames[] = {
      "kill", "power loss", "power loss of all", "kill leader", "isolate",     "bridge",
      "heal", "pause",      "slow disk",         "hang",        "failed call", "wipe",
      "voter"};
  ++report_.counts[kNames[fault]];
  switch (fault) {
    case QuorumSwarm::kKill:
      return Crash(node, StopKind::kKill);
    case QuorumSwarm::kPowerLoss:
      return Crash(node, StopKind::kPowerLoss);
    case QuorumSwarm::kPowerLossOfAll:
      for (auto& each : nodes_) {
        if (each->is_running()) each->Stop(StopKind::kPowerLoss);
      }
      for (auto& each : nodes_) Start(*each);
      return;
    case QuorumSwarm::kKillLeader:
      if (leader != nullptr) Crash(*leader, StopKind::kKill);
      return;
    case QuorumSwarm::kIsolate:
      return network_.Isolate((leader != nullptr && random_.Chance(0.5) ? *leader : node).id(),
                              NodeIds(), random_);
    case QuorumSwarm::kCutSome:
      return network_.CutSome(NodeIds(), random_);
    case QuorumSwarm::kHeal:
      return Heal();
    case QuorumSwarm::kPause:
      if (node.is_running()) node.Pause();
      return;
    case QuorumSwarm::kSlowDisk:
      if (node.is_running())
        node.SetLatency({.min = milliseconds(1), .max = milliseconds(random_.Between(10, 3000))});
      return;
    case QuorumSwarm::kHang:
      if (node.is_running()) node.Hang();
      return;
    case QuorumSwarm::kFailCall: {
      const auto operation = static_cast<SimOperation>(random_.Between(1, 6));
      return node.files().FailNext(operation, "/node/metadata");
    }
    case QuorumSwarm::kWipe:
      if (wiped_count_ + static_cast<int>(damaged_.size()) >= (swarm_.voter_count - 1) / 2) return;
      if (node.id().value <= swarm_.voter_count) ++wiped_count_;
      node.Stop(StopKind::kKill);
      node.Wipe();
      known_errors_[node.id()] = 0;
      return Start(node);
    case QuorumSwarm::kChangeVoter:
      if (leader == nullptr || leader->is_paused()) return;
      return leader->ChangeVoter(node.id(), [this] { ++report_.counts["voters changed"]; });
    case QuorumSwarm::kFaultCount:
      return;
  }
}

std::vector<NodeId> QuorumScenario::NodeIds() const {
  std::vector<NodeId> ids;
  for (const auto& node : nodes_) ids.push_back(node->id());
  return ids;
}

void QuorumScenario::Heal() {
  network_.HealAll();
  for (auto& node : nodes_) {
    node->files().faults() = SimFaults();
    if (!node->is_running()) {
      Start(*node);
    } else {
      node->Resume();
      node->ResumeDisk();
    }
  }
}

std::string QuorumScenario::Describe() const {
  std::ostringstream text;
  for (const auto& node : nodes_) {
    text << "node " << node->id() << (node->is_open() ? "" : " (not open)") << " was given "
         << node->delivered() << ", log " << node->ends() << ", leader " << node->leader().leader
         << " of term " << node->leader().term << "; ";
  }
  return text.str() + "wiped: " + std::to_string(wiped_count_);
}

// After the last fault: a leader, that stays; what is appended comes everywhere, and so does all
// that was committed before.
void QuorumScenario::CheckLiveness() {
  network_.faults() = NetworkFaults();
  for (auto& node : nodes_) node->files().Disarm();
  Heal();
  for (auto& node : nodes_) node->SetLatency({});
  if (!RunUntil([&] { return Leader() != nullptr; }, kSettleLimit))
    return verdict_.Fail("L1: there is no leader when all is well again");
  const Offset before = checker_.end();
  const auto is_everywhere = [&] {
    return checker_.end() > before &&
           std::all_of(nodes_.begin(), nodes_.end(),
                       [&](const auto& node) { return node->delivered() > before; });
  };
  const bool settled = RunUntil(is_everywhere, kSettleLimit);
  if (!settled && !verdict_.failed())
    return verdict_.Fail("L2: what is appended does not come everywhere when all is well again: ",
                         Describe());
  const size_t terms = checker_.term_count();
  // Now time matters, and no longer what is done in it: most of a run's would be for that.
  swarm_.append_interval = std::max(swarm_.append_interval, kCalmInterval);
  RunUntil([] { return false; }, seconds(20));
  if (checker_.term_count() > terms + 1)
    verdict_.Fail("L6: leaders change though nothing is wrong");
  if (!verdict_.failed()) CheckReturnOfFollower();
}

// One that heard of nobody for a while comes back, and the leader stays (B4).
void QuorumScenario::CheckReturnOfFollower() {
  QuorumNode* const leader = Leader();
  if (leader == nullptr) return verdict_.Fail("L1: the leader is gone though nothing is wrong");
  QuorumNode& gone = *nodes_[random_.Below(nodes_.size())];
  // Of the voters some may be wiped, and never come back.
  const auto set = leader->VotersBefore(leader->log_end());
  const auto is_left = [&](const Voter& voter) {
    return At(voter.key.node).key() == voter.key && voter.key.node != gone.id();
  };
  if (&gone == leader || !set.has_value()) return;
  const std::vector<Voter>& voters = set->voters.voters;
  const auto left = static_cast<size_t>(std::count_if(voters.begin(), voters.end(), is_left));
  if (2 * left <= voters.size()) return;
  ++report_.counts["followers that came back"];
  const Term term = leader->leader().term;
  for (auto& other : nodes_) {
    network_.Cut(other->id(), gone.id(), false);
    network_.Cut(gone.id(), other->id(), false);
  }
  const auto never = [] { return false; };
  RunUntil(never, seconds(5));
  network_.HealAll();
  RunUntil(never, seconds(3));
  if (!verdict_.failed() && (!leader->leads() || leader->leader().term != term))
    verdict_.Fail("L6: a follower that came back has disturbed the leader");
}

bool QuorumScenario::RunUntil(const std::function<bool()>& done, Duration limit) {
  return scheduler_.RunUntil(
      [&] {
        AfterEvent();
        return verdict_.failed() || done();
      },
      limit);
}

SimReport RunQuorumScenario(const SimRun& run) { return QuorumScenario(run).Run(); }

}  // namespace gregor
