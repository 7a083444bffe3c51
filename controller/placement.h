#ifndef GREGOR_CONTROLLER_PLACEMENT_H_
#define GREGOR_CONTROLLER_PLACEMENT_H_

#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "controller/image/image.h"

namespace gregor {

// Where new partitions go. Pure. Thread: any.

// The replicas of `count` new partitions: leaders (not those that are drained, if there are others)
// and replicas evenly over the brokers that are active and have a log directory, first among
// themselves, then (in clusters of up to 1000 partitions) with those that are there; each
// partition's over as many racks as there are. Fails with kInvalidReplicationFactor where there are
// fewer brokers, kStorageError where there are enough but for those without a log directory.
Result<std::vector<std::vector<NodeId>>> ChooseReplicas(const MetadataImage& image, int32_t count,
                                                        int32_t replication_factor, Random& random);
// An assignment that was asked for: brokers that may get partitions, each once, equally many for
// each partition (`replication_factor` of them, if that is not 0). Fails with
// kInvalidReplicaAssignment.
Result<void> CheckAssignment(const MetadataImage& image,
                             const std::vector<std::vector<NodeId>>& assignment,
                             size_t replication_factor);

// New partitions of these replicas, from number `first` on: leaders, epochs and log directories,
// spread over those of each broker. REQUIRES: the brokers may get
// partitions.
std::vector<PartitionImage> PlacePartitions(const MetadataImage& image, int32_t first,
                                            const std::vector<std::vector<NodeId>>& assignment,
                                            Random& random);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_PLACEMENT_H_
