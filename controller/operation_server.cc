#include "controller/operation_server.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "controller/operation_codec.h"

namespace gregor {
namespace {

constexpr char kLeaderKey[] = "controller_id";
constexpr char kTermKey[] = "controller_term";
// Nobody waits longer; and a wrong number does no harm.
constexpr std::chrono::milliseconds kTimeoutMax = std::chrono::hours(1);

// Why the request is not even looked at, or nothing.
Result<void> CheckEnvelope(const pb::OperationRequest& request, const ClusterId& cluster) {
  ClusterId meant;
  if (!ReadId(request.cluster_id(), &meant) || meant != cluster) {
    return Error(Reason::kInconsistentClusterId,
                 "the operation is for cluster " + meant.ToString() +
                     ", and this node belongs to " + cluster.ToString() +
                     ": correct the addresses in the settings")
        .With("outcome", "NOT_APPLIED");
  }
  if (request.hop_count() != 1) {
    return Error(Reason::kInvalidArgument, "an operation is passed on once, not " +
                                               std::to_string(request.hop_count()) + " times")
        .With("outcome", "NOT_APPLIED");
  }
  if (request.timeout_ms() > 0) return {};
  return Error(Reason::kCommitTimedOut, "the operation's time was up before it came here")
      .With("outcome", "NOT_APPLIED");
}

int32_t ReadNumber(const std::string& text) {
  int32_t number = -1;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

void OperationServer::Execute(const pb::OperationRequest& request, Done done) {
  const auto refuse = [&](const Error& error) {
    pb::OperationResponse response;
    EncodeError(error, *response.mutable_error());
    done(std::move(response));
  };
  if (const auto checked = CheckEnvelope(request, cluster_); !checked.ok())
    return refuse(checked.error());
  auto operation = DecodeOperation(request);
  if (!operation.ok()) return refuse(operation.error());
  OperationContext context;
  context.principal = request.principal();
  context.timeout = std::min(std::chrono::milliseconds(request.timeout_ms()), kTimeoutMax);
  controller_.Execute(*std::move(operation), context,
                      [this, done = std::move(done)](Result<OperationAnswer> answer) mutable {
                        pb::OperationResponse response;
                        // Whatever the answer stands on is applied here by now, and nothing after
                        // it.
                        if (answer.ok() || OperationOutcome(answer.error()) != "NOT_APPLIED")
                          response.set_visible_offset(controller_.image()->version.value);
                        if (!answer.ok() && answer.error().reason == Reason::kNotController) {
                          Error refused = std::move(answer).error();
                          AddLeader(controller_.leader(), refused);
                          answer = std::move(refused);
                        }
                        EncodeAnswer(answer, response);
                        done(std::move(response));
                      });
}

pb::OperationResponse OperationServer::NotServing() {
  pb::OperationResponse response;
  EncodeError(Error(Reason::kNotController, "the node starts or stops: try again, or another one")
                  .With("outcome", "NOT_APPLIED"),
              *response.mutable_error());
  return response;
}

void AddLeader(const QuorumLeader& leader, Error& error) {
  if (leader.leader.value < 0) return;
  error.With(kLeaderKey, std::to_string(leader.leader.value));
  error.With(kTermKey, std::to_string(leader.term.value));
}

QuorumLeader LeaderOf(const Error& error) {
  QuorumLeader leader;
  for (const auto& [key, value] : error.details) {
    if (key == kLeaderKey) leader.leader.value = ReadNumber(value);
    if (key == kTermKey) leader.term.value = ReadNumber(value);
  }
  if (leader.leader.value < 0 || leader.term.value < 0) return {};
  return leader;
}

}  // namespace gregor
