#include "rpc/raft_codec.h"

#include <utility>

namespace gregor {
namespace {

using Wire = internal::v1::RaftMessage;

void Encode(const raft::VoteRequest& body, Wire& out) {
  auto& wire = *out.mutable_vote_request();
  wire.set_pre(body.pre);
  wire.set_forced(body.forced);
  wire.set_last_term(body.last_term.value);
  wire.set_end(body.end.value);
  for (const NodeId node : body.configured) wire.add_configured(node.value);
}
void Encode(const raft::VoteReply& body, Wire& out) {
  auto& wire = *out.mutable_vote_reply();
  wire.set_pre(body.pre);
  wire.set_granted(body.granted);
  wire.set_of_term(body.of_term.value);
  wire.set_leader(body.leader.value);
  wire.set_has_voters(body.has_voters);
}
void Encode(const raft::AppendRequest& body, Wire& out) {
  auto& wire = *out.mutable_append_request();
  wire.set_base(body.base.value);
  wire.set_prev_term(body.prev_term.value);
  wire.set_commit(body.commit.value);
  wire.set_batches(body.bytes.ToString());
  wire.set_asks_nothing(!body.asks);
}
void Encode(const raft::AppendReply& body, Wire& out) {
  auto& wire = *out.mutable_append_reply();
  wire.set_matched(body.matched);
  wire.set_base(body.base.value);
  wire.set_received(body.received.value);
  wire.set_durable(body.durable.value);
  wire.set_hint_term(body.hint_term.value);
  wire.set_hint_end(body.hint_end.value);
}
void Encode(const raft::Heartbeat& body, Wire& out) {
  out.mutable_heartbeat()->set_commit(body.commit.value);
  out.mutable_heartbeat()->set_round(body.round);
}
void Encode(const raft::HeartbeatReply& body, Wire& out) {
  auto& wire = *out.mutable_heartbeat_reply();
  wire.set_round(body.round);
  wire.set_received(body.received.value);
  wire.set_durable(body.durable.value);
}
void Encode(const raft::TimeoutNow&, Wire& out) { out.mutable_timeout_now(); }
void Encode(const raft::SnapshotOffer& body, Wire& out) {
  out.mutable_snapshot_offer()->set_end(body.snapshot.end.value);
  out.mutable_snapshot_offer()->set_term(body.snapshot.term.value);
}
void Encode(const raft::Attach& body, Wire& out) { out.mutable_attach()->set_end(body.end.value); }
void Encode(const raft::AttachReply& body, Wire& out) {
  out.mutable_attach_reply()->set_leader(body.leader.value);
}

raft::VoteRequest Decode(const Wire::VoteRequest& wire) {
  raft::VoteRequest body{.pre = wire.pre(),
                         .forced = wire.forced(),
                         .last_term = Term{wire.last_term()},
                         .end = Offset{wire.end()},
                         .configured = {}};
  for (const int32_t node : wire.configured()) body.configured.push_back(NodeId{node});
  return body;
}
raft::VoteReply Decode(const Wire::VoteReply& wire) {
  return {.pre = wire.pre(),
          .granted = wire.granted(),
          .of_term = Term{wire.of_term()},
          .leader = NodeId{wire.leader()},
          .has_voters = wire.has_voters()};
}
raft::AppendRequest Decode(Wire::AppendRequest& wire) {
  return {.base = Offset{wire.base()},
          .prev_term = Term{wire.prev_term()},
          .commit = Offset{wire.commit()},
          .batches = {},
          .bytes = Slice::Own(std::move(*wire.mutable_batches())),
          .asks = !wire.asks_nothing()};
}
raft::AppendReply Decode(const Wire::AppendReply& wire) {
  return {.matched = wire.matched(),
          .base = Offset{wire.base()},
          .received = Offset{wire.received()},
          .durable = Offset{wire.durable()},
          .hint_term = Term{wire.hint_term()},
          .hint_end = Offset{wire.hint_end()}};
}
raft::Heartbeat Decode(const Wire::Heartbeat& wire) {
  return {.commit = Offset{wire.commit()}, .round = wire.round()};
}
raft::HeartbeatReply Decode(const Wire::HeartbeatReply& wire) {
  return {.round = wire.round(),
          .received = Offset{wire.received()},
          .durable = Offset{wire.durable()}};
}
raft::SnapshotOffer Decode(const Wire::SnapshotOffer& wire) {
  return {{.end = Offset{wire.end()}, .term = Term{wire.term()}}};
}

Result<decltype(raft::Message::body)> DecodeBody(Wire& wire) {
  using Body = decltype(raft::Message::body);
  switch (wire.body_case()) {
    case Wire::kVoteRequest:
      return Body(Decode(wire.vote_request()));
    case Wire::kVoteReply:
      return Body(Decode(wire.vote_reply()));
    case Wire::kAppendRequest:
      return Body(Decode(*wire.mutable_append_request()));
    case Wire::kAppendReply:
      return Body(Decode(wire.append_reply()));
    case Wire::kHeartbeat:
      return Body(Decode(wire.heartbeat()));
    case Wire::kHeartbeatReply:
      return Body(Decode(wire.heartbeat_reply()));
    case Wire::kTimeoutNow:
      return Body(raft::TimeoutNow{});
    case Wire::kSnapshotOffer:
      return Body(Decode(wire.snapshot_offer()));
    case Wire::kAttach:
      return Body(raft::Attach{Offset{wire.attach().end()}});
    case Wire::kAttachReply:
      return Body(raft::AttachReply{NodeId{wire.attach_reply().leader()}});
    case Wire::kHello:
    case Wire::BODY_NOT_SET:
      break;
  }
  return Error(Reason::kInvalidArgument,
               "a message of the quorum is of a kind that this version "
               "does not know");
}

}  // namespace

bool IsBulk(const raft::Message& message) {
  return std::holds_alternative<raft::AppendRequest>(message.body) ||
         std::holds_alternative<raft::AppendReply>(message.body) ||
         std::holds_alternative<raft::SnapshotOffer>(message.body);
}

Wire EncodeRaft(const raft::Message& message) {
  Wire wire;
  std::visit([&](const auto& body) { Encode(body, wire); }, message.body);
  const auto& directory = message.to.directory.bytes;
  if (message.to.directory != DirectoryId{})
    wire.set_to_directory(std::string(directory.begin(), directory.end()));
  wire.set_term(message.term.value);
  return wire;
}

Result<raft::Message> DecodeRaft(Wire wire, const VoterKey& from, NodeId to) {
  raft::Message message;
  message.from = from;
  message.to.node = to;
  message.term = Term{wire.term()};
  const std::string& directory = wire.to_directory();
  if (directory.size() == message.to.directory.bytes.size()) {
    std::copy(directory.begin(), directory.end(), message.to.directory.bytes.begin());
  } else if (!directory.empty()) {
    return Error(Reason::kInvalidArgument, "a directory id has 16 bytes");
  }
  ASSIGN_OR_RETURN(message.body, DecodeBody(wire));
  return message;
}

}  // namespace gregor
