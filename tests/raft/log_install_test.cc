// A snapshot of the leader's takes the place of a follower's log.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "raft/host/log_base_file.h"
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

constexpr raft::SnapshotId kSnapshot{Offset{20}, Term{3}};
constexpr Offset kNewVotersEnd{15};

// What a node has that is offered the snapshot.
struct OldLog {
  Offset start{0};  // if not 0, the log does not say who votes
  int tail = 0;     // of term 2, which nobody else has, behind ten committed offsets
  Offset end() const { return Offset{10 + tail}; }
};

// Node 2 leads in term 3, and its log begins at 20. Between, a fourth voter was added.
bool FollowWithOwnTail(FollowerHarness& node, const OldLog& old) {
  const int tail = old.tail;
  if (!Follow(node, Values(8, 10))) return false;
  node.loop().Run([&] { node.log().TrimBefore(old.start); });
  if (!node.RunUntil([&] { return node.log().start_offset() == old.start; })) return false;
  node.Send(3, Term{2}, Offset{10}, kFirst, Values(tail, 10), Offset{10});
  if (!node.WaitForDurable(Offset{10 + tail})) return false;
  node.scheduler().RunFor(std::chrono::milliseconds(100));
  node.Heartbeat(2, kSnapshot.term, Offset{10});
  node.scheduler().RunFor(std::chrono::milliseconds(100));
  return true;
}

bool InstallOffered(FollowerHarness& node) {
  node.Offer(2, kSnapshot.term, kSnapshot);
  if (!node.RunUntil([&] { return node.offered().has_value(); })) return false;
  node.Install(kSnapshot, raft::VotersAt{kNewVotersEnd, node.VotersWithFourth()});
  return node.WaitForInstalled();
}

// What it has after a crash in the middle of an installing, and that it goes on from there.
void CheckRestarted(FollowerHarness& node, const OldLog& old) {
  ASSERT_TRUE(node.Start(old.start)) << *node.error();
  const bool is_kept = node.KeptSnapshot().has_value();
  EXPECT_EQ(node.log().start_offset(), is_kept ? kSnapshot.end : old.start);
  EXPECT_EQ(node.log().end_offset(), is_kept ? kSnapshot.end : old.end());
  EXPECT_EQ(node.log().quorum().voters.size(), is_kept ? 4u : 3u);
  EXPECT_EQ(node.log().TermAt(Offset{19}).value, is_kept ? 3 : old.tail >= 10 ? 2 : -1);
  node.Heartbeat(2, kSnapshot.term, kSnapshot.end);
  ASSERT_TRUE(is_kept || InstallOffered(node));
  node.Send(2, kSnapshot.term, kSnapshot.end, kSnapshot.term, {"next"}, kSnapshot.end + 1);
  ASSERT_TRUE(node.RunUntil([&] { return node.delivered().count(kSnapshot.end) != 0; }));
  EXPECT_EQ(node.delivered().size(), 1u);
  EXPECT_EQ(node.delivered().begin()->second, "next");
  node.Kill();
  ASSERT_TRUE(node.Start()) << *node.error();
  EXPECT_EQ(node.log().start_offset(), kSnapshot.end);
  EXPECT_EQ(node.log().quorum().voters.size(), 4u);
}

// The other voters are lost, too: it becomes the only one, whichever of both it starts from.
void CheckRecovered(FollowerHarness& node, const OldLog& old) {
  const auto only = node.BecomeOnlyVoter();
  ASSERT_TRUE(only.ok()) << only.error();
  for (int turn = 0; turn < 2; ++turn) {
    ASSERT_TRUE(node.Start(old.start)) << *node.error();
    ASSERT_TRUE(node.RunUntil([&] { return node.log().leader().leader == node.self().node; }));
    EXPECT_EQ(node.log().quorum().voters.size(), 1u);
    EXPECT_EQ(node.log().start_offset(),
              node.KeptSnapshot().has_value() ? kSnapshot.end : old.start);
    EXPECT_GT(node.log().leader().term, only->term);
    node.Kill();
  }
  EXPECT_EQ(node.BecomeOnlyVoter().error().reason, Reason::kInvalidArgument);
}

// The power fails at every single change of the disk from the offer on until the snapshot has taken
// the log's place. The node finds its old log, or the snapshot alone; never one behind the other.
void LosePowerAtEachStep(const OldLog& old, void (*check)(FollowerHarness&, const OldLog&)) {
  uint64_t steps = 0;
  int kept = 0, lost = 0;
  for (uint64_t step = 1; steps == 0 || step <= steps; ++step) {
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      SCOPED_TRACE("step " + std::to_string(step) + ", seed " + std::to_string(seed));
      FollowerHarness node(seed);
      ASSERT_TRUE(FollowWithOwnTail(node, old));
      const uint64_t first = node.files().mutation_count();
      node.files().FailPowerAt(first + step);
      const bool is_installed = InstallOffered(node);
      if (!node.files().is_powerless()) steps = node.files().mutation_count() - first;
      ASSERT_EQ(is_installed, !node.files().is_powerless());
      node.LosePower();
      ++(node.KeptSnapshot().has_value() ? kept : lost);
      check(node, old);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
  EXPECT_GT(kept, 10);
  EXPECT_GT(lost, 3);
}

TEST(LogInstall, APowerLossAtAnyStepLeavesTheOldLogOrTheSnapshot) {
  LosePowerAtEachStep({.start = Offset{0}, .tail = 4}, CheckRestarted);
}

TEST(LogInstall, APowerLossAtAnyStepLeavesNothingOfATailThatIsLongerThanTheSnapshot) {
  LosePowerAtEachStep({.start = Offset{0}, .tail = 30}, CheckRestarted);
}

TEST(LogInstall, APowerLossAtAnyStepLeavesTheVotersOfATrimmedLog) {
  LosePowerAtEachStep({.start = Offset{5}, .tail = 4}, CheckRestarted);
  LosePowerAtEachStep({.start = Offset{5}, .tail = 30}, CheckRestarted);
}

TEST(LogInstall, AfterAPowerLossAtAnyStepItCanBeMadeTheOnlyVoter) {
  for (const OldLog& old : {OldLog{Offset{0}, 4}, OldLog{Offset{0}, 30}, OldLog{Offset{5}, 4}})
    LosePowerAtEachStep(old, CheckRecovered);
}

// The log-base file is that of the snapshot then, and the log is not. `is_of_before`: an older
// release wrote it, which kept only the snapshot's voters.
void EndBeforeItIsKept(bool is_of_before) {
  const OldLog old{.start = Offset{5}, .tail = 4};
  FollowerHarness node(1);
  ASSERT_TRUE(FollowWithOwnTail(node, old));
  node.keeps = false;
  ASSERT_FALSE(InstallOffered(node));
  node.Kill();
  auto base = *ReadLogBase(node.files(), LogBasePath("/data/metadata"));
  ASSERT_EQ(base->place.start, kSnapshot.end);
  if (is_of_before) {
    base->former_voters.reset();
    ASSERT_TRUE(SaveLogBase(node.files(), LogBasePath("/data/metadata"), *base).ok());
  }
  const size_t count = is_of_before ? 4 : 3;
  ASSERT_TRUE(node.Start(old.start)) << *node.error();
  EXPECT_EQ(node.log().quorum().voters.size(), count);
  // The tail is cut, and others' records come instead: among them, nothing of voters.
  node.Send(2, kSnapshot.term, Offset{10}, kFirst, {"ten", "eleven"}, Offset{10});
  ASSERT_TRUE(node.RunUntil([&] { return node.log().TermAt(Offset{11}) == kSnapshot.term; }));
  EXPECT_EQ(node.log().quorum().voters.size(), count);
  ASSERT_TRUE(node.WaitForDurable(Offset{12}));
  node.Heartbeat(2, kSnapshot.term, Offset{12});
  ASSERT_TRUE(node.RunUntil([&] { return node.delivered().count(Offset{11}) != 0; }));
  node.loop().Run([&] { node.log().TrimBefore(Offset{11}); });
  ASSERT_TRUE(node.RunUntil([&] { return node.log().start_offset() == Offset{11}; }));
  node.Kill();
  ASSERT_TRUE(node.Start(Offset{11})) << *node.error();
  EXPECT_EQ(node.log().quorum().voters.size(), count);
}

TEST(LogInstall, OneThatEndsBeforeItsSnapshotIsKeptLeavesTheVotersAsTheyWere) {
  EndBeforeItIsKept(false);
}

TEST(LogInstall, OneThatEndedSoUnderAnOlderReleaseLeavesVotersToo) { EndBeforeItIsKept(true); }

// The log-base file says no more where a log begins that is trimmed while it is exchanged.
TEST(LogInstall, ALogIsNotTrimmedMeanwhile) {
  FollowerHarness node(1);
  ASSERT_TRUE(FollowWithOwnTail(node, {.start = Offset{0}, .tail = 4}));
  node.keeps = false;
  node.loop().Run([&] {
    node.log().TrimBefore(Offset{5});
    node.InstallNow(kSnapshot, raft::VotersAt{kNewVotersEnd, node.VotersWithFourth()});
  });
  node.scheduler().RunFor(std::chrono::seconds(1));
  node.Kill();
  ASSERT_TRUE(node.Start()) << *node.error();
  EXPECT_EQ(node.log().start_offset(), Offset{0});
  EXPECT_EQ(node.log().quorum().voters.size(), 3u);
}

}  // namespace
}  // namespace gregor
