// `gregor broker`: who serves the cluster's partitions.
#include <unistd.h>

#include <iostream>
#include <memory>

#include "client/admin.h"
#include "client/cli/brokers.h"
#include "client/cli/help.h"
#include "client/cli/output.h"

namespace gregor {
namespace {

struct BrokerArguments {
  int32_t broker = -1;
  bool yes = false;
};

std::string BrokerText(int32_t broker) { return "broker " + std::to_string(broker); }

// Asks before something is lost. Fails where the answer is no, or there is nobody to ask.
Result<void> Confirm(const std::string& what, bool yes) {
  if (yes) return {};
  if (isatty(STDIN_FILENO) == 0)
    return Error(Reason::kInvalidArgument, what + "; nothing was done: say --yes to do it");
  std::cerr << what << ". Go on? [y/N] " << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  if (answer == "y" || answer == "Y" || answer == "yes") return {};
  return Error(Reason::kUnspecified, "nothing was done");
}

void PrintBrokerDone(const GlobalOptions& global, const char* done,
                     const BrokerArguments& arguments) {
  if (global.output == "json") {
    std::cout << Dump({{"broker", arguments.broker}, {"result", done}}, 2) << std::endl;
  } else {
    std::cout << done << " " << BrokerText(arguments.broker) << "\n";
  }
}

Result<void> RunBrokerList(GlobalOptions& global, const BrokerArguments&) {
  ASSIGN_OR_RETURN(const auto cluster, Admin(global.server).DescribeCluster());
  PrintBrokers(global, BrokerRows(cluster, global.server));
  WarnWithoutController(cluster);
  return {};
}

// The cluster's description with one broker, and that one's state.
Result<v1::DescribeClusterResponse> DescribeOne(const Admin& admin, int32_t broker) {
  ASSIGN_OR_RETURN(auto cluster, admin.DescribeCluster({broker}));
  if (cluster.brokers_size() == 1 && cluster.states_size() == 1) return cluster;
  return Error(Reason::kUnspecified, "the server does not describe single brokers");
}

Result<void> RunBrokerDescribe(GlobalOptions& global, const BrokerArguments& arguments) {
  ASSIGN_OR_RETURN(const auto cluster, DescribeOne(Admin(global.server), arguments.broker));
  Json json = BrokerRows(cluster, global.server).front();
  json["only_in_sync"] = cluster.states(0).only_in_sync();
  json["log_dirs"] = cluster.states(0).log_dirs();
  json["epoch"] = cluster.states(0).broker_epoch();
  const Json listeners = ListenersOf(cluster.brokers(0), global.server);
  if (global.output == "json") {
    json["listeners"] = listeners;
  } else {
    for (const auto& [name, address] : listeners.items()) json[name + "_listener"] = address;
  }
  ShowFlags(global, json);
  PrintObject(global, json);
  WarnWithoutController(cluster);
  return {};
}

Result<void> Fence(GlobalOptions& global, const BrokerArguments& arguments) {
  const Admin admin = Admin(global.server);
  ASSIGN_OR_RETURN(const auto cluster, DescribeOne(admin, arguments.broker));
  const int64_t lost = cluster.states(0).only_in_sync();
  if (lost > 0) {
    RETURN_IF_ERROR(Confirm(BrokerText(arguments.broker) + " is the only one in sync for " +
                                std::to_string(lost) +
                                " partitions, which nobody serves while it is fenced",
                            arguments.yes));
  }
  const TroubleWatch watch = WatchForController(global.server);
  RETURN_IF_ERROR(admin.SetBrokerFence(arguments.broker, true));
  PrintBrokerDone(global, "fenced", arguments);
  return {};
}

Result<void> Unfence(GlobalOptions& global, const BrokerArguments& arguments) {
  const TroubleWatch watch = WatchForController(global.server);
  RETURN_IF_ERROR(Admin(global.server).SetBrokerFence(arguments.broker, false));
  PrintBrokerDone(global, "unfenced", arguments);
  return {};
}

// What it led, with who leads that now.
Result<void> Drain(GlobalOptions& global, const BrokerArguments& arguments) {
  const TroubleWatch watch = WatchForController(global.server);
  ASSIGN_OR_RETURN(const auto drained, Admin(global.server).DrainBroker(arguments.broker, false));
  Json rows = Json::array();
  for (const auto& led : drained.partitions()) {
    rows.push_back({{"topic", led.partition().topic()},
                    {"partition", led.partition().partition()},
                    {"leader", led.leader_id()},
                    {"result", led.status().code() == 0 ? "moved" : led.status().message()}});
  }
  if (global.output == "json") {
    PrintObject(global, {{"broker", arguments.broker},
                         {"result", "drained"},
                         {"moved", drained.moved()},
                         {"kept", drained.kept()},
                         {"partitions", rows}});
    return {};
  }
  if (!rows.empty()) PrintList(global, rows, {"topic", "partition", "leader", "result"});
  const int64_t shown = drained.partitions_size();
  const int64_t more = drained.moved() + drained.kept() - shown;
  if (more > 0) std::cout << "... and " << more << " more\n";
  std::cout << "drained " << BrokerText(arguments.broker) << ": " << drained.moved()
            << " partitions moved, " << drained.kept() << " it leads on\n";
  return {};
}

Result<void> Undrain(GlobalOptions& global, const BrokerArguments& arguments) {
  const TroubleWatch watch = WatchForController(global.server);
  RETURN_IF_ERROR(Admin(global.server).DrainBroker(arguments.broker, true));
  PrintBrokerDone(global, "undrained", arguments);
  return {};
}

Result<void> Unregister(GlobalOptions& global, const BrokerArguments& arguments) {
  const TroubleWatch watch = WatchForController(global.server);
  RETURN_IF_ERROR(Admin(global.server).UnregisterBroker(arguments.broker));
  PrintBrokerDone(global, "unregistered", arguments);
  return {};
}

using BrokerRun = Result<void> (*)(GlobalOptions&, const BrokerArguments&);

// Adds `gregor broker NAME BROKER`.
CLI::App* AddBrokerCommand(CLI::App& group, GlobalOptions& global, const char* name,
                           const char* help, BrokerRun run) {
  const auto arguments = std::make_shared<BrokerArguments>();
  CLI::App* const command = group.add_subcommand(name, help);
  OnCommand(*command, global, [&global, arguments, run] { return run(global, *arguments); });
  if (run == RunBrokerList) return command;
  command->add_option("BROKER", arguments->broker, "Id of the broker")
      ->required()
      ->check(Between(0, INT32_MAX));
  if (run == Fence)
    command->add_flag("--yes", arguments->yes,
                      "Do not ask, also where partitions lose their leader");
  return command;
}

}  // namespace

void AddBrokerCommands(CLI::App& app, GlobalOptions& global) {
  CLI::App* const broker =
      app.add_subcommand("broker", "List, describe, drain, fence and unregister brokers");
  broker->require_subcommand(1);
  AddExamples(
      *AddBrokerCommand(*broker, global, "list", "List brokers and what they hold", RunBrokerList),
      {"gregor broker list", "gregor --output json broker list"},
      "Fenced brokers are registered, but lead nothing: they are not heard of, or were "
      "fenced by hand.");
  AddExamples(
      *AddBrokerCommand(*broker, global, "describe", "Show all that is known of a broker",
                        RunBrokerDescribe),
      {"gregor broker describe 2"},
      "`only in sync` counts partitions of which no other replica is in sync: nobody serves "
      "them without it.");
  AddExamples(
      *AddBrokerCommand(*broker, global, "drain",
                        "Let others lead what a broker leads, until it is undrained", Drain),
      {"gregor broker drain 2"},
      "Before work on its machine: it keeps its replicas, and leads only what nobody else "
      "is in sync for. It stays drained over restarts. The command may be repeated; it shows "
      "what moved, and what could not and why.");
  AddExamples(*AddBrokerCommand(*broker, global, "undrain", "Let a broker lead again", Undrain),
              {"gregor broker undrain 2"},
              "Nothing moves back at once: leaders do by the clock, or with `gregor partition "
              "elect`.");
  AddExamples(
      *AddBrokerCommand(*broker, global, "fence", "Let a broker lead nothing until it is unfenced",
                        Fence),
      {"gregor broker fence 2"},
      "The broker keeps running, and stays fenced over restarts. Others take over what they "
      "are in sync for.");
  AddExamples(*AddBrokerCommand(*broker, global, "unfence", "Let a broker serve again", Unfence),
              {"gregor broker unfence 2"}, "One that does not run serves once it is started.");
  AddExamples(*AddBrokerCommand(*broker, global, "unregister",
                                "Forget a broker that has gone for good", Unregister),
              {"gregor broker unregister 2"},
              "Only one that does not run, and has no replicas. Its id may be used again.");
}

}  // namespace gregor
