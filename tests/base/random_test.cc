#include "base/random.h"

#include <gtest/gtest.h>

#include <set>

namespace gregor {
namespace {

// A seed that was printed by a failed run must replay it for ever.
TEST(Random, StreamOfASeedNeverChanges) {
  Random random(42);
  EXPECT_EQ(random.Next(), 0x15780b2e0c2ec716u);
  EXPECT_EQ(random.Next(), 0x6104d9866d113a7eu);
  EXPECT_EQ(random.Next(), 0xae17533239e499a1u);
  EXPECT_EQ(random.Next(), 0xecb8ad4703b360a1u);
}

TEST(Random, BelowAndBetweenStayInsideAndReachTheirEnds) {
  Random random(1);
  std::set<uint64_t> below;
  std::set<int64_t> between;
  for (int i = 0; i < 1000; ++i) {
    below.insert(random.Below(7));
    between.insert(random.Between(-2, 2));
    EXPECT_EQ(random.Below(1), 0u);
    EXPECT_EQ(random.Between(5, 5), 5);
  }
  EXPECT_EQ(below, (std::set<uint64_t>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(between, (std::set<int64_t>{-2, -1, 0, 1, 2}));
}

TEST(Random, BetweenTakesTheWholeRange) {
  Random random(2);
  bool negative = false, positive = false;
  for (int i = 0; i < 100; ++i) {
    (random.Between(INT64_MIN, INT64_MAX) < 0 ? negative : positive) = true;
    EXPECT_GE(random.Between(-1, INT64_MAX), -1);
    EXPECT_LE(random.Between(INT64_MIN, 0), 0);
  }
  EXPECT_TRUE(negative && positive);
}

TEST(Random, ChanceAndFractionAreUniform) {
  Random random(3);
  int hits = 0;
  double sum = 0;
  for (int i = 0; i < 100000; ++i) {
    hits += random.Chance(0.25) ? 1 : 0;
    const double fraction = random.Fraction();
    ASSERT_GE(fraction, 0);
    ASSERT_LT(fraction, 1);
    sum += fraction;
    ASSERT_FALSE(random.Chance(0));
    ASSERT_TRUE(random.Chance(1));
  }
  EXPECT_NEAR(hits, 25000, 1000);
  EXPECT_NEAR(sum, 50000, 1000);
}

TEST(Random, AForkDoesNotFollowItsOrigin) {
  Random random(4);
  Random fork = random.Fork();
  EXPECT_NE(fork.Next(), random.Next());
  Random again(4);
  Random same_fork = again.Fork();
  (void)same_fork.Next();
  EXPECT_EQ(same_fork.Next(), fork.Next());
}

TEST(Random, SystemSeedsDiffer) {
  EXPECT_NE(Random::FromSystem().Next(), Random::FromSystem().Next());
}

TEST(Random, UuidsAreOfVersionFourAndNeverZero) {
  Random random(5);
  std::set<TopicId> ids;
  for (int i = 0; i < 1000; ++i) {
    const auto id = random.NewUuid<TopicId>();
    EXPECT_FALSE(id.IsZero());
    EXPECT_EQ(id.bytes[6] >> 4, 4);
    EXPECT_EQ(id.bytes[8] >> 6, 2);
    ids.insert(id);
  }
  EXPECT_EQ(ids.size(), 1000u);
}

TEST(RandomDeathTest, RefusesAnEmptyRange) {
  Random random(6);
  EXPECT_DEATH(random.Below(0), "");
  EXPECT_DEATH(random.Between(1, 0), "");
}

TEST(Random, SecretBytesDiffer) { EXPECT_NE(Random::SecretBytes(), Random::SecretBytes()); }

}  // namespace
}  // namespace gregor
