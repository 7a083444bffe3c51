#include "controller/leadership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/controller/cluster_image.h"

namespace gregor {
namespace {

// What becomes of partitions when brokers come and go.
class LeadershipTest : public testing::Test {
 protected:
  LeadershipTest() { cluster_.StartAll(4); }

  ClusterImage cluster_;
  const ConfigMap two_in_sync_ = {{"min.insync.replicas", "2"}};
  const ConfigMap replicated_ = {{"min.insync.replicas", "2"}, {"durability", "replicated"}};
};

TEST_F(LeadershipTest, AFencedLeaderIsFollowedByTheNextReplicaInSync) {
  cluster_.Create("t", {{1, 2, 3}, {2, 1}, {3, 4}});
  cluster_.Fence(1);
  EXPECT_EQ(cluster_.Show("t", 0), "leader 2, isr 2 3");
  EXPECT_EQ(cluster_.Show("t", 1), "leader 2, isr 2");
  EXPECT_EQ(cluster_.Show("t", 2), "leader 3, isr 3 4");
  EXPECT_EQ(cluster_.Partition("t", 0).leader_epoch, LeaderEpoch{1});
  EXPECT_EQ(cluster_.Partition("t", 0).partition_epoch, PartitionEpoch{1});
  // Who leads already goes on under the same epoch.
  EXPECT_EQ(cluster_.Partition("t", 1).leader_epoch, LeaderEpoch{0});
  EXPECT_EQ(cluster_.Partition("t", 2).partition_epoch, PartitionEpoch{0});
  // It comes back as a follower, and has to catch up first.
  cluster_.Unfence(1);
  EXPECT_TRUE(cluster_.last_records.empty());
}

TEST_F(LeadershipTest, TheLastReplicaStandingIsTheOneThatLeadsAgain) {
  cluster_.Create("t", {{1, 2, 3}});
  for (const int32_t node : {1, 2, 3}) cluster_.Fence(node);
  EXPECT_EQ(cluster_.Show("t"), "leader -1, eligible 3");
  cluster_.Unfence(1);
  cluster_.Unfence(2);
  EXPECT_EQ(cluster_.Show("t"), "leader -1, eligible 3");
  cluster_.Unfence(3);
  EXPECT_EQ(cluster_.Show("t"), "leader 3, isr 3");
}

TEST_F(LeadershipTest, WithTooFewInSyncThoseWhoLeaveStayEligible) {
  cluster_.Create("t", {{1, 2, 3}}, two_in_sync_);
  cluster_.Fence(1);
  EXPECT_EQ(cluster_.Show("t"), "leader 2, isr 2 3");
  cluster_.Fence(2);
  EXPECT_EQ(cluster_.Show("t"), "leader 3, isr 3, eligible 2");
  cluster_.Fence(3);
  EXPECT_EQ(cluster_.Show("t"), "leader -1, eligible 2 3");
  cluster_.Unfence(1);
  EXPECT_EQ(cluster_.Show("t"), "leader -1, eligible 2 3");
  cluster_.Unfence(2);
  EXPECT_EQ(cluster_.Show("t"), "leader 2, isr 2, eligible 3");
  cluster_.Unfence(3);
  EXPECT_EQ(cluster_.Show("t"), "leader 2, isr 2, eligible 3");
}

TEST_F(LeadershipTest, ABrokerThatShutsDownHandsOverWhatItLeads) {
  cluster_.Create("t", {{1, 2}, {1}, {3, 1}});
  cluster_.ShutDown(1);
  EXPECT_EQ(cluster_.Show("t", 0), "leader 2, isr 2");
  EXPECT_EQ(cluster_.Show("t", 1), "leader -1, eligible 1");
  EXPECT_EQ(cluster_.Show("t", 2), "leader 3, isr 3");
  // Its session ends: nothing is left to do.
  cluster_.Fence(1);
  EXPECT_TRUE(cluster_.last_records.empty());
}

TEST_F(LeadershipTest, OneThatMayHaveLostRecordsIsEligibleNoMore) {
  cluster_.Create("synced", {{1, 2, 3}}, two_in_sync_);
  cluster_.Create("replicated", {{1, 2, 3}}, replicated_);
  for (const int32_t node : {1, 2, 3}) cluster_.Fence(node);
  EXPECT_EQ(cluster_.Show("replicated"), "leader -1, eligible 2 3");
  cluster_.Restart(3, BrokerStart::kUnclean);
  EXPECT_EQ(cluster_.Show("synced"), "leader 3, isr 3, eligible 2");
  EXPECT_EQ(cluster_.Show("replicated"), "leader -1, eligible 2");
  cluster_.Restart(2, BrokerStart::kClean);
  EXPECT_EQ(cluster_.Show("replicated"), "leader 2, isr 2");
}

TEST_F(LeadershipTest, WhereAllMayHaveLostRecordsTheLastOneIsAllThereIs) {
  cluster_.Create("t", {{1, 2, 3}}, replicated_);
  cluster_.Create("one", {{1}}, {{"durability", "replicated"}});
  for (const int32_t node : {1, 2, 3}) cluster_.Restart(node, BrokerStart::kUnclean);
  EXPECT_EQ(cluster_.Show("t"), "leader 3, isr 3");
  EXPECT_EQ(cluster_.Show("one"), "leader 1, isr 1");
}

TEST_F(LeadershipTest, AnUncleanStartTakesARunningBrokerOutOfTheIsr) {
  cluster_.Create("t", {{1, 2}, {2, 1}}, replicated_);
  cluster_.Start(cluster_.NewBroker(1), BrokerStart::kUnclean);
  EXPECT_EQ(cluster_.Show("t", 0), "leader 2, isr 2");
  EXPECT_EQ(cluster_.Show("t", 1), "leader 2, isr 2");
}

TEST_F(LeadershipTest, DurabilityIsWhatTheBrokerHasIt) {
  cluster_.Create("t", {{1, 2}});
  cluster_.options.static_configs["log.durability"] = "replicated";
  cluster_.Start(cluster_.NewBroker(2), BrokerStart::kUnclean);
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1");
}

TEST_F(LeadershipTest, AFailedLogDirectoryTakesWhatLiesInIt) {
  const TopicPtr topic = cluster_.Create("t", {{1, 2}, {1, 2}, {1}, {1}});
  BrokerImage broker = *cluster_.image()->Broker(NodeId{1});
  const DirectoryId failed = topic->Partition(PartitionIndex{0})->directories.front();
  std::erase(broker.directories, failed);
  cluster_.Start(broker, BrokerStart::kGoesOn);
  for (int32_t index = 0; index < 4; ++index) {
    const bool is_there = cluster_.Partition("t", index).directories.front() != failed;
    EXPECT_EQ(cluster_.Show("t", index), is_there
                                             ? (index < 2 ? "leader 1, isr 1 2" : "leader 1, isr 1")
                                         : index < 2 ? "leader 2, isr 2"
                                                     : "leader -1, eligible 1");
  }
  // With the disk repaired it goes on.
  cluster_.Start(cluster_.NewBroker(1), BrokerStart::kClean);
  for (const int32_t index : {2, 3}) EXPECT_EQ(cluster_.Show("t", index), "leader 1, isr 1");
}

TEST_F(LeadershipTest, AStartGivesALeaderAnEpochOfItsOwn) {
  cluster_.Create("t", {{1}, {1, 2}, {2, 1}});
  cluster_.Start(cluster_.NewBroker(1), BrokerStart::kClean);
  ASSERT_EQ(cluster_.last_records.size(), 1u);
  EXPECT_EQ(cluster_.Partition("t", 0).leader_epoch, LeaderEpoch{1});
  EXPECT_EQ(cluster_.Partition("t", 1).leader_epoch, LeaderEpoch{1});
  EXPECT_EQ(cluster_.Partition("t", 2).leader_epoch, LeaderEpoch{0});
  BrokerImage same = *cluster_.image()->Broker(NodeId{1});
  cluster_.Start(same, BrokerStart::kGoesOn);
  EXPECT_TRUE(cluster_.last_records.empty());
}

TEST_F(LeadershipTest, PartitionsWithoutOtherReplicasTakeNoRecordsOfTheirOwn) {
  cluster_.Create("t", std::vector<std::vector<int32_t>>(20'000, {1}));
  cluster_.Fence(1);
  EXPECT_EQ(cluster_.last_records.size(), 1u);
  EXPECT_EQ(cluster_.Show("t", 19'999), "leader -1, eligible 1");
  cluster_.Unfence(1);
  EXPECT_EQ(cluster_.last_records.size(), 1u);
  EXPECT_EQ(cluster_.Show("t", 19'999), "leader 1, isr 1");
  EXPECT_EQ(cluster_.Partition("t", 0).leader_epoch, LeaderEpoch{2});
  cluster_.Start(cluster_.NewBroker(1), BrokerStart::kUnclean);
  EXPECT_EQ(cluster_.last_records.size(), 1u);
  EXPECT_EQ(cluster_.Partition("t", 0).leader_epoch, LeaderEpoch{3});
}

TEST_F(LeadershipTest, ABrokerOfManyPartitionsIsFencedInOneStep) {
  cluster_.Create("t", std::vector<std::vector<int32_t>>(60'000, {1, 2, 3}));
  cluster_.Fence(1);
  size_t bytes = 0;
  for (const auto& record : cluster_.last_records) bytes += record.ByteSizeLong();
  EXPECT_LT(bytes, cluster_.options.record_batch_bytes_max / 4);
  EXPECT_EQ(cluster_.Show("t", 59'999), "leader 2, isr 2 3");
}

}  // namespace
}  // namespace gregor
