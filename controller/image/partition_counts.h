#ifndef GREGOR_CONTROLLER_IMAGE_PARTITION_COUNTS_H_
#define GREGOR_CONTROLLER_IMAGE_PARTITION_COUNTS_H_

#include <cstdint>
#include <map>

#include "controller/image/image.h"

namespace gregor {

// What operators ask of all partitions together.
struct PartitionCounts {
  struct OfBroker {
    int64_t replicas = 0;
    int64_t leads = 0;
    int64_t only_in_sync = 0;  // replicas beside which none is in sync
  };

  int64_t without_leader = 0;
  // Fewer in sync than min.insync.replicas, or than all replicas where those are fewer.
  int64_t under_min_isr = 0;
  // Not all replicas in sync; those that a reassignment adds do not count.
  int64_t under_replicated = 0;
  // Every registered broker, and what else replicas are placed on.
  std::map<NodeId, OfBroker> brokers;
};

// Walks over all partitions. `static_configs`: as ResolveMinInsyncReplicas() takes them.
PartitionCounts CountPartitions(const MetadataImage& image, const ConfigMap& static_configs);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_PARTITION_COUNTS_H_
