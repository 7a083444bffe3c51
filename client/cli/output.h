#ifndef GREGOR_CLIENT_CLI_OUTPUT_H_
#define GREGOR_CLIENT_CLI_OUTPUT_H_

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "client/cli/commands.h"

namespace gregor {

using Json = nlohmann::ordered_json;

// Rows under headings, each column as wide as its widest cell; nothing but the headings where there
// are no rows.
void PrintTable(const std::vector<std::string>& headings,
                const std::vector<std::vector<std::string>>& rows);

// A list of objects: as a JSON array, or as a table of the named members (members that are missing
// are shown as "-").
void PrintList(const GlobalOptions& global, const Json& list,
               const std::vector<std::string>& members);
// One object: as JSON, or a line for each member.
void PrintObject(const GlobalOptions& global, const Json& object);
// JSON as text; bytes that are no UTF-8 are replaced.
std::string Dump(const Json& json, int indent = -1);

// Runs `command` when `app` was given, and turns its error into a line on stderr and the exit code.
void OnLocalCommand(CLI::App& app, GlobalOptions& global, std::function<Result<void>()> command);
// The same of one that talks to a server: global.server is then its address.
void OnCommand(CLI::App& app, GlobalOptions& global, std::function<Result<void>()> command);
// What to exit with after `error`.
int ExitCodeOf(const Error& error);
// The error on stderr, and what to do about it where that is known and wanted.
void PrintError(const Error& error, bool with_advice = true);
// Ends a command's help with examples, one a line.
void AddExamples(CLI::App& command, const std::vector<std::string>& examples,
                 const std::string& remark = "");

// "k=v" into its parts. Fails with kInvalidArgument.
Result<std::pair<std::string, std::string>> SplitPair(const std::string& text);
// Several of them; a name may come again.
Result<std::vector<std::pair<std::string, std::string>>> SplitPairs(
    const std::vector<std::string>& texts);
// Several of them, each name once. Fails with kInvalidArgument.
Result<std::vector<std::pair<std::string, std::string>>> SplitConfigs(
    const std::vector<std::string>& texts);

// What was changed, as a line ("orders: retention.ms=-1") or as JSON; `of` names whose configs
// those are, for JSON by a member, {"topic", "orders"}.
void PrintChangedConfigs(const GlobalOptions& global, const Json& of, const std::string& name,
                         const std::vector<std::pair<std::string, std::string>>& set,
                         const std::vector<std::string>& unset);

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_OUTPUT_H_
