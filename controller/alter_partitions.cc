// What leaders say of their partitions (KIP-497, KIP-841, KIP-903).
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "controller/image/topic_configs.h"
#include "controller/operations.h"
#include "controller/partition_change.h"
#include "raft/core/mutant.h"

namespace gregor {
namespace {

using Item = AlterPartitions::Item;
using Member = AlterPartitions::Member;

struct Refusal {
  AlterOutcome outcome;
  std::string message;
};

std::string BrokerName(NodeId node) { return "broker " + std::to_string(node.value); }

// Checks items, in the order of kraft's rules: of two things that are wrong, the one is told that
// the leader can act upon.
class ItemCheck {
 public:
  ItemCheck(const PartitionImage& partition, const Item& item, NodeId sender,
            const LiveBrokers& brokers)
      : partition_(partition), item_(item), sender_(sender), brokers_(brokers) {}

  std::optional<Refusal> Run() const {
    if (auto refusal = CheckEpochs()) return refusal;
    if (auto refusal = CheckReplicas()) return refusal;
    return CheckEligible();
  }

 private:
  std::optional<Refusal> CheckEpochs() const {
    const LeaderEpoch leader_epoch = partition_.leader_epoch;
    if (item_.leader_epoch > leader_epoch || item_.partition_epoch > partition_.partition_epoch) {
      return Refusal{AlterOutcome::kNotController,
                     "the leader knows of a newer state than this controller: ask again"};
    }
    if (item_.leader_epoch < leader_epoch) {
      return Refusal{AlterOutcome::kFencedLeaderEpoch,
                     "leader epoch " + std::to_string(item_.leader_epoch.value) +
                         " has ended; it is " + std::to_string(leader_epoch.value)};
    }
    if (sender_ != partition_.leader) {
      return Refusal{AlterOutcome::kInvalidRequest, BrokerName(sender_) + " does not lead; " +
                                                        BrokerName(partition_.leader) + " does"};
    }
    if (item_.partition_epoch == partition_.partition_epoch) return std::nullopt;
    return Refusal{AlterOutcome::kStalePartition,
                   "partition epoch " + std::to_string(item_.partition_epoch.value) +
                       " has passed; it is " + std::to_string(partition_.partition_epoch.value)};
  }

  std::optional<Refusal> CheckReplicas() const {
    const auto refuse = [](std::string what) {
      return Refusal{AlterOutcome::kInvalidRequest, std::move(what)};
    };
    std::set<NodeId> seen;
    for (const Member& member : item_.isr) {
      if (!partition_.replicas.Contains(member.node))
        return refuse(BrokerName(member.node) + " is no replica, and cannot be in sync");
      if (!seen.insert(member.node).second)
        return refuse(BrokerName(member.node) + " is in sync twice");
    }
    if (seen.count(sender_) == 0) return refuse("the leader is not in sync with itself");
    if (item_.recovering && item_.isr.size() > 1)
      return refuse("nobody is in sync with a leader that recovers");
    if (item_.recovering && !partition_.recovering)
      return refuse("the leader has recovered already");
    return std::nullopt;
  }

  std::optional<Refusal> CheckEligible() const {
    for (const Member& member : item_.isr) {
      const auto refuse = [&](const std::string& why) {
        return Refusal{AlterOutcome::kIneligibleReplica, BrokerName(member.node) + " " + why};
      };
      // A leader that lost its log directory hands over to those who have got everything.
      const bool hands_over = member.node == sender_ && item_.isr.size() > 1;
      if (!raft::IsMutant(22) && !hands_over && !brokers_.CanServe(partition_, member.node)) {
        return refuse("is fenced or shuts down, or its log directory is gone");
      }
      const BrokerImage* const broker = brokers_.Find(member.node);
      const bool is_current =
          broker != nullptr && (member.epoch.value == -1 || member.epoch == broker->epoch);
      if (!raft::IsMutant(21) && !is_current)
        return refuse("was started again since it was in sync: it may have lost records");
    }
    return std::nullopt;
  }

  const PartitionImage& partition_;
  const Item& item_;
  const NodeId sender_;
  const LiveBrokers& brokers_;
};

AlteredPartition StateOf(const PartitionImage& partition) {
  AlteredPartition state;
  state.leader = partition.leader;
  state.leader_epoch = partition.leader_epoch;
  state.partition_epoch = partition.partition_epoch;
  state.isr = {partition.isr.begin(), partition.isr.end()};
  state.recovering = partition.recovering;
  return state;
}

// Plans one item, unless it is refused or changes nothing.
std::optional<Refusal> PlanItem(const Item& item, NodeId sender, const PlanContext& context,
                                std::vector<pb::MetadataRecord>& records) {
  const TopicPtr topic = context.image.Topic(item.topic);
  const PartitionImage* const before =
      topic == nullptr ? nullptr : topic->Partition(item.partition);
  if (before == nullptr) {
    return Refusal{AlterOutcome::kUnknownPartition,
                   "topic " + item.topic.ToString() + " has no partition " +
                       std::to_string(item.partition.value) + " (any more)"};
  }
  const LiveBrokers brokers(context.image);
  if (auto refusal = ItemCheck(*before, item, sender, brokers).Run()) return refusal;
  PartitionWish wish{.partition = *before, .lost = {}};
  std::vector<NodeId> isr;
  for (const Member& member : item.isr) isr.push_back(member.node);
  wish.partition.isr = std::move(isr);
  wish.partition.recovering = item.recovering;
  const PartitionImage after = ChangePartition(
      *before, std::move(wish), brokers,
      ResolveMinInsyncReplicas(*topic, context.image, context.options.static_configs));
  auto record = MakePartitionChange(topic->id, *before, after);
  if (record.has_value()) records.push_back(*std::move(record));
  return std::nullopt;
}

// The answers, from the image with the changes.
std::vector<AlteredPartition> Answers(const AlterPartitions& operation,
                                      const std::map<size_t, Refusal>& refused,
                                      const MetadataImage& after) {
  std::vector<AlteredPartition> answers;
  for (size_t i = 0; i < operation.items.size(); ++i) {
    const Item& item = operation.items[i];
    const TopicPtr topic = after.Topic(item.topic);
    const PartitionImage* const partition =
        topic == nullptr ? nullptr : topic->Partition(item.partition);
    AlteredPartition& answer = answers.emplace_back();
    if (partition != nullptr) answer = StateOf(*partition);
    const auto refusal = refused.find(i);
    if (refusal != refused.end()) {
      answer.outcome = refusal->second.outcome;
      answer.message = refusal->second.message;
    } else if (answer.leader != operation.broker) {
      answer.outcome = AlterOutcome::kNewLeaderElected;
    }
  }
  return answers;
}

}  // namespace

Result<Planned> Plan(const AlterPartitions& operation, const PlanContext& context) {
  const BrokerImage* const sender = context.image.Broker(operation.broker);
  if (sender == nullptr) {
    return Error(Reason::kBrokerIdNotRegistered,
                 BrokerName(operation.broker) + " is not registered");
  }
  if (sender->epoch != operation.broker_epoch) {
    return Error(Reason::kStaleBrokerEpoch, BrokerName(operation.broker) +
                                                " is registered with epoch " +
                                                std::to_string(sender->epoch.value) + ", not " +
                                                std::to_string(operation.broker_epoch.value));
  }
  Planned planned;
  std::map<size_t, Refusal> refused;
  std::set<std::pair<TopicId, PartitionIndex>> seen;
  for (size_t i = 0; i < operation.items.size(); ++i) {
    const Item& item = operation.items[i];
    std::optional<Refusal> refusal;
    if (seen.emplace(item.topic, item.partition).second) {
      refusal = PlanItem(item, operation.broker, context, planned.records);
    } else {
      refusal = {AlterOutcome::kInvalidRequest, "the partition is there twice"};
    }
    if (refusal.has_value()) refused.emplace(i, *std::move(refusal));
  }
  planned.answer = [operation, refused = std::move(refused)](const MetadataImage& after, Offset) {
    return Answers(operation, refused, after);
  };
  return planned;
}

}  // namespace gregor
