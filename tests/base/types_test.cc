#include "base/types.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace gregor {
namespace {

TEST(Uuid, TextRoundTripsAndHasOneSpelling) {
  Random random(7);
  for (int i = 0; i < 1000; ++i) {
    const TopicId id = random.NewUuid<TopicId>();
    EXPECT_EQ(id.ToString().size(), 22u);
    EXPECT_EQ(TopicId::Parse(id.ToString()), id);
  }
  EXPECT_FALSE(TopicId::Parse(""));
  EXPECT_FALSE(TopicId::Parse("AAAAAAAAAAAAAAAAAAAAAB"));  // bits beyond the 128th
  EXPECT_FALSE(TopicId::Parse("AAAAAAAAAAAAAAAAAAAA/A"));
}

TEST(TopicIdPartition, FolderNameRoundTrips) {
  Random random(8);
  const TopicIdPartition id{random.NewUuid<TopicId>(), {42}};
  EXPECT_EQ(TopicIdPartition::Parse(id.ToString()), id);
  EXPECT_FALSE(TopicIdPartition::Parse(id.ToString() + "x"));
  EXPECT_FALSE(TopicIdPartition::Parse(id.topic_id.ToString() + "--1"));
  EXPECT_FALSE(TopicIdPartition::Parse("orders-0"));
}

TEST(Sequence, WrapsToZero) {
  EXPECT_EQ(Advance(Sequence{2147483647}, 1), Sequence{0});
  EXPECT_EQ(Advance(Sequence{2147483646}, 3), Sequence{1});
}

}  // namespace
}  // namespace gregor
