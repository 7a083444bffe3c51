#ifndef GREGOR_NODE_SETTING_FLAGS_H_
#define GREGOR_NODE_SETTING_FLAGS_H_

#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "node/settings.h"

namespace gregor {

// The settings of a command line: --config FILE and a flag for each setting. Flags win over the
// file. Thread: main.
class SettingFlags {
 public:
  // Adds them to `command`. REQUIRES: this outlives it.
  void AddTo(CLI::App& command);
  // What was given, checked as a whole. Fails with kInvalidConfig, naming file and line or the
  // flag.
  Result<Settings> MakeSettings() const;

 private:
  std::string FormatCommand() const;

  std::string config_file_;
  std::vector<std::pair<std::string, std::string>> values_;  // by setting, in their order
};

}  // namespace gregor

#endif  // GREGOR_NODE_SETTING_FLAGS_H_
