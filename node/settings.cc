#include "node/settings.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include "base/edit_distance.h"
#include "base/host_port.h"
#include "node/setting_values.h"
#include "raft/host/control_records.h"

namespace gregor {
namespace {

Error At(const std::string& file, const YAML::Mark& mark, const std::string& message) {
  const std::string line = mark.line < 0 ? "" : ":" + std::to_string(mark.line + 1);
  return Error(Reason::kInvalidConfig, file + line + ": " + message);
}

// A scalar as it stands, a list as comma-separated values.
Result<std::string> TextOf(const std::string& file, const std::string& key,
                           const YAML::Node& node) {
  if (node.IsScalar()) return node.Scalar();
  if (node.IsNull()) return std::string();
  if (!node.IsSequence())
    return At(file, node.Mark(), "key \"" + key + "\" takes a value, not a mapping");
  std::string text;
  for (const YAML::Node& item : node) {
    if (!item.IsScalar())
      return At(file, item.Mark(), "key \"" + key + "\" takes a list of plain values");
    text += (text.empty() ? "" : ",") + item.Scalar();
  }
  return text;
}

bool IsPrefix(const std::string& key) {
  const auto settings = SettingSpecs();
  return std::any_of(settings.begin(), settings.end(),
                     [&](const SettingSpec& spec) { return spec.name.starts_with(key + "."); });
}

// As people may write it: a flag, or with other separators.
std::string Plain(std::string_view name) {
  std::string plain(name.substr(std::min(name.find_first_not_of('-'), name.size())));
  std::replace(plain.begin(), plain.end(), '-', '_');
  std::replace(plain.begin(), plain.end(), '.', '_');
  return plain;
}

// The setting, or the group of settings, that is likely to be meant by a name that none has; or "".
std::string FindNearest(std::string_view name) {
  const std::string plain = Plain(name);
  size_t least = std::min<size_t>(2, plain.size() / 3) + 1;
  std::string nearest;
  const auto consider = [&](size_t distance, std::string_view meant) {
    if (distance >= least) return;
    least = distance;
    nearest = meant;
  };
  for (const SettingSpec& spec : SettingSpecs()) {
    consider(EditDistance(plain, Plain(spec.name)), spec.name);
    consider(EditDistance(plain, Plain(spec.Flag())), spec.name);
    const size_t dot = spec.name.rfind('.');
    if (dot == std::string::npos) continue;
    consider(EditDistance(plain, Plain(spec.name.substr(0, dot))), spec.name.substr(0, dot));
    if (spec.name.substr(dot + 1) == name) consider(1, spec.name);
  }
  return nearest;
}

Error UnknownKey(std::string_view name) {
  const std::string nearest = FindNearest(name);
  return Error(Reason::kInvalidConfig,
               "unknown key \"" + std::string(name) + "\"" +
                   (nearest.empty() ? " (gregor settings lists them)"
                                    : "; do you mean \"" + nearest + "\"?"));
}

Result<void> LoadMapping(const std::string& file, const std::string& prefix,
                         const YAML::Node& mapping, std::set<std::string>& seen,
                         Settings& settings) {
  for (const auto& entry : mapping) {
    if (!entry.first.IsScalar()) return At(file, entry.first.Mark(), "a key must be a plain word");
    const std::string key = prefix + entry.first.Scalar();
    const YAML::Mark mark = entry.first.Mark();
    if (!seen.insert(key).second) return At(file, mark, "key \"" + key + "\" is given twice");
    const bool is_config = prefix == "configs.";
    const std::string canonical(CanonicalConfigName(entry.first.Scalar()));
    if (is_config && !seen.insert("configs as " + canonical).second)
      return At(file, mark, "key \"" + key + "\": " + canonical + " is given in another unit, too");
    if (!is_config && (IsPrefix(key) || key == "configs") && !entry.second.IsNull()) {
      if (!entry.second.IsMap()) return At(file, mark, "key \"" + key + "\" takes a mapping");
      RETURN_IF_ERROR(LoadMapping(file, key + ".", entry.second, seen, settings));
      continue;
    }
    if (!is_config && FindSetting(key) == nullptr && !IsPrefix(key))
      return At(file, mark, UnknownKey(key).message);
    if (entry.second.IsNull()) continue;
    ASSIGN_OR_RETURN(const std::string text, TextOf(file, key, entry.second));
    const auto applied = is_config ? ApplyConfig(settings, entry.first.Scalar(), text)
                                   : ApplySetting(settings, key, text);
    if (!applied.ok())
      return At(file, mark, (is_config ? "key \"configs\": " : "") + applied.error().message);
  }
  return {};
}

}  // namespace

std::string HostPort::ToString() const { return JoinHostPort(host, port); }

bool HostPort::IsLoopback() const {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

Result<HostPort> ParseHostPort(std::string_view text) {
  const Error expected(Reason::kInvalidConfig,
                       "\"" + std::string(text) +
                           "\" is not of the form host:port (an IPv6 address in brackets; the "
                           "port from 0 to 65535)");
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return expected;
  std::string_view host = text.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return expected;
  }
  const auto port = ParseInteger(text.substr(colon + 1), 0, 65535);
  const bool printable =
      std::all_of(host.begin(), host.end(), [](char c) { return c > ' ' && c < 127; });
  // It may become a voter's.
  if (host.size() > kEndpointTextBytesMax) {
    return Error(Reason::kInvalidConfig,
                 "the host \"" + std::string(host.substr(0, 20)) + "...\" has " +
                     std::to_string(host.size()) + " bytes: no more than " +
                     std::to_string(kEndpointTextBytesMax) + " are allowed");
  }
  if (host.empty() || !printable || !port.ok()) return expected;
  return HostPort{std::string(host), static_cast<uint16_t>(*port)};
}

std::vector<std::string> Settings::LogDirs() const {
  if (!roles.broker) return {};
  return log_dirs.empty() ? std::vector<std::string>{data_dir + "/topics"} : log_dirs;
}

bool Settings::HasOthers() const {
  return std::any_of(
      controllers.begin(), controllers.end(),
      [&](const ControllerAddress& controller) { return controller.node != node_id; });
}

std::string SettingSpec::Flag() const {
  std::string text = "--" + std::string(flag.empty() ? name : flag);
  std::replace(text.begin(), text.end(), '.', '-');
  std::replace(text.begin(), text.end(), '_', '-');
  return text;
}

Result<void> ApplySetting(Settings& settings, std::string_view name, std::string_view value) {
  const SettingSpec* const spec = FindSetting(name);
  if (spec == nullptr) return UnknownKey(name);
  auto set = spec->set(settings, value);
  if (set.ok()) return {};
  return Error(Reason::kInvalidConfig, "key \"" + std::string(name) + "\": " + set.error().message);
}

Result<void> ParseSettings(const std::string& name, const std::string& yaml, Settings& settings) {
  try {
    const YAML::Node root = YAML::Load(yaml);
    if (root.IsNull()) return {};
    if (!root.IsMap())
      return At(name, root.Mark(), "the file must be a mapping of settings (key: value)");
    std::set<std::string> seen;
    return LoadMapping(name, "", root, seen, settings);
  } catch (const YAML::Exception& error) {
    return At(name, error.mark, "not valid YAML: " + error.msg);
  }
}

Result<void> LoadSettingsFile(const std::string& path, Settings& settings) {
  errno = 0;
  std::ifstream file(path);
  std::stringstream text;
  // An empty file has nothing to copy, which counts as a failure.
  const bool is_empty = file.is_open() && file.peek() == EOF && !file.bad();
  if (!is_empty && (!file || !(text << file.rdbuf()))) {
    const std::string why = errno == 0 ? "it is a folder, perhaps" : std::strerror(errno);
    return Error(Reason::kInvalidConfig, path + ": the settings file cannot be read: " + why);
  }
  settings.must_be_formatted = true;
  return ParseSettings(path, text.str(), settings);
}

namespace {

bool IsEverywhere(const HostPort& address) {
  return address.host == "0.0.0.0" || address.host == "::";
}

Result<void> CheckRoles(const Settings& settings) {
  const Roles& roles = settings.roles;
  if (!settings.IsCluster() && !(roles == Roles())) {
    return Error(Reason::kInvalidConfig,
                 "key \"roles\": a node without `controllers` is a cluster of its own, and both, "
                 "controller and broker");
  }
  if (!roles.broker && !settings.log_dirs.empty()) {
    return Error(Reason::kInvalidConfig,
                 "key \"log_dirs\": a node that is no broker (`roles`) has no partitions to keep "
                 "there");
  }
  if (roles.controller) return {};
  for (const ControllerAddress& controller : settings.controllers) {
    if (controller.node == settings.node_id)
      return Error(Reason::kInvalidConfig,
                   "key \"roles\": node " + std::to_string(settings.node_id.value) +
                       " is named in `controllers`, and is none: add the role, or take another "
                       "node_id");
  }
  return {};
}

// What listens on all addresses does not say which one of them others shall use.
Result<void> CheckAdvertised(const std::string& name, const HostPort& listen,
                             const std::optional<HostPort>& advertise, bool is_known) {
  if (advertise.has_value() && IsEverywhere(*advertise)) {
    return Error(Reason::kInvalidConfig, "key \"advertise." + name + "\": " + advertise->host +
                                             " is no address that others can connect to");
  }
  if (advertise.has_value() || is_known || !IsEverywhere(listen)) return {};
  return Error(Reason::kInvalidConfig, "key \"listen." + name + "\": " + listen.ToString() +
                                           " is no address that the cluster's other nodes could "
                                           "tell or use: set advertise." +
                                           name + " to one");
}

// Whoever leads the metadata says by it what a broker has lost that was not stopped cleanly: so
// all have to have the same, and the metadata tell them.
Result<void> CheckConfigs(const Settings& settings) {
  if (settings.configs.count("log.durability") == 0) return {};
  return Error(Reason::kInvalidConfig,
               "key \"configs\": log.durability is the cluster's, and no node of one has its own: "
               "take it out here, and set it for all with `gregor config set --all-brokers "
               "log.durability=replicated`");
}

// Whether what listens on `all` takes connections to `one`, too: on [::] those of IPv4 as well.
bool Covers(const HostPort& all, const HostPort& one) {
  const auto is_ipv6 = [](const HostPort& address) {
    return address.host.find(':') != std::string::npos;
  };
  return IsEverywhere(all) && (is_ipv6(all) || !is_ipv6(one));
}

// No two listeners can have one port of one address; the system would say that another process
// does.
Result<void> CheckListeners(const Settings& settings) {
  std::vector<std::pair<std::string, HostPort>> listeners = {{"grpc", settings.listen_grpc},
                                                             {"http", settings.listen_http}};
  if (settings.IsCluster()) listeners.emplace_back("internal", settings.listen_internal);
  for (auto second = listeners.begin(); second != listeners.end(); ++second) {
    for (auto first = listeners.begin(); first != second; ++first) {
      const HostPort& one = first->second;
      const HostPort& other = second->second;
      if (one.port == 0 || one.port != other.port) continue;
      if (one.host != other.host && !Covers(one, other) && !Covers(other, one)) continue;
      return Error(Reason::kInvalidConfig, "keys \"listen." + first->first + "\" and \"listen." +
                                               second->first + "\": both have port " +
                                               std::to_string(one.port) +
                                               "; give one of them another");
    }
  }
  return {};
}

Result<void> CheckQuorum(const Settings& settings) {
  RETURN_IF_ERROR(CheckRoles(settings));
  if (!settings.IsCluster()) return {};
  RETURN_IF_ERROR(CheckConfigs(settings));
  std::set<NodeId> nodes;
  std::map<std::string, NodeId> at;
  for (const ControllerAddress& controller : settings.controllers) {
    if (!nodes.insert(controller.node).second)
      return Error(
          Reason::kInvalidConfig,
          "key \"controllers\": node " + std::to_string(controller.node.value) + " is given twice");
    if (controller.address.port == 0)
      return Error(Reason::kInvalidConfig, "key \"controllers\": others cannot connect to port 0");
    const std::string address = controller.address.ToString();
    if (const auto [other, is_new] = at.emplace(address, controller.node); !is_new)
      return Error(Reason::kInvalidConfig,
                   "key \"controllers\": nodes " + std::to_string(other->second.value) + " and " +
                       std::to_string(controller.node.value) + " cannot both be at " + address);
  }
  if (settings.quorum_election_timeout < 3 * settings.quorum_heartbeat)
    return Error(Reason::kInvalidConfig,
                 "key \"quorum.election_timeout\": less than three heartbeats (quorum.heartbeat): "
                 "one that comes late would cost the active controller its place");
  if (settings.broker_session_timeout < 3 * settings.broker_heartbeat)
    return Error(Reason::kInvalidConfig,
                 "key \"broker.session_timeout\": less than three heartbeats (broker.heartbeat): "
                 "one that comes late would cost a broker what it leads");
  if (!settings.internal_tls.IsSet() && !settings.internal_tls.IsEmpty())
    return Error(Reason::kInvalidConfig,
                 "key \"internal_tls\": ca, certificate and key are needed, all three");
  if (!settings.listen_internal.IsLoopback() && settings.internal_tls.IsEmpty() &&
      !settings.insecure_internal) {
    return Error(Reason::kInvalidConfig,
                 "key \"listen.internal\": " + settings.listen_internal.ToString() +
                     " can be reached by other machines, and nothing protects it: give the node a "
                     "certificate (internal_tls; `gregor cert` makes one), or keep it to a network "
                     "of the cluster's own and set insecure_internal to true");
  }
  return {};
}

}  // namespace

Result<void> CheckReachable(const Settings& settings) {
  const bool is_named = std::any_of(
      settings.controllers.begin(), settings.controllers.end(),
      [&](const ControllerAddress& controller) { return controller.node == settings.node_id; });
  RETURN_IF_ERROR(CheckAdvertised("internal", settings.listen_internal, settings.advertise_internal,
                                  /*is_known=*/is_named || !settings.IsCluster()));
  // Clients are told of brokers only.
  RETURN_IF_ERROR(CheckAdvertised("grpc", settings.listen_grpc, settings.advertise_grpc,
                                  /*is_known=*/!settings.IsCluster() || !settings.roles.broker));
  return CheckAdvertised("http", settings.listen_http, settings.advertise_http,
                         /*is_known=*/true);
}

std::vector<std::string> AdviceOn(const Settings& settings) {
  std::vector<std::string> advice;
  const size_t count = settings.controllers.size();
  if (count > 0 && count % 2 == 0) {
    advice.push_back("`controllers` names an even number of nodes: of " + std::to_string(count) +
                     " no more may fail than of " + std::to_string(count - 1) +
                     ", and a majority needs one more. Name an odd number");
  }
  for (const ControllerAddress& controller : settings.controllers) {
    if (controller.node != settings.node_id || !settings.advertise_internal.has_value() ||
        *settings.advertise_internal == controller.address)
      continue;
    advice.push_back("`controllers` says that this node is at " + controller.address.ToString() +
                     ", and advertise.internal " + settings.advertise_internal->ToString() +
                     ": nodes whose `controllers` name it connect to " +
                     controller.address.ToString() + ", others to " +
                     settings.advertise_internal->ToString() + ". Give both the same");
  }
  return advice;
}

Result<void> CheckSettings(const Settings& settings) {
  RETURN_IF_ERROR(CheckListeners(settings));
  RETURN_IF_ERROR(CheckQuorum(settings));
  const auto dirs = settings.LogDirs();
  if (std::set<std::string>(dirs.begin(), dirs.end()).size() != dirs.size()) {
    return Error(Reason::kInvalidConfig, "key \"log_dirs\": a folder is given twice");
  }
  if (std::find(dirs.begin(), dirs.end(), settings.data_dir) != dirs.end()) {
    return Error(Reason::kInvalidConfig, "key \"log_dirs\": " + settings.data_dir +
                                             " is the data directory: name a folder in it");
  }
  if (settings.produce_memory_bytes < settings.message_bytes_limit) {
    return Error(
        Reason::kInvalidConfig,
        "key \"produce_memory\": smaller than message_limit, so the largest batch never fits");
  }
  if (settings.fetch_memory_bytes < settings.message_bytes_limit) {
    return Error(
        Reason::kInvalidConfig,
        "key \"fetch_memory\": smaller than message_limit, so the largest batch never fits");
  }
  return {};
}

}  // namespace gregor
