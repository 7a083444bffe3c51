#include "controller/image/partition_counts.h"

#include <algorithm>
#include <utility>

#include "controller/image/topic_configs.h"

namespace gregor {

PartitionCounts CountPartitions(const MetadataImage& image, const ConfigMap& static_configs) {
  PartitionCounts counts;
  image.brokers.VisitAll([&](NodeId node, const auto&) { counts.brokers[node]; });
  image.topics.VisitAll([&](const std::string&, const TopicPtr& topic) {
    const auto isr_min =
        static_cast<size_t>(ResolveMinInsyncReplicas(*topic, image, static_configs));
    topic->partitions.VisitAll([&](PartitionIndex, const PartitionPtr& partition) {
      const size_t in_sync = partition->isr.size();
      const size_t replicas = partition->replicas.size();
      if (in_sync < std::min(isr_min, replicas)) ++counts.under_min_isr;
      if (in_sync + partition->adding.size() < replicas) ++counts.under_replicated;
      for (const NodeId node : partition->replicas) ++counts.brokers[node].replicas;
      if (in_sync == 1) ++counts.brokers[partition->isr.front()].only_in_sync;
      if (partition->leader.value < 0) {
        ++counts.without_leader;
      } else {
        ++counts.brokers[partition->leader].leads;
      }
    });
  });
  return counts;
}

}  // namespace gregor
