#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/image/feature_needs.h"
#include "tests/controller/cluster_image.h"
#include "tests/controller/image/record_maker.h"

namespace gregor {
namespace {

using testing::HasSubstr;

class FeatureOperationsTest : public testing::Test {
 protected:
  FeatureOperationsTest() {
    cluster_.options.node_id = NodeId{1};
    cluster_.StartAll(2);
    for (const int32_t node : {1, 2, 3}) Voter(node, 1, 2);
    cluster_.Commit({Level(1)});
    cluster_.quorum = [this] { return quorum_; };
  }

  static pb::MetadataRecord Level(int32_t level) {
    pb::MetadataRecord record;
    record.mutable_feature_level()->set_level(level);
    return record;
  }
  void Voter(int32_t node, int32_t min, int32_t max) {
    std::erase_if(quorum_.voters, [&](const auto& each) { return each.key.node.value == node; });
    QuorumMember& member = quorum_.voters.emplace_back();
    member.key.node = NodeId{node};
    member.feature_level_min = min;
    member.feature_level_max = max;
  }
  int32_t level() const { return cluster_.image()->feature_level; }
  void ExpectFailure(int32_t level, const std::string& text) {
    const int32_t before = this->level();
    const auto updated = cluster_.Run(UpdateFeatures{level, false});
    ASSERT_FALSE(updated.ok());
    EXPECT_EQ(updated.error().reason, Reason::kFeatureUpdateFailed);
    EXPECT_THAT(updated.error().message, HasSubstr(text));
    EXPECT_EQ(this->level(), before);
  }

  ClusterImage cluster_;
  QuorumStatus quorum_;
};

TEST_F(FeatureOperationsTest, TheLevelIsRaisedOnceEveryNodeSupportsIt) {
  ASSERT_TRUE(cluster_.Run(UpdateFeatures{2, true}).ok());
  EXPECT_EQ(level(), 1);
  ASSERT_TRUE(cluster_.Run(UpdateFeatures{2, false}).ok());
  EXPECT_EQ(level(), 2);
  // Again: there is nothing to do.
  ASSERT_TRUE(cluster_.Run(UpdateFeatures{2, false}).ok());
  EXPECT_TRUE(cluster_.last_records.empty());
}

TEST_F(FeatureOperationsTest, ABrokerThatDoesNotSupportItIsInTheWayFencedOrNot) {
  // Scenario C14.
  BrokerImage old = cluster_.NewBroker(3);
  old.feature_level_max = 1;
  cluster_.Start(old, BrokerStart::kClean);
  ExpectFailure(2, "broker 3 supports 1");
  cluster_.Fence(3);
  ExpectFailure(2, "unregister it if it has gone for good");
  cluster_.Start(cluster_.NewBroker(3), BrokerStart::kClean);
  EXPECT_TRUE(cluster_.Run(UpdateFeatures{2, false}).ok());
}

TEST_F(FeatureOperationsTest, ABrokerThatDoesNotSupportTheLevelCannotComeBack) {
  // Scenario C14.
  BrokerImage old = cluster_.NewBroker(3);
  old.feature_level_max = 1;
  ASSERT_TRUE(cluster_.Run(UpdateFeatures{2, false}).ok());
  const auto refused = cluster_.Run(RegisterBroker{old, true});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kInvalidArgument);
  EXPECT_THAT(refused.error().message,
              HasSubstr("broker 3 cannot register: it supports feature levels 1 to 1, and the "
                        "cluster is at 2: run a version that supports it"));
  EXPECT_TRUE(cluster_.Run(RegisterBroker{cluster_.NewBroker(3), true}).ok());
}

TEST_F(FeatureOperationsTest, AControllerThatIsNotConnectedIsInTheWay) {
  Voter(2, 0, 0);
  ExpectFailure(2, "controller 2 is not connected");
  Voter(2, 1, 1);
  ExpectFailure(2, "controller 2 supports 1");
  quorum_.voters.clear();
  ExpectFailure(2, "who votes on the metadata is not known");
}

TEST_F(FeatureOperationsTest, ManyNodesInTheWayAreCounted) {
  for (int32_t node = 11; node <= 19; ++node) Voter(node, 1, 1);
  ExpectFailure(2, "controller 15 supports 1; and 4 more");
}

TEST_F(FeatureOperationsTest, LevelsThatNobodyKnowsAreRefused) {
  for (const int32_t level : {-1, 0, kFeatureLevel + 1}) {
    const auto updated = cluster_.Run(UpdateFeatures{level, false});
    ASSERT_FALSE(updated.ok());
    EXPECT_EQ(updated.error().reason, Reason::kInvalidArgument);
    EXPECT_THAT(updated.error().message, HasSubstr("knows 1 to 2"));
  }
}

TEST_F(FeatureOperationsTest, TheLevelIsLoweredWhereNothingNeedsMore) {
  ASSERT_TRUE(cluster_.Run(UpdateFeatures{2, false}).ok());
  cluster_.Create("orders", {{1, 2}}, {{"retention.ms", "1000"}});
  EXPECT_EQ(WhatNeedsMore(*cluster_.image(), 1), "");
  ASSERT_TRUE(cluster_.Run(UpdateFeatures{1, false}).ok());
  EXPECT_EQ(level(), 1);
  // As if a level 0 had known nothing of all that.
  EXPECT_EQ(WhatNeedsMore(*cluster_.image(), 0),
            "cluster (1), feature level (1), register broker (2)");
}

TEST_F(FeatureOperationsTest, RecordsAboveTheLevelAreNotWritten) {
  RecordMaker make;
  const std::vector<pb::MetadataRecord> records = {make.ProducerIds(5)};
  EXPECT_TRUE(CheckLevels(records, 1).ok());
  const auto refused = CheckLevels(records, 0);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kUnsupportedVersion);
  EXPECT_THAT(refused.error().message, HasSubstr("gregor cluster features upgrade"));
  // One that raises the level counts from there on.
  EXPECT_TRUE(CheckLevels({Level(1), make.ProducerIds(5)}, 0).ok());
}

}  // namespace
}  // namespace gregor
