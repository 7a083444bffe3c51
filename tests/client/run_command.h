#ifndef GREGOR_TESTS_CLIENT_RUN_COMMAND_H_
#define GREGOR_TESTS_CLIENT_RUN_COMMAND_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "client/cli/commands.h"

namespace gregor {

struct Ran {
  int code = 0;
  std::string out;
  std::string err;
};

// Runs a command line as main() does.
inline Ran RunCommand(std::vector<std::string> arguments) {
  CLI::App app{"test", "gregor"};
  app.require_subcommand(1);
  app.fallthrough();
  GlobalOptions global;
  AddClientCommands(app, global);
  std::reverse(arguments.begin(), arguments.end());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Ran ran;
  try {
    app.parse(arguments);
    ran.code = global.exit_code;
  } catch (const CLI::ParseError& error) {
    ran.code = app.exit(error) == 0 ? 0 : kExitUsage;
  }
  ran.out = testing::internal::GetCapturedStdout();
  ran.err = testing::internal::GetCapturedStderr();
  return ran;
}

}  // namespace gregor

#endif  // GREGOR_TESTS_CLIENT_RUN_COMMAND_H_
