#include "node/server_command.h"

#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/check.h"
#include "node/node.h"
#include "node/process.h"
#include "node/settings.h"

namespace gregor {
namespace {

constexpr int kUsageError = 2;

// What was given on the command line, in its order: flags win over the file.
struct ServerFlags {
  std::string config_file;
  std::vector<std::pair<std::string, std::string>> values;
};

Result<Settings> MakeSettings(const ServerFlags& flags) {
  Settings settings;
  if (!flags.config_file.empty()) RETURN_IF_ERROR(LoadSettingsFile(flags.config_file, settings));
  for (const auto& [name, value] : flags.values) {
    const auto applied = ApplySetting(settings, name, value);
    if (!applied.ok()) {
      return Error(Reason::kInvalidConfig,
                   FindSetting(name)->Flag() + ": " + applied.error().message);
    }
  }
  RETURN_IF_ERROR(CheckSettings(settings));
  return settings;
}

int Fail(const Error& error, int code) {
  std::cerr << "gregor: " << error.message << std::endl;
  return code;
}

int RunServer(const ServerFlags& flags) {
  auto settings = MakeSettings(flags);
  if (!settings.ok()) return Fail(settings.error(), kUsageError);
  BlockStopSignals();
  const uint64_t open_files = RaiseOpenFileLimit();
  const auto wanted =
      static_cast<uint64_t>(settings->open_files_max) * settings->LogDirs().size() + 256;
  LOG_IF(WARNING, open_files < wanted)
      << "At most " << open_files << " open files are allowed, " << wanted
      << " wanted by open_files_max: raise the limit (ulimit -n)";
  const Duration timeout = settings->shutdown_timeout;
  auto node = Node::Start(std::move(*settings));
  if (!node.ok()) return Fail(node.error(), 1);
  std::cout << "gregor ready grpc=" << (*node)->grpc().ToString()
            << " http=" << (*node)->http().ToString() << std::endl;
  const int signal_number = WaitForStopSignal();
  LOG(INFO) << "Stopping on signal " << signal_number;
  (*node)->Stop(timeout);
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

}  // namespace

void AddServerCommands(CLI::App& app, const std::string& output_format, int& exit_code) {
  auto flags = std::make_shared<ServerFlags>();
  CLI::App* const server =
      app.add_subcommand("server", "Run a node: broker and controller in one process");
  server->add_option("--config", flags->config_file, "Settings file (YAML); flags win over it")
      ->type_name("FILE");
  for (const SettingSpec& spec : SettingSpecs()) {
    const std::string name(spec.name);
    const std::string type = spec.unit.empty() ? "VALUE" : std::string(spec.unit);
    server
        ->add_option_function<std::string>(
            spec.Flag(),
            [flags, name](const std::string& value) { flags->values.emplace_back(name, value); },
            std::string(spec.documentation))
        ->type_name(type)
        ->default_str(std::string(spec.default_value));
  }
  server->footer(
      "Once it serves it prints one line to stdout: gregor ready grpc=HOST:PORT http=HOST:PORT\n"
      "SIGTERM and SIGINT stop it cleanly. With no --config and an empty data directory it formats "
      "itself as a single node.\n"
      "Exit codes: 0 stopped cleanly, 1 could not start or stop, 2 bad settings.");
  server->callback([flags, &exit_code] { exit_code = RunServer(*flags); });

  CLI::App* const settings = app.add_subcommand(
      "settings", "List the settings of a node, with units, ranges and defaults");
  settings->callback([&output_format] { PrintSettings(output_format); });
}

}  // namespace gregor
