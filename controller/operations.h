#ifndef GREGOR_CONTROLLER_OPERATIONS_H_
#define GREGOR_CONTROLLER_OPERATIONS_H_

#include <functional>
#include <vector>

#include "base/random.h"
#include "controller/broker_sessions.h"
#include "controller/controller.h"
#include "controller/image/operation.h"
#include "controller/image/records.h"
#include "raft/host/quorum_status.h"

namespace gregor {

// What operations come to: each is checked against an image and becomes records, and how to answer
// once those are applied. Decisions only: no log, no clock. Thread: the controller loop.

// What a decision stands on.
struct PlanContext {
  const MetadataImage& image;  // with everything appended before
  const ControllerOptions& options;
  Random& random;
  BrokerSessions& sessions;
  MonotonicTime now;
  // Producer ids are given from here on, as far as that leaves ids enough.
  int64_t producer_ids_from = 0;
  // The quorum as it is. Unset: there is none.
  std::function<QuorumStatus()> quorum = {};
};

struct Planned {
  std::vector<pb::MetadataRecord> records;  // none: nothing changes
  // The answer, from the image with the records, the first of which has offset `base`.
  std::function<OperationAnswer(const MetadataImage& after, Offset base)> answer;
};

// One for each operation; fails as the operation does.
Result<Planned> Plan(const CreateTopic& operation, const PlanContext& context);
Result<Planned> Plan(const DeleteTopic& operation, const PlanContext& context);
Result<Planned> Plan(const AddPartitions& operation, const PlanContext& context);
Result<Planned> Plan(const AlterConfigs& operation, const PlanContext& context);  // never fails
Result<Planned> Plan(const RegisterBroker& operation, const PlanContext& context);
Result<Planned> Plan(const AllocateProducerIds& operation, const PlanContext& context);
Result<Planned> Plan(const BrokerHeartbeat& operation, const PlanContext& context);
Result<Planned> Plan(const SetBrokerFence& operation, const PlanContext& context);
Result<Planned> Plan(const UnregisterBroker& operation, const PlanContext& context);
Result<Planned> Plan(const AlterPartitions& operation, const PlanContext& context);
Result<Planned> Plan(const ElectLeaders& operation, const PlanContext& context);
Result<Planned> Plan(const ReassignPartitions& operation, const PlanContext& context);
Result<Planned> Plan(const DrainBroker& operation, const PlanContext& context);
Result<Planned> Plan(const UpdateFeatures& operation, const PlanContext& context);
Result<Planned> Plan(const CreateAcls& operation, const PlanContext& context);
Result<Planned> Plan(const DeleteAcls& operation, const PlanContext& context);
Result<Planned> Plan(const UpsertUser& operation, const PlanContext& context);
Result<Planned> Plan(const DeleteUser& operation, const PlanContext& context);
Result<Planned> Plan(const AlterQuotas& operation, const PlanContext& context);  // never fails

// Fences a broker that is not heard of any more. No records where it is fenced already, or not
// registered.
std::vector<pb::MetadataRecord> PlanFence(NodeId broker, const MetadataImage& image,
                                          const ControllerOptions& options);

// Configs of a topic as they may be set. Fails with kInvalidConfig.
Result<void> CheckNewConfigs(const ConfigMap& configs, const ControllerOptions& options);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_OPERATIONS_H_
