#ifndef GREGOR_CONTROLLER_IMAGE_QUORUM_API_H_
#define GREGOR_CONTROLLER_IMAGE_QUORUM_API_H_

#include <optional>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "controller/image/controller_api.h"
#include "controller/image/image.h"

namespace gregor {

// A node that has the metadata log.
struct DescribedMember {
  NodeId node{-1};
  DirectoryId directory;
  std::optional<Endpoint> endpoint;       // for other nodes; unset: not known
  std::optional<Offset> match;            // how far it has the leader's log, durably
  std::optional<Duration> heard_ago;      // by the leader
  std::optional<Duration> caught_up_ago;  // since it had everything that was committed
  int32_t feature_level_min = 0;          // that it supports; 0: not known
  int32_t feature_level_max = 0;
};

// The metadata quorum. Without a leader it is as the node that was asked knows it.
struct DescribedQuorum {
  NodeId leader{-1};  // -1: not known
  int32_t term = 0;
  Offset commit{0};
  Offset end{0};
  std::vector<DescribedMember> voters;
  std::vector<DescribedMember> observers;  // they follow without a vote
};

// A vote that is given or taken. A directory of zero is the one that the node has.
struct ChangeVoter {
  NodeId node{-1};
  DirectoryId directory;
  std::optional<Endpoint> endpoint;  // of one that is added; unset: where it says that it listens
};

// Who keeps the cluster's metadata, as front ends ask for it; any node takes all of it to the
// active controller. Thread: any; `done` runs once, on some thread of the node. Changes fail with
// kNotController (`outcome` NOT_APPLIED: nobody leads; UNKNOWN: look before you retry),
// kCommitTimedOut (UNKNOWN), kReassignmentInProgress (another change runs, or the node has not
// caught up: try again), kInvalidArgument (too few of the voters would answer).
class QuorumApi {
 public:
  template <typename T>
  using Done = UniqueFunction<void(Result<T>)>;

  virtual ~QuorumApi() = default;

  // The active controller, as this node knows; -1: nobody.
  virtual NodeId leader() const = 0;
  virtual void Describe(Done<DescribedQuorum> done, const OperationContext& context) = 0;
  // Fails also with kDuplicateVoter, kInvalidVoterKey (it does not follow the log, or is no
  // controller).
  virtual void AddVoter(ChangeVoter change, Done<void> done, const OperationContext& context) = 0;
  // Fails also with kVoterNotFound.
  virtual void RemoveVoter(ChangeVoter change, Done<void> done,
                           const OperationContext& context) = 0;
  // Answers with who leads then; nullopt: to whoever has most of the log. Fails also with
  // kVoterNotFound.
  virtual void Transfer(std::optional<NodeId> to, Done<NodeId> done,
                        const OperationContext& context) = 0;
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_QUORUM_API_H_
