// Brokers that others lead for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/controller/cluster_image.h"

namespace gregor {
namespace {

class DrainTest : public testing::Test {
 protected:
  DrainTest() { cluster_.StartAll(4); }

  // "0 -> 2" for each partition that it led; "0: why" for one that it keeps.
  std::vector<std::string> Drain(int32_t node) {
    const auto led = cluster_.Run(DrainBroker{NodeId{node}, false});
    EXPECT_TRUE(led.ok());
    std::vector<std::string> shown;
    for (const ElectedLeader& each : *led) {
      std::string text = std::to_string(each.partition.partition.value);
      if (each.result.ok()) {
        text += " -> " + std::to_string(each.leader.value);
      } else {
        EXPECT_EQ(each.result.error().reason, Reason::kEligibleLeadersNotAvailable);
        EXPECT_EQ(each.leader, NodeId{node});
        text += ": " + each.result.error().message;
      }
      shown.push_back(text);
    }
    return shown;
  }
  void Undrain(int32_t node) {
    EXPECT_THAT(*cluster_.Run(DrainBroker{NodeId{node}, true}), testing::IsEmpty());
  }
  Result<void> Elect(ElectionKind kind, int32_t target = -1) {
    ElectLeaders operation;
    operation.kind = kind;
    operation.partitions = {{"t", PartitionIndex{0}}};
    operation.target = NodeId{target};
    return cluster_.Run(operation)->front().result;
  }
  // Replica `node` has caught up with the topic's leader.
  void Join(int32_t node) {
    const PartitionImage& partition = cluster_.Partition("t");
    AlterPartitions operation;
    operation.broker = partition.leader;
    operation.broker_epoch = cluster_.image()->Broker(partition.leader)->epoch;
    AlterPartitions::Item item;
    item.topic = cluster_.image()->Topic("t")->id;
    item.leader_epoch = partition.leader_epoch;
    item.partition_epoch = partition.partition_epoch;
    for (const NodeId member : partition.isr) item.isr.push_back({member, BrokerEpoch{-1}});
    item.isr.push_back({NodeId{node}, BrokerEpoch{-1}});
    operation.items = {item};
    ASSERT_TRUE(cluster_.Run(operation).ok());
  }

  ClusterImage cluster_;
};

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(DrainTest, OthersLeadWhatTheyAreInSyncFor) {
  cluster_.Create("t", {{1, 2, 3}, {2, 1}, {1}, {1, 4}});
  cluster_.Fence(4);
  EXPECT_THAT(Drain(1), ElementsAre("0 -> 2", "2: it has no other replica",
                                    "3: no other replica is in sync"));
  EXPECT_TRUE(cluster_.image()->Broker(NodeId{1})->drained);
  // It stays in sync.
  EXPECT_EQ(cluster_.Show("t", 0), "leader 2, isr 1 2 3");
  EXPECT_EQ(cluster_.Show("t", 1), "leader 2, isr 2 1");
  EXPECT_EQ(cluster_.Show("t", 2), "leader 1, isr 1");
  EXPECT_EQ(cluster_.Partition("t", 0).leader_epoch, LeaderEpoch{1});
  // Once more: what is left.
  EXPECT_THAT(Drain(1),
              ElementsAre("2: it has no other replica", "3: no other replica is in sync"));
  EXPECT_THAT(cluster_.last_records, IsEmpty());
}

TEST_F(DrainTest, NobodyIsToldThatItIsElected) {
  cluster_.Create("t", {{1, 2, 3}});
  Drain(1);
  const auto preferred = Elect(ElectionKind::kPreferred);
  ASSERT_FALSE(preferred.ok());
  EXPECT_EQ(preferred.error().reason, Reason::kPreferredLeaderNotAvailable);
  EXPECT_THAT(preferred.error().message, testing::HasSubstr("drained"));
  EXPECT_EQ(Elect(ElectionKind::kTransfer, 1).error().reason, Reason::kEligibleLeadersNotAvailable);
  std::vector<pb::MetadataRecord> records;
  PlanLeaderBalance(*cluster_.image(), {}, 0, 10, records);
  EXPECT_THAT(records, IsEmpty());
  // Whoever leads fails: of those that are left one that is not drained.
  cluster_.Fence(2);
  EXPECT_EQ(cluster_.Show("t"), "leader 3, isr 1 3");
  // The last one standing serves all the same.
  cluster_.Fence(3);
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1");
}

TEST_F(DrainTest, WhatItLedForLackOfOthersMovesOnceThereAreSome) {
  cluster_.Create("t", {{1, 2}});
  cluster_.Fence(2);
  EXPECT_THAT(Drain(1), ElementsAre("0: no other replica is in sync"));
  cluster_.Unfence(2);
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1");
  Join(2);
  EXPECT_EQ(cluster_.Show("t"), "leader 2, isr 1 2");
}

TEST_F(DrainTest, WhereAllAreDrainedNothingMoves) {
  cluster_.Create("t", {{1, 2}});
  EXPECT_THAT(Drain(2), IsEmpty());
  EXPECT_THAT(Drain(1), ElementsAre("0: all other replicas in sync are on drained brokers"));
  EXPECT_EQ(cluster_.Partition("t").leader_epoch, LeaderEpoch{0});
}

TEST_F(DrainTest, ItLastsOverRestartsUntilItIsUndone) {
  cluster_.Create("t", {{1, 2}});
  Drain(1);
  RegisterBroker restart;
  restart.broker = cluster_.NewBroker(1);
  restart.stopped_cleanly = true;
  cluster_.Fence(1);
  cluster_.Fence(2);
  EXPECT_EQ(cluster_.Show("t"), "leader -1, eligible 2");
  cluster_.Unfence(2);
  ASSERT_TRUE(cluster_.Run(restart).ok());
  EXPECT_TRUE(cluster_.image()->Broker(NodeId{1})->drained);
  Join(1);
  EXPECT_EQ(cluster_.Show("t"), "leader 2, isr 2 1");
  Undrain(1);
  EXPECT_FALSE(cluster_.image()->Broker(NodeId{1})->drained);
  EXPECT_EQ(cluster_.Show("t"), "leader 2, isr 2 1") << "nothing moves back at once";
  std::vector<pb::MetadataRecord> records;
  PlanLeaderBalance(*cluster_.image(), {}, 0, 10, records);
  cluster_.Commit(records);
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 2 1");
}

TEST_F(DrainTest, AStrangerCannotBeDrained) {
  EXPECT_EQ(cluster_.Run(DrainBroker{NodeId{9}, false}).error().reason,
            Reason::kBrokerIdNotRegistered);
}

}  // namespace
}  // namespace gregor
