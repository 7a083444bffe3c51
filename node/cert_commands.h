#ifndef GREGOR_NODE_CERT_COMMANDS_H_
#define GREGOR_NODE_CERT_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <string>

namespace gregor {

// Adds `cert ca`, `cert node`, `cert server`, `cert client` and `cert show`: certificates for tests
// and small installations. Thread: main.
void AddCertCommands(CLI::App& app, const std::string& output_format, int& exit_code);

}  // namespace gregor

#endif  // GREGOR_NODE_CERT_COMMANDS_H_
