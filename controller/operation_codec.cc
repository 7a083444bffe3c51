#include "controller/operation_codec.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "controller/image/records.h"
#include "controller/image/rows.h"
#include "controller/partition_codec.h"
#include "controller/security_codec.h"
#include "controller/topic_answer.h"

namespace gregor {
namespace {

using Alter = pb::AlterConfigsOperation;

Error Malformed(const std::string& what) {
  return Error(Reason::kInvalidArgument, "the operation that another node sent " + what)
      .With("outcome", "NOT_APPLIED");
}

// --- operations to messages ---

void AddAssignment(const std::vector<std::vector<NodeId>>& assignment,
                   google::protobuf::RepeatedPtrField<pb::ReplicaList>& out) {
  for (const auto& replicas : assignment) {
    auto& list = *out.Add();
    for (const NodeId node : replicas) list.add_nodes(node.value);
  }
}

Alter::Kind KindOf(ConfigOpKind kind) {
  switch (kind) {
    case ConfigOpKind::kSet:
      return Alter::KIND_SET;
    case ConfigOpKind::kDelete:
      return Alter::KIND_DELETE;
    case ConfigOpKind::kAppend:
      return Alter::KIND_APPEND;
    case ConfigOpKind::kSubtract:
      return Alter::KIND_SUBTRACT;
  }
  LOG(FATAL) << "no kind " << static_cast<int>(kind);
}

struct Encoder {
  pb::OperationRequest& request;

  void operator()(const CreateTopic& operation) {
    auto& out = *request.mutable_create_topic();
    out.set_name(operation.name);
    out.set_partitions(operation.partitions);
    out.set_replication_factor(operation.replication_factor);
    AddAssignment(operation.assignment, *out.mutable_assignment());
    for (const auto& [name, value] : operation.configs) {
      auto& config = *out.add_configs();
      config.set_name(name);
      config.set_value(value);
    }
    out.set_validate_only(operation.validate_only);
    out.set_internal(operation.internal);
    out.set_request_id(operation.request_id);
  }
  void operator()(const DeleteTopic& operation) {
    auto& out = *request.mutable_delete_topic();
    // With both there is nothing to be said, and that is refused.
    if (!operation.topic.id.has_value()) {
      out.set_name(operation.topic.name);
    } else if (operation.topic.name.empty()) {
      out.set_topic_id(ToBytes(operation.topic.id->bytes));
    }
  }
  void operator()(const AddPartitions& operation) {
    auto& out = *request.mutable_add_partitions();
    out.set_topic(operation.topic);
    out.set_total_partitions(operation.total_partitions);
    AddAssignment(operation.assignment, *out.mutable_assignment());
    out.set_validate_only(operation.validate_only);
  }
  void operator()(const AlterConfigs& operation) {
    auto& out = *request.mutable_alter_configs();
    out.set_validate_only(operation.validate_only);
    for (const AlterConfig& each : operation.alterations) {
      auto& alteration = *out.add_alterations();
      alteration.set_type(each.type == ConfigResourceType::kTopic ? Alter::RESOURCE_TYPE_TOPIC
                                                                  : Alter::RESOURCE_TYPE_BROKER);
      alteration.set_name(each.name);
      for (const ConfigOp& op : each.ops) {
        auto& added = *alteration.add_ops();
        added.set_name(op.name);
        added.set_kind(KindOf(op.kind));
        added.set_value(op.value);
      }
    }
  }
  void operator()(const RegisterBroker& operation) {
    *request.mutable_register_broker()->mutable_broker() =
        MakeBrokerRecord(operation.broker, false).register_broker();
    request.mutable_register_broker()->set_stopped_cleanly(operation.stopped_cleanly);
  }
  void operator()(const AllocateProducerIds& operation) {
    request.mutable_allocate_producer_ids()->set_count(operation.count);
  }
  void operator()(const BrokerHeartbeat& operation) {
    auto& out = *request.mutable_broker_heartbeat();
    out.set_node_id(operation.broker.value);
    out.set_broker_epoch(operation.epoch.value);
    out.set_metadata_offset(operation.metadata_offset.value);
    out.set_wants_to_stop(operation.wants_to_stop);
  }
  void operator()(const SetBrokerFence& operation) {
    request.mutable_set_broker_fence()->set_node_id(operation.broker.value);
    request.mutable_set_broker_fence()->set_fenced(operation.fenced);
  }
  void operator()(const UnregisterBroker& operation) {
    request.mutable_unregister_broker()->set_node_id(operation.broker.value);
  }
  void operator()(const UpdateFeatures& operation) {
    request.mutable_update_features()->set_level(operation.level);
    request.mutable_update_features()->set_validate_only(operation.validate_only);
  }
  template <typename Op>
  void operator()(const Op& operation) {
    if constexpr (requires { EncodeSecurityOperation(operation, request); }) {
      EncodeSecurityOperation(operation, request);
    } else {
      EncodePartitionOperation(operation, request);
    }
  }
};

// --- messages to operations ---

Result<void> CheckCount(int count, const char* what) {
  if (count <= kOperationItemsMax) return {};
  return Error(Reason::kInvalidArgument, "an operation has at most " +
                                             std::to_string(kOperationItemsMax) + " " + what +
                                             ", not " + std::to_string(count))
      .With("outcome", "NOT_APPLIED");
}

Result<void> CheckSize(const pb::OperationRequest& request) {
  if (const size_t bytes = request.ByteSizeLong(); bytes > kOperationBytesMax) {
    return Error(Reason::kInvalidArgument,
                 "the operation has " + std::to_string(bytes) + " bytes, more than " +
                     std::to_string(kOperationBytesMax) + ": do it in several steps")
        .With("outcome", "NOT_APPLIED");
  }
  RETURN_IF_ERROR(CheckSecurityCounts(request));
  RETURN_IF_ERROR(CheckCount(request.create_topic().assignment_size(), "assigned partitions"));
  RETURN_IF_ERROR(CheckCount(request.create_topic().configs_size(), "configs"));
  RETURN_IF_ERROR(CheckCount(request.add_partitions().assignment_size(), "assigned partitions"));
  RETURN_IF_ERROR(CheckCount(request.alter_partitions().items_size(), "partitions"));
  RETURN_IF_ERROR(CheckCount(request.elect_leaders().partitions_size(), "partitions"));
  RETURN_IF_ERROR(CheckCount(request.reassign_partitions().items_size(), "partitions"));
  return CheckCount(request.alter_configs().alterations_size(), "alterations");
}

std::vector<std::vector<NodeId>> ReadAssignment(
    const google::protobuf::RepeatedPtrField<pb::ReplicaList>& assignment) {
  std::vector<std::vector<NodeId>> lists;
  lists.reserve(static_cast<size_t>(assignment.size()));
  for (const auto& each : assignment) {
    auto& replicas = lists.emplace_back();
    replicas.reserve(static_cast<size_t>(each.nodes_size()));
    for (const int32_t node : each.nodes()) replicas.push_back(NodeId{node});
  }
  return lists;
}

Result<MetadataOperation> Read(const pb::CreateTopicOperation& message) {
  CreateTopic operation;
  operation.name = message.name();
  operation.partitions = message.partitions();
  operation.replication_factor = message.replication_factor();
  operation.assignment = ReadAssignment(message.assignment());
  for (const auto& config : message.configs()) {
    if (!operation.configs.emplace(config.name(), config.value()).second)
      return Malformed("sets a config twice");
  }
  operation.validate_only = message.validate_only();
  operation.internal = message.internal();
  operation.request_id = message.request_id();
  return MetadataOperation(std::move(operation));
}

Result<MetadataOperation> Read(const pb::DeleteTopicOperation& message) {
  DeleteTopic operation;
  switch (message.topic_case()) {
    case pb::DeleteTopicOperation::kName:
      operation.topic.name = message.name();
      return MetadataOperation(std::move(operation));
    case pb::DeleteTopicOperation::kTopicId:
      if (!ReadId(message.topic_id(), &operation.topic.id.emplace()))
        return Malformed("names a topic by an id that is none");
      return MetadataOperation(std::move(operation));
    case pb::DeleteTopicOperation::TOPIC_NOT_SET:
      break;
  }
  return Malformed("deletes no topic");
}

Result<MetadataOperation> Read(const pb::AddPartitionsOperation& message) {
  AddPartitions operation;
  operation.topic = message.topic();
  operation.total_partitions = message.total_partitions();
  operation.assignment = ReadAssignment(message.assignment());
  operation.validate_only = message.validate_only();
  return MetadataOperation(std::move(operation));
}

Result<ConfigOpKind> ReadKind(Alter::Kind kind) {
  switch (kind) {
    case Alter::KIND_SET:
      return ConfigOpKind::kSet;
    case Alter::KIND_DELETE:
      return ConfigOpKind::kDelete;
    case Alter::KIND_APPEND:
      return ConfigOpKind::kAppend;
    case Alter::KIND_SUBTRACT:
      return ConfigOpKind::kSubtract;
    default:
      return Malformed("does kind " + std::to_string(kind) + " to a config: there is none");
  }
}

Result<ConfigResourceType> ReadType(Alter::ResourceType type) {
  if (type == Alter::RESOURCE_TYPE_TOPIC) return ConfigResourceType::kTopic;
  if (type == Alter::RESOURCE_TYPE_BROKER) return ConfigResourceType::kBroker;
  return Malformed("alters resource type " + std::to_string(type) + ": there is none");
}

Result<MetadataOperation> Read(const Alter& message) {
  AlterConfigs operation;
  operation.validate_only = message.validate_only();
  operation.alterations.reserve(static_cast<size_t>(message.alterations_size()));
  for (const auto& each : message.alterations()) {
    RETURN_IF_ERROR(CheckCount(each.ops_size(), "changes of a resource"));
    AlterConfig& alteration = operation.alterations.emplace_back();
    ASSIGN_OR_RETURN(alteration.type, ReadType(each.type()));
    alteration.name = each.name();
    alteration.ops.reserve(static_cast<size_t>(each.ops_size()));
    for (const auto& op : each.ops()) {
      ASSIGN_OR_RETURN(const ConfigOpKind kind, ReadKind(op.kind()));
      alteration.ops.push_back({op.name(), kind, op.value()});
    }
  }
  return MetadataOperation(std::move(operation));
}

Result<MetadataOperation> Read(const pb::RegisterBrokerOperation& message) {
  if (message.broker().broker_epoch() != 0) return Malformed("gives a broker its epoch");
  auto broker = RegisteredBroker(Offset{0}, message.broker());
  if (!broker.ok()) return Malformed("registers " + broker.error().message);
  broker->epoch = BrokerImage().epoch;
  return MetadataOperation(RegisterBroker{*std::move(broker), message.stopped_cleanly()});
}

MetadataOperation Read(const pb::BrokerHeartbeatOperation& message) {
  return BrokerHeartbeat{NodeId{message.node_id()}, BrokerEpoch{message.broker_epoch()},
                         Offset{message.metadata_offset()}, message.wants_to_stop()};
}

template <typename Message>
Result<MetadataOperation> ReadOther(const Message& message) {
  ASSIGN_OR_RETURN(auto operation, ReadOperation(message));
  return MetadataOperation(std::move(operation));
}

// --- answers ---

struct AnswerEncoder {
  pb::OperationResponse& response;

  void operator()(std::monostate) { response.mutable_done(); }
  void operator()(const TopicPtr& topic) { EncodeTopicAnswer(*topic, *response.mutable_topic()); }
  void operator()(const std::vector<Result<void>>& results) {
    auto& all = *response.mutable_results();
    for (const Result<void>& result : results) {
      auto& out = *all.add_results();
      if (!result.ok()) EncodeError(result.error(), *out.mutable_error());
    }
  }
  void operator()(BrokerEpoch epoch) { response.set_broker_epoch(epoch.value); }
  void operator()(const BrokerStatus& status) {
    response.mutable_broker_status()->set_fenced(status.fenced);
    response.mutable_broker_status()->set_may_stop(status.may_stop);
  }
  void operator()(const ProducerIdBlock& block) {
    response.mutable_producer_ids()->set_first(block.first);
    response.mutable_producer_ids()->set_count(block.count);
  }
  void operator()(const std::vector<AlteredPartition>& answer) {
    EncodePartitionAnswer(answer, *response.mutable_altered_partitions());
  }
  void operator()(const std::vector<ElectedLeader>& answer) {
    EncodePartitionAnswer(answer, *response.mutable_elected_leaders());
  }
  void operator()(const std::vector<Acl>& answer) {
    EncodeSecurityAnswer(answer, *response.mutable_acls());
  }
};

// How many results an operation has whose answer is one for each item.
size_t ItemCount(const AlterConfigs& operation) { return operation.alterations.size(); }
size_t ItemCount(const ReassignPartitions& operation) { return operation.items.size(); }
size_t ItemCount(const AlterQuotas& operation) { return operation.alterations.size(); }

// Takes the answer that an operation of its kind has.
struct AnswerDecoder {
  const pb::OperationResponse& response;
  const MetadataImage& image;
  using Case = pb::OperationResponse::AnswerCase;

  template <typename Op>
  Result<OperationAnswer> operator()(const Op& operation) const {
    using Answer = typename Op::Answer;
    if constexpr (std::is_void_v<Answer>) {
      return Is(Case::kDone) ? Result<OperationAnswer>(OperationAnswer()) : Other();
    } else if constexpr (std::is_same_v<Answer, TopicPtr>) {
      return Is(Case::kTopic) ? DecodeTopicAnswer(response.topic(), image) : Other();
    } else if constexpr (std::is_same_v<Answer, std::vector<Result<void>>>) {
      return Is(Case::kResults) ? Results(ItemCount(operation)) : Other();
    } else if constexpr (std::is_same_v<Answer, BrokerEpoch>) {
      if (!Is(Case::kBrokerEpoch)) return Other();
      return OperationAnswer(BrokerEpoch{response.broker_epoch()});
    } else if constexpr (std::is_same_v<Answer, BrokerStatus>) {
      if (!Is(Case::kBrokerStatus)) return Other();
      return OperationAnswer(
          BrokerStatus{response.broker_status().fenced(), response.broker_status().may_stop()});
    } else if constexpr (std::is_same_v<Answer, std::vector<AlteredPartition>>) {
      auto answer = ReadAnswer(response.altered_partitions());
      return Is(Case::kAlteredPartitions) && answer.size() == operation.items.size()
                 ? Result<OperationAnswer>(OperationAnswer(std::move(answer)))
                 : Other();
    } else if constexpr (std::is_same_v<Answer, std::vector<ElectedLeader>>) {
      if (!Is(Case::kElectedLeaders)) return Other();
      return OperationAnswer(ReadAnswer(response.elected_leaders()));
    } else if constexpr (std::is_same_v<Answer, std::vector<Acl>>) {
      auto acls = ReadAnswer(response.acls());
      return Is(Case::kAcls) && acls.has_value()
                 ? Result<OperationAnswer>(OperationAnswer(*std::move(acls)))
                 : Other();
    } else {
      return Is(Case::kProducerIds) ? ProducerIds(operation.count) : Other();
    }
  }

 private:
  bool Is(Case expected) const { return response.answer_case() == expected; }
  static Result<OperationAnswer> Other() { return NoAnswer("it is one to another operation"); }
  Result<OperationAnswer> Results(size_t expected) const {
    if (static_cast<size_t>(response.results().results_size()) != expected)
      return NoAnswer("it has not one result for each item");
    std::vector<Result<void>> results;
    results.reserve(expected);
    for (const auto& each : response.results().results())
      results.push_back(each.has_error() ? Result<void>(DecodeError(each.error()))
                                         : Result<void>());
    return OperationAnswer(std::move(results));
  }
  Result<OperationAnswer> ProducerIds(int64_t count) const {
    const ProducerIdBlock block{response.producer_ids().first(), response.producer_ids().count()};
    if (block.first < 0 || block.count != count) return NoAnswer("a block of no ids");
    return OperationAnswer(block);
  }
};

// A broker's texts are those of its record: what is not UTF-8 cannot be sent.
Result<void> CheckText(const RegisterBroker& operation) {
  if (ParseRecord(SerializeRecord(MakeBrokerRecord(operation.broker, false))).ok()) return {};
  return Error(Reason::kInvalidArgument,
               "broker " + std::to_string(operation.broker.id.value) +
                   " has a rack, a version or a host that is not UTF-8: they must be")
      .With("outcome", "NOT_APPLIED");
}

}  // namespace

Result<void> EncodeOperation(const MetadataOperation& operation, pb::OperationRequest& request) {
  if (const auto* const registration = std::get_if<RegisterBroker>(&operation))
    RETURN_IF_ERROR(CheckText(*registration));
  std::visit(Encoder{request}, operation);
  return CheckSize(request);
}

Result<MetadataOperation> DecodeOperation(const pb::OperationRequest& request) {
  RETURN_IF_ERROR(CheckSize(request));
  switch (request.operation_case()) {
    case pb::OperationRequest::kCreateTopic:
      return Read(request.create_topic());
    case pb::OperationRequest::kDeleteTopic:
      return Read(request.delete_topic());
    case pb::OperationRequest::kAddPartitions:
      return Read(request.add_partitions());
    case pb::OperationRequest::kAlterConfigs:
      return Read(request.alter_configs());
    case pb::OperationRequest::kRegisterBroker:
      return Read(request.register_broker());
    case pb::OperationRequest::kAllocateProducerIds:
      return MetadataOperation(AllocateProducerIds{request.allocate_producer_ids().count()});
    case pb::OperationRequest::kBrokerHeartbeat:
      return Read(request.broker_heartbeat());
    case pb::OperationRequest::kSetBrokerFence:
      return MetadataOperation(SetBrokerFence{NodeId{request.set_broker_fence().node_id()},
                                              request.set_broker_fence().fenced()});
    case pb::OperationRequest::kUnregisterBroker:
      return MetadataOperation(UnregisterBroker{NodeId{request.unregister_broker().node_id()}});
    case pb::OperationRequest::kAlterPartitions:
      return ReadOther(request.alter_partitions());
    case pb::OperationRequest::kElectLeaders:
      return ReadOther(request.elect_leaders());
    case pb::OperationRequest::kReassignPartitions:
      return ReadOther(request.reassign_partitions());
    case pb::OperationRequest::kDrainBroker:
      return ReadOther(request.drain_broker());
    case pb::OperationRequest::kUpdateFeatures:
      return MetadataOperation(UpdateFeatures{request.update_features().level(),
                                              request.update_features().validate_only()});
    case pb::OperationRequest::kCreateAcls:
      return ReadOther(request.create_acls());
    case pb::OperationRequest::kDeleteAcls:
      return ReadOther(request.delete_acls());
    case pb::OperationRequest::kUpsertUser:
      return ReadOther(request.upsert_user());
    case pb::OperationRequest::kDeleteUser:
      return ReadOther(request.delete_user());
    case pb::OperationRequest::kAlterQuotas:
      return ReadOther(request.alter_quotas());
    case pb::OperationRequest::OPERATION_NOT_SET:
      break;
  }
  return Malformed("is none that this version knows: use a newer one");
}

void EncodeAnswer(const Result<OperationAnswer>& answer, pb::OperationResponse& response) {
  if (!answer.ok()) return EncodeError(answer.error(), *response.mutable_error());
  std::visit(AnswerEncoder{response}, *answer);
}

Result<OperationAnswer> DecodeAnswer(const MetadataOperation& operation,
                                     const pb::OperationResponse& response,
                                     const MetadataImage& image) {
  if (response.has_error()) return DecodeError(response.error());
  const AnswerDecoder decoder{response, image};
  return std::visit(decoder, operation);
}

}  // namespace gregor
