#include <re2/re2.h>
#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/admin.h"
#include "client/cli/commands.h"
#include "client/cli/server_address.h"

namespace gregor {
namespace {

// Whoever presses a key does not wait for longer.
constexpr Duration kAnswerTimeout = std::chrono::milliseconds(700);

// --- the script ---

// What may stand for the value of an option or an argument: words, or "@KIND" for what `gregor
// completion words KIND` prints; empty: nobody knows.
std::string ValuesOf(const CLI::Option& option, const std::string& path) {
  std::string choices;
  if (RE2::PartialMatch(option.get_type_name(), R"(\{([^{}]*)\}$)", &choices)) {
    std::ranges::replace(choices, ',', ' ');
    return choices;
  }
  const std::string name = option.get_name();
  const bool of_topic = path.starts_with("gregor topic ");
  if (name == "--topic") return path == "gregor bench admin" ? "" : "@topics";
  if (name == "TOPIC") return "@topics";
  if (name == "BROKER") return "@brokers";
  if (name == "NAME") return of_topic && path != "gregor topic create" ? "@topics" : "";
  if (name == "KEY") return "@configs";
  if (name == "NAME=VALUE") return "@assignments";
  if (name == "--config" && of_topic) return "@topic-assignments";
  if (name == "--from") return "beginning end";
  if (name == "--format" && path == "gregor consume") return "json raw";
  if (name == "--unset") return of_topic ? "@topic-configs" : "@configs";
  return "";
}

// What a pattern stands for, in the order in which they are to be tried.
using Cases = std::vector<std::pair<std::string, std::string>>;
struct Tables {
  Cases words;   // path of a command: what may follow it
  Cases values;  // path and option: what may be its value
};

bool IsShown(const CLI::App& command) {
  return !command.get_name().empty() && !command.get_group().empty();
}

std::string CommandsOf(const CLI::App& app) {
  std::string names;
  for (const CLI::App* const command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (IsShown(*command)) names += command->get_name() + " ";
  }
  return names;
}

void CollectCases(const CLI::App& app, const std::string& path, const std::string& inherited,
                  Tables& tables) {
  std::string words = inherited;
  if (path == "gregor help") words += CommandsOf(*app.get_parent());
  for (const CLI::Option* const option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
    const std::string values = ValuesOf(*option, path);
    if (option->get_positional()) {
      if (!values.empty()) words += values + " ";
    } else if (option->get_type_size() > 0) {
      // Options of the whole program may stand behind the subcommand, too.
      const std::string at = path == "gregor" ? "gregor* " : path + " ";
      for (const std::string& name : option->get_lnames())
        tables.values.emplace_back(at + "--" + name, values);
    }
  }
  words += CommandsOf(app);
  for (const CLI::App* const command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!IsShown(*command)) continue;
    CollectCases(*command, path + " " + command->get_name(),
                 path == "gregor" ? "--server --output " : inherited, tables);
  }
  tables.words.emplace_back(path, words);
}

constexpr char kBashFunctions[] = R"script(
# The program that the command line names. An alias is not expanded where it is a variable's value.
_gregor_run() {
  local program=${COMP_WORDS[0]}
  if [[ -n ${BASH_VERSION:-} && -n ${BASH_ALIASES[$program]:-} ]]; then
    eval "${BASH_ALIASES[$program]} \"\$@\""
  else
    "${program/#\~/$HOME}" "$@"
  fi
}
# Words as they are, and for @KIND what the server knows; nothing where no server answers.
_gregor_expand() {
  local word server=()
  case $COMP_LINE in
    *--server[=\ ]*)
      word=${COMP_LINE#*--server[=\ ]}
      server=(--server "${word%% *}")
      ;;
  esac
  for word in $1; do
    case $word in
      @*)
        [[ $2 == -* ]] || _gregor_run "${server[@]}" completion words "${word#@}" "$2" 2> /dev/null
        ;;
      *) echo "$word" ;;
    esac
  done
}
# zsh knows variables of its own by names like path and words; none of them may be used here.
_gregor() {
  local command=gregor word known
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
  for word in "${COMP_WORDS[@]:1:$((COMP_CWORD-1))}"; do
    _gregor_words "$command $word" > /dev/null && command+=" $word"
  done
  COMPREPLY=()
  # --option=value comes as three words.
  if [[ $current == = ]]; then
    current=
  elif [[ $previous == = ]]; then
    previous=${COMP_WORDS[COMP_CWORD-2]}
    [[ $previous == --* ]] || return 0
  fi
  # Where an option wants a value that nobody knows, the shell offers files.
  known=$(_gregor_values "$command $previous") || known=$(_gregor_words "$command")
  COMPREPLY=( $(compgen -W "$(_gregor_expand "$known" "$current")" -- "$current") )
  [[ ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2> /dev/null || true
}
complete -o default -F _gregor gregor
)script";

constexpr char kZshSetUp[] =
    "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i; }\n"
    "autoload -Uz +X bashcompinit && bashcompinit\n";

constexpr char kFishFunctions[] = R"script(
function __gregor_complete
    set -l tokens (commandline -opc)
    set -l current (commandline -ct)
    set -l at gregor
    set -l server
    for i in (seq 2 (count $tokens))
        __gregor_words "$at $tokens[$i]" >/dev/null; and set at "$at $tokens[$i]"
        switch $tokens[$i]
            case '--server=*'
                set server $tokens[$i]
            case --server
                test $i -lt (count $tokens); and set server $tokens[$i..(math $i + 1)]
        end
    end
    set -l before ''
    set -l previous $tokens[-1]
    if string match -q -- '--*=*' "$current"
        set -l parts (string split -m 1 = -- $current)
        set previous $parts[1]
        set current $parts[2]
        set before "$previous="
    end
    set -l words (__gregor_values "$at $previous")
    if test $status -ne 0
        set words (__gregor_words $at)
    else if test -z "$words"
        # An option wants a value that nobody knows: files.
        __fish_complete_path "$current"
        return
    end
    # Words as they are, and for @KIND what the server knows; nothing where no server answers.
    for word in (string split -n ' ' -- "$words")
        if not string match -q '@*' -- $word
            echo -- $before$word
        else if not string match -q -- '-*' "$current"
            set -l kind (string sub -s 2 -- $word)
            for name in ($tokens[1] $server completion words $kind "$current" 2>/dev/null)
                echo -- $before$name
            end
        end
    end
end
complete -c gregor -f -a '(__gregor_complete)'
)script";

void PrintBashTable(const char* name, const Cases& cases) {
  std::cout << name << "() {\n  case $1 in\n";
  for (const auto& [pattern, words] : cases) {
    std::string quoted = pattern;
    RE2::GlobalReplace(&quoted, R"(\*)", "\"*\"");
    std::cout << "    \"" << quoted << "\") echo \"" << words << "\" ;;\n";
  }
  std::cout << "    *) return 1 ;;\n  esac\n}\n";
}

void PrintFishTable(const char* name, const Cases& cases) {
  std::cout << "function " << name << "\n    switch $argv[1]\n";
  for (const auto& [pattern, words] : cases)
    std::cout << "        case '" << pattern << "'\n            echo '" << words << "'\n";
  std::cout << "        case '*'\n            return 1\n    end\nend\n";
}

// How a shell reads the script.
std::string LoadCommand(const std::string& shell) {
  const std::string print = "gregor completion " + shell;
  return shell == "fish" ? print + " | source" : "source <(" + print + ")";
}

// One function serves bash and zsh, which runs bash's completions after bashcompinit.
void PrintScript(const CLI::App& app, const std::string& shell) {
  Tables tables;
  CollectCases(app, "gregor", "", tables);
  std::cout << "# completion of gregor; load it with: " << LoadCommand(shell) << "\n";
  if (shell == "fish") {
    PrintFishTable("__gregor_words", tables.words);
    PrintFishTable("__gregor_values", tables.values);
    std::cout << kFishFunctions + 1;
    return;
  }
  if (shell == "zsh") std::cout << kZshSetUp;
  PrintBashTable("_gregor_words", tables.words);
  PrintBashTable("_gregor_values", tables.values);
  std::cout << kBashFunctions + 1;
}

// --- what the server knows ---

Result<void> PrintConfigNames(const Admin& admin, v1::ConfigResource::Type type,
                              const char* suffix) {
  v1::ConfigResource resource;
  resource.set_type(type);
  ASSIGN_OR_RETURN(const auto entries, admin.DescribeConfigs(resource, {}, false));
  for (const v1::ConfigEntry& entry : entries) {
    if (!entry.read_only()) std::cout << entry.name() << suffix << "\n";
  }
  return {};
}

// Silent on errors: there is nobody to tell.
Result<void> PrintWords(const GlobalOptions& global, const std::string& kind,
                        const std::string& prefix) {
  ASSIGN_OR_RETURN(const std::string server, ChooseServer(global.server));
  const Admin admin(server, kAnswerTimeout);
  if (kind == "topics") {
    ASSIGN_OR_RETURN(const auto topics, admin.ListTopics(prefix));
    for (const auto& topic : topics) std::cout << topic.topic() << "\n";
    return {};
  }
  if (kind == "brokers") {
    ASSIGN_OR_RETURN(const auto cluster, admin.DescribeCluster());
    for (const auto& broker : cluster.brokers()) std::cout << broker.broker_id() << "\n";
    return {};
  }
  const char* const suffix = kind.ends_with("assignments") ? "=" : "";
  RETURN_IF_ERROR(PrintConfigNames(admin, v1::ConfigResource::TYPE_TOPIC, suffix));
  if (kind.starts_with("topic-")) return {};
  return PrintConfigNames(admin, v1::ConfigResource::TYPE_BROKER, suffix);
}

}  // namespace

void AddCompletionCommand(CLI::App& app, GlobalOptions& global) {
  CLI::App* const completion =
      app.add_subcommand("completion", "Print a script that completes command lines in a shell");
  completion->require_subcommand(1);
  for (const std::string shell : {"bash", "zsh", "fish"}) {
    completion->add_subcommand(shell, "For " + shell + ": " + LoadCommand(shell))
        ->callback([&app, shell] { PrintScript(app, shell); });
  }
  // For the script.
  CLI::App* const words = completion->add_subcommand("words", "Print names that a server knows");
  words->group("");
  const auto kind = std::make_shared<std::string>();
  const auto prefix = std::make_shared<std::string>();
  words
      ->add_option("KIND", *kind,
                   "topics, brokers, topic-configs, configs, topic-assignments, or assignments")
      ->required();
  words->add_option("PREFIX", *prefix, "Only topics that begin so");
  words->callback([&global, kind, prefix] { (void)PrintWords(global, *kind, *prefix); });
}

}  // namespace gregor
