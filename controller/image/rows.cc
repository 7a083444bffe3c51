#include "controller/image/rows.h"

#include <set>

#include "storage/encoding.h"

namespace gregor {
namespace {

// First bytes of keys, in the order in which the rows replay.
enum class Kind : uint8_t {
  kFeatureLevel = 0x01,
  kCluster = 0x02,
  kProducerIds = 0x03,
  kBroker = 0x10,
  kBrokerConfig = 0x11,
  kTopic = 0x20,
};
// Behind a topic's id.
enum class TopicPart : uint8_t { kTopic = 0x00, kConfig = 0x01, kPartitions = 0x02 };

std::string Key(Kind kind) { return std::string(1, static_cast<char>(kind)); }
// Node ids from -1 on, in their order.
std::string NodeKey(Kind kind, NodeId node) {
  std::string key = Key(kind);
  PutBigEndian(&key, static_cast<uint32_t>(node.value) + 0x80000000u);
  return key;
}
std::string TopicKey(const TopicId& id, TopicPart part) {
  return Key(Kind::kTopic) + ToBytes(id.bytes) + static_cast<char>(part);
}
std::string PartitionsKey(const TopicId& id, int32_t row) {
  std::string key = TopicKey(id, TopicPart::kPartitions);
  PutBigEndian(&key, row);
  return key;
}

std::string FeatureLevelRecord(const MetadataImage& image) {
  pb::MetadataRecord record;
  record.mutable_feature_level()->set_level(image.feature_level);
  return SerializeRecord(record);
}
std::string ClusterRecord(const MetadataImage& image) {
  pb::MetadataRecord record;
  record.mutable_cluster()->set_cluster_id(ToBytes(image.cluster_id.bytes));
  record.mutable_cluster()->set_request_id_key(ToBytes(image.request_id_key));
  return SerializeRecord(record);
}
std::string ProducerIdsRecord(const MetadataImage& image) {
  pb::MetadataRecord record;
  record.mutable_producer_ids()->set_next_producer_id(image.next_producer_id);
  record.mutable_producer_ids()->set_node_id(-1);
  return SerializeRecord(record);
}
std::string TopicRecord(const TopicImage& topic) {
  pb::MetadataRecord record;
  record.mutable_topic()->set_name(topic.name);
  record.mutable_topic()->set_topic_id(ToBytes(topic.id.bytes));
  record.mutable_topic()->set_request_hash(topic.request_hash);
  record.mutable_topic()->set_request_content_hash(topic.request_content_hash);
  return SerializeRecord(record);
}
void AddConfigs(const ConfigMap& configs, pb::ConfigRecord* record) {
  for (const auto& [name, value] : configs) {
    auto* const entry = record->add_set();
    entry->set_name(name);
    entry->set_value(value);
  }
}
std::string TopicConfigRecord(const TopicImage& topic) {
  pb::MetadataRecord record;
  record.mutable_config()->set_topic_id(ToBytes(topic.id.bytes));
  AddConfigs(*topic.configs, record.mutable_config());
  return SerializeRecord(record);
}
std::string BrokerConfigRecord(NodeId node, const ConfigMap& configs) {
  pb::MetadataRecord record;
  record.mutable_config()->set_broker_id(node.value);
  AddConfigs(configs, record.mutable_config());
  return SerializeRecord(record);
}
std::string PartitionsRecord(const TopicImage& topic, int32_t row) {
  pb::MetadataRecord record;
  record.mutable_partitions()->set_topic_id(ToBytes(topic.id.bytes));
  const int32_t end = (row + 1) * kPartitionsPerRow;
  topic.partitions.VisitFrom(PartitionIndex{row * kPartitionsPerRow},
                             [&](PartitionIndex index, const PartitionPtr& partition) {
                               if (index.value >= end) return false;
                               AddPartition(*partition, *record.mutable_partitions());
                               return true;
                             });
  return SerializeRecord(record);
}
int32_t PartitionRows(const TopicImage& topic) {
  return (topic.partition_count() + kPartitionsPerRow - 1) / kPartitionsPerRow;
}

class Differ {
 public:
  Differ(const MetadataImage& before, const MetadataImage& after)
      : before_(before), after_(after) {}

  std::vector<RowChange> Run() {
    const bool was_formatted = before_.feature_level != 0;
    if (before_.feature_level != after_.feature_level)
      Put(Key(Kind::kFeatureLevel), FeatureLevelRecord(after_), was_formatted);
    if (before_.cluster_id != after_.cluster_id)
      Put(Key(Kind::kCluster), ClusterRecord(after_), !before_.cluster_id.IsZero());
    if (before_.next_producer_id != after_.next_producer_id)
      Put(Key(Kind::kProducerIds), ProducerIdsRecord(after_), before_.next_producer_id != 0);
    decltype(after_.brokers)::VisitChanges(
        before_.brokers, after_.brokers, [&](NodeId node, const auto* old, const auto* now) {
          if (old != nullptr && now != nullptr && **old == **now) return;
          Change(NodeKey(Kind::kBroker, node), old != nullptr, now == nullptr,
                 [&] { return SerializeRecord(MakeBrokerRecord(**now, true)); });
        });
    decltype(after_.broker_configs)::VisitChanges(
        before_.broker_configs, after_.broker_configs,
        [&](NodeId node, const auto* old, const auto* now) {
          if (old != nullptr && now != nullptr && **old == **now) return;
          Change(NodeKey(Kind::kBrokerConfig, node), old != nullptr, now == nullptr,
                 [&] { return BrokerConfigRecord(node, **now); });
        });
    decltype(after_.topics)::VisitChanges(
        before_.topics, after_.topics,
        [&](const std::string&, const TopicPtr* old, const TopicPtr* now) {
          DiffTopics(old == nullptr ? nullptr : old->get(), now == nullptr ? nullptr : now->get());
        });
    return std::move(changes_);
  }

 private:
  void Put(std::string key, std::string record, bool replaces) {
    changes_.push_back({std::move(key), std::move(record), replaces});
  }
  template <typename MakeRecord>
  void Change(std::string key, bool was_there, bool is_gone, MakeRecord make) {
    if (!is_gone) return Put(std::move(key), make(), was_there);
    if (was_there) changes_.push_back({std::move(key), std::nullopt, true});
  }

  void DiffTopics(const TopicImage* old, const TopicImage* now) {
    if (old == now) return;
    if (old != nullptr && now != nullptr && old->id == now->id) return DiffTopic(*old, *now);
    if (old != nullptr) {
      CHECK(VisitTopicRows(*old, [&](std::string_view key, const std::string&) {
              changes_.push_back({std::string(key), std::nullopt, true});
              return Result<void>();
            }).ok());
    }
    if (now != nullptr) {
      CHECK(VisitTopicRows(*now, [&](std::string_view key, const std::string& record) {
              Put(std::string(key), record, false);
              return Result<void>();
            }).ok());
    }
  }

  void DiffTopic(const TopicImage& old, const TopicImage& now) {
    if (old.configs != now.configs && *old.configs != *now.configs) {
      Change(TopicKey(now.id, TopicPart::kConfig), !old.configs->empty(), now.configs->empty(),
             [&] { return TopicConfigRecord(now); });
    }
    std::set<int32_t> rows;
    decltype(now.partitions)::VisitChanges(
        old.partitions, now.partitions,
        [&](PartitionIndex index, const PartitionPtr* was, const PartitionPtr* is) {
          const bool same = was != nullptr && is != nullptr && (*was == *is || **was == **is);
          if (!same) rows.insert(rows.end(), index.value / kPartitionsPerRow);
        });
    for (const int32_t row : rows) {
      Change(PartitionsKey(now.id, row), row < PartitionRows(old), row >= PartitionRows(now),
             [&] { return PartitionsRecord(now, row); });
    }
  }

  const MetadataImage& before_;
  const MetadataImage& after_;
  std::vector<RowChange> changes_;
};

}  // namespace

void AddPartition(const PartitionImage& partition, pb::PartitionsRecord& record) {
  auto& added = *record.add_partitions();
  added.set_index(partition.index.value);
  for (const NodeId node : partition.replicas) added.add_replicas(node.value);
  for (const DirectoryId& id : partition.directories) added.add_directories(ToBytes(id.bytes));
  for (const NodeId node : partition.isr) added.add_isr(node.value);
  added.set_leader(partition.leader.value);
  added.set_leader_epoch(partition.leader_epoch.value);
  added.set_partition_epoch(partition.partition_epoch.value);
  for (const NodeId node : partition.eligible) added.add_eligible(node.value);
  for (const NodeId node : partition.adding) added.add_adding(node.value);
  for (const NodeId node : partition.removing) added.add_removing(node.value);
  added.set_recovering(partition.recovering);
}

pb::MetadataRecord MakeBrokerRecord(const BrokerImage& broker, bool with_epoch) {
  pb::MetadataRecord record;
  auto& made = *record.mutable_register_broker();
  made.set_node_id(broker.id.value);
  made.set_incarnation(ToBytes(broker.incarnation));
  for (const auto& [name, endpoint] : broker.listeners) {
    auto* const listener = made.add_listeners();
    listener->set_name(name);
    listener->set_host(endpoint.host);
    listener->set_port(endpoint.port);
  }
  for (const DirectoryId& id : broker.directories) made.add_directories(ToBytes(id.bytes));
  made.set_rack(broker.rack);
  made.set_version(broker.version);
  made.set_feature_level_min(broker.feature_level_min);
  made.set_feature_level_max(broker.feature_level_max);
  made.set_fenced(broker.fenced);
  if (with_epoch) {
    made.set_broker_epoch(broker.epoch.value);
    made.set_changed_at(broker.changed_at.value);
  }
  made.set_in_controlled_shutdown(broker.in_controlled_shutdown);
  made.set_fenced_by_hand(broker.fenced_by_hand);
  made.set_drained(broker.drained);
  return record;
}

Result<void> VisitTopicRows(const TopicImage& topic, const RowVisitor& visit) {
  RETURN_IF_ERROR(visit(TopicKey(topic.id, TopicPart::kTopic), TopicRecord(topic)));
  if (!topic.configs->empty())
    RETURN_IF_ERROR(visit(TopicKey(topic.id, TopicPart::kConfig), TopicConfigRecord(topic)));
  for (int32_t row = 0; row < PartitionRows(topic); ++row)
    RETURN_IF_ERROR(visit(PartitionsKey(topic.id, row), PartitionsRecord(topic, row)));
  return {};
}

Result<void> VisitRowsBesideTopics(const MetadataImage& image, const RowVisitor& visit) {
  if (image.feature_level == 0) return {};
  RETURN_IF_ERROR(visit(Key(Kind::kFeatureLevel), FeatureLevelRecord(image)));
  if (!image.cluster_id.IsZero()) RETURN_IF_ERROR(visit(Key(Kind::kCluster), ClusterRecord(image)));
  if (image.next_producer_id != 0)
    RETURN_IF_ERROR(visit(Key(Kind::kProducerIds), ProducerIdsRecord(image)));
  Result<void> result;
  image.brokers.VisitAll([&](NodeId node, const auto& broker) {
    if (!result.ok()) return;
    result = visit(NodeKey(Kind::kBroker, node), SerializeRecord(MakeBrokerRecord(*broker, true)));
  });
  image.broker_configs.VisitAll([&](NodeId node, const auto& configs) {
    if (result.ok())
      result = visit(NodeKey(Kind::kBrokerConfig, node), BrokerConfigRecord(node, *configs));
  });
  return result;
}

Result<void> VisitRows(const MetadataImage& image, const RowVisitor& visit) {
  Result<void> result = VisitRowsBesideTopics(image, visit);
  image.topic_names.VisitAll([&](const TopicId&, const std::string& name) {
    if (result.ok()) result = VisitTopicRows(*image.Topic(name), visit);
  });
  return result;
}

std::vector<RowChange> DiffRows(const MetadataImage* before, const MetadataImage& after) {
  static const auto* const kNothing = new MetadataImage();
  return Differ(before == nullptr ? *kNothing : *before, after).Run();
}

Result<void> ImageLoader::Add(std::string_view key, std::string_view record) {
  if (row_count_ > 0 && key <= last_key_)
    return Error(Reason::kStorageError, "rows that are not in the order of their keys");
  last_key_ = key;
  ++row_count_;
  return replay_.Apply(Offset{0}, record);
}

}  // namespace gregor
