#ifndef GREGOR_CONTROLLER_IMAGE_OPERATION_H_
#define GREGOR_CONTROLLER_IMAGE_OPERATION_H_

#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "controller/image/image.h"
#include "controller/image/partition_operations.h"
#include "controller/image/security_operations.h"

namespace gregor {

// Operations on the cluster's metadata, as values: what is asked of the active controller, kept
// until it can be asked, and sent to another node. Each names its answer, its name in events,
// metrics and messages, and the reasons that it fails with beyond those of any operation
// (controller/image/controller_api.h). With `validate_only` nothing is done; the answer shows what
// would be.

// Fails with kInvalidTopic, kTopicAlreadyExists, kInvalidPartitions, kInvalidReplicationFactor,
// kInvalidReplicaAssignment, kInvalidConfig, kPolicyViolation (too many topics), kBatchTooLarge,
// kInvalidArgument (also for a request_id that was used for something else). With validate_only
// the topic has a zero id.
struct CreateTopic {
  using Answer = TopicPtr;
  static constexpr char kName[] = "create_topic";

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

// Fails with kTopicNotFound, kUnknownTopicId.
struct DeleteTopic {
  using Answer = void;
  static constexpr char kName[] = "delete_topic";

  TopicKey topic;
};

// Fails with kTopicNotFound, kInvalidPartitions, kInvalidReplicaAssignment.
struct AddPartitions {
  using Answer = TopicPtr;
  static constexpr char kName[] = "add_partitions";

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

// One result per alteration; each alteration is atomic. Items fail with kTopicNotFound,
// kInvalidConfig, kInvalidArgument, kBrokerIdNotRegistered.
struct AlterConfigs {
  using Answer = std::vector<Result<void>>;
  static constexpr char kName[] = "alter_configs";

  std::vector<AlterConfig> alterations;
  bool validate_only = false;
};

// Registers a started broker, and settles in the same batch, before it serves, what it leads: all
// of it under a new leader epoch. One that is registered with this very incarnation goes on, and
// only says something else of itself: log directories that it names no more get no new partitions,
// and what lies there is led by others where that is possible. Answers with the broker's epoch.
// Fails with kInvalidArgument, kDuplicateBrokerRegistration (another process of that id is alive).
struct RegisterBroker {
  using Answer = BrokerEpoch;
  static constexpr char kName[] = "register_broker";

  BrokerImage broker;  // its epoch and state are what comes of it
  // The process before ended after everything was synced: it has lost nothing.
  bool stopped_cleanly = false;
};

struct BrokerStatus {
  bool fenced = false;
  // Asked to stop: nobody needs it any more.
  bool may_stop = false;
};

// A registered broker is alive; said every so often (soft state: nothing is written, unless it is
// to be unfenced, or begins to stop). Fails with kBrokerIdNotRegistered (it was unregistered: it
// may register again), kStaleBrokerEpoch (another process has registered since).
struct BrokerHeartbeat {
  using Answer = BrokerStatus;
  static constexpr char kName[] = "broker_heartbeat";

  NodeId broker{-1};
  BrokerEpoch epoch{-1};
  // Version of its image: it has seen everything before.
  Offset metadata_offset{0};
  // It is about to stop: what it leads goes to others.
  bool wants_to_stop = false;
};

// Fences a broker by hand, or lifts that. Fails with kBrokerIdNotRegistered.
struct SetBrokerFence {
  using Answer = void;
  static constexpr char kName[] = "set_broker_fence";

  NodeId broker{-1};
  bool fenced = false;
};

// Forgets a broker that has gone for good. Fails with kBrokerIdNotRegistered, kInvalidArgument (it
// is alive, or has replicas).
struct UnregisterBroker {
  using Answer = void;
  static constexpr char kName[] = "unregister_broker";

  NodeId broker{-1};
};

struct ProducerIdBlock {
  int64_t first = 0;
  int64_t count = 0;
};

// A block of producer ids that nobody else gets. Fails with kInvalidArgument where count < 1,
// kQuotaExceeded where none are left.
struct AllocateProducerIds {
  using Answer = ProducerIdBlock;
  static constexpr char kName[] = "allocate_producer_ids";

  int64_t count = 0;
};

// Changes the feature level that the cluster's metadata are written at. Fails with
// kFeatureUpdateFailed (a node does not support it, or is not connected; or metadata need more: the
// message names them), kInvalidArgument.
struct UpdateFeatures {
  using Answer = void;
  static constexpr char kName[] = "update_features";

  int32_t level = 0;
  bool validate_only = false;
};

using MetadataOperation =
    std::variant<CreateTopic, DeleteTopic, AddPartitions, AlterConfigs, RegisterBroker,
                 AllocateProducerIds, BrokerHeartbeat, SetBrokerFence, UnregisterBroker,
                 AlterPartitions, ElectLeaders, ReassignPartitions, DrainBroker, UpdateFeatures,
                 CreateAcls, DeleteAcls, UpsertUser, DeleteUser, AlterQuotas>;

// The answer of any operation; one without an answer has monostate.
using OperationAnswer =
    std::variant<std::monostate, TopicPtr, std::vector<Result<void>>, BrokerEpoch, ProducerIdBlock,
                 BrokerStatus, std::vector<AlteredPartition>, std::vector<ElectedLeader>,
                 std::vector<Acl>>;
using OperationDone = UniqueFunction<void(Result<OperationAnswer>)>;

// Who asks, and how long an answer is of use. One that does not come in time is kNotController with
// `outcome` NOT_APPLIED, or kCommitTimedOut with UNKNOWN.
struct OperationContext {
  std::string principal;  // "": not known
  Duration timeout = std::chrono::seconds(30);
};

// Whether the operation is one that only shows what it would do.
template <typename Op>
bool IsValidateOnly(const Op& operation) {
  if constexpr (requires { operation.validate_only; }) return operation.validate_only;
  return false;
}

// Takes the answer of its own kind to `done`.
template <typename Answer>
OperationDone TypedDone(UniqueFunction<void(Result<Answer>)> done) {
  return [done = std::move(done)](Result<OperationAnswer> answer) mutable {
    if (!answer.ok()) return done(std::move(answer).error());
    if constexpr (std::is_void_v<Answer>) {
      done({});
    } else {
      done(std::get<Answer>(*std::move(answer)));
    }
  };
}

// What is known of an operation that failed so: "NOT_APPLIED" (it did not take place, and will
// not), "UNKNOWN", or nothing where the error says it all.
std::string_view OperationOutcome(const Error& error);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_OPERATION_H_
