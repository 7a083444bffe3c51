#ifndef GREGOR_CONTROLLER_IMAGE_PARTITION_OPERATIONS_H_
#define GREGOR_CONTROLLER_IMAGE_PARTITION_OPERATIONS_H_

#include <string>
#include <vector>

#include "base/result.h"
#include "controller/image/image.h"

namespace gregor {

// Operations on partitions that are there: who is in sync, who leads, where they are
// (controller/image/operation.h).

// What came of a leader's change of its partition. The caller keeps what it was about to do unless
// it is told that this is not so: an answer that does not come may be a change that was made.
enum class AlterOutcome {
  kDone,               // the state is the new one; also where it was so before
  kNewLeaderElected,   // so, and the caller leads no more: the change completed a reassignment
  kUnknownPartition,   // the topic (by id) or the partition is not there (any more)
  kNotController,      // the caller's epochs are ahead: it knows of a newer controller
  kFencedLeaderEpoch,  // the caller is no longer the leader
  kInvalidRequest,     // it never leads there, or the replicas cannot be so
  kStalePartition,     // the partition epoch is behind: look at the state
  kIneligibleReplica,  // a replica may not be in sync: fenced, shutting down, or restarted since
};

// What a leader knows of its partition afterwards. Zero where there is no such partition.
struct AlteredPartition {
  AlterOutcome outcome = AlterOutcome::kDone;
  std::string message;  // why not
  NodeId leader{-1};
  LeaderEpoch leader_epoch{-1};
  PartitionEpoch partition_epoch{-1};
  std::vector<NodeId> isr;
  bool recovering = false;
  friend bool operator==(const AlteredPartition&, const AlteredPartition&) = default;
};

// A leader says who is in sync with it, and that it took its log as it is after an unclean
// election. Where that completes a reassignment it is completed. One answer for each item. Fails
// with kStaleBrokerEpoch where the broker has registered again since, kBrokerIdNotRegistered.
struct AlterPartitions {
  using Answer = std::vector<AlteredPartition>;
  static constexpr char kName[] = "alter_partitions";

  struct Member {
    NodeId node{-1};
    BrokerEpoch epoch{-1};  // under which it caught up; -1: not known, and not looked at
    friend bool operator==(const Member&, const Member&) = default;
  };
  struct Item {
    TopicId topic;
    PartitionIndex partition{0};
    LeaderEpoch leader_epoch{0};
    PartitionEpoch partition_epoch{0};
    std::vector<Member> isr;
    bool recovering = false;
    friend bool operator==(const Item&, const Item&) = default;
  };
  NodeId broker{-1};
  BrokerEpoch broker_epoch{-1};
  std::vector<Item> items;
};

struct PartitionKey {
  std::string topic;
  PartitionIndex partition{0};
  friend bool operator==(const PartitionKey&, const PartitionKey&) = default;
};

// What came of an election in one partition. Fails with kTopicNotFound, kPartitionNotFound,
// kElectionNotNeeded, kPreferredLeaderNotAvailable, kEligibleLeadersNotAvailable.
struct ElectedLeader {
  PartitionKey partition;
  Result<void> result;
  NodeId leader{-1};  // who leads afterwards, where that is told; -1: not told, or nobody
};

enum class ElectionKind {
  kPreferred,  // the first of the replicas
  kUnclean,    // any replica, where nobody leads: may lose committed records
  kTransfer,   // the named one
};

// Elects leaders by hand. One answer for each partition that is named; with none named, all are
// meant, and the answer has those in which an election was needed. Fails with kInvalidArgument,
// kBrokerIdNotRegistered.
struct ElectLeaders {
  using Answer = std::vector<ElectedLeader>;
  static constexpr char kName[] = "elect_leaders";

  ElectionKind kind = ElectionKind::kPreferred;
  std::vector<PartitionKey> partitions;
  NodeId target{-1};  // of kTransfer
};

// Lets others lead what the broker leads, wherever they are in sync, and keeps it so until it is
// undone: it is elected where nobody else can be, and gets new partitions as a follower only (where
// others are there). Undoing moves nothing back. The answer has each partition that it led: done
// with who leads now; kEligibleLeadersNotAvailable where nobody else is in sync. Fails with
// kBrokerIdNotRegistered.
struct DrainBroker {
  using Answer = std::vector<ElectedLeader>;
  static constexpr char kName[] = "drain_broker";

  NodeId broker{-1};
  bool undo = false;
};

// Begins to move partitions to other brokers: new replicas are added, catch up, and once all are in
// sync the old ones go (KIP-455). One result for each; each is done or not on its own. Items fail
// with kTopicNotFound, kPartitionNotFound, kInvalidReplicaAssignment, kNoReassignmentInProgress
// (nothing to cancel), kInvalidArgument (a partition that is named twice).
struct ReassignPartitions {
  using Answer = std::vector<Result<void>>;
  static constexpr char kName[] = "reassign_partitions";

  struct Item {
    PartitionKey partition;
    std::vector<NodeId> replicas;  // preferred leader first; empty: cancel what is running
  };
  std::vector<Item> items;
  bool validate_only = false;
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_PARTITION_OPERATIONS_H_
