#ifndef GREGOR_NODE_SETTINGS_H_
#define GREGOR_NODE_SETTINGS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/types.h"

namespace gregor {

struct HostPort {
  std::string host;
  uint16_t port = 0;
  // "host:port", with brackets around an IPv6 address.
  std::string ToString() const;
  // Whether only this machine can reach it.
  bool IsLoopback() const;
  friend bool operator==(const HostPort&, const HostPort&) = default;
};
// Takes "host:port" and "[v6]:port". Fails with kInvalidConfig.
Result<HostPort> ParseHostPort(std::string_view text);

// What a node does. A controller may vote on the cluster's metadata; a broker holds partitions.
struct Roles {
  bool controller = true;
  bool broker = true;
  friend bool operator==(const Roles&, const Roles&) = default;
};

// A node of the metadata quorum, and where it is.
struct ControllerAddress {
  NodeId node;
  HostPort address;
  friend bool operator==(const ControllerAddress&, const ControllerAddress&) = default;
};

// The files of a node's certificate, by which the cluster's nodes know each other: PEM.
struct InternalTls {
  std::string ca;  // of the authorities whose signatures count
  std::string certificate;
  std::string key;
  bool IsSet() const { return !ca.empty() && !certificate.empty() && !key.empty(); }
  bool IsEmpty() const { return ca.empty() && certificate.empty() && key.empty(); }
};

// What a node is told at start: one YAML file, each setting also as a flag (DESIGN D13). `gregor
// settings` lists them.
struct Settings {
  NodeId node_id{1};
  Roles roles;
  std::string rack;
  std::string data_dir = "gregor-data";
  std::vector<std::string> log_dirs;  // empty: data_dir/topics
  HostPort listen_grpc{"127.0.0.1", 9094};
  HostPort listen_http{"127.0.0.1", 9095};
  std::optional<HostPort> advertise_grpc;
  std::optional<HostPort> advertise_http;
  std::optional<HostPort> advertise_internal;
  // Whose nodes keep the metadata; empty: this node alone, and nobody else can join.
  std::vector<ControllerAddress> controllers;
  HostPort listen_internal{"127.0.0.1", 9093};  // used where there are controllers
  InternalTls internal_tls;
  bool insecure_internal = false;  // whether it may be reached from elsewhere without security
  Duration quorum_heartbeat = std::chrono::milliseconds(150);
  Duration quorum_election_timeout = std::chrono::seconds(1);
  Duration quorum_election_jitter = std::chrono::milliseconds(150);
  uint64_t quorum_snapshot_bytes = 20u << 20;
  uint64_t quorum_segment_bytes = 16u << 20;
  Duration quorum_hash_interval = std::chrono::seconds(10);
  Duration broker_heartbeat = std::chrono::milliseconds(500);
  Duration broker_session_timeout = std::chrono::seconds(6);
  int64_t event_loops = 0;  // 0: cores - 1, at least one
  int64_t disk_read_threads = 2;
  int64_t disk_background_threads = 2;
  int64_t sync_threads = 4;
  int64_t open_files_max = 1024;
  std::optional<uint64_t> disk_reserve_bytes;  // unset: 2 % of the disk, at most 1 GiB
  uint64_t file_step_bytes = 16u << 20;
  uint64_t flush_bytes = 64u << 20;
  Duration flush_interval = std::chrono::seconds(1);
  uint64_t produce_memory_bytes = 256u << 20;
  uint64_t fetch_memory_bytes = 256u << 20;
  uint64_t grpc_memory_bytes = 512u << 20;
  uint64_t message_bytes_limit = 32u << 20;
  uint64_t compaction_memory_bytes = 32u << 20;
  uint64_t compaction_bytes_per_second = 0;  // 0: not limited
  Duration retention_check_interval = std::chrono::minutes(5);
  Duration producer_id_expiration = std::chrono::hours(24);
  int64_t producer_ids_max = 100000;
  uint64_t producer_state_bytes = 256u << 20;
  int64_t recovery_parallelism = 32;
  bool topic_metrics = true;
  int64_t topic_metrics_max = 1000;
  Duration shutdown_timeout = std::chrono::seconds(5);
  std::map<std::string, std::string, std::less<>>
      configs;  // defaults of topic configs, by broker config name
  // Whether an unformatted directory is refused: where a file was given, or other nodes are named.
  bool must_be_formatted = false;
  // The command line that formats what these settings name, for messages.
  std::string format_command = "gregor cluster format --config FILE";
  // ... that makes a log directory of the folder whose name follows.
  std::string add_log_dir_command = "gregor cluster format --config FILE --add-log-dir";

  // Of a node that is no broker: none.
  std::vector<std::string> LogDirs() const;
  bool IsCluster() const { return !controllers.empty(); }
  // Whether `controllers` names another node than this one: such a cluster has one id for several
  // directories, and what one of them loses others have.
  bool HasOthers() const;
};

// One line of `gregor settings`.
struct SettingSpec {
  std::string_view
      name;  // in the file, dots for nesting; the flag is "--" + name with '-' for '.' and '_'
  std::string_view flag;  // where the flag differs from that
  std::string_view unit;
  std::string_view range;
  std::string_view default_value;
  std::string_view documentation;
  Result<void> (*set)(Settings& settings, std::string_view value);

  std::string Flag() const;  // with "--"
};
// All of them, in the order of the documentation. Lists are given as comma-separated values.
std::span<const SettingSpec> SettingSpecs();
const SettingSpec* FindSetting(std::string_view name);

// What the config that a settings file calls `name` is called: log.retention.hours is
// log.retention.ms, in another unit.
std::string_view CanonicalConfigName(std::string_view name);

// Sets one setting from text. Fails with kInvalidConfig, naming the setting, the value and what is
// valid.
Result<void> ApplySetting(Settings& settings, std::string_view name, std::string_view value);
// Sets one of `configs`; a list has commas between its elements. Fails with kInvalidConfig, naming
// the config, the value and what is valid.
Result<void> ApplyConfig(Settings& settings, std::string_view name, std::string_view value);
// Reads a settings file into `settings`. Fails with kInvalidConfig; the message begins "FILE:LINE:
// " and names the key.
Result<void> LoadSettingsFile(const std::string& path, Settings& settings);
// The same from text; `name` stands for the file in messages.
Result<void> ParseSettings(const std::string& name, const std::string& yaml, Settings& settings);
// What the settings as a whole must fulfil. Fails with kInvalidConfig.
Result<void> CheckSettings(const Settings& settings);
// What is allowed, and no good idea: for warnings.
std::vector<std::string> AdviceOn(const Settings& settings);
// Whether others will know where to reach the node: needed where it serves. Fails with
// kInvalidConfig.
Result<void> CheckReachable(const Settings& settings);

}  // namespace gregor

#endif  // GREGOR_NODE_SETTINGS_H_
