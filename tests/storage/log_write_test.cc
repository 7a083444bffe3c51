// How a log writes and syncs: room in its files, flushes, full disks, open files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "storage/file_cache.h"
#include "storage/segment.h"
#include "tests/storage/log_harness.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::SizeIs;

uint64_t SizeOf(LogHarness& harness, const std::string& path) {
  const auto file = harness.files().Open(path, OpenMode::kRead);
  return file.ok() ? *(*file)->Size() : 0;
}

bool Written(LogHarness& harness) {
  return harness.loop().RunUntil(
      [] {}, [&] { return harness.log().ends().written_end == harness.log().ends().log_end; },
      std::chrono::minutes(1));
}

TEST(LogWrite, AFileGrowsInStepsAndIsCutToItsBatchesWhenItIsComplete) {
  LogConfig config;
  config.segment_bytes = 100'000;
  LogHarness harness(1, config);
  harness.directory_options().file_step_bytes_max = 40'000;
  ASSERT_TRUE(harness.Start());
  std::set<uint64_t> sizes;
  uint64_t appended = 0;
  while (harness.log().segment_count() < 2) {
    ASSERT_TRUE(harness.Append(1, 500));
    ASSERT_TRUE(harness.Sync());
    const uint64_t size = SizeOf(harness, harness.Path(0));
    if (harness.log().segment_count() == 1) {
      sizes.insert(size);
      appended = harness.log().size_bytes();
      ASSERT_GE(size, appended);
      ASSERT_LE(size, 100'000u);
    }
  }
  // Not once per append, of which there were more than a hundred.
  EXPECT_LE(sizes.size(), 5u);
  EXPECT_GE(sizes.size(), 3u);
  EXPECT_EQ(SizeOf(harness, harness.Path(0)), appended);
}

TEST(LogWrite, PreallocateGivesASegmentItsFullSizeAtOnce) {
  LogConfig config;
  config.segment_bytes = 100'000;
  config.preallocate = true;
  LogHarness harness(2, config);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(harness.Append(1, 500));
  ASSERT_TRUE(harness.Sync());
  EXPECT_EQ(SizeOf(harness, harness.Path(0)), 100'000u);
  ASSERT_TRUE(harness.CloseCleanly());
  EXPECT_LT(SizeOf(harness, harness.Path(0)), 1000u);
}

TEST(LogWrite, RoomThatIsLeftFromBeforeIsUsed) {
  LogHarness harness(3);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(harness.Append(1, 100));
  ASSERT_TRUE(harness.Sync());
  const uint64_t size = SizeOf(harness, harness.Path(0));
  EXPECT_GT(size, 10'000u);
  for (int i = 0; i < 3; ++i) {
    harness.Kill();
    ASSERT_TRUE(harness.Start());
    EXPECT_EQ(SizeOf(harness, harness.Path(0)), size);
    ASSERT_TRUE(harness.Append(1, 100));
    ASSERT_TRUE(harness.Sync());
    EXPECT_EQ(SizeOf(harness, harness.Path(0)), size);
  }
  EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(4));
}

TEST(LogWrite, ASegmentEndsOnceItsIndexIsLarge) {
  LogConfig config;
  config.index_interval_bytes = 100;
  config.segment_index_bytes = 5 * sizeof(SegmentIndex::Entry);
  LogHarness harness(4, config);
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(harness.Append(1, 100));
  EXPECT_EQ(harness.log().segment_count(), 5u);  // six entries in each
}

LogConfig Replicated() {
  LogConfig config;
  config.durability = Durability::kReplicated;
  return config;
}

TEST(LogWrite, AReplicatedLogIsSyncedInTheBackground) {
  LogHarness harness(5, Replicated());
  harness.directory_options().flush_interval = seconds(2);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(harness.Append());
  ASSERT_TRUE(Written(harness));
  harness.scheduler().RunFor(milliseconds(1900));
  EXPECT_EQ(harness.log().ends().synced_end, Offset{0});
  harness.scheduler().RunFor(milliseconds(300));
  EXPECT_EQ(harness.log().ends().synced_end, Offset{1});
}

TEST(LogWrite, FlushMsBringsItForward) {
  LogConfig config = Replicated();
  config.flush_ms = 100;
  LogHarness harness(6, config);
  harness.directory_options().flush_interval = seconds(60);
  ASSERT_TRUE(harness.Start());
  for (int i = 1; i < 4; ++i) {
    ASSERT_TRUE(harness.Append());
    harness.scheduler().RunFor(milliseconds(200));
    EXPECT_EQ(harness.log().ends().synced_end, Offset{i});
  }
}

TEST(LogWrite, FlushMessagesBoundsTheRecordsThatAreNotSynced) {
  LogConfig config = Replicated();
  config.flush_messages = 10;
  LogHarness harness(7, config);
  harness.directory_options().flush_interval = seconds(60);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(harness.Append(9));
  harness.scheduler().RunFor(seconds(1));
  EXPECT_EQ(harness.log().ends().synced_end, Offset{0});
  ASSERT_TRUE(harness.Append(1));
  harness.scheduler().RunFor(seconds(1));
  EXPECT_EQ(harness.log().ends().synced_end, Offset{10});
}

TEST(LogWrite, SoDoBytesOverSegmentsToo) {
  LogConfig config = Replicated();
  config.segment_bytes = 4000;
  LogHarness harness(8, config);
  harness.directory_options().flush_interval = seconds(60);
  harness.directory_options().flush_bytes_max = 10'000;
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(harness.Append(1, 1000));
    harness.scheduler().RunFor(milliseconds(100));
    const LogEnds ends = harness.log().ends();
    ASSERT_LE(ends.log_end - ends.synced_end, 11) << i;
  }
  // And not after every one.
  EXPECT_GT(harness.log().ends().synced_end, Offset{80});
}

TEST(LogWrite, AndThoseOfAllLogsOfTheDirectoryTogether) {
  LogHarness harness(8, Replicated());
  harness.directory_options().flush_interval = seconds(60);
  harness.directory_options().flush_bytes_max = 10'000;
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(harness.Append(1, 1000));
  harness.scheduler().RunFor(seconds(1));
  EXPECT_EQ(harness.log().ends().synced_end, Offset{0});
  harness.directory().CountUnsynced(9'000);  // another log's
  ASSERT_TRUE(harness.Append(1, 1000));
  harness.scheduler().RunFor(seconds(1));
  EXPECT_EQ(harness.log().ends().synced_end, Offset{2});
  EXPECT_EQ(harness.directory().CountUnsynced(-9'000), 0u);
}

TEST(LogWrite, AnIdleLogHasNoTimer) {
  LogHarness harness(9, Replicated());
  ASSERT_TRUE(harness.Start());
  harness.scheduler().RunFor(seconds(5));
  const size_t waiting = harness.scheduler().waiting_count();
  ASSERT_TRUE(harness.Append());
  ASSERT_TRUE(harness.Sync());
  harness.scheduler().RunFor(seconds(5));
  EXPECT_EQ(harness.scheduler().waiting_count(), waiting);
}

TEST(LogWrite, AStopDoesNotWaitForSpace) {
  LogHarness harness(10);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(harness.Append());
  ASSERT_TRUE(harness.Sync());
  harness.files().faults().capacity_bytes = 1;
  ASSERT_TRUE(harness.Append(1, 100'000));
  harness.scheduler().RunFor(seconds(3));
  EXPECT_FALSE(harness.CloseCleanly());
  harness.files().faults().capacity_bytes = uint64_t{1} << 30;
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(1));
}

TEST(LogWrite, WhatWasWrittenBeforeTheDiskWasFullIsSyncedAllTheSame) {
  for (const bool closes : {false, true}) {
    LogHarness harness(12);
    ASSERT_TRUE(harness.Start());
    ASSERT_TRUE(harness.Append());
    ASSERT_TRUE(harness.Sync());
    const uint64_t used =
        harness.files().Space("/data")->total_bytes - harness.files().Space("/data")->free_bytes;
    // The first takes both ways and fits; the second goes in one job with its sync.
    harness.files().faults().capacity_bytes = used + (350u << 10);
    ASSERT_TRUE(harness.Append(1, 300u << 10));
    ASSERT_TRUE(harness.Append(1, 200u << 10));
    if (closes) {
      EXPECT_FALSE(harness.CloseCleanly());
    } else {
      harness.scheduler().RunFor(milliseconds(500));
      EXPECT_EQ(harness.log().ends().synced_end, Offset{2});
      EXPECT_EQ(harness.log().ends().log_end, Offset{3});
    }
    harness.LosePower(SimSurvival::kNothing);
    harness.files().faults().capacity_bytes = uint64_t{1} << 40;
    ASSERT_TRUE(harness.Start()) << *harness.error();
    EXPECT_EQ(harness.log().ends().log_end, Offset{2});
  }
}

// What was written of a replicated log may have been acknowledged.
TEST(LogWrite, AStopOnAFullDiskSyncsWhatWasWritten) {
  LogConfig config;
  config.durability = Durability::kReplicated;
  LogHarness harness(18, config);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(harness.Append());
  ASSERT_TRUE(Written(harness));
  harness.files().faults().capacity_bytes = 1;
  ASSERT_TRUE(harness.Append(1, 100'000));
  harness.scheduler().RunFor(milliseconds(100));
  ASSERT_EQ(harness.log().ends().written_end, Offset{1});
  ASSERT_EQ(harness.log().ends().synced_end, Offset{0});
  EXPECT_FALSE(harness.CloseCleanly());
  harness.LosePower(SimSurvival::kNothing);
  harness.files().faults().capacity_bytes = uint64_t{1} << 30;
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(1));
}

TEST(LogWrite, WhoWaitsForSpaceIsToldWhenTheDirectoryFails) {
  LogHarness harness(19);
  ASSERT_TRUE(harness.Start());
  harness.files().faults().capacity_bytes = 1;
  ASSERT_TRUE(harness.Append(1, 100'000));
  harness.scheduler().RunFor(seconds(3));
  EXPECT_FALSE(harness.log().failure().has_value());
  // As by the sync of another log. It does not pass, whatever it was for.
  harness.directory().Fail(Error(Reason::kDiskFull, "no space to sync"));
  EXPECT_EQ(harness.directory().failure()->reason, Reason::kStorageError);
  harness.scheduler().RunFor(seconds(3));
  ASSERT_TRUE(harness.log().failure().has_value());
  EXPECT_EQ(harness.log().failure()->reason, Reason::kStorageError);
  const auto closed = harness.Await<void>([&](auto done) { harness.log().Close(std::move(done)); });
  ASSERT_FALSE(closed.ok());
  EXPECT_EQ(closed.error().reason, Reason::kStorageError);
}

TEST(LogWrite, ANewFileIsNotTakenForTheOneThatHadItsNameBefore) {
  LogHarness harness(20);
  ASSERT_TRUE(harness.Start());
  FileCache& cache = harness.directory().file_cache();
  const FilePtr before = *cache.Get("/data/file", true);
  ASSERT_TRUE(harness.files().Remove("/data/file").ok());
  const FilePtr after = *cache.Get("/data/file", true);
  EXPECT_NE(after, before);
  EXPECT_EQ(*cache.Get("/data/file", false), after);
  ASSERT_TRUE(after->Write(0, Slice::Copy("new")).ok());
  EXPECT_EQ(SizeOf(harness, "/data/file"), 3u);
}

TEST(LogWrite, AFullDiskKeepsNobodyFromReadingOrDeleting) {
  LogConfig config;
  config.segment_bytes = 2000;
  LogHarness harness(11, config);
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(harness.Append(1, 500));
  ASSERT_TRUE(harness.Sync());
  const uint64_t used =
      harness.files().Space("/data")->total_bytes - harness.files().Space("/data")->free_bytes;
  harness.files().faults().capacity_bytes = used + 100;
  ASSERT_TRUE(harness.Append(1, 5000));
  harness.scheduler().RunFor(seconds(3));
  EXPECT_FALSE(harness.Append());
  EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(20));
  ASSERT_TRUE(
      harness
          .Await<void>([&](auto done) { harness.log().DeleteBefore(Offset{18}, std::move(done)); })
          .ok());
  // What that frees at once is enough for the append that waits.
  harness.scheduler().RunFor(seconds(5));
  EXPECT_EQ(harness.log().ends().synced_end, Offset{21});
  EXPECT_TRUE(harness.Append());
}

TEST(LogWrite, KeepsToTheNumberOfOpenFiles) {
  LogConfig config;
  config.segment_bytes = 1000;
  LogHarness harness(12, config);
  harness.directory_options().open_files_max = 3;
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(harness.Append(1, 400));
  ASSERT_TRUE(harness.Sync());
  EXPECT_GT(harness.log().segment_count(), 15u);
  EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(40));
  EXPECT_LE(harness.directory().file_cache().size(), 3u);
}

TEST(LogWrite, RoomInFilesIsNotTakenFromTheReserve) {
  constexpr uint64_t kReserve = 50'000;
  for (const bool preallocates : {false, true}) {
    LogConfig config;
    config.segment_bytes = 400'000;
    config.preallocate = preallocates;
    LogHarness harness(16, config);
    harness.directory_options().file_step_bytes_max = 200'000;
    harness.SetReserve(kReserve);
    harness.files().faults().capacity_bytes = 250'000;
    ASSERT_TRUE(harness.Start());
    int appended = 0;
    while (appended < 1000 && harness.Append(1, 500)) {
      ASSERT_TRUE(harness.Sync());
      if (++appended % 10 == 0) harness.scheduler().RunFor(seconds(2));  // it looks at the space
    }
    EXPECT_GT(appended, 100);
    EXPECT_LT(appended, 1000);
    EXPECT_GE(harness.files().Space("/data")->free_bytes, kReserve - 20 * 600);
  }
}

TEST(LogWrite, WhereNoMoreFilesCanBeOpenUnusedOnesGo) {
  LogConfig config;
  config.segment_bytes = 1000;
  LogHarness harness(13, config);
  ASSERT_TRUE(harness.Start());
  harness.files().faults().open_files_max = 6;
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(harness.Append(1, 400));
    ASSERT_TRUE(harness.Sync());
  }
  EXPECT_GT(harness.log().segment_count(), 15u);
  EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(40));
  EXPECT_FALSE(harness.log().failure().has_value());
}

TEST(LogWrite, WritesWaitForFilesThatCanBeOpen) {
  LogConfig config;
  config.segment_bytes = 1000;
  LogHarness harness(14, config);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(harness.Append(1, 400));
  ASSERT_TRUE(harness.Sync());
  harness.files().faults().open_files_max = 0;
  while (harness.log().segment_count() < 3) ASSERT_TRUE(harness.Append(1, 400));
  const Offset end = harness.log().ends().log_end;
  harness.scheduler().RunFor(seconds(3));
  EXPECT_LT(harness.log().ends().synced_end, end);
  EXPECT_FALSE(harness.Append());  // refused, and nothing is broken
  EXPECT_FALSE(harness.log().failure().has_value());
  harness.files().faults().open_files_max = SIZE_MAX;
  harness.scheduler().RunFor(seconds(3));
  EXPECT_EQ(harness.log().ends().synced_end, end);
  EXPECT_TRUE(harness.Append());
  harness.LosePower(SimSurvival::kNothing);
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(static_cast<size_t>(end.value)));
}

// The sync of a folder's name needs an open folder.
TEST(LogWrite, SyncsWaitForFilesThatCanBeOpen) {
  LogConfig config;
  config.durability = Durability::kReplicated;
  LogHarness harness(17, config);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(harness.Append(1, 400));
  ASSERT_TRUE(Written(harness));
  harness.files().faults().open_files_max = 0;
  harness.scheduler().RunFor(seconds(3));  // longer than the background flush waits
  EXPECT_EQ(harness.log().ends().synced_end, Offset{0});
  EXPECT_FALSE(harness.directory().failure().has_value());
  harness.files().faults().open_files_max = SIZE_MAX;
  ASSERT_TRUE(harness.Sync());
  harness.LosePower(SimSurvival::kNothing);
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(1));
}

// Each holds its file until it is synced, and only so many can be open.
TEST(LogWrite, AsManyUnsyncedLogsAsMayHaveOpenFilesAreSynced) {
  LogConfig config;
  config.durability = Durability::kReplicated;
  LogHarness harness(15, config);
  harness.directory_options().open_files_max = 1;
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(harness.Append(1, 100));
  ASSERT_TRUE(Written(harness));
  harness.scheduler().RunFor(milliseconds(500));  // before the background flush
  EXPECT_EQ(harness.log().ends().synced_end, Offset{1});
}

}  // namespace
}  // namespace gregor
