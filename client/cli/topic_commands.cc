#include <algorithm>
#include <iostream>
#include <memory>

#include "client/admin.h"
#include "client/cli/brokers.h"
#include "client/cli/help.h"
#include "client/cli/output.h"
#include "client/cli/partitions.h"

namespace gregor {
namespace {

// "22 characters", as ids are shown.
std::string ShowId(const std::string& bytes) {
  TopicId id;
  if (bytes.size() != id.bytes.size()) return "-";
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return id.ToString();
}

Json TopicJson(const v1::TopicMetadata& topic) {
  Json json = {{"topic", topic.topic()},
               {"topic_id", ShowId(topic.topic_id())},
               {"partitions", topic.partition_count()},
               {"replication_factor", topic.replication_factor()}};
  return json;
}

Json Numbers(const google::protobuf::RepeatedField<int32_t>& numbers) {
  return std::vector<int32_t>(numbers.begin(), numbers.end());
}

Json DescribePartitions(const v1::TopicMetadata& topic) {
  Json list = Json::array();
  for (const auto& partition : topic.partitions()) {
    list.push_back(
        {{"partition", partition.partition()},
         {"leader", partition.has_leader_id() ? Json(partition.leader_id()) : Json("none")},
         {"leader_epoch", partition.leader_epoch()},
         {"replicas", Numbers(partition.replicas())},
         {"in_sync", Numbers(partition.in_sync())},
         {"offline", Numbers(partition.offline())},
         {"eligible", Numbers(partition.eligible())},
         {"recovering", partition.recovering()}});
  }
  return list;
}

// What is out of the ordinary has a column only where there is some.
void PrintPartitions(const GlobalOptions& global, const Json& partitions) {
  std::vector<std::string> columns = {"partition", "leader", "leader_epoch", "replicas", "in_sync"};
  for (const char* const name : {"offline", "eligible", "recovering"}) {
    const bool is_seen = std::any_of(partitions.begin(), partitions.end(), [&](const Json& each) {
      return each[name].is_boolean() ? each[name].get<bool>() : !each[name].empty();
    });
    if (is_seen) columns.push_back(name);
  }
  PrintList(global, partitions, columns);
}

struct TopicArguments {
  std::string name;
  std::vector<std::string> names;
  int32_t partitions = 0;
  int32_t replication_factor = 0;
  std::vector<std::string> configs;
  bool validate_only = false;
  bool allow_missing = false;
  std::vector<std::string> lists;  // of partitions: "0", or "0,2"; none: all
  int64_t before = -1;
};

// What a command without result says: done, or could be done.
void PrintTopicDone(const GlobalOptions& global, const TopicArguments& arguments,
                    const char* done) {
  const char* const word = arguments.validate_only ? "valid" : done;
  if (global.output == "json") {
    std::cout << Dump({{"topic", arguments.name}, {"result", word}}, 2) << std::endl;
  } else {
    std::cout << word << " " << arguments.name << "\n";
  }
}

Result<void> RunTopicCreate(GlobalOptions& global, const TopicArguments& arguments) {
  v1::CreateTopicRequest request;
  request.set_topic(arguments.name);
  request.set_partitions(arguments.partitions);
  request.set_replication_factor(arguments.replication_factor);
  request.set_validate_only(arguments.validate_only);
  ASSIGN_OR_RETURN(const auto configs, SplitConfigs(arguments.configs));
  for (const auto& [name, value] : configs) (*request.mutable_configs())[name] = value;
  const TroubleWatch watch = WatchForController(global.server);
  ASSIGN_OR_RETURN(const auto topic, Admin(global.server).CreateTopic(request));
  if (arguments.validate_only) {
    PrintTopicDone(global, arguments, "created");
  } else {
    PrintObject(global, TopicJson(topic));
    if (topic.replication_factor() > 1) {
      std::cout.flush();
      std::cerr << "gregor: brokers do not replicate records yet, so nothing can be written to \""
                << topic.topic() << "\": only topics with --replication-factor 1 take records"
                << std::endl;
    }
  }
  return {};
}

Result<void> RunTopicList(GlobalOptions& global, const TopicArguments& arguments) {
  ASSIGN_OR_RETURN(const auto topics, Admin(global.server).ListTopics(arguments.name));
  Json list = Json::array();
  for (const auto& topic : topics) list.push_back(TopicJson(topic));
  PrintList(global, list, {"topic", "partitions", "replication_factor", "topic_id"});
  return {};
}

Result<void> DescribeTopic(GlobalOptions& global, const TopicArguments& arguments) {
  const Admin admin = Admin(global.server);
  ASSIGN_OR_RETURN(const v1::TopicMetadata topic, admin.GetTopic(arguments.name));
  ASSIGN_OR_RETURN(const auto entries,
                   admin.DescribeConfigs(TopicResource(arguments.name), {}, false));
  Json configs = Json::object();
  std::string shown;
  for (const v1::ConfigEntry& entry : entries) {
    if (entry.source() != v1::ConfigEntry::SOURCE_TOPIC) continue;
    configs[entry.name()] = entry.value();
    shown += (shown.empty() ? "" : " ") + entry.name() + "=" + entry.value();
  }
  Json json = TopicJson(topic);
  if (global.output == "json") {
    json["configs"] = configs;
    json["partition_count"] = topic.partition_count();
    json["partitions"] = DescribePartitions(topic);
    std::cout << Dump(json, 2) << std::endl;
    return {};
  }
  json["configs"] = shown.empty() ? "defaults" : shown;
  PrintObject(global, json);
  std::cout << "\n";
  PrintPartitions(global, DescribePartitions(topic));
  return {};
}

Result<void> RunTopicAlter(GlobalOptions& global, const TopicArguments& arguments) {
  ASSIGN_OR_RETURN(const auto set, SplitConfigs(arguments.configs));
  if (set.empty() && arguments.names.empty())
    return Error(Reason::kInvalidArgument,
                 "nothing to change: give --config NAME=VALUE or --unset NAME");
  const TroubleWatch watch = WatchForController(global.server);
  RETURN_IF_ERROR(Admin(global.server)
                      .AlterConfigs(TopicResource(arguments.name), set, arguments.names,
                                    arguments.validate_only));
  if (arguments.validate_only) {
    PrintTopicDone(global, arguments, "altered");
  } else {
    PrintChangedConfigs(global, {{"topic", arguments.name}}, arguments.name, set, arguments.names);
  }
  return {};
}

// All of them, also where one fails; each failure is told with the name.
Result<void> RunTopicDelete(GlobalOptions& global, const TopicArguments& arguments) {
  const Admin admin = Admin(global.server);
  Json deleted = Json::array(), missing = Json::array(), failed = Json::array();
  std::optional<Error> last_error;
  const TroubleWatch watch = WatchForController(global.server);
  for (const std::string& name : arguments.names) {
    const auto result = admin.DeleteTopic(name, false);
    const bool is_missing = !result.ok() && result.error().reason == Reason::kTopicNotFound;
    (result.ok() ? deleted : is_missing ? missing : failed).push_back(name);
    if (!result.ok() && IsUnreachable(result.error())) {
      last_error = result.error();
      break;  // for the others, too
    }
    if (!result.ok() && !(is_missing && arguments.allow_missing)) {
      // The last one is told by whoever runs this.
      if (last_error.has_value()) PrintError(*last_error, false);
      last_error = result.error();
    } else if (global.output != "json") {
      std::cout << (is_missing ? "there was no " : "deleted ") << name << "\n";
    }
  }
  if (global.output == "json") {
    Json json = {{"deleted", deleted}, {"missing", missing}};
    if (!failed.empty()) json["failed"] = failed;
    std::cout << Dump(json, 2) << std::endl;
  }
  if (last_error.has_value()) return *std::move(last_error);
  return {};
}

Result<void> AddPartitions(GlobalOptions& global, const TopicArguments& arguments) {
  const TroubleWatch watch = WatchForController(global.server);
  ASSIGN_OR_RETURN(const auto topic, Admin(global.server)
                                         .AddPartitions(arguments.name, arguments.partitions,
                                                        arguments.validate_only));
  if (arguments.validate_only) {
    PrintTopicDone(global, arguments, "altered");
  } else {
    PrintObject(global, TopicJson(topic));
  }
  return {};
}

Result<void> DeleteRecords(GlobalOptions& global, const TopicArguments& arguments) {
  ASSIGN_OR_RETURN(const auto wanted, ParsePartitions(arguments.lists));
  const Admin admin = Admin(global.server);
  ASSIGN_OR_RETURN(const auto partitions, ChosenPartitions(admin, arguments.name, wanted));
  std::vector<std::pair<int32_t, int64_t>> before;
  for (const int32_t partition : partitions) before.emplace_back(partition, arguments.before);
  ASSIGN_OR_RETURN(const auto response, admin.DeleteRecords(arguments.name, before));
  Json list = Json::array();
  std::optional<Error> failed;
  int failed_count = 0;
  for (int i = 0; i < response.results_size(); ++i) {
    const auto& result = response.results(i);
    Json row = {{"partition", before[static_cast<size_t>(i)].first}};
    if (result.error().code() != 0) {
      ++failed_count;
      failed = ErrorOfStatus(result.error());
      row["error"] = failed->message;
    } else {
      row["log_start_offset"] = result.log_start_offset();
    }
    list.push_back(row);
  }
  std::vector<std::string> members = {"partition", "log_start_offset"};
  if (failed.has_value()) members.push_back("error");
  PrintList(global, list, members);
  if (!failed.has_value()) return {};
  // Why is in the list.
  failed->message = "no records were deleted in " + std::to_string(failed_count) + " of " +
                    std::to_string(list.size()) + " partitions of topic \"" + arguments.name + "\"";
  return *failed;
}

using TopicRun = Result<void> (*)(GlobalOptions&, const TopicArguments&);

// Adds `gregor topic NAME`.
CLI::App* AddTopicCommand(CLI::App& topic, GlobalOptions& global, const char* name,
                          const char* help, TopicRun run,
                          const std::shared_ptr<TopicArguments>& arguments) {
  CLI::App* const command = topic.add_subcommand(name, help);
  OnCommand(*command, global, [&global, arguments, run] { return run(global, *arguments); });
  return command;
}

void AddName(CLI::App* command, const std::shared_ptr<TopicArguments>& arguments) {
  command->add_option("NAME", arguments->name, "Topic")->required()->check(NotEmpty());
}

void AddValidateOnly(CLI::App* command, const std::shared_ptr<TopicArguments>& arguments) {
  command->add_flag("--validate-only", arguments->validate_only, "Check, but change nothing");
}

void AddTopicCreate(CLI::App& topic, GlobalOptions& global,
                    const std::shared_ptr<TopicArguments>& arguments) {
  CLI::App* const command =
      AddTopicCommand(topic, global, "create", "Create a topic", RunTopicCreate, arguments);
  AddName(command, arguments);
  command->add_option("--partitions", arguments->partitions, "Partitions (default: 1)")
      ->check(Between(1, INT32_MAX))
      ->type_name("N");
  command
      ->add_option("--replication-factor", arguments->replication_factor,
                   "Replicas of each partition (default: the cluster's)")
      ->check(Between(1, INT32_MAX))
      ->type_name("N");
  command->add_option("--config", arguments->configs, "Topic config, may be given several times")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  AddValidateOnly(command, arguments);
  AddExamples(*command, {"gregor topic create orders --partitions 4",
                         "gregor topic create audit --config retention.ms=-1 --config "
                         "max.message.bytes=2000000"});
}

void AddAlter(CLI::App& topic, GlobalOptions& global,
              const std::shared_ptr<TopicArguments>& arguments) {
  CLI::App* const command =
      AddTopicCommand(topic, global, "alter", "Change a topic's configs", RunTopicAlter, arguments);
  AddName(command, arguments);
  command->add_option("--config", arguments->configs, "Config to set, may be given several times")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  command->add_option("--unset", arguments->names, "Config to put back to its default")
      ->type_name("NAME")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  AddValidateOnly(command, arguments);
  AddExamples(*command,
              {"gregor topic alter orders --config retention.ms=86400000",
               "gregor topic alter orders --unset retention.ms"},
              "`gregor config describe --topic NAME --documentation` tells which configs there "
              "are.");
}

void AddOthers(CLI::App& topic, GlobalOptions& global,
               const std::shared_ptr<TopicArguments>& arguments) {
  CLI::App* command =
      AddTopicCommand(topic, global, "list", "List topics", RunTopicList, arguments);
  command->add_option("--prefix", arguments->name, "Only topics whose name begins so");
  AddExamples(*command, {"gregor topic list", "gregor --output json topic list --prefix orders"});

  command = AddTopicCommand(topic, global, "describe", "Show a topic's partitions and configs",
                            DescribeTopic, arguments);
  AddName(command, arguments);
  AddExamples(*command, {"gregor topic describe orders"});

  command = AddTopicCommand(topic, global, "delete", "Delete topics and their records",
                            RunTopicDelete, arguments);
  command->add_option("NAME", arguments->names, "Topics")->required();
  command->add_flag("--allow-missing", arguments->allow_missing,
                    "A topic that does not exist is no error");
  AddExamples(*command, {"gregor topic delete orders", "gregor topic delete a b c"});

  command = AddTopicCommand(topic, global, "add-partitions", "Give a topic more partitions",
                            AddPartitions, arguments);
  AddName(command, arguments);
  command
      ->add_option("--total,--partitions", arguments->partitions,
                   "How many there shall be afterwards")
      ->required()
      ->check(Between(1, INT32_MAX))
      ->type_name("N");
  AddValidateOnly(command, arguments);
  AddExamples(*command, {"gregor topic add-partitions orders --total 8"},
              "Keys are spread over all partitions, so a key's records may go to another one "
              "afterwards.");

  command = AddTopicCommand(topic, global, "delete-records", "Delete the records before an offset",
                            DeleteRecords, arguments);
  AddName(command, arguments);
  AddPartitionOption(*command, arguments->lists);
  command
      ->add_option("--before", arguments->before, "First offset to keep; -1: delete all there is")
      ->required()
      ->check(AtLeast(-1))
      ->type_name("OFFSET");
  AddExamples(*command, {"gregor topic delete-records orders --partition 0,2 --before 1000",
                         "gregor topic delete-records orders --before -1"});
}

}  // namespace

void AddTopicCommands(CLI::App& app, GlobalOptions& global) {
  CLI::App* const topic =
      app.add_subcommand("topic", "Create, list, describe, alter and delete topics");
  topic->require_subcommand(1);
  const auto arguments = std::make_shared<TopicArguments>();
  AddTopicCreate(*topic, global, arguments);
  AddAlter(*topic, global, arguments);
  AddOthers(*topic, global, arguments);
}

}  // namespace gregor
