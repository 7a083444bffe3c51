#ifndef GREGOR_CONTROLLER_IMAGE_IMAGE_H_
#define GREGOR_CONTROLLER_IMAGE_IMAGE_H_

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "controller/image/feature_level.h"
#include "controller/image/persistent_map.h"
#include "controller/image/security_tables.h"
#include "controller/image/shared_list.h"

namespace gregor {

// What the metadata log means at one offset: immutable, with structure shared between versions
// (DESIGN D8). Made only by the one replay (controller/image/replay.h). Thread: any.

struct Endpoint {
  std::string host;
  uint16_t port = 0;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

struct BrokerImage {
  NodeId id{-1};
  BrokerEpoch epoch{-1};
  std::array<uint8_t, 16> incarnation{};
  std::string rack;
  std::string version;
  std::map<std::string, Endpoint> listeners;  // "grpc", "http", later "kafka", "internal"
  std::vector<DirectoryId> directories;       // its log directories
  bool fenced = false;                        // it leads nothing, and is in no ISR
  bool fenced_by_hand = false;                // by an operator, until one lifts it
  bool drained = false;                       // by an operator: it leads what nobody else can
  bool in_controlled_shutdown = false;        // it hands over what it leads, and joins no ISR
  Offset changed_at{0};                       // of the record that last registered or changed it
  // Feature levels that it supports.
  int32_t feature_level_min = kFeatureLevelMin;
  int32_t feature_level_max = kFeatureLevel;
  // Whether it may lead, and join an ISR.
  bool IsActive() const { return !fenced && !in_controlled_shutdown; }
  // Whether what lies in this log directory is there; zero: of a replica that has no place yet.
  bool HasDirectory(const DirectoryId& directory) const;
  bool SupportsLevel(int32_t level) const {
    return feature_level_min <= level && level <= feature_level_max;
  }
  friend bool operator==(const BrokerImage&, const BrokerImage&) = default;
};

struct PartitionImage {
  PartitionIndex index{0};
  SharedList<NodeId> replicas;
  SharedList<DirectoryId> directories;  // of each replica, in the order of `replicas`
  SharedList<NodeId> isr;
  // Replicas outside `isr` that have everything committed all the same (metadata.proto).
  SharedList<NodeId> eligible;
  SharedList<NodeId> adding;    // of a running reassignment
  SharedList<NodeId> removing;  // of a running reassignment
  NodeId leader{-1};            // -1: none
  bool recovering = false;      // elected uncleanly, and not yet taken as it is
  LeaderEpoch leader_epoch{0};
  PartitionEpoch partition_epoch{0};
  friend bool operator==(const PartitionImage&, const PartitionImage&) = default;
};

using PartitionPtr = std::shared_ptr<const PartitionImage>;

using ConfigMap = std::map<std::string, std::string, std::less<>>;  // only what was set

struct TopicImage {
  std::string name;
  TopicId id;
  std::shared_ptr<const ConfigMap> configs;  // never null
  PersistentMap<PartitionIndex, PartitionPtr> partitions;
  // Hashes of the request_id that asked for it (0: none) and of what it asked for.
  uint64_t request_hash = 0;
  uint64_t request_content_hash = 0;

  int32_t partition_count() const { return static_cast<int32_t>(partitions.size()); }
  // nullptr if there is none.
  const PartitionImage* Partition(PartitionIndex index) const;
};
using TopicPtr = std::shared_ptr<const TopicImage>;

class MetadataImage {
 public:
  // Offset after the last record that it contains: its version.
  Offset version{0};
  // Term and append time of that record.
  LeaderEpoch last_term{-1};
  Timestamp last_timestamp{-1};
  ClusterId cluster_id;
  // Key of the ids that request_ids turn into (docs/formats.md).
  std::array<uint8_t, 16> request_id_key{};
  int32_t feature_level = 0;
  int64_t next_producer_id = 0;

  PersistentMap<std::string, TopicPtr> topics;
  PersistentMap<TopicId, std::string> topic_names;
  // Topics by TopicImage::request_hash, where that is not 0.
  PersistentMap<uint64_t, TopicId> request_topics;
  PersistentMap<NodeId, std::shared_ptr<const BrokerImage>> brokers;
  // Dynamic broker configs: by node id, and under NodeId{-1} the cluster-wide ones.
  PersistentMap<NodeId, std::shared_ptr<const ConfigMap>> broker_configs;
  int64_t partition_count = 0;
  AclTable acls;
  UserTable users;
  QuotaTable quotas;
  // Of all the above but version, term and timestamp (docs/formats.md, "State hash").
  uint64_t state_hash = 0;
  // Size of all that is hashed for it.
  int64_t state_bytes = 0;

  // nullptr if there is none.
  TopicPtr Topic(std::string_view name) const;
  TopicPtr Topic(const TopicId& id) const;
  const BrokerImage* Broker(NodeId id) const;
};
using ImagePtr = std::shared_ptr<const MetadataImage>;

// Topics that are the cluster's own: Kafka's names of what holds the state of groups and
// transactions, and the metadata.
bool IsInternalTopic(std::string_view name);

// What a state hash record said of the state before it, and what it is here.
struct StateHashCheck {
  Offset offset{0};  // of the record
  uint64_t expected = 0;
  uint64_t actual = 0;
  bool matches() const { return expected == actual; }
};

// What changed from one image to the next, for those who act on the difference. Deleted and
// re-created under one name: both lists.
struct MetadataDelta {
  ImagePtr before;  // nullptr: the first
  ImagePtr after;
  std::vector<TopicPtr> created;
  std::vector<TopicPtr> deleted;
  // Topics of both images whose partitions or configs changed (as in `after`).
  std::vector<TopicPtr> changed;
  bool broker_configs_changed = false;
  bool brokers_changed = false;
  // Of the last state hash record that could be checked: it stood in front of all changes.
  std::optional<StateHashCheck> hash_check;
  bool acls_changed = false;
  bool users_changed = false;
  bool quotas_changed = false;
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_IMAGE_H_
