#include "tests/raft/message_text.h"

#include <sstream>
#include <variant>

#include "base/overloaded.h"

namespace gregor::raft {
namespace {

std::string AppendText(const AppendRequest& request) {
  std::ostringstream text;
  text << " after " << request.prev_term << "/" << request.base << ":";
  for (const BatchInfo& batch : request.batches) {
    text << " " << batch.term << "/" << batch.base;
    if (batch.next - batch.base > 1) text << ".." << batch.next + -1;
  }
  if (request.batches.empty()) text << " nothing";
  text << ", commit " << request.commit;
  return text.str();
}

std::string AppendReplyText(const AppendReply& reply) {
  std::ostringstream text;
  if (reply.matched) {
    text << " has " << reply.received << ", durable " << reply.durable;
  } else {
    text << " differs before " << reply.base << ", look at " << reply.hint_term << "/"
         << reply.hint_end;
  }
  return text.str();
}

}  // namespace

const char* NameOf(Role role) {
  switch (role) {
    case Role::kFollower:
      return "follower";
    case Role::kPreCandidate:
      return "pre-candidate";
    case Role::kCandidate:
      return "candidate";
    case Role::kLeader:
      return "leader";
  }
  return "";
}

std::string KindOf(const Message& message) {
  return std::visit(
      Overloaded{
          [](const VoteRequest& body) { return body.pre ? "pre-vote" : "vote"; },
          [](const VoteReply& body) { return body.pre ? "pre-vote-reply" : "vote-reply"; },
          [](const AppendRequest&) { return "append"; },
          [](const AppendReply&) { return "append-reply"; },
          [](const Heartbeat&) { return "heartbeat"; },
          [](const HeartbeatReply&) { return "heartbeat-reply"; },
          [](const TimeoutNow&) { return "timeout-now"; },
          [](const SnapshotOffer&) { return "snapshot"; },
          [](const Attach&) { return "attach"; },
          [](const AttachReply&) { return "attach-reply"; },
      },
      message.body);
}

std::string TextOf(const Message& message) {
  std::ostringstream text;
  text << message.from.node << "->" << message.to.node << " " << KindOf(message) << " (term "
       << message.term << ")";
  std::visit(Overloaded{
                 [&](const VoteRequest& body) {
                   text << " log " << body.last_term << "/" << body.end
                        << (body.forced ? ", by the leader's wish" : "");
                 },
                 [&](const VoteReply& body) {
                   text << (body.granted ? " yes" : " no");
                   if (body.leader.value >= 0) text << ", leader " << body.leader;
                 },
                 [&](const AppendRequest& body) { text << AppendText(body); },
                 [&](const AppendReply& body) { text << AppendReplyText(body); },
                 [&](const Heartbeat& body) { text << " commit " << body.commit; },
                 [&](const HeartbeatReply& body) {
                   text << " has " << body.received << ", durable " << body.durable;
                 },
                 [&](const TimeoutNow&) {},
                 [&](const SnapshotOffer& body) {
                   text << " " << body.snapshot.term << "/" << body.snapshot.end;
                 },
                 [&](const Attach& body) { text << " log " << body.end; },
                 [&](const AttachReply& body) { text << " leader " << body.leader; },
             },
             message.body);
  return text.str();
}

}  // namespace gregor::raft
