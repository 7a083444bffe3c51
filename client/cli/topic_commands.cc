#include <iostream>
#include <memory>

#include "client/cli/admin.h"
#include "client/cli/output.h"
#include "gregor/v1/config.pb.h"
#include "gregor/v1/topic.pb.h"

namespace gregor {
namespace {

constexpr char kService[] = "/gregor.v1.TopicService/";

Json Describe(const v1::TopicMetadata& topic) {
  Json json = {{"topic", topic.topic()},
               {"topic_id", ShowId(topic.topic_id())},
               {"partitions", std::max(topic.partition_count(), topic.partitions_size())}};
  if (topic.partitions_size() > 0) json["replication_factor"] = topic.partitions(0).replicas_size();
  return json;
}

Json DescribePartitions(const v1::TopicMetadata& topic) {
  Json list = Json::array();
  for (const auto& partition : topic.partitions()) {
    list.push_back(
        {{"partition", partition.partition()},
         {"leader", partition.has_leader_id() ? Json(partition.leader_id()) : Json("none")},
         {"leader_epoch", partition.leader_epoch()},
         {"replicas",
          std::vector<int32_t>(partition.replicas().begin(), partition.replicas().end())},
         {"in_sync",
          std::vector<int32_t>(partition.in_sync().begin(), partition.in_sync().end())}});
  }
  return list;
}

struct TopicArguments {
  std::string name;
  std::vector<std::string> names;
  int32_t partitions = 0;
  int32_t replication_factor = 0;
  std::vector<std::string> configs;
  bool validate_only = false;
  bool flag = false;
  int32_t partition = -1;
  int64_t before = -1;
};

Result<void> Create(GlobalOptions& global, const TopicArguments& arguments) {
  v1::CreateTopicRequest request;
  request.set_topic(arguments.name);
  request.set_partitions(arguments.partitions);
  request.set_replication_factor(arguments.replication_factor);
  request.set_validate_only(arguments.validate_only);
  for (const std::string& config : arguments.configs) {
    ASSIGN_OR_RETURN(const auto pair, SplitPair(config));
    (*request.mutable_configs())[pair.first] = pair.second;
  }
  const auto channel = Channel::Connect(global.server);
  ASSIGN_OR_RETURN(const auto response, channel->Call<v1::CreateTopicResponse>(
                                            std::string(kService) + "CreateTopic", request));
  PrintObject(global, Describe(response.topic()));
  return {};
}

Result<void> List(GlobalOptions& global, const TopicArguments& arguments) {
  const auto channel = Channel::Connect(global.server);
  v1::ListTopicsRequest request;
  request.set_prefix(arguments.name);
  Json list = Json::array();
  do {
    ASSIGN_OR_RETURN(const auto response, channel->Call<v1::ListTopicsResponse>(
                                              std::string(kService) + "ListTopics", request));
    for (const auto& topic : response.topics()) list.push_back(Describe(topic));
    request.mutable_page()->set_page_token(response.next_page_token());
  } while (!request.page().page_token().empty());
  PrintList(global, list, {"topic", "partitions", "topic_id"});
  return {};
}

Result<Json> ChangedConfigs(Channel& channel, const std::string& topic) {
  v1::DescribeConfigsRequest request;
  auto& resource = *request.add_resources();
  resource.set_type(v1::ConfigResource::TYPE_TOPIC);
  resource.set_name(topic);
  ASSIGN_OR_RETURN(const auto response, channel.Call<v1::DescribeConfigsResponse>(
                                            "/gregor.v1.ConfigService/DescribeConfigs", request));
  Json configs = Json::object();
  for (const auto& result : response.results()) {
    if (result.error().code() != 0) return ErrorOfStatus(result.error());
    for (const auto& entry : result.entries()) {
      if (entry.source() == v1::ConfigEntry::SOURCE_TOPIC) configs[entry.name()] = entry.value();
    }
  }
  return configs;
}

Result<void> DescribeTopic(GlobalOptions& global, const TopicArguments& arguments) {
  const auto channel = Channel::Connect(global.server);
  ASSIGN_OR_RETURN(const v1::TopicMetadata topic, GetTopic(*channel, arguments.name));
  ASSIGN_OR_RETURN(const Json configs, ChangedConfigs(*channel, arguments.name));
  Json json = Describe(topic);
  if (global.output == "json") {
    json["configs"] = configs;
    json["partitions"] = DescribePartitions(topic);
    std::cout << json.dump(2) << std::endl;
    return {};
  }
  std::string shown;
  for (const auto& [name, value] : configs.items())
    shown += (shown.empty() ? "" : " ") + name + "=" + value.get<std::string>();
  json["configs"] = shown.empty() ? "defaults" : shown;
  PrintObject(global, json);
  std::cout << "\n";
  PrintList(global, DescribePartitions(topic),
            {"partition", "leader", "leader_epoch", "replicas", "in_sync"});
  return {};
}

Result<void> Delete(GlobalOptions& global, const TopicArguments& arguments) {
  const auto channel = Channel::Connect(global.server);
  for (const std::string& name : arguments.names) {
    v1::DeleteTopicRequest request;
    request.set_topic(name);
    request.set_allow_missing(arguments.flag);
    const auto response =
        channel->Call<v1::DeleteTopicResponse>(std::string(kService) + "DeleteTopic", request);
    if (!response.ok()) return response.error();
    if (global.output != "json") std::cout << "deleted " << name << "\n";
  }
  if (global.output == "json")
    std::cout << Json({{"deleted", arguments.names}}).dump(2) << std::endl;
  return {};
}

Result<void> AddPartitions(GlobalOptions& global, const TopicArguments& arguments) {
  const auto channel = Channel::Connect(global.server);
  v1::AddPartitionsRequest request;
  request.set_topic(arguments.name);
  request.set_total_partitions(arguments.partitions);
  request.set_validate_only(arguments.validate_only);
  ASSIGN_OR_RETURN(const auto response, channel->Call<v1::AddPartitionsResponse>(
                                            std::string(kService) + "AddPartitions", request));
  PrintObject(global, Describe(response.topic()));
  return {};
}

Result<void> DeleteRecords(GlobalOptions& global, const TopicArguments& arguments) {
  const auto channel = Channel::Connect(global.server);
  ASSIGN_OR_RETURN(const auto partitions,
                   PartitionsOf(*channel, arguments.name, arguments.partition));
  v1::DeleteRecordsRequest request;
  for (const int32_t partition : partitions) {
    auto& item = *request.add_items();
    item.mutable_partition()->set_topic(arguments.name);
    item.mutable_partition()->set_partition(partition);
    item.set_before_offset(arguments.before);
  }
  ASSIGN_OR_RETURN(const auto response, channel->Call<v1::DeleteRecordsResponse>(
                                            std::string(kService) + "DeleteRecords", request));
  Json list = Json::array();
  std::optional<Error> failed;
  for (int i = 0; i < response.results_size(); ++i) {
    const auto& result = response.results(i);
    Json row = {{"partition", partitions[static_cast<size_t>(i)]}};
    if (result.error().code() != 0) {
      failed = ErrorOfStatus(result.error());
      row["error"] = failed->message;
    } else {
      row["log_start_offset"] = result.log_start_offset();
    }
    list.push_back(row);
  }
  PrintList(global, list, {"partition", "log_start_offset", "error"});
  if (failed.has_value()) return *failed;
  return {};
}

Result<void> Alter(GlobalOptions& global, const TopicArguments& arguments) {
  v1::AlterConfigsRequest request;
  request.set_validate_only(arguments.validate_only);
  auto& alteration = *request.add_alterations();
  alteration.mutable_resource()->set_type(v1::ConfigResource::TYPE_TOPIC);
  alteration.mutable_resource()->set_name(arguments.name);
  for (const std::string& config : arguments.configs) {
    ASSIGN_OR_RETURN(const auto pair, SplitPair(config));
    auto& op = *alteration.add_ops();
    op.set_kind(v1::AlterConfigsRequest::KIND_SET);
    op.set_name(pair.first);
    op.set_value(pair.second);
  }
  for (const std::string& name : arguments.names) {
    auto& op = *alteration.add_ops();
    op.set_kind(v1::AlterConfigsRequest::KIND_DELETE);
    op.set_name(name);
  }
  if (alteration.ops_size() == 0)
    return Error(Reason::kInvalidArgument,
                 "nothing to change: give --config name=value or --unset name");
  const auto channel = Channel::Connect(global.server);
  ASSIGN_OR_RETURN(const auto response, channel->Call<v1::AlterConfigsResponse>(
                                            "/gregor.v1.ConfigService/AlterConfigs", request));
  for (const auto& status : response.results()) {
    if (status.code() != 0) return ErrorOfStatus(status);
  }
  return DescribeTopic(global, arguments);
}

}  // namespace

void AddTopicCommands(CLI::App& app, GlobalOptions& global) {
  CLI::App* const topic =
      app.add_subcommand("topic", "Create, list, describe, alter and delete topics");
  topic->require_subcommand(1);
  const auto arguments = std::make_shared<TopicArguments>();
  const auto add = [&](const char* name, const char* help,
                       Result<void> (*run)(GlobalOptions&, const TopicArguments&)) {
    CLI::App* const command = topic->add_subcommand(name, help);
    OnCommand(*command, global, [&global, arguments, run] { return run(global, *arguments); });
    return command;
  };
  const auto name_of = [&](CLI::App* command) {
    command->add_option("NAME", arguments->name, "Topic")->required();
  };
  CLI::App* command = add("create", "Create a topic", Create);
  name_of(command);
  command
      ->add_option("--partitions", arguments->partitions,
                   "Partitions (default: the cluster's num.partitions)")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--replication-factor", arguments->replication_factor,
                   "Replicas of each partition (default: the cluster's)")
      ->check(CLI::PositiveNumber);
  command->add_option("--config", arguments->configs, "Topic config, may be given several times")
      ->type_name("NAME=VALUE");
  command->add_flag("--validate-only", arguments->validate_only, "Check, but change nothing");
  command = add("list", "List topics", List);
  command->add_option("--prefix", arguments->name, "Only topics whose name begins so");
  name_of(add("describe", "Show a topic's partitions and configs", DescribeTopic));
  command = add("alter", "Change a topic's configs", Alter);
  name_of(command);
  command->add_option("--config", arguments->configs, "Config to set, may be given several times")
      ->type_name("NAME=VALUE");
  command->add_option("--unset", arguments->names, "Config to put back to its default")
      ->type_name("NAME");
  command->add_flag("--validate-only", arguments->validate_only, "Check, but change nothing");
  command = add("delete", "Delete topics and their records", Delete);
  command->add_option("NAME", arguments->names, "Topics")->required();
  command->add_flag("--allow-missing", arguments->flag, "A topic that does not exist is no error");
  command = add("add-partitions", "Give a topic more partitions", AddPartitions);
  name_of(command);
  command->add_option("--total", arguments->partitions, "How many there shall be afterwards")
      ->required()
      ->check(CLI::PositiveNumber);
  command->add_flag("--validate-only", arguments->validate_only, "Check, but change nothing");
  command = add("delete-records", "Delete the records before an offset", DeleteRecords);
  name_of(command);
  command->add_option("--partition", arguments->partition, "Only this partition");
  command
      ->add_option("--before", arguments->before, "First offset to keep; -1: delete all there is")
      ->required();
}

}  // namespace gregor
