#include "controller/image/partition_counts.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace gregor {
namespace {

// An image that a test makes, partition by partition.
class PartitionCountsTest : public testing::Test {
 protected:
  void AddBroker(int32_t id) {
    auto broker = std::make_shared<BrokerImage>();
    broker->id = NodeId{id};
    image_->brokers.Set(broker->id, broker);
  }
  void AddTopic(const std::string& name, ConfigMap configs,
                const std::vector<PartitionImage>& partitions) {
    auto topic = std::make_shared<TopicImage>();
    topic->name = name;
    topic->configs = std::make_shared<const ConfigMap>(std::move(configs));
    for (const PartitionImage& partition : partitions) {
      const PartitionIndex index{topic->partition_count()};
      topic->partitions.Set(index, std::make_shared<const PartitionImage>(partition));
    }
    image_->topics.Set(name, std::move(topic));
  }
  static PartitionImage Partition(SharedList<NodeId> replicas, SharedList<NodeId> isr,
                                  int32_t leader) {
    PartitionImage partition;
    partition.replicas = std::move(replicas);
    partition.isr = std::move(isr);
    partition.leader = NodeId{leader};
    return partition;
  }

  static constexpr NodeId kOne{1}, kTwo{2}, kThree{3};
  std::shared_ptr<MetadataImage> image_ = std::make_shared<MetadataImage>();
};

TEST_F(PartitionCountsTest, ReplicasAndLeadersAreCountedByBroker) {
  for (const int32_t id : {1, 2, 4}) AddBroker(id);
  AddTopic("a", {}, {Partition({kOne, kTwo}, {kOne, kTwo}, 1), Partition({kTwo}, {kTwo}, 2)});
  AddTopic("b", {}, {Partition({kOne, kThree}, {kOne}, 1), Partition({kTwo}, {kTwo}, -1)});
  const PartitionCounts counts = CountPartitions(*image_, {});
  ASSERT_EQ(counts.brokers.size(), 4u);
  EXPECT_EQ(counts.brokers.at(kOne).replicas, 2);
  EXPECT_EQ(counts.brokers.at(kOne).leads, 2);
  EXPECT_EQ(counts.brokers.at(kTwo).replicas, 3);
  EXPECT_EQ(counts.brokers.at(kTwo).leads, 1);
  EXPECT_EQ(counts.brokers.at(kOne).only_in_sync, 1);
  EXPECT_EQ(counts.brokers.at(kTwo).only_in_sync, 2);
  // One that is not registered, and one that has nothing.
  EXPECT_EQ(counts.brokers.at(kThree).replicas, 1);
  EXPECT_EQ(counts.brokers.at(NodeId{4}).replicas, 0);
  EXPECT_EQ(counts.without_leader, 1);
  EXPECT_EQ(counts.under_replicated, 1);
  EXPECT_EQ(counts.under_min_isr, 0);
}

TEST_F(PartitionCountsTest, TheTopicsOwnMinimumOfTheIsrCounts) {
  const auto partitions = {Partition({kOne, kTwo, kThree}, {kOne, kTwo}, 1),
                           Partition({kOne, kTwo, kThree}, {kOne}, 1)};
  AddTopic("one", {}, partitions);
  AddTopic("two", {{"min.insync.replicas", "2"}}, partitions);
  AddTopic("three", {{"min.insync.replicas", "3"}}, partitions);
  EXPECT_EQ(CountPartitions(*image_, {}).under_min_isr, 3);
  // Of the settings file, where a topic sets nothing.
  EXPECT_EQ(CountPartitions(*image_, {{"min.insync.replicas", "2"}}).under_min_isr, 4);
  EXPECT_EQ(CountPartitions(*image_, {}).under_replicated, 6);
}

TEST_F(PartitionCountsTest, APartitionOfFewReplicasNeedsNoMoreThanThose) {
  AddTopic("orders", {{"min.insync.replicas", "2"}}, {Partition({kOne}, {kOne}, 1)});
  EXPECT_EQ(CountPartitions(*image_, {}).under_min_isr, 0);
  EXPECT_EQ(CountPartitions(*image_, {}).under_replicated, 0);
}

TEST_F(PartitionCountsTest, ReplicasThatAReassignmentAddsAreNotMissed) {
  PartitionImage moving = Partition({kOne, kTwo, kThree}, {kOne, kTwo}, 1);
  moving.adding = {kThree};
  AddTopic("orders", {}, {moving});
  EXPECT_EQ(CountPartitions(*image_, {}).under_replicated, 0);
}

}  // namespace
}  // namespace gregor
