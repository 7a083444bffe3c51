#ifndef GREGOR_NODE_COMMAND_GROUP_H_
#define GREGOR_NODE_COMMAND_GROUP_H_

#include <CLI/CLI.hpp>
#include <string>

namespace gregor {

// The group of commands `gregor NAME ...`: the one that asks a running cluster, where that is there
// already, else a new one. Thread: main.
inline CLI::App* CommandGroup(CLI::App& app, const std::string& name, const std::string& text) {
  for (CLI::App* const command : app.get_subcommands([](CLI::App*) { return true; })) {
    if (command->get_name() == name) return command;
  }
  CLI::App* const group = app.add_subcommand(name, text);
  group->require_subcommand(1);
  return group;
}

}  // namespace gregor

#endif  // GREGOR_NODE_COMMAND_GROUP_H_
