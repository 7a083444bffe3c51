#include <iostream>
#include <memory>

#include "client/admin.h"
#include "client/cli/brokers.h"
#include "client/cli/output.h"

namespace gregor {
namespace {

struct ConfigArguments {
  std::string topic;
  std::string broker;
  bool all_brokers = false;
  std::string key;
  std::vector<std::string> values;
  std::vector<std::string> unset;
  bool documentation = false;
  bool validate_only = false;
};

int ResourceCount(const ConfigArguments& arguments) {
  return (arguments.topic.empty() ? 0 : 1) + (arguments.broker.empty() ? 0 : 1) +
         (arguments.all_brokers ? 1 : 0);
}

Result<v1::ConfigResource> ResourceOf(const ConfigArguments& arguments) {
  if (ResourceCount(arguments) != 1)
    return Error(Reason::kInvalidArgument,
                 "give one of --topic NAME, --broker ID and --all-brokers");
  v1::ConfigResource resource;
  resource.set_type(arguments.topic.empty() ? v1::ConfigResource::TYPE_BROKER
                                            : v1::ConfigResource::TYPE_TOPIC);
  resource.set_name(arguments.topic.empty() ? arguments.broker : arguments.topic);
  return resource;
}

const char* SourceName(const v1::ConfigEntry& entry) {
  if (entry.read_only()) return "no effect yet";
  switch (entry.source()) {
    case v1::ConfigEntry::SOURCE_TOPIC:
      return "topic";
    case v1::ConfigEntry::SOURCE_BROKER_DYNAMIC:
      return "broker";
    case v1::ConfigEntry::SOURCE_CLUSTER_DYNAMIC:
      return "cluster";
    case v1::ConfigEntry::SOURCE_BROKER_STATIC:
      return "settings file";
    default:
      return "default";
  }
}

Result<std::vector<v1::ConfigEntry>> Ask(const GlobalOptions& global,
                                         const ConfigArguments& arguments) {
  ASSIGN_OR_RETURN(const v1::ConfigResource resource, ResourceOf(arguments));
  std::vector<std::string> keys;
  if (!arguments.key.empty()) keys.push_back(arguments.key);
  return Admin(global.server).DescribeConfigs(resource, keys, arguments.documentation);
}

Json DescribeEntry(const v1::ConfigEntry& entry, bool documentation) {
  Json row = {{"config", entry.name()},
              {"value", entry.has_value() ? Json(entry.value()) : Json(nullptr)},
              {"source", SourceName(entry)},
              {"read_only", entry.read_only()},
              {"type", entry.type()},
              {"default", entry.default_value()}};
  if (documentation) {
    row["valid_values"] = entry.valid_values();
    row["documentation"] = entry.documentation();
  }
  return row;
}

// All configs there are: what a new topic has, and the defaults of all brokers.
Result<Json> DescribeAll(const GlobalOptions& global, bool documentation) {
  const Admin admin(global.server);
  Json list = Json::array();
  for (const auto type : {v1::ConfigResource::TYPE_TOPIC, v1::ConfigResource::TYPE_BROKER}) {
    v1::ConfigResource resource;
    resource.set_type(type);
    ASSIGN_OR_RETURN(const auto entries, admin.DescribeConfigs(resource, {}, documentation));
    for (const v1::ConfigEntry& entry : entries) {
      Json row = {{"of", type == v1::ConfigResource::TYPE_TOPIC ? "topics" : "brokers"}};
      row.update(DescribeEntry(entry, documentation));
      list.push_back(row);
    }
  }
  return list;
}

Result<void> Describe(GlobalOptions& global, const ConfigArguments& arguments) {
  std::vector<std::string> members = {"config", "value", "source"};
  Json list = Json::array();
  if (ResourceCount(arguments) == 0) {
    members.insert(members.begin(), "of");
    ASSIGN_OR_RETURN(list, DescribeAll(global, arguments.documentation));
  } else {
    ASSIGN_OR_RETURN(const auto entries, Ask(global, arguments));
    for (const v1::ConfigEntry& entry : entries)
      list.push_back(DescribeEntry(entry, arguments.documentation));
  }
  if (arguments.documentation)
    members.insert(members.end(), {"type", "default", "valid_values", "documentation"});
  PrintList(global, list, members);
  return {};
}

Result<void> Get(GlobalOptions& global, const ConfigArguments& arguments) {
  ASSIGN_OR_RETURN(const auto entries, Ask(global, arguments));
  for (const v1::ConfigEntry& entry : entries) {
    if (entry.name() != arguments.key) continue;
    std::cout << (global.output == "json" ? Dump({{entry.name(), entry.value()}}) : entry.value())
              << std::endl;
    return {};
  }
  return Error(Reason::kInvalidConfig, "there is no config \"" + arguments.key +
                                           "\"; `gregor config describe` lists what there is");
}

Result<void> Set(GlobalOptions& global, const ConfigArguments& arguments) {
  ASSIGN_OR_RETURN(const v1::ConfigResource resource, ResourceOf(arguments));
  ASSIGN_OR_RETURN(const auto set, SplitConfigs(arguments.values));
  if (set.empty() && arguments.unset.empty())
    return Error(Reason::kInvalidArgument, "nothing to change: give NAME=VALUE or --unset NAME");
  const TroubleWatch watch = WatchForController(global.server);
  RETURN_IF_ERROR(
      Admin(global.server).AlterConfigs(resource, set, arguments.unset, arguments.validate_only));
  if (arguments.validate_only) {
    std::cout << (global.output == "json" ? Dump({{"result", "valid"}}) : "valid") << std::endl;
  } else if (!arguments.topic.empty()) {
    PrintChangedConfigs(global, {{"topic", arguments.topic}}, arguments.topic, set,
                        arguments.unset);
  } else if (!arguments.broker.empty()) {
    PrintChangedConfigs(global, {{"broker", arguments.broker}}, "broker " + arguments.broker, set,
                        arguments.unset);
  } else {
    PrintChangedConfigs(global, Json::object(), "all brokers", set, arguments.unset);
  }
  return {};
}

}  // namespace

void AddConfigCommands(CLI::App& app, GlobalOptions& global) {
  CLI::App* const config =
      app.add_subcommand("config", "Show and change configs of topics and brokers");
  config->require_subcommand(1);
  const auto arguments = std::make_shared<ConfigArguments>();
  const auto add = [&](const char* name, const char* help,
                       Result<void> (*run)(GlobalOptions&, const ConfigArguments&)) {
    CLI::App* const command = config->add_subcommand(name, help);
    command->add_option("--topic", arguments->topic, "Of this topic")->type_name("NAME");
    command->add_option("--broker", arguments->broker, "Of this broker")->type_name("ID");
    command->add_flag("--all-brokers", arguments->all_brokers, "The defaults of all brokers");
    OnCommand(*command, global, [&global, arguments, run] { return run(global, *arguments); });
    return command;
  };
  CLI::App* command =
      add("describe", "List all configs with their values and where those come from", Describe);
  command->add_flag("--documentation", arguments->documentation, "With types and what they mean");
  AddExamples(*command,
              {"gregor config describe", "gregor config describe --topic orders",
               "gregor config describe --broker 1 --documentation"},
              "Without --topic, --broker and --all-brokers: all that can be set, with what a new "
              "topic gets.");
  command = add("get", "Print the value of one config", Get);
  command->add_option("KEY", arguments->key, "Name of the config")->required();
  AddExamples(*command, {"gregor config get --topic orders retention.ms"});
  command = add("set", "Change configs: all that are given, or none", Set);
  command->add_option("NAME=VALUE", arguments->values, "Configs to set");
  command->add_option("--unset", arguments->unset, "Config to put back to its default")
      ->type_name("NAME")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  command->add_flag("--validate-only", arguments->validate_only, "Check, but change nothing");
  AddExamples(*command, {"gregor config set --topic orders retention.ms=86400000",
                         "gregor config set --topic orders --unset retention.ms"});
}

}  // namespace gregor
