#include "client/cli/commands.h"

#include "client/cli/help.h"

namespace gregor {

void AddClientCommands(CLI::App& app, GlobalOptions& global) {
  SetUpHelp(app);
  app.add_option("--server", global.server, "Address of a server's gRPC API")
      ->envname("GREGOR_SERVER")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  app.add_option("--output", global.output, "How results are printed: table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->type_name("FORMAT")
      ->capture_default_str();
  AddTopicCommands(app, global);
  AddConfigCommands(app, global);
  AddProduceCommand(app, global);
  AddConsumeCommand(app, global);
  AddClusterCommands(app, global);
  AddBenchCommands(app, global);
  AddCompletionCommand(app, global);
}

}  // namespace gregor
