#ifndef GREGOR_CLIENT_CLI_COMMANDS_H_
#define GREGOR_CLIENT_CLI_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <string>

namespace gregor {

// What may stand before any subcommand.
struct GlobalOptions {
  std::string server;            // as --server has it; while OnCommand() runs one, never empty
  std::string output = "table";  // or "json"
  int exit_code = 0;             // of the command that ran
  std::vector<CLI::App*> remote_commands = {};  // that ask a server
};

// Exit codes, for scripts.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // refused, not found, or no server answered
inline constexpr int kExitUsage = 2;   // bad arguments
// Whoever read stdout is gone; what a shell says of a program that SIGPIPE ended.
inline constexpr int kExitUnread = 141;

// Adds the commands that talk to a server. They run when the command line is parsed. Thread: main.
void AddClientCommands(CLI::App& app, GlobalOptions& global);

// Its parts.
void AddTopicCommands(CLI::App& app, GlobalOptions& global);
void AddPartitionCommands(CLI::App& app, GlobalOptions& global);
void AddConfigCommands(CLI::App& app, GlobalOptions& global);
void AddClusterCommands(CLI::App& app, GlobalOptions& global);
void AddQuorumCommands(CLI::App& app, GlobalOptions& global);
void AddBrokerCommands(CLI::App& app, GlobalOptions& global);
void AddAclCommands(CLI::App& app, GlobalOptions& global);
void AddUserCommands(CLI::App& app, GlobalOptions& global);
void AddQuotaCommands(CLI::App& app, GlobalOptions& global);
void AddProduceCommand(CLI::App& app, GlobalOptions& global);
void AddConsumeCommand(CLI::App& app, GlobalOptions& global);
void AddBenchCommands(CLI::App& app, GlobalOptions& global);
// Prints what a shell needs to complete the command lines of `app`, which is complete by then.
void AddCompletionCommand(CLI::App& app, GlobalOptions& global);

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_COMMANDS_H_
