#include "broker/grpc/quorum_messages.h"

#include <algorithm>
#include <string>

#include "broker/grpc/convert.h"

namespace gregor {
namespace {

using Member = v1::DescribeQuorumResponse::Member;

// -1: not known.
int64_t Milliseconds(const std::optional<Duration>& duration) {
  if (!duration.has_value()) return -1;
  return std::chrono::duration_cast<std::chrono::milliseconds>(*duration).count();
}

void Fill(const DescribedMember& member, Member& out) {
  out.set_broker_id(member.node.value);
  out.set_directory_id(ToBytes(member.directory.bytes));
  out.set_match_index(member.match.value_or(Offset{-1}).value);
  out.set_last_contact_ms_ago(Milliseconds(member.heard_ago));
  out.set_last_caught_up_ms_ago(Milliseconds(member.caught_up_ago));
  out.set_feature_level_min(member.feature_level_min);
  out.set_feature_level_max(member.feature_level_max);
  if (!member.endpoint.has_value()) return;
  out.mutable_endpoint()->set_host(member.endpoint->host);
  out.mutable_endpoint()->set_port(member.endpoint->port);
}

Result<ChangeVoter> ToVoter(int32_t node, const std::string& directory) {
  ChangeVoter change;
  change.node = NodeId{node};
  if (node < 0) {
    return Error(Reason::kInvalidArgument,
                 "node_id is " + std::to_string(node) + ": a number from 0 on");
  }
  if (directory.empty()) return change;
  if (directory.size() != change.directory.bytes.size()) {
    return Error(Reason::kInvalidArgument, "directory_id has " + std::to_string(directory.size()) +
                                               " bytes; an id has 16, and none means the node's");
  }
  std::copy(directory.begin(), directory.end(), change.directory.bytes.begin());
  return change;
}

}  // namespace

v1::DescribeQuorumResponse ToMessage(const DescribedQuorum& quorum) {
  v1::DescribeQuorumResponse response;
  response.set_leader_id(quorum.leader.value);
  response.set_term(quorum.term);
  response.set_commit_index(quorum.commit.value);
  response.set_end_index(quorum.end.value);
  for (const DescribedMember& member : quorum.voters) Fill(member, *response.add_voters());
  for (const DescribedMember& member : quorum.observers) Fill(member, *response.add_learners());
  return response;
}

Result<ChangeVoter> ToChange(const v1::AddVoterRequest& request) {
  ASSIGN_OR_RETURN(ChangeVoter change, ToVoter(request.node_id(), request.directory_id()));
  if (!request.has_endpoint()) return change;
  const auto& endpoint = request.endpoint();
  if (endpoint.host().empty() || endpoint.port() < 1 || endpoint.port() > UINT16_MAX) {
    return Error(Reason::kInvalidArgument,
                 "endpoint needs a host, and a port from 1 to 65535; unset, it is where the node "
                 "says that it listens");
  }
  change.endpoint = Endpoint{endpoint.host(), static_cast<uint16_t>(endpoint.port())};
  return change;
}

Result<ChangeVoter> ToChange(const v1::RemoveVoterRequest& request) {
  return ToVoter(request.node_id(), request.directory_id());
}

}  // namespace gregor
