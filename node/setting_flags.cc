#include "node/setting_flags.h"

#include <algorithm>

namespace gregor {
namespace {

// As a shell takes it for one word.
std::string Quoted(const std::string& word) {
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("-_./:,@+[]").find(c) != std::string_view::npos;
  });
  if (plain) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

void SettingFlags::AddTo(CLI::App& command) {
  command.add_option("--config", config_file_, "Settings file (YAML); flags win over it")
      ->type_name("FILE");
  for (const SettingSpec& spec : SettingSpecs()) {
    const std::string name(spec.name);
    const std::string type = spec.unit.empty() ? "VALUE" : std::string(spec.unit);
    command
        .add_option_function<std::string>(
            spec.Flag(),
            [this, name](const std::string& value) { values_.emplace_back(name, value); },
            std::string(spec.documentation))
        ->type_name(type)
        ->default_str(std::string(spec.default_value));
  }
}

Result<Settings> SettingFlags::MakeSettings() const {
  Settings settings;
  if (!config_file_.empty()) RETURN_IF_ERROR(LoadSettingsFile(config_file_, settings));
  for (const auto& [name, value] : values_) {
    const SettingSpec& spec = *FindSetting(name);
    const auto applied = spec.set(settings, value);
    if (!applied.ok())
      return Error(Reason::kInvalidConfig, spec.Flag() + ": " + applied.error().message);
  }
  RETURN_IF_ERROR(CheckSettings(settings));
  // Of several nodes none makes a cluster of its own because its directory is empty.
  if (settings.HasOthers()) settings.must_be_formatted = true;
  settings.format_command = FormatCommand() + (settings.HasOthers() ? " --cluster-id ID" : "");
  settings.add_log_dir_command = FormatCommand() + " --add-log-dir";
  return settings;
}

// Formats what these settings name: with the flags that say what that is.
std::string SettingFlags::FormatCommand() const {
  std::string line = "gregor cluster format";
  if (!config_file_.empty()) line += " --config " + Quoted(config_file_);
  for (const auto& [name, value] : values_) {
    if (name == "node_id" || name == "data_dir" || name == "log_dirs")
      line += " " + FindSetting(name)->Flag() + " " + Quoted(value);
  }
  return line;
}

}  // namespace gregor
