#include "base/strong.h"

#include <gtest/gtest.h>

#include <concepts>
#include <sstream>
#include <unordered_set>

#include "base/types.h"

namespace gregor {
namespace {

static_assert(!std::convertible_to<int64_t, Offset>);
static_assert(!std::convertible_to<Offset, int64_t>);
static_assert(!std::equality_comparable_with<Offset, LeaderEpoch>);
static_assert(!std::equality_comparable_with<Offset, int64_t>);
static_assert(!std::convertible_to<NodeId, PartitionIndex>);
static_assert(!std::convertible_to<TopicId, ClusterId>);
static_assert(sizeof(Offset) == sizeof(int64_t));
static_assert(std::is_trivially_copyable_v<Offset>);

TEST(Strong, ComparesWithItsOwnKind) {
  EXPECT_EQ(Offset{5}, Offset{5});
  EXPECT_LT(Offset{4}, Offset{5});
  EXPECT_GE(LeaderEpoch{1}, kNoLeaderEpoch);
  EXPECT_EQ(Offset{}, Offset{0});
}

TEST(Strong, HasTheArithmeticOfItsMeaning) {
  EXPECT_EQ(Offset{5} + 3, Offset{8});
  EXPECT_EQ(Offset{5} - 3, Offset{2});
  EXPECT_EQ(Offset{8} - Offset{5}, 3);
  EXPECT_EQ(Timestamp{8} - Timestamp{5}, 3);
}

TEST(Strong, IsPrintedAndHashedByItsValue) {
  std::ostringstream out;
  out << Offset{-1} << " " << LeaderEpoch{7};
  EXPECT_EQ(out.str(), "-1 7");
  const std::unordered_set<Offset> offsets = {{1}, {2}, {1}};
  EXPECT_EQ(offsets.size(), 2u);
}

}  // namespace
}  // namespace gregor
