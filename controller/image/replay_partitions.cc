// Replay: partitions.
#include <algorithm>
#include <utility>

#include "controller/image/replay.h"

namespace gregor {
namespace {

// Whether each of `nodes` is one of the partition's replicas, and none is there twice.
bool AreReplicas(const SharedList<NodeId>& nodes, const PartitionImage& partition) {
  return std::all_of(nodes.begin(), nodes.end(), [&](NodeId node) {
    return partition.replicas.Contains(node) && std::count(nodes.begin(), nodes.end(), node) == 1;
  });
}

bool AreApart(const SharedList<NodeId>& a, const SharedList<NodeId>& b) {
  return std::none_of(a.begin(), a.end(), [&](NodeId node) { return b.Contains(node); });
}

// Whether a partition's state can be.
Result<void> CheckPartition(const PartitionImage& partition) {
  const auto fail = [&](const char* what) {
    return Contradiction("partition " + std::to_string(partition.index.value) + ": " + what);
  };
  if (partition.replicas.empty()) return fail("no replicas");
  const bool are_nodes = std::all_of(partition.replicas.begin(), partition.replicas.end(),
                                     [](NodeId node) { return node.value >= 0; });
  if (!are_nodes || !AreReplicas(partition.replicas, partition))
    return fail("its replicas are no set of nodes");
  if (partition.directories.size() != partition.replicas.size())
    return fail("not one directory per replica");
  if (!AreReplicas(partition.isr, partition)) return fail("in-sync replicas that are no replicas");
  if (!AreReplicas(partition.eligible, partition) || !AreApart(partition.eligible, partition.isr))
    return fail("eligible replicas that are no replicas, or are in sync");
  if (!AreReplicas(partition.adding, partition) || !AreReplicas(partition.removing, partition) ||
      !AreApart(partition.adding, partition.removing))
    return fail("it is moved to or from what it is not");
  if (partition.leader.value != -1 && !partition.isr.Contains(partition.leader))
    return fail("a leader that is not in sync");
  if (partition.leader_epoch.value < 0 || partition.partition_epoch.value < 0)
    return fail("a negative epoch");
  return {};
}

}  // namespace

Result<void> Replay::Apply(const pb::PartitionsRecord& record) {
  ASSIGN_OR_RETURN(TopicImage * topic, Change(record.topic_id()));
  using Partitions = decltype(topic->partitions);
  std::vector<Partitions::Change> added;
  added.reserve(static_cast<size_t>(record.partitions_size()));
  int32_t next = topic->partition_count();
  for (const auto& each : record.partitions()) {
    if (each.index() != next++) {
      return Contradiction(Name(topic->id) + ": partition " + std::to_string(each.index()) +
                           " where " + std::to_string(next - 1) + " comes next");
    }
    PartitionImage partition;
    partition.index = PartitionIndex{each.index()};
    ASSIGN_OR_RETURN(partition.replicas, nodes_.Get(each.replicas()));
    ASSIGN_OR_RETURN(partition.directories, directories_.Get(each.directories()));
    ASSIGN_OR_RETURN(partition.isr, nodes_.Get(each.isr()));
    ASSIGN_OR_RETURN(partition.eligible, nodes_.Get(each.eligible()));
    ASSIGN_OR_RETURN(partition.adding, nodes_.Get(each.adding()));
    ASSIGN_OR_RETURN(partition.removing, nodes_.Get(each.removing()));
    partition.recovering = each.recovering();
    partition.leader = NodeId{each.leader()};
    partition.leader_epoch = LeaderEpoch{each.leader_epoch()};
    partition.partition_epoch = PartitionEpoch{each.partition_epoch()};
    RETURN_IF_ERROR(CheckPartition(partition));
    added.emplace_back(partition.index,
                       std::make_shared<const PartitionImage>(std::move(partition)));
  }
  now_.partition_count += static_cast<int64_t>(added.size());
  topic->partitions.Apply(std::move(added));
  return {};
}

Result<void> Replay::Apply(const pb::PartitionChangeRecord& record) {
  ASSIGN_OR_RETURN(TopicImage * topic, Find(record.topic_id()));
  const PartitionIndex index{record.partition()};
  const bool goes_on = run_.topic == topic && run_.changes.back().first < index;
  if (!goes_on) EndRun();
  const PartitionImage* const before = topic->Partition(index);
  if (before == nullptr)
    return Contradiction(Name(topic->id) + " has no partition " +
                         std::to_string(record.partition()));
  PartitionImage after = *before;
  if (record.has_leader()) {
    after.leader = NodeId{record.leader()};
    if (!Raise(after.leader_epoch.value)) return Contradiction("no leader epoch is left");
  }
  if (record.has_isr()) {
    ASSIGN_OR_RETURN(after.isr, nodes_.Get(record.isr().nodes()));
  }
  if (record.replicas_size() > 0) {
    ASSIGN_OR_RETURN(after.replicas, nodes_.Get(record.replicas()));
  }
  if (record.directories_size() > 0) {
    ASSIGN_OR_RETURN(after.directories, directories_.Get(record.directories()));
  }
  if (record.has_eligible()) {
    ASSIGN_OR_RETURN(after.eligible, nodes_.Get(record.eligible().nodes()));
  }
  if (record.has_adding()) {
    ASSIGN_OR_RETURN(after.adding, nodes_.Get(record.adding().nodes()));
  }
  if (record.has_removing()) {
    ASSIGN_OR_RETURN(after.removing, nodes_.Get(record.removing().nodes()));
  }
  if (record.has_recovering()) after.recovering = record.recovering();
  if (!Raise(after.partition_epoch.value)) return Contradiction("no partition epoch is left");
  RETURN_IF_ERROR(CheckPartition(after));
  run_.topic = topic;
  run_.changes.emplace_back(index, std::make_shared<const PartitionImage>(std::move(after)));
  return {};
}

}  // namespace gregor
