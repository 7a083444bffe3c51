// Elections of leaders by hand, by the clock, and because configs changed.
#include <map>
#include <set>
#include <utility>

#include "controller/image/topic_configs.h"
#include "controller/leadership.h"
#include "controller/operations.h"
#include "controller/partition_change.h"
#include "controller/topic_names.h"

namespace gregor {
namespace {

std::string BrokerName(NodeId node) { return "broker " + std::to_string(node.value); }

// Plans elections, one partition after the other.
class Elections {
 public:
  Elections(const MetadataImage& image, const ConfigMap& static_configs,
            std::vector<pb::MetadataRecord>& records)
      : image_(image), static_configs_(static_configs), live_(image), records_(records) {}

  // Whether nobody leads; or who does has lost its log directory, and can be read at most.
  bool HasNoLeader(const PartitionImage& partition) const {
    return !live_.CanServe(partition, partition.leader);
  }
  // Whether the partition lacks the leader that an election of this kind would give it.
  bool IsNeeded(const ElectLeaders& operation, const PartitionImage& partition) const {
    switch (operation.kind) {
      case ElectionKind::kPreferred:
        return partition.leader != partition.replicas.front();
      case ElectionKind::kUnclean:
        return HasNoLeader(partition);
      case ElectionKind::kTransfer:
        return partition.leader != operation.target;
    }
    return false;
  }

  Result<void> Elect(const ElectLeaders& operation, const TopicImage& topic,
                     const PartitionImage& before) {
    if (!IsNeeded(operation, before)) {
      return Error(Reason::kElectionNotNeeded,
                   operation.kind == ElectionKind::kUnclean
                       ? "the partition has a leader, " + BrokerName(before.leader)
                       : BrokerName(before.leader) + " leads already");
    }
    PartitionWish wish{.partition = before, .lost = {}};
    NodeId wanted = before.replicas.front();
    if (operation.kind == ElectionKind::kPreferred) wish.election = Election::kPreferred;
    if (operation.kind == ElectionKind::kUnclean) wish.election = Election::kUnclean;
    if (operation.kind == ElectionKind::kTransfer) {
      wanted = operation.target;
      wish.partition.leader = wanted;
    }
    if (operation.kind != ElectionKind::kUnclean && live_.IsDrained(wanted))
      return NotElected(operation.kind, BrokerName(wanted) + " is drained, and leads nothing new");
    const PartitionImage after = Changed(topic, before, std::move(wish));
    const bool is_done = operation.kind == ElectionKind::kUnclean ? after.leader != before.leader
                                                                  : after.leader == wanted;
    if (!is_done) {
      return NotElected(operation.kind,
                        operation.kind == ElectionKind::kUnclean
                            ? "none of the partition's replicas is on a running broker "
                              "that has its log directory"
                            : BrokerName(wanted) + " is not in sync");
    }
    Add(topic, before, after);
    return {};
  }

  // Where nobody leads: whoever may without losing anything, or, if that is asked for, anybody.
  void ElectAny(const TopicImage& topic, const PartitionImage& before, Election election) {
    PartitionWish wish{.partition = before, .election = election, .lost = {}};
    Add(topic, before, Changed(topic, before, std::move(wish)));
  }

 private:
  static Error NotElected(ElectionKind kind, std::string why) {
    return Error(kind == ElectionKind::kPreferred ? Reason::kPreferredLeaderNotAvailable
                                                  : Reason::kEligibleLeadersNotAvailable,
                 std::move(why));
  }
  PartitionImage Changed(const TopicImage& topic, const PartitionImage& before,
                         PartitionWish wish) {
    if (topic_ != topic.id) {
      topic_ = topic.id;
      min_insync_replicas_ = ResolveMinInsyncReplicas(topic, image_, static_configs_);
    }
    return ChangePartition(before, std::move(wish), live_, min_insync_replicas_);
  }
  void Add(const TopicImage& topic, const PartitionImage& before, const PartitionImage& after) {
    auto record = MakePartitionChange(topic.id, before, after);
    if (record.has_value()) records_.push_back(*std::move(record));
  }

  const MetadataImage& image_;
  const ConfigMap& static_configs_;
  const LiveBrokers live_;
  std::vector<pb::MetadataRecord>& records_;
  TopicId topic_;
  int32_t min_insync_replicas_ = 1;  // of topic_
};

// Calls visit(topic, partition) for the partitions of all topics, until it returns false.
template <typename Visit>
void VisitPartitions(const MetadataImage& image, Visit visit) {
  bool goes_on = true;
  image.topics.VisitFrom(std::string(), [&](const std::string&, const TopicPtr& topic) {
    topic->partitions.VisitFrom(PartitionIndex{0}, [&](PartitionIndex, const PartitionPtr& each) {
      goes_on = visit(*topic, *each);
      return goes_on;
    });
    return goes_on;
  });
}

// Whether another broker leads than the one that the partition prefers.
bool IsAstray(const PartitionImage& partition) {
  return partition.leader.value != -1 && partition.leader != partition.replicas.front();
}

// The brokers that may lead and whose partitions others lead in more than so many of a hundred
// cases.
std::set<NodeId> ImbalancedBrokers(const MetadataImage& image, int32_t percent_max) {
  struct Preferring {
    int64_t all = 0;
    int64_t astray = 0;
  };
  std::map<NodeId, Preferring> counts;
  VisitPartitions(image, [&](const TopicImage&, const PartitionImage& partition) {
    Preferring& count = counts[partition.replicas.front()];
    ++count.all;
    if (IsAstray(partition)) ++count.astray;
    return true;
  });
  std::set<NodeId> imbalanced;
  for (const auto& [node, count] : counts) {
    const BrokerImage* const broker = image.Broker(node);
    const bool may_lead = broker != nullptr && broker->IsActive() && !broker->drained;
    if (may_lead && count.astray * 100 > count.all * percent_max) imbalanced.insert(node);
  }
  return imbalanced;
}

// Whether the configs of all brokers are the same.
bool SameForAll(const MetadataImage& a, const MetadataImage& b) {
  const auto* const in_a = a.broker_configs.Find(NodeId{-1});
  const auto* const in_b = b.broker_configs.Find(NodeId{-1});
  if (in_a == nullptr || in_b == nullptr) return in_a == in_b;
  return *in_a == *in_b;
}

Result<void> CheckElection(const ElectLeaders& operation, const MetadataImage& image) {
  if (operation.kind != ElectionKind::kTransfer) return {};
  if (operation.partitions.empty()) {
    return Error(Reason::kInvalidArgument,
                 "name the partitions whose leadership is to be transferred");
  }
  if (image.Broker(operation.target) != nullptr) return {};
  return Error(Reason::kBrokerIdNotRegistered,
               "no broker has the id " + std::to_string(operation.target.value));
}

// The elections of those that are named.
std::vector<ElectedLeader> ElectNamed(const ElectLeaders& operation, const MetadataImage& image,
                                      Elections& elections) {
  std::vector<ElectedLeader> elected;
  std::set<std::pair<std::string, PartitionIndex>> seen;
  for (const PartitionKey& key : operation.partitions) {
    const auto elect = [&]() -> Result<void> {
      ASSIGN_OR_RETURN(const auto found, FindPartition(key, image));
      if (!seen.emplace(key.topic, key.partition).second)
        return Error(Reason::kInvalidArgument, "the partition is named twice");
      return elections.Elect(operation, *found.first, *found.second);
    };
    elected.push_back({key, elect()});
  }
  return elected;
}

}  // namespace

Result<std::pair<TopicPtr, const PartitionImage*>> FindPartition(const PartitionKey& key,
                                                                 const MetadataImage& image) {
  TopicPtr topic = image.Topic(key.topic);
  if (topic == nullptr)
    return Error(Reason::kTopicNotFound, "topic " + ShowText(key.topic) + " does not exist");
  const PartitionImage* const partition = topic->Partition(key.partition);
  if (partition != nullptr) return std::make_pair(std::move(topic), partition);
  return Error(Reason::kPartitionNotFound, "topic " + ShowText(key.topic) + " has no partition " +
                                               std::to_string(key.partition.value));
}

Result<Planned> Plan(const ElectLeaders& operation, const PlanContext& context) {
  RETURN_IF_ERROR(CheckElection(operation, context.image));
  Planned planned;
  Elections elections(context.image, context.options.static_configs, planned.records);
  std::vector<ElectedLeader> elected;
  if (operation.partitions.empty()) {
    VisitPartitions(context.image, [&](const TopicImage& topic, const PartitionImage& partition) {
      if (elections.IsNeeded(operation, partition)) {
        elected.push_back(
            {{topic.name, partition.index}, elections.Elect(operation, topic, partition)});
      }
      return true;
    });
  } else {
    elected = ElectNamed(operation, context.image, elections);
  }
  planned.answer = [elected = std::move(elected)](const MetadataImage&, Offset) { return elected; };
  return planned;
}

void PlanLeaderBalance(const MetadataImage& image, const ConfigMap& static_configs,
                       int32_t imbalance_percent_max, size_t count_max,
                       std::vector<pb::MetadataRecord>& records) {
  const std::set<NodeId> imbalanced = ImbalancedBrokers(image, imbalance_percent_max);
  if (imbalanced.empty()) return;
  Elections elections(image, static_configs, records);
  const ElectLeaders preferred;
  size_t count = 0;
  VisitPartitions(image, [&](const TopicImage& topic, const PartitionImage& partition) {
    const NodeId wanted = partition.replicas.front();
    const bool may_lead =
        IsAstray(partition) && imbalanced.count(wanted) != 0 && partition.isr.Contains(wanted);
    if (may_lead && elections.Elect(preferred, topic, partition).ok()) ++count;
    return count < count_max;
  });
}

void PlanUncleanElections(const MetadataImage& image, const ConfigMap& static_configs,
                          size_t count_max, std::vector<pb::MetadataRecord>& records) {
  Elections elections(image, static_configs, records);
  const size_t end = records.size() + count_max;
  std::map<TopicId, bool> allowed;
  VisitPartitions(image, [&](const TopicImage& topic, const PartitionImage& partition) {
    if (!elections.HasNoLeader(partition)) return true;
    const auto [found, is_new] = allowed.try_emplace(topic.id);
    if (is_new) found->second = ResolveUncleanElection(topic, image, static_configs);
    if (found->second) elections.ElectAny(topic, partition, Election::kUnclean);
    return records.size() < end;
  });
}

void PlanConfigChange(const MetadataImage& before, const MetadataImage& after,
                      const ConfigMap& static_configs, std::vector<pb::MetadataRecord>& records) {
  Elections elections(after, static_configs, records);
  const auto visit = [&](const TopicImage& topic) {
    const bool unclean = ResolveUncleanElection(topic, after, static_configs) &&
                         !ResolveUncleanElection(*before.Topic(topic.id), before, static_configs);
    topic.partitions.VisitAll([&](PartitionIndex, const PartitionPtr& partition) {
      const bool has_leader = !elections.HasNoLeader(*partition);
      if (unclean && !has_leader) elections.ElectAny(topic, *partition, Election::kUnclean);
      // With fewer replicas needed for a commit, commits go on without those outside the ISR.
      if (!partition->eligible.empty() && has_leader)
        elections.ElectAny(topic, *partition, Election::kIfNeeded);
    });
  };
  // One topic's change is no matter of all others.
  if (SameForAll(before, after)) {
    decltype(after.topics)::VisitChanges(
        before.topics, after.topics,
        [&](const std::string&, const TopicPtr*, const TopicPtr* now) { visit(**now); });
  } else {
    after.topics.VisitAll([&](const std::string&, const TopicPtr& topic) { visit(*topic); });
  }
}

}  // namespace gregor
