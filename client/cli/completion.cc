#include <iostream>
#include <string>

#include "client/cli/commands.h"

namespace gregor {
namespace {

// The words that may follow each command, by path, as cases of a shell's `case`.
void CollectWords(const CLI::App& app, const std::string& path, const std::string& inherited,
                  std::string& cases) {
  std::string options = inherited;
  for (const CLI::Option* const option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) options += "--" + name + " ";
  }
  std::string words = options;
  for (const CLI::App* const command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name().empty()) continue;
    words += command->get_name() + " ";
    // Options of the whole program may stand behind the subcommand, too.
    CollectWords(*command, path + " " + command->get_name(),
                 path == "gregor" ? "--server --output " : inherited, cases);
  }
  cases += "    \"" + path + "\") echo \"" + words + "\" ;;\n";
}

// One function serves both shells: zsh runs bash's completions after bashcompinit.
void PrintScript(const CLI::App& app, const std::string& shell) {
  std::string cases;
  CollectWords(app, "gregor", "", cases);
  std::cout << "# completion of gregor; load it with: source <(gregor completion " << shell
            << ")\n";
  if (shell == "zsh") std::cout << "autoload -U +X bashcompinit && bashcompinit\n";
  std::cout << "_gregor_words() {\n"
               "  case $1 in\n"
            << cases
            << "    *) return 1 ;;\n"
               "  esac\n"
               "}\n"
               "_gregor() {\n"
               "  local path=gregor word\n"
               "  for word in \"${COMP_WORDS[@]:1:$((COMP_CWORD-1))}\"; do\n"
               "    _gregor_words \"$path $word\" > /dev/null && path+=\" $word\"\n"
               "  done\n"
               "  COMPREPLY=( $(compgen -W \"$(_gregor_words \"$path\")\" -- "
               "\"${COMP_WORDS[COMP_CWORD]}\") )\n"
               "}\n"
               "complete -o default -F _gregor gregor\n";
}

}  // namespace

void AddCompletionCommand(CLI::App& app) {
  CLI::App* const completion =
      app.add_subcommand("completion", "Print a script that completes command lines in a shell");
  completion->require_subcommand(1);
  for (const std::string shell : {"bash", "zsh"}) {
    completion
        ->add_subcommand(shell, "For " + shell + ": source <(gregor completion " + shell + ")")
        ->callback([&app, shell] { PrintScript(app, shell); });
  }
}

}  // namespace gregor
