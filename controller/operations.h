#ifndef GREGOR_CONTROLLER_OPERATIONS_H_
#define GREGOR_CONTROLLER_OPERATIONS_H_

#include <functional>
#include <vector>

#include "base/random.h"
#include "controller/controller.h"
#include "controller/image/controller_api.h"
#include "controller/image/records.h"

namespace gregor {

// What the operations of ControllerApi come to: each is checked against an image and becomes
// records, and how to answer once those are applied. Decisions only: no log, no clock. Thread: the
// controller loop.

template <typename T>
struct Planned {
  std::vector<pb::MetadataRecord> records;  // none: nothing changes
  // The answer, from the image with the records, the first of which has offset `base`.
  std::function<T(const MetadataImage& after, Offset base)> answer;
};
template <typename T>
using Plan = Result<Planned<T>>;

// Fails as ControllerApi::Create() does. The answer is the topic with its real id.
Plan<TopicPtr> PlanCreate(const CreateTopic& operation, const MetadataImage& image,
                          const ControllerOptions& options, Random& random);
// `bool` answers are always true.
Plan<bool> PlanDelete(const TopicKey& key, const MetadataImage& image);
Plan<TopicPtr> PlanAdd(const AddPartitions& operation, const MetadataImage& image,
                       const ControllerOptions& options, Random& random);
// Never fails as a whole.
Plan<std::vector<Result<void>>> PlanAlter(const std::vector<AlterConfig>& alterations,
                                          const MetadataImage& image,
                                          const ControllerOptions& options);
Plan<BrokerEpoch> PlanRegister(const BrokerImage& broker, const MetadataImage& image);
// The block begins at `first_min` or later, as far as that leaves ids enough.
Plan<ProducerIdBlock> PlanProducerIds(int64_t count, int64_t first_min, NodeId node,
                                      const MetadataImage& image);

// Configs of a topic as they may be set. Fails with kInvalidConfig.
Result<void> CheckNewConfigs(const ConfigMap& configs, const ControllerOptions& options);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_OPERATIONS_H_
