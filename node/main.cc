// The `gregor` command: server, client and offline tools in one binary.
#include <absl/synchronization/mutex.h>
#include <fcntl.h>
#include <glog/logging.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
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

namespace {

int Parse(CLI::App& app, int argc, char** argv, const int& exit_code) {
  if (argc == 1) {
    std::cout << app.help();
    return gregor::kExitUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : gregor::kExitUsage;
  }
  return exit_code;
}

// What was done is of no use to a script that did not get the answer: `code`, or that of a failure
// where stdout was not taken.
int WithOutput(int code) {
  errno = 0;
  std::cout.flush();
  const bool written = std::cout.good() && std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  if (written || code != 0) return code;
  if (errno == EPIPE) return gregor::kExitUnread;
  std::cerr << "gregor: stdout cannot be written"
            << (errno != 0 ? std::string(": ") + std::strerror(errno) : "") << std::endl;
  return gregor::kExitFailed;
}

// A file of ours must not get the number of a standard one that is closed. What takes its place
// fails where it is used, as a closed one would. Before what is linked in begins, and opens files,
// too.
[[gnu::constructor(101)]] void HoldStandardFiles() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) == -1) (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

}  // namespace

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
  const int code = Parse(app, argc, argv, global.exit_code);
  return app.got_subcommand("server") ? code : WithOutput(code);
}
