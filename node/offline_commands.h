#ifndef GREGOR_NODE_OFFLINE_COMMANDS_H_
#define GREGOR_NODE_OFFLINE_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <string>

namespace gregor {

// Adds the commands that work on a stopped node's files: `gregor log dump|verify`, `gregor metadata
// dump|at|diff`, `gregor quorum recover`, and `gregor cluster new-id|format`, which prepares them.
// They run when the command line is parsed; `exit_code` gets the result: 0 fine, 1 damaged or not
// readable.
// Thread: main.
void AddOfflineCommands(CLI::App& app, const std::string& output_format, int& exit_code);

}  // namespace gregor

#endif  // GREGOR_NODE_OFFLINE_COMMANDS_H_
