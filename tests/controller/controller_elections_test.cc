// Elections that the active controller holds by the clock.
#include <gtest/gtest.h>

#include "tests/controller/cluster_image.h"
#include "tests/controller/controller_harness.h"

namespace gregor {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

class ControllerElections : public testing::Test {
 protected:
  // Brokers 1 and 2 with a topic whose partitions all prefer broker 1.
  void Start(int32_t partitions) {
    // Records are counted: none of the state's hash but the first one, which comes soon.
    node_.behavior.hash_interval = std::chrono::hours(1000);
    ASSERT_TRUE(node_.Start()) << *node_.error();
    ASSERT_TRUE(node_.Register(2).ok());
    CreateTopic operation;
    operation.name = "t";
    operation.assignment.assign(static_cast<size_t>(partitions), Nodes({1, 2}));
    ASSERT_TRUE(node_.Create(std::move(operation)).ok());
    RunFor(seconds(2));
  }
  NodeId LeaderOf(int32_t index = 0) {
    return node_.image()->Topic("t")->Partition(PartitionIndex{index})->leader;
  }
  void MoveTo(int32_t broker, int32_t index = 0) {
    ElectLeaders operation;
    operation.kind = ElectionKind::kTransfer;
    operation.partitions = {{"t", PartitionIndex{index}}};
    operation.target = NodeId{broker};
    const auto elected = node_.Await<std::vector<ElectedLeader>>(
        [&](auto done) { node_.controller().Run(operation, std::move(done)); });
    ASSERT_TRUE(elected.ok());
    ASSERT_TRUE(elected->front().result.ok()) << elected->front().result.error();
  }
  void SetForAll(const std::string& name, const std::string& value) {
    const auto set =
        node_.Alter({ConfigResourceType::kBroker, "", {{name, ConfigOpKind::kSet, value}}});
    ASSERT_TRUE(set.ok()) << set.error();
  }
  // The broker speaks, and knows all.
  void Beat(int32_t broker) {
    const BrokerHeartbeat beat{NodeId{broker}, node_.image()->Broker(NodeId{broker})->epoch,
                               node_.image()->version};
    ASSERT_TRUE(
        node_.Await<BrokerStatus>([&](auto done) { node_.controller().Run(beat, std::move(done)); })
            .ok());
  }
  void Fence(int32_t broker, bool fenced) {
    ASSERT_TRUE(
        node_
            .Await<void>([&](auto done) {
              node_.controller().Run(SetBrokerFence{NodeId{broker}, fenced}, std::move(done));
            })
            .ok());
    if (!fenced) Beat(broker);
  }
  void RunFor(Duration time) { node_.scheduler().RunFor(time); }

  ControllerHarness node_{1};
};

TEST_F(ControllerElections, TheFirstOfThePartitionsReplicasLeadsAgainByItself) {
  Start(3);
  RunFor(seconds(200));
  MoveTo(2, 1);
  EXPECT_EQ(LeaderOf(1), NodeId{2});
  RunFor(seconds(90));
  EXPECT_EQ(LeaderOf(1), NodeId{2}) << "every 300 s";
  RunFor(seconds(15));
  for (const int32_t index : {0, 1, 2}) EXPECT_EQ(LeaderOf(index), NodeId{1});
}

TEST_F(ControllerElections, AChangedIntervalCountsAtOnce) {
  Start(1);
  MoveTo(2);
  SetForAll("leader.imbalance.check.interval.seconds", "5");
  RunFor(seconds(8));
  EXPECT_EQ(LeaderOf(), NodeId{1});
}

TEST_F(ControllerElections, LeadersStayWhereTheyAreIfThatIsSaid) {
  Start(1);
  SetForAll("auto.leader.rebalance.enable", "false");
  MoveTo(2);
  RunFor(minutes(20));
  EXPECT_EQ(LeaderOf(), NodeId{2});
  SetForAll("auto.leader.rebalance.enable", "true");
  RunFor(seconds(2));
  EXPECT_EQ(LeaderOf(), NodeId{1});
}

TEST_F(ControllerElections, SomeMayBeLedByOthers) {
  Start(10);
  MoveTo(2);
  RunFor(minutes(20));
  EXPECT_EQ(LeaderOf(), NodeId{2}) << "that is 10 per cent";
  SetForAll("leader.imbalance.per.broker.percentage", "9");
  RunFor(seconds(310));
  EXPECT_EQ(LeaderOf(), NodeId{1});
}

TEST_F(ControllerElections, MoreThanABatchOfThemAreMovedOneBatchAfterTheOther) {
  constexpr int32_t kPartitions = 2500;
  Start(kPartitions);
  // Broker 1 leads nothing any more, and comes back in sync.
  ElectLeaders all;
  all.kind = ElectionKind::kTransfer;
  all.target = NodeId{2};
  for (int32_t i = 0; i < kPartitions; ++i) all.partitions.push_back({"t", PartitionIndex{i}});
  ASSERT_TRUE(node_
                  .Await<std::vector<ElectedLeader>>(
                      [&](auto done) { node_.controller().Run(all, std::move(done)); })
                  .ok());
  const Offset before = node_.image()->version;
  SetForAll("leader.imbalance.per.broker.percentage", "0");
  RunFor(seconds(302));
  for (int32_t i = 0; i < kPartitions; ++i) ASSERT_EQ(LeaderOf(i), NodeId{1}) << i;
  EXPECT_EQ(node_.image()->version - before, kPartitions + 1);
}

TEST_F(ControllerElections, WhoeverIsNotInSyncIsNotElected) {
  Start(1);
  MoveTo(2);
  Fence(1, true);
  Fence(1, false);
  const Offset before = node_.image()->version;
  RunFor(minutes(20));
  EXPECT_EQ(LeaderOf(), NodeId{2});
  EXPECT_EQ(node_.image()->version, before);
}

// Broker 1 had everything, and broker 2 is there alone.
TEST_F(ControllerElections, PartitionsWithoutALeaderGetOneThatMayLackRecordsWhereThatIsAllowed) {
  Start(1);
  Fence(2, true);
  Fence(1, true);
  Fence(2, false);
  EXPECT_EQ(LeaderOf(), NodeId{-1});
  RunFor(minutes(20));
  EXPECT_EQ(LeaderOf(), NodeId{-1});
  // Of the settings of another controller: nothing else happens that would elect somebody.
  node_.behavior.static_configs["unclean.leader.election.enable"] = "true";
  node_.Kill();
  ASSERT_TRUE(node_.Open()) << *node_.error();
  RunFor(seconds(290));
  EXPECT_EQ(LeaderOf(), NodeId{-1});
  RunFor(seconds(15));
  EXPECT_EQ(LeaderOf(), NodeId{2});
  EXPECT_TRUE(node_.image()->Topic("t")->Partition(PartitionIndex{0})->recovering);
}

}  // namespace
}  // namespace gregor
