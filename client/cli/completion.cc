#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <string>

#include "client/admin.h"
#include "client/cli/commands.h"

namespace gregor {
namespace {

// Whoever presses a key does not wait for longer.
constexpr Duration kAnswerTimeout = std::chrono::milliseconds(700);

// --- the script ---

// What may stand for the value of an option or an argument: words, or "@KIND" for what `gregor
// completion words KIND` prints; empty: nobody knows.
std::string ValuesOf(const CLI::Option& option, const std::string& path) {
  static const std::regex kChoices(R"(\{([^{}]*)\}$)");
  const std::string type = option.get_type_name();
  std::smatch found;
  if (std::regex_search(type, found, kChoices))
    return std::regex_replace(found[1].str(), std::regex(","), " ");
  const std::string name = option.get_name();
  const bool of_topic = path.starts_with("gregor topic ");
  if (name == "--topic") return path == "gregor bench admin" ? "" : "@topics";
  if (name == "TOPIC") return "@topics";
  if (name == "NAME") return of_topic && path != "gregor topic create" ? "@topics" : "";
  if (name == "KEY") return "@configs";
  if (name == "NAME=VALUE") return "@assignments";
  if (name == "--config" && of_topic) return "@topic-assignments";
  if (name == "--unset") return of_topic ? "@topic-configs" : "@configs";
  return "";
}

// Cases of a shell's `case`, by the path of a command.
struct Cases {
  std::string words;   // path: what may follow it
  std::string values;  // path and option: what may be its value
};

void CollectCases(const CLI::App& app, const std::string& path, const std::string& inherited,
                  Cases& cases) {
  std::string words = inherited;
  for (const CLI::Option* const option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
    const std::string values = ValuesOf(*option, path);
    if (option->get_positional()) {
      if (!values.empty()) words += values + " ";
    } else if (option->get_type_size() > 0) {
      // Options of the whole program may stand behind the subcommand, too.
      const std::string at = path == "gregor" ? "gregor\"*\" " : path + " ";
      for (const std::string& name : option->get_lnames())
        cases.values += "    \"" + at + "--" + name + "\") echo \"" + values + "\" ;;\n";
    }
  }
  for (const CLI::App* const command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name().empty() || command->get_group().empty()) continue;
    words += command->get_name() + " ";
    CollectCases(*command, path + " " + command->get_name(),
                 path == "gregor" ? "--server --output " : inherited, cases);
  }
  cases.words += "    \"" + path + "\") echo \"" + words + "\" ;;\n";
}

constexpr char kFunctions[] = R"script(
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
        [[ $2 == -* ]] || "${COMP_WORDS[0]/#\~/$HOME}" "${server[@]}" completion words \
          "${word#@}" "$2" 2> /dev/null
        ;;
      *) echo "$word" ;;
    esac
  done
}
_gregor() {
  local path=gregor word words
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
  for word in "${COMP_WORDS[@]:1:$((COMP_CWORD-1))}"; do
    _gregor_words "$path $word" > /dev/null && path+=" $word"
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
  words=$(_gregor_values "$path $previous") || words=$(_gregor_words "$path")
  COMPREPLY=( $(compgen -W "$(_gregor_expand "$words" "$current")" -- "$current") )
  [[ ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2> /dev/null || true
}
complete -o default -F _gregor gregor
)script";

// One function serves both shells: zsh runs bash's completions after bashcompinit.
void PrintScript(const CLI::App& app, const std::string& shell) {
  Cases cases;
  CollectCases(app, "gregor", "", cases);
  std::cout << "# completion of gregor; load it with: source <(gregor completion " << shell
            << ")\n";
  if (shell == "zsh") std::cout << "autoload -U +X bashcompinit && bashcompinit\n";
  const auto print = [](const char* name, const std::string& list) {
    std::cout << name << "() {\n  case $1 in\n" << list << "    *) return 1 ;;\n  esac\n}\n";
  };
  print("_gregor_words", cases.words);
  print("_gregor_values", cases.values);
  std::cout << kFunctions + 1;
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
  const Admin admin(Channel::Connect(global.server), kAnswerTimeout);
  if (kind == "topics") {
    ASSIGN_OR_RETURN(const auto topics, admin.ListTopics(prefix));
    for (const auto& topic : topics) std::cout << topic.topic() << "\n";
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
  for (const std::string shell : {"bash", "zsh"}) {
    completion
        ->add_subcommand(shell, "For " + shell + ": source <(gregor completion " + shell + ")")
        ->callback([&app, shell] { PrintScript(app, shell); });
  }
  // For the script.
  CLI::App* const words = completion->add_subcommand("words", "Print names that a server knows");
  words->group("");
  const auto kind = std::make_shared<std::string>();
  const auto prefix = std::make_shared<std::string>();
  words
      ->add_option("KIND", *kind,
                   "topics, topic-configs, configs, topic-assignments, or assignments")
      ->required();
  words->add_option("PREFIX", *prefix, "Only topics that begin so");
  words->callback([&global, kind, prefix] { (void)PrintWords(global, *kind, *prefix); });
}

}  // namespace gregor
