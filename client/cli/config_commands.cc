#include <iostream>
#include <memory>

#include "client/cli/admin.h"
#include "client/cli/output.h"
#include "gregor/v1/config.pb.h"

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

Result<v1::ConfigResource> ResourceOf(const ConfigArguments& arguments) {
  const int given = (arguments.topic.empty() ? 0 : 1) + (arguments.broker.empty() ? 0 : 1) +
                    (arguments.all_brokers ? 1 : 0);
  if (given != 1)
    return Error(Reason::kInvalidArgument,
                 "give one of --topic NAME, --broker ID and --all-brokers");
  v1::ConfigResource resource;
  resource.set_type(arguments.topic.empty() ? v1::ConfigResource::TYPE_BROKER
                                            : v1::ConfigResource::TYPE_TOPIC);
  resource.set_name(arguments.topic.empty() ? arguments.broker : arguments.topic);
  return resource;
}

const char* SourceName(v1::ConfigEntry::Source source) {
  switch (source) {
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

Result<v1::DescribeConfigsResponse> Ask(GlobalOptions& global, const ConfigArguments& arguments) {
  v1::DescribeConfigsRequest request;
  ASSIGN_OR_RETURN(*request.add_resources(), ResourceOf(arguments));
  if (!arguments.key.empty()) request.add_keys(arguments.key);
  request.set_include_documentation(arguments.documentation);
  ASSIGN_OR_RETURN(auto response, Channel::Connect(global.server)
                                      ->Call<v1::DescribeConfigsResponse>(
                                          "/gregor.v1.ConfigService/DescribeConfigs", request));
  for (const auto& result : response.results()) {
    if (result.error().code() != 0) return ErrorOfStatus(result.error());
  }
  return response;
}

Result<void> Describe(GlobalOptions& global, const ConfigArguments& arguments) {
  ASSIGN_OR_RETURN(const auto response, Ask(global, arguments));
  Json list = Json::array();
  for (const auto& result : response.results()) {
    for (const auto& entry : result.entries()) {
      Json row = {{"config", entry.name()},
                  {"value", entry.value()},
                  {"source", SourceName(entry.source())},
                  {"type", entry.type()}};
      if (arguments.documentation) row["documentation"] = entry.documentation();
      list.push_back(row);
    }
  }
  std::vector<std::string> members = {"config", "value", "source"};
  if (arguments.documentation) members.insert(members.end(), {"type", "documentation"});
  PrintList(global, list, members);
  return {};
}

Result<void> Get(GlobalOptions& global, const ConfigArguments& arguments) {
  ASSIGN_OR_RETURN(const auto response, Ask(global, arguments));
  for (const auto& result : response.results()) {
    for (const auto& entry : result.entries()) {
      if (entry.name() != arguments.key) continue;
      std::cout << (global.output == "json" ? Json({{entry.name(), entry.value()}}).dump()
                                            : entry.value())
                << std::endl;
      return {};
    }
  }
  return Error(Reason::kInvalidConfig, "there is no config \"" + arguments.key + "\"");
}

Result<void> Set(GlobalOptions& global, const ConfigArguments& arguments) {
  v1::AlterConfigsRequest request;
  request.set_validate_only(arguments.validate_only);
  auto& alteration = *request.add_alterations();
  ASSIGN_OR_RETURN(*alteration.mutable_resource(), ResourceOf(arguments));
  for (const std::string& value : arguments.values) {
    ASSIGN_OR_RETURN(const auto pair, SplitPair(value));
    auto& op = *alteration.add_ops();
    op.set_kind(v1::AlterConfigsRequest::KIND_SET);
    op.set_name(pair.first);
    op.set_value(pair.second);
  }
  for (const std::string& name : arguments.unset) {
    auto& op = *alteration.add_ops();
    op.set_kind(v1::AlterConfigsRequest::KIND_DELETE);
    op.set_name(name);
  }
  if (alteration.ops_size() == 0)
    return Error(Reason::kInvalidArgument, "nothing to change: give NAME=VALUE or --unset NAME");
  ASSIGN_OR_RETURN(const auto response, Channel::Connect(global.server)
                                            ->Call<v1::AlterConfigsResponse>(
                                                "/gregor.v1.ConfigService/AlterConfigs", request));
  for (const auto& status : response.results()) {
    if (status.code() != 0) return ErrorOfStatus(status);
  }
  if (global.output != "json") std::cout << (arguments.validate_only ? "valid\n" : "changed\n");
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
    command->add_option("--topic", arguments->topic, "Topic")->type_name("NAME");
    command->add_option("--broker", arguments->broker, "Broker")->type_name("ID");
    command->add_flag("--all-brokers", arguments->all_brokers, "Defaults of all brokers");
    OnCommand(*command, global, [&global, arguments, run] { return run(global, *arguments); });
    return command;
  };
  CLI::App* command =
      add("describe", "List all configs with their values and where those come from", Describe);
  command->add_flag("--documentation", arguments->documentation, "With types and what they mean");
  add("get", "Print the value of one config", Get)
      ->add_option("KEY", arguments->key, "Name of the config")
      ->required();
  command = add("set", "Change configs", Set);
  command->add_option("NAME=VALUE", arguments->values, "Configs to set");
  command->add_option("--unset", arguments->unset, "Config to put back to its default")
      ->type_name("NAME");
  command->add_flag("--validate-only", arguments->validate_only, "Check, but change nothing");
}

}  // namespace gregor
