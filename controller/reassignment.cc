// Moving partitions to other brokers (KIP-455).
#include <algorithm>
#include <set>
#include <utility>

#include "controller/image/topic_configs.h"
#include "controller/leadership.h"
#include "controller/operations.h"
#include "controller/partition_change.h"
#include "controller/placement.h"

namespace gregor {
namespace {

using Item = ReassignPartitions::Item;

constexpr size_t kReplicasMax = 1000;

// Those of `nodes` that are not in `others`.
template <typename Nodes, typename Others>
std::vector<NodeId> Without(const Nodes& nodes, const Others& others) {
  std::vector<NodeId> left;
  for (const NodeId node : nodes) {
    if (std::find(others.begin(), others.end(), node) == others.end()) left.push_back(node);
  }
  return left;
}

Error BadAssignment(const std::string& what) {
  return Error(Reason::kInvalidReplicaAssignment, what);
}

// Where a partition was before the reassignment that runs, if one does.
std::vector<NodeId> ReplicasAtFirst(const PartitionImage& partition) {
  return Without(partition.replicas, partition.adding);
}

Result<void> CheckTarget(const std::vector<NodeId>& target, const PartitionImage& partition,
                         const MetadataImage& image) {
  if (target.size() > kReplicasMax) {
    return BadAssignment(std::to_string(target.size()) + " replicas are more than the " +
                         std::to_string(kReplicasMax) + " that a partition can have");
  }
  std::set<NodeId> seen;
  std::vector<NodeId> added;
  for (const NodeId node : target) {
    if (!seen.insert(node).second)
      return BadAssignment("broker " + std::to_string(node.value) + " is named twice");
    if (!partition.replicas.Contains(node)) added.push_back(node);
  }
  // Those that hold it already may be away.
  if (added.empty()) return {};
  return CheckAssignment(image, {added}, 0);
}

// The partition with `replicas` as they are to be until the move is completed.
PartitionImage Moved(const PartitionImage& before, std::vector<NodeId> replicas,
                     const MetadataImage& image, Random& random) {
  std::vector<DirectoryId> directories;
  for (const NodeId node : replicas) {
    const auto* const at = std::find(before.replicas.begin(), before.replicas.end(), node);
    if (at != before.replicas.end()) {
      directories.push_back(before.directories[static_cast<size_t>(at - before.replicas.begin())]);
    } else {
      const auto& of_broker = image.Broker(node)->directories;
      directories.push_back(of_broker[random.Below(of_broker.size())]);
    }
  }
  PartitionImage moved = before;
  moved.isr = Without(before.isr, Without(before.isr, replicas));
  moved.replicas = std::move(replicas);
  moved.directories = std::move(directories);
  return moved;
}

// Whoever goes at once (the new replicas of a reassignment that is given up) may be in sync. Enough
// others must be, or committed records would go along.
Result<void> CheckLeaving(const PartitionImage& before, const PartitionImage& moved,
                          int32_t min_insync_replicas) {
  const auto had_everything = [&](NodeId node) {
    return before.isr.Contains(node) || before.eligible.Contains(node);
  };
  const auto leaving = Without(before.replicas, moved.replicas);
  if (std::none_of(leaving.begin(), leaving.end(), had_everything)) return {};
  const size_t needed = std::min(static_cast<size_t>(min_insync_replicas), moved.replicas.size());
  if (moved.isr.size() >= needed) return {};
  return BadAssignment("without the replicas that would go, " + std::to_string(moved.isr.size()) +
                       " would be in sync, and " + std::to_string(needed) +
                       " are needed: wait until more are, or name other replicas");
}

Result<PartitionWish> WishFor(const Item& item, const PartitionImage& before,
                              const MetadataImage& image, Random& random) {
  const std::vector<NodeId> first = ReplicasAtFirst(before);
  if (item.replicas.empty()) {
    if (before.adding.empty() && before.removing.empty()) {
      return Error(Reason::kNoReassignmentInProgress,
                   "no reassignment of this partition is running that could be cancelled");
    }
    PartitionImage back = Moved(before, first, image, random);
    back.adding = {};
    back.removing = {};
    return PartitionWish{.partition = std::move(back), .lost = {}};
  }
  RETURN_IF_ERROR(CheckTarget(item.replicas, before, image));
  std::vector<NodeId> all = item.replicas;
  const std::vector<NodeId> removing = Without(first, item.replicas);
  all.insert(all.end(), removing.begin(), removing.end());
  PartitionImage moved = Moved(before, std::move(all), image, random);
  moved.adding = Without(item.replicas, first);
  moved.removing = removing;
  return PartitionWish{.partition = std::move(moved), .lost = {}};
}

Result<void> PlanItem(const Item& item, const PlanContext& context,
                      std::vector<pb::MetadataRecord>& records) {
  const MetadataImage& image = context.image;
  ASSIGN_OR_RETURN(const auto found, FindPartition(item.partition, image));
  const auto& [topic, before] = found;
  ASSIGN_OR_RETURN(PartitionWish wish, WishFor(item, *before, image, context.random));
  const int32_t min_insync_replicas =
      ResolveMinInsyncReplicas(*topic, image, context.options.static_configs);
  RETURN_IF_ERROR(CheckLeaving(*before, wish.partition, min_insync_replicas));
  const PartitionImage after =
      ChangePartition(*before, std::move(wish), LiveBrokers(image), min_insync_replicas);
  auto record = MakePartitionChange(topic->id, *before, after);
  if (record.has_value()) records.push_back(*std::move(record));
  return {};
}

}  // namespace

Result<Planned> Plan(const ReassignPartitions& operation, const PlanContext& context) {
  Planned planned;
  std::vector<Result<void>> results;
  std::set<std::pair<std::string, PartitionIndex>> seen;
  for (const Item& item : operation.items) {
    if (seen.emplace(item.partition.topic, item.partition.partition).second) {
      results.push_back(PlanItem(item, context, planned.records));
    } else {
      results.push_back(Error(Reason::kInvalidArgument, "the partition is named twice"));
    }
  }
  planned.answer = [results = std::move(results)](const MetadataImage&, Offset) { return results; };
  return planned;
}

}  // namespace gregor
