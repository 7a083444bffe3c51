#include "controller/image/replay.h"

#include <algorithm>
#include <utility>

#include "controller/image/feature_needs.h"
#include "controller/image/rows.h"

namespace gregor {
namespace {

const std::shared_ptr<const ConfigMap>& NoConfigs() {
  static const auto* const kNone =
      new std::shared_ptr<const ConfigMap>(std::make_shared<const ConfigMap>());
  return *kNone;
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
  ImagePosition position{image.version, image.last_term, image.last_timestamp};
  if (image.feature_level >= kStateHashLevel) position.state_hash = image.state_hash;
  return position;
}

Replay::Replay(ImagePtr base)
    : base_(base != nullptr ? std::move(base) : std::make_shared<const MetadataImage>()),
      has_base_(base_->feature_level != 0),
      now_(*base_),
      security_(base_) {}

Result<void> Replay::Apply(Offset offset, std::string_view bytes) {
  const auto record = parser_.Parse(bytes);
  if (!record.ok()) {
    return Error(Reason::kStorageError,
                 "metadata record " + std::to_string(offset.value) + ": " + record.error().message);
  }
  return Apply(offset, **record);
}

Result<void> Replay::Apply(Offset offset, const pb::MetadataRecord& record) {
  auto applied = Dispatch(offset, record);
  has_changes_ = has_changes_ || !(record.has_state_hash() || record.has_no_op());
  if (applied.ok()) return applied;
  return Error(Reason::kStorageError,
               "metadata record " + std::to_string(offset.value) +
                   " contradicts those before it: " + applied.error().message);
}

Result<void> Replay::Dispatch(Offset offset, const pb::MetadataRecord& record) {
  if (record.has_feature_level()) return Apply(record.feature_level());
  if (now_.feature_level == 0) return Contradiction("the feature level does not come first");
  if (record.record_case() != pb::MetadataRecord::RECORD_NOT_SET &&
      FeatureLevelOf(record) > now_.feature_level) {
    return Contradiction("a record of feature level " + std::to_string(FeatureLevelOf(record)) +
                         " (" + RecordTypeName(record) + "), and the cluster is at " +
                         std::to_string(now_.feature_level));
  }
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
      return Apply(offset, record.broker_change());
    case pb::MetadataRecord::kUnregisterBroker:
      return Apply(record.unregister_broker());
    case pb::MetadataRecord::kProducerIds:
      return Apply(record.producer_ids());
    case pb::MetadataRecord::kNoOp:
      return {};
    case pb::MetadataRecord::kStateHash:
      return Apply(offset, record.state_hash());
    case pb::MetadataRecord::kBeginTransaction:
    case pb::MetadataRecord::kEndTransaction:
    case pb::MetadataRecord::kAbortTransaction:
      return Contradiction("bounds of a transaction where none can be (LogReplay)");
    case pb::MetadataRecord::kClientQuota:
      return security_.Apply(record.client_quota());
    case pb::MetadataRecord::kAcl:
      return security_.Apply(record.acl());
    case pb::MetadataRecord::kRemoveAcl:
      return security_.Apply(record.remove_acl());
    case pb::MetadataRecord::kUserCredential:
      return security_.Apply(record.user_credential());
    case pb::MetadataRecord::kRemoveUserCredential:
      return security_.Apply(record.remove_user_credential());
    case pb::MetadataRecord::kFeatureLevel:
    case pb::MetadataRecord::RECORD_NOT_SET:
      break;
  }
  return Contradiction("no record");
}

Result<void> Replay::Apply(const pb::FeatureLevelRecord& record) {
  const int32_t level = record.level();
  if (level < kFeatureLevelMin || level > kFeatureLevel) {
    return Contradiction("it begins feature level " + std::to_string(level) +
                         ", and this version supports " + std::to_string(kFeatureLevelMin) +
                         " to " + std::to_string(kFeatureLevel) + ": use a newer one");
  }
  // What a snapshot at that level could not say must not be there.
  bool is_supported = true;
  now_.brokers.VisitAll([&](NodeId, const auto& broker) {
    is_supported = is_supported && broker->SupportsLevel(level);
  });
  if (!is_supported) return Contradiction("a level that a registered broker does not support");
  if (level < now_.feature_level) {
    const std::string needs = WhatNeedsMore(now_, level);
    if (!needs.empty()) return Contradiction("it lowers the feature level below that of " + needs);
  }
  now_.feature_level = level;
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

Result<void> Replay::Apply(const pb::ProducerIdsRecord& record) {
  if (record.next_producer_id() <= now_.next_producer_id)
    return Contradiction("producer ids that were given out before");
  now_.next_producer_id = record.next_producer_id();
  return {};
}

Result<void> Replay::Apply(Offset offset, const pb::StateHashRecord& record) {
  if (record.offset() != offset.value)
    return Contradiction("a state hash of offset " + std::to_string(record.offset()));
  // That another state is here is to be said, and no reason to end.
  if (!has_changes_) hash_check_ = {offset, record.hash(), base_->state_hash};
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

void Replay::EndRun() {
  if (run_.topic != nullptr) run_.topic->partitions.Apply(std::move(run_.changes));
  run_ = {};
}

Result<TopicImage*> Replay::Change(const std::string& id_bytes) {
  EndRun();
  return Find(id_bytes);
}

Result<TopicImage*> Replay::Find(const std::string& id_bytes) {
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

void Replay::FinishTopics(MetadataDelta& delta) {
  std::map<std::string, std::optional<TopicPtr>> topics;
  std::vector<decltype(now_.topic_names)::Change> names;
  for (auto& [id, topic] : changed_) {
    const TopicPtr before = base_->Topic(id);
    if (topic != nullptr) {
      const bool has_new_name = before == nullptr || before->name != topic->name;
      if (before != nullptr && has_new_name) topics.try_emplace(before->name, std::nullopt);
      topics[topic->name] = topic;
      (before == nullptr ? delta.created : delta.changed).push_back(topic);
      if (has_new_name) names.emplace_back(id, topic->name);
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
  EndRun();
  MetadataDelta delta;
  FinishTopics(delta);
  security_.Finish(now_, delta);
  now_.version = position.version;
  now_.last_term = position.term;
  now_.last_timestamp = position.timestamp;
  UpdateStateHash(*base_, now_);
  delta.hash_check = hash_check_;
  delta.before = has_base_ ? base_ : nullptr;
  delta.after = std::make_shared<const MetadataImage>(std::move(now_));
  delta.brokers_changed = brokers_changed_;
  delta.broker_configs_changed = broker_configs_changed_;
  return delta;
}

}  // namespace gregor
