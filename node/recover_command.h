#ifndef GREGOR_NODE_RECOVER_COMMAND_H_
#define GREGOR_NODE_RECOVER_COMMAND_H_

#include <CLI/CLI.hpp>
#include <string>

namespace gregor {

// Adds `gregor quorum recover`, which makes a stopped controller the only voter where a majority is
// lost for ever. `exit_code` as with the other offline commands. Thread: main.
void AddRecoverCommand(CLI::App& app, const std::string& output_format, int& exit_code);

}  // namespace gregor

#endif  // GREGOR_NODE_RECOVER_COMMAND_H_
