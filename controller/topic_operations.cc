// Operations on topics.
#include <algorithm>
#include <utility>

#include "base/siphash.h"
#include "controller/image/rows.h"
#include "controller/image/topic_configs.h"
#include "controller/operations.h"
#include "controller/placement.h"
#include "controller/topic_names.h"

namespace gregor {
namespace {

constexpr size_t kPartitionsPerRecord = 1000;
constexpr size_t kRequestIdBytesMax = 256;

// What recognises a repeated call: of the request_id, and of what was asked for.
struct RequestHashes {
  uint64_t id = 0;  // 0: no request_id
  uint64_t content = 0;
};

void AddText(SipHash& hash, std::string_view text) {
  hash.Add(text.size());
  hash.Add(text);
}

RequestHashes HashRequest(const CreateTopic& operation, const MetadataImage& image) {
  if (operation.request_id.empty()) return {};
  SipHash id(image.request_id_key);
  AddText(id, "create topic");
  AddText(id, operation.request_id);
  SipHash content(image.request_id_key);
  AddText(content, operation.name);
  content.Add(static_cast<uint64_t>(operation.partitions));
  content.Add(static_cast<uint64_t>(operation.replication_factor));
  content.Add(operation.assignment.size());
  for (const auto& replicas : operation.assignment) {
    content.Add(replicas.size());
    for (const NodeId node : replicas) content.Add(static_cast<uint64_t>(node.value));
  }
  content.Add(operation.configs.size());
  for (const auto& [name, value] : operation.configs) {
    AddText(content, name);
    AddText(content, value);
  }
  return {std::max<uint64_t>(id.Finish(), 1), content.Finish()};
}

// The topic that an earlier call with the same request_id made; nullptr if there was none. Fails
// with kInvalidArgument where that call asked for something else.
Result<TopicPtr> FindRepeated(const RequestHashes& hashes, const MetadataImage& image) {
  const TopicId* const id = hashes.id == 0 ? nullptr : image.request_topics.Find(hashes.id);
  if (id == nullptr) return TopicPtr();
  TopicPtr topic = image.Topic(*id);
  CHECK(topic != nullptr) << *id;
  if (topic->request_content_hash == hashes.content) return topic;
  return Error(Reason::kInvalidArgument,
               "this request_id was used before, to create topic \"" + topic->name +
                   "\" in another way: use a new id for each new request");
}

Error BadPartitions(const std::string& topic, const std::string& message) {
  return Error(Reason::kInvalidPartitions, message).With("topic", topic);
}

Result<void> CheckCount(const std::string& topic, int64_t added, int64_t limit_of_step,
                        const MetadataImage& image, const ControllerOptions& options) {
  if (added > limit_of_step) {
    return BadPartitions(topic, std::to_string(added) + " partitions are more than the " +
                                    std::to_string(limit_of_step) +
                                    " that one operation may make: add the rest in further steps")
        .With("limit_partitions", std::to_string(limit_of_step));
  }
  if (image.partition_count + added <= options.partitions_max) return {};
  return BadPartitions(topic, "the cluster has " + std::to_string(image.partition_count) +
                                  " partitions; with " + std::to_string(added) +
                                  " more it would exceed its limit of " +
                                  std::to_string(options.partitions_max))
      .With("limit_partitions", std::to_string(options.partitions_max));
}

// The replicas of each partition of a new topic.
Result<std::vector<std::vector<NodeId>>> AssignNew(const CreateTopic& operation,
                                                   const MetadataImage& image,
                                                   const ControllerOptions& options,
                                                   Random& random) {
  if (!operation.assignment.empty()) {
    if (operation.partitions != 0 || operation.replication_factor != 0) {
      return Error(Reason::kInvalidArgument,
                   "give either an assignment, or partitions and replication factor");
    }
    RETURN_IF_ERROR(CheckCount(operation.name, static_cast<int64_t>(operation.assignment.size()),
                               options.partitions_per_operation_max, image, options));
    RETURN_IF_ERROR(CheckAssignment(image, operation.assignment, 0));
    return operation.assignment;
  }
  const int32_t partitions =
      operation.partitions == 0 ? options.default_partitions : operation.partitions;
  const int32_t replication_factor = operation.replication_factor == 0
                                         ? options.default_replication_factor
                                         : operation.replication_factor;
  if (partitions < 1)
    return BadPartitions(operation.name,
                         "a topic needs at least one partition, not " + std::to_string(partitions));
  if (replication_factor < 1) {
    return Error(Reason::kInvalidReplicationFactor, "a partition needs at least one replica, not " +
                                                        std::to_string(replication_factor));
  }
  RETURN_IF_ERROR(
      CheckCount(operation.name, partitions, options.partitions_per_operation_max, image, options));
  return ChooseReplicas(image, partitions, replication_factor, random);
}

void AddPartitionRecords(const TopicId& id, const std::vector<PartitionImage>& partitions,
                         std::vector<pb::MetadataRecord>& records) {
  for (size_t i = 0; i < partitions.size(); ++i) {
    if (i % kPartitionsPerRecord == 0)
      records.emplace_back().mutable_partitions()->set_topic_id(ToBytes(id.bytes));
    AddPartition(partitions[i], *records.back().mutable_partitions());
  }
}

TopicId NewTopicId(const MetadataImage& image, Random& random) {
  while (true) {
    const auto id = random.NewUuid<TopicId>();
    // Such a text would look like an option on a command line.
    if (id.ToString().front() != '-' && image.Topic(id) == nullptr) return id;
  }
}

Result<TopicPtr> FindTopic(const std::string& name, const MetadataImage& image) {
  if (TopicPtr topic = image.Topic(name)) return topic;
  return Error(Reason::kTopicNotFound, "topic " + ShowText(name) + " does not exist")
      .With("topic", name);
}

// A topic that was only validated.
TopicPtr WithoutId(const TopicImage& topic) {
  auto shown = std::make_shared<TopicImage>(topic);
  shown->id = TopicId{};
  return shown;
}

}  // namespace

Result<void> CheckNewConfigs(const ConfigMap& configs, const ControllerOptions& options) {
  RETURN_IF_ERROR(CheckTopicConfigs(configs));
  const auto set = configs.find("max.message.bytes");
  if (set == configs.end()) return {};
  const int64_t wanted = ParseConfigNumber(set->second).value_or(INT64_MAX);
  if (wanted <= static_cast<int64_t>(options.message_bytes_limit)) return {};
  return Error(Reason::kInvalidConfig,
               "max.message.bytes cannot be " + set->second + ": this node takes at most " +
                   std::to_string(options.message_bytes_limit) + " bytes (setting message_limit)")
      .With("config", "max.message.bytes");
}

Result<Planned> Plan(const CreateTopic& operation, const PlanContext& context) {
  const MetadataImage& image = context.image;
  const ControllerOptions& options = context.options;
  if (operation.request_id.size() > kRequestIdBytesMax) {
    return Error(Reason::kInvalidArgument,
                 "request_id is longer than " + std::to_string(kRequestIdBytesMax) + " bytes")
        .With("field", "request_id")
        .With("limit_bytes", std::to_string(kRequestIdBytesMax));
  }
  const RequestHashes hashes = HashRequest(operation, image);
  ASSIGN_OR_RETURN(TopicPtr repeated, FindRepeated(hashes, image));
  Planned planned;
  if (repeated != nullptr) {
    planned.answer = [repeated](const MetadataImage&, Offset) { return repeated; };
    return planned;
  }
  RETURN_IF_ERROR(CheckTopicName(operation.name));
  if (IsInternalTopic(operation.name) && !operation.internal) {
    return Error(Reason::kInvalidTopic,
                 "topic \"" + operation.name +
                     "\" is one that the cluster makes by itself: choose another name")
        .With("topic", operation.name);
  }
  RETURN_IF_ERROR(CheckNewTopicName(operation.name, image));
  if (static_cast<int64_t>(image.topics.size()) >= options.topics_max) {
    return Error(
        Reason::kPolicyViolation,
        "the cluster has " + std::to_string(image.topics.size()) + " topics, which is its limit");
  }
  RETURN_IF_ERROR(CheckNewConfigs(operation.configs, options));
  ASSIGN_OR_RETURN(const auto assignment, AssignNew(operation, image, options, context.random));
  const TopicId id = NewTopicId(image, context.random);
  auto& topic = *planned.records.emplace_back().mutable_topic();
  topic.set_name(operation.name);
  topic.set_topic_id(ToBytes(id.bytes));
  topic.set_request_hash(hashes.id);
  topic.set_request_content_hash(hashes.content);
  AddPartitionRecords(id, PlacePartitions(image, 0, assignment, context.random), planned.records);
  if (!operation.configs.empty()) {
    auto& config = *planned.records.emplace_back().mutable_config();
    config.set_topic_id(ToBytes(id.bytes));
    for (const auto& [name, value] : operation.configs) {
      auto* const entry = config.add_set();
      entry->set_name(name);
      entry->set_value(value);
    }
  }
  planned.answer = [id, is_shown = operation.validate_only](const MetadataImage& after, Offset) {
    TopicPtr topic = after.Topic(id);
    return is_shown ? WithoutId(*topic) : topic;
  };
  return planned;
}

Result<Planned> Plan(const DeleteTopic& operation, const PlanContext& context) {
  const TopicKey& key = operation.topic;
  const MetadataImage& image = context.image;
  if (key.id.has_value() == !key.name.empty())
    return Error(Reason::kInvalidArgument, "name the topic by its name or by its id");
  TopicPtr topic = key.id.has_value() ? image.Topic(*key.id) : image.Topic(key.name);
  if (topic == nullptr && key.id.has_value()) {
    return Error(Reason::kUnknownTopicId,
                 "no topic has the id " + key.id->ToString() + ": it may have been deleted already")
        .With("topic_id", key.id->ToString());
  }
  if (topic == nullptr) return FindTopic(key.name, image).error();
  Planned planned;
  planned.records.emplace_back().mutable_remove_topic()->set_topic_id(ToBytes(topic->id.bytes));
  planned.answer = [](const MetadataImage&, Offset) { return std::monostate(); };
  return planned;
}

Result<Planned> Plan(const AddPartitions& operation, const PlanContext& context) {
  const MetadataImage& image = context.image;
  const ControllerOptions& options = context.options;
  ASSIGN_OR_RETURN(const TopicPtr topic, FindTopic(operation.topic, image));
  const int32_t before = topic->partition_count();
  const int64_t added = int64_t{operation.total_partitions} - before;
  if (added < 1) {
    return BadPartitions(topic->name, "topic \"" + topic->name + "\" has " +
                                          std::to_string(before) + " partitions; a new total of " +
                                          std::to_string(operation.total_partitions) +
                                          " adds none (partitions cannot be taken away)")
        .With("partition_count", std::to_string(before));
  }
  RETURN_IF_ERROR(
      CheckCount(topic->name, added, options.partitions_per_operation_max, image, options));
  // Without what is there only until a reassignment is completed.
  const PartitionImage* const first = topic->Partition(PartitionIndex{0});
  const size_t replication_factor =
      first == nullptr ? 1 : first->replicas.size() - first->removing.size();
  std::vector<std::vector<NodeId>> assignment = operation.assignment;
  if (assignment.empty()) {
    ASSIGN_OR_RETURN(assignment,
                     ChooseReplicas(image, static_cast<int32_t>(added),
                                    static_cast<int32_t>(replication_factor), context.random));
  } else if (static_cast<int64_t>(assignment.size()) != added) {
    return Error(Reason::kInvalidReplicaAssignment,
                 "the replica assignment is for " + std::to_string(assignment.size()) +
                     " partitions, and " + std::to_string(added) + " are added");
  } else {
    RETURN_IF_ERROR(CheckAssignment(image, assignment, replication_factor));
  }
  Planned planned;
  AddPartitionRecords(topic->id, PlacePartitions(image, before, assignment, context.random),
                      planned.records);
  planned.answer = [id = topic->id](const MetadataImage& after, Offset) { return after.Topic(id); };
  return planned;
}

}  // namespace gregor
