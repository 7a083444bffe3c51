#ifndef GREGOR_CONTROLLER_PARTITION_CODEC_H_
#define GREGOR_CONTROLLER_PARTITION_CODEC_H_

#include <vector>

#include "base/result.h"
#include "controller/image/partition_operations.h"
#include "gregor/internal/v1/controller.pb.h"

namespace gregor {

namespace pb = internal::v1;

// Operations on partitions as messages: the part of controller/operation_codec.h that is about
// them. Thread: any.

void EncodePartitionOperation(const AlterPartitions& operation, pb::OperationRequest& request);
void EncodePartitionOperation(const ElectLeaders& operation, pb::OperationRequest& request);
void EncodePartitionOperation(const ReassignPartitions& operation, pb::OperationRequest& request);
void EncodePartitionOperation(const DrainBroker& operation, pb::OperationRequest& request);

// Fail with kInvalidArgument where the message is none that is made above.
Result<AlterPartitions> ReadOperation(const pb::AlterPartitionsOperation& message);
Result<ElectLeaders> ReadOperation(const pb::ElectLeadersOperation& message);
Result<ReassignPartitions> ReadOperation(const pb::ReassignPartitionsOperation& message);
Result<DrainBroker> ReadOperation(const pb::DrainBrokerOperation& message);

void EncodePartitionAnswer(const std::vector<AlteredPartition>& answer,
                           pb::AlteredPartitionsAnswer& message);
void EncodePartitionAnswer(const std::vector<ElectedLeader>& answer,
                           pb::ElectedLeadersAnswer& message);

std::vector<AlteredPartition> ReadAnswer(const pb::AlteredPartitionsAnswer& message);
std::vector<ElectedLeader> ReadAnswer(const pb::ElectedLeadersAnswer& message);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_PARTITION_CODEC_H_
