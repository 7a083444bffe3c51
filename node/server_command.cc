#include "node/server_command.h"

#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/check.h"
#include "controller/image/topic_configs.h"
#include "node/node.h"
#include "node/process.h"
#include "node/setting_flags.h"

namespace gregor {
namespace {

constexpr int kUsageError = 2;

int Fail(const Error& error, int code) {
  std::cerr << "gregor: " << error.message << std::endl;
  return code;
}

int RunServer(const SettingFlags& flags) {
  auto settings = flags.MakeSettings();
  if (!settings.ok()) return Fail(settings.error(), kUsageError);
  if (const auto reachable = CheckReachable(*settings); !reachable.ok())
    return Fail(reachable.error(), kUsageError);
  for (const std::string& advice : AdviceOn(*settings)) LOG(WARNING) << advice;
  BlockStopSignals();
  const uint64_t open_files = RaiseOpenFileLimit();
  const auto wanted =
      static_cast<uint64_t>(settings->open_files_max) * settings->LogDirs().size() + 256;
  if (open_files < wanted) {
    // Half of them for logs, the rest for connections.
    settings->open_files_max =
        std::max<int64_t>(16, static_cast<int64_t>(open_files / 2 / settings->LogDirs().size()));
    LOG(WARNING) << "At most " << open_files << " open files are allowed, " << wanted
                 << " wanted by open_files_max, which is " << settings->open_files_max
                 << " now: raise the limit (ulimit -n, LimitNOFILE of systemd)";
  }
  const Duration timeout = settings->shutdown_timeout;
  const NodeId node_id = settings->node_id;
  auto node = Node::Start(std::move(*settings), IsStopSignalPending);
  if (!node.ok() && node.error().reason == Reason::kServerDraining) {
    LOG(INFO) << "Stopped before it served";
    return 0;
  }
  if (!node.ok()) return Fail(node.error(), 1);
  std::cout << "gregor ready grpc=" << (*node)->grpc().ToString()
            << " http=" << (*node)->http().ToString();
  if (const auto internal = (*node)->internal())
    std::cout << " internal=" << internal->ToString() << " node=" << node_id;
  std::cout << std::endl;
  const int signal_number = WaitForStopSignal();
  LOG(INFO) << "Stopping on signal " << signal_number;
  const auto failure = (*node)->failure();
  (*node)->Stop(timeout);
  node->reset();  // what it says comes before the last line
  if (failure.has_value()) {
    const Error stopped(failure->reason,
                        "stopped because the metadata log failed: " + failure->message);
    return Fail(stopped, 1);
  }
  LOG(INFO) << "Stopped cleanly";
  return 0;
}

void PrintSettings(const std::string& output_format) {
  if (output_format == "json") {
    auto all = nlohmann::ordered_json::array();
    for (const SettingSpec& spec : SettingSpecs()) {
      all.push_back({{"name", spec.name},
                     {"flag", spec.Flag()},
                     {"default", spec.default_value},
                     {"unit", spec.unit},
                     {"range", spec.range},
                     {"documentation", spec.documentation}});
    }
    std::cout << all.dump(2) << std::endl;
    return;
  }
  for (const SettingSpec& spec : SettingSpecs()) {
    std::cout << spec.name << "  (" << spec.Flag() << ")\n    " << spec.documentation
              << "\n    default: " << (spec.default_value.empty() ? "none" : spec.default_value);
    if (!spec.unit.empty()) std::cout << "; unit: " << spec.unit;
    if (!spec.range.empty()) std::cout << "; range: " << spec.range;
    std::cout << "\n";
  }
}

// What the setting `configs` takes.
void PrintConfigs(const std::string& output_format) {
  if (output_format == "json") {
    auto all = nlohmann::ordered_json::array();
    for (const ConfigSpec& spec : BrokerConfigSpecs()) {
      all.push_back({{"name", spec.name},
                     {"default", spec.default_value},
                     {"valid_values", spec.valid},
                     {"documentation", spec.documentation},
                     {"has_effect", spec.has_effect()}});
    }
    std::cout << all.dump(2) << std::endl;
    return;
  }
  for (const ConfigSpec& spec : BrokerConfigSpecs()) {
    std::cout << spec.name << "\n    " << spec.documentation
              << "\n    default: " << (spec.default_value.empty() ? "none" : spec.default_value);
    if (spec.has_effect()) {
      std::cout << "; valid: " << spec.valid << "\n";
    } else {
      std::cout << "; without effect in this version, which refuses other values\n";
    }
  }
}

}  // namespace

void AddServerCommands(CLI::App& app, const std::string& output_format, int& exit_code) {
  const auto flags = std::make_shared<SettingFlags>();
  CLI::App* const server =
      app.add_subcommand("server", "Run a node: broker and controller in one process");
  flags->AddTo(*server);
  server->footer(
      "Once it serves it prints one line to stdout: gregor ready grpc=HOST:PORT http=HOST:PORT\n"
      "which ends with internal=HOST:PORT node=ID in a cluster.\n"
      "SIGTERM, SIGINT and SIGHUP stop it cleanly. With neither --config nor other nodes in "
      "--controllers it formats an empty data directory as a single node's.\n"
      "Exit codes: 0 stopped cleanly, 1 could not start or stop, or its metadata log failed and "
      "others can mend it, 2 bad settings.");
  server->callback([flags, &exit_code] { exit_code = RunServer(*flags); });

  CLI::App* const settings = app.add_subcommand(
      "settings", "List the settings of a node, with units, ranges and defaults");
  const auto configs = std::make_shared<bool>(false);
  settings->add_flag("--configs", *configs,
                     "List the configs that the setting `configs` takes instead");
  settings->callback([configs, &output_format] {
    *configs ? PrintConfigs(output_format) : PrintSettings(output_format);
  });
}

}  // namespace gregor
