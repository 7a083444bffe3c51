// What the checkers of the metadata and of a day's run say of histories that are wrong.
#include <gtest/gtest.h>

#include "controller/image/rows.h"
#include "tests/sim/cluster_checkers.h"
#include "tests/sim/metadata_checker.h"
#include "tests/sim/soak_checker.h"

namespace gregor {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr NodeId kNode{1}, kOther{2};

class ClusterCheckerTest : public testing::Test {
 protected:
  // An image with one broker, whose log directory has this number.
  static ImagePtr Image(int64_t version, int64_t epoch, uint8_t directory, NodeId node = kNode,
                        ImagePtr before = nullptr) {
    auto image = before == nullptr ? MetadataImage() : *before;
    image.version = Offset{version};
    image.feature_level = 1;
    auto broker = std::make_shared<BrokerImage>();
    broker->id = node;
    broker->epoch = BrokerEpoch{epoch};
    DirectoryId id;
    id.bytes.fill(directory);
    broker->directories = {id};
    image.brokers.Set(node, std::move(broker));
    return std::make_shared<const MetadataImage>(std::move(image));
  }
  void Publish(NodeId node, ImagePtr before, ImagePtr after, Offset commit = Offset{1000}) {
    MetadataDelta delta;
    delta.before = std::move(before);
    delta.after = std::move(after);
    delta.brokers_changed = true;
    checker_.OnImage(node, delta, commit);
  }

  Verdict verdict_;
  ClusterChecker checker_{verdict_};
};

TEST_F(ClusterCheckerTest, WhoLivesIsNotFenced) {
  constexpr NodeId kStranger{90};
  const auto fence = [](const ImagePtr& before, NodeId node, bool by_hand) {
    MetadataImage image = *before;
    auto broker = std::make_shared<BrokerImage>(*image.Broker(node));
    broker->fenced = true;
    broker->fenced_by_hand = by_hand;
    image.brokers.Set(node, std::move(broker));
    return std::make_shared<const MetadataImage>(std::move(image));
  };
  ImagePtr image = Image(2, 2, 8, kStranger, Image(1, 1, 7));
  image = fence(image, kNode, /*by_hand=*/true);
  // It came with the directory of a disk that was exchanged, and nobody speaks for it.
  image = fence(image, kStranger, /*by_hand=*/false);
  checker_.CheckAlive(*image, {kNode});
  EXPECT_EQ(verdict_.what(), "");
  checker_.CheckAlive(*fence(image, kNode, /*by_hand=*/false), {kNode});
  EXPECT_EQ(verdict_.what().substr(0, 3), "C12");
}

TEST_F(ClusterCheckerTest, ImagesOfOneVersionAreEqual) {
  Publish(NodeId{1}, nullptr, Image(1, 1, 1));
  Publish(NodeId{2}, nullptr, Image(1, 1, 1));
  EXPECT_EQ(verdict_.what(), "");
  Publish(NodeId{3}, nullptr, Image(1, 1, 2));
  EXPECT_EQ(verdict_.what().substr(0, 2), "C1");
}

TEST_F(ClusterCheckerTest, EpochsOfBrokersDoNotFall) {
  const ImagePtr first = Image(1, 5, 1);
  Publish(kNode, nullptr, first);
  Publish(kNode, first, Image(2, 4, 1));
  EXPECT_EQ(verdict_.what().substr(0, 2), "C6");
}

TEST_F(ClusterCheckerTest, ALogDirectoryIsOfOneBroker) {
  const ImagePtr first = Image(1, 1, 1);
  Publish(kNode, nullptr, first);
  Publish(kNode, first, Image(2, 2, 1, NodeId{2}, first));
  EXPECT_EQ(verdict_.what().substr(0, 2), "C9");
}

TEST_F(ClusterCheckerTest, ProducerIdsAreGivenOnce) {
  checker_.OnProducerIds({10, 10});
  checker_.OnProducerIds({20, 10});
  checker_.OnProducerIds({0, 10});
  EXPECT_EQ(verdict_.what(), "");
  checker_.OnProducerIds({29, 1});
  EXPECT_EQ(verdict_.what().substr(0, 3), "C10");
}

TEST_F(ClusterCheckerTest, NothingIsServedThatIsNotCommitted) {
  Publish(kNode, nullptr, Image(7, 1, 1), Offset{7});
  EXPECT_EQ(verdict_.what(), "");
  Publish(NodeId{2}, nullptr, Image(8, 2, 1), Offset{7});
  EXPECT_EQ(verdict_.what().substr(0, 3), "C11");
}

// A topic of one partition, with three replicas on brokers that live.
class PartitionImageTest : public ClusterCheckerTest {
 protected:
  PartitionImageTest() {
    checker_.OnCreating("orders", 1, MonotonicTime(seconds(1)));
    partition_.replicas = {NodeId{1}, NodeId{2}, NodeId{3}};
    partition_.isr = partition_.replicas;
    partition_.leader = NodeId{1};
    partition_.leader_epoch = LeaderEpoch{3};
    partition_.partition_epoch = PartitionEpoch{7};
    std::vector<DirectoryId> directories;
    for (uint8_t node = 1; node <= 3; ++node) {
      image_ = Image(version_ + 1, node, node, NodeId{node}, image_);
      directories.push_back(image_->Broker(NodeId{node})->directories.front());
    }
    partition_.directories = std::move(directories);
    Show(partition_);
  }
  // The partition is so from here on; returns what is said of that.
  std::string Show(const PartitionImage& partition) {
    auto topic = std::make_shared<TopicImage>();
    topic->name = "orders";
    topic->configs = std::make_shared<const ConfigMap>();
    topic->id.bytes.fill(9);
    topic->partitions.Set(PartitionIndex{0}, std::make_shared<const PartitionImage>(partition));
    auto image = std::make_shared<MetadataImage>(*image_);
    image->version = Offset{++version_};
    image->topics.Set(topic->name, topic);
    image->topic_names.Set(topic->id, topic->name);
    MetadataDelta delta;
    delta.before = std::exchange(image_, image);
    delta.after = image_;
    (is_there_ ? delta.changed : delta.created).push_back(topic);
    is_there_ = true;
    checker_.OnImage(kNode, delta, Offset{1000});
    return std::exchange(verdict_, Verdict()).what().substr(0, 2);
  }

  ImagePtr image_;
  int64_t version_ = 0;
  bool is_there_ = false;
  PartitionImage partition_;
};

TEST_F(PartitionImageTest, EachChangeHasAnEpochOfItsOwn) {
  PartitionImage changed = partition_;
  changed.isr = {NodeId{1}, NodeId{2}};
  EXPECT_EQ(Show(changed), "C2");
  changed.partition_epoch = PartitionEpoch{8};
  changed.isr = {NodeId{1}};
  EXPECT_EQ(Show(changed), "");
}

TEST_F(PartitionImageTest, AnotherLeaderHasALaterEpoch) {
  PartitionImage changed = partition_;
  changed.leader = NodeId{2};
  changed.partition_epoch = PartitionEpoch{8};
  EXPECT_EQ(Show(changed), "C2");
  changed.leader = NodeId{3};
  changed.leader_epoch = LeaderEpoch{4};
  changed.partition_epoch = PartitionEpoch{9};
  EXPECT_EQ(Show(changed), "");
}

TEST_F(PartitionImageTest, WhoLeadsIsInSync) {
  partition_.partition_epoch = PartitionEpoch{8};
  partition_.isr = {NodeId{2}, NodeId{3}};
  EXPECT_EQ(Show(partition_), "C3");
}

TEST_F(PartitionImageTest, WhoIsInSyncIsAReplica) {
  partition_.partition_epoch = PartitionEpoch{8};
  partition_.isr = {NodeId{1}, NodeId{2}, NodeId{3}, NodeId{4}};
  EXPECT_EQ(Show(partition_), "C4");
}

TEST_F(PartitionImageTest, WhoIsInSyncIsNotEligibleBesides) {
  partition_.partition_epoch = PartitionEpoch{8};
  partition_.eligible = {NodeId{2}};
  EXPECT_EQ(Show(partition_), "C4");
}

TEST_F(PartitionImageTest, SomebodyHasWhatWasCommitted) {
  partition_.partition_epoch = PartitionEpoch{8};
  partition_.leader = NodeId{-1};
  partition_.isr = {};
  EXPECT_EQ(Show(partition_), "C5");
}

// C7: what was answered stays so.
TEST_F(PartitionImageTest, WhatWasAnsweredIsSo) {
  const TopicPtr topic = image_->Topic("orders");
  checker_.OnCreated("orders", *topic);
  checker_.CheckTopics(*image_);
  EXPECT_EQ(verdict_.what(), "");
  const MetadataImage nothing;
  checker_.CheckTopics(nothing);
  EXPECT_EQ(verdict_.what().substr(0, 2), "C7");
  verdict_ = Verdict();
  checker_.OnDeleting("orders");
  checker_.CheckTopics(nothing);
  EXPECT_EQ(verdict_.what(), "");
  checker_.OnDeleted("orders");
  checker_.CheckTopics(*image_);
  EXPECT_EQ(verdict_.what().substr(0, 2), "C7");
}

class SoakCheckerTest : public testing::Test {
 protected:
  SoakView View() const {
    SoakView view;
    view.node = kNode;
    view.now = MonotonicTime(hours(3));
    view.version = Offset{10'000};
    view.AddFile("/node/metadata/log/abc-0/00000000000000000000.log", limits_.log_bytes_max());
    view.AddFile("/node/metadata/snapshots/00000000000000009500-0000000003.snapshot", 1000);
    view.AddFile("/node/metadata/vote", 100);
    return view;
  }
  void ExpectFailure(const SoakView& view) {
    checker_.OnNode(view);
    EXPECT_EQ(verdict_.what().substr(0, 2), "M1") << verdict_.what();
  }

  SoakLimits limits_{.segment_bytes = 1 << 16, .snapshot_record_bytes = 1 << 16};
  Verdict verdict_;
  SoakChecker checker_{verdict_, limits_};
};

TEST_F(SoakCheckerTest, WhatIsSmallAndYoungPasses) {
  const SoakView view = View();
  EXPECT_EQ(view.snapshot_end, Offset{9500});
  EXPECT_EQ(view.snapshots, 1u);
  EXPECT_EQ(view.log_bytes, limits_.log_bytes_max());
  checker_.OnNode(view);
  checker_.OnProcess(view.now, 0, 10);
  EXPECT_EQ(verdict_.what(), "");
}

TEST_F(SoakCheckerTest, ALogThatIsNotTrimmedIsNoticed) {
  SoakView view = View();
  view.log_bytes += 1;
  ExpectFailure(view);
}

TEST_F(SoakCheckerTest, SoAreSnapshotsThatAreKept) {
  SoakView view = View();
  for (int i = 0; i < 4; ++i) view.AddFile("/node/metadata/snapshots/1-1.snapshot", 10);
  ExpectFailure(view);
}

TEST_F(SoakCheckerTest, AndRecordsThatAreInNone) {
  SoakView view = View();
  view.version = view.snapshot_end + limits_.unsnapshot_records_max() + 1;
  ExpectFailure(view);
}

TEST_F(SoakCheckerTest, AndOldOnes) {
  SoakView view = View();
  checker_.OnNode(view);
  view.now += limits_.snapshot_age_max + minutes(1);
  ExpectFailure(view);
}

TEST_F(SoakCheckerTest, AndAnImageThatGrows) {
  SoakView view = View();
  view.image_bytes = limits_.image_bytes_max + 1;
  ExpectFailure(view);
}

TEST_F(SoakCheckerTest, MemoryStaysWhatItWasAtFirst) {
  const MonotonicTime warm(limits_.warm_up);
  checker_.OnProcess(warm - hours(1), 5 << 20, 10);
  checker_.OnProcess(warm + hours(1), (5 << 20) + limits_.memory_slack_bytes, 10);
  EXPECT_EQ(verdict_.what(), "");
  checker_.OnProcess(warm + hours(1), (6 << 20) + limits_.memory_slack_bytes, 10);
  EXPECT_EQ(verdict_.what().substr(0, 2), "M1");
}

TEST_F(SoakCheckerTest, EventsDoNotPileUp) {
  checker_.OnProcess(MonotonicTime(hours(1)), 0, limits_.waiting_max + 1);
  EXPECT_EQ(verdict_.what().substr(0, 2), "M1");
}

class MetadataCheckerTest : public testing::Test {
 protected:
  // The setting of the whole cluster and of broker 11; 0: not set.
  static MetadataImage Image(int64_t version, uint64_t all, uint64_t of_broker) {
    MetadataImage image;
    image.feature_level = kFeatureLevel;
    image.version = Offset{version};
    const auto set = [&](NodeId node, uint64_t value) {
      const ConfigMap configs{{MetadataChecker::kSetting, std::to_string(value)}};
      if (value != 0) image.broker_configs.Set(node, std::make_shared<const ConfigMap>(configs));
    };
    set(NodeId{-1}, all);
    set(NodeId{11}, of_broker);
    image.state_hash = StateHashOf(image);
    return image;
  }

  Verdict verdict_;
  MetadataChecker checker_{verdict_};
};

TEST_F(MetadataCheckerTest, WhatIsSetInOneStepIsSeenInOneStep) {
  checker_.OnAsked(1, {});
  checker_.OnAsked(2, {NodeId{11}});
  checker_.OnAsked(3, {NodeId{11}});
  checker_.OnImage(kNode, Image(1, 1, 0));
  checker_.OnImage(kNode, Image(2, 2, 2));
  checker_.OnImage(kNode, Image(5, 3, 3));
  EXPECT_EQ(verdict_.what(), "");
}

TEST_F(MetadataCheckerTest, AStateThatIsAnotherOneIsSeen) {
  checker_.OnImage(kNode, Image(1, 1, 0));
  checker_.OnImage(kOther, Image(1, 1, 0));
  EXPECT_EQ(verdict_.what(), "");
  checker_.OnImage(kOther, Image(1, 2, 0));
  EXPECT_EQ(verdict_.what().substr(0, 2), "C1");
}

TEST_F(MetadataCheckerTest, WhatWasAnsweredIsServed) {
  checker_.OnSet(kNode, 2, Image(1, 2, 0));
  EXPECT_EQ(verdict_.what(), "");
  checker_.OnSet(kNode, 3, Image(2, 2, 0));
  EXPECT_EQ(verdict_.what().substr(0, 2), "C7");
}

TEST_F(MetadataCheckerTest, WhatWasSetStays) {
  checker_.OnImage(kNode, Image(1, 2, 0));
  checker_.OnImage(kNode, Image(3, 3, 0));
  EXPECT_EQ(verdict_.what(), "");
  checker_.OnImage(kNode, Image(4, 2, 0));
  EXPECT_EQ(verdict_.what().substr(0, 2), "C7");
}

TEST_F(MetadataCheckerTest, ASnapshotHasTheStateOfItsVersion) {
  checker_.OnImage(kNode, Image(2, 2, 0));
  checker_.OnSnapshot(kNode, Image(2, 2, 0));
  checker_.OnSnapshot(kNode, Image(1, 2, 0));  // which nobody has seen
  EXPECT_EQ(verdict_.what(), "");
  checker_.OnSnapshot(kNode, Image(2, 1, 0));
  EXPECT_EQ(verdict_.what().substr(0, 2), "S3");
}

TEST_F(MetadataCheckerTest, APartOfASnapshotIsNotTaken) {
  checker_.OnCut(kOther);
  checker_.OnImage(kNode, Image(2, 2, 2));
  checker_.OnImage(kOther, Image(2, 2, 2));
  EXPECT_EQ(verdict_.what(), "");
  checker_.OnImage(kOther, Image(2, 2, 0));
  EXPECT_EQ(verdict_.what().substr(0, 2), "C1");  // of what it did not take nothing came
  verdict_ = Verdict();
  checker_.OnCut(kOther);
  checker_.OnImage(kOther, Image(2, 2, 0));
  EXPECT_EQ(verdict_.what().substr(0, 2), "S4");
}

TEST_F(MetadataCheckerTest, AHashThatIsNotItsStatesIsSeen) {
  for (const bool is_first : {true, false}) {
    verdict_ = Verdict();
    MetadataChecker checker(verdict_);
    if (!is_first) checker.OnImage(kNode, Image(1, 1, 0));
    MetadataImage image = Image(1, 1, 0);
    ++image.state_hash;
    checker.OnImage(kOther, image);
    EXPECT_EQ(verdict_.what().substr(0, 2), "C1");
  }
}

TEST_F(MetadataCheckerTest, ANodeWhoseFilesWereAlteredMayBeWrongUntilItIsRightAgain) {
  checker_.OnImage(kNode, Image(1, 1, 0));
  checker_.OnImage(kNode, Image(2, 2, 0));
  checker_.OnAltered(kOther);
  checker_.OnImage(kOther, Image(1, 5, 0));
  EXPECT_TRUE(checker_.IsAltered(kOther));
  checker_.OnImage(kOther, Image(2, 2, 0));
  EXPECT_FALSE(checker_.IsAltered(kOther));
  EXPECT_EQ(verdict_.what(), "");
  checker_.OnImage(kOther, Image(1, 5, 0));
  EXPECT_EQ(verdict_.what().substr(0, 2), "C1");
}

TEST_F(MetadataCheckerTest, APartOfAnOperationIsSeen) {
  for (const auto& [all, of_broker] : {std::pair(2, 0), std::pair(3, 2), std::pair(2, 3)}) {
    verdict_ = Verdict();
    MetadataChecker checker(verdict_);
    checker.OnAsked(2, {NodeId{11}});
    checker.OnAsked(3, {NodeId{11}});
    checker.OnImage(kNode, Image(4, static_cast<uint64_t>(all), static_cast<uint64_t>(of_broker)));
    EXPECT_EQ(verdict_.what().substr(0, 2), "C8") << all << " " << of_broker;
  }
}

}  // namespace
}  // namespace gregor
