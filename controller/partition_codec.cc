#include "controller/partition_codec.h"

#include <utility>

#include "controller/image/records.h"
#include "controller/operation_codec.h"

namespace gregor {
namespace {

using Elect = pb::ElectLeadersOperation;

Error Malformed(const std::string& what) {
  return Error(Reason::kInvalidArgument, "the operation that another node sent " + what)
      .With("outcome", "NOT_APPLIED");
}

void EncodeKey(const PartitionKey& key, pb::PartitionKey& out) {
  out.set_topic(key.topic);
  out.set_partition(key.partition.value);
}
PartitionKey ReadKey(const pb::PartitionKey& message) {
  return {message.topic(), PartitionIndex{message.partition()}};
}

Elect::Kind ToKind(ElectionKind kind) {
  switch (kind) {
    case ElectionKind::kPreferred:
      return Elect::KIND_PREFERRED;
    case ElectionKind::kUnclean:
      return Elect::KIND_UNCLEAN;
    case ElectionKind::kTransfer:
      return Elect::KIND_TRANSFER;
  }
  LOG(FATAL) << "no kind " << static_cast<int>(kind);
}

Result<ElectionKind> ReadKind(Elect::Kind kind) {
  if (kind == Elect::KIND_PREFERRED) return ElectionKind::kPreferred;
  if (kind == Elect::KIND_UNCLEAN) return ElectionKind::kUnclean;
  if (kind == Elect::KIND_TRANSFER) return ElectionKind::kTransfer;
  return Malformed("elects leaders in a way that there is not: " + std::to_string(kind));
}

// The same order in both.
static_assert(static_cast<int>(AlterOutcome::kIneligibleReplica) ==
              pb::AlteredPartitionsAnswer::OUTCOME_INELIGIBLE_REPLICA);

}  // namespace

void EncodePartitionOperation(const AlterPartitions& operation, pb::OperationRequest& request) {
  auto& out = *request.mutable_alter_partitions();
  out.set_broker_id(operation.broker.value);
  out.set_broker_epoch(operation.broker_epoch.value);
  for (const AlterPartitions::Item& each : operation.items) {
    auto& item = *out.add_items();
    item.set_topic_id(ToBytes(each.topic.bytes));
    item.set_partition(each.partition.value);
    item.set_leader_epoch(each.leader_epoch.value);
    item.set_partition_epoch(each.partition_epoch.value);
    for (const AlterPartitions::Member& replica : each.isr) {
      auto& member = *item.add_isr();
      member.set_node_id(replica.node.value);
      member.set_broker_epoch(replica.epoch.value);
    }
    item.set_recovering(each.recovering);
  }
}

void EncodePartitionOperation(const ElectLeaders& operation, pb::OperationRequest& request) {
  auto& out = *request.mutable_elect_leaders();
  out.set_kind(ToKind(operation.kind));
  for (const PartitionKey& key : operation.partitions) EncodeKey(key, *out.add_partitions());
  out.set_target(operation.target.value);
}

void EncodePartitionOperation(const ReassignPartitions& operation, pb::OperationRequest& request) {
  auto& out = *request.mutable_reassign_partitions();
  out.set_validate_only(operation.validate_only);
  for (const ReassignPartitions::Item& each : operation.items) {
    auto& item = *out.add_items();
    EncodeKey(each.partition, *item.mutable_partition());
    for (const NodeId node : each.replicas) item.add_replicas(node.value);
  }
}

void EncodePartitionOperation(const DrainBroker& operation, pb::OperationRequest& request) {
  request.mutable_drain_broker()->set_node_id(operation.broker.value);
  request.mutable_drain_broker()->set_undo(operation.undo);
}

Result<AlterPartitions> ReadOperation(const pb::AlterPartitionsOperation& message) {
  AlterPartitions operation;
  operation.broker = NodeId{message.broker_id()};
  operation.broker_epoch = BrokerEpoch{message.broker_epoch()};
  operation.items.reserve(static_cast<size_t>(message.items_size()));
  for (const auto& each : message.items()) {
    AlterPartitions::Item& item = operation.items.emplace_back();
    if (!ReadId(each.topic_id(), &item.topic))
      return Malformed("names a topic by an id that is none");
    item.partition = PartitionIndex{each.partition()};
    item.leader_epoch = LeaderEpoch{each.leader_epoch()};
    item.partition_epoch = PartitionEpoch{each.partition_epoch()};
    for (const auto& member : each.isr())
      item.isr.push_back({NodeId{member.node_id()}, BrokerEpoch{member.broker_epoch()}});
    item.recovering = each.recovering();
  }
  return operation;
}

Result<ElectLeaders> ReadOperation(const pb::ElectLeadersOperation& message) {
  ElectLeaders operation;
  ASSIGN_OR_RETURN(operation.kind, ReadKind(message.kind()));
  operation.partitions.reserve(static_cast<size_t>(message.partitions_size()));
  for (const auto& key : message.partitions()) operation.partitions.push_back(ReadKey(key));
  operation.target = NodeId{message.target()};
  return operation;
}

Result<ReassignPartitions> ReadOperation(const pb::ReassignPartitionsOperation& message) {
  ReassignPartitions operation;
  operation.validate_only = message.validate_only();
  operation.items.reserve(static_cast<size_t>(message.items_size()));
  for (const auto& each : message.items()) {
    ReassignPartitions::Item& item = operation.items.emplace_back();
    item.partition = ReadKey(each.partition());
    for (const int32_t node : each.replicas()) item.replicas.push_back(NodeId{node});
  }
  return operation;
}

Result<DrainBroker> ReadOperation(const pb::DrainBrokerOperation& message) {
  return DrainBroker{NodeId{message.node_id()}, message.undo()};
}

void EncodePartitionAnswer(const std::vector<AlteredPartition>& answer,
                           pb::AlteredPartitionsAnswer& message) {
  for (const AlteredPartition& each : answer) {
    auto& out = *message.add_partitions();
    out.set_outcome(static_cast<pb::AlteredPartitionsAnswer::Outcome>(each.outcome));
    out.set_message(each.message);
    out.set_leader(each.leader.value);
    out.set_leader_epoch(each.leader_epoch.value);
    out.set_partition_epoch(each.partition_epoch.value);
    for (const NodeId node : each.isr) out.add_isr(node.value);
    out.set_recovering(each.recovering);
  }
}

void EncodePartitionAnswer(const std::vector<ElectedLeader>& answer,
                           pb::ElectedLeadersAnswer& message) {
  for (const ElectedLeader& each : answer) {
    auto& out = *message.add_elections();
    EncodeKey(each.partition, *out.mutable_partition());
    if (!each.result.ok()) EncodeError(each.result.error(), *out.mutable_error());
    if (each.leader.value >= 0) out.set_leader(each.leader.value);
  }
}

std::vector<AlteredPartition> ReadAnswer(const pb::AlteredPartitionsAnswer& message) {
  std::vector<AlteredPartition> answer;
  for (const auto& each : message.partitions()) {
    AlteredPartition& out = answer.emplace_back();
    // What only a newer controller says is no consent.
    out.outcome = pb::AlteredPartitionsAnswer::Outcome_IsValid(each.outcome())
                      ? static_cast<AlterOutcome>(each.outcome())
                      : AlterOutcome::kInvalidRequest;
    out.message = each.message();
    out.leader = NodeId{each.leader()};
    out.leader_epoch = LeaderEpoch{each.leader_epoch()};
    out.partition_epoch = PartitionEpoch{each.partition_epoch()};
    for (const int32_t node : each.isr()) out.isr.push_back(NodeId{node});
    out.recovering = each.recovering();
  }
  return answer;
}

std::vector<ElectedLeader> ReadAnswer(const pb::ElectedLeadersAnswer& message) {
  std::vector<ElectedLeader> answer;
  for (const auto& each : message.elections()) {
    answer.push_back({ReadKey(each.partition()),
                      each.has_error() ? Result<void>(DecodeError(each.error())) : Result<void>(),
                      NodeId{each.has_leader() ? each.leader() : -1}});
  }
  return answer;
}

}  // namespace gregor
