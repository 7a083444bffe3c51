#include "tests/controller/leadership_chaos.h"

#include <algorithm>

#include "controller/image/topic_configs.h"
#include "controller/partition_change.h"

namespace gregor {
namespace {

bool HadEverything(const PartitionImage& partition, NodeId node) {
  return partition.isr.Contains(node) || partition.eligible.Contains(node);
}

}  // namespace

LeadershipChaos::LeadershipChaos(uint64_t seed) : random_(seed), cluster_(seed) {
  for (int32_t node = 1; node <= kBrokers; ++node)
    cluster_.Start(cluster_.NewBroker(node), BrokerStart::kClean);
  before_ = cluster_.image();
}

bool LeadershipChaos::Step() {
  struct Kind {
    uint64_t weight;
    const char* name;
    void (LeadershipChaos::*step)();
  };
  static constexpr Kind kKinds[] = {
      {6, "create topic", &LeadershipChaos::CreateTopic},
      {1, "delete topic", &LeadershipChaos::DeleteTopic},
      {20, "change broker", &LeadershipChaos::ChangeBroker},
      {8, "restart broker", &LeadershipChaos::RestartBroker},
      {3, "lose directory", &LeadershipChaos::LoseDirectory},
      {4, "drain", &LeadershipChaos::Drain},
      {30, "produce", &LeadershipChaos::Produce},
      {25, "catch up", &LeadershipChaos::Catch},
      {25, "alter partition", &LeadershipChaos::Deliver},
      {6, "elect", &LeadershipChaos::Elect},
      {8, "reassign", &LeadershipChaos::Reassign},
      {3, "change config", &LeadershipChaos::ChangeConfig},
  };
  uint64_t total = 0;
  for (const Kind& kind : kKinds) total += kind.weight;
  uint64_t left = random_.Below(total);
  const Kind* chosen = kKinds;
  while (left >= chosen->weight) left -= (chosen++)->weight;
  is_unclean_ = false;
  (this->*chosen->step)();
  if (cluster_.image() != before_) ++counts_[chosen->name];
  Look(chosen->name);
  return violation_.empty();
}

std::pair<TopicPtr, const PartitionImage*> LeadershipChaos::Any() {
  const MetadataImage& image = *cluster_.image();
  if (image.topics.empty()) return {};
  TopicPtr chosen;
  uint64_t left = random_.Below(image.topics.size());
  image.topics.VisitAll([&](const std::string&, const TopicPtr& topic) {
    if (left-- == 0) chosen = topic;
  });
  const auto count = static_cast<uint64_t>(chosen->partition_count());
  const PartitionIndex index{static_cast<int32_t>(random_.Below(count))};
  return {chosen, chosen->Partition(index)};
}

std::vector<int32_t> LeadershipChaos::AnyReplicas(size_t count) {
  std::vector<int32_t> all;
  for (int32_t node = 1; node <= kBrokers; ++node) all.push_back(node);
  for (size_t i = 0; i < count; ++i) std::swap(all[i], all[i + random_.Below(all.size() - i)]);
  all.resize(count);
  return all;
}

void LeadershipChaos::CreateTopic() {
  if (cluster_.image()->topics.size() >= 6) return;
  // All brokers run while a topic is made: its replicas begin in sync.
  std::vector<std::vector<int32_t>> assignment;
  const size_t replicas = random_.Chance(0.2) ? 1 : 3;
  for (int i = 0; i < 2; ++i) assignment.push_back(AnyReplicas(replicas));
  for (const auto& each : assignment) {
    for (const int32_t node : each) {
      if (!cluster_.image()->Broker(NodeId{node})->IsActive()) return;
    }
  }
  ConfigMap configs;
  configs["min.insync.replicas"] = std::to_string(1 + random_.Below(2));
  if (random_.Chance(0.5)) configs["durability"] = "replicated";
  const TopicPtr topic =
      cluster_.Create("t" + std::to_string(++topic_number_), assignment, configs);
  topic->partitions.VisitAll([&](PartitionIndex index, const PartitionPtr& partition) {
    for (const NodeId node : partition->replicas) data_[{topic->id, index}].count[node] = 0;
  });
}

void LeadershipChaos::DeleteTopic() {
  const TopicPtr topic = Any().first;
  if (topic == nullptr) return;
  EXPECT_TRUE(cluster_.Run(gregor::DeleteTopic{{topic->name, {}}}).ok());
}

void LeadershipChaos::ChangeBroker() {
  const NodeId node = AnyBroker();
  const BrokerImage& broker = *cluster_.image()->Broker(node);
  if (broker.fenced) return cluster_.Unfence(node.value);
  // Most of the time most of them run.
  if (random_.Chance(0.6)) return;
  if (!broker.in_controlled_shutdown && random_.Chance(0.4)) return cluster_.ShutDown(node.value);
  cluster_.Fence(node.value);
}

void LeadershipChaos::RestartBroker() {
  const NodeId node = AnyBroker();
  const bool is_unclean = random_.Chance(0.6);
  BrokerImage broker = cluster_.NewBroker(node.value);
  broker.fenced = random_.Chance(0.7);
  if (random_.Chance(0.2)) broker.directories.pop_back();
  is_unclean_ = is_unclean;
  if (is_unclean) {
    for (auto& [key, data] : data_) {
      const TopicPtr topic = cluster_.image()->Topic(key.first);
      const PartitionImage* const partition =
          topic == nullptr ? nullptr : topic->Partition(key.second);
      const auto has = data.count.find(node);
      if (partition == nullptr || has == data.count.end()) continue;
      const auto durability = topic->configs->find("durability");
      if (durability == topic->configs->end()) continue;
      has->second = std::min<int64_t>(has->second, 0);
      // Where nobody else had everything, what is left is what there is.
      const bool is_last =
          HadEverything(*partition, node) &&
          std::none_of(partition->replicas.begin(), partition->replicas.end(), [&](NodeId other) {
            return other != node && HadEverything(*partition, other);
          });
      if (!is_last) continue;
      data.committed = 0;
      for (auto& [other, count] : data.count) count = other == node ? 0 : -1;
    }
  }
  cluster_.Start(broker, is_unclean ? BrokerStart::kUnclean : BrokerStart::kClean);
}

void LeadershipChaos::Drain() {
  const NodeId node = AnyBroker();
  const bool is_drained = cluster_.image()->Broker(node)->drained;
  EXPECT_TRUE(cluster_.Run(DrainBroker{node, is_drained}).ok());
}

// A disk fails under a broker that runs on. Its process does not get it back.
void LeadershipChaos::LoseDirectory() {
  BrokerImage broker = *cluster_.image()->Broker(AnyBroker());
  if (broker.directories.size() < 2) return;
  broker.directories.erase(broker.directories.begin() +
                           static_cast<std::ptrdiff_t>(random_.Below(broker.directories.size())));
  cluster_.Start(broker, BrokerStart::kLostDirectories);
}

// Leaders append; what all in sync have is committed, if they are enough.
void LeadershipChaos::Produce() {
  for (int i = 0; i < 3; ++i) {
    const auto [topic, partition] = Any();
    if (partition == nullptr || partition->leader.value == -1) return;
    ++counts_["led"];
    if (static_cast<int32_t>(partition->isr.size()) < MinInsync(*topic, *partition)) return;
    // Its disk takes nothing any more.
    if (!CanServe(*partition, partition->leader)) return;
    Data& data = data_[{topic->id, partition->index}];
    ++data.committed;
    for (const NodeId node : partition->isr) data.count[node] = data.committed;
  }
}

// A follower catches up, or falls behind, and its leader asks for the change.
void LeadershipChaos::Catch() {
  const auto [topic, partition] = Any();
  if (partition == nullptr || partition->leader.value == -1) return;
  const MetadataImage& image = *cluster_.image();
  Data& data = data_[{topic->id, partition->index}];
  AlterPartitions operation;
  operation.broker = partition->leader;
  operation.broker_epoch = image.Broker(partition->leader)->epoch;
  AlterPartitions::Item item;
  item.topic = topic->id;
  item.partition = partition->index;
  item.leader_epoch = partition->leader_epoch;
  item.partition_epoch = partition->partition_epoch;
  for (const NodeId node : partition->replicas) {
    const BrokerImage* const broker = image.Broker(node);
    const bool is_member = partition->isr.Contains(node);
    // A zombie may fetch while the controller takes it for dead.
    const bool joins = !is_member && !partition->recovering && random_.Chance(0.6);
    if (joins) data.count[node] = data.committed;
    const bool stays = is_member && (node == partition->leader || random_.Chance(0.8));
    if (joins || stays) item.isr.push_back({node, broker->epoch});
  }
  operation.items.push_back(std::move(item));
  pending_.push_back(std::move(operation));
}

// The controller gets to one of the leaders' changes, maybe late, and then not all is as it was.
void LeadershipChaos::Deliver() {
  if (pending_.empty()) return;
  const size_t at = random_.Below(pending_.size());
  const AlterPartitions operation = pending_[at];
  pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(at));
  const AlterPartitions::Item& item = operation.items.front();
  const TopicPtr topic = cluster_.image()->Topic(item.topic);
  const PartitionImage* const partition =
      topic == nullptr ? nullptr : topic->Partition(item.partition);
  // The leader's new members count for commits from the request on (the maximal ISR).
  if (partition != nullptr && partition->partition_epoch == item.partition_epoch) {
    Data& data = data_[{item.topic, item.partition}];
    for (const auto& member : item.isr) {
      const bool is_same_life = cluster_.image()->Broker(member.node)->epoch == member.epoch;
      if (is_same_life && data.count[member.node] >= 0) data.count[member.node] = data.committed;
    }
  }
  const auto answer = cluster_.Run(operation);
  if (answer.ok()) ++counts_["outcome " + std::to_string(static_cast<int>((*answer)[0].outcome))];
}

void LeadershipChaos::Elect() {
  ElectLeaders operation;
  operation.kind = random_.Chance(0.5)   ? ElectionKind::kPreferred
                   : random_.Chance(0.2) ? ElectionKind::kUnclean
                                         : ElectionKind::kTransfer;
  operation.target = AnyBroker();
  is_unclean_ = operation.kind == ElectionKind::kUnclean;
  const auto [topic, partition] = Any();
  if (partition == nullptr) return;
  operation.partitions.push_back({topic->name, partition->index});
  EXPECT_TRUE(cluster_.Run(operation).ok());
}

void LeadershipChaos::Reassign() {
  const auto [topic, partition] = Any();
  if (partition == nullptr) return;
  ReassignPartitions operation;
  ReassignPartitions::Item item;
  item.partition = {topic->name, partition->index};
  if (!random_.Chance(0.2)) item.replicas = Nodes(AnyReplicas(1 + random_.Below(3)));
  operation.items.push_back(std::move(item));
  EXPECT_TRUE(cluster_.Run(operation).ok());
  // New replicas are empty, also where old ones were before.
  const PartitionImage& now = *cluster_.image()->Topic(topic->name)->Partition(partition->index);
  Data& data = data_[{topic->id, now.index}];
  for (const NodeId node : now.replicas) {
    if (!partition->replicas.Contains(node)) data.count[node] = -1;
  }
}

void LeadershipChaos::ChangeConfig() {
  const TopicPtr topic = Any().first;
  if (topic == nullptr) return;
  AlterConfigs operation;
  operation.alterations.push_back(
      {ConfigResourceType::kTopic,
       topic->name,
       {{"min.insync.replicas", ConfigOpKind::kSet, std::to_string(1 + random_.Below(2))}}});
  EXPECT_TRUE(cluster_.Run(operation).ok());
}

bool LeadershipChaos::CanServe(const PartitionImage& partition, NodeId node) const {
  const BrokerImage* const broker = cluster_.image()->Broker(node);
  const auto* const at = std::find(partition.replicas.begin(), partition.replicas.end(), node);
  return broker != nullptr && broker->IsActive() && at != partition.replicas.end() &&
         broker->HasDirectory(
             partition.directories[static_cast<size_t>(at - partition.replicas.begin())]);
}

// Of those that are eligible.
bool LeadershipChaos::CanOtherLead(const PartitionImage& partition) const {
  return std::any_of(partition.eligible.begin(), partition.eligible.end(),
                     [&](NodeId node) { return CanServe(partition, node); });
}

int32_t LeadershipChaos::MinInsync(const TopicImage& topic, const PartitionImage& partition) const {
  return std::min(ResolveMinInsyncReplicas(topic, *cluster_.image(), {}),
                  static_cast<int32_t>(partition.replicas.size()));
}

void LeadershipChaos::Fail(const std::string& invariant, const TopicImage& topic,
                           const PartitionImage& now) {
  if (!violation_.empty()) return;
  violation_ = invariant + ": topic " + topic.name + ", " +
               cluster_.Show(topic.name, now.index.value) + ", min " +
               std::to_string(MinInsync(topic, now));
}

void LeadershipChaos::Look(const char* step) {
  const ImagePtr now = cluster_.image();
  now->topics.VisitAll([&](const std::string&, const TopicPtr& topic) {
    const TopicPtr before = before_->Topic(topic->id);
    topic->partitions.VisitAll([&](PartitionIndex index, const PartitionPtr& partition) {
      LookAt(*topic, before == nullptr ? nullptr : before->Partition(index), *partition,
             data_[{topic->id, index}]);
    });
  });
  if (!violation_.empty()) violation_ += std::string(" (after: ") + step + ")";
  before_ = now;
}

void LeadershipChaos::LookAt(const TopicImage& topic, const PartitionImage* before,
                             const PartitionImage& now, Data& data) {
  const auto fail = [&](const char* invariant) { Fail(invariant, topic, now); };
  const bool elected_uncleanly = is_unclean_ && now.recovering && before != nullptr &&
                                 before->leader != now.leader && now.leader.value != -1;
  if (elected_uncleanly) {
    // What the new leader has is what counts from here on; what others have is of another history.
    data.committed = std::max<int64_t>(data.count[now.leader], 0);
    for (auto& [node, count] : data.count) count = node == now.leader ? data.committed : -1;
  }
  if (before != nullptr && !(*before == now)) {
    if (now.partition_epoch <= before->partition_epoch) fail("C2");
    if (now.leader_epoch < before->leader_epoch) fail("C2");
    if (before->leader != now.leader && now.leader_epoch == before->leader_epoch) fail("C2");
  }
  if (now.leader.value != -1 &&
      (!now.isr.Contains(now.leader) || !now.replicas.Contains(now.leader)))
    fail("C3");
  // Nobody leads who is drained and has not led before, where others could.
  const auto is_drained = [&](NodeId node) { return cluster_.image()->Broker(node)->drained; };
  const bool leads_anew = before != nullptr && before->leader != now.leader;
  if (leads_anew && now.leader.value != -1 && is_drained(now.leader) &&
      !std::all_of(now.isr.begin(), now.isr.end(), is_drained))
    fail("D1");
  // Who leads alone may have lost its log directory: it can be read as long as nobody else leads.
  const BrokerImage* const leader = cluster_.image()->Broker(now.leader);
  const bool is_read_only = now.isr.size() == 1 && leader != nullptr && leader->IsActive();
  // Whoever led and runs on is not taken away without another one that leads.
  const BrokerImage* const led = before == nullptr ? nullptr : before_->Broker(before->leader);
  const BrokerImage* const runs = led == nullptr ? nullptr : cluster_.image()->Broker(led->id);
  const bool goes_on = runs != nullptr && runs->IsActive() && runs->incarnation == led->incarnation;
  if (goes_on && now.leader.value == -1) fail("L3");
  for (const NodeId node : now.isr) {
    if (!CanServe(now, node) && !(is_read_only && node == now.leader)) fail("C4");
    if (is_read_only && !CanServe(now, node) && CanOtherLead(now)) fail("L2");
    if (now.eligible.Contains(node)) fail("C4");
  }
  const auto count = [](const PartitionImage& partition) {
    return static_cast<int32_t>(partition.isr.size() + partition.eligible.size());
  };
  const int32_t min = MinInsync(topic, now);
  if (before != nullptr && !is_unclean_ && count(*before) >= min && count(now) < min) fail("C5");
  for (const NodeId node : now.replicas) {
    if (HadEverything(now, node) && data.count[node] < data.committed)
      fail(now.isr.Contains(node) ? "P1" : "P1 (eligible)");
  }
}

}  // namespace gregor
