// ClusterScenario: what its administrators do, and the faults.
#include <algorithm>
#include <utility>

#include "tests/sim/cluster_scenario.h"
#include "tests/sim/security_client.h"
#include "tests/sim/swarm.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kTopicsMax = 40;
constexpr NodeId kStranger{90};  // a node that is not there

}  // namespace

// --- administrators ---

void ClusterScenario::ScheduleOperation() {
  scheduler_.After(About(random_, swarm_.operation_interval), "admin", [this] {
    if (!chaos_) return;
    Operate();
    ScheduleOperation();
  });
}

void ClusterScenario::Operate() {
  if (!wiped_.empty() && random_.Chance(0.2)) ReplaceVoters();
  Node* const node = AnyReady();
  if (node == nullptr) return;
  ControllerApi& api = node->operations();
  switch (PickWeighted(random_, {6, 3, 2, 3, 1, 2, 2, 2, 6, 1, 2})) {
    case 0:
      return CreateTopic(api);
    case 1:
      return DeleteTopic(api);
    case 2:
      return AddPartitions(api);
    case 3:
      return TakeProducerIds(api);
    case 5:
      return SetConfig(api);
    case 6:
      return ElectSome(api);
    case 7:
      return MoveSome(api);
    case 8:
      return GrowInSync();
    case 9:
      return DrainBroker(api);
    case 10:
      return ChangeSecurity(api, random_, [this] { ++report_.counts["security changes"]; });
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
  if (swarm_.is_newer) {
    const auto replicas = static_cast<uint64_t>(operation.replication_factor);
    operation.configs["min.insync.replicas"] = std::to_string(1 + more_random_.Below(replicas));
    if (more_random_.Chance(0.5)) operation.configs["durability"] = "replicated";
  }
  checker_.OnCreating(operation.name, operation.partitions, scheduler_.clock().Now());
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
  checker_.OnGrowing(operation.topic, operation.total_partitions);
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

void ClusterScenario::SetConfig(ControllerApi& api) {
  const auto names = checker_.names();
  if (names.empty()) return;
  AlterConfig alteration;
  alteration.type = ConfigResourceType::kTopic;
  alteration.name = Pick(random_, names);
  alteration.ops = {
      {"retention.ms", ConfigOpKind::kSet, std::to_string(random_.Between(1, 1'000'000'000))}};
  api.Run(AlterConfigs{{alteration}, false}, [this](Result<std::vector<Result<void>>> altered) {
    if (altered.ok() && altered->at(0).ok()) ++report_.counts["configs set"];
  });
}

TopicPtr ClusterScenario::AnyTopic() {
  std::vector<TopicPtr> topics;
  if (const ImagePtr image = NewestImage()) {
    image->topics.VisitAll(
        [&](const std::string&, const TopicPtr& topic) { topics.push_back(topic); });
  }
  return topics.empty() ? nullptr : Pick(random_, topics);
}

void ClusterScenario::ElectSome(ControllerApi& api) {
  const TopicPtr topic = AnyTopic();
  if (topic == nullptr) return;
  ElectLeaders election;
  election.kind = Pick<ElectionKind>(
      random_, {ElectionKind::kPreferred, ElectionKind::kUnclean, ElectionKind::kTransfer});
  election.target = Pick(random_, nodes_)->id();
  for (int32_t index = 0; index < topic->partition_count(); ++index)
    election.partitions.push_back({topic->name, PartitionIndex{index}});
  api.Run(std::move(election), [this](Result<std::vector<ElectedLeader>> elected) {
    if (!elected.ok()) return;
    for (const ElectedLeader& each : *elected) {
      if (each.result.ok()) ++report_.counts["leaders elected by hand"];
    }
  });
}

void ClusterScenario::MoveSome(ControllerApi& api) {
  const TopicPtr topic = AnyTopic();
  if (topic == nullptr) return;
  ReassignPartitions::Item item;
  item.partition = {topic->name, PartitionIndex{static_cast<int32_t>(random_.Below(
                                     static_cast<uint64_t>(topic->partition_count())))}};
  // With none what runs is cancelled.
  for (const auto& node : nodes_) {
    if (random_.Chance(0.5)) item.replicas.push_back(node->id());
  }
  api.Run(ReassignPartitions{{std::move(item)}, false},
          [this](Result<std::vector<Result<void>>> begun) {
            if (begun.ok() && begun->at(0).ok()) ++report_.counts["reassignments"];
          });
}

void ClusterScenario::GrowInSync() {
  const TopicPtr topic = AnyTopic();
  if (topic == nullptr) return;
  const auto index =
      static_cast<int32_t>(random_.Below(static_cast<uint64_t>(topic->partition_count())));
  const PartitionImage* const partition = topic->Partition(PartitionIndex{index});
  // A stranger that was let in may lead, and is not there.
  const bool is_led = partition != nullptr && partition->leader.value > 0 &&
                      static_cast<size_t>(partition->leader.value) <= nodes_.size();
  if (!is_led) return;
  Node& leader = *nodes_[static_cast<size_t>(partition->leader.value - 1)];
  if (!leader.is_ready() || leader.is_paused()) return;
  const ImagePtr image = leader.image();
  const auto epoch_of = [&](NodeId node) {
    const BrokerImage* const broker = image->Broker(node);
    return broker == nullptr ? BrokerEpoch{-1} : broker->epoch;
  };
  AlterPartitions alteration;
  alteration.broker = leader.id();
  alteration.broker_epoch = epoch_of(leader.id());
  AlterPartitions::Item item;
  item.topic = topic->id;
  item.partition = partition->index;
  item.leader_epoch = partition->leader_epoch;
  item.partition_epoch = partition->partition_epoch;
  const bool all = random_.Chance(0.2);  // whatever its image says of them
  for (const NodeId node : partition->replicas) {
    const BrokerImage* const broker = image->Broker(node);
    if (all || node == leader.id() || (broker != nullptr && broker->IsActive()))
      item.isr.push_back({node, epoch_of(node)});
  }
  alteration.items.push_back(std::move(item));
  checker_.OnAsked(alteration);
  const auto ask = [this, &leader, alteration = std::move(alteration)] {
    if (!leader.is_ready()) return;
    leader.operations().Run(alteration, [this](Result<std::vector<AlteredPartition>> altered) {
      if (altered.ok() && altered->at(0).outcome <= AlterOutcome::kNewLeaderElected)
        ++report_.counts["replicas in sync again"];
    });
  };
  // Meanwhile brokers may be started again.
  if (!swarm_.is_newer || more_random_.Chance(0.5)) return ask();
  scheduler_.After(milliseconds(LogUniform(more_random_, 10, 5000)), "leader.late", ask);
}

void ClusterScenario::DrainBroker(ControllerApi& api) {
  const NodeId node = Pick(random_, nodes_)->id();
  const bool undoes = random_.Chance(0.5);
  api.Run(gregor::DrainBroker{node, undoes}, [this](Result<std::vector<ElectedLeader>> led) {
    if (led.ok()) ++report_.counts["drains"];
  });
}

void ClusterScenario::ReplaceVoters() {
  Node* const leader = Leader();
  if (leader == nullptr || leader->is_paused()) return;
  const std::vector<VoterKey> voters = leader->CommittedVoters();
  if (voters.empty()) return;
  for (const NodeId id : std::vector<NodeId>(wiped_.begin(), wiped_.end())) {
    Node& node = *nodes_[static_cast<size_t>(id.value - 1)];
    const auto known = std::find_if(voters.begin(), voters.end(),
                                    [&](const VoterKey& voter) { return voter.node == id; });
    if (known == voters.end()) return leader->AddVoter(id);
    if (*known != node.voter_key()) return leader->RemoveVoter(*known);
    wiped_.erase(id);
    ++report_.counts["voters replaced"];
  }
}

// --- faults ---

void ClusterScenario::ScheduleFault() {
  scheduler_.After(About(random_, swarm_.fault_interval), "fault", [this] {
    if (!chaos_ || !HasWeight(swarm_.fault_weights)) return;
    const auto fault =
        static_cast<ClusterSwarm::Fault>(PickWeighted(random_, swarm_.fault_weights));
    scheduler_.trace().Note("fault", fault);
    Inject(fault);
    if (swarm_.heal_after > Duration(0)) {
      is_well_ = false;
      scheduler_.After(About(random_, swarm_.heal_after), "heal", [this] {
        if (chaos_) Heal();
      });
    }
    ScheduleFault();
  });
}

void ClusterScenario::Inject(ClusterSwarm::Fault fault) {
  static constexpr const char* kNames[] = {
      "kill", "power loss", "power loss of all", "kill leader", "isolate",     "bridge",
      "heal", "pause",      "slow disk",         "hang",        "failed call", "clock jump",
      "wipe", "clone"};
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
      return network_.Isolate((leader != nullptr && random_.Chance(0.5) ? *leader : node).id(),
                              NodeIds(), random_);
    case ClusterSwarm::kCutSome:
      return network_.CutSome(NodeIds(), random_);
    case ClusterSwarm::kHeal:
      return Heal();
    case ClusterSwarm::kWipe:
      return Wipe(node);
    case ClusterSwarm::kClone:
      return Clone(node);
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

// Never more voters than the others can do without, of whom nobody may have lost what it had.
void ClusterScenario::Wipe(Node& node) {
  if (node.id().value <= swarm_.voter_count) {
    std::set<NodeId> wiped = wiped_;
    wiped.insert(node.id());
    if (static_cast<int>(wiped.size()) > (swarm_.voter_count - 1) / 2) return;
    wiped_ = std::move(wiped);
  }
  ++report_.counts["disks exchanged"];
  if (node.is_running()) Stop(node, StopKind::kKill);
  node.Wipe();
  Start(node);
}

// It says that it is the node, or that it is another one with the node's log directory.
void ClusterScenario::Clone(Node& node) {
  Node* const asked = AnyReady();
  const ImagePtr image = NewestImage();
  if (asked == nullptr || image == nullptr) return;
  // One that comes before the node itself is the node.
  const BrokerImage* const known = image->Broker(node.id());
  if (known == nullptr || !known->HasDirectory(node.log_directory())) return;
  RegisterBroker registration;
  registration.broker.id = random_.Chance(0.5) ? node.id() : kStranger;
  registration.broker.incarnation = random_.NewUuid<DirectoryId>().bytes;
  registration.broker.directories = {node.log_directory()};
  registration.broker.listeners["grpc"] = {"clone", 9094};
  asked->operations().Run(std::move(registration), [this](Result<BrokerEpoch> registered) {
    ++report_.counts[registered.ok() ? "clones let in" : "clones refused"];
  });
}

std::vector<NodeId> ClusterScenario::NodeIds() const {
  std::vector<NodeId> ids;
  for (const auto& node : nodes_) ids.push_back(node->id());
  return ids;
}

void ClusterScenario::Heal() {
  if (!is_well_ || !chaos_) well_since_ = scheduler_.clock().Now();
  is_well_ = true;
  network_.HealAll();
  for (auto& node : nodes_) {
    if (!node->is_running()) {
      Start(*node);
    } else {
      node->Resume();
      node->ResumeDisk();
      if (soak_.has_value()) node->SetLatency({});
    }
    if (soak_.has_value()) node->files().Disarm();
  }
}

}  // namespace gregor
