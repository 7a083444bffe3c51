#include "controller/image/topic_configs.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

#include "base/utf8.h"

namespace gregor {
namespace {

constexpr size_t kShownBytesMax = 100;
constexpr size_t kValueBytesMax = 4096;
// Of what happens by the clock; nobody waits longer.
constexpr Duration kIntervalMax = std::chrono::hours(24 * 3650);

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

template <typename T>
std::optional<T> ParseNumber(std::string_view text) {
  text = Trim(text);
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<bool> ParseBoolean(std::string_view text) {
  std::string lower(Trim(text));
  for (char& letter : lower) letter = static_cast<char>(std::tolower(letter));
  if (lower == "true") return true;
  if (lower == "false") return false;
  return std::nullopt;
}

// A value as a message can show it.
std::string Shown(const ConfigSpec& spec, std::string_view value) {
  if (spec.sensitive) return "(hidden)";
  return ShowQuoted(value, kShownBytesMax);
}

bool IsChoice(const ConfigSpec& spec, std::string_view value) {
  return spec.choices.empty() ||
         std::find(spec.choices.begin(), spec.choices.end(), value) != spec.choices.end();
}

bool IsValid(const ConfigSpec& spec, std::string_view value) {
  switch (spec.type) {
    case ConfigType::kBoolean:
      return ParseBoolean(value).has_value();
    case ConfigType::kInt:
    case ConfigType::kLong: {
      const auto number = ParseNumber<int64_t>(value);
      return number.has_value() && *number >= spec.low && *number <= spec.high;
    }
    case ConfigType::kDouble: {
      const auto number = ParseNumber<double>(value);
      return number.has_value() && std::isfinite(*number) &&
             *number >= static_cast<double>(spec.low) && *number <= static_cast<double>(spec.high);
    }
    case ConfigType::kString:
      return IsChoice(spec, Trim(value));
    case ConfigType::kList: {
      const auto elements = SplitConfigList(value);
      return std::all_of(elements.begin(), elements.end(),
                         [&](const std::string& element) { return IsChoice(spec, element); });
    }
  }
  return false;
}

const ConfigSpec* Find(std::span<const ConfigSpec> specs, std::string_view name) {
  const auto at = std::lower_bound(
      specs.begin(), specs.end(), name,
      [](const ConfigSpec& spec, std::string_view wanted) { return spec.name < wanted; });
  return at != specs.end() && at->name == name ? &*at : nullptr;
}

Result<void> CheckCompactionLags(const ConfigMap& configs) {
  const auto value_of = [&](std::string_view name) {
    const auto set = configs.find(name);
    return *ParseNumber<int64_t>(set != configs.end() ? std::string_view(set->second)
                                                      : FindTopicConfig(name)->default_value);
  };
  const int64_t min_lag = value_of("min.compaction.lag.ms");
  const int64_t max_lag = value_of("max.compaction.lag.ms");
  if (min_lag <= max_lag) return {};
  return Error(Reason::kInvalidConfig, "min.compaction.lag.ms (" + std::to_string(min_lag) +
                                           ") must not be above max.compaction.lag.ms (" +
                                           std::to_string(max_lag) + ")")
      .With("config", "min.compaction.lag.ms");
}

// Reads a topic's effective values one by one.
class Resolver {
 public:
  Resolver(const TopicImage& topic, const MetadataImage& image, NodeId node,
           const ConfigMap& static_configs)
      : topic_(topic), image_(image), node_(node), static_configs_(static_configs) {}

  std::string Text(std::string_view name) const { return Resolve(name).value; }
  int64_t Number(std::string_view name) const { return Parse<int64_t>(name, ParseNumber<int64_t>); }
  // A negative number means "no limit".
  int64_t Limit(std::string_view name) const {
    const int64_t number = Number(name);
    return number < 0 ? LogConfig::kNever : number;
  }
  double Ratio(std::string_view name) const { return Parse<double>(name, ParseNumber<double>); }
  bool Flag(std::string_view name) const { return Parse<bool>(name, ParseBoolean); }
  Durability Durable() const {
    return Trim(Text("durability")) == "replicated" ? Durability::kReplicated : Durability::kSynced;
  }

 private:
  EffectiveConfig Resolve(std::string_view name) const {
    const ConfigSpec* const spec = FindTopicConfig(name);
    CHECK(spec != nullptr) << name;
    return ResolveTopicConfig(*spec, *topic_.configs, image_, node_, static_configs_);
  }
  // A value that this version cannot read (a newer one wrote it) counts as not set.
  template <typename T>
  T Parse(std::string_view name, std::optional<T> (*parse)(std::string_view)) const {
    const EffectiveConfig config = Resolve(name);
    if (const auto value = parse(config.value)) return *value;
    LOG(WARNING) << "Topic " << topic_.name << ": this version does not understand "
                 << config.spec->name << "=" << config.value << " and takes "
                 << config.spec->default_value;
    return *parse(config.spec->default_value);
  }

  const TopicImage& topic_;
  const MetadataImage& image_;
  const NodeId node_;
  const ConfigMap& static_configs_;
};

LogConfig ResolveLogConfig(const Resolver& resolve) {
  LogConfig log;
  log.segment_bytes = resolve.Number("segment.bytes");
  log.segment_ms = resolve.Number("segment.ms");
  log.segment_jitter_ms = resolve.Number("segment.jitter.ms");
  log.segment_index_bytes = resolve.Number("segment.index.bytes");
  log.index_interval_bytes = resolve.Number("index.interval.bytes");
  log.retention_ms = resolve.Limit("retention.ms");
  log.retention_bytes = resolve.Limit("retention.bytes");
  log.file_delete_delay_ms = resolve.Number("file.delete.delay.ms");
  const auto policies = SplitConfigList(resolve.Text("cleanup.policy"));
  const auto has = [&](std::string_view policy) {
    return std::find(policies.begin(), policies.end(), policy) != policies.end();
  };
  log.cleanup_delete = has("delete");
  log.cleanup_compact = has("compact");
  log.delete_retention_ms = resolve.Number("delete.retention.ms");
  log.min_cleanable_dirty_ratio = resolve.Ratio("min.cleanable.dirty.ratio");
  log.min_compaction_lag_ms = resolve.Number("min.compaction.lag.ms");
  log.max_compaction_lag_ms = resolve.Number("max.compaction.lag.ms");
  log.preallocate = resolve.Flag("preallocate");
  log.durability = resolve.Durable();
  log.flush_messages = resolve.Number("flush.messages");
  log.flush_ms = resolve.Number("flush.ms");
  return log;
}

std::optional<Codec> ParseCodec(std::string_view name) {
  if (name == "uncompressed") return Codec::kNone;
  if (name == "gzip") return Codec::kGzip;
  if (name == "snappy") return Codec::kSnappy;
  if (name == "lz4") return Codec::kLz4;
  if (name == "zstd") return Codec::kZstd;
  return std::nullopt;
}

}  // namespace

const ConfigSpec* FindTopicConfig(std::string_view name) { return Find(TopicConfigSpecs(), name); }
const ConfigSpec* FindBrokerConfig(std::string_view name) {
  return Find(BrokerConfigSpecs(), name);
}

Result<void> CheckConfigValue(const ConfigSpec& spec, std::string_view value) {
  const std::string name(spec.name);
  if (value.size() > kValueBytesMax || !IsValid(spec, value)) {
    return Error(Reason::kInvalidConfig,
                 name + " cannot be " + Shown(spec, value) + "; valid: " + std::string(spec.valid))
        .With("config", name);
  }
  if (spec.has_effect() || Trim(value) == spec.default_value) return {};
  return Error(Reason::kInvalidConfig,
               name + " cannot be set to " + Shown(spec, value) +
                   ": it has no effect in this version; leave it out (of its "
                   "values only the default is taken: \"" +
                   std::string(spec.default_value) + "\")")
      .With("config", name);
}

Result<void> CheckTopicConfigs(const ConfigMap& configs) {
  for (const auto& [name, value] : configs) {
    const ConfigSpec* const spec = FindTopicConfig(name);
    if (spec == nullptr) {
      const std::string shown = Shown(ConfigSpec(), name);
      return Error(Reason::kInvalidConfig,
                   shown + " is no topic config; `gregor config describe` lists them")
          .With("config", shown.substr(1, shown.size() - 2));
    }
    RETURN_IF_ERROR(CheckConfigValue(*spec, value));
  }
  return CheckCompactionLags(configs);
}

std::optional<int64_t> ParseConfigNumber(std::string_view value) {
  return ParseNumber<int64_t>(value);
}

std::vector<std::string> SplitConfigList(std::string_view value) {
  std::vector<std::string> elements;
  if (Trim(value).empty()) return elements;
  while (true) {
    const size_t comma = value.find(',');
    elements.emplace_back(Trim(value.substr(0, comma)));
    if (comma == std::string_view::npos) return elements;
    value.remove_prefix(comma + 1);
  }
}

std::string JoinConfigList(const std::vector<std::string>& elements) {
  std::string value;
  for (const std::string& element : elements) value += (value.empty() ? "" : ",") + element;
  return value;
}

EffectiveConfig ResolveTopicConfig(const ConfigSpec& spec, const ConfigMap& topic,
                                   const MetadataImage& image, NodeId node,
                                   const ConfigMap& static_configs) {
  const auto set = topic.find(spec.name);
  if (set != topic.end()) return {&spec, set->second, ConfigSource::kTopic};
  if (!spec.broker_synonym.empty()) {
    const auto find_dynamic = [&](NodeId id) -> const std::string* {
      const auto* configs = image.broker_configs.Find(id);
      if (configs == nullptr) return nullptr;
      const auto found = (*configs)->find(spec.broker_synonym);
      return found == (*configs)->end() ? nullptr : &found->second;
    };
    if (const std::string* own = find_dynamic(node))
      return {&spec, *own, ConfigSource::kBrokerDynamic};
    if (const std::string* all = find_dynamic(NodeId{-1}))
      return {&spec, *all, ConfigSource::kClusterDynamic};
    const auto found = static_configs.find(spec.broker_synonym);
    if (found != static_configs.end()) return {&spec, found->second, ConfigSource::kBrokerStatic};
  }
  return {&spec, std::string(spec.default_value), ConfigSource::kDefault};
}

TopicSettings ResolveTopicSettings(const TopicImage& topic, const MetadataImage& image, NodeId node,
                                   const ConfigMap& static_configs) {
  const Resolver resolve(topic, image, node, static_configs);
  TopicSettings settings;
  settings.log = ResolveLogConfig(resolve);
  settings.message_bytes_max = static_cast<size_t>(resolve.Number("max.message.bytes"));
  settings.timestamp_type = Trim(resolve.Text("message.timestamp.type")) == "LogAppendTime"
                                ? TimestampType::kLogAppendTime
                                : TimestampType::kCreateTime;
  settings.timestamp_before_max_ms = resolve.Number("message.timestamp.before.max.ms");
  settings.timestamp_after_max_ms = resolve.Number("message.timestamp.after.max.ms");
  settings.min_insync_replicas = static_cast<int32_t>(resolve.Number("min.insync.replicas"));
  settings.compression = ParseCodec(Trim(resolve.Text("compression.type")));
  return settings;
}

int32_t ResolveMinInsyncReplicas(const TopicImage& topic, const MetadataImage& image,
                                 const ConfigMap& static_configs) {
  const Resolver resolve(topic, image, NodeId{-1}, static_configs);
  return static_cast<int32_t>(resolve.Number("min.insync.replicas"));
}

bool ResolveUncleanElection(const TopicImage& topic, const MetadataImage& image,
                            const ConfigMap& static_configs) {
  return Resolver(topic, image, NodeId{-1}, static_configs).Flag("unclean.leader.election.enable");
}

ElectionSchedule ResolveElectionSchedule(const MetadataImage& image,
                                         const ConfigMap& static_configs) {
  const auto* const dynamic = image.broker_configs.Find(NodeId{-1});
  const auto value = [&](std::string_view name) -> std::string {
    for (const ConfigMap* configs :
         {dynamic == nullptr ? nullptr : dynamic->get(), &static_configs}) {
      if (configs == nullptr) continue;
      if (const auto set = configs->find(name); set != configs->end()) return set->second;
    }
    return std::string(FindBrokerConfig(name)->default_value);
  };
  // What this version cannot read (a newer one wrote it) counts as not set.
  const auto number = [&](std::string_view name, int64_t high) {
    const ConfigSpec& spec = *FindBrokerConfig(name);
    const int64_t read =
        ParseNumber<int64_t>(value(name)).value_or(*ParseNumber<int64_t>(spec.default_value));
    return std::clamp(read, spec.low, high);
  };
  ElectionSchedule schedule;
  schedule.balances = ParseBoolean(value("auto.leader.rebalance.enable")).value_or(true);
  schedule.balance_interval = std::chrono::seconds(
      number("leader.imbalance.check.interval.seconds", kIntervalMax / std::chrono::seconds(1)));
  schedule.imbalance_percent_max =
      static_cast<int32_t>(number("leader.imbalance.per.broker.percentage", 100));
  schedule.unclean_interval = std::chrono::milliseconds(
      number("unclean.leader.election.interval.ms", kIntervalMax / std::chrono::milliseconds(1)));
  return schedule;
}

Durability ResolveDurability(const TopicImage& topic, const MetadataImage& image, NodeId node,
                             const ConfigMap& static_configs) {
  return Resolver(topic, image, node, static_configs).Durable();
}

}  // namespace gregor
