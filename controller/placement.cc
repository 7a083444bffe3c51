#include "controller/placement.h"

#include <algorithm>
#include <map>
#include <string>

namespace gregor {
namespace {

// Brokers may get partitions while they run and have a log directory that takes writes.
bool HasRoom(const BrokerImage& broker) { return !broker.fenced && !broker.directories.empty(); }

size_t CountRunning(const MetadataImage& image) {
  size_t count = 0;
  image.brokers.VisitAll([&](NodeId, const auto& broker) { count += broker->fenced ? 0 : 1; });
  return count;
}

// Brokers that may get partitions, so that neighbours stand in different racks.
std::vector<NodeId> OrderByRack(const MetadataImage& image) {
  std::map<std::string, std::vector<NodeId>> racks;
  image.brokers.VisitAll([&](NodeId node, const auto& broker) {
    if (HasRoom(*broker)) racks[broker->rack].push_back(node);
  });
  std::vector<NodeId> ordered;
  for (size_t turn = 0, before = 1; before > 0; ++turn) {
    before = ordered.size();
    for (const auto& [rack, nodes] : racks) {
      if (turn < nodes.size()) ordered.push_back(nodes[turn]);
    }
    before = ordered.size() - before;
  }
  return ordered;
}

Error BadAssignment(const std::string& what) {
  return Error(Reason::kInvalidReplicaAssignment, "the replica assignment " + what);
}

}  // namespace

Result<std::vector<std::vector<NodeId>>> ChooseReplicas(const MetadataImage& image, int32_t count,
                                                        int32_t replication_factor,
                                                        Random& random) {
  const std::vector<NodeId> brokers = OrderByRack(image);
  const auto wanted = static_cast<size_t>(replication_factor);
  if (wanted > brokers.size()) {
    const size_t running = CountRunning(image);
    if (wanted <= running) {
      return Error(Reason::kStorageError,
                   std::to_string(running - brokers.size()) +
                       " broker(s) have no log directory that takes writes: replace their disks");
    }
    return Error(Reason::kInvalidReplicationFactor,
                 "replication factor " + std::to_string(replication_factor) + " needs as many " +
                     "brokers, and " + std::to_string(running) + " are running")
        .With("brokers", std::to_string(running));
  }
  std::vector<std::vector<NodeId>> assignment(static_cast<size_t>(count));
  const size_t start = random.Below(brokers.size());
  for (size_t i = 0; i < assignment.size(); ++i) {
    assignment[i].reserve(wanted);
    for (size_t j = 0; j < wanted; ++j)
      assignment[i].push_back(brokers[(start + i + j) % brokers.size()]);
  }
  return assignment;
}

Result<void> CheckAssignment(const MetadataImage& image,
                             const std::vector<std::vector<NodeId>>& assignment,
                             size_t replication_factor) {
  if (replication_factor == 0) replication_factor = assignment.front().size();
  for (size_t i = 0; i < assignment.size(); ++i) {
    const std::string entry = "names for its partition " + std::to_string(i) + " ";
    const std::vector<NodeId>& replicas = assignment[i];
    if (replicas.empty()) return BadAssignment(entry + "no brokers");
    if (replicas.size() != replication_factor) {
      return BadAssignment(entry + std::to_string(replicas.size()) + " brokers; every partition " +
                           "needs " + std::to_string(replication_factor));
    }
    for (const NodeId node : replicas) {
      const BrokerImage* const broker = image.Broker(node);
      if (broker == nullptr || broker->fenced)
        return BadAssignment(entry + "broker " + std::to_string(node.value) +
                             ", which is not running");
      if (broker->directories.empty())
        return BadAssignment(entry + "broker " + std::to_string(node.value) +
                             ", none of whose log directories takes writes");
      if (std::count(replicas.begin(), replicas.end(), node) > 1)
        return BadAssignment(entry + "broker " + std::to_string(node.value) + " twice");
    }
  }
  return {};
}

std::vector<PartitionImage> PlacePartitions(const MetadataImage& image, int32_t first,
                                            const std::vector<std::vector<NodeId>>& assignment,
                                            Random& random) {
  std::vector<PartitionImage> partitions;
  partitions.reserve(assignment.size());
  const uint64_t start = random.Below(1u << 20);
  for (size_t i = 0; i < assignment.size(); ++i) {
    PartitionImage& partition = partitions.emplace_back();
    partition.index = PartitionIndex{first + static_cast<int32_t>(i)};
    std::vector<DirectoryId> directories;
    for (const NodeId node : assignment[i]) {
      const auto& of_broker = image.Broker(node)->directories;
      directories.push_back(of_broker[(start + i) % of_broker.size()]);
    }
    partition.replicas = assignment[i];
    partition.isr = partition.replicas;
    partition.directories = std::move(directories);
    partition.leader = partition.replicas.front();
  }
  return partitions;
}

}  // namespace gregor
