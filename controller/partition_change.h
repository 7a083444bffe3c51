#ifndef GREGOR_CONTROLLER_PARTITION_CHANGE_H_
#define GREGOR_CONTROLLER_PARTITION_CHANGE_H_

#include <optional>

#include "controller/image/image.h"
#include "controller/image/records.h"

namespace gregor {

// The rules by which partitions change (docs/architecture.md "Who leads a partition", ADR 0015).
// Every change of a partition's replicas, in-sync replicas and leader is made here, so that after
// each of them:
// - the leader is in sync; in sync are only replicas that can serve, or else, alone, a leader that
//   runs on without the log directory: what is there can be read as long as nobody else can lead;
// - in-sync and eligible replicas have everything committed, and together are never fewer than
//   min.insync.replicas because of a change made here, but for an election that is unclean;
// - nobody leads who may lack committed records, unless that was asked for;
// - nobody leads who is drained, unless all who could lead are.
// Pure. Thread: any.

// Which replicas can serve: those of registered, active brokers whose log directory is there.
class LiveBrokers {
 public:
  // As in the image, but for `changed`, which is as given. Both outlive this.
  explicit LiveBrokers(const MetadataImage& image, const BrokerImage* changed = nullptr)
      : image_(image), changed_(changed) {}
  // nullptr if it is not registered.
  const BrokerImage* Find(NodeId node) const;
  // Whether `node` can serve this partition, of which it is a replica.
  bool CanServe(const PartitionImage& partition, NodeId node) const;
  // Whether others are to lead wherever they can.
  bool IsDrained(NodeId node) const;

 private:
  const MetadataImage& image_;
  const BrokerImage* const changed_;
};

enum class Election {
  kIfNeeded,   // who leads goes on where that is possible
  kPreferred,  // the first of the replicas, if it is in sync and not drained; else as above
  kUnclean,    // as kIfNeeded; where nobody is left who has everything, any replica that can serve
};

// What is wanted of a partition.
struct PartitionWish {
  // Replicas, directories, in-sync replicas, `adding`, `removing`, `recovering`: as they shall be,
  // as far as the rules allow; the rest as it is. `leader`: who shall lead, if it is in sync and
  // not drained.
  PartitionImage partition;
  Election election = Election::kIfNeeded;
  // A replica that may have lost committed records.
  std::optional<NodeId> lost;
  // The leader's broker is another process from here on: it reads nothing any more of a log
  // directory that it does not have.
  bool leader_restarts = false;
};

// The partition as the rules make it of `before` and the wish; epochs are those of `before`. A
// reassignment whose new replicas are all in sync is completed. `min_insync_replicas`: the topic's.
PartitionImage ChangePartition(const PartitionImage& before, PartitionWish wish,
                               const LiveBrokers& brokers, int32_t min_insync_replicas);

// The record that makes `after` of `before`, with what differs only; nullopt where nothing does.
// The leader epoch rises where the leader is another one, and where a replica has gone: it must not
// follow any further.
std::optional<pb::MetadataRecord> MakePartitionChange(const TopicId& topic,
                                                      const PartitionImage& before,
                                                      const PartitionImage& after);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_PARTITION_CHANGE_H_
