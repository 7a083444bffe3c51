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

// The broker runs on without one of its log directories: the one in which the topic's first
// partition lies.
class LostDirectoryTest : public LeadershipTest {
 protected:
  void Lose(const std::string& topic) {
    BrokerImage broker = *cluster_.image()->Broker(NodeId{1});
    lost_ = cluster_.Partition(topic).directories.front();
    std::erase(broker.directories, lost_);
    cluster_.Start(broker, BrokerStart::kLostDirectories);
  }
  bool IsThere(const std::string& topic, int32_t index) const {
    return cluster_.Partition(topic, index).directories.front() != lost_;
  }
  // Of the first partition of topic "t".
  Result<void> Reassign(const std::vector<int32_t>& replicas) {
    ReassignPartitions move;
    move.items = {{{"t", PartitionIndex{0}}, Nodes(replicas)}};
    return cluster_.Run(move)->front();
  }
  // Its leader says who is in sync.
  AlterOutcome Alter(const std::vector<int32_t>& isr) {
    const PartitionImage& partition = cluster_.Partition("t");
    AlterPartitions operation;
    operation.broker = partition.leader;
    operation.broker_epoch = cluster_.image()->Broker(partition.leader)->epoch;
    AlterPartitions::Item item;
    item.topic = cluster_.image()->Topic("t")->id;
    item.leader_epoch = partition.leader_epoch;
    item.partition_epoch = partition.partition_epoch;
    for (const int32_t node : isr)
      item.isr.push_back({NodeId{node}, cluster_.image()->Broker(NodeId{node})->epoch});
    operation.items = {item};
    return cluster_.Run(operation)->front().outcome;
  }

  DirectoryId lost_;
};

TEST_F(LostDirectoryTest, OthersLeadWhatTheyCanAndTheRestCanBeRead) {
  cluster_.Create("t", {{1, 2}, {1, 2}, {1}, {1}});
  Lose("t");
  for (int32_t index = 0; index < 4; ++index) {
    EXPECT_EQ(cluster_.Show("t", index), index >= 2            ? "leader 1, isr 1"
                                         : IsThere("t", index) ? "leader 1, isr 1 2"
                                                               : "leader 2, isr 2");
    // Only who leads elsewhere does so under a new epoch.
    const int32_t epoch = index < 2 && !IsThere("t", index) ? 1 : 0;
    EXPECT_EQ(cluster_.Partition("t", index).leader_epoch, LeaderEpoch{epoch});
  }
  // A process that begins without it has nothing to be read.
  BrokerImage broker = cluster_.NewBroker(1);
  std::erase(broker.directories, lost_);
  cluster_.Start(broker, BrokerStart::kClean);
  for (const int32_t index : {2, 3}) {
    EXPECT_EQ(cluster_.Show("t", index),
              IsThere("t", index) ? "leader 1, isr 1" : "leader -1, eligible 1");
  }
  cluster_.Start(cluster_.NewBroker(1), BrokerStart::kClean);
  for (const int32_t index : {2, 3}) EXPECT_EQ(cluster_.Show("t", index), "leader 1, isr 1");
}

TEST_F(LostDirectoryTest, AFollowersReplicaThereIsNotInSyncAnyMore) {
  cluster_.Create("t", {{1, 2}});
  ElectLeaders transfer;
  transfer.kind = ElectionKind::kTransfer;
  transfer.partitions = {{"t", PartitionIndex{0}}};
  transfer.target = NodeId{2};
  ASSERT_TRUE(cluster_.Run(transfer)->front().result.ok());
  Lose("t");
  EXPECT_EQ(cluster_.Show("t"), "leader 2, isr 2");
}

TEST_F(LostDirectoryTest, WhoComesBackWithEverythingTakesOver) {
  cluster_.Create("t", {{1, 2}}, two_in_sync_);
  cluster_.Fence(2);
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1, eligible 2");
  Lose("t");
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1, eligible 2") << "nobody else is there";
  cluster_.Unfence(2);
  EXPECT_EQ(cluster_.Show("t"), "leader 2, isr 2, eligible 1");
}

TEST_F(LostDirectoryTest, WhoComesBackWithoutEverythingLeadsOnlyIfThatIsAllowed) {
  cluster_.Create("t", {{1, 2}});
  cluster_.Fence(2);
  Lose("t");
  cluster_.Unfence(2);
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1") << "what it has can still be read";
  ElectLeaders unclean;
  unclean.kind = ElectionKind::kUnclean;
  unclean.partitions = {{"t", PartitionIndex{0}}};
  const auto elected = cluster_.Run(unclean);
  EXPECT_TRUE(elected->front().result.ok()) << elected->front().result.error();
  EXPECT_EQ(cluster_.Show("t"), "leader 2, isr 2, recovering");
}

TEST_F(LostDirectoryTest, AnUncleanElectionThatIsAllowedComesByTheClockToo) {
  cluster_.Create("t", {{1, 2}});
  cluster_.Fence(2);
  Lose("t");
  cluster_.Unfence(2);
  std::vector<pb::MetadataRecord> records;
  PlanUncleanElections(*cluster_.image(), {{"unclean.leader.election.enable", "true"}}, 10,
                       records);
  cluster_.Commit(records);
  EXPECT_EQ(cluster_.Show("t"), "leader 2, isr 2, recovering");
}

TEST_F(LostDirectoryTest, WhereNobodyElseCanLeadAnUncleanElectionTakesNothingAway) {
  cluster_.Create("t", {{1}});
  Lose("t");
  std::vector<pb::MetadataRecord> records;
  PlanUncleanElections(*cluster_.image(), {{"unclean.leader.election.enable", "true"}}, 10,
                       records);
  EXPECT_TRUE(records.empty());
  ElectLeaders unclean;
  unclean.kind = ElectionKind::kUnclean;
  unclean.partitions = {{"t", PartitionIndex{0}}};
  EXPECT_EQ(cluster_.Run(unclean)->front().result.error().reason,
            Reason::kEligibleLeadersNotAvailable);
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1");
}

TEST_F(LostDirectoryTest, WhatCanStillBeReadIsMovedAway) {
  cluster_.Create("t", {{1}});
  Lose("t");
  ASSERT_TRUE(Reassign({2, 3}).ok());
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1, adding 2 3, removing 1");
  EXPECT_EQ(cluster_.Partition("t").leader_epoch, LeaderEpoch{0});
  EXPECT_EQ(Alter({1}), AlterOutcome::kIneligibleReplica) << "it would leave nobody";
  // Who has got everything leads at once.
  EXPECT_EQ(Alter({1, 2}), AlterOutcome::kNewLeaderElected);
  EXPECT_EQ(cluster_.Show("t"), "leader 2, isr 2, adding 2 3, removing 1");
  EXPECT_EQ(Alter({2, 3}), AlterOutcome::kDone);
  EXPECT_EQ(cluster_.Show("t"), "leader 2, isr 2 3");
}

TEST_F(LostDirectoryTest, AMoveThatIsCancelledLeavesItReadable) {
  cluster_.Create("t", {{1}});
  Lose("t");
  ASSERT_TRUE(Reassign({2}).ok());
  ASSERT_TRUE(Reassign({3}).ok());
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1, adding 3, removing 1");
  ASSERT_TRUE(Reassign({}).ok());
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1");
}

TEST_F(LostDirectoryTest, OtherReplicasDoNotGoBeforeOneThatServesIsInSync) {
  cluster_.Create("t", {{1, 2}}, two_in_sync_);
  cluster_.Fence(2);
  Lose("t");
  ASSERT_TRUE(Reassign({1}).ok());
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1, eligible 2, removing 2");
  cluster_.Unfence(2);
  EXPECT_EQ(cluster_.Show("t"), "leader 2, isr 2, eligible 1, removing 2");
}

TEST_F(LostDirectoryTest, OneThatMayHaveLostRecordsIsNotEligibleBesideIt) {
  cluster_.Create("t", {{1, 2}}, replicated_);
  cluster_.Fence(2);
  Lose("t");
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1, eligible 2");
  cluster_.Restart(2, BrokerStart::kUnclean);
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1");
}

TEST_F(LostDirectoryTest, WhoIsFencedLeadsNothingThereEither) {
  cluster_.Create("t", {{1}});
  Lose("t");
  cluster_.Fence(1);
  EXPECT_EQ(cluster_.Show("t"), "leader -1, eligible 1");
  cluster_.Unfence(1);
  EXPECT_EQ(cluster_.Show("t"), "leader -1, eligible 1");
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
