// What a leader of several voters sends, and what is answered.
#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "tests/raft/follower_harness.h"

namespace gregor {
namespace {

constexpr Term kFirst{1};
constexpr Term kOwn{2};

// What was sent to node `to` since the last call, of this kind.
template <typename Body>
std::vector<Body> Taken(FollowerHarness& node, int to) {
  std::vector<Body> bodies;
  for (const raft::Message& message : node.transport().sent()) {
    const auto* const body = std::get_if<Body>(&message.body);
    if (body != nullptr && message.to.node == NodeId{to}) bodies.push_back(*body);
  }
  node.transport().sent().clear();
  return bodies;
}

void Acknowledge(FollowerHarness& node, int follower, Offset end) {
  node.Say(follower, kOwn, raft::AppendReply{.matched = true, .received = end, .durable = end});
}

// Node 2 has led, and lets it lead, which nodes 2 and 3 agree to. Its log ends at 2.
bool Lead(FollowerHarness& node) {
  if (!node.Start()) return false;
  node.SendVoters(2, kFirst, Offset{0}, Term{0}, node.voters(), Offset{1});
  if (!node.WaitForDurable(Offset{1})) return false;
  node.Say(2, kFirst, raft::TimeoutNow{});
  if (!node.RunUntil([&] { return !Taken<raft::VoteRequest>(node, 3).empty(); })) return false;
  for (const int voter : {2, 3})
    node.Say(voter, kOwn, raft::VoteReply{.granted = true, .of_term = kOwn});
  if (!node.WaitForDurable(Offset{2})) return false;
  for (const int voter : {2, 3}) Acknowledge(node, voter, Offset{2});
  return node.RunUntil([&] { return node.log().leader().leader == NodeId{1}; });
}

TEST(RaftLogLeader, WhatIsAppendedInOneTurnGoesInOneMessage) {
  FollowerHarness node(1);
  ASSERT_TRUE(Lead(node));
  Taken<raft::AppendRequest>(node, 3);
  node.loop().Run([&] {
    for (const char* const value : {"a", "b", "c"})
      ASSERT_TRUE(node.log().Append(kOwn, {value}).ok());
  });
  std::vector<raft::AppendRequest> sent;
  ASSERT_TRUE(node.RunUntil([&] {
    sent = Taken<raft::AppendRequest>(node, 3);
    return !sent.empty();
  }));
  ASSERT_EQ(sent.size(), 1u);
  ASSERT_EQ(sent[0].batches.size(), 3u);
  EXPECT_EQ(sent[0].base, Offset{2});
  EXPECT_EQ(sent[0].batches.back().next, Offset{5});

  // What follows does not wait for the answer.
  node.loop().Run([&] { ASSERT_TRUE(node.log().Append(kOwn, {"d"}).ok()); });
  ASSERT_TRUE(node.RunUntil([&] {
    sent = Taken<raft::AppendRequest>(node, 3);
    return !sent.empty();
  }));
  EXPECT_EQ(sent[0].base, Offset{5});
}

TEST(RaftLogLeader, WhatIsCommittedTogetherIsDeliveredTogether) {
  FollowerHarness node(3);
  ASSERT_TRUE(Lead(node));
  node.loop().Run([&] {
    for (const char* const value : {"a", "b", "c"})
      ASSERT_TRUE(node.log().Append(kOwn, {value}).ok());
  });
  ASSERT_TRUE(node.WaitForDurable(Offset{5}));
  EXPECT_TRUE(node.deliveries.empty());
  Acknowledge(node, 3, Offset{5});
  ASSERT_TRUE(node.RunUntil([&] { return node.delivered().size() == 3; }));
  EXPECT_EQ(node.deliveries, std::vector<size_t>{3});
  EXPECT_EQ(node.delivered().at(Offset{4}), "c");
}

// The others have it before this node's own disk does, and it is more than what is kept in memory
// of what the disk has.
TEST(RaftLogLeader, WhatItsOwnDiskDoesNotHaveIsSentAndDelivered) {
  FollowerHarness node(6);
  ASSERT_TRUE(Lead(node));
  Taken<raft::AppendRequest>(node, 3);
  node.disk().Hang();
  constexpr int kCount = 8;
  Offset sent{2};
  const auto send = [&] {
    for (const auto& request : Taken<raft::AppendRequest>(node, 3)) {
      if (!request.batches.empty()) sent = request.batches.back().next;
    }
  };
  for (int i = 0; i < kCount; ++i) {
    node.loop().Run([&] {
      ASSERT_TRUE(node.log().Append(kOwn, {std::to_string(i) + std::string(600, '.')}).ok());
    });
    send();
  }
  const Offset end{2 + kCount};
  ASSERT_TRUE(node.RunUntil([&] {
    send();
    for (const int voter : {2, 3}) Acknowledge(node, voter, sent);
    return sent == end;
  }));
  ASSERT_TRUE(node.RunUntil([&] { return node.delivered().size() == kCount || node.error(); }));
  ASSERT_FALSE(node.error().has_value()) << *node.error();
  EXPECT_EQ(node.delivered().at(Offset{2})[0], '0');
  EXPECT_LT(node.log().durable_offset(), end);
  node.disk().Resume();
  EXPECT_TRUE(node.WaitForDurable(end));
}

TEST(RaftLogLeader, WhoIsOnlyToldTheCommitIndexIsNotAsked) {
  FollowerHarness node(4);
  ASSERT_TRUE(Lead(node));
  node.loop().Run([&] { ASSERT_TRUE(node.log().Append(kOwn, {"a"}).ok()); });
  ASSERT_TRUE(node.WaitForDurable(Offset{3}));
  Taken<raft::AppendRequest>(node, 3);
  Acknowledge(node, 3, Offset{3});
  std::vector<raft::AppendRequest> sent;
  ASSERT_TRUE(node.RunUntil([&] {
    sent = Taken<raft::AppendRequest>(node, 3);
    return !sent.empty();
  }));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].commit, Offset{3});
  EXPECT_TRUE(sent[0].batches.empty());
  EXPECT_FALSE(sent[0].asks);
}

// ... and does not answer, but where its log is another one.
TEST(RaftLogLeader, WhoIsNotAskedAnswersOnlyWhereTheLogsDiffer) {
  FollowerHarness node(5);
  ASSERT_TRUE(node.Start());
  node.SendVoters(2, kFirst, Offset{0}, Term{0}, node.voters(), Offset{1});
  ASSERT_TRUE(node.WaitForDurable(Offset{1}));
  Taken<raft::AppendReply>(node, 2);
  const auto tell = [&](Offset base, Term prev_term) {
    node.Say(2, kFirst,
             raft::AppendRequest{.base = base,
                                 .prev_term = prev_term,
                                 .commit = Offset{1},
                                 .batches = {},
                                 .bytes = {},
                                 .asks = false});
    node.scheduler().RunFor(std::chrono::milliseconds(20));
    return Taken<raft::AppendReply>(node, 2);
  };
  EXPECT_TRUE(tell(Offset{1}, kFirst).empty());
  const auto answers = tell(Offset{9}, kFirst);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_FALSE(answers[0].matched);
}

// It was to be sent when the leadership ended: nobody is sent it any more.
TEST(RaftLogLeader, WhoLeadsNoLongerSendsNothing) {
  FollowerHarness node(2);
  ASSERT_TRUE(Lead(node));
  Taken<raft::AppendRequest>(node, 3);
  node.loop().Run([&] {
    ASSERT_TRUE(node.log().Append(kOwn, {"a"}).ok());
    node.transport().receiver()->OnMessage(
        {node.key(2), node.self(), Term{3}, raft::Heartbeat{.commit = Offset{2}, .round = 1}});
  });
  ASSERT_TRUE(node.WaitForDurable(Offset{3}));
  EXPECT_TRUE(Taken<raft::AppendRequest>(node, 3).empty());
  EXPECT_FALSE(node.error().has_value());
}

}  // namespace
}  // namespace gregor
