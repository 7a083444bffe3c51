#include <iostream>
#include <memory>

#include "client/admin.h"
#include "client/cli/help.h"
#include "client/cli/output.h"
#include "client/cli/partitions.h"

namespace gregor {
namespace {

// Where the endpoint is reached: without a host, at the one that was asked.
std::string AddressOf(const v1::Endpoint& endpoint, const std::string& server) {
  std::string host = endpoint.host();
  if (host.empty()) host = server.substr(0, server.rfind(':'));
  if (host.find(':') != std::string::npos && !host.starts_with('[')) host = "[" + host + "]";
  return host + ":" + std::to_string(endpoint.port());
}

Result<void> DescribeCluster(GlobalOptions& global) {
  ASSIGN_OR_RETURN(const auto response, Admin(Channel::Connect(global.server)).DescribeCluster());
  Json brokers = Json::array();
  for (const auto& broker : response.brokers()) {
    brokers.push_back(
        {{"broker", broker.broker_id()},
         {"address", AddressOf(broker.endpoint(), global.server)},
         {"rack", broker.rack()},
         {"version", broker.version()},
         {"controller", broker.broker_id() == response.controller_id() ? "active" : "-"}});
  }
  Json json = {{"cluster_id", response.cluster_id()}};
  if (global.output == "json") {
    json["controller"] = response.controller_id();
    json["brokers"] = brokers;
    std::cout << Dump(json, 2) << std::endl;
    return {};
  }
  PrintObject(global, json);
  std::cout << "\n";
  PrintList(global, brokers, {"broker", "address", "rack", "version", "controller"});
  return {};
}

Result<void> DescribeLogDirs(GlobalOptions& global, const std::string& topic) {
  const Admin admin(Channel::Connect(global.server));
  // Of a topic that does not exist nothing lies anywhere, and that is no error of the call's.
  if (!topic.empty()) RETURN_IF_ERROR(admin.GetTopic(topic));
  ASSIGN_OR_RETURN(const auto response, admin.DescribeLogDirs(topic));
  Json list = Json::array();
  for (const auto& dir : response.log_dirs()) {
    list.push_back({{"broker", dir.broker_id()},
                    {"path", dir.path()},
                    {"replicas", dir.replica_count()},
                    {"log_bytes", dir.log_bytes()},
                    {"free_bytes", dir.usable_bytes()},
                    {"total_bytes", dir.total_bytes()},
                    {"state", dir.error().code() == 0 ? "online" : dir.error().message()}});
  }
  PrintList(global, list,
            {"broker", "path", "replicas", "log_bytes", "free_bytes", "total_bytes", "state"});
  return {};
}

Result<void> Offsets(GlobalOptions& global, const std::string& topic,
                     const std::vector<std::string>& lists) {
  ASSIGN_OR_RETURN(const auto wanted, ParsePartitions(lists));
  const Admin admin(Channel::Connect(global.server));
  ASSIGN_OR_RETURN(const auto partitions, ChosenPartitions(admin, topic, wanted));
  ASSIGN_OR_RETURN(const auto starts,
                   admin.FindOffsets(topic, partitions, AtAnchor(v1::Position::ANCHOR_EARLIEST)));
  ASSIGN_OR_RETURN(const auto ends,
                   admin.FindOffsets(topic, partitions, AtAnchor(v1::Position::ANCHOR_LATEST)));
  Json list = Json::array();
  for (size_t i = 0; i < partitions.size(); ++i) {
    list.push_back({{"partition", partitions[i]},
                    {"start", starts[i]},
                    {"end", ends[i]},
                    {"records", ends[i] - starts[i]}});
  }
  PrintList(global, list, {"partition", "start", "end", "records"});
  return {};
}

}  // namespace

void AddClusterCommands(CLI::App& app, GlobalOptions& global) {
  CLI::App* const cluster = app.add_subcommand("cluster", "The cluster as a whole");
  cluster->require_subcommand(1);
  CLI::App* const describe =
      cluster->add_subcommand("describe", "Show the cluster's id and brokers");
  AddExamples(*describe, {"gregor cluster describe"});
  OnCommand(*describe, global, [&global] { return DescribeCluster(global); });
  CLI::App* const dirs =
      cluster->add_subcommand("log-dirs", "Show the brokers' log directories and what is in them");
  const auto dirs_topic = std::make_shared<std::string>();
  dirs->add_option("--topic", *dirs_topic, "Count only this topic")->type_name("NAME");
  AddExamples(*dirs, {"gregor cluster log-dirs", "gregor cluster log-dirs --topic orders"});
  OnCommand(*dirs, global, [&global, dirs_topic] { return DescribeLogDirs(global, *dirs_topic); });

  CLI::App* const offsets =
      app.add_subcommand("offsets", "Show the first and the next offset of each partition");
  const auto topic = std::make_shared<std::string>();
  const auto partitions = std::make_shared<std::vector<std::string>>();
  offsets->add_option("TOPIC", *topic, "Topic")->required();
  AddPartitionOption(*offsets, *partitions);
  AddExamples(*offsets, {"gregor offsets orders", "gregor --output json offsets orders"},
              "`end` is the offset of the next record. Where compaction removed records there are "
              "fewer than the numbers between.");
  OnCommand(*offsets, global,
            [&global, topic, partitions] { return Offsets(global, *topic, *partitions); });
}

}  // namespace gregor
