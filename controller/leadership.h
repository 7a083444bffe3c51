#ifndef GREGOR_CONTROLLER_LEADERSHIP_H_
#define GREGOR_CONTROLLER_LEADERSHIP_H_

#include <utility>
#include <vector>

#include "base/result.h"
#include "controller/image/image.h"
#include "controller/image/partition_operations.h"
#include "controller/image/records.h"

namespace gregor {

// What changes of brokers and configs mean for partitions, and elections by the clock
// (docs/architecture.md "Who leads a partition", ADR 0015). Pure. Thread: any.

// Whether a broker's change is the start of a new process of it, and how the one before ended.
enum class BrokerStart {
  kGoesOn,  // the same process
  // The same process, which has lost log directories. What lies there and nobody else can lead it
  // leads on: it takes no writes, and what can be read there still is.
  kLostDirectories,
  kClean,    // a new one; the one before synced everything and stopped
  kUnclean,  // a new one; what the one before had not synced may be gone
};

// Appends what it means for partitions that the broker `after.id` is from here on as in `after`,
// which the image does not have yet; the record that makes it so is the caller's, and comes before
// these. One that is unregistered is fenced for ever.
// - Where it cannot serve (fenced, in controlled shutdown, or the replica's log directory is not
//   one of its own any more) it leaves the ISR, and somebody else leads, or nobody.
// - Where it can, it leads what has no leader and it may lead.
// - With kUnclean it is neither in sync nor eligible any more where it may have lost records
//   (durability=replicated) and another replica has everything.
// - What it leads before and after a new start gets a leader epoch of its own.
// Partitions with no other replica take no records of their own, however many they are.
// `static_configs`: ControllerOptions::static_configs.
void PlanBrokerChange(const MetadataImage& image, const BrokerImage& after, BrokerStart start,
                      const ConfigMap& static_configs, std::vector<pb::MetadataRecord>& records);

// Appends elections of preferred leaders where they are in sync and others lead, at most
// `count_max`: of each broker for which that is so in more than `imbalance_percent_max` of the
// partitions that prefer it. What auto.leader.rebalance.enable stands for, every
// leader.imbalance.check.interval.seconds.
void PlanLeaderBalance(const MetadataImage& image, const ConfigMap& static_configs,
                       int32_t imbalance_percent_max, size_t count_max,
                       std::vector<pb::MetadataRecord>& records);

// Appends elections where nobody leads and the topic allows an unclean one
// (unclean.leader.election.enable), at most `count_max`.
void PlanUncleanElections(const MetadataImage& image, const ConfigMap& static_configs,
                          size_t count_max, std::vector<pb::MetadataRecord>& records);

// Appends what changed configs mean: where unclean elections are allowed from here on, leaders are
// elected; where a commit needs fewer replicas, those outside the ISR are no longer eligible.
// `after`: with the configs' records, to which these are added, and the same topics as `before`.
void PlanConfigChange(const MetadataImage& before, const MetadataImage& after,
                      const ConfigMap& static_configs, std::vector<pb::MetadataRecord>& records);

// Valid as long as the topic. Fails with kTopicNotFound, kPartitionNotFound.
Result<std::pair<TopicPtr, const PartitionImage*>> FindPartition(const PartitionKey& key,
                                                                 const MetadataImage& image);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_LEADERSHIP_H_
