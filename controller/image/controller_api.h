#ifndef GREGOR_CONTROLLER_IMAGE_CONTROLLER_API_H_
#define GREGOR_CONTROLLER_IMAGE_CONTROLLER_API_H_

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "controller/image/image.h"

namespace gregor {

// Operations on the cluster's metadata, as brokers ask for them: in process; where another node is
// the active controller, controller/operation_router.h takes them there. Each is validated against
// the image, becomes records, is committed, applied and only then answered (DESIGN D8): when `done`
// runs, the image that the answering node serves has the result, or what an error stands on.
// Thread: any; `done` runs on the controller loop. Any of them fails with kNotController while
// there is no leader, or where it was lost in between (`outcome` says which), kCommitTimedOut,
// kStorageError/kDiskFull where the log cannot be written, kQuotaExceeded where too many wait.

struct CreateTopic {
  std::string name;
  int32_t partitions = 0;          // 0: the default
  int32_t replication_factor = 0;  // 0: the default
  std::vector<std::vector<NodeId>>
      assignment;  // instead of both counts: replicas of partitions 0, 1, ...
  ConfigMap configs;
  bool validate_only = false;
  // The cluster makes one of its own topics (IsInternalTopic()), which nobody else may.
  bool internal = false;
  // Set: a repeated call with the same id and content answers with the topic that the first one
  // made.
  std::string request_id;
};

struct TopicKey {  // exactly one is set
  std::string name;
  std::optional<TopicId> id;
};

struct AddPartitions {
  std::string topic;
  int32_t total_partitions = 0;
  std::vector<std::vector<NodeId>> assignment;  // of the new ones
  bool validate_only = false;
};

enum class ConfigResourceType { kTopic, kBroker };
enum class ConfigOpKind { kSet, kDelete, kAppend, kSubtract };
struct ConfigOp {
  std::string name;
  ConfigOpKind kind = ConfigOpKind::kSet;
  std::string value;
};
struct AlterConfig {
  ConfigResourceType type = ConfigResourceType::kTopic;
  std::string name;  // topic, or broker id; empty: all brokers
  std::vector<ConfigOp> ops;
};

struct RegisterBroker {
  BrokerImage broker;  // epoch is assigned by the answer
};

struct ProducerIdBlock {
  int64_t first = 0;
  int64_t count = 0;
};

// Who asks, and how long an answer is of use. One that does not come in time is kNotController with
// `outcome` NOT_APPLIED, or kCommitTimedOut with UNKNOWN.
struct OperationContext {
  std::string principal;  // "": not known
  Duration timeout = std::chrono::seconds(30);
};

class ControllerApi {
 public:
  template <typename T>
  using Done = UniqueFunction<void(Result<T>)>;

  virtual ~ControllerApi() = default;

  // Fails with kInvalidTopic, kTopicAlreadyExists, kInvalidPartitions, kInvalidReplicationFactor,
  // kInvalidReplicaAssignment, kInvalidConfig, kPolicyViolation (too many topics), kBatchTooLarge,
  // kInvalidArgument (also for a request_id that was used for something else). With validate_only
  // the topic is as it would be, with a zero id.
  virtual void Create(CreateTopic operation, Done<TopicPtr> done,
                      const OperationContext& context = {}) = 0;
  // Fails with kTopicNotFound, kUnknownTopicId.
  virtual void Delete(TopicKey topic, Done<void> done, const OperationContext& context = {}) = 0;
  // Fails with kTopicNotFound, kInvalidPartitions, kInvalidReplicaAssignment.
  virtual void Add(AddPartitions operation, Done<TopicPtr> done,
                   const OperationContext& context = {}) = 0;
  // One result per alteration; each alteration is atomic. Items fail with kTopicNotFound,
  // kInvalidConfig, kInvalidArgument, kBrokerIdNotRegistered.
  virtual void Alter(std::vector<AlterConfig> alterations, bool validate_only,
                     Done<std::vector<Result<void>>> done,
                     const OperationContext& context = {}) = 0;
  // Registers a started broker, and raises the leader epoch of every partition that it leads, in
  // the same batch, before it serves. One that is registered with this very incarnation goes on,
  // and only says something else of itself: log directories that it names no more get no new
  // partitions. Answers with the broker's epoch. Fails with kInvalidArgument.
  virtual void Register(RegisterBroker registration, Done<BrokerEpoch> done,
                        const OperationContext& context = {}) = 0;
  // A block of producer ids that nobody else gets. Fails with kInvalidArgument where count < 1,
  // kQuotaExceeded where none are left.
  virtual void AllocateProducerIds(int64_t count, Done<ProducerIdBlock> done,
                                   const OperationContext& context = {}) = 0;
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_CONTROLLER_API_H_
