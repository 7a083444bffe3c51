#include "controller/quorum_server.h"

#include <utility>

#include "controller/image/records.h"
#include "controller/operation_codec.h"
#include "controller/operation_server.h"

namespace gregor {
namespace {

using pb::QuorumRequest;
using pb::QuorumResponse;
using std::chrono::duration_cast;
using std::chrono::milliseconds;

constexpr char kListener[] = "internal";

void Encode(const QuorumMember& member, QuorumResponse::Member& out) {
  out.set_node_id(member.key.node.value);
  out.set_directory_id(ToBytes(member.key.directory.bytes));
  for (const VoterEndpoint& endpoint : member.endpoints) {
    if (endpoint.listener != kListener) continue;
    out.mutable_endpoint()->set_host(endpoint.host);
    out.mutable_endpoint()->set_port(endpoint.port);
  }
  if (member.match.has_value()) out.set_match_offset(member.match->value);
  if (member.heard_ago.has_value())
    out.set_heard_ms_ago(duration_cast<milliseconds>(*member.heard_ago).count());
  if (member.caught_up_ago.has_value())
    out.set_caught_up_ms_ago(duration_cast<milliseconds>(*member.caught_up_ago).count());
  out.set_feature_level_min(member.feature_level_min);
  out.set_feature_level_max(member.feature_level_max);
}

void Encode(const QuorumStatus& status, QuorumResponse::Description& out) {
  out.set_leader_id(status.leader.leader.value);
  out.set_term(status.leader.term.value);
  out.set_commit_offset(status.commit.value);
  out.set_end_offset(status.end.value);
  for (const QuorumMember& member : status.voters) Encode(member, *out.add_voters());
  for (const QuorumMember& member : status.observers) Encode(member, *out.add_observers());
}

Result<Voter> DecodeVoter(const QuorumRequest::VoterChange& change) {
  Voter voter{{NodeId{change.node_id()}, DirectoryId{}}, {}};
  const bool is_named = !change.directory_id().empty();
  if (change.node_id() < 0 || (is_named && !ReadId(change.directory_id(), &voter.key.directory)))
    return Error(Reason::kInvalidArgument, "a voter is a node id from 0 on and a directory id");
  if (!change.has_endpoint()) return voter;
  const auto& endpoint = change.endpoint();
  if (endpoint.host().empty() || endpoint.port() == 0 || endpoint.port() > UINT16_MAX)
    return Error(Reason::kInvalidArgument, "the voter's endpoint is not of the form host:port");
  voter.endpoints.push_back({kListener, endpoint.host(), static_cast<uint16_t>(endpoint.port())});
  return voter;
}

}  // namespace

void QuorumServer::Execute(QuorumRequest request, Done done) {
  loop_.Post("controller.quorum",
             [this, request = std::move(request), done = std::move(done)]() mutable {
               Run(request, std::move(done));
             });
}

QuorumResponse QuorumServer::NotServing() {
  return Refusal(
      Error(Reason::kNotController, "the node starts or stops: try again, or another one")
          .With("outcome", "NOT_APPLIED"));
}

QuorumResponse QuorumServer::Refusal(const Error& error) {
  QuorumResponse response;
  EncodeError(error, *response.mutable_error());
  return response;
}

void QuorumServer::Run(const QuorumRequest& request, Done done) {
  // A node that does not lead says who does, if it knows.
  auto refuse = [this](Error error, Done& done) {
    if (error.reason == Reason::kNotController && OperationOutcome(error) == "NOT_APPLIED")
      AddLeader(controller_.leader(), error);
    done(Refusal(error));
  };
  ClusterId meant;
  if (!ReadId(request.cluster_id(), &meant) || meant != cluster_) {
    return refuse(Error(Reason::kInconsistentClusterId,
                        "the request is for another cluster than this node's, " +
                            cluster_.ToString() + ": correct the addresses in the settings")
                      .With("outcome", "NOT_APPLIED"),
                  done);
  }
  if (request.has_describe()) {
    return controller_.DescribeQuorum(
        [refuse, done = std::move(done)](Result<QuorumStatus> status) mutable {
          if (!status.ok()) return refuse(std::move(status).error(), done);
          QuorumResponse response;
          Encode(*status, *response.mutable_description());
          done(std::move(response));
        });
  }
  if (request.has_transfer()) {
    std::optional<NodeId> to;
    if (request.transfer().has_node_id()) to = NodeId{request.transfer().node_id()};
    return controller_.Transfer(to, [refuse, done = std::move(done)](Result<NodeId> led) mutable {
      if (!led.ok()) return refuse(std::move(led).error(), done);
      QuorumResponse response;
      response.set_leader_id(led->value);
      done(std::move(response));
    });
  }
  const bool adds = request.has_add_voter();
  if (!adds && !request.has_remove_voter()) {
    return refuse(Error(Reason::kUnsupportedVersion, "this node does not know that request")
                      .With("outcome", "NOT_APPLIED"),
                  done);
  }
  auto voter = DecodeVoter(adds ? request.add_voter() : request.remove_voter());
  if (!voter.ok()) return refuse(std::move(voter).error().With("outcome", "NOT_APPLIED"), done);
  auto changed = [refuse, done = std::move(done)](Result<void> result) mutable {
    if (!result.ok()) return refuse(std::move(result).error(), done);
    QuorumResponse response;
    response.mutable_changed();
    done(std::move(response));
  };
  if (adds) return controller_.AddVoter(*std::move(voter), std::move(changed));
  controller_.RemoveVoter(voter->key, std::move(changed));
}

}  // namespace gregor
