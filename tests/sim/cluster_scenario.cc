#include "tests/sim/cluster_scenario.h"

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
constexpr size_t kTopicsMax = 40;

}  // namespace

ClusterSwarm::ClusterSwarm(Random& random) {
  voter_count = Pick<int>(random, {1, 3, 3, 3, 5});
  follower_count = static_cast<int>(random.Below(4));
  fault_weights = {4, 4, 1, 3, 3, 3, 4, 2, 2, 2, 1, 2};
  CHECK_EQ(fault_weights.size(), size_t{kFaultCount});
  for (uint64_t& weight : fault_weights) {
    if (random.Chance(0.5)) weight = 0;
  }
  fault_weights[kHeal] = 4;
  duration = seconds(random.Between(10, 60));
  operation_interval = milliseconds(LogUniform(random, 20, 1000));
  fault_interval = milliseconds(LogUniform(random, 300, 10'000));
  if (random.Chance(0.4)) network.loss = random.Fraction() * 0.1;
  if (random.Chance(0.4)) network.duplicate = random.Fraction() * 0.1;
  if (random.Chance(0.2)) network.late = random.Fraction() * 0.02;
  network.delay_max = microseconds(LogUniform(random, 200, 20'000));
  segment_bytes = LogUniform(random, 5000, 1 << 20);
  snapshot_record_bytes = static_cast<size_t>(LogUniform(random, 2000, 1 << 20));
  sessions.heartbeat_interval = milliseconds(LogUniform(random, 100, 1000));
  sessions.timeout = sessions.heartbeat_interval * random.Between(4, 12);
}

ClusterScenario::ClusterScenario(const SimRun& run)
    : scheduler_(run.seed),
      random_(scheduler_.random().Fork()),
      swarm_(random_),
      network_(scheduler_),
      checker_(verdict_) {
  scheduler_.trace().Keep(run.trace_kept);
  network_.faults() = swarm_.network;
  Node::Options options;
  options.cluster = random_.NewUuid<ClusterId>();
  options.request_id_key = random_.NewUuid<DirectoryId>().bytes;
  options.segment_bytes = swarm_.segment_bytes;
  options.snapshot_record_bytes = swarm_.snapshot_record_bytes;
  options.behavior.broker_sessions = swarm_.sessions;
  options.behavior.default_partitions = 3;
  options.peer = [this](NodeId id) -> Node& { return *nodes_[static_cast<size_t>(id.value - 1)]; };
  for (int id = 1; id <= swarm_.voter_count; ++id)
    options.raft.configured.push_back({{NodeId{id}, DirectoryId{}}, {}});
  for (int id = 1; id <= swarm_.voter_count + swarm_.follower_count; ++id) {
    options.node = NodeId{id};
    options.on_image = [this, id](const MetadataDelta& delta) {
      checker_.OnImage(NodeId{id}, delta);
    };
    nodes_.push_back(std::make_unique<Node>(scheduler_, network_, options,
                                            run.seed * 100 + static_cast<uint64_t>(id)));
  }
}

SimReport ClusterScenario::Run() {
  for (auto& node : nodes_) Start(*node);
  ScheduleOperation();
  ScheduleFault();
  const MonotonicTime end = scheduler_.clock().Now() + swarm_.duration;
  while (!verdict_.failed() && scheduler_.clock().Now() < end && scheduler_.Step()) AfterEvent();
  chaos_ = false;
  if (!verdict_.failed()) CheckSettles("after the faults");
  if (!verdict_.failed()) CheckDeadIsFenced();
  if (!verdict_.failed()) CheckQuiet();
  report_.failure = verdict_.what();
  report_.trace_hash = scheduler_.trace().hash();
  report_.event_count = scheduler_.trace().event_count();
  report_.trace = scheduler_.trace().kept();
  report_.counts["images"] = checker_.version_count();
  report_.counts["topics"] = checker_.topic_count();
  report_.counts["simulated seconds"] =
      static_cast<uint64_t>((scheduler_.clock().Now() - MonotonicTime()) / seconds(1));
  return std::move(report_);
}

void ClusterScenario::Start(Node& node) {
  known_errors_[node.id()] = node.files().counts().io_errors;
  checker_.OnStart(node.id());
  node.Start();
  if (chaos_ && random_.Chance(0.2)) {
    node.SetLatency({.min = microseconds(20),
                     .max = microseconds(random_.Between(100, 20'000)),
                     .outlier_chance = random_.Fraction() * 0.1,
                     .outlier = milliseconds(random_.Between(10, 1000))});
  }
}

void ClusterScenario::Stop(Node& node, StopKind stop) {
  node.Stop(stop);
  checker_.OnStart(node.id());
}

// A failed disk ends the process, as a supervisor sees it, and it is started again.
void ClusterScenario::AfterEvent() {
  for (auto& node : nodes_) {
    const auto failure = node->failure();
    if (!failure.has_value()) continue;
    SimFileSystem& files = node->files();
    // Where it could not register, something is wrong with whom it asked.
    const bool gave_up = node->has_given_up() && failure->reason != Reason::kInvalidArgument;
    const bool is_explained =
        files.counts().io_errors > known_errors_[node->id()] || files.is_powerless() || gave_up;
    if (!is_explained)
      return verdict_.Fail("node ", node->id(), " fails, and nothing is wrong: ", *failure);
    ++report_.counts["processes that ended"];
    Stop(*node, files.is_powerless() ? StopKind::kPowerLoss : StopKind::kKill);
    files.Disarm();
    Start(*node);
  }
}

ClusterNode* ClusterScenario::Leader() {
  Node* leader = nullptr;
  for (auto& node : nodes_) {
    if (node->leads() && (leader == nullptr || node->leader().term > leader->leader().term))
      leader = node.get();
  }
  return leader;
}

ClusterNode* ClusterScenario::AnyReady() {
  std::vector<Node*> ready;
  for (auto& node : nodes_) {
    if (node->is_ready() && !node->is_paused()) ready.push_back(node.get());
  }
  return ready.empty() ? nullptr : Pick(random_, ready);
}

ImagePtr ClusterScenario::NewestImage() const {
  ImagePtr newest;
  for (const auto& node : nodes_) {
    const ImagePtr image = node->image();
    if (image != nullptr && (newest == nullptr || image->version > newest->version)) newest = image;
  }
  return newest;
}

// --- administrators ---

void ClusterScenario::ScheduleOperation() {
  scheduler_.After(About(random_, swarm_.operation_interval), "admin", [this] {
    if (!chaos_) return;
    Operate();
    ScheduleOperation();
  });
}

void ClusterScenario::Operate() {
  Node* const node = AnyReady();
  if (node == nullptr) return;
  ControllerApi& api = node->operations();
  switch (PickWeighted(random_, {6, 3, 2, 3, 1})) {
    case 0:
      return CreateTopic(api);
    case 1:
      return DeleteTopic(api);
    case 2:
      return AddPartitions(api);
    case 3:
      return TakeProducerIds(api);
    default:
      return FenceByHand(api);
  }
}

void ClusterScenario::CreateTopic(ControllerApi& api) {
  const ImagePtr image = NewestImage();
  if (image->topics.size() >= kTopicsMax) return;
  gregor::CreateTopic operation;
  operation.name = "topic" + std::to_string(++last_name_);
  operation.partitions = static_cast<int32_t>(LogUniform(random_, 1, 40));
  operation.replication_factor = static_cast<int32_t>(
      random_.Between(1, std::min<int64_t>(3, static_cast<int64_t>(nodes_.size()))));
  checker_.OnCreating(operation.name, operation.partitions);
  const std::string name = operation.name;
  api.Run(operation, [this, name](Result<TopicPtr> created) {
    ++report_.counts[created.ok() ? "topics made" : "topics not made"];
    if (created.ok()) return checker_.OnCreated(name, **created);
    const auto outcome = OperationOutcome(created.error());
    if (outcome != "UNKNOWN") return checker_.OnNotCreated(name);
    ++report_.counts["unknown outcomes"];
  });
}

void ClusterScenario::DeleteTopic(ControllerApi& api) {
  const auto names = checker_.names();
  if (names.empty()) return;
  const std::string name = Pick(random_, names);
  checker_.OnDeleting(name);
  api.Run(gregor::DeleteTopic{{name, std::nullopt}}, [this, name](Result<void> deleted) {
    if (!deleted.ok()) return;
    ++report_.counts["topics deleted"];
    checker_.OnDeleted(name);
  });
}

void ClusterScenario::AddPartitions(ControllerApi& api) {
  const auto names = checker_.names();
  if (names.empty()) return;
  gregor::AddPartitions operation;
  operation.topic = Pick(random_, names);
  operation.total_partitions = static_cast<int32_t>(random_.Between(1, 60));
  api.Run(operation, [this](Result<TopicPtr> added) {
    if (added.ok()) ++report_.counts["partitions added"];
  });
}

void ClusterScenario::TakeProducerIds(ControllerApi& api) {
  api.Run(AllocateProducerIds{random_.Between(1, 1000)}, [this](Result<ProducerIdBlock> block) {
    if (block.ok()) checker_.OnProducerIds(*block);
  });
}

void ClusterScenario::FenceByHand(ControllerApi& api) {
  const NodeId node = nodes_[random_.Below(nodes_.size())]->id();
  const bool fences = random_.Chance(0.5);
  api.Run(SetBrokerFence{node, fences}, [this](Result<void> done) {
    if (done.ok()) ++report_.counts["fences by hand"];
  });
}

// --- faults ---

void ClusterScenario::ScheduleFault() {
  scheduler_.After(About(random_, swarm_.fault_interval), "fault", [this] {
    if (!chaos_) return;
    const auto fault =
        static_cast<ClusterSwarm::Fault>(PickWeighted(random_, swarm_.fault_weights));
    scheduler_.trace().Note("fault", fault);
    Inject(fault);
    ScheduleFault();
  });
}

void ClusterScenario::Inject(ClusterSwarm::Fault fault) {
  static constexpr const char* kNames[] = {
      "kill", "power loss", "power loss of all", "kill leader", "isolate",     "bridge",
      "heal", "pause",      "slow disk",         "hang",        "failed call", "clock jump"};
  ++report_.counts[kNames[fault]];
  Node& node = *nodes_[random_.Below(nodes_.size())];
  Node* const leader = Leader();
  switch (fault) {
    case ClusterSwarm::kPowerLossOfAll:
      for (auto& each : nodes_) {
        if (each->is_running()) Stop(*each, StopKind::kPowerLoss);
      }
      for (auto& each : nodes_) Start(*each);
      return;
    case ClusterSwarm::kKillLeader:
      if (leader != nullptr) Stop(*leader, StopKind::kKill);
      return;
    case ClusterSwarm::kIsolate:
      return Isolate(leader != nullptr && random_.Chance(0.5) ? *leader : node);
    case ClusterSwarm::kCutSome:
      return CutSome();
    case ClusterSwarm::kHeal:
      return Heal();
    case ClusterSwarm::kClockJump:
      return scheduler_.set_wall_offset(
          std::chrono::hours(random_.Between(24 * 365 * 50, 24 * 365 * 60)));
    default:
      return InjectAt(node, fault);
  }
}

void ClusterScenario::InjectAt(Node& node, ClusterSwarm::Fault fault) {
  if (!node.is_running()) return Start(node);
  switch (fault) {
    case ClusterSwarm::kKill:
      return Stop(node, StopKind::kKill);
    case ClusterSwarm::kPowerLoss:
      return Stop(node, StopKind::kPowerLoss);
    case ClusterSwarm::kPause:
      return node.Pause();
    case ClusterSwarm::kSlowDisk:
      return node.SetLatency(
          {.min = milliseconds(1), .max = milliseconds(random_.Between(10, 2000))});
    case ClusterSwarm::kHang:
      return node.Hang();
    case ClusterSwarm::kFailCall:
      return node.files().FailNext(static_cast<SimOperation>(random_.Between(1, 6)),
                                   "/node/metadata");
    default:
      return;
  }
}

void ClusterScenario::Isolate(Node& node) {
  const bool noticed = random_.Chance(0.5);
  const bool to = random_.Chance(0.8);
  const bool from = !to || random_.Chance(0.7);
  for (auto& other : nodes_) {
    if (other.get() == &node) continue;
    if (to) network_.Cut(other->id(), node.id(), noticed);
    if (from) network_.Cut(node.id(), other->id(), noticed);
  }
}

void ClusterScenario::CutSome() {
  const double share = random_.Fraction();
  for (auto& from : nodes_) {
    for (auto& to : nodes_) {
      if (from != to && random_.Chance(share))
        network_.Cut(from->id(), to->id(), random_.Chance(0.5));
    }
  }
}

void ClusterScenario::Heal() {
  network_.HealAll();
  for (auto& node : nodes_) {
    if (!node->is_running()) {
      Start(*node);
    } else {
      node->Resume();
      node->ResumeDisk();
    }
  }
}

// --- the end ---

bool ClusterScenario::RunUntil(const std::function<bool()>& done, Duration limit) {
  return scheduler_.RunUntil(
      [&] {
        AfterEvent();
        return verdict_.failed() || done();
      },
      limit);
}

// One leader, one image, and nobody fenced but by hand.
bool ClusterScenario::IsSettled() const {
  const ImagePtr first = nodes_.front()->image();
  if (first == nullptr) return false;
  for (const auto& node : nodes_) {
    if (!node->is_ready() || node->leader() != nodes_.front()->leader() ||
        node->image()->version != first->version)
      return false;
    const BrokerImage* const broker = first->Broker(node->id());
    if (broker == nullptr || broker->fenced != broker->fenced_by_hand) return false;
  }
  return nodes_.front()->leader().leader.value >= 0;
}

std::string ClusterScenario::Describe() const {
  std::ostringstream text;
  for (const auto& node : nodes_) {
    const ImagePtr image = node->image();
    text << "node " << node->id() << (node->is_ready() ? "" : " (not ready)") << " image "
         << (image == nullptr ? Offset{-1} : image->version) << ", leader " << node->leader().leader
         << " of term " << node->leader().term;
    const BrokerImage* const broker = image == nullptr ? nullptr : image->Broker(node->id());
    text << (broker == nullptr ? " unregistered" : broker->fenced ? " fenced" : "") << "; ";
  }
  return text.str();
}

void ClusterScenario::CheckSettles(const char* when) {
  network_.faults() = NetworkFaults();
  for (auto& node : nodes_) node->files().Disarm();
  Heal();
  for (auto& node : nodes_) node->SetLatency({});
  if (!RunUntil([&] { return IsSettled(); }, kSettleLimit) && !verdict_.failed())
    return verdict_.Fail("L4: the cluster does not settle ", when, ": ", Describe());
  if (verdict_.failed()) return;
  checker_.CheckTopics(*nodes_.front()->image());
  Node* const node = AnyReady();
  std::optional<Result<ProducerIdBlock>> answer;
  node->operations().Run(AllocateProducerIds{1},
                         [&](Result<ProducerIdBlock> block) { answer = std::move(block); });
  RunUntil([&] { return answer.has_value(); }, seconds(30));
  if (verdict_.failed()) return;
  if (!answer.has_value() || !answer->ok())
    verdict_.Fail("L4: an operation is not done ", when, ": ",
                  answer.has_value() ? answer->error().message : "no answer");
}

// C12, also where the broker goes together with the active controller.
void ClusterScenario::CheckDeadIsFenced() {
  std::vector<Node*> may_go;
  for (auto& node : nodes_) {
    if (swarm_.voter_count >= 3 || node->id().value > swarm_.voter_count)
      may_go.push_back(node.get());
  }
  if (may_go.empty()) return;
  Node* gone = Pick(random_, may_go);
  if (Node* const leader = Leader(); swarm_.voter_count >= 3 && random_.Chance(0.5)) gone = leader;
  Stop(*gone, random_.Chance(0.5) ? StopKind::kKill : StopKind::kPowerLoss);
  const bool fenced = RunUntil(
      [&] {
        const ImagePtr image = NewestImage();
        if (image == nullptr) return false;
        // Whoever leads now has not heard of the others yet, and waits for them.
        image->brokers.VisitAll([&](NodeId id, const auto& broker) {
          if (id != gone->id() && broker->fenced && !broker->fenced_by_hand)
            verdict_.Fail("C12: broker ", id, " lives, and is fenced");
        });
        return image->Broker(gone->id())->fenced;
      },
      swarm_.sessions.timeout + seconds(6));
  if (!fenced && !verdict_.failed())
    return verdict_.Fail("C12: broker ", gone->id(), " is gone, and not fenced: ", Describe());
  ++report_.counts["dead brokers fenced"];
  Start(*gone);
  CheckSettles("after a broker came back");
}

// Where nothing is wrong nothing happens.
void ClusterScenario::CheckQuiet() {
  // What administrators still wait for comes to its end first.
  RunUntil([] { return false; }, seconds(35));
  if (verdict_.failed()) return;
  const QuorumLeader leader = nodes_.front()->leader();
  const Offset version = nodes_.front()->image()->version;
  RunUntil([] { return false; }, seconds(60));
  if (verdict_.failed()) return;
  if (nodes_.front()->leader() != leader)
    return verdict_.Fail("L6: leaders change though nothing is wrong");
  if (nodes_.front()->image()->version != version)
    verdict_.Fail("L6: the metadata change though nothing is wrong: ", version, " to ",
                  nodes_.front()->image()->version);
}

SimReport RunClusterScenario(const SimRun& run) { return ClusterScenario(run).Run(); }

}  // namespace gregor
