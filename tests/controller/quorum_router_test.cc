#include "controller/quorum_router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/controller/fake_controller.h"
#include "tests/sim/scheduler.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

// The way to other nodes, as a test has it.
class FakeRemote final : public RemoteQuorum {
 public:
  enum class Fault { kNone, kUnreachable, kLostAfter };

  std::map<int32_t, QuorumServer*> servers;
  std::vector<Fault> faults;   // of the next calls
  std::vector<int32_t> asked;  // nodes that were tried

  void AskQuorum(NodeId node, const internal::v1::QuorumRequest& request, Duration,
                 QuorumDone done) override {
    asked.push_back(node.value);
    Fault fault = servers.count(node.value) == 0 ? Fault::kUnreachable : Fault::kNone;
    if (!faults.empty()) {
      fault = faults.front();
      faults.erase(faults.begin());
    }
    if (fault == Fault::kUnreachable)
      return done(Error(Reason::kNotController, "unreachable").With("outcome", "NOT_APPLIED"));
    servers.at(node.value)
        ->Execute(request,
                  [fault, done = std::move(done)](internal::v1::QuorumResponse response) mutable {
                    if (fault == Fault::kNone) return done(std::move(response));
                    done(Error(Reason::kNotController, "lost").With("outcome", "UNKNOWN"));
                  });
  }
};

// Node 1, which is asked, and node 2.
class QuorumRouterTest : public testing::Test {
 protected:
  QuorumRouterTest() {
    remote_.servers = {{2, &server2_}};
    router_ = std::make_unique<QuorumRouter>(QuorumRouter::Options{.loop = &loop_,
                                                                   .controller = &own_,
                                                                   .remote = &remote_,
                                                                   .node_id = NodeId{1},
                                                                   .cluster = FakeCluster()});
    own_.voters = {Member(1), Member(2)};
    node2_.voters = own_.voters;
  }
  ~QuorumRouterTest() override {
    loop_.Kill();
    router_.reset();
  }

  static QuorumMember Member(int32_t node) {
    QuorumMember member;
    member.key = {NodeId{node}, DirectoryId{}};
    member.key.directory.bytes[0] = static_cast<uint8_t>(node);
    member.endpoints = {{"other", "other", 1}, {"internal", "host", 9093}};
    member.match = Offset{100 + node};
    member.heard_ago = milliseconds(20 + node);
    return member;
  }
  void SetLeader(int32_t leader, int32_t term) {
    own_.SetLeader(leader, term);
    node2_.SetLeader(leader, term);
  }
  template <typename T>
  Result<T> Ask(std::function<void(QuorumApi::Done<T>, const OperationContext&)> ask,
                Duration timeout = seconds(5)) {
    std::optional<Result<T>> answer;
    ask(
        [&](Result<T> result) {
          EXPECT_TRUE(loop_.InLoop());
          answer = std::move(result);
        },
        {.principal = "User:ann", .timeout = timeout});
    if (!scheduler_.RunUntil([&] { return answer.has_value(); }, seconds(100)))
      return Error(Reason::kUnspecified, "no answer");
    return *answer;
  }
  Result<DescribedQuorum> Describe() {
    return Ask<DescribedQuorum>(
        [&](auto done, const auto& context) { router_->Describe(std::move(done), context); });
  }
  Result<void> AddVoter(ChangeVoter change, Duration timeout = seconds(5)) {
    return Ask<void>(
        [&](auto done, const auto& context) {
          router_->AddVoter(change, std::move(done), context);
        },
        timeout);
  }
  static std::vector<int32_t> Nodes(const std::vector<QuorumMember>& members) {
    std::vector<int32_t> nodes;
    for (const QuorumMember& member : members) nodes.push_back(member.key.node.value);
    return nodes;
  }

  Scheduler scheduler_{1};
  SimLoop loop_{scheduler_, "controller"};
  FakeController own_{loop_, 1};
  FakeController node2_{loop_, 2};
  QuorumServer server2_{loop_, node2_, FakeCluster()};
  FakeRemote remote_;
  std::unique_ptr<QuorumRouter> router_;
};

TEST_F(QuorumRouterTest, TheLeaderDescribesTheQuorumWhoeverIsAsked) {
  for (const int32_t leader : {1, 2}) {
    SetLeader(leader, 7);
    const auto quorum = Describe();
    ASSERT_TRUE(quorum.ok()) << quorum.error();
    EXPECT_EQ(quorum->leader, NodeId{leader});
    EXPECT_EQ(quorum->term, 7);
    ASSERT_EQ(quorum->voters.size(), 2u);
    const DescribedMember& second = quorum->voters[1];
    EXPECT_EQ(second.node, NodeId{2});
    EXPECT_EQ(second.directory, Member(2).key.directory);
    EXPECT_EQ(second.endpoint, (Endpoint{"host", 9093}));
    EXPECT_EQ(second.match, Offset{102});
    EXPECT_EQ(second.heard_ago, Duration(milliseconds(22)));
    EXPECT_FALSE(second.caught_up_ago.has_value());
  }
  EXPECT_THAT(remote_.asked, ElementsAre(2));
}

TEST_F(QuorumRouterTest, WhoCannotConfirmThatItLeadsDoesNotDescribeTheQuorum) {
  SetLeader(2, 7);
  node2_.unconfirmed = Error(Reason::kNotController, "lost").With("outcome", "NOT_APPLIED");
  const auto quorum = Describe();
  ASSERT_TRUE(quorum.ok()) << quorum.error();
  EXPECT_EQ(quorum->leader, NodeId{2});
  EXPECT_THAT(remote_.asked, ElementsAre(2, 2));
}

TEST_F(QuorumRouterTest, WithoutALeaderANodeDescribesWhatItKnows) {
  const auto quorum = Describe();
  ASSERT_TRUE(quorum.ok()) << quorum.error();
  EXPECT_EQ(quorum->leader, NodeId{-1});
  EXPECT_EQ(quorum->voters.size(), 2u);
  EXPECT_TRUE(remote_.asked.empty());
}

TEST_F(QuorumRouterTest, ChangesAreMadeByTheLeader) {
  SetLeader(2, 1);
  ASSERT_TRUE(AddVoter({.node = NodeId{3}, .directory = {}, .endpoint = Endpoint{"h", 9}}).ok());
  EXPECT_THAT(Nodes(node2_.voters), ElementsAre(1, 2, 3));
  EXPECT_EQ(node2_.voters[2].endpoints, (std::vector<VoterEndpoint>{{"internal", "h", 9}}));
  EXPECT_THAT(Nodes(own_.voters), ElementsAre(1, 2));
  ASSERT_TRUE(Ask<void>([&](auto done, const auto& context) {
                router_->RemoveVoter({.node = NodeId{1}, .directory = {}, .endpoint = {}},
                                     std::move(done), context);
              }).ok());
  EXPECT_THAT(Nodes(node2_.voters), ElementsAre(2, 3));
  const auto leader = Ask<NodeId>([&](auto done, const auto& context) {
    router_->Transfer(NodeId{3}, std::move(done), context);
  });
  EXPECT_EQ(*leader, NodeId{3});
}

TEST_F(QuorumRouterTest, WhatWasNotBegunIsTriedAgainAndWhatMayHaveBeenIsNot) {
  SetLeader(2, 1);
  remote_.faults = {FakeRemote::Fault::kUnreachable, FakeRemote::Fault::kUnreachable};
  ASSERT_TRUE(AddVoter({.node = NodeId{3}, .directory = {}, .endpoint = {}}).ok());
  EXPECT_THAT(remote_.asked, ElementsAre(2, 2, 2));
  remote_.faults = {FakeRemote::Fault::kLostAfter};
  const auto lost = AddVoter({.node = NodeId{4}, .directory = {}, .endpoint = {}});
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().reason, Reason::kNotController);
  EXPECT_EQ(OperationOutcome(lost.error()), "UNKNOWN");
  EXPECT_EQ(remote_.asked.size(), 4u);
}

TEST_F(QuorumRouterTest, ARefusalIsTheLeaders) {
  SetLeader(2, 1);
  node2_.refusal = Error(Reason::kDuplicateVoter, "it is one").With("outcome", "NOT_APPLIED");
  const auto refused = AddVoter({.node = NodeId{2}, .directory = {}, .endpoint = {}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kDuplicateVoter);
  EXPECT_EQ(refused.error().message, "it is one");
}

TEST_F(QuorumRouterTest, WithoutALeaderChangesWaitForOneAsLongAsTheyMay) {
  const auto late =
      AddVoter({.node = NodeId{3}, .directory = {}, .endpoint = {}}, milliseconds(300));
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().reason, Reason::kNotController);
  EXPECT_EQ(OperationOutcome(late.error()), "NOT_APPLIED");
  EXPECT_THAT(late.error().message, HasSubstr("no leader"));
  scheduler_.After(seconds(1), "test.leader", [&] { SetLeader(2, 1); });
  EXPECT_TRUE(AddVoter({.node = NodeId{3}, .directory = {}, .endpoint = {}}).ok());
}

TEST_F(QuorumRouterTest, WhatWaitsWhileTheNodeStopsIsAnswered) {
  std::optional<Result<void>> answer;
  router_->AddVoter({.node = NodeId{3}, .directory = {}, .endpoint = {}},
                    [&](Result<void> result) { answer = std::move(result); }, {});
  scheduler_.RunFor(milliseconds(10));
  bool is_closed = false;
  router_->Close([&] { is_closed = true; });
  scheduler_.RunFor(milliseconds(10));
  EXPECT_TRUE(is_closed);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(OperationOutcome(answer->error()), "NOT_APPLIED");
}

TEST_F(QuorumRouterTest, RequestsOfAnotherClusterAreRefused) {
  SetLeader(2, 1);
  QuorumServer other(loop_, node2_, FakeCluster(9));
  remote_.servers = {{2, &other}};
  const auto refused = AddVoter({.node = NodeId{3}, .directory = {}, .endpoint = {}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kInconsistentClusterId);
  EXPECT_THAT(Nodes(node2_.voters), ElementsAre(1, 2));
}

}  // namespace
}  // namespace gregor
