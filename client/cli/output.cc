#include "client/cli/output.h"

#include <algorithm>
#include <iostream>
#include <set>

#include "client/channel.h"
#include "client/cli/server_address.h"

namespace gregor {
namespace {

std::string CellOf(const Json& object, const std::string& member) {
  const auto found = object.find(member);
  if (found == object.end() || found->is_null()) return "-";
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) return Dump(*found);
  std::string text;
  for (const Json& item : *found)
    text += (text.empty() ? "" : ",") + (item.is_string() ? item.get<std::string>() : Dump(item));
  return text.empty() ? "-" : text;
}

std::string Upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return c == '_' ? ' ' : std::toupper(c); });
  return text;
}

}  // namespace

void PrintTable(const std::vector<std::string>& headings,
                const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const std::string& heading : headings) widths.push_back(heading.size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  const auto print = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line += std::string(widths[i] - row[i].size() + 2, ' ');
    }
    std::cout << line << "\n";
  };
  print(headings);
  for (const auto& row : rows) print(row);
}

void PrintList(const GlobalOptions& global, const Json& list,
               const std::vector<std::string>& members) {
  if (global.output == "json") {
    std::cout << Dump(list, 2) << std::endl;
    return;
  }
  std::vector<std::string> headings;
  for (const std::string& member : members) headings.push_back(Upper(member));
  std::vector<std::vector<std::string>> rows;
  for (const Json& object : list) {
    auto& row = rows.emplace_back();
    for (const std::string& member : members) row.push_back(CellOf(object, member));
  }
  PrintTable(headings, rows);
}

void PrintObject(const GlobalOptions& global, const Json& object) {
  if (global.output == "json") {
    std::cout << Dump(object, 2) << std::endl;
    return;
  }
  size_t width = 0;
  for (const auto& [name, value] : object.items()) width = std::max(width, name.size());
  for (const auto& [name, value] : object.items()) {
    std::string shown = name;
    std::replace(shown.begin(), shown.end(), '_', ' ');
    std::cout << shown << ":" << std::string(width - name.size() + 1, ' ') << CellOf(object, name)
              << "\n";
  }
}

std::string Dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

int ExitCodeOf(const Error& error) {
  return error.reason == Reason::kInvalidArgument ? kExitUsage : kExitFailed;
}

void PrintError(const Error& error, bool with_advice) {
  std::cout.flush();
  std::cerr << "gregor: " << error.message;
  if (error.reason != Reason::kUnspecified && !IsUnreachable(error))
    std::cerr << " [" << ReasonName(error.reason) << "]";
  std::cerr << "\n";
  if (!with_advice) return;
  if (!DetailOf(error, "other_listener").empty()) {
    // A server runs, and the message says what to do.
  } else if (IsUnreachable(error)) {
    std::cerr
        << "Start a server with `gregor server` (or `./dev start` in a checkout), or say where "
           "one is with --server HOST:PORT or GREGOR_SERVER.\n";
  } else if (error.reason == Reason::kTopicNotFound) {
    std::cerr
        << "`gregor topic list` shows what there is, `gregor topic create NAME` creates one.\n";
  }
  std::cerr.flush();
}

void AddExamples(CLI::App& command, const std::vector<std::string>& examples,
                 const std::string& remark) {
  std::string text;
  if (!remark.empty()) text += remark + "\n\n";
  text += examples.size() == 1 ? "Example:" : "Examples:";
  for (const std::string& example : examples) text += "\n  " + example;
  text += "\n\nExit codes: 0 done, 1 refused or failed, 2 bad arguments.";
  command.footer(text);
}

void OnLocalCommand(CLI::App& app, GlobalOptions& global, std::function<Result<void>()> command) {
  app.callback([&global, command = std::move(command)] {
    const auto result = command();
    std::cout.flush();
    if (result.ok()) return;
    PrintError(result.error());
    global.exit_code = ExitCodeOf(result.error());
  });
}

void OnCommand(CLI::App& app, GlobalOptions& global, std::function<Result<void>()> command) {
  global.remote_commands.push_back(&app);
  OnLocalCommand(app, global, [&global, command = std::move(command)]() -> Result<void> {
    ASSIGN_OR_RETURN(global.server, ChooseServer(global.server));
    return command();
  });
}

Result<std::pair<std::string, std::string>> SplitPair(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return Error(Reason::kInvalidArgument, "\"" + text + "\" is not of the form name=value");
  }
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

Result<std::vector<std::pair<std::string, std::string>>> SplitPairs(
    const std::vector<std::string>& texts) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(auto pair, SplitPair(text));
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

Result<std::vector<std::pair<std::string, std::string>>> SplitConfigs(
    const std::vector<std::string>& texts) {
  ASSIGN_OR_RETURN(auto pairs, SplitPairs(texts));
  std::set<std::string> names;
  for (const auto& [name, value] : pairs) {
    if (!names.insert(name).second)
      return Error(Reason::kInvalidArgument, name + " is given twice");
  }
  return pairs;
}

void PrintChangedConfigs(const GlobalOptions& global, const Json& of, const std::string& name,
                         const std::vector<std::pair<std::string, std::string>>& set,
                         const std::vector<std::string>& unset) {
  if (global.output == "json") {
    Json json = of;
    json["result"] = "changed";
    json["set"] = Json::object();
    for (const auto& [config, value] : set) json["set"][config] = value;
    json["unset"] = unset;
    std::cout << Dump(json, 2) << std::endl;
    return;
  }
  std::string text;
  for (const auto& [config, value] : set) text += (text.empty() ? "" : ", ") + config + "=" + value;
  for (const std::string& config : unset)
    text += (text.empty() ? "" : ", ") + config + " is the default again";
  std::cout << name << ": " << text << "\n";
}

}  // namespace gregor
