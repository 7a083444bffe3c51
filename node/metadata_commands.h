#ifndef GREGOR_NODE_METADATA_COMMANDS_H_
#define GREGOR_NODE_METADATA_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <string>

namespace gregor {

// Adds `gregor metadata dump|at|diff`, which look at the metadata in a stopped node's files. As
// AddOfflineCommands() says. Thread: main.
void AddMetadataCommands(CLI::App& app, const std::string& output_format, int& exit_code);

}  // namespace gregor

#endif  // GREGOR_NODE_METADATA_COMMANDS_H_
