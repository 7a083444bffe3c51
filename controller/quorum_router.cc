#include "controller/quorum_router.h"

#include <algorithm>
#include <utility>

#include "controller/image/records.h"
#include "controller/node_stops.h"
#include "controller/operation_codec.h"
#include "controller/operation_server.h"

namespace gregor {
namespace {

constexpr Duration kRetryAfter = std::chrono::milliseconds(50);
// Nobody waits longer; and a wrong number does no harm.
constexpr Duration kTimeoutMax = std::chrono::hours(1);

bool MayBeTriedAgain(const Error& error) {
  return error.reason == Reason::kNotController && OperationOutcome(error) == "NOT_APPLIED";
}

Error Nonsense() {
  return Error(Reason::kUnspecified, "the active controller's answer makes no sense")
      .With("outcome", "UNKNOWN");
}

DescribedMember Decode(const pb::QuorumResponse::Member& member) {
  DescribedMember out;
  out.node = NodeId{member.node_id()};
  ReadId(member.directory_id(), &out.directory);
  if (member.has_endpoint())
    out.endpoint =
        Endpoint{member.endpoint().host(), static_cast<uint16_t>(member.endpoint().port())};
  if (member.has_match_offset()) out.match = Offset{member.match_offset()};
  if (member.has_heard_ms_ago()) out.heard_ago = std::chrono::milliseconds(member.heard_ms_ago());
  if (member.has_caught_up_ms_ago())
    out.caught_up_ago = std::chrono::milliseconds(member.caught_up_ms_ago());
  out.feature_level_min = member.feature_level_min();
  out.feature_level_max = member.feature_level_max();
  return out;
}

DescribedQuorum Decode(const pb::QuorumResponse::Description& description) {
  DescribedQuorum out;
  out.leader = NodeId{description.leader_id()};
  out.term = description.term();
  out.commit = Offset{description.commit_offset()};
  out.end = Offset{description.end_offset()};
  for (const auto& member : description.voters()) out.voters.push_back(Decode(member));
  for (const auto& member : description.observers()) out.observers.push_back(Decode(member));
  return out;
}

void Encode(const ChangeVoter& change, pb::QuorumRequest::VoterChange& out) {
  out.set_node_id(change.node.value);
  if (!(change.directory == DirectoryId{})) out.set_directory_id(ToBytes(change.directory.bytes));
  if (!change.endpoint.has_value()) return;
  out.mutable_endpoint()->set_host(change.endpoint->host);
  out.mutable_endpoint()->set_port(change.endpoint->port);
}

UniqueFunction<void(Result<pb::QuorumResponse>)> WhenChanged(QuorumApi::Done<void> done) {
  return [done = std::move(done)](Result<pb::QuorumResponse> response) mutable {
    if (!response.ok()) return done(std::move(response).error());
    if (!response->has_changed()) return done(Nonsense());
    done({});
  };
}

}  // namespace

QuorumRouter::QuorumRouter(Options options)
    : options_(std::move(options)), own_(*options_.loop, *options_.controller, options_.cluster) {}

QuorumRouter::~QuorumRouter() { *alive_ = false; }

void QuorumRouter::Describe(Done<DescribedQuorum> done, const OperationContext& context) {
  Request request;
  request.mutable_describe();
  Submit(std::move(request), context, [done = std::move(done)](Result<Response> response) mutable {
    if (!response.ok()) return done(std::move(response).error());
    if (!response->has_description()) return done(Nonsense());
    done(Decode(response->description()));
  });
}

void QuorumRouter::AddVoter(ChangeVoter change, Done<void> done, const OperationContext& context) {
  Request request;
  Encode(change, *request.mutable_add_voter());
  Submit(std::move(request), context, WhenChanged(std::move(done)));
}

void QuorumRouter::RemoveVoter(ChangeVoter change, Done<void> done,
                               const OperationContext& context) {
  Request request;
  Encode(change, *request.mutable_remove_voter());
  Submit(std::move(request), context, WhenChanged(std::move(done)));
}

void QuorumRouter::Transfer(std::optional<NodeId> to, Done<NodeId> done,
                            const OperationContext& context) {
  Request request;
  request.mutable_transfer();
  if (to.has_value()) request.mutable_transfer()->set_node_id(to->value);
  Submit(std::move(request), context, [done = std::move(done)](Result<Response> response) mutable {
    if (!response.ok()) return done(std::move(response).error());
    if (response->answer_case() != Response::kLeaderId) return done(Nonsense());
    done(NodeId{response->leader_id()});
  });
}

void QuorumRouter::Submit(Request request, const OperationContext& context, Done<Response> done) {
  request.set_cluster_id(ToBytes(options_.cluster.bytes));
  request.set_principal(context.principal);
  auto call = std::make_shared<Call>();
  call->request = std::move(request);
  call->done = std::move(done);
  const Duration timeout = std::clamp(context.timeout, Duration(0), kTimeoutMax);
  options_.loop->Post("controller.ask_quorum", [this, alive = alive_, call, timeout] {
    if (!*alive) {
      return call->done(NodeStops(false));
    }
    call->deadline = options_.loop->clock().Now() + timeout;
    calls_.insert(call);
    Try(call);
  });
}

void QuorumRouter::Try(const CallPtr& call) {
  const NodeId leader = this->leader();
  const Duration left = call->deadline - options_.loop->clock().Now();
  if (left < std::chrono::milliseconds(1)) {
    const std::string why = call->refused.has_value() ? ": " + call->refused->message : "";
    return Finish(
        call, Error(Reason::kNotController,
                    "no active controller could be asked in time" + why + ". Retry a little later")
                  .With("outcome", "NOT_APPLIED"));
  }
  auto on_response = [this, loop = options_.loop, alive = alive_,
                      call](Result<Response> response) mutable {
    // Whoever answers knows nothing of this object's life.
    loop->Post("controller.quorum_response",
               [this, alive = std::move(alive), call, response = std::move(response)]() mutable {
                 if (*alive) OnResponse(call, std::move(response));
               });
  };
  // What there is without a leader, each node knows for itself.
  if (leader == options_.node_id || (leader.value < 0 && call->request.has_describe())) {
    call->is_asked = true;
    return own_.Execute(call->request, std::move(on_response));
  }
  if (leader.value >= 0 && options_.remote != nullptr) {
    call->is_asked = true;
    return options_.remote->AskQuorum(leader, call->request, left, std::move(on_response));
  }
  OnResponse(call, Error(Reason::kNotController, "the metadata quorum has no leader")
                       .With("outcome", "NOT_APPLIED"));
}

void QuorumRouter::OnResponse(const CallPtr& call, Result<Response> response) {
  if (calls_.count(call) == 0) return;
  call->is_asked = false;
  Result<Response> result = std::move(response);
  if (result.ok() && result->has_error()) result = DecodeError(result->error());
  if (result.ok() || !MayBeTriedAgain(result.error())) return Finish(call, std::move(result));
  call->refused = result.error();
  options_.loop->After(kRetryAfter, "controller.retry_quorum", [this, alive = alive_, call] {
    if (*alive && calls_.count(call) != 0) Try(call);
  });
}

void QuorumRouter::Finish(const CallPtr& call, Result<Response> response) {
  calls_.erase(call);
  call->done(std::move(response));
}

void QuorumRouter::Close(Task done) {
  options_.loop->Post("controller.close_quorum", [this, done = std::move(done)]() mutable {
    *alive_ = false;
    for (const CallPtr& call : std::exchange(calls_, {})) {
      call->done(call->is_asked ? Error(Reason::kNotController,
                                        "the node stops; look whether the voters have changed")
                                      .With("outcome", "UNKNOWN")
                                : NodeStops(false));
    }
    done();
  });
}

}  // namespace gregor
