#include "client/cli/commands.h"

#include <iostream>
#include <memory>
#include <vector>

#include "client/cli/help.h"
#include "client/cli/output.h"
#include "client/cli/server_address.h"

namespace gregor {
namespace {

// `gregor help topic create` is `gregor topic create --help`.
Result<void> PrintHelp(const CLI::App& app, const std::vector<std::string>& names) {
  const CLI::App* at = &app;
  std::string path = app.get_name();
  for (const std::string& name : names) {
    path += " " + name;
    const auto commands =
        at->get_subcommands([&](const CLI::App* command) { return command->get_name() == name; });
    if (commands.empty())
      return Error(Reason::kInvalidArgument, "there is no command `" + path + "`");
    at = commands.front();
  }
  // App::help() would be that of the command that runs.
  std::cout << app.get_formatter()->make_help(at, path, CLI::AppFormatMode::Normal);
  return {};
}

void AddHelpCommand(CLI::App& app, GlobalOptions& global) {
  CLI::App* const help = app.add_subcommand("help", "Print the help of a command, as --help does");
  const auto names = std::make_shared<std::vector<std::string>>();
  help->add_option("COMMAND", *names, "Names of the command; none: what commands there are");
  AddExamples(*help, {"gregor help", "gregor help topic create"});
  OnLocalCommand(*help, global, [&app, names] { return PrintHelp(app, *names); });
}

}  // namespace

void AddClientCommands(CLI::App& app, GlobalOptions& global) {
  SetUpHelp(app);
  app.add_option("--server", global.server,
                 "Address of the gRPC API of a server of the cluster, or of several with commas "
                 "between: others are tried where one does not answer; a host alone: port 9094. "
                 "Without it $GREGOR_SERVER, if that is set")
      ->transform(Rewriting(ParseServerAddresses))
      ->type_name("HOST:PORT[,HOST:PORT...]")
      ->default_str(kDefaultServer);
  app.add_option("--output", global.output, "How results are printed: table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->type_name("FORMAT")
      ->capture_default_str();
  AddTopicCommands(app, global);
  AddPartitionCommands(app, global);
  AddConfigCommands(app, global);
  AddProduceCommand(app, global);
  AddConsumeCommand(app, global);
  AddClusterCommands(app, global);
  AddQuorumCommands(app, global);
  AddBrokerCommands(app, global);
  AddAclCommands(app, global);
  AddUserCommands(app, global);
  AddQuotaCommands(app, global);
  AddBenchCommands(app, global);
  for (CLI::App* const command : global.remote_commands) {
    command->footer(command->get_footer() +
                    "\n--server HOST:PORT and --output json may be given, too: `gregor --help`.");
  }
  AddCompletionCommand(app, global);
  AddHelpCommand(app, global);
}

}  // namespace gregor
