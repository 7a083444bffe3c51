#include "tests/sim/partition_checker.h"

#include <algorithm>

#include "controller/image/topic_configs.h"
#include "storage/log_config.h"

namespace gregor {
namespace {

bool HadEverything(const PartitionImage& partition, NodeId node) {
  return partition.isr.Contains(node) || partition.eligible.Contains(node);
}

bool IsAnotherLife(const MetadataDelta& delta, NodeId node) {
  const BrokerImage* const before = delta.before->Broker(node);
  const BrokerImage* const now = delta.after->Broker(node);
  return before == nullptr || now == nullptr || before->incarnation != now->incarnation;
}

bool IsReplicated(const MetadataImage& image, const TopicImage& topic, NodeId broker) {
  return ResolveDurability(topic, image, broker, {}) == Durability::kReplicated;
}

// Whether what it had may be gone, or is not where the partition is any more.
bool IsLost(const MetadataDelta& delta, const TopicImage& topic, const PartitionImage& before,
            NodeId node) {
  const BrokerImage* const broker = delta.after->Broker(node);
  const auto place = static_cast<size_t>(
      std::find(before.replicas.begin(), before.replicas.end(), node) - before.replicas.begin());
  if (broker == nullptr || place >= before.directories.size()) return true;
  if (!broker->HasDirectory(before.directories[place])) return true;
  return IsAnotherLife(delta, node) && IsReplicated(*delta.after, topic, node);
}

}  // namespace

void PartitionStepChecker::OnAsked(const AlterPartitions& asked) {
  for (const AlterPartitions::Item& item : asked.items)
    asked_[{item.topic, item.partition, item.partition_epoch}].push_back(item.isr);
}

void PartitionStepChecker::ForgetPassed(const MetadataImage& image) {
  std::erase_if(asked_, [&](const auto& asked) {
    const auto& [id, index, epoch] = asked.first;
    const TopicPtr topic = image.Topic(id);
    const PartitionImage* const now = topic == nullptr ? nullptr : topic->Partition(index);
    return now == nullptr || now->partition_epoch > epoch;
  });
}

void PartitionStepChecker::OnImage(const MetadataDelta& delta) {
  if (delta.brokers_changed) {
    delta.after->topics.VisitAll(
        [&](const std::string&, const TopicPtr& topic) { CheckTopic(delta, *topic); });
    return;
  }
  for (const TopicPtr& topic : delta.changed) CheckTopic(delta, *topic);
}

void PartitionStepChecker::CheckTopic(const MetadataDelta& delta, const TopicImage& topic) {
  const TopicPtr old = delta.before->Topic(topic.id);
  if (old == nullptr) return;
  topic.partitions.VisitAll([&](PartitionIndex index, const PartitionPtr& now) {
    const PartitionImage* const before = old->Partition(index);
    if (before == nullptr) return;
    const Step step{delta, topic, *before, *now};
    // Of several steps at once it is not known what came first.
    if (now->partition_epoch.value > before->partition_epoch.value + 1) return;
    if (delta.brokers_changed) CheckRestarted(step);
    if (now->partition_epoch == before->partition_epoch) return;
    CheckCount(step);
    CheckGrowth(step);
  });
}

void PartitionStepChecker::CheckCount(const Step& step) {
  const bool is_unclean = step.now.recovering && step.now.leader != step.before.leader;
  if (is_unclean) return;
  const auto min = std::min<int64_t>(ResolveMinInsyncReplicas(step.topic, *step.delta.after, {}),
                                     static_cast<int64_t>(step.now.replicas.size()));
  const auto had =
      std::count_if(step.before.replicas.begin(), step.before.replicas.end(), [&](NodeId node) {
        return HadEverything(step.before, node) &&
               !IsLost(step.delta, step.topic, step.before, node);
      });
  const auto have = static_cast<int64_t>(step.now.isr.size() + step.now.eligible.size());
  if (had >= min && have < min) Fail("C5: fewer have everything than a commit needs", step);
}

void PartitionStepChecker::CheckGrowth(const Step& step) {
  if (step.now.leader.value < 0 || step.now.leader != step.before.leader) return;
  const Place place{step.topic.id, step.now.index, step.before.partition_epoch};
  const auto asked = asked_.find(place);
  for (const NodeId node : step.now.isr) {
    if (step.before.isr.Contains(node) || IsAnotherLife(step.delta, node)) continue;
    if (asked == asked_.end()) return Fail("C6: nobody has asked for who is in sync", step);
    const BrokerEpoch epoch = step.delta.after->Broker(node)->epoch;
    const bool is_current =
        std::any_of(asked->second.begin(), asked->second.end(), [&](const auto& members) {
          return std::any_of(members.begin(), members.end(), [&](const auto& member) {
            return member.node == node && (member.epoch == epoch || member.epoch.value == -1);
          });
        });
    if (!is_current)
      return Fail("C6: who gets in sync was started again since it had everything", step);
  }
}

// It has everything no more, and there was a reason: something happened to its broker or its place,
// or the leader asked for it.
bool PartitionStepChecker::HasGone(const Step& step, NodeId node) const {
  if (HadEverything(step.now, node)) return false;
  const auto is_without = [&](const std::vector<AlterPartitions::Member>& members) {
    return std::none_of(members.begin(), members.end(),
                        [&](const AlterPartitions::Member& member) { return member.node == node; });
  };
  const auto asked = asked_.find({step.topic.id, step.now.index, step.before.partition_epoch});
  return step.delta.before->Broker(node) != step.delta.after->Broker(node) ||
         !step.now.replicas.Contains(node) ||
         (asked != asked_.end() &&
          std::any_of(asked->second.begin(), asked->second.end(), is_without));
}

// Where nobody else has everything, what it has is all there is. An image may come of several
// steps, so that others may have gone before it was started again.
void PartitionStepChecker::CheckRestarted(const Step& step) {
  const auto has_all = [&](NodeId node) {
    return HadEverything(step.before, node) && !HasGone(step, node);
  };
  for (const NodeId node : step.before.replicas) {
    if (!IsAnotherLife(step.delta, node) || !HadEverything(step.before, node)) continue;
    if (!HadEverything(step.now, node)) continue;
    const bool is_last =
        std::none_of(step.before.replicas.begin(), step.before.replicas.end(),
                     [&](NodeId other) { return other != node && has_all(other); });
    if (!is_last && IsReplicated(*step.delta.after, step.topic, node))
      return Fail("C6: a broker that was started again may have lost records, and has all", step);
  }
}

void PartitionStepChecker::Fail(const char* what, const Step& step) {
  verdict_.Fail(what, ": partition ", step.now.index, " of ", step.topic.name, " at ",
                step.delta.after->version);
}

}  // namespace gregor
