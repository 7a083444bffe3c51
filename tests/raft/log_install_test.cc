// A snapshot of the leader's takes the place of a follower's log.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/raft/follower_harness.h"

namespace gregor {
namespace {

constexpr Term kFirst{1};
constexpr Offset kVotersEnd{2};

// The node has the first record, the voters, and `values`, all of it committed; node 2 leads.
bool Follow(FollowerHarness& node, const std::vector<std::string>& values) {
  if (!node.Start()) return false;
  const Offset end = kVotersEnd + static_cast<int64_t>(values.size());
  node.Send(2, kFirst, Offset{0}, Term{0}, {"first"}, Offset{0});
  node.SendVoters(2, kFirst, Offset{1}, kFirst, node.voters(), Offset{0});
  for (size_t i = 0; i < values.size(); ++i)
    node.Send(2, kFirst, kVotersEnd + static_cast<int64_t>(i), kFirst, {values[i]}, Offset{0});
  if (!node.WaitForDurable(end)) return false;
  node.Heartbeat(2, kFirst, end);
  node.may_be_empty = false;
  return node.RunUntil(
      [&] { return node.delivered().size() == values.size() + 1 || node.files().is_powerless(); });
}

std::vector<std::string> Values(int count, size_t bytes) {
  std::vector<std::string> values;
  for (int i = 0; i < count; ++i) values.push_back(std::to_string(i) + std::string(bytes, '.'));
  return values;
}

// The state is being made again when the snapshot comes: what is to be read next is gone with the
// old log.
TEST(LogInstall, WhileTheLogIsDeliveredAgain) {
  const raft::SnapshotId snapshot{Offset{100}, kFirst};
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    FollowerHarness node(seed);
    ASSERT_TRUE(Follow(node, Values(50, 600'000)));
    node.disk().set_latency({.min = std::chrono::nanoseconds(1),
                             .max = std::chrono::nanoseconds(2),
                             .outlier_chance = 0,
                             .outlier = {}});
    node.Offer(2, kFirst, snapshot);
    int batches = 0;
    node.on_batch = [&](const CommittedRecords&) {
      if (++batches == 45) node.InstallNow(snapshot, raft::VotersAt{kVotersEnd, node.voters()});
    };
    node.loop().Run([&] { node.log().DeliverAgain(Offset{0}); });
    ASSERT_TRUE(node.WaitForInstalled());
    node.Send(2, kFirst, Offset{100}, kFirst, {"next"}, Offset{101});
    ASSERT_TRUE(node.RunUntil([&] { return node.delivered().count(Offset{100}) != 0; }));
    EXPECT_FALSE(node.error().has_value()) << *node.error();
    EXPECT_EQ(node.delivered().begin()->first, Offset{100});
  }
}

TEST(LogInstall, NothingIsDeliveredAgainWhileItIsInstalled) {
  const raft::SnapshotId snapshot{Offset{100}, kFirst};
  FollowerHarness node(1);
  ASSERT_TRUE(Follow(node, Values(50, 600'000)));
  int batches = 0;
  node.on_kept = [&] {
    node.on_batch = [&](const CommittedRecords&) { ++batches; };
    node.loop().Post("again", [&] { node.log().DeliverAgain(Offset{0}); });
  };
  node.Install(snapshot, raft::VotersAt{kVotersEnd, node.voters()});
  ASSERT_TRUE(node.WaitForInstalled());
  node.scheduler().RunFor(std::chrono::milliseconds(100));
  EXPECT_FALSE(node.error().has_value()) << *node.error();
  EXPECT_EQ(batches, 0);
}

}  // namespace
}  // namespace gregor
