#ifndef GREGOR_CONTROLLER_IMAGE_TOPIC_CONFIGS_H_
#define GREGOR_CONTROLLER_IMAGE_TOPIC_CONFIGS_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "controller/image/image.h"
#include "storage/log_config.h"

namespace gregor {

// Every topic config and dynamic broker config by name: type, default, valid values, documentation,
// broker synonym. Names and meanings are Kafka's (4.x); `durability` is Gregor's own. Thread: any.
enum class ConfigType { kBoolean, kInt, kLong, kDouble, kString, kList };
enum class ConfigSource { kTopic, kBrokerDynamic, kClusterDynamic, kBrokerStatic, kDefault };

// What may be set of a config.
enum class ConfigEffect {
  kYes,
  // Known to Kafka, without effect here yet: any value but the default is refused.
  kNotYet,
};

struct ConfigSpec {
  std::string_view name;
  ConfigType type;
  std::string_view default_value;
  std::string_view valid;           // for people: "at least 0", "producer, zstd, lz4 ..."
  std::string_view documentation;   // with the unit
  std::string_view broker_synonym;  // empty: none
  ConfigEffect effect = ConfigEffect::kYes;
  // Numbers: inclusive bounds.
  int64_t low = 0;
  int64_t high = 0;
  // Strings, and elements of lists: one of these; empty: anything.
  std::span<const std::string_view> choices = {};
  // Passwords and keys: never shown.
  bool sensitive = false;
  // As a broker config it is of all brokers together: a single one cannot have it set.
  bool of_cluster = false;

  bool has_effect() const { return effect == ConfigEffect::kYes; }
};

// In the order of their names.
std::span<const ConfigSpec> TopicConfigSpecs();
std::span<const ConfigSpec> BrokerConfigSpecs();  // dynamic ones
const ConfigSpec* FindTopicConfig(std::string_view name);
const ConfigSpec* FindBrokerConfig(std::string_view name);

// Checks one value by its spec. Fails with kInvalidConfig naming config, value and what is valid.
Result<void> CheckConfigValue(const ConfigSpec& spec, std::string_view value);
// Checks the set as a whole: names, values, cross-field rules. Fails with kInvalidConfig.
Result<void> CheckTopicConfigs(const ConfigMap& configs);

// An integer config; nullopt where it is none.
std::optional<int64_t> ParseConfigNumber(std::string_view value);
// Elements of a list config, without the spaces around them; none of an empty value.
std::vector<std::string> SplitConfigList(std::string_view value);
std::string JoinConfigList(const std::vector<std::string>& elements);

// A value with where it came from. Order: topic, broker dynamic, cluster dynamic, static, default;
// first wins.
struct EffectiveConfig {
  const ConfigSpec* spec;
  std::string value;
  ConfigSource source;
};
// `static_configs`: from the node's settings file, by broker config name.
EffectiveConfig ResolveTopicConfig(const ConfigSpec& spec, const ConfigMap& topic,
                                   const MetadataImage& image, NodeId node,
                                   const ConfigMap& static_configs);

// Effective values as the log and the partition need them. REQUIRES: configs were checked.
struct TopicSettings {
  LogConfig log;
  size_t message_bytes_max = 1048588;
  TimestampType timestamp_type = TimestampType::kCreateTime;
  int64_t timestamp_before_max_ms = INT64_MAX;
  int64_t timestamp_after_max_ms = 3600000;
  int32_t min_insync_replicas = 1;
  // For batches that the broker encodes from plain records; nullopt: as the request says.
  std::optional<Codec> compression;
  friend bool operator==(const TopicSettings&, const TopicSettings&) = default;
};
TopicSettings ResolveTopicSettings(const TopicImage& topic, const MetadataImage& image, NodeId node,
                                   const ConfigMap& static_configs);

// Effective values as the controller needs them to say who leads. `static_configs`: of its own
// node, which the others should have, too. min.insync.replicas and
// unclean.leader.election.enable are the cluster's: what single brokers have set does not count.
int32_t ResolveMinInsyncReplicas(const TopicImage& topic, const MetadataImage& image,
                                 const ConfigMap& static_configs);
bool ResolveUncleanElection(const TopicImage& topic, const MetadataImage& image,
                            const ConfigMap& static_configs);
// When the active controller elects leaders by itself. The cluster's, as those.
struct ElectionSchedule {
  bool balances = true;
  Duration balance_interval;
  // So many of the partitions that prefer a broker as their leader may be led by others.
  int32_t imbalance_percent_max = 10;
  Duration unclean_interval;
};
ElectionSchedule ResolveElectionSchedule(const MetadataImage& image,
                                         const ConfigMap& static_configs);
// Of the topic's replicas on `node`.
Durability ResolveDurability(const TopicImage& topic, const MetadataImage& image, NodeId node,
                             const ConfigMap& static_configs);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_TOPIC_CONFIGS_H_
