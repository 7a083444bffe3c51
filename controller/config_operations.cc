// Operations on configs and producer ids.
#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "controller/image/rows.h"
#include "controller/image/topic_configs.h"
#include "controller/leadership.h"
#include "controller/operations.h"
#include "controller/topic_names.h"
#include "storage/producer_state.h"

namespace gregor {
namespace {

// Whose configs: a topic's, or a broker's (-1: all brokers).
struct Resource {
  std::optional<TopicId> topic;
  NodeId broker{-1};
  friend auto operator<=>(const Resource&, const Resource&) = default;
};

// The resources of one operation with what they have before and after.
struct Change {
  std::shared_ptr<const ConfigMap> before;
  ConfigMap after;
};
using Changes = std::map<Resource, Change>;

Result<Resource> FindResource(const AlterConfig& alteration, const MetadataImage& image) {
  Resource resource;
  if (alteration.type == ConfigResourceType::kTopic) {
    const TopicPtr topic = image.Topic(alteration.name);
    if (topic == nullptr) {
      return Error(Reason::kTopicNotFound,
                   "topic " + ShowText(alteration.name) + " does not exist");
    }
    resource.topic = topic->id;
    return resource;
  }
  if (alteration.name.empty()) return resource;
  const std::string& name = alteration.name;
  const auto [end, error] =
      std::from_chars(name.data(), name.data() + name.size(), resource.broker.value);
  if (error != std::errc() || end != name.data() + name.size() || resource.broker.value < 0) {
    return Error(Reason::kInvalidArgument,
                 ShowText(name) + " is no broker id; leave it empty for all brokers");
  }
  if (image.Broker(resource.broker) != nullptr) return resource;
  return Error(Reason::kBrokerIdNotRegistered, "no broker has the id " + name);
}

Change& ChangeOf(const Resource& resource, const MetadataImage& image, Changes& changes) {
  static const auto* const kNone =
      new std::shared_ptr<const ConfigMap>(std::make_shared<const ConfigMap>());
  const auto [found, is_new] = changes.try_emplace(resource);
  if (!is_new) return found->second;
  std::shared_ptr<const ConfigMap> before = *kNone;
  if (resource.topic.has_value()) {
    before = image.Topic(*resource.topic)->configs;
  } else if (const auto* set = image.broker_configs.Find(resource.broker)) {
    before = *set;
  }
  found->second = {before, *before};
  return found->second;
}

// Appends to a list, or takes away from it.
Result<std::string> EditList(const ConfigSpec& spec, const ConfigOp& op, std::string_view current) {
  if (spec.type != ConfigType::kList) {
    return Error(Reason::kInvalidConfig, op.name + " is no list: it can only be set or deleted")
        .With("config", op.name);
  }
  std::vector<std::string> elements = SplitConfigList(current);
  for (const std::string& element : SplitConfigList(op.value)) {
    const auto found = std::find(elements.begin(), elements.end(), element);
    if (op.kind == ConfigOpKind::kAppend && found == elements.end()) elements.push_back(element);
    if (op.kind == ConfigOpKind::kSubtract && found != elements.end()) elements.erase(found);
  }
  return JoinConfigList(elements);
}

// What Kafka has as a broker config, and what there is instead; empty: nothing.
std::string InsteadOf(std::string_view name) {
  struct Instead {
    std::string_view name;
    std::string_view advice;
  };
  constexpr Instead kInstead[] = {
      {"default.replication.factor", "a topic has 1 replica where its creation says nothing else"},
      {"log.retention.hours", "in the settings file it is one, here log.retention.ms is"},
      {"log.retention.minutes", "in the settings file it is one, here log.retention.ms is"},
      {"log.roll.hours", "in the settings file it is one, here log.roll.ms is"},
      {"log.roll.jitter.hours", "in the settings file it is one, here log.roll.jitter.ms is"},
      {"num.partitions", "a topic has 1 partition where its creation says nothing else"},
  };
  for (const Instead& instead : kInstead) {
    if (instead.name == name) return std::string(instead.advice);
  }
  // A topic config goes by another name here.
  const ConfigSpec* const topic = FindTopicConfig(name);
  if (topic == nullptr || topic->broker_synonym.empty()) return "";
  return "the default of all topics is " + std::string(topic->broker_synonym);
}

Error UnknownConfig(std::string_view name, bool is_topic) {
  const std::string instead = is_topic ? "" : InsteadOf(name);
  return Error(Reason::kInvalidConfig, ShowText(name) + " is no " +
                                           (is_topic ? "topic" : "dynamic broker") + " config" +
                                           (instead.empty() ? "" : ": " + instead) +
                                           "; `gregor config describe` lists them");
}

Result<void> ApplyOp(const ConfigOp& op, const Resource& resource, ConfigMap& configs) {
  const bool is_topic = resource.topic.has_value();
  const ConfigSpec* const spec = is_topic ? FindTopicConfig(op.name) : FindBrokerConfig(op.name);
  const auto current = configs.find(op.name);
  if (op.kind == ConfigOpKind::kDelete && current != configs.end()) {
    configs.erase(current);
    return {};
  }
  if (spec == nullptr) return UnknownConfig(op.name, is_topic);
  if (op.kind == ConfigOpKind::kDelete) return {};
  if (!is_topic && resource.broker.value >= 0 && spec->of_cluster) {
    return Error(Reason::kInvalidConfig,
                 op.name + " is the cluster's: it is set for all brokers, not for one of them")
        .With("config", op.name);
  }
  std::string value = op.value;
  if (op.kind != ConfigOpKind::kSet) {
    ASSIGN_OR_RETURN(value, EditList(*spec, op,
                                     current != configs.end() ? std::string_view(current->second)
                                                              : spec->default_value));
  }
  RETURN_IF_ERROR(CheckConfigValue(*spec, value));
  configs[op.name] = std::move(value);
  return {};
}

// A broker's configs as topics inherit them.
Result<void> CheckBrokerConfigs(const ConfigMap& configs, const ControllerOptions& options) {
  ConfigMap inherited;
  for (const ConfigSpec& spec : TopicConfigSpecs()) {
    const auto set = configs.find(spec.broker_synonym);
    if (!spec.broker_synonym.empty() && set != configs.end())
      inherited.emplace(spec.name, set->second);
  }
  return CheckNewConfigs(inherited, options);
}

Result<void> ApplyAlteration(const AlterConfig& alteration, const MetadataImage& image,
                             const ControllerOptions& options, Changes& changes) {
  ASSIGN_OR_RETURN(const Resource resource, FindResource(alteration, image));
  std::set<std::string_view> names;
  Change& change = ChangeOf(resource, image, changes);
  ConfigMap after = change.after;
  for (const ConfigOp& op : alteration.ops) {
    if (!names.insert(op.name).second) {
      return Error(Reason::kInvalidArgument,
                   "config " + ShowText(op.name) + " is changed twice in one alteration");
    }
    RETURN_IF_ERROR(ApplyOp(op, resource, after));
  }
  RETURN_IF_ERROR(resource.topic.has_value() ? CheckNewConfigs(after, options)
                                             : CheckBrokerConfigs(after, options));
  change.after = std::move(after);
  return {};
}

void AddConfigRecord(const Resource& resource, const Change& change,
                     std::vector<pb::MetadataRecord>& records) {
  pb::MetadataRecord record;
  auto& config = *record.mutable_config();
  for (const auto& [name, value] : change.after) {
    const auto before = change.before->find(name);
    if (before != change.before->end() && before->second == value) continue;
    auto* const entry = config.add_set();
    entry->set_name(name);
    entry->set_value(value);
  }
  for (const auto& [name, value] : *change.before) {
    if (change.after.count(name) == 0) config.add_removed(name);
  }
  if (config.set_size() == 0 && config.removed_size() == 0) return;
  if (resource.topic.has_value()) {
    config.set_topic_id(ToBytes(resource.topic->bytes));
  } else {
    config.set_broker_id(resource.broker.value);
  }
  records.push_back(std::move(record));
}

// Whether configs changed by which leaders are elected.
bool ConcernsLeaders(const std::vector<pb::MetadataRecord>& records) {
  const auto concerns = [](const std::string& name) {
    return name == "min.insync.replicas" || name == "unclean.leader.election.enable";
  };
  return std::any_of(records.begin(), records.end(), [&](const pb::MetadataRecord& record) {
    const auto& config = record.config();
    return std::any_of(config.set().begin(), config.set().end(),
                       [&](const auto& entry) { return concerns(entry.name()); }) ||
           std::any_of(config.removed().begin(), config.removed().end(), concerns);
  });
}

void AddElections(const PlanContext& context, std::vector<pb::MetadataRecord>& records) {
  if (!ConcernsLeaders(records)) return;
  Replay replay(std::make_shared<const MetadataImage>(context.image));
  for (const auto& record : records) CHECK(replay.Apply(context.image.version, record).ok());
  const MetadataDelta delta = replay.Finish(PositionOf(context.image));
  PlanConfigChange(context.image, *delta.after, context.options.static_configs, records);
}

}  // namespace

Result<Planned> Plan(const AlterConfigs& operation, const PlanContext& context) {
  Changes changes;
  std::vector<Result<void>> results;
  for (const AlterConfig& alteration : operation.alterations)
    results.push_back(ApplyAlteration(alteration, context.image, context.options, changes));
  Planned planned;
  for (const auto& [resource, change] : changes) AddConfigRecord(resource, change, planned.records);
  AddElections(context, planned.records);
  planned.answer = [results = std::move(results)](const MetadataImage&, Offset) { return results; };
  return planned;
}

Result<Planned> Plan(const AllocateProducerIds& operation, const PlanContext& context) {
  const int64_t count = operation.count;
  const int64_t first_min = context.producer_ids_from;
  if (count < 1) return Error(Reason::kInvalidArgument, "a block of producer ids needs a size");
  int64_t first = context.image.next_producer_id;
  if (first_min > first && first_min <= kRequestIdRange && count <= kRequestIdRange - first_min)
    first = first_min;
  if (count > kRequestIdRange - first)
    return Error(Reason::kQuotaExceeded, "no producer ids are left in this cluster");
  Planned planned;
  auto& record = *planned.records.emplace_back().mutable_producer_ids();
  record.set_next_producer_id(first + count);
  record.set_node_id(context.options.node_id.value);
  planned.answer = [first, count](const MetadataImage&, Offset) {
    return ProducerIdBlock{first, count};
  };
  return planned;
}

}  // namespace gregor
