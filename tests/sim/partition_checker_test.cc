// What the checkers say of steps of a partition that are wrong.
#include <gtest/gtest.h>

#include "tests/sim/cluster_checkers.h"
#include "tests/sim/partition_checker.h"

namespace gregor {
namespace {

// Partition 0 of a topic, on brokers 1 to 3, led by broker 1; two have to be in sync.
class PartitionCheckerTest : public testing::Test {
 protected:
  PartitionCheckerTest() {
    configs_["min.insync.replicas"] = "2";
    for (int32_t node = 1; node <= 3; ++node) {
      lives_[node] = 1;
      partition_.directories.push_back(DirectoryOf(node));
    }
  }
  static DirectoryId DirectoryOf(int32_t number) {
    DirectoryId id;
    id.bytes.fill(static_cast<uint8_t>(number));
    return id;
  }
  struct Partition {
    std::vector<NodeId> isr, eligible;
    std::vector<DirectoryId> directories;
    NodeId leader{1};
    bool recovering = false;
    int32_t epoch = 0;
  };

  TopicPtr Topic() const {
    auto topic = std::make_shared<TopicImage>();
    topic->name = "topic";
    topic->id.bytes.fill(9);
    topic->configs = std::make_shared<const ConfigMap>(configs_);
    PartitionImage partition;
    partition.replicas = std::vector<NodeId>{NodeId{1}, NodeId{2}, NodeId{3}};
    partition.directories = partition_.directories;
    partition.isr = partition_.isr;
    partition.eligible = partition_.eligible;
    partition.leader = partition_.leader;
    partition.recovering = partition_.recovering;
    partition.partition_epoch = PartitionEpoch{partition_.epoch};
    topic->partitions.Set(PartitionIndex{0}, std::make_shared<const PartitionImage>(partition));
    return topic;
  }
  static void Put(const TopicPtr& topic, MetadataImage& image) {
    image.topics.Set(topic->name, topic);
    image.topic_names.Set(topic->id, topic->name);
  }
  ImagePtr Image() const {
    MetadataImage image;
    for (const auto& [node, life] : lives_) {
      BrokerImage broker;
      broker.id = NodeId{node};
      broker.epoch = BrokerEpoch{life};
      broker.incarnation.fill(static_cast<uint8_t>(life));
      if (lost_disk_ != node) broker.directories = {DirectoryOf(node)};
      // As in real images, one that has not changed is the same object.
      const auto* const old = before_ == nullptr ? nullptr : before_->brokers.Find(NodeId{node});
      const bool is_same = old != nullptr && (*old)->epoch == broker.epoch &&
                           (*old)->directories == broker.directories;
      image.brokers.Set(NodeId{node}, is_same ? *old : std::make_shared<const BrokerImage>(broker));
    }
    Put(Topic(), image);
    return std::make_shared<const MetadataImage>(std::move(image));
  }
  // The partition as it begins.
  void Begin(std::vector<int32_t> isr, std::vector<int32_t> eligible = {}) {
    Set(isr, eligible);
    before_ = Image();
  }
  void Set(const std::vector<int32_t>& isr, const std::vector<int32_t>& eligible) {
    partition_.isr.clear();
    partition_.eligible.clear();
    for (const int32_t node : isr) partition_.isr.push_back(NodeId{node});
    for (const int32_t node : eligible) partition_.eligible.push_back(NodeId{node});
  }
  // ... and as it is one step, or several, later. Returns what is said of that.
  std::string Change(std::vector<int32_t> isr, std::vector<int32_t> eligible = {}, int steps = 1) {
    Set(isr, eligible);
    partition_.epoch += steps;
    return Look();
  }
  std::string Look() {
    MetadataDelta delta;
    delta.before = std::exchange(before_, Image());
    delta.after = before_;
    delta.brokers_changed = true;
    delta.changed = {Topic()};
    checker_.OnImage(delta);
    return std::exchange(verdict_, Verdict()).what().substr(0, 2);
  }
  void Ask(std::vector<int32_t> isr, int64_t epoch = 1) {
    AlterPartitions asked;
    AlterPartitions::Item item;
    item.topic.bytes.fill(9);
    item.partition_epoch = PartitionEpoch{partition_.epoch};
    for (const int32_t node : isr) item.isr.push_back({NodeId{node}, BrokerEpoch{epoch}});
    asked.items.push_back(std::move(item));
    checker_.OnAsked(asked);
  }

  std::map<int32_t, int32_t> lives_;
  int32_t lost_disk_ = 0;
  ConfigMap configs_;
  Partition partition_;
  ImagePtr before_;
  Verdict verdict_;
  PartitionStepChecker checker_{verdict_};
};

TEST_F(PartitionCheckerTest, AsManyAsACommitNeedsHaveEverything) {
  Begin({1, 2, 3});
  EXPECT_EQ(Change({1, 2}), "");
  EXPECT_EQ(Change({1}, {2}), "");
  EXPECT_EQ(Change({1}, {}), "C5");
  // Where there were fewer before, nobody has lost anything.
  EXPECT_EQ(Change({}, {1}), "");
}

TEST_F(PartitionCheckerTest, ALeaderThatIsElectedUncleanlyIsAlone) {
  Begin({}, {1, 2});
  partition_.leader = NodeId{3};
  partition_.recovering = true;
  EXPECT_EQ(Change({3}), "");
}

TEST_F(PartitionCheckerTest, WhoseDiskIsGoneHasNothing) {
  Begin({1}, {2});
  lost_disk_ = 2;
  EXPECT_EQ(Change({1}), "");
}

TEST_F(PartitionCheckerTest, SeveralStepsAtOnceAreNotJudged) {
  Begin({1, 2});
  EXPECT_EQ(Change({1}, {}, 2), "");
}

TEST_F(PartitionCheckerTest, WhoGetsInSyncIsAskedFor) {
  Begin({1, 2});
  EXPECT_EQ(Change({1, 2, 3}), "C6");
  Begin({1, 2});
  Ask({1, 2, 3});
  EXPECT_EQ(Change({1, 2, 3}), "");
}

TEST_F(PartitionCheckerTest, WhoGetsInSyncIsAskedForInTheLifeThatItsBrokerHas) {
  Begin({1, 2});
  Ask({1, 2, 3});
  lives_[3] = 2;
  EXPECT_EQ(Look(), "");
  EXPECT_EQ(Change({1, 2, 3}), "C6");
  Begin({1, 2});
  Ask({1, 2, 3});
  Ask({1, 2, 3}, 2);
  EXPECT_EQ(Change({1, 2, 3}), "");
}

TEST_F(PartitionCheckerTest, WhoMayHaveLostRecordsIsNotInSyncAnyMore) {
  Begin({1, 2});
  lives_[2] = 2;
  EXPECT_EQ(Look(), "");  // all that was acknowledged is on its disk
  configs_["durability"] = "replicated";
  Begin({1, 2});
  lives_[2] = 3;
  EXPECT_EQ(Change({1}), "");
  Begin({1, 2});
  lives_[2] = 4;
  EXPECT_EQ(Look(), "C6");
  Begin({1, 2});
  lives_[2] = 5;
  EXPECT_EQ(Change({1}, {2}), "C6");
  // What the last one has is all there is.
  Begin({2});
  lives_[2] = 6;
  EXPECT_EQ(Look(), "");
  // ... also where the other one went in the same image, but not where nothing happened to it.
  for (const int32_t other : {1, 2}) {
    Begin({}, {1, 2});
    partition_.leader = NodeId{-1};
    if (other == 1) ++lives_[1];
    ++lives_[2];
    EXPECT_EQ(Change({}, {2}), other == 1 ? "" : "C6");
  }
}

// C8 of partitions that are added.
TEST_F(PartitionCheckerTest, ATopicHasAsManyPartitionsAsWereAskedFor) {
  const auto topic_of = [](int32_t count) {
    auto topic = std::make_shared<TopicImage>();
    topic->name = "topic";
    topic->id.bytes.fill(9);
    topic->configs = std::make_shared<const ConfigMap>();
    for (int32_t i = 0; i < count; ++i) {
      PartitionImage partition;
      partition.index = PartitionIndex{i};
      partition.eligible = std::vector<NodeId>{NodeId{1}};
      partition.replicas = partition.eligible;
      topic->partitions.Set(partition.index, std::make_shared<const PartitionImage>(partition));
    }
    return TopicPtr(topic);
  };
  for (const auto& [first, then, expected] :
       {std::tuple(3, 5, ""), {3, 4, "C8"}, {2, 5, "C8"}, {3, 2, "C8"}}) {
    verdict_ = Verdict();
    ClusterChecker checker(verdict_);
    checker.OnCreating("topic", 3, {});
    checker.OnGrowing("topic", 2);
    checker.OnGrowing("topic", 5);
    for (const int32_t count : {first, then}) {
      MetadataDelta delta;
      MetadataImage image;
      image.version = Offset{count == first ? 1 : 2};
      Put(topic_of(count), image);
      delta.before = count == first ? nullptr : std::exchange(before_, nullptr);
      delta.after = before_ = std::make_shared<const MetadataImage>(std::move(image));
      (count == first ? delta.created : delta.changed) = {topic_of(count)};
      checker.OnImage(NodeId{1}, delta, Offset{9});
    }
    EXPECT_EQ(verdict_.what().substr(0, 2), expected) << first << " " << then;
  }
}

}  // namespace
}  // namespace gregor
