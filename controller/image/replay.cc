#include "controller/image/replay.h"

#include <algorithm>
#include <utility>

namespace gregor {
namespace {

Error Contradiction(std::string what) { return Error(Reason::kStorageError, std::move(what)); }

std::string Name(const TopicId& id) { return "topic " + id.ToString(); }

const std::shared_ptr<const ConfigMap>& NoConfigs() {
  static const auto* const kNone =
      new std::shared_ptr<const ConfigMap>(std::make_shared<const ConfigMap>());
  return *kNone;
}

bool FromRecord(int32_t id, NodeId* node) {
  node->value = id;
  return true;
}
bool FromRecord(const std::string& bytes, DirectoryId* id) { return ReadId(bytes, id); }

// The elements of a list in a record.
template <typename T, typename Repeated>
Result<std::vector<T>> ToList(const Repeated& values) {
  std::vector<T> list;
  list.reserve(static_cast<size_t>(values.size()));
  for (const auto& value : values) {
    if (!FromRecord(value, &list.emplace_back())) return Contradiction("an id of another length");
  }
  return list;
}

// Whether the lists of a partition's state can be.
Result<void> CheckPartition(const PartitionImage& partition) {
  const auto fail = [&](const char* what) {
    return Contradiction("partition " + std::to_string(partition.index.value) + ": " + what);
  };
  if (partition.replicas.empty()) return fail("no replicas");
  for (const NodeId node : partition.replicas) {
    if (node.value < 0 ||
        std::count(partition.replicas.begin(), partition.replicas.end(), node) > 1)
      return fail("its replicas are no set of nodes");
  }
  if (partition.directories.size() != partition.replicas.size())
    return fail("not one directory per replica");
  for (const NodeId node : partition.isr) {
    if (!partition.replicas.Contains(node) ||
        std::count(partition.isr.begin(), partition.isr.end(), node) > 1)
      return fail("in-sync replicas that are no replicas");
  }
  if (partition.leader.value != -1 && !partition.replicas.Contains(partition.leader))
    return fail("a leader that is no replica");
  if (partition.leader_epoch.value < 0 || partition.partition_epoch.value < 0)
    return fail("a negative epoch");
  return {};
}

// One more; false if there is no more.
bool Raise(int32_t& epoch) {
  if (epoch == INT32_MAX) return false;
  ++epoch;
  return true;
}

// Lists of the same elements become one, as most partitions of a record have the same.
template <typename T>
class Sharing {
 public:
  template <typename Repeated>
  Result<SharedList<T>> Get(const Repeated& values) {
    if (IsLast(values)) return last_;
    ASSIGN_OR_RETURN(std::vector<T> list, ToList<T>(values));
    auto& shared = lists_[list];
    if (shared.empty()) shared = SharedList<T>(std::move(list));
    last_ = shared;
    return shared;
  }

 private:
  template <typename Repeated>
  bool IsLast(const Repeated& values) const {
    if (last_.empty() || static_cast<size_t>(values.size()) != last_.size()) return false;
    const T* expected = last_.begin();
    for (const auto& value : values) {
      T element;
      if (!FromRecord(value, &element) || element != *expected++) return false;
    }
    return true;
  }

  SharedList<T> last_;
  std::map<std::vector<T>, SharedList<T>> lists_;
};

template <typename Entries>
bool IsSortedByName(const Entries& entries) {
  return std::adjacent_find(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
           return !(a.name() < b.name());
         }) == entries.end();
}

// `configs` with the changes of `record`.
Result<std::shared_ptr<const ConfigMap>> ChangeConfigs(const ConfigMap& configs,
                                                       const pb::ConfigRecord& record) {
  const bool sorted = IsSortedByName(record.set()) &&
                      std::adjacent_find(record.removed().begin(), record.removed().end(),
                                         std::greater_equal<>()) == record.removed().end();
  if (!sorted) return Contradiction("configs that are not in order");
  ConfigMap changed = configs;
  for (const auto& entry : record.set()) {
    if (entry.name().empty()) return Contradiction("a config without a name");
    changed[entry.name()] = entry.value();
  }
  for (const std::string& name : record.removed()) changed.erase(name);
  if (changed.empty()) return NoConfigs();
  return std::make_shared<const ConfigMap>(std::move(changed));
}

}  // namespace

ImagePosition PositionOf(const MetadataImage& image) {
  return {image.version, image.last_term, image.last_timestamp};
}

Result<BrokerImage> RegisteredBroker(Offset offset, const pb::RegisterBrokerRecord& record) {
  BrokerImage broker;
  broker.id = NodeId{record.node_id()};
  // A snapshot says when it was registered, the log does by where it is.
  broker.epoch = BrokerEpoch{record.broker_epoch() != 0 ? record.broker_epoch() : offset.value};
  DirectoryId incarnation;
  if (record.node_id() < 0 || broker.epoch.value < 0 || !ReadId(record.incarnation(), &incarnation))
    return Contradiction("a broker without a valid id, epoch and incarnation");
  broker.incarnation = incarnation.bytes;
  broker.rack = record.rack();
  broker.version = record.version();
  if (!IsSortedByName(record.listeners())) return Contradiction("listeners that are not in order");
  for (const auto& listener : record.listeners()) {
    if (listener.port() < 0 || listener.port() > UINT16_MAX)
      return Contradiction("a listener's port is " + std::to_string(listener.port()));
    broker.listeners[listener.name()] = {listener.host(), static_cast<uint16_t>(listener.port())};
  }
  ASSIGN_OR_RETURN(broker.directories, ToList<DirectoryId>(record.directories()));
  broker.fenced = record.fenced();
  broker.feature_level_min = record.feature_level_min();
  broker.feature_level_max = record.feature_level_max();
  if (broker.feature_level_min < 1 || broker.feature_level_max < broker.feature_level_min)
    return Contradiction("a broker that supports no feature level");
  return broker;
}

Replay::Replay(ImagePtr base)
    : base_(base != nullptr ? std::move(base) : std::make_shared<const MetadataImage>()),
      has_base_(base_->feature_level != 0),
      now_(*base_) {}

Result<void> Replay::Apply(Offset offset, std::string_view bytes) {
  auto record = ParseRecord(bytes);
  if (!record.ok()) {
    return Error(Reason::kStorageError,
                 "metadata record " + std::to_string(offset.value) + ": " + record.error().message);
  }
  return Apply(offset, *record);
}

Result<void> Replay::Apply(Offset offset, const pb::MetadataRecord& record) {
  auto applied = Dispatch(offset, record);
  if (applied.ok()) return applied;
  return Error(Reason::kStorageError,
               "metadata record " + std::to_string(offset.value) +
                   " contradicts those before it: " + applied.error().message);
}

Result<void> Replay::Dispatch(Offset offset, const pb::MetadataRecord& record) {
  if (record.has_feature_level()) return Apply(record.feature_level());
  if (now_.feature_level == 0) return Contradiction("the feature level does not come first");
  switch (record.record_case()) {
    case pb::MetadataRecord::kCluster:
      return Apply(record.cluster());
    case pb::MetadataRecord::kTopic:
      return Apply(record.topic());
    case pb::MetadataRecord::kPartitions:
      return Apply(record.partitions());
    case pb::MetadataRecord::kPartitionChange:
      return Apply(record.partition_change());
    case pb::MetadataRecord::kRemoveTopic:
      return Apply(record.remove_topic());
    case pb::MetadataRecord::kConfig:
      return Apply(record.config());
    case pb::MetadataRecord::kRegisterBroker:
      return Apply(offset, record.register_broker());
    case pb::MetadataRecord::kBrokerRestarted:
      return Apply(record.broker_restarted());
    case pb::MetadataRecord::kBrokerChange:
      return Apply(record.broker_change());
    case pb::MetadataRecord::kUnregisterBroker:
      return Apply(record.unregister_broker());
    case pb::MetadataRecord::kProducerIds:
      return Apply(record.producer_ids());
    case pb::MetadataRecord::kNoOp:
      return {};
    case pb::MetadataRecord::kFeatureLevel:
    case pb::MetadataRecord::RECORD_NOT_SET:
      break;
  }
  return Contradiction("no record");
}

Result<void> Replay::Apply(const pb::FeatureLevelRecord& record) {
  if (record.level() < 1 || record.level() > kFeatureLevel) {
    return Contradiction("it begins feature level " + std::to_string(record.level()) +
                         ", and this version supports 1 to " + std::to_string(kFeatureLevel) +
                         ": use a newer one");
  }
  now_.feature_level = record.level();
  return {};
}

Result<void> Replay::Apply(const pb::ClusterRecord& record) {
  if (!now_.cluster_id.IsZero()) return Contradiction("the cluster has its id already");
  DirectoryId key;
  if (!ReadId(record.cluster_id(), &now_.cluster_id) || now_.cluster_id.IsZero() ||
      !ReadId(record.request_id_key(), &key))
    return Contradiction("a cluster without a valid id and key");
  now_.request_id_key = key.bytes;
  return {};
}

Result<void> Replay::Apply(const pb::TopicRecord& record) {
  auto topic = std::make_shared<TopicImage>();
  if (!ReadId(record.topic_id(), &topic->id) || topic->id.IsZero() || record.name().empty())
    return Contradiction("a topic without a valid id and name");
  if (Topic(topic->id) != nullptr) return Contradiction(Name(topic->id) + " is there already");
  if (HasName(record.name()))
    return Contradiction("a topic named \"" + record.name() + "\" is there already");
  topic->name = record.name();
  topic->configs = NoConfigs();
  topic->request_hash = record.request_hash();
  topic->request_content_hash = record.request_content_hash();
  names_[topic->name] = topic->id;
  if (topic->request_hash != 0) now_.request_topics.Set(topic->request_hash, topic->id);
  changed_[topic->id] = std::move(topic);
  return {};
}

Result<void> Replay::Apply(const pb::PartitionsRecord& record) {
  ASSIGN_OR_RETURN(TopicImage * topic, Change(record.topic_id()));
  Sharing<NodeId> nodes;
  Sharing<DirectoryId> directories;
  using Partitions = decltype(topic->partitions);
  std::vector<Partitions::Change> added;
  added.reserve(static_cast<size_t>(record.partitions_size()));
  int32_t next = topic->partition_count();
  for (const auto& each : record.partitions()) {
    if (each.index() != next++) {
      return Contradiction(Name(topic->id) + ": partition " + std::to_string(each.index()) +
                           " where " + std::to_string(next - 1) + " comes next");
    }
    PartitionImage partition;
    partition.index = PartitionIndex{each.index()};
    ASSIGN_OR_RETURN(partition.replicas, nodes.Get(each.replicas()));
    ASSIGN_OR_RETURN(partition.directories, directories.Get(each.directories()));
    ASSIGN_OR_RETURN(partition.isr, nodes.Get(each.isr()));
    partition.leader = NodeId{each.leader()};
    partition.leader_epoch = LeaderEpoch{each.leader_epoch()};
    partition.partition_epoch = PartitionEpoch{each.partition_epoch()};
    RETURN_IF_ERROR(CheckPartition(partition));
    added.emplace_back(partition.index,
                       std::make_shared<const PartitionImage>(std::move(partition)));
  }
  now_.partition_count += static_cast<int64_t>(added.size());
  topic->partitions.Apply(std::move(added));
  return {};
}

Result<void> Replay::Apply(const pb::PartitionChangeRecord& record) {
  ASSIGN_OR_RETURN(TopicImage * topic, Change(record.topic_id()));
  const PartitionImage* const before = topic->Partition(PartitionIndex{record.partition()});
  if (before == nullptr)
    return Contradiction(Name(topic->id) + " has no partition " +
                         std::to_string(record.partition()));
  PartitionImage after = *before;
  if (record.has_leader()) {
    after.leader = NodeId{record.leader()};
    if (!Raise(after.leader_epoch.value)) return Contradiction("no leader epoch is left");
  }
  if (record.isr_size() > 0) {
    ASSIGN_OR_RETURN(after.isr, ToList<NodeId>(record.isr()));
  }
  if (record.replicas_size() > 0) {
    ASSIGN_OR_RETURN(after.replicas, ToList<NodeId>(record.replicas()));
  }
  if (record.directories_size() > 0) {
    ASSIGN_OR_RETURN(after.directories, ToList<DirectoryId>(record.directories()));
  }
  if (!Raise(after.partition_epoch.value)) return Contradiction("no partition epoch is left");
  RETURN_IF_ERROR(CheckPartition(after));
  topic->partitions.Set(after.index, std::make_shared<const PartitionImage>(std::move(after)));
  return {};
}

Result<void> Replay::Apply(const pb::RemoveTopicRecord& record) {
  ASSIGN_OR_RETURN(const TopicImage* topic, Change(record.topic_id()));
  names_[topic->name] = TopicId{};
  now_.partition_count -= topic->partition_count();
  const TopicId* asked = now_.request_topics.Find(topic->request_hash);
  if (asked != nullptr && *asked == topic->id) now_.request_topics.Erase(topic->request_hash);
  changed_[topic->id] = nullptr;
  return {};
}

Result<void> Replay::Apply(const pb::ConfigRecord& record) {
  if (record.has_topic_id()) {
    ASSIGN_OR_RETURN(TopicImage * topic, Change(record.topic_id()));
    ASSIGN_OR_RETURN(topic->configs, ChangeConfigs(*topic->configs, record));
    return {};
  }
  if (!record.has_broker_id() || record.broker_id() < -1)
    return Contradiction("configs of no resource");
  const NodeId node{record.broker_id()};
  const auto* const before = now_.broker_configs.Find(node);
  ASSIGN_OR_RETURN(auto after, ChangeConfigs(before == nullptr ? *NoConfigs() : **before, record));
  if (after->empty()) {
    now_.broker_configs.Erase(node);
  } else {
    now_.broker_configs.Set(node, std::move(after));
  }
  broker_configs_changed_ = true;
  return {};
}

Result<void> Replay::Apply(Offset offset, const pb::RegisterBrokerRecord& record) {
  ASSIGN_OR_RETURN(BrokerImage broker, RegisteredBroker(offset, record));
  if (broker.feature_level_min > now_.feature_level ||
      broker.feature_level_max < now_.feature_level)
    return Contradiction("a broker that does not support the cluster's feature level");
  now_.brokers.Set(broker.id, std::make_shared<const BrokerImage>(broker));
  brokers_changed_ = true;
  return {};
}

Result<void> Replay::Apply(const pb::BrokerRestartedRecord& record) {
  ASSIGN_OR_RETURN(const auto broker, Registered(record.node_id()));
  bool exhausted = false;
  const auto restart = [&](PartitionIndex, const PartitionPtr& before) {
    std::optional<PartitionPtr> changed;
    if (before->leader != broker->id) return changed;
    auto after = std::make_shared<PartitionImage>(*before);
    const bool raised = Raise(after->leader_epoch.value) && Raise(after->partition_epoch.value);
    exhausted = exhausted || !raised;
    changed = std::move(after);
    return changed;
  };
  for (auto& [id, topic] : changed_) {
    if (topic != nullptr) topic->partitions.Transform(restart);
  }
  base_->topics.VisitAll([&](const std::string&, const TopicPtr& topic) {
    if (changed_.count(topic->id) != 0) return;
    auto partitions = topic->partitions;
    if (!partitions.Transform(restart)) return;
    auto after = std::make_shared<TopicImage>(*topic);
    after->partitions = std::move(partitions);
    changed_[topic->id] = std::move(after);
  });
  if (exhausted) return Contradiction("no leader epoch is left");
  return {};
}

Result<void> Replay::Apply(const pb::BrokerChangeRecord& record) {
  ASSIGN_OR_RETURN(BrokerImage broker, Registered(record.node_id(), record.broker_epoch()));
  if (record.has_fenced()) broker.fenced = record.fenced();
  now_.brokers.Set(broker.id, std::make_shared<const BrokerImage>(broker));
  brokers_changed_ = true;
  return {};
}

Result<void> Replay::Apply(const pb::UnregisterBrokerRecord& record) {
  ASSIGN_OR_RETURN(const BrokerImage broker, Registered(record.node_id(), record.broker_epoch()));
  now_.brokers.Erase(broker.id);
  brokers_changed_ = true;
  return {};
}

Result<void> Replay::Apply(const pb::ProducerIdsRecord& record) {
  if (record.next_producer_id() <= now_.next_producer_id)
    return Contradiction("producer ids that were given out before");
  now_.next_producer_id = record.next_producer_id();
  return {};
}

const TopicImage* Replay::Topic(const TopicId& id) const {
  const auto changed = changed_.find(id);
  if (changed != changed_.end()) return changed->second.get();
  return base_->Topic(id).get();  // kept alive by base_
}

bool Replay::HasName(const std::string& name) const {
  const auto changed = names_.find(name);
  return changed != names_.end() ? !changed->second.IsZero() : base_->Topic(name) != nullptr;
}

Result<TopicImage*> Replay::Change(const std::string& id_bytes) {
  TopicId id;
  if (!ReadId(id_bytes, &id)) return Contradiction("a topic id that is none");
  const auto [changed, is_new] = changed_.try_emplace(id);
  if (is_new) {
    const TopicPtr before = base_->Topic(id);
    if (before == nullptr) {
      changed_.erase(changed);
    } else {
      changed->second = std::make_shared<TopicImage>(*before);
      return changed->second.get();
    }
  } else if (changed->second != nullptr) {
    return changed->second.get();
  }
  return Contradiction("there is no " + Name(id));
}

Result<std::shared_ptr<const BrokerImage>> Replay::Registered(int32_t node_id) const {
  const auto* const broker = now_.brokers.Find(NodeId{node_id});
  if (broker != nullptr) return *broker;
  return Contradiction("broker " + std::to_string(node_id) + " is not registered");
}

Result<BrokerImage> Replay::Registered(int32_t node_id, int64_t broker_epoch) const {
  ASSIGN_OR_RETURN(const auto broker, Registered(node_id));
  if (broker->epoch.value == broker_epoch) return *broker;
  return Contradiction("broker " + std::to_string(node_id) + " is registered with epoch " +
                       std::to_string(broker->epoch.value) + ", not " +
                       std::to_string(broker_epoch));
}

void Replay::FinishTopics(MetadataDelta& delta) {
  std::map<std::string, std::optional<TopicPtr>> topics;
  std::vector<decltype(now_.topic_names)::Change> names;
  for (auto& [id, topic] : changed_) {
    const TopicPtr before = base_->Topic(id);
    if (topic != nullptr) {
      topics[topic->name] = topic;
      (before == nullptr ? delta.created : delta.changed).push_back(topic);
      if (before == nullptr) names.emplace_back(id, topic->name);
    } else if (before != nullptr) {
      topics.try_emplace(before->name, std::nullopt);
      delta.deleted.push_back(before);
      names.emplace_back(id, std::nullopt);
    }
  }
  now_.topics.Apply(
      {std::make_move_iterator(topics.begin()), std::make_move_iterator(topics.end())});
  now_.topic_names.Apply(std::move(names));
}

MetadataDelta Replay::Finish(const ImagePosition& position) {
  MetadataDelta delta;
  FinishTopics(delta);
  now_.version = position.version;
  now_.last_term = position.term;
  now_.last_timestamp = position.timestamp;
  delta.before = has_base_ ? base_ : nullptr;
  delta.after = std::make_shared<const MetadataImage>(std::move(now_));
  delta.brokers_changed = brokers_changed_;
  delta.broker_configs_changed = broker_configs_changed_;
  return delta;
}

}  // namespace gregor
