#include <iostream>
#include <map>
#include <memory>

#include "client/admin.h"
#include "client/cli/brokers.h"
#include "client/cli/features.h"
#include "client/cli/help.h"
#include "client/cli/output.h"
#include "client/cli/partitions.h"

namespace gregor {
namespace {

constexpr Duration kLeaderPatience = std::chrono::seconds(2);  // beyond a fail-over

int32_t FeatureLevelOf(const v1::DescribeClusterResponse& cluster) {
  for (const v1::Feature& feature : cluster.features()) {
    if (feature.name() == "metadata") return feature.finalized();
  }
  return 0;
}

Result<void> DescribeCluster(GlobalOptions& global) {
  ASSIGN_OR_RETURN(const auto cluster, Admin(global.server).DescribeCluster());
  const auto& sums = cluster.sums();
  Json json = {{"cluster_id", cluster.cluster_id()},
               {"controller", cluster.controller_id()},
               {"feature_level", FeatureLevelOf(cluster)},
               {"metadata_version", sums.metadata_version()},
               {"metadata_hash", sums.metadata_hash()},
               {"topics", sums.topics()},
               {"partitions", sums.partitions()},
               {"without_leader", sums.partitions_without_leader()},
               {"under_min_isr", sums.partitions_under_min_isr()},
               {"under_replicated", sums.partitions_under_replicated()}};
  const Json brokers = BrokerRows(cluster, global.server);
  if (global.output == "json") {
    json["brokers"] = brokers;
    std::cout << Dump(json, 2) << std::endl;
    return {};
  }
  if (cluster.controller_id() < 0) json["controller"] = std::string("none: ") + kNoMajority;
  PrintObject(global, json);
  std::cout << "\n";
  PrintBrokers(global, brokers);
  return {};
}

// A broker that is asked for its own directories has them at hand.
constexpr Duration kLogDirsTimeout = std::chrono::seconds(10);

using LogDirs = std::map<int32_t, std::vector<v1::DescribeLogDirsResponse::LogDir>>;  // by broker

// Adds the directories of `brokers`, each of which knows its own only. Says on stderr who does not
// answer; how many those are.
int AskForLogDirs(const std::map<int32_t, std::string>& addresses,
                  const google::protobuf::RepeatedField<int32_t>& brokers, const std::string& topic,
                  LogDirs& found) {
  int missing = 0;
  for (const int32_t broker : brokers) {
    const auto address = addresses.find(broker);
    if (address == addresses.end()) continue;  // it was unregistered meanwhile
    const auto response = Admin(address->second, kLogDirsTimeout).DescribeLogDirs(topic);
    auto& dirs = found[broker];
    for (int i = 0; response.ok() && i < response->log_dirs_size(); ++i) {
      // Another broker may have that address by now.
      if (response->log_dirs(i).broker_id() == broker) dirs.push_back(response->log_dirs(i));
    }
    if (!dirs.empty()) continue;
    ++missing;
    PrintError(Error(response.ok() ? Reason::kUnspecified : response.error().reason,
                     "broker " + std::to_string(broker) + ": " +
                         (response.ok() ? "another node answers at " + address->second
                                        : response.error().message)),
               false);
  }
  return missing;
}

Result<void> DescribeLogDirs(GlobalOptions& global, const std::string& topic) {
  const Admin admin(global.server);
  // Of a topic that does not exist nothing lies anywhere, and that is no error of the call's.
  if (!topic.empty()) RETURN_IF_ERROR(admin.GetTopic(topic));
  ASSIGN_OR_RETURN(const auto cluster, admin.DescribeCluster());
  ASSIGN_OR_RETURN(const auto response, admin.DescribeLogDirs(topic));
  std::map<int32_t, std::string> addresses;
  for (const Json& row : BrokerRows(cluster, global.server))
    addresses[row["broker"].get<int32_t>()] = row["address"].get<std::string>();
  LogDirs found;
  for (const auto& dir : response.log_dirs()) found[dir.broker_id()].push_back(dir);
  const int missing = AskForLogDirs(addresses, response.unreachable(), topic, found);
  Json list = Json::array();
  for (const auto& [broker, dirs] : found) {
    for (const auto& dir : dirs) {
      list.push_back({{"broker", broker},
                      {"path", dir.path()},
                      {"replicas", dir.replica_count()},
                      {"offline", dir.offline_count()},
                      {"log_bytes", dir.log_bytes()},
                      {"free_bytes", dir.usable_bytes()},
                      {"total_bytes", dir.total_bytes()},
                      {"state", dir.error().code() == 0 ? "online" : dir.error().message()}});
    }
  }
  PrintList(
      global, list,
      {"broker", "path", "replicas", "offline", "log_bytes", "free_bytes", "total_bytes", "state"});
  if (missing == 0) return {};
  return Error(Reason::kUnspecified, "the directories of " + std::to_string(missing) + " of " +
                                         std::to_string(addresses.size()) +
                                         " brokers are not shown: those do not answer");
}

Result<void> Offsets(GlobalOptions& global, const std::string& topic,
                     const std::vector<std::string>& lists) {
  ASSIGN_OR_RETURN(const auto wanted, ParsePartitions(lists));
  const Admin admin(global.server);
  ASSIGN_OR_RETURN(const auto chosen, ChosenPartitions(admin, topic, wanted));
  ASSIGN_OR_RETURN(const auto partitions, admin.WithLeader(topic, chosen, kLeaderPatience));
  const auto ask = [&](const std::vector<int32_t>& of) -> Result<std::vector<PartitionRange>> {
    ASSIGN_OR_RETURN(const auto starts,
                     admin.FindOffsets(topic, of, AtAnchor(v1::Position::ANCHOR_EARLIEST)));
    ASSIGN_OR_RETURN(const auto ends,
                     admin.FindOffsets(topic, of, AtAnchor(v1::Position::ANCHOR_LATEST)));
    std::vector<PartitionRange> ranges;
    for (size_t i = 0; i < of.size(); ++i) ranges.push_back({of[i], starts[i], ends[i]});
    return ranges;
  };
  ASSIGN_OR_RETURN(const auto ranges, RangesOfReadable(global, partitions, ask));
  Json list = Json::array();
  for (const PartitionRange& range : ranges) {
    list.push_back({{"partition", range.partition},
                    {"start", range.start},
                    {"end", range.end},
                    {"records", range.end - range.start}});
  }
  PrintList(global, list, {"partition", "start", "end", "records"});
  if (partitions.size() == chosen.size()) return {};
  return Error(Reason::kUnspecified,
               std::to_string(chosen.size() - partitions.size()) + " of " +
                   std::to_string(chosen.size()) +
                   " partitions are not shown, as no broker leads them at present: `gregor topic "
                   "describe " +
                   topic + "` says which");
}

}  // namespace

void AddClusterCommands(CLI::App& app, GlobalOptions& global) {
  CLI::App* const cluster = app.add_subcommand("cluster", "The cluster as a whole");
  cluster->require_subcommand(1);
  CLI::App* const describe =
      cluster->add_subcommand("describe", "Show the cluster's id, state and brokers");
  AddExamples(*describe, {"gregor cluster describe"});
  OnCommand(*describe, global, [&global] { return DescribeCluster(global); });
  CLI::App* const dirs =
      cluster->add_subcommand("log-dirs", "Show the brokers' log directories and what is in them");
  const auto dirs_topic = std::make_shared<std::string>();
  dirs->add_option("--topic", *dirs_topic, "Count only this topic")->type_name("NAME");
  AddExamples(*dirs, {"gregor cluster log-dirs", "gregor cluster log-dirs --topic orders"},
              "Each broker is asked for its own; those that do not answer are named on stderr, and "
              "the exit code is 1 then. Of offline replicas the broker's log says why, and "
              "`gregor topic describe NAME` which they are.");
  OnCommand(*dirs, global, [&global, dirs_topic] { return DescribeLogDirs(global, *dirs_topic); });

  AddFeatureCommands(*cluster, global);

  CLI::App* const offsets =
      app.add_subcommand("offsets", "Show the first and the next offset of each partition");
  const auto topic = std::make_shared<std::string>();
  const auto partitions = std::make_shared<std::vector<std::string>>();
  offsets->add_option("TOPIC", *topic, "Topic")->required()->check(NotEmpty());
  AddPartitionOption(*offsets, *partitions);
  AddExamples(*offsets, {"gregor offsets orders", "gregor --output json offsets orders"},
              "`end` is the offset of the next record. Where compaction removed records there are "
              "fewer than the numbers between. Partitions that have no leader are counted on "
              "stderr, and the exit code is 1 then.");
  OnCommand(*offsets, global,
            [&global, topic, partitions] { return Offsets(global, *topic, *partitions); });
}

}  // namespace gregor
