#include "raft/host/raft_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/raft/metadata_log_harness.h"

namespace gregor {
namespace {

using testing::HasSubstr;

TEST(RaftLog, ANewOneLeadsInTermOne) {
  MetadataLogHarness node(1);
  ASSERT_TRUE(node.Start()) << *node.error();
  EXPECT_EQ(node.log().leader().leader, NodeId{1});
  EXPECT_EQ(node.log().leader().term, Term{1});
  // The leader change and the voters are in front of everything.
  EXPECT_EQ(node.log().end_offset(), Offset{2});
  EXPECT_EQ(node.log().TermAt(Offset{0}), Term{1});
}

TEST(RaftLog, CommittedRecordsComeInOrderAndOnce) {
  MetadataLogHarness node(2);
  ASSERT_TRUE(node.Start());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(node.Append({"a" + std::to_string(i), "b"}));
  ASSERT_TRUE(node.WaitForAll());
  EXPECT_EQ(node.delivered(), node.appended());
  EXPECT_EQ(node.delivered().size(), 40u);
}

TEST(RaftLog, ARestartDeliversAllAndRaisesTheTerm) {
  MetadataLogHarness node(3);
  ASSERT_TRUE(node.Start());
  ASSERT_TRUE(node.Append({"one", "two"}));
  ASSERT_TRUE(node.WaitForAll());
  ASSERT_TRUE(node.CloseCleanly());
  ASSERT_TRUE(node.Start());
  EXPECT_EQ(node.log().leader().term, Term{2});
  EXPECT_EQ(node.delivered(), node.appended());
  EXPECT_EQ(node.log().TermAt(Offset{2}), Term{1});
}

TEST(RaftLog, StartingInTheMiddleDeliversTheRest) {
  MetadataLogHarness node(4);
  ASSERT_TRUE(node.Start());
  ASSERT_TRUE(node.Append({"one", "two", "three"}));
  ASSERT_TRUE(node.WaitForAll());
  node.Kill();
  ASSERT_TRUE(node.Start(Offset{3}));
  ASSERT_EQ(node.delivered().size(), 2u);
  EXPECT_EQ(node.delivered().at(Offset{3}), "two");
}

TEST(RaftLog, OnlyTheLeaderOfItsTermAppends) {
  MetadataLogHarness node(5);
  ASSERT_TRUE(node.Start());
  const auto stale = node.TryAppend(Term{0}, {"x"});
  ASSERT_FALSE(stale.ok());
  EXPECT_EQ(stale.error().reason, Reason::kNotController);
}

TEST(RaftLog, ABatchThatIsTooLargeIsRefusedWhole) {
  MetadataLogHarness node(6);
  ASSERT_TRUE(node.Start());
  const Offset end = node.log().end_offset();
  const auto refused =
      node.TryAppend(node.log().leader().term, {std::string(MetadataLogHarness::kBatchMax, 'x')});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kBatchTooLarge);
  EXPECT_EQ(node.log().end_offset(), end);
}

TEST(RaftLog, TrimmingMovesTheStart) {
  MetadataLogHarness node(7);
  ASSERT_TRUE(node.Start());
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(node.Append({std::string(2000, 'x')}));
  ASSERT_TRUE(node.WaitForAll());
  node.loop().Run([&] { node.log().TrimBefore(Offset{20}); });
  node.scheduler().RunFor(std::chrono::seconds(5));
  EXPECT_EQ(node.log().start_offset(), Offset{20});
  node.Kill();
  ASSERT_TRUE(node.Start(Offset{20}));
  EXPECT_EQ(node.delivered().begin()->first, Offset{20});
}

TEST(RaftLog, AFailedSyncEndsTheLeadership) {
  MetadataLogHarness node(8);
  ASSERT_TRUE(node.Start());
  node.files().FailNext(SimOperation::kSync, ".log");
  ASSERT_TRUE(node.Append({"lost?"}));
  EXPECT_FALSE(node.WaitForAll());
  ASSERT_TRUE(node.failure().has_value());
  EXPECT_EQ(node.failure()->reason, Reason::kStorageError);
  EXPECT_EQ(node.log().leader().leader, NodeId{-1});
  EXPECT_FALSE(node.TryAppend(Term{1}, {"x"}).ok());
}

TEST(RaftLog, WhatGivesUpLeadsNoMore) {
  MetadataLogHarness node(8);
  ASSERT_TRUE(node.Start());
  ASSERT_TRUE(node.Append({"a"}));
  ASSERT_TRUE(node.WaitForAll());
  node.log().GiveUp(Error(Reason::kStorageError, "it contradicts"));
  ASSERT_TRUE(node.failure().has_value());
  EXPECT_EQ(node.log().leader().leader, NodeId{-1});
  EXPECT_FALSE(node.TryAppend(Term{1}, {"x"}).ok());
  const auto delivered = node.delivered().size();
  node.scheduler().RunFor(std::chrono::seconds(10));
  EXPECT_EQ(node.log().leader().leader, NodeId{-1});
  EXPECT_EQ(node.delivered().size(), delivered);
}

TEST(RaftLog, AMissingVoteFileIsRefused) {
  MetadataLogHarness node(9);
  ASSERT_TRUE(node.Start());
  node.Kill();
  node.may_be_empty = false;
  ASSERT_TRUE(node.files().Remove("/data/metadata/vote").ok());
  EXPECT_FALSE(node.Start());
  EXPECT_THAT(node.error()->message, HasSubstr("its vote file is missing"));
}

TEST(RaftLog, ADamagedVoteFileIsRefused) {
  MetadataLogHarness node(10);
  ASSERT_TRUE(node.Start());
  node.Kill();
  ASSERT_TRUE(node.files().FlipBit("/data/metadata/vote", 30, 1));
  EXPECT_FALSE(node.Start());
  EXPECT_THAT(node.error()->message, HasSubstr("vote file"));
}

TEST(RaftLog, ALogThatVanishedIsNotStartedAnew) {
  MetadataLogHarness node(11);
  ASSERT_TRUE(node.Start());
  node.Kill();
  node.may_be_empty = false;
  ASSERT_TRUE(RemoveTree(node.files(), "/data/metadata/log/" + MetadataLogId().ToString()).ok());
  EXPECT_FALSE(node.Start());
  ASSERT_TRUE(node.files().Remove("/data/metadata/log/synced-marks").ok());
  EXPECT_FALSE(node.Start());
  EXPECT_THAT(node.error()->message, HasSubstr("the log is empty"));
}

TEST(RaftLog, AnotherVotersDirectoryIsRefused) {
  MetadataLogHarness node(12);
  ASSERT_TRUE(node.Start());
  node.Kill();
  node.self.directory.bytes[3] ^= 1;
  EXPECT_FALSE(node.Start());
  EXPECT_THAT(node.error()->message, HasSubstr("not the one that this node was formatted with"));
}

TEST(RaftLog, ALogOfSeveralVotersIsRefused) {
  MetadataLogHarness node(13);
  ASSERT_TRUE(node.Start());
  node.Kill();
  node.AppendForeignVoters();
  EXPECT_FALSE(node.Start());
  EXPECT_THAT(node.error()->message, HasSubstr("names other voters"));
}

// Crashes at random moments, with and without power: what was committed comes again, terms rise,
// and what comes that was not committed is a prefix of what was appended after it.
TEST(RaftLog, WhatWasCommittedSurvivesCrashes) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    MetadataLogHarness node(seed + 100);
    Random random(seed);
    Term term{0};
    for (int round = 0; round < 6; ++round) {
      ASSERT_TRUE(node.Start()) << "seed " << seed << ": " << *node.error();
      EXPECT_GT(node.log().leader().term, term);
      term = node.log().leader().term;
      const auto before = node.committed();
      for (const auto& [offset, record] : before)
        ASSERT_EQ(node.delivered().at(offset), record) << "seed " << seed;
      for (const auto& [offset, record] : node.delivered())
        ASSERT_EQ(record, node.appended().at(offset)) << "seed " << seed;
      node.ForgetWhatWasLost();
      const auto count = random.Below(20);
      for (uint64_t i = 0; i < count; ++i) {
        ASSERT_TRUE(node.Append({std::to_string(random.Next()), std::to_string(i)}));
        node.scheduler().RunFor(std::chrono::microseconds(random.Below(2000)));
      }
      if (random.Chance(0.5)) {
        node.LosePower();
      } else {
        node.Kill();
      }
    }
  }
}

// The power fails at every single change of the disk while a new node starts and appends.
TEST(RaftLog, APowerLossAtAnyStepLeavesAStartableNode) {
  uint64_t steps = 0;
  for (uint64_t step = 1; steps == 0 || step <= steps; ++step) {
    MetadataLogHarness node(step);
    const uint64_t first = node.files().mutation_count();
    node.files().FailPowerAt(first + step);
    if (node.Start()) {
      node.Append({"one"});
      node.WaitForAll();
      node.Append({"two"});
      node.WaitForAll();
    }
    if (!node.files().is_powerless()) steps = node.files().mutation_count() - first;
    const auto committed = node.committed();
    node.LosePower();
    ASSERT_TRUE(node.Start()) << "step " << step << ": " << *node.error();
    for (const auto& [offset, record] : committed)
      ASSERT_EQ(node.delivered().at(offset), record) << "step " << step;
  }
  EXPECT_GT(steps, 10u);
}

// What others take of a disk, to its last block.
void Fill(SimFileSystem& files) {
  const auto file = files.Open("/data/other", OpenMode::kCreate);
  ASSERT_TRUE(file.ok());
  uint64_t size = *(*file)->Size();
  for (const size_t step : {1u << 20, 1u << 12}) {
    while ((*file)->Write(size, Slice::Own(std::string(step, 'x'))).ok()) size += step;
  }
}

TEST(RaftLog, OnAFullDiskItAppendsAndStartsFromItsReserve) {
  MetadataLogHarness node(21);
  SimFileSystem& files = node.files();
  files.faults().capacity_bytes = 24u << 20;
  ASSERT_TRUE(node.Start());
  node.may_be_empty = false;
  for (int round = 0; round < 3; ++round) {
    Fill(files);
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(node.Append({std::string(1000, 'r')}));
    ASSERT_TRUE(node.WaitForAll());
    node.Kill();
    Fill(files);
    ASSERT_TRUE(node.Start()) << *node.error();
  }
  EXPECT_EQ(node.delivered().size(), 300u);
}

// A node whose first vote was not saved would never start again, with all of its records there.
TEST(RaftLog, AFirstStartOnAFullDiskEndsOrCanBeRepeated) {
  int started = 0;
  int refused = 0;
  for (uint64_t free_bytes = 0; free_bytes <= 2000; free_bytes += 40) {
    SCOPED_TRACE(std::to_string(free_bytes) + " free bytes");
    MetadataLogHarness node(22);
    SimFaults& faults = node.files().faults();
    faults.capacity_bytes = 1u << 20;
    Fill(node.files());
    faults.capacity_bytes += free_bytes;
    node.scheduler().After(std::chrono::seconds(5), "space",
                           [&] { faults.capacity_bytes = 1u << 30; });
    if (node.Start()) {
      ++started;
      node.scheduler().RunFor(std::chrono::seconds(10));  // writes may wait for space
      ASSERT_TRUE(node.Append({"a"}) && node.WaitForAll());
      node.may_be_empty = false;  // it has served
    } else {
      ++refused;
      EXPECT_TRUE(IsShortage(*node.error())) << *node.error();
      node.scheduler().RunFor(std::chrono::seconds(10));
    }
    node.LosePower();
    const auto committed = node.committed();
    ASSERT_TRUE(node.Start()) << *node.error();
    for (const auto& [offset, record] : committed) EXPECT_EQ(node.delivered().at(offset), record);
  }
  EXPECT_GT(started, 0);
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace gregor
