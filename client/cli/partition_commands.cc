#include <algorithm>
#include <memory>
#include <optional>

#include "client/admin.h"
#include "client/cli/brokers.h"
#include "client/cli/help.h"
#include "client/cli/output.h"
#include "client/cli/partitions.h"
#include "client/cli/record_format.h"

namespace gregor {
namespace {

struct PartitionArguments {
  std::string topic;
  std::vector<std::string> lists;  // of partitions: "0", or "0,2"; none: all
  bool unclean = false;
  std::optional<int32_t> to;
  std::string replicas;  // "1,2,3"
  bool cancel = false;
  bool validate_only = false;
};

Json Row(const v1::TopicPartition& partition) {
  return {{"topic", partition.topic()}, {"partition", partition.partition()}};
}

// The list, and after it what went wrong last.
Result<void> PrintResults(const GlobalOptions& global, const Json& list,
                          const std::optional<Error>& failed) {
  PrintList(global, list, {"topic", "partition", "result"});
  if (failed.has_value()) return *failed;
  return {};
}

Result<void> Elect(GlobalOptions& global, const PartitionArguments& arguments) {
  if (arguments.topic.empty() && !arguments.lists.empty())
    return Error(Reason::kInvalidArgument, "--partition needs a topic");
  if (arguments.unclean && arguments.to.has_value())
    return Error(Reason::kInvalidArgument, "give either --unclean or --to");
  const Admin admin = Admin(global.server);
  v1::ElectLeadersRequest request;
  request.set_type(arguments.unclean          ? v1::ELECTION_TYPE_UNCLEAN
                   : arguments.to.has_value() ? v1::ELECTION_TYPE_TRANSFER
                                              : v1::ELECTION_TYPE_PREFERRED);
  request.set_target_broker_id(arguments.to.value_or(0));
  if (!arguments.topic.empty()) {
    ASSIGN_OR_RETURN(const auto wanted, ParsePartitions(arguments.lists));
    ASSIGN_OR_RETURN(const auto partitions, ChosenPartitions(admin, arguments.topic, wanted));
    for (const int32_t partition : partitions) {
      auto& added = *request.add_partitions();
      added.set_topic(arguments.topic);
      added.set_partition(partition);
    }
  }
  const TroubleWatch watch = WatchForController(global.server);
  ASSIGN_OR_RETURN(const auto response, admin.ElectLeaders(request));
  Json list = Json::array();
  std::optional<Error> failed;
  for (const auto& result : response.results()) {
    Json row = Row(result.partition());
    row["result"] = "elected";
    if (result.status().code() != 0) {
      const Error error = ErrorOfStatus(result.status());
      row["result"] = error.message;
      // That the right one leads already is what was wanted.
      if (error.reason != Reason::kElectionNotNeeded) failed = error;
    }
    list.push_back(row);
  }
  return PrintResults(global, list, failed);
}

Result<std::vector<int32_t>> ParseBrokers(const std::string& text) {
  std::vector<int32_t> brokers;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    int64_t number = 0;
    if (!ParseWholeNumber(text.substr(begin, end - begin), &number) || number < 0 ||
        number > INT32_MAX)
      return Error(Reason::kInvalidArgument, "--replicas: give broker ids, such as 1,2,3");
    brokers.push_back(static_cast<int32_t>(number));
    begin = end + 1;
  }
  return brokers;
}

Result<void> Reassign(GlobalOptions& global, const PartitionArguments& arguments) {
  if (arguments.cancel != arguments.replicas.empty())
    return Error(Reason::kInvalidArgument, "give either --replicas or --cancel");
  std::vector<int32_t> brokers;
  if (!arguments.cancel) {
    ASSIGN_OR_RETURN(brokers, ParseBrokers(arguments.replicas));
  }
  const Admin admin = Admin(global.server);
  ASSIGN_OR_RETURN(const auto wanted, ParsePartitions(arguments.lists));
  ASSIGN_OR_RETURN(const auto partitions, ChosenPartitions(admin, arguments.topic, wanted));
  v1::ReassignPartitionsRequest request;
  request.set_validate_only(arguments.validate_only);
  for (const int32_t partition : partitions) {
    auto& item = *request.add_reassignments();
    item.mutable_partition()->set_topic(arguments.topic);
    item.mutable_partition()->set_partition(partition);
    for (const int32_t broker : brokers) item.add_replicas(broker);
  }
  const TroubleWatch watch = WatchForController(global.server);
  ASSIGN_OR_RETURN(const auto response, admin.ReassignPartitions(request));
  Json list = Json::array();
  std::optional<Error> failed;
  for (int i = 0; i < response.results_size(); ++i) {
    Json row = Row(request.reassignments(i).partition());
    row["result"] = arguments.validate_only ? "valid" : arguments.cancel ? "cancelled" : "accepted";
    if (response.results(i).code() != 0) {
      failed = ErrorOfStatus(response.results(i));
      row["result"] = failed->message;
    }
    list.push_back(row);
  }
  return PrintResults(global, list, failed);
}

Result<void> ListReassignments(GlobalOptions& global) {
  ASSIGN_OR_RETURN(const auto reassignments, Admin(global.server).ListReassignments());
  const auto nodes = [](const auto& ids) { return std::vector<int32_t>(ids.begin(), ids.end()); };
  Json list = Json::array();
  for (const auto& each : reassignments) {
    Json row = Row(each.partition());
    row["replicas"] = nodes(each.replicas());
    row["adding"] = nodes(each.adding());
    row["removing"] = nodes(each.removing());
    list.push_back(row);
  }
  PrintList(global, list, {"topic", "partition", "replicas", "adding", "removing"});
  return {};
}

void AddElect(CLI::App& partition, GlobalOptions& global,
              const std::shared_ptr<PartitionArguments>& arguments) {
  CLI::App* const command =
      partition.add_subcommand("elect", "Elect leaders: the preferred ones, unless said otherwise");
  command->add_option("TOPIC", arguments->topic, "Topic; none: all topics");
  AddPartitionOption(*command, arguments->lists);
  command->add_option("--to", arguments->to, "Who shall lead, of those in sync")
      ->type_name("BROKER");
  command->add_flag("--unclean", arguments->unclean,
                    "Where nobody leads, any replica that runs: acknowledged records may be lost");
  AddExamples(*command,
              {"gregor partition elect", "gregor partition elect orders --partition 0,2",
               "gregor partition elect orders --partition 3 --to 2"},
              "The preferred leader is the first of a partition's replicas.");
  OnCommand(*command, global, [&global, arguments] { return Elect(global, *arguments); });
}

void AddReassign(CLI::App& partition, GlobalOptions& global,
                 const std::shared_ptr<PartitionArguments>& arguments) {
  CLI::App* const command =
      partition.add_subcommand("reassign", "Move partitions to other brokers");
  command->add_option("TOPIC", arguments->topic, "Topic")->required();
  AddPartitionOption(*command, arguments->lists);
  command
      ->add_option("--replicas", arguments->replicas, "Where they shall be, preferred leader first")
      ->type_name("BROKERS");
  command->add_flag("--cancel", arguments->cancel, "Give up the moves that run");
  command->add_flag("--validate-only", arguments->validate_only, "Check, but change nothing");
  AddExamples(*command,
              {"gregor partition reassign orders --partition 0 --replicas 2,3,4",
               "gregor partition reassign orders --cancel"},
              "Old replicas stay until all new ones are in sync; `gregor partition reassignments` "
              "shows what runs.");
  OnCommand(*command, global, [&global, arguments] { return Reassign(global, *arguments); });
}

}  // namespace

void AddPartitionCommands(CLI::App& app, GlobalOptions& global) {
  CLI::App* const partition =
      app.add_subcommand("partition", "Elect partitions' leaders, and move partitions");
  partition->require_subcommand(1);
  const auto arguments = std::make_shared<PartitionArguments>();
  AddElect(*partition, global, arguments);
  AddReassign(*partition, global, arguments);
  CLI::App* const list = partition->add_subcommand("reassignments", "Show the moves that run");
  AddExamples(*list, {"gregor partition reassignments"});
  OnCommand(*list, global, [&global] { return ListReassignments(global); });
}

}  // namespace gregor
