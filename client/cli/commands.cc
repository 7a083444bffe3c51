#include "client/cli/commands.h"

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>

#include "client/cli/output.h"

namespace gregor {
namespace {

// The words that may follow each command, by path, as a bash function.
void CollectWords(const CLI::App& app, const std::string& path, std::string& cases) {
  std::string words;
  for (const CLI::App* const command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name().empty()) continue;
    words += command->get_name() + " ";
    CollectWords(*command, path + " " + command->get_name(), cases);
  }
  for (const CLI::Option* const option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
  }
  cases += "    \"" + path + "\") words=\"" + words + "\" ;;\n";
}

void PrintBashCompletion(const CLI::App& app) {
  std::string cases;
  CollectWords(app, "gregor", cases);
  std::cout
      << "# bash completion of gregor; load it with: source <(gregor completion bash)\n"
         "_gregor() {\n"
         "  local path=gregor word words=\n"
         "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
         "    [[ $word == [a-z]* ]] && path+=\" $word\"\n"
         "  done\n"
         "  while :; do\n"
         "    case $path in\n"
      << cases
      << "    esac\n"
         "    [[ -n $words || $path != *' '* ]] && break\n"
         "    path=${path% *}  # an argument is no command\n"
         "  done\n"
         "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\")\n"
         "}\n"
         "complete -o default -F _gregor gregor\n";
}

}  // namespace

void AddClientCommands(CLI::App& app, GlobalOptions& global) {
  app.add_option("--server", global.server, "Address of a server's gRPC API")
      ->envname("GREGOR_SERVER")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  app.add_option("--output", global.output, "How results are printed")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  AddTopicCommands(app, global);
  AddConfigCommands(app, global);
  AddProduceCommand(app, global);
  AddConsumeCommand(app, global);
  AddClusterCommands(app, global);
  AddBenchCommands(app, global);
  CLI::App* const completion =
      app.add_subcommand("completion", "Print a shell's completion script");
  completion->require_subcommand(1);
  completion->add_subcommand("bash", "For bash: source <(gregor completion bash)")
      ->callback([&app] { PrintBashCompletion(app); });
}

}  // namespace gregor
