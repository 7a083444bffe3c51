#include "client/cli/help.h"

#include <re2/re2.h>
#include <algorithm>
#include <cstdlib>
#include <iomanip>
#include <memory>
#include <sstream>
#include <utility>
#include <vector>

#include "base/edit_distance.h"
#include "client/cli/record_format.h"

namespace gregor {
namespace {

constexpr size_t kColumns = 90;
constexpr std::string_view kNotConverted = "Could not convert: ";
constexpr size_t kFirstColumn = 30;

// What CLI11 appends to a type's name for each check of its value: ":POSITIVE", ":INT in [1 - 5]".
std::string WithoutChecks(std::string type) {
  RE2::Replace(&type, R"(:(POSITIVE|NONNEGATIVE|NUMBER|\{.*\}|U?INT in .*|FLOAT in .*)$)", "");
  return type;
}

class HelpFormatter final : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(kFirstColumn); }

  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0) return "";
    const std::string type = WithoutChecks(option->get_type_name());
    std::string text = type.empty() ? "" : " " + type;
    if (option->get_expected_max() > 1 && option->get_positional()) text += " ...";
    return text;
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    std::string text = option->get_description();
    if (!option->get_default_str().empty()) text += " (default: " + option->get_default_str() + ")";
    return Wrap(text, kColumns - kFirstColumn);
  }
  std::string make_footer(const CLI::App* app) const override {
    const std::string footer = app->get_footer();
    return footer.empty() ? "" : Wrap(footer, kColumns) + "\n";
  }
};

// The command that a command line got to, "gregor topic create".
const CLI::App* DeepestParsed(const CLI::App* app, std::string* path) {
  *path = app->get_name();
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().back();
    *path += " " + app->get_name();
  }
  return app;
}

// "--before = soon" as a sentence.
std::string NotConverted(const std::string& what) {
  const size_t at = what.find(" = ");
  if (at == std::string::npos) return what + " is no value that it takes";
  return "\"" + what.substr(at + 3) + "\" is no value of " + what.substr(0, at);
}

// The option of `app` that the first of `arguments` that looks like one may have meant; empty: none
// is near.
std::string NearestOption(const CLI::App& app, const std::vector<std::string>& arguments) {
  constexpr size_t kFar = 3;
  const auto given = std::find_if(arguments.begin(), arguments.end(), [](const std::string& text) {
    return text.starts_with("--") && text.size() > 2;
  });
  if (given == arguments.end()) return "";
  const std::string name = given->substr(2, given->find('=') - 2);
  std::string nearest;
  size_t distance = kFar;
  for (const CLI::Option* const option : app.get_options()) {
    for (const std::string& known : option->get_lnames()) {
      const size_t to = EditDistance(name, known);
      if (to >= distance || to >= known.size()) continue;
      nearest = "--" + known;
      distance = to;
    }
  }
  return nearest;
}

std::string OnFailure(const CLI::App* root, const CLI::Error& error) {
  std::string path;
  const CLI::App* const app = DeepestParsed(root, &path);
  const auto commands = app->get_subcommands([](const CLI::App*) { return true; });
  const auto rest = root->remaining(true);
  const std::string what = error.what();
  const bool is_option = !rest.empty() && rest.front().starts_with('-');
  std::string text = "gregor: " + what + "\n";
  if (what.starts_with(kNotConverted)) {
    text = "gregor: " + NotConverted(what.substr(kNotConverted.size())) + "\n";
  } else if (!commands.empty() && !rest.empty() && !is_option) {
    text = "gregor: there is no command `" + path + " " + rest.front() + "`\n";
  } else if (!rest.empty() && (is_option || error.get_exit_code() ==
                                                static_cast<int>(CLI::ExitCodes::ExtrasError))) {
    // CLI11's own text has them from the last to the first.
    text = "gregor: `" + path + "` does not take:";
    for (const std::string& argument : rest) text += " " + argument;
    text += "\n";
    const std::string meant = NearestOption(*app, rest);
    if (!meant.empty()) text += "Did you mean " + meant + "?\n";
  }
  if (!commands.empty()) {
    text += "Commands of `" + path + "`:";
    for (const CLI::App* const command : commands) {
      if (!command->get_group().empty()) text += " " + command->get_name();  // else it is hidden
    }
    text += "\n";
  }
  return text + "`" + path + " --help` tells more.\n";
}

}  // namespace

CLI::Validator AtLeast(int64_t least) { return Between(least, INT64_MAX); }

CLI::Validator Between(int64_t least, int64_t most) {
  return CLI::Validator(
      [least, most](const std::string& text) -> std::string {
        int64_t value = 0;
        if (ParseWholeNumber(text, &value) && value >= least && value <= most) return "";
        return "\"" + text + "\" is no whole number " +
               (most == INT64_MAX
                    ? "of at least " + std::to_string(least)
                    : "from " + std::to_string(least) + " to " + std::to_string(most));
      },
      "");
}

CLI::Validator NumberBetween(double least, double most) {
  return CLI::Validator(
      [least, most](const std::string& text) -> std::string {
        char* end = nullptr;
        const double value = std::strtod(text.c_str(), &end);
        if (!text.empty() && *end == 0 && value >= least && value <= most) return "";
        std::ostringstream message;
        message << std::setprecision(15) << "\"" << text << "\" is no number from " << least
                << " to " << most;
        return message.str();
      },
      "");
}

CLI::Validator NotEmpty() {
  return CLI::Validator(
      [](const std::string& text) { return std::string(text.empty() ? "it is empty" : ""); }, "");
}

CLI::Validator Rewriting(std::function<Result<std::string>(const std::string&)> parse) {
  return CLI::Validator(
      [parse = std::move(parse)](std::string& text) -> std::string {
        auto parsed = parse(text);
        if (!parsed.ok()) return parsed.error().message;
        text = *std::move(parsed);
        return "";
      },
      "");
}

std::string Wrap(const std::string& text, size_t width) {
  std::string wrapped;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (begin > 0) wrapped += "\n";
    while (line.size() > width && line[0] != ' ') {
      size_t cut = line.rfind(' ', width);
      if (cut == std::string::npos) cut = line.find(' ');
      if (cut == std::string::npos) break;
      wrapped += line.substr(0, cut) + "\n";
      line.erase(0, cut + 1);
    }
    wrapped += line;
    begin = end + 1;
  }
  return wrapped;
}

void SetUpHelp(CLI::App& app) {
  app.formatter(std::make_shared<HelpFormatter>());
  app.failure_message(OnFailure);
}

}  // namespace gregor
