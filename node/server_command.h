#ifndef GREGOR_NODE_SERVER_COMMAND_H_
#define GREGOR_NODE_SERVER_COMMAND_H_

#include <CLI/CLI.hpp>

namespace gregor {

// Adds `gregor server` and `gregor settings`, which run when the command line is parsed.
// `exit_code` gets their result. Thread: main.
void AddServerCommands(CLI::App& app, const std::string& output_format, int& exit_code);

}  // namespace gregor

#endif  // GREGOR_NODE_SERVER_COMMAND_H_
