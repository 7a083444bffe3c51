#include "controller/image/rows.h"

#include <array>
#include <set>

#include "base/siphash.h"
#include "controller/image/security_records.h"
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
  // 0x12 to 0x14: security_records.cc
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
std::string TopicRowKey(const TopicId& id, TopicPart part) {
  return Key(Kind::kTopic) + ToBytes(id.bytes) + static_cast<char>(part);
}
std::string PartitionsRowKey(const TopicId& id, int32_t row) {
  std::string key = TopicRowKey(id, TopicPart::kPartitions);
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

// Tells of the objects that two images do not have in common.
//   Row(key, before, after, make): one row; nullptr: it is not there; make(*after) is its record.
//   Partitions(before, after): a topic's, one of which may be nullptr.
template <typename Sink>
class Differ {
 public:
  Differ(const MetadataImage& before, const MetadataImage& after, Sink& sink)
      : before_(before), after_(after), sink_(sink) {}

  void Run() {
    if (before_.feature_level != after_.feature_level)
      Single(Kind::kFeatureLevel, before_.feature_level != 0, FeatureLevelRecord);
    if (before_.cluster_id != after_.cluster_id)
      Single(Kind::kCluster, !before_.cluster_id.IsZero(), ClusterRecord);
    if (before_.next_producer_id != after_.next_producer_id)
      Single(Kind::kProducerIds, before_.next_producer_id != 0, ProducerIdsRecord);
    decltype(after_.brokers)::VisitChanges(
        before_.brokers, after_.brokers, [&](NodeId node, const auto* old, const auto* now) {
          if (old != nullptr && now != nullptr && **old == **now) return;
          sink_.Row(NodeKey(Kind::kBroker, node), old, now, [](const auto& broker) {
            return SerializeRecord(MakeBrokerRecord(*broker, true));
          });
        });
    decltype(after_.broker_configs)::VisitChanges(
        before_.broker_configs, after_.broker_configs,
        [&](NodeId node, const auto* old, const auto* now) {
          if (old != nullptr && now != nullptr && **old == **now) return;
          sink_.Row(NodeKey(Kind::kBrokerConfig, node), old, now,
                    [&](const auto& configs) { return BrokerConfigRecord(node, *configs); });
        });
    VisitSecurityChanges(
        before_, after_, [&](std::string key, const LazyRow* old, const LazyRow* now) {
          sink_.Row(std::move(key), old, now, [](const LazyRow& row) { return row(); });
        });
    decltype(after_.topics)::VisitChanges(
        before_.topics, after_.topics,
        [&](const std::string&, const TopicPtr* old, const TopicPtr* now) {
          Topics(old == nullptr ? nullptr : old->get(), now == nullptr ? nullptr : now->get());
        });
  }

 private:
  // A row of the image itself, which does not go any more.
  template <typename Make>
  void Single(Kind kind, bool was_there, Make make) {
    sink_.Row(Key(kind), was_there ? &before_ : nullptr, &after_, make);
  }

  void Topics(const TopicImage* old, const TopicImage* now) {
    if (old == now) return;
    if (old != nullptr && after_.Topic(old->id) == nullptr) Topic(old, nullptr);
    // Of that id, whatever its name was.
    if (now != nullptr) Topic(before_.Topic(now->id).get(), now);
  }

  // Of one id.
  void Topic(const TopicImage* old, const TopicImage* now) {
    const TopicId& id = (now != nullptr ? now : old)->id;
    // The same id may have been removed and created between the two.
    const bool is_same = old != nullptr && now != nullptr && old->name == now->name &&
                         old->request_hash == now->request_hash &&
                         old->request_content_hash == now->request_content_hash;
    if (!is_same) sink_.Row(TopicRowKey(id, TopicPart::kTopic), old, now, TopicRecord);
    const auto* const old_configs = old != nullptr && !old->configs->empty() ? old : nullptr;
    const auto* const now_configs = now != nullptr && !now->configs->empty() ? now : nullptr;
    const bool same = old_configs != nullptr && now_configs != nullptr &&
                      (old->configs == now->configs || *old->configs == *now->configs);
    if (!same && (old_configs != nullptr || now_configs != nullptr))
      sink_.Row(TopicRowKey(id, TopicPart::kConfig), old_configs, now_configs, TopicConfigRecord);
    sink_.Partitions(old, now);
  }

  const MetadataImage& before_;
  const MetadataImage& after_;
  Sink& sink_;
};

// Calls visit(index, before, after) for the partitions that differ.
template <typename Visit>
void VisitPartitions(const TopicImage* old, const TopicImage* now, Visit visit) {
  using Partitions = decltype(TopicImage::partitions);
  static const auto* const kNone = new Partitions();
  Partitions::VisitChanges(
      old == nullptr ? *kNone : old->partitions, now == nullptr ? *kNone : now->partitions,
      [&](PartitionIndex index, const PartitionPtr* was, const PartitionPtr* is) {
        const bool same = was != nullptr && is != nullptr && (*was == *is || **was == **is);
        if (!same) visit(index, was, is);
      });
}

// What differs, as changes of rows.
class RowChanges {
 public:
  template <typename Value, typename Make>
  void Row(std::string key, const Value* old, const Value* now, Make make) {
    changes.push_back({std::move(key), std::nullopt, old != nullptr});
    if (now != nullptr) changes.back().record = make(*now);
  }
  void Partitions(const TopicImage* old, const TopicImage* now) {
    const TopicId& id = (now != nullptr ? now : old)->id;
    std::set<int32_t> rows;
    VisitPartitions(old, now, [&](PartitionIndex index, const auto*, const auto*) {
      rows.insert(rows.end(), index.value / kPartitionsPerRow);
    });
    for (const int32_t row : rows) {
      const auto part_of = [&](const TopicImage* topic) {
        return topic != nullptr && row < PartitionRows(*topic) ? topic : nullptr;
      };
      Row(PartitionsRowKey(id, row), part_of(old), part_of(now),
          [&](const TopicImage& topic) { return PartitionsRecord(topic, row); });
    }
  }

  std::vector<RowChange> changes;
};

// What differs, as a change of the state hash: the sum of the hashes of all objects, and of their
// sizes. An object is a row, and each partition by itself, so that a change costs what has changed.
class HashChanges {
 public:
  explicit HashChanges(const MetadataImage& before)
      : hash_(before.state_hash), bytes_(before.state_bytes) {}

  template <typename Value, typename Make>
  void Row(const std::string& key, const Value* old, const Value* now, Make make) {
    if (old != nullptr) Remove(OfRow(key, make(*old)));
    if (now != nullptr) Add(OfRow(key, make(*now)));
  }
  void Partitions(const TopicImage* old, const TopicImage* now) {
    const TopicId& id = (now != nullptr ? now : old)->id;
    VisitPartitions(old, now, [&](PartitionIndex, const auto* was, const auto* is) {
      if (was != nullptr) Remove(OfPartition(id, **was));
      if (is != nullptr) Add(OfPartition(id, **is));
    });
  }
  uint64_t hash() const { return hash_; }
  int64_t bytes() const { return bytes_; }

 private:
  void Add(SipHash object) {
    bytes_ += static_cast<int64_t>(object.size());
    hash_ += object.Finish();
  }
  void Remove(SipHash object) {
    bytes_ -= static_cast<int64_t>(object.size());
    hash_ -= object.Finish();
  }
  static SipHash NewHash() {
    // Known to all: whoever may write metadata has no need to make up states of one hash.
    constexpr std::array<uint8_t, 16> kKey = {'g', 'r', 'e', 'g', 'o', 'r', ' ', 's',
                                              't', 'a', 't', 'e', ' ', 'h', 's', 'h'};
    return SipHash(kKey);
  }
  static void Add(SipHash& hash, int64_t number) { hash.Add(static_cast<uint64_t>(number)); }
  static void Add(SipHash& hash, const SharedList<NodeId>& nodes) {
    Add(hash, static_cast<int64_t>(nodes.size()));
    for (const NodeId node : nodes) Add(hash, node.value);
  }
  template <typename Id>
  static void AddId(SipHash& hash, const Id& id) {
    hash.Add({reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()});
  }

  static SipHash OfRow(const std::string& key, const std::string& record) {
    SipHash hash = NewHash();
    Add(hash, static_cast<int64_t>(key.size()));
    hash.Add(key);
    hash.Add(record);
    return hash;
  }
  // In the order of the numbers of PartitionsRecord.Partition. No key of a row has the size 0.
  static SipHash OfPartition(const TopicId& topic, const PartitionImage& partition) {
    SipHash hash = NewHash();
    Add(hash, 0);
    AddId(hash, topic);
    Add(hash, partition.index.value);
    Add(hash, partition.replicas);
    Add(hash, static_cast<int64_t>(partition.directories.size()));
    for (const DirectoryId& id : partition.directories) AddId(hash, id);
    Add(hash, partition.isr);
    Add(hash, partition.leader.value);
    Add(hash, partition.leader_epoch.value);
    Add(hash, partition.partition_epoch.value);
    Add(hash, partition.eligible);
    Add(hash, partition.adding);
    Add(hash, partition.removing);
    Add(hash, partition.recovering ? 1 : 0);
    return hash;
  }

  uint64_t hash_;
  int64_t bytes_;
};

const MetadataImage& NoImage() {
  static const auto* const kNothing = new MetadataImage();
  return *kNothing;
}

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
  RETURN_IF_ERROR(visit(TopicRowKey(topic.id, TopicPart::kTopic), TopicRecord(topic)));
  if (!topic.configs->empty())
    RETURN_IF_ERROR(visit(TopicRowKey(topic.id, TopicPart::kConfig), TopicConfigRecord(topic)));
  for (int32_t row = 0; row < PartitionRows(topic); ++row)
    RETURN_IF_ERROR(visit(PartitionsRowKey(topic.id, row), PartitionsRecord(topic, row)));
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
  RETURN_IF_ERROR(result);
  return VisitSecurityRows(image, visit);
}

Result<void> VisitRows(const MetadataImage& image, const RowVisitor& visit) {
  Result<void> result = VisitRowsBesideTopics(image, visit);
  image.topic_names.VisitAll([&](const TopicId&, const std::string& name) {
    if (result.ok()) result = VisitTopicRows(*image.Topic(name), visit);
  });
  return result;
}

std::vector<RowChange> DiffRows(const MetadataImage* before, const MetadataImage& after) {
  RowChanges sink;
  Differ(before == nullptr ? NoImage() : *before, after, sink).Run();
  return std::move(sink.changes);
}

uint64_t StateHashOf(const MetadataImage& image) {
  HashChanges sink(NoImage());
  Differ(NoImage(), image, sink).Run();
  return sink.hash();
}

void UpdateStateHash(const MetadataImage& before, MetadataImage& after) {
  // Another level may mean another encoding.
  const MetadataImage& base = before.feature_level == after.feature_level ? before : NoImage();
  HashChanges sink(base);
  Differ(base, after, sink).Run();
  after.state_hash = sink.hash();
  after.state_bytes = sink.bytes();
}

Result<void> ImageLoader::Add(std::string_view key, std::string_view record) {
  if (row_count_ > 0 && key <= last_key_)
    return Error(Reason::kStorageError, "rows that are not in the order of their keys");
  last_key_ = key;
  ++row_count_;
  return replay_.Apply(Offset{0}, record);
}

Result<ImagePtr> ImageLoader::Finish(const ImagePosition& position) {
  ImagePtr image = replay_.Finish(position).after;
  if (!position.state_hash.has_value() || *position.state_hash == image->state_hash) return image;
  return Error(Reason::kStorageError, "the rows make a state with the hash " +
                                          StateHashText(image->state_hash) + ", and it should be " +
                                          StateHashText(*position.state_hash));
}

}  // namespace gregor
