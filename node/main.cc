// The `gregor` command: server, client and offline tools in one binary.
#include <absl/synchronization/mutex.h>
#include <glog/logging.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "client/cli/commands.h"
#include "node/build_info.h"
#include "node/build_info_json.h"
#include "node/cert_commands.h"
#include "node/offline_commands.h"
#include "node/server_command.h"

// jemalloc's settings: memory of a burst goes back to the system within seconds, also where nothing
// is allocated any more (which takes its background thread).
extern "C" {
const char* malloc_conf = "background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0,narenas:4";
}

int main(int argc, char** argv) {
  // Debian's Abseil looks for deadlocks at each lock of gRPC's: some percent of the CPU.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  google::InitGoogleLogging(argv[0]);
  FLAGS_logtostderr = true;
  CLI::App app{"Gregor, a streaming broker: run a node, manage topics, write and read records",
               "gregor"};
  app.require_subcommand(1);
  app.set_version_flag("--version", gregor::ShowBuildInfo(), "Print version and build");
  app.fallthrough();  // global options may stand before the subcommand, and after it
  app.footer(
      "Exit codes: 0 done, 1 refused or failed, 2 bad arguments.\n"
      "`gregor COMMAND --help` tells more about each command.");
  gregor::GlobalOptions global;
  gregor::AddClientCommands(app, global);
  gregor::AddServerCommands(app, global.output, global.exit_code);
  gregor::AddOfflineCommands(app, global.output, global.exit_code);
  gregor::AddCertCommands(app, global.output, global.exit_code);
  app.add_subcommand("version", "Print version and build, as --version does")->callback([&global] {
    std::cout << (global.output == "json" ? gregor::BuildInfoJson() : gregor::ShowBuildInfo())
              << "\n";
  });
  if (argc == 1) {
    std::cout << app.help();
    return gregor::kExitUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : gregor::kExitUsage;
  }
  return global.exit_code;
}
