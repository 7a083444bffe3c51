// Controllers on a quorum of several: one image everywhere, whoever leads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "controller/metadata_dump.h"
#include "tests/base/seeds.h"
#include "tests/sim/controller_cluster.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

using Cluster = ControllerCluster;

TEST(ControllerQuorum, WhatTheLeaderDoesComesToAll) {
  Cluster cluster(1);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3}));
  ASSERT_TRUE(cluster.Set("1000"));
  ASSERT_TRUE(cluster.Set("2000"));
  EXPECT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
  EXPECT_GT(cluster.controller(3).image()->version, Offset{2});
}

TEST(ControllerQuorum, OneThatIsKilledIsMissedByNobodyAndCatchesUp) {
  Cluster cluster(2);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3}));
  for (int id = 1; id <= 3; ++id) {
    ASSERT_TRUE(cluster.Set(std::to_string(1000 * id)));
    cluster.Kill(id);
    ASSERT_TRUE(cluster.Set(std::to_string(1000 * id + 1))) << "without node " << id;
    cluster.Start(id);
    ASSERT_TRUE(cluster.WaitForOpen({id}));
    EXPECT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
  }
}

TEST(ControllerQuorum, AllOfThemComeBack) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3}));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(cluster.Set(std::to_string(1000 + i)));
  ASSERT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
  const auto before = RowsOf(*cluster.controller(1).image());
  for (int id = 1; id <= 3; ++id) cluster.Kill(id);
  for (int id = 1; id <= 3; ++id) cluster.Start(id);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3}));
  EXPECT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
  EXPECT_EQ(RowsOf(*cluster.controller(1).image()), before);
}

TEST(ControllerQuorum, OneThatWasAwayForLongGetsASnapshot) {
  Cluster cluster(4, 3, /*snapshot_record_bytes=*/1000);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3}));
  ASSERT_TRUE(cluster.Set("1000"));
  ASSERT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
  cluster.Kill(2);
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(cluster.Set(std::to_string(2000 + i)));
  cluster.Start(2);
  ASSERT_TRUE(cluster.WaitForOpen({2}));
  EXPECT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
  EXPECT_GT(cluster.snapshots_fetched, 0);
  // ... and goes on from there, also after a restart.
  ASSERT_TRUE(cluster.Set("9000"));
  EXPECT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
  cluster.Kill(2);
  cluster.Start(2);
  ASSERT_TRUE(cluster.WaitForOpen({2}));
  EXPECT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
}

TEST(ControllerQuorum, ANodeThatFollowsIsGivenAVote) {
  Cluster cluster(5, 4);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3, 4}));
  ASSERT_TRUE(cluster.Set("1000"));
  const int leader = cluster.WaitForLeader();
  ASSERT_TRUE(cluster.WaitForObserver(leader, 4));
  EXPECT_THAT(cluster.Voters(leader), testing::ElementsAre(1, 2, 3));
  const auto added = cluster.AddVoter(leader, 4);
  ASSERT_TRUE(added.ok()) << added.error();
  EXPECT_THAT(cluster.Voters(leader), testing::ElementsAre(1, 2, 3, 4));
  ASSERT_TRUE(cluster.Set("2000"));
  EXPECT_TRUE(cluster.WaitForSameImages({1, 2, 3, 4}));
  // One that goes can be taken out, and the other three are a majority of three.
  const int gone = leader == 1 ? 2 : 1;
  cluster.Kill(gone);
  const auto removed = cluster.RemoveVoter(leader, gone);
  ASSERT_TRUE(removed.ok()) << removed.error();
  cluster.Kill(leader);
  ASSERT_TRUE(cluster.Set("3000"));
  const int next = cluster.WaitForLeader();
  EXPECT_EQ(cluster.Voters(next).size(), 3u);
}

TEST(ControllerQuorum, ALeaderThatIsRemovedHandsOverAndFollows) {
  Cluster cluster(6, 4);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3, 4}));
  const int leader = cluster.WaitForLeader();
  const auto removed = cluster.RemoveVoter(leader, leader);
  ASSERT_TRUE(removed.ok()) << removed.error();
  const MonotonicTime begin = cluster.Now();
  const int next = cluster.WaitForLeader();
  EXPECT_NE(next, leader);
  EXPECT_LT(cluster.Now() - begin, milliseconds(500));
  ASSERT_TRUE(cluster.Set("1000"));
  EXPECT_TRUE(cluster.WaitForSameImages({1, 2, 3, 4}));
  EXPECT_EQ(cluster.Voters(next).size(), 2u);
  EXPECT_TRUE(cluster.WaitForObserver(next, leader));
}

TEST(ControllerQuorum, AWipedVoterHasNoVoteUntilItIsReplaced) {
  Cluster cluster(7);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3}));
  ASSERT_TRUE(cluster.Set("1000"));
  ASSERT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
  const int leader = cluster.WaitForLeader();
  const int wiped = leader == 1 ? 2 : 1;
  const int other = 6 - leader - wiped;
  cluster.Kill(wiped);
  cluster.Wipe(wiped);
  cluster.Start(wiped);
  ASSERT_TRUE(cluster.WaitForOpen({wiped}));
  ASSERT_TRUE(cluster.WaitForObserver(leader, wiped));
  const auto add = cluster.AddVoter(leader, wiped);
  ASSERT_FALSE(add.ok());
  EXPECT_EQ(add.error().reason, Reason::kDuplicateVoter);
  EXPECT_THAT(add.error().message, testing::HasSubstr("remove that one first"));
  // With it and the leader only there is no majority: what it has does not count.
  cluster.Kill(other);
  cluster.RunFor(seconds(10));
  EXPECT_EQ(cluster.Leader(), 0);
  cluster.Start(other);
  const int again = cluster.WaitForLeader();
  ASSERT_TRUE(cluster.RemoveVoter(again, wiped).ok());
  ASSERT_TRUE(cluster.WaitForObserver(again, wiped));
  const auto added = cluster.AddVoter(again, wiped);
  ASSERT_TRUE(added.ok()) << added.error();
  cluster.Kill(again);
  ASSERT_TRUE(cluster.Set("2000"));
  EXPECT_EQ(cluster.Voters(cluster.WaitForLeader()).size(), 3u);
}

TEST(ControllerQuorum, LeadershipIsHandedOverBeforeANodeStops) {
  Cluster cluster(8);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3}));
  ASSERT_TRUE(cluster.Set("1000"));
  const int leader = cluster.WaitForLeader();
  const Term term = cluster.controller(leader).leader().term;
  const MonotonicTime begin = cluster.Now();
  cluster.CloseCleanly(leader);
  const int next = cluster.WaitForLeader();
  EXPECT_LT(cluster.Now() - begin, milliseconds(500));
  EXPECT_EQ(cluster.controller(next).leader().term.value, term.value + 1);
  ASSERT_TRUE(cluster.Set("2000"));
}

TEST(ControllerQuorum, LeadershipGoesToTheVoterThatIsNamed) {
  Cluster cluster(9, 4);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3, 4}));
  const int leader = cluster.WaitForLeader();
  const NodeId to{leader == 3 ? 2 : 3};
  const auto handed = cluster.Transfer(leader, to);
  ASSERT_TRUE(handed.ok()) << handed.error();
  EXPECT_EQ(*handed, to);
  EXPECT_EQ(cluster.WaitForLeader(), to.value);
  EXPECT_EQ(*cluster.Transfer(to.value, to), to);
  EXPECT_EQ(cluster.Transfer(to.value, NodeId{4}).error().reason, Reason::kVoterNotFound);
  EXPECT_EQ(cluster.Transfer(leader, to).error().reason, Reason::kNotController);
  // To one that is not there: it leads on, and takes operations again.
  const int gone = 6 - leader - to.value;
  cluster.Kill(gone);
  const auto failed = cluster.Transfer(to.value, NodeId{gone});
  EXPECT_EQ(failed.error().reason, Reason::kCommitTimedOut);
  ASSERT_TRUE(cluster.Set("1000"));
  EXPECT_EQ(cluster.Leader(), to.value);
}

TEST(ControllerQuorum, ALeaderThatIsCutOffDoesNotSpeakForTheQuorum) {
  Cluster cluster(19);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3}));
  const int old = cluster.WaitForLeader();
  const int other = old == 1 ? 2 : 1;
  ASSERT_TRUE(
      cluster.WaitFor([&] { return cluster.controller(other).leader().leader.value == old; }));
  for (const int id : {old, other}) {
    const auto described = cluster.Describe(id);
    ASSERT_TRUE(described.ok()) << described.error();
    EXPECT_EQ(described->leader.leader, NodeId{old});
  }
  cluster.Isolate(old, /*noticed=*/false);
  const MonotonicTime begin = cluster.Now();
  // It takes itself for the leader, and cannot say so any more.
  EXPECT_EQ(cluster.controller(old).quorum().leader.leader, NodeId{old});
  const auto refused = cluster.Describe(old);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kNotController);
  EXPECT_EQ(OperationOutcome(refused.error()), "NOT_APPLIED");
  EXPECT_LT(cluster.Now() - begin, seconds(3));
  EXPECT_EQ(cluster.Describe(old)->leader.leader, NodeId{-1});
  cluster.HealNetwork();
  const int next = cluster.WaitForLeader();
  EXPECT_EQ(cluster.Describe(next)->leader.leader, NodeId{next});
}

TEST(ControllerQuorum, WhoAsksALeaderThatStopsIsAnswered) {
  Cluster cluster(20);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3}));
  const int leader = cluster.WaitForLeader();
  cluster.Isolate(leader);
  const auto described = cluster.Ask<QuorumStatus>(leader, [](Controller& controller, auto done) {
    controller.DescribeQuorum(std::move(done));
    controller.Close([](const Result<void>&) {});
  });
  ASSERT_FALSE(described.ok());
  EXPECT_EQ(described.error().reason, Reason::kNotController);
}

TEST(ControllerQuorum, ChangesThatCannotBeAreRefused) {
  Cluster cluster(10, 4);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3, 4}));
  const int leader = cluster.WaitForLeader();
  const int follower = leader == 1 ? 2 : 1;
  const auto reason = [](const Result<void>& result) {
    return result.ok() ? Reason::kUnspecified : result.error().reason;
  };
  EXPECT_EQ(reason(cluster.AddVoter(leader, follower)), Reason::kDuplicateVoter);
  EXPECT_EQ(reason(cluster.AddVoter(leader, 7)), Reason::kInvalidVoterKey);
  EXPECT_EQ(reason(cluster.RemoveVoter(leader, 4)), Reason::kVoterNotFound);
  EXPECT_EQ(reason(cluster.AddVoter(follower, 4)), Reason::kNotController);
  EXPECT_EQ(reason(cluster.RemoveVoter(follower, 3)), Reason::kNotController);
  ASSERT_TRUE(cluster.WaitForObserver(leader, 4));
  DirectoryId other;
  other.bytes[0] = 1;
  EXPECT_EQ(reason(cluster.AddVoter(leader, 4, other)), Reason::kInvalidVoterKey);
  // What could not be written as it is would stop every voter.
  for (const std::string& host : {std::string(70'000, 'h'), std::string(256, 'h'),
                                  std::string("a b"), std::string("a\nvoters before 1")}) {
    const auto refused = cluster.Ask<void>(leader, [&](Controller& controller, auto done) {
      controller.AddVoter({{NodeId{4}, {}}, {{"internal", host, 9093}}}, std::move(done));
    });
    EXPECT_EQ(reason(refused), Reason::kInvalidArgument) << host.size();
    EXPECT_EQ(OperationOutcome(refused.error()), "NOT_APPLIED");
  }
  EXPECT_EQ(cluster.Voters(leader), (std::vector<int>{1, 2, 3}));
  // Without a leader's answer nothing is said of progress.
  const QuorumStatus status = cluster.controller(follower).quorum();
  EXPECT_EQ(status.leader.leader.value, leader);
  ASSERT_EQ(status.voters.size(), 3u);
  EXPECT_FALSE(status.voters[0].match.has_value());
}

bool HasAborted(SimFileSystem& disk) {
  std::ostringstream out;
  MetadataDumpOptions options;
  options.image = false;
  const auto dumped = DumpMetadata(disk, Cluster::kDataDir, options, out);
  EXPECT_TRUE(dumped.ok()) << dumped.error();
  return out.str().find("abort_transaction") != std::string::npos;
}

constexpr int32_t kLargeTopic = 5000;  // partitions

// A cluster with a broker, in which an operation that large is many batches, and who leads it.
int StartForLarge(Cluster& cluster) {
  EXPECT_TRUE(cluster.WaitForOpen({1, 2, 3}));
  const int leader = cluster.WaitForLeader();
  RegisterBroker registration;
  registration.broker.id = NodeId{11};
  registration.broker.incarnation[0] = 1;
  registration.broker.directories = {cluster.random().NewUuid<DirectoryId>()};
  const auto registered = cluster.Ask<BrokerEpoch>(leader, [&](Controller& controller, auto done) {
    controller.Run(registration, std::move(done));
  });
  EXPECT_TRUE(registered.ok()) << registered.error();
  return leader;
}

// Asks for a large topic, and waits less than `wait_max`; whether it is made by then.
bool BeginLarge(Cluster& cluster, int leader, Duration wait_max) {
  CreateTopic operation;
  operation.name = "orders";
  operation.partitions = kLargeTopic;
  const auto is_made = std::make_shared<bool>(false);
  cluster.controller(leader).Run(operation, [is_made](auto topic) { *is_made = topic.ok(); });
  cluster.RunFor(Duration(cluster.random().Below(static_cast<uint64_t>(wait_max.count()))));
  return *is_made;
}

TEST(ControllerQuorum, ALargeTopicWhoseLeaderIsKilledIsThereWholeOrNotAtAll) {
  int made = 0, aborted = 0;
  for (uint64_t seed = 1; seed <= SeedCount(16); ++seed) {
    Cluster cluster(seed, 3, 20u << 20, 300);
    const int leader = StartForLarge(cluster);
    const bool was_made = BeginLarge(cluster, leader, milliseconds(6));
    cluster.Kill(leader);
    ASSERT_TRUE(cluster.Set("1000"));
    cluster.Start(leader);
    ASSERT_TRUE(cluster.WaitForOpen({leader}));
    ASSERT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
    const TopicPtr topic = cluster.controller(leader).image()->Topic("orders");
    EXPECT_TRUE(topic != nullptr || !was_made) << seed;
    EXPECT_TRUE(topic == nullptr || topic->partition_count() == kLargeTopic) << seed;
    made += topic != nullptr ? 1 : 0;
    aborted += HasAborted(cluster.disk(leader)) ? 1 : 0;
  }
  EXPECT_TRUE(made > 0 || kFewSeeds);
  EXPECT_TRUE(aborted > 0 || kFewSeeds);
}

TEST(ControllerQuorum, NodesThatRestartInsideOfALargeOperationHaveItWholeOrNotAtAll) {
  int made = 0, aborted = 0;
  for (uint64_t seed = 1; seed <= SeedCount(30); ++seed) {
    Cluster cluster(seed, 3, 20u << 20, 300);
    const int leader = StartForLarge(cluster);
    BeginLarge(cluster, leader, milliseconds(6));
    // All of them, or one that follows.
    const bool is_all = seed % 2 == 0;
    const std::vector<int> killed = is_all ? std::vector{1, 2, 3} : std::vector{leader % 3 + 1};
    for (const int id : killed) cluster.Kill(id);
    for (const int id : killed) cluster.Start(id);
    ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3}));
    ASSERT_TRUE(cluster.Set("1000"));
    ASSERT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
    const TopicPtr topic = cluster.controller(leader).image()->Topic("orders");
    EXPECT_TRUE(topic != nullptr || is_all) << seed;
    EXPECT_TRUE(topic == nullptr || topic->partition_count() == kLargeTopic) << seed;
    made += is_all && topic != nullptr ? 1 : 0;
    aborted += HasAborted(cluster.disk(leader)) ? 1 : 0;
  }
  EXPECT_TRUE(made > 0 || kFewSeeds);
  EXPECT_TRUE(aborted > 0 || kFewSeeds);
}

}  // namespace
}  // namespace gregor
