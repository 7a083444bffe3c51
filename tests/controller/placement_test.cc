#include "controller/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/controller/cluster_image.h"

namespace gregor {
namespace {

TEST(Placement, LeadersAndReplicasAreEvenAndRacksAreUsed) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    ClusterImage cluster(seed);
    Random random(seed);
    const auto rack_count = static_cast<int32_t>(1 + random.Below(4));
    const auto per_rack = static_cast<int32_t>(1 + random.Below(4));
    const int32_t brokers = rack_count * per_rack;
    for (int32_t node = 1; node <= brokers; ++node)
      cluster.Start(cluster.NewBroker(node, std::to_string(node % rack_count)),
                    BrokerStart::kClean);
    const auto factor = 1 + random.Below(std::min<uint64_t>(4, static_cast<uint64_t>(brokers)));
    const auto count = static_cast<int32_t>(1 + random.Below(200));
    const auto assignment =
        ChooseReplicas(*cluster.image(), count, static_cast<int32_t>(factor), random);
    ASSERT_TRUE(assignment.ok()) << assignment.error();
    std::map<NodeId, int> leaders, replicas;
    for (int32_t node = 1; node <= brokers; ++node)
      leaders[NodeId{node}] = replicas[NodeId{node}] = 0;
    for (const auto& each : *assignment) {
      ++leaders[each.front()];
      std::set<NodeId> nodes(each.begin(), each.end());
      std::set<std::string> racks;
      for (const NodeId node : each) {
        ++replicas[node];
        racks.insert(cluster.image()->Broker(node)->rack);
      }
      EXPECT_EQ(nodes.size(), factor);
      EXPECT_EQ(racks.size(), std::min<size_t>(factor, static_cast<size_t>(rack_count)));
    }
    const auto spread = [](const std::map<NodeId, int>& counts) {
      const auto [low, high] =
          std::minmax_element(counts.begin(), counts.end(),
                              [](const auto& a, const auto& b) { return a.second < b.second; });
      return high->second - low->second;
    };
    EXPECT_LE(spread(leaders), 1) << "seed " << seed;
    EXPECT_LE(spread(replicas), 2) << "seed " << seed;
  }
}

TEST(Placement, ARackWithOneBrokerOnlyIsUsedAsFarAsItGoes) {
  ClusterImage cluster;
  for (const auto& [node, rack] : {std::pair(1, "a"), {2, "a"}, {3, "a"}, {4, "b"}})
    cluster.Start(cluster.NewBroker(node, rack), BrokerStart::kClean);
  Random random(1);
  const auto assignment = ChooseReplicas(*cluster.image(), 30, 2, random);
  ASSERT_TRUE(assignment.ok());
  for (const auto& replicas : *assignment)
    EXPECT_EQ(std::count(replicas.begin(), replicas.end(), NodeId{4}), 1);
}

TEST(Placement, SmallTopicsAreEvenTogetherAndEachTopicInItself) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    ClusterImage cluster(seed);
    cluster.StartAll(3);
    const auto create = [&](const std::string& name, int32_t partitions, int32_t factor) {
      CreateTopic topic;
      topic.name = name;
      topic.partitions = partitions;
      topic.replication_factor = factor;
      ASSERT_TRUE(cluster.Run(topic).ok());
    };
    const auto counts = [&](const std::string& prefix) {
      std::map<NodeId, std::pair<int, int>> leads_and_replicas;
      cluster.image()->topics.VisitAll([&](const std::string& name, const TopicPtr& topic) {
        if (!name.starts_with(prefix)) return;
        topic->partitions.VisitAll([&](PartitionIndex, const PartitionPtr& partition) {
          ++leads_and_replicas[partition->replicas.front()].first;
          for (const NodeId node : partition->replicas) ++leads_and_replicas[node].second;
        });
      });
      return leads_and_replicas;
    };
    for (int i = 0; i < 6; ++i) create("small-" + std::to_string(i), 1, 2);
    for (const auto& [node, count] : counts("small")) EXPECT_EQ(count, std::pair(2, 4)) << node;
    EXPECT_EQ(counts("small").size(), 3u) << "seed " << seed;
    // One that came later gets what is behind, but no topic for itself.
    cluster.Start(cluster.NewBroker(4, ""), BrokerStart::kClean);
    create("late", 1, 1);
    EXPECT_EQ(counts("late").begin()->first, NodeId{4});
    create("wide", 8, 1);
    for (const auto& [node, count] : counts("wide")) EXPECT_EQ(count.first, 2) << node;
  }
}

TEST(Placement, WhoIsDrainedLeadsNothingNew) {
  ClusterImage cluster;
  cluster.StartAll(3);
  ASSERT_TRUE(cluster.Run(DrainBroker{NodeId{2}, false}).ok());
  Random random(1);
  for (const int32_t factor : {1, 2, 3}) {
    const auto assignment = ChooseReplicas(*cluster.image(), 30, factor, random);
    ASSERT_TRUE(assignment.ok());
    std::map<NodeId, int> leaders;
    for (const auto& replicas : *assignment) ++leaders[replicas.front()];
    EXPECT_EQ(leaders, (std::map<NodeId, int>{{NodeId{1}, 15}, {NodeId{3}, 15}}));
  }
  // By hand it may get replicas; it leads them where it is alone.
  const auto placed = PlacePartitions(*cluster.image(), 0, {Nodes({2, 3}), Nodes({2})}, random);
  EXPECT_EQ(placed[0].leader, NodeId{3});
  EXPECT_EQ(placed[1].leader, NodeId{2});
  for (const int32_t node : {1, 3}) ASSERT_TRUE(cluster.Run(DrainBroker{NodeId{node}, false}).ok());
  std::set<NodeId> leaders;
  const auto assignment = ChooseReplicas(*cluster.image(), 3, 2, random);
  for (const auto& replicas : *assignment) leaders.insert(replicas.front());
  EXPECT_EQ(leaders.size(), 3u) << "all of them are drained";
}

TEST(Placement, WhoIsFencedOrStopsGetsNothingNew) {
  ClusterImage cluster;
  cluster.StartAll(4);
  cluster.Fence(1);
  cluster.ShutDown(2);
  Random random(1);
  const auto assignment = ChooseReplicas(*cluster.image(), 10, 2, random);
  ASSERT_TRUE(assignment.ok());
  for (const auto& replicas : *assignment) {
    for (const NodeId node : replicas) EXPECT_GT(node, NodeId{2});
  }
  EXPECT_EQ(ChooseReplicas(*cluster.image(), 1, 3, random).error().reason,
            Reason::kInvalidReplicationFactor);
}

}  // namespace
}  // namespace gregor
