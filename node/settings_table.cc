// The table of settings.
#include <algorithm>
#include <utility>

#include "controller/image/topic_configs.h"
#include "node/setting_values.h"
#include "node/settings.h"
#include "storage/log_config.h"

namespace gregor {
namespace {

constexpr int64_t kIntMax = INT32_MAX;
constexpr uint64_t kTebi = uint64_t{1} << 40;

template <auto Member, int64_t Low, int64_t High>
Result<void> SetInteger(Settings& settings, std::string_view value) {
  ASSIGN_OR_RETURN(settings.*Member, ParseInteger(value, Low, High));
  return {};
}

template <auto Member, uint64_t Low, uint64_t High>
Result<void> SetBytes(Settings& settings, std::string_view value) {
  ASSIGN_OR_RETURN(settings.*Member, ParseByteCount(value, Low, High));
  return {};
}

template <auto Member, int64_t LowMs, int64_t HighMs>
Result<void> SetDuration(Settings& settings, std::string_view value) {
  ASSIGN_OR_RETURN(settings.*Member, ParseDuration(value, std::chrono::milliseconds(LowMs),
                                                   std::chrono::milliseconds(HighMs)));
  return {};
}

template <auto Member>
Result<void> SetAddress(Settings& settings, std::string_view value) {
  ASSIGN_OR_RETURN(settings.*Member, ParseHostPort(value));
  return {};
}

Result<void> SetNodeId(Settings& settings, std::string_view value) {
  ASSIGN_OR_RETURN(const int64_t id, ParseInteger(value, 0, kIntMax));
  settings.node_id = NodeId{static_cast<int32_t>(id)};
  return {};
}

Result<void> SetRack(Settings& settings, std::string_view value) {
  settings.rack = value;
  return {};
}

Result<void> SetDataDir(Settings& settings, std::string_view value) {
  if (value.empty()) return Error(Reason::kInvalidConfig, "an empty path");
  settings.data_dir = value;
  return {};
}

Result<void> SetLogDirs(Settings& settings, std::string_view value) {
  settings.log_dirs.clear();
  while (!value.empty()) {
    const size_t comma = std::min(value.find(','), value.size());
    const std::string_view path = value.substr(0, comma);
    if (path.empty()) return Error(Reason::kInvalidConfig, "an empty path");
    settings.log_dirs.emplace_back(path);
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  return {};
}

Result<void> SetRoles(Settings& settings, std::string_view value) {
  settings.roles = {.controller = false, .broker = false};
  const std::string_view whole = value;
  while (!value.empty()) {
    const size_t comma = std::min(value.find(','), value.size());
    const std::string_view role = value.substr(0, comma);
    if (role != "controller" && role != "broker") {
      return Error(Reason::kInvalidConfig,
                   "\"" + std::string(role) + "\" is none of controller, broker");
    }
    (role == "controller" ? settings.roles.controller : settings.roles.broker) = true;
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  if (whole.empty()) return Error(Reason::kInvalidConfig, "a node is controller, broker or both");
  return {};
}

// "1@host:9093,2@host:9093".
Result<void> SetControllers(Settings& settings, std::string_view value) {
  settings.controllers.clear();
  while (!value.empty()) {
    const size_t comma = std::min(value.find(','), value.size());
    const std::string_view entry = value.substr(0, comma);
    const size_t at = entry.find('@');
    if (at == std::string_view::npos) {
      return Error(Reason::kInvalidConfig,
                   "\"" + std::string(entry) + "\" is not of the form ID@HOST:PORT");
    }
    ASSIGN_OR_RETURN(const int64_t id, ParseInteger(entry.substr(0, at), 0, kIntMax));
    ASSIGN_OR_RETURN(HostPort address, ParseHostPort(entry.substr(at + 1)));
    settings.controllers.push_back({NodeId{static_cast<int32_t>(id)}, std::move(address)});
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  return {};
}

template <auto Member>
Result<void> SetBoolean(Settings& settings, std::string_view value) {
  if (value != "true" && value != "false")
    return Error(Reason::kInvalidConfig, "\"" + std::string(value) + "\" is not true or false");
  settings.*Member = value == "true";
  return {};
}

template <auto Member>
Result<void> SetInternalTls(Settings& settings, std::string_view value) {
  if (value.empty()) return Error(Reason::kInvalidConfig, "an empty path");
  settings.internal_tls.*Member = value;
  return {};
}

Result<void> SetDiskReserve(Settings& settings, std::string_view value) {
  if (value == "auto") {
    settings.disk_reserve_bytes.reset();
    return {};
  }
  ASSIGN_OR_RETURN(settings.disk_reserve_bytes, ParseByteCount(value, 0, 16 * kTebi));
  return {};
}

// Broker configs in other units, which stand for one in milliseconds.
struct ConfigUnit {
  std::string_view name;
  std::string_view canonical;
  int64_t milliseconds;
};
constexpr ConfigUnit kConfigUnits[] = {
    {"log.retention.minutes", "log.retention.ms", 60'000},
    {"log.retention.hours", "log.retention.ms", 3'600'000},
    {"log.roll.hours", "log.roll.ms", 3'600'000},
    {"log.roll.jitter.hours", "log.roll.jitter.ms", 3'600'000},
};

const ConfigUnit* FindConfigUnit(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kConfigUnits), std::end(kConfigUnits),
                                         [&](const ConfigUnit& unit) { return unit.name == name; });
  return found == std::end(kConfigUnits) ? nullptr : found;
}

// In milliseconds; what is negative means no limit, and stays.
Result<std::string> ConvertUnit(const ConfigUnit& unit, std::string_view value) {
  const auto number = ParseInteger(value, -1, INT32_MAX);
  if (!number.ok())
    return Error(Reason::kInvalidConfig, std::string(unit.name) + ": " + number.error().message);
  return std::to_string(*number < 0 ? *number : *number * unit.milliseconds);
}

// Where the first "name=value" of several ends: at the comma before the next piece with "=".
size_t EndOfFirst(std::string_view configs) {
  size_t comma = configs.find(',');
  while (comma != std::string_view::npos) {
    const size_t next = configs.find(',', comma + 1);
    if (configs.substr(comma, next - comma).find('=') != std::string_view::npos) return comma;
    comma = next;
  }
  return configs.size();
}

// "name=value,name=value". A piece without "=" goes on with the list before it, as in
// "log.cleanup.policy=compact,delete".
Result<void> SetConfigs(Settings& settings, std::string_view value) {
  while (!value.empty()) {
    const size_t end = EndOfFirst(value);
    const std::string_view entry = value.substr(0, end);
    const size_t equals = entry.find('=');
    if (equals > entry.find(',') || equals == std::string_view::npos) {
      return Error(Reason::kInvalidConfig, "\"" + std::string(entry.substr(0, entry.find(','))) +
                                               "\" is not of the form name=value");
    }
    RETURN_IF_ERROR(ApplyConfig(settings, entry.substr(0, equals), entry.substr(equals + 1)));
    value.remove_prefix(std::min(end + 1, value.size()));
  }
  return {};
}

const SettingSpec kSettings[] = {
    {"node_id", "", "", "0 to 2147483647", "1", "Number of this node, unique in its cluster.",
     SetNodeId},
    {"roles", "", "", "controller, broker, or both", "controller,broker",
     "What the node does: controllers vote on the cluster's metadata (those that `controllers` "
     "names, and those added later), brokers keep partitions. One of the two needs `controllers`.",
     SetRoles},
    {"rack", "", "", "any text", "",
     "Where the node stands; replicas of a partition go to different racks.", SetRack},
    {"data_dir", "", "path", "", "gregor-data",
     "Folder of the node's identity, metadata and (by default) topics.", SetDataDir},
    {"log_dirs", "", "paths", "", "data_dir/topics",
     "Folders for the partitions' logs, one per disk.", SetLogDirs},
    {"controllers", "", "ID@host:port", "an odd number of nodes is best", "",
     "The nodes that keep the cluster's metadata, with their internal listeners; the same on every "
     "node. Without it a node is a cluster of its own.",
     SetControllers},
    {"listen.internal", "internal-listen", "host:port", "port 0: a free one", "127.0.0.1:9093",
     "Where the cluster's other nodes connect to; used with `controllers` only.",
     SetAddress<&Settings::listen_internal>},
    {"internal_tls.ca", "", "path", "", "",
     "File with the authorities (PEM) that sign the certificates of the cluster's nodes. With it "
     "the "
     "nodes know each other by certificates; `gregor cert` makes them.",
     SetInternalTls<&InternalTls::ca>},
    {"internal_tls.certificate", "", "path", "", "",
     "File with this node's certificate (PEM), which names it: gregor://CLUSTER-ID/node/ID.",
     SetInternalTls<&InternalTls::certificate>},
    {"internal_tls.key", "", "path", "", "",
     "File with the key of that certificate (PEM, without a passphrase). All three are read again "
     "when they change.",
     SetInternalTls<&InternalTls::key>},
    {"insecure_internal", "", "", "true, false", "false",
     "Whether listen.internal may be an address that other machines reach although nothing "
     "protects it: whoever gets there can change everything.",
     SetBoolean<&Settings::insecure_internal>},
    {"quorum.heartbeat", "", "time", "10ms to 10s", "150ms",
     "How often the active controller shows that it is there.",
     SetDuration<&Settings::quorum_heartbeat, 10, 10'000>},
    {"quorum.election_timeout", "", "time", "100ms to 1m", "1s",
     "After this long, up to twice as long, without a sign of the active controller the others "
     "elect a new one. A lost connection counts at once.",
     SetDuration<&Settings::quorum_election_timeout, 100, 60'000>},
    {"quorum.election_jitter", "", "time", "0ms to 10s", "150ms",
     "Where a connection to the active controller was lost, or a vote was split, the others stand "
     "for election at random up to this long afterwards, and later each time in a row. More than a "
     "message takes between two controllers, or they stand at the same time.",
     SetDuration<&Settings::quorum_election_jitter, 0, 10'000>},
    {"quorum.snapshot_bytes", "", "bytes", "64 KiB to 1 GiB", "20 MiB",
     "A snapshot of the metadata is written each time so many bytes of records were committed; the "
     "log is kept back to the one before the last.",
     SetBytes<&Settings::quorum_snapshot_bytes, 64u << 10, 1u << 30>},
    {"quorum.segment_bytes", "", "bytes", "64 KiB to 1 GiB", "16 MiB",
     "Size of the metadata log's segments: it is trimmed by whole ones.",
     SetBytes<&Settings::quorum_segment_bytes, 64u << 10, 1u << 30>},
    {"quorum.hash_interval", "", "time", "100ms to 1h", "10s",
     "How often the active controller writes the hash of its state of the metadata, if anything "
     "has "
     "changed; each node compares its own.",
     SetDuration<&Settings::quorum_hash_interval, 100, 3'600'000>},
    {"broker.heartbeat", "", "time", "50ms to 10s", "500ms",
     "How often a broker tells the active controller that it is alive. The same on all nodes.",
     SetDuration<&Settings::broker_heartbeat, 50, 10'000>},
    {"broker.session_timeout", "", "time", "1s to 10m", "6s",
     "A broker that says nothing for so long is fenced: others lead what they can of its "
     "partitions. One whose connection to the active controller is lost has one and a half "
     "heartbeats.",
     SetDuration<&Settings::broker_session_timeout, 1'000, 600'000>},
    {"listen.grpc", "grpc-listen", "host:port", "port 0: a free one", "127.0.0.1:9094",
     "Where the gRPC API listens.", SetAddress<&Settings::listen_grpc>},
    {"listen.http", "http-listen", "host:port", "port 0: a free one", "127.0.0.1:9095",
     "Where metrics, liveness and readiness are served.", SetAddress<&Settings::listen_http>},
    {"advertise.grpc", "", "host:port", "", "as listen.grpc",
     "What clients are told to connect to for the gRPC API.",
     SetAddress<&Settings::advertise_grpc>},
    {"advertise.http", "", "host:port", "", "as listen.http",
     "What others are told to connect to for HTTP.", SetAddress<&Settings::advertise_http>},
    {"advertise.internal", "", "host:port", "", "as listen.internal",
     "Where the cluster's other nodes are told to connect to.",
     SetAddress<&Settings::advertise_internal>},
    {"event_loops", "", "threads", "0 to 256", "0",
     "Threads that serve partitions; 0: one less than there are cores.",
     SetInteger<&Settings::event_loops, 0, 256>},
    {"disk_read_threads", "", "threads", "1 to 64", "2",
     "Threads per log directory for reads that miss the page cache.",
     SetInteger<&Settings::disk_read_threads, 1, 64>},
    {"disk_background_threads", "", "threads", "1 to 64", "2",
     "Threads per log directory for recovery, retention and compaction.",
     SetInteger<&Settings::disk_background_threads, 1, 64>},
    {"sync_threads", "", "threads", "1 to 64", "4",
     "How many files of a group are synced at the same time.",
     SetInteger<&Settings::sync_threads, 1, 64>},
    {"open_files_max", "", "files", "16 to 1000000", "1024",
     "Open files per log directory; the least recently used are closed.",
     SetInteger<&Settings::open_files_max, 16, 1000000>},
    {"disk_reserve", "", "bytes", "auto, 0 to 16 TiB", "auto",
     "Writes are refused while less is free on the disk; auto: 2 % of the disk, at most 1 GiB.",
     SetDiskReserve},
    {"file_step", "", "bytes", "64 KiB to 1 GiB", "16 MiB",
     "Largest step in which a segment's file grows.",
     SetBytes<&Settings::file_step_bytes, 64u << 10, 1u << 30>},
    {"flush_bytes", "", "bytes", "1 MiB to 64 GiB", "64 MiB",
     "With durability=replicated: how much may be unsynced in a log directory before syncs start.",
     SetBytes<&Settings::flush_bytes, 1u << 20, uint64_t{64} << 30>},
    {"flush_interval", "", "time", "10ms to 1h", "1s",
     "With durability=replicated: how long it may stay unsynced.",
     SetDuration<&Settings::flush_interval, 10, 3600000>},
    {"produce_memory", "", "bytes", "1 MiB to 1 TiB", "256 MiB",
     "Batches between their arrival and their acknowledgement; beyond it writes are refused, to be "
     "retried.",
     SetBytes<&Settings::produce_memory_bytes, 1u << 20, kTebi>},
    {"fetch_memory", "", "bytes", "1 MiB to 1 TiB", "256 MiB",
     "Answers to fetches until they are sent; beyond it fetches wait as long as they may wait for "
     "records, and are then refused, to be retried; streams wait.",
     SetBytes<&Settings::fetch_memory_bytes, 1u << 20, kTebi>},
    {"grpc_memory", "", "bytes", "64 MiB to 1 TiB", "512 MiB",
     "What the gRPC library may use for its buffers.",
     SetBytes<&Settings::grpc_memory_bytes, 64u << 20, kTebi>},
    {"message_limit", "", "bytes", "1 MiB to 256 MiB", "32 MiB",
     "Largest max.message.bytes that a topic may have.",
     SetBytes<&Settings::message_bytes_limit, 1u << 20, kMessageBytesLimitMax>},
    {"compaction_memory", "", "bytes", "1 MiB to 64 GiB", "32 MiB",
     "Key map of the log compaction, per log directory.",
     SetBytes<&Settings::compaction_memory_bytes, 1u << 20, uint64_t{64} << 30>},
    {"compaction_rate", "", "bytes/s", "0 to 1 TiB", "0",
     "Reads and writes of the log compaction; 0: not limited.",
     SetBytes<&Settings::compaction_bytes_per_second, 0, kTebi>},
    {"retention_check_interval", "", "time", "1s to 1d", "5m",
     "How often logs are checked for what retention may delete.",
     SetDuration<&Settings::retention_check_interval, 1000, 86400000>},
    {"producer_id_expiration", "", "time", "1m to 30d", "1d",
     "After so long without a write an idempotent producer's sequences are forgotten.",
     SetDuration<&Settings::producer_id_expiration, 60000, 2592000000>},
    {"producer_ids_max", "", "ids", "100 to 10000000", "100000",
     "Idempotent producers remembered per partition.",
     SetInteger<&Settings::producer_ids_max, 100, 10000000>},
    {"producer_state_memory", "", "bytes", "1 MiB to 1 TiB", "256 MiB",
     "What all partitions together may remember of idempotent producers (220 bytes each) and of "
     "request ids (45); beyond it the oldest of a partition make room for its new ones.",
     SetBytes<&Settings::producer_state_bytes, 1u << 20, kTebi>},
    {"recovery_parallelism", "", "logs", "1 to 1024", "32",
     "Logs that are recovered at the same time per event loop.",
     SetInteger<&Settings::recovery_parallelism, 1, 1024>},
    {"topic_metrics", "", "", "true or false", "true",
     "Whether the metrics also have numbers by topic.", SetBoolean<&Settings::topic_metrics>},
    {"topic_metrics_max", "", "topics", "1 to 100000", "1000",
     "How many topics have numbers of their own; those of further ones are summed up.",
     SetInteger<&Settings::topic_metrics_max, 1, 100000>},
    {"shutdown_timeout", "", "time", "100ms to 10m", "5s", "How long a clean stop may take.",
     SetDuration<&Settings::shutdown_timeout, 100, 600000>},
    {"configs", "", "name=value", "any broker config", "",
     "Defaults of topic configs and broker configs, by Kafka's broker config names: a mapping in "
     "the file, name=value,name=value as a flag. A list has commas between its elements, "
     "log.cleanup.policy=compact,delete, or is one in the file, [compact, delete].",
     SetConfigs},
};

}  // namespace

std::span<const SettingSpec> SettingSpecs() { return kSettings; }

std::string_view CanonicalConfigName(std::string_view name) {
  const ConfigUnit* const unit = FindConfigUnit(name);
  return unit == nullptr ? name : unit->canonical;
}

Result<void> ApplyConfig(Settings& settings, std::string_view name, std::string_view value) {
  const std::string canonical(CanonicalConfigName(name));
  const ConfigSpec* const spec = FindBrokerConfig(canonical);
  if (spec == nullptr) {
    return Error(
        Reason::kInvalidConfig,
        "\"" + canonical + "\" is no broker config (`gregor settings --configs` lists them)");
  }
  std::string config_value(value);
  if (const ConfigUnit* const unit = FindConfigUnit(name)) {
    ASSIGN_OR_RETURN(config_value, ConvertUnit(*unit, value));
  }
  RETURN_IF_ERROR(CheckConfigValue(*spec, config_value));
  settings.configs[canonical] = std::move(config_value);
  return {};
}

const SettingSpec* FindSetting(std::string_view name) {
  const auto found = std::find_if(std::begin(kSettings), std::end(kSettings),
                                  [&](const SettingSpec& spec) { return spec.name == name; });
  return found == std::end(kSettings) ? nullptr : found;
}

}  // namespace gregor
