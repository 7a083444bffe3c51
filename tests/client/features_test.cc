#include "client/cli/features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gregor {
namespace {

v1::Feature Metadata(int32_t finalized, int32_t min, int32_t max) {
  v1::Feature feature;
  feature.set_name("metadata");
  feature.set_finalized(finalized);
  feature.set_min_supported(min);
  feature.set_max_supported(max);
  return feature;
}

void AddVoter(v1::DescribeQuorumResponse& quorum, int32_t node, int32_t min, int32_t max) {
  auto& voter = *quorum.add_voters();
  voter.set_broker_id(node);
  voter.set_feature_level_min(min);
  voter.set_feature_level_max(max);
}

TEST(Features, WhatEveryBrokerAndEveryControllerSupportsIsShown) {
  v1::DescribeQuorumResponse quorum;
  AddVoter(quorum, 1, 1, 4);
  AddVoter(quorum, 2, 2, 5);
  const FeatureSupport support = SupportOf(Metadata(2, 1, 3), quorum);
  EXPECT_EQ(support.finalized, 2);
  EXPECT_EQ(support.min, 2);
  EXPECT_EQ(support.max, 3);
  EXPECT_EQ(SupportText(support), "2 to 3");
  EXPECT_EQ(SupportText(SupportOf(Metadata(2, 1, 2), quorum)), "2");
  EXPECT_EQ(SupportText(SupportOf(Metadata(1, 1, 1), quorum)), "none");
}

TEST(Features, ControllersThatDoNotSayWhatTheySupportAreNamed) {
  v1::DescribeQuorumResponse quorum;
  AddVoter(quorum, 1, 1, 2);
  AddVoter(quorum, 2, 0, 0);
  AddVoter(quorum, 3, 0, 0);
  const FeatureSupport support = SupportOf(Metadata(1, 1, 2), quorum);
  EXPECT_THAT(support.unknown, testing::ElementsAre(2, 3));
  EXPECT_EQ(SupportText(support), "1 to 2 (not known: controller 2, 3)");
}

}  // namespace
}  // namespace gregor
