#include "controller/placement.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>

namespace gregor {
namespace {

// Brokers may get partitions while they run and have a log directory that takes writes.
bool HasRoom(const BrokerImage& broker) { return broker.IsActive() && !broker.directories.empty(); }

size_t CountRunning(const MetadataImage& image) {
  size_t count = 0;
  image.brokers.VisitAll([&](NodeId, const auto& broker) { count += broker->IsActive() ? 1 : 0; });
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

// What brokers have. With more partitions than this it is not counted: many topics are even by
// chance, and each new one would wait for the count.
constexpr int64_t kCountedPartitionsMax = 1000;
struct Load {
  size_t leads = 0;
  size_t replicas = 0;
};
std::map<NodeId, Load> CountLoads(const MetadataImage& image) {
  std::map<NodeId, Load> loads;
  if (image.partition_count > kCountedPartitionsMax) return loads;
  image.topics.VisitAll([&](const std::string&, const TopicPtr& topic) {
    topic->partitions.VisitAll([&](PartitionIndex, const PartitionPtr& partition) {
      ++loads[partition->replicas.front()].leads;  // or will, once it is in sync
      for (const NodeId node : partition->replicas) ++loads[node].replicas;
    });
  });
  return loads;
}

// Chooses the replicas of partition after partition, evenly among themselves, and then so that all
// partitions become even. Leaders are drained ones only where there are no others; followers go
// where the partition's racks are not yet.
class Spreading {
 public:
  Spreading(const MetadataImage& image, const std::vector<NodeId>& brokers, size_t start)
      : brokers_(brokers), added_(brokers.size()), start_(start) {
    const std::map<NodeId, Load> loads = CountLoads(image);
    for (const NodeId node : brokers) {
      const auto load = loads.find(node);
      before_.push_back(load == loads.end() ? Load() : load->second);
    }
    std::map<std::string, size_t> racks;
    for (const NodeId node : brokers)
      racks_.push_back(racks.try_emplace(image.Broker(node)->rack, racks.size()).first->second);
    rack_counts_.resize(racks.size());
    for (size_t at = 0; at < brokers.size(); ++at) {
      if (!image.Broker(brokers[at])->drained) leaders_.push_back(at);
    }
    if (!leaders_.empty()) return;
    for (size_t at = 0; at < brokers.size(); ++at) leaders_.push_back(at);
  }

  // REQUIRES: `replication_factor` <= brokers.
  std::vector<NodeId> Next(size_t replication_factor) {
    const size_t leader = BestLeader();
    ++added_[leader].leads;
    std::fill(rack_counts_.begin(), rack_counts_.end(), 0);
    std::vector<bool> is_taken(brokers_.size());
    std::vector<NodeId> replicas;
    replicas.reserve(replication_factor);
    for (size_t next = leader; true; next = Best(leader, is_taken)) {
      is_taken[next] = true;
      ++added_[next].replicas;
      ++rack_counts_[racks_[next]];
      replicas.push_back(brokers_[next]);
      if (replicas.size() == replication_factor) return replicas;
    }
  }

 private:
  // Of those that are equally good the first one from where it starts.
  size_t BestLeader() const {
    const auto cost = [this](size_t at) { return std::pair(added_[at].leads, before_[at].leads); };
    size_t best = leaders_[start_ % leaders_.size()];
    for (size_t i = 1; i < leaders_.size(); ++i) {
      const size_t at = leaders_[(start_ + i) % leaders_.size()];
      if (cost(at) < cost(best)) best = at;
    }
    return best;
  }
  // Of those that are equally good the first behind the leader.
  size_t Best(size_t leader, const std::vector<bool>& is_taken) const {
    size_t best = brokers_.size();
    for (size_t i = 1; i < brokers_.size(); ++i) {
      const size_t at = (leader + i) % brokers_.size();
      if (!is_taken[at] && (best == brokers_.size() || Cost(at) < Cost(best))) best = at;
    }
    return best;
  }
  std::tuple<size_t, size_t, size_t> Cost(size_t at) const {
    return {rack_counts_[racks_[at]], added_[at].replicas, before_[at].replicas};
  }

  const std::vector<NodeId>& brokers_;
  std::vector<size_t> leaders_;  // those that may lead, by number
  std::vector<size_t> racks_;    // of each broker, by number
  std::vector<Load> before_;     // of each broker, too
  std::vector<Load> added_;
  std::vector<size_t> rack_counts_;  // of the partition
  size_t start_;
};

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
                 "replication factor " + std::to_string(replication_factor) + " needs " +
                     std::to_string(replication_factor) + " brokers; there " +
                     (running == 1 ? "is " : "are ") + std::to_string(running))
        .With("brokers", std::to_string(running));
  }
  Spreading spreading(image, brokers, random.Below(brokers.size()));
  std::vector<std::vector<NodeId>> assignment(static_cast<size_t>(count));
  for (auto& replicas : assignment) replicas = spreading.Next(wanted);
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
      if (broker == nullptr || !broker->IsActive())
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
    const auto leads = std::find_if(assignment[i].begin(), assignment[i].end(),
                                    [&](NodeId node) { return !image.Broker(node)->drained; });
    partition.leader = leads == assignment[i].end() ? assignment[i].front() : *leads;
  }
  return partitions;
}

}  // namespace gregor
