// `gregor quorum`: who keeps the cluster's metadata.
#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>

#include "base/host_port.h"
#include "client/admin.h"
#include "client/cli/brokers.h"
#include "client/cli/output.h"

namespace gregor {
namespace {

// What the commands that change the voters take.
struct VoterArguments {
  int32_t node = -1;
  std::string directory;
  std::string endpoint;
};

std::string DirectoryText(const std::string& bytes) {
  DirectoryId id;
  if (bytes.size() != id.bytes.size()) return "-";
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return id.ToString();
}

// 16 bytes, or none for an empty text.
Result<std::string> DirectoryBytes(const std::string& text) {
  if (text.empty()) return std::string();
  const auto id = DirectoryId::Parse(text);
  if (!id.has_value()) {
    return Error(Reason::kInvalidArgument,
                 "--directory \"" + text +
                     "\" is no directory id: `gregor quorum describe` shows them, and "
                     "meta.properties in a node's data directory has its own");
  }
  return std::string(id->bytes.begin(), id->bytes.end());
}

Result<v1::Endpoint> ParseEndpoint(const std::string& text) {
  const size_t colon = text.rfind(':');
  v1::Endpoint endpoint;
  int port = 0;
  if (colon != std::string::npos && text.size() - colon <= 6) {
    for (const char c : text.substr(colon + 1))
      port = c < '0' || c > '9' ? -1 : port * 10 + c - '0';
  }
  if (port < 1 || port > UINT16_MAX || colon == 0) {
    return Error(Reason::kInvalidArgument,
                 "--endpoint \"" + text + "\" is not of the form HOST:PORT");
  }
  std::string host = text.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  endpoint.set_host(host);
  endpoint.set_port(port);
  return endpoint;
}

Json VoterRow(const v1::DescribeQuorumResponse& quorum,
              const v1::DescribeQuorumResponse::Member& member, bool votes) {
  Json row = {{"node", member.broker_id()},
              {"role", !votes                                     ? "observer"
                       : member.broker_id() == quorum.leader_id() ? "leader"
                                                                  : "voter"}};
  if (member.has_endpoint()) {
    row["address"] = JoinHostPort(member.endpoint().host(), member.endpoint().port());
  }
  if (member.match_index() >= 0) {
    row["offset"] = member.match_index();
    const int64_t end = votes ? quorum.end_index() : quorum.commit_index();
    row["lag"] = std::max<int64_t>(0, end - member.match_index());
  }
  if (member.last_contact_ms_ago() >= 0) row["heard_ms_ago"] = member.last_contact_ms_ago();
  if (member.last_caught_up_ms_ago() >= 0) row["caught_up_ms_ago"] = member.last_caught_up_ms_ago();
  row["directory"] = DirectoryText(member.directory_id());
  return row;
}

Result<void> RunQuorumDescribe(GlobalOptions& global) {
  ASSIGN_OR_RETURN(const auto quorum, Admin(global.server).DescribeQuorum());
  Json members = Json::array();
  for (const auto& voter : quorum.voters()) members.push_back(VoterRow(quorum, voter, true));
  for (const auto& learner : quorum.learners()) members.push_back(VoterRow(quorum, learner, false));
  Json json = {{"leader", quorum.leader_id()},
               {"term", quorum.term()},
               {"commit_offset", quorum.commit_index()},
               {"end_offset", quorum.end_index()}};
  if (global.output == "json") {
    json["members"] = members;
    std::cout << Dump(json, 2) << std::endl;
    return {};
  }
  if (quorum.leader_id() < 0) json["leader"] = std::string("none: ") + kNoMajority;
  PrintObject(global, json);
  std::cout << "\n";
  PrintList(global, members,
            {"node", "role", "address", "offset", "lag", "heard_ms_ago", "caught_up_ms_ago",
             "directory"});
  return {};
}

Result<void> RunVoterAdd(GlobalOptions& global, const VoterArguments& arguments) {
  v1::AddVoterRequest request;
  request.set_node_id(arguments.node);
  ASSIGN_OR_RETURN(*request.mutable_directory_id(), DirectoryBytes(arguments.directory));
  if (!arguments.endpoint.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_endpoint(), ParseEndpoint(arguments.endpoint));
  }
  const TroubleWatch watch = WatchForController(global.server);
  RETURN_IF_ERROR(Admin(global.server).AddVoter(request));
  if (global.output == "json") {
    std::cout << Dump(Json{{"added", arguments.node}}, 2) << std::endl;
  } else {
    std::cout << "node " << arguments.node << " is a voter now" << std::endl;
  }
  return {};
}

Result<void> RunVoterRemove(GlobalOptions& global, const VoterArguments& arguments) {
  v1::RemoveVoterRequest request;
  request.set_node_id(arguments.node);
  ASSIGN_OR_RETURN(*request.mutable_directory_id(), DirectoryBytes(arguments.directory));
  const TroubleWatch watch = WatchForController(global.server);
  RETURN_IF_ERROR(Admin(global.server).RemoveVoter(request));
  if (global.output == "json") {
    std::cout << Dump(Json{{"removed", arguments.node}}, 2) << std::endl;
  } else {
    std::cout << "node " << arguments.node << " is no voter any more" << std::endl;
  }
  return {};
}

Result<void> RunTransfer(GlobalOptions& global, std::optional<int32_t> to) {
  const TroubleWatch watch = WatchForController(global.server);
  ASSIGN_OR_RETURN(const int32_t leader, Admin(global.server).TransferQuorumLeadership(to));
  if (global.output == "json") {
    std::cout << Dump(Json{{"leader", leader}}, 2) << std::endl;
  } else {
    std::cout << "node " << leader << " is the active controller now" << std::endl;
  }
  return {};
}

}  // namespace

void AddQuorumCommands(CLI::App& app, GlobalOptions& global) {
  CLI::App* const quorum =
      app.add_subcommand("quorum", "The controllers that keep the cluster's metadata");
  quorum->require_subcommand(1);
  CLI::App* const describe =
      quorum->add_subcommand("describe", "Show who leads, votes and follows, and how far they are");
  AddExamples(*describe, {"gregor quorum describe"},
              "`lag` counts records that a node does not have durably. Only a leader knows offsets "
              "and times.");
  OnCommand(*describe, global, [&global] { return RunQuorumDescribe(global); });

  const auto arguments = std::make_shared<VoterArguments>();
  const auto add_voter_options = [arguments](CLI::App& command, const char* which) {
    command.add_option("NODE", arguments->node, "Id of the node")
        ->required()
        ->check(CLI::NonNegativeNumber);
    command.add_option("--directory", arguments->directory, which)->type_name("ID");
  };
  CLI::App* const add = quorum->add_subcommand("add", "Give a vote to a controller that follows");
  add_voter_options(*add, "Its metadata directory (default: the one that it follows with)");
  add->add_option("--endpoint", arguments->endpoint,
                  "Where the other nodes reach it (default: as it says itself)")
      ->type_name("HOST:PORT");
  AddExamples(*add, {"gregor quorum add 4"},
              "The node runs already, with the role controller, and has caught up: see `gregor "
              "quorum describe`. One change at a time; an odd number of voters is best.");
  OnCommand(*add, global, [&global, arguments] { return RunVoterAdd(global, *arguments); });

  CLI::App* const remove =
      quorum->add_subcommand("remove", "Take a controller's vote, because it goes, or is lost");
  add_voter_options(*remove, "Its metadata directory (default: the one that votes)");
  AddExamples(*remove, {"gregor quorum remove 2"},
              "A node that runs on follows without a vote. Where it led, another one leads.");
  OnCommand(*remove, global, [&global, arguments] { return RunVoterRemove(global, *arguments); });

  CLI::App* const transfer =
      quorum->add_subcommand("transfer", "Make another controller the active one");
  const auto to = std::make_shared<std::optional<int32_t>>();
  transfer->add_option("NODE", *to, "Id of the node (default: the voter that has most of the log)");
  AddExamples(*transfer, {"gregor quorum transfer", "gregor quorum transfer 3"});
  OnCommand(*transfer, global, [&global, to] { return RunTransfer(global, *to); });
}

}  // namespace gregor
