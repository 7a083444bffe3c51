#include "storage/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/epoch_cache.h"
#include "storage/file_cache.h"
#include "tests/storage/log_harness.h"

namespace gregor {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

LogConfig SmallSegments() {
  LogConfig config;
  config.segment_bytes = 1000;
  config.index_interval_bytes = 200;
  return config;
}

// Every value begins with its offset.
void ExpectDense(const std::vector<std::string>& values, int64_t first) {
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_THAT(values[i],
                testing::StartsWith(std::to_string(first + static_cast<int64_t>(i)) + "/"));
  }
}

TEST(Log, WhatIsAppendedIsSyncedAndReadBack) {
  LogHarness harness(1);
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(harness.Append(1 + i % 3));
  ASSERT_TRUE(harness.Sync());
  const auto values = harness.ReadAll(Offset{0});
  EXPECT_EQ(Offset{static_cast<int64_t>(values.size())}, harness.log().ends().log_end);
  ExpectDense(values, 0);
  ExpectDense(harness.ReadAll(Offset{7}), 7);
  ExpectDense(harness.ReadAll(Offset{7}, 1), 7);
}

TEST(Log, IsTheSameAfterACleanStopAndAfterAKill) {
  for (const bool clean : {true, false}) {
    LogHarness harness(2, SmallSegments());
    ASSERT_TRUE(harness.Start());
    for (int i = 0; i < 60; ++i) ASSERT_TRUE(harness.Append(2, 40));
    ASSERT_TRUE(harness.Sync());
    EXPECT_GT(harness.log().segment_count(), 5u);
    if (clean) {
      ASSERT_TRUE(harness.CloseCleanly()) << *harness.error();
    } else {
      harness.Kill();
    }
    ASSERT_TRUE(harness.Start()) << *harness.error();
    EXPECT_EQ(harness.directory().was_clean(), clean);
    EXPECT_EQ(harness.log().ends().log_end, Offset{120});
    EXPECT_EQ(harness.log().ends().synced_end, Offset{120});
    const auto values = harness.ReadAll(Offset{0});
    EXPECT_THAT(values, SizeIs(120));
    ExpectDense(values, 0);
    ASSERT_TRUE(harness.Append());
    ASSERT_TRUE(harness.Sync());
    EXPECT_EQ(harness.log().epochs().EndOf(LeaderEpoch{1}, harness.log().ends().log_end)->start,
              Offset{120});
  }
}

TEST(Log, NothingIsOnTheDiskBeforeTheFirstAppend) {
  LogHarness harness(3);
  ASSERT_TRUE(harness.Start());
  EXPECT_FALSE(*harness.files().Exists("/data/" + harness.id().ToString()));
  EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(0));
  EXPECT_EQ(harness
                .Await<LogRead>([&](auto done) {
                  ReadSpec spec;
                  spec.from = Offset{1};
                  harness.log().Read(spec, std::move(done));
                })
                .error()
                .reason,
            Reason::kOffsetOutOfRange);
}

TEST(Log, AnAcknowledgedRecordSurvivesAPowerLossAtEveryStep) {
  const auto workload = [](LogHarness& harness) {
    if (!harness.Start()) return;
    for (int i = 0; i < 14; ++i) {
      if (!harness.Append(1 + i % 3, 60)) return;
      if (i % 3 == 0 && !harness.Sync()) return;
    }
    harness.Sync();
  };
  LogHarness measured(10, SmallSegments());
  workload(measured);
  const uint64_t steps = measured.files().mutation_count();
  ASSERT_GT(steps, 40u);
  uint64_t lost_something = 0;
  for (uint64_t step = 1; step <= steps; ++step) {
    for (const uint64_t seed : {10u, 11u, 12u}) {
      LogHarness harness(seed, SmallSegments());
      harness.files().FailPowerAt(step);
      workload(harness);
      const Offset promised = harness.synced();
      harness.LosePower();
      ASSERT_TRUE(harness.Start())
          << "step " << step << " seed " << seed << ": " << *harness.error();
      const Offset end = harness.log().ends().log_end;
      ASSERT_GE(end, promised) << "step " << step << " seed " << seed;
      const auto values = harness.ReadAll(Offset{0});
      ASSERT_EQ(Offset{static_cast<int64_t>(values.size())}, end)
          << "step " << step << " seed " << seed;
      ExpectDense(values, 0);
      if (end < Offset{27}) ++lost_something;
      // And again, with what is written on top.
      ASSERT_TRUE(harness.Append(2, 60));
      ASSERT_TRUE(harness.Sync());
      harness.LosePower();
      ASSERT_TRUE(harness.Start())
          << "step " << step << " seed " << seed << ": " << *harness.error();
      ASSERT_EQ(harness.log().ends().log_end, end + 2);
    }
  }
  EXPECT_GT(lost_something, steps / 2);  // the faults were there
}

TEST(Log, AFlippedBitBelowTheSyncedMarkIsNeverCutAway) {
  for (const int64_t position : {5, 30, 100, 250}) {
    LogHarness harness(4);
    harness.directory_options().marks_trail = Duration(0);
    ASSERT_TRUE(harness.Start());
    for (int i = 0; i < 10; ++i) {
      ASSERT_TRUE(harness.Append(1, 20));
      ASSERT_TRUE(harness.Sync());
    }
    harness.Kill();
    ASSERT_TRUE(harness.files().FlipBit(harness.Path(0), static_cast<uint64_t>(position), 3));
    EXPECT_FALSE(harness.Start()) << position;
    EXPECT_EQ(harness.error()->reason, Reason::kStorageError);
    EXPECT_THAT(harness.error()->message, HasSubstr("not served"));
    EXPECT_THAT(harness.error()->message, HasSubstr("Restore them, or delete the topic"));
    harness.Kill();
    // The files are as they were: with the bit put right everything is there.
    ASSERT_TRUE(harness.files().FlipBit(harness.Path(0), static_cast<uint64_t>(position), 3));
    ASSERT_TRUE(harness.Start()) << *harness.error();
    EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(10));
  }
}

TEST(Log, AMissingOrShortSegmentIsLostData) {
  LogHarness harness(5, SmallSegments());
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(harness.Append(1, 60));
    ASSERT_TRUE(harness.Sync());
  }
  ASSERT_TRUE(harness.CloseCleanly());
  const auto entries = *harness.files().List("/data/" + harness.id().ToString());
  std::string last;
  for (const auto& entry : entries) {
    if (entry.name.ends_with(".log")) last = "/data/" + harness.id().ToString() + "/" + entry.name;
  }
  auto file = *harness.files().Open(last, OpenMode::kReadWrite);
  const uint64_t size = *file->Size();
  ASSERT_TRUE(file->Truncate(size - 1).ok());
  EXPECT_FALSE(harness.Start());
  EXPECT_THAT(harness.error()->message, HasSubstr("were synced"));
  harness.Kill();
  ASSERT_TRUE(harness.files().Remove(last).ok());
  EXPECT_FALSE(harness.Start());
  EXPECT_THAT(harness.error()->message, HasSubstr("missing"));
  harness.Kill();
  ASSERT_TRUE(RemoveTree(harness.files(), "/data/" + harness.id().ToString()).ok());
  EXPECT_FALSE(harness.Start());
  EXPECT_THAT(harness.error()->message, HasSubstr("no segment files"));
}

TEST(Log, ABatchThatDoesNotFollowIsRefusedAndChangesNothing) {
  LogHarness harness(17);
  for (int i = 0; i < 2; ++i) {
    harness.Kill();
    ASSERT_TRUE(harness.Start());
    ASSERT_TRUE(harness.Append());
    ASSERT_TRUE(harness.Sync());
  }
  harness.loop().Run([&] {
    const auto append = [&](int64_t base, int32_t epoch) {
      return harness.log().Append(
          LogHarness::Make(Offset{base}, LeaderEpoch{epoch}, 1, 10, Timestamp{1000}));
    };
    for (const auto& refused : {append(2, 1), append(1, 2)}) {
      ASSERT_FALSE(refused.ok());
      EXPECT_EQ(refused.error().reason, Reason::kStorageError);
    }
    EXPECT_FALSE(harness.log().failure().has_value());
    EXPECT_EQ(harness.log().ends().log_end, Offset{2});
    EXPECT_TRUE(append(2, 2).ok());
  });
  ASSERT_TRUE(harness.Sync());
  EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(3));
}

TEST(Log, AFailedSyncAcknowledgesNothingAndStays) {
  LogHarness harness(7);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(harness.Append());
  ASSERT_TRUE(harness.Sync());
  harness.files().FailNext(SimOperation::kSync, ".log");
  ASSERT_TRUE(harness.Append());
  EXPECT_FALSE(harness.Sync());
  EXPECT_EQ(harness.log().ends().synced_end, Offset{1});
  EXPECT_TRUE(harness.log().failure().has_value());
  EXPECT_FALSE(harness.Append());
  EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(2));  // reads go on
}

TEST(Log, AWriteWaitsForSpaceAndLosesNothing) {
  LogHarness harness(8);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(harness.Append());
  ASSERT_TRUE(harness.Sync());
  const uint64_t capacity = harness.files().faults().capacity_bytes;
  harness.files().faults().capacity_bytes = 1;
  ASSERT_TRUE(harness.Append(1, 100000));
  harness.scheduler().RunFor(std::chrono::seconds(5));
  EXPECT_EQ(harness.log().ends().synced_end, Offset{1});
  EXPECT_FALSE(harness.Append());
  EXPECT_FALSE(harness.log().failure().has_value());
  harness.files().faults().capacity_bytes = capacity;
  harness.scheduler().RunFor(std::chrono::seconds(5));
  EXPECT_EQ(harness.log().ends().synced_end, Offset{2});
  EXPECT_TRUE(harness.Append());
}

TEST(Log, AFastWriterStopsAtTheReserveToo) {
  constexpr uint64_t kMebibyte = 1 << 20;
  LogHarness harness(8);
  harness.files().faults().capacity_bytes = 10 * kMebibyte;
  harness.SetReserve(2 * kMebibyte);
  ASSERT_TRUE(harness.Start());
  // All within one look at the free space.
  int appended = 0;
  while (harness.Append(1, 100'000)) ASSERT_LT(++appended, 200);
  EXPECT_GT(appended, 60);
  ASSERT_TRUE(harness.Sync());
  const auto space = harness.files().Space("/data");
  ASSERT_TRUE(space.ok());
  EXPECT_GT(space->free_bytes, kMebibyte);
}

TEST(Log, TruncationHoldsThroughAPowerLossAtEveryStep) {
  const auto cut = [](LogHarness& harness) {
    for (int i = 0; i < 12; ++i) {
      if (!harness.Append(2, 60)) return false;
    }
    if (!harness.Sync()) return false;
    return harness
        .Await<void>([&](auto done) { harness.log().TruncateTo(Offset{8}, std::move(done)); })
        .ok();
  };
  LogHarness measured(20, SmallSegments());
  ASSERT_TRUE(measured.Start());
  ASSERT_TRUE(cut(measured));
  EXPECT_EQ(measured.log().ends().log_end, Offset{8});
  EXPECT_THAT(measured.ReadAll(Offset{0}), SizeIs(8));
  const uint64_t steps = measured.files().mutation_count();
  for (uint64_t step = 10; step <= steps; ++step) {
    LogHarness harness(20 + step, SmallSegments());
    harness.files().FailPowerAt(step);
    const bool done = harness.Start() && cut(harness);
    harness.LosePower();
    ASSERT_TRUE(harness.Start()) << "step " << step << ": " << *harness.error();
    const auto values = harness.ReadAll(Offset{0});
    ASSERT_EQ(Offset{static_cast<int64_t>(values.size())}, harness.log().ends().log_end) << step;
    ExpectDense(values, 0);
    ASSERT_TRUE(!done || values.size() == 8u) << step;
    ASSERT_TRUE(harness.Append());
    ASSERT_TRUE(harness.Sync());
  }
}

TEST(Log, ACutWaitsForFilesThatCanBeOpen) {
  for (const bool resets : {false, true}) {
    LogHarness harness(21, SmallSegments());
    ASSERT_TRUE(harness.Start());
    for (int i = 0; i < 12; ++i) ASSERT_TRUE(harness.Append(2, 60));
    ASSERT_TRUE(harness.Sync());
    harness.scheduler().RunFor(std::chrono::seconds(1));
    std::optional<Result<void>> cut;
    harness.files().faults().open_files_max = 0;
    harness.loop().Run([&] {
      auto done = [&](Result<void> result) { cut.emplace(std::move(result)); };
      if (resets) {
        harness.log().ResetTo(Offset{50}, done);
      } else {
        harness.log().TruncateTo(Offset{8}, done);
      }
    });
    harness.scheduler().RunFor(std::chrono::seconds(5));
    EXPECT_FALSE(cut.has_value());
    harness.files().faults().open_files_max = SIZE_MAX;
    harness.scheduler().RunFor(std::chrono::seconds(5));
    ASSERT_TRUE(cut.has_value());
    EXPECT_TRUE(cut->ok()) << cut->error();
    EXPECT_FALSE(harness.directory().failure().has_value());
    EXPECT_EQ(harness.log().ends().log_end, Offset{resets ? 50 : 8});
    ASSERT_TRUE(harness.Append());
    ASSERT_TRUE(harness.Sync());
  }
}

TEST(Log, AResetLogBeginsWhereItIsTold) {
  LogHarness harness(9, SmallSegments());
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(harness.Append(1, 60));
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(
      harness.Await<void>([&](auto done) { harness.log().ResetTo(Offset{100}, std::move(done)); })
          .ok());
  EXPECT_EQ(harness.log().ends().log_start, Offset{100});
  EXPECT_EQ(harness.log().ends().log_end, Offset{100});
  harness.LosePower();
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_EQ(harness.log().ends().log_end, Offset{100});
  ASSERT_TRUE(harness.Append(3, 60));
  ASSERT_TRUE(harness.Sync());
  harness.LosePower();
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_EQ(harness.log().ends().log_start, Offset{100});
  EXPECT_THAT(harness.ReadAll(Offset{100}), SizeIs(3));
}

TEST(Log, DeletedRecordsStayDeleted) {
  LogHarness harness(13, SmallSegments());
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(harness.Append(1, 60));
  ASSERT_TRUE(harness.Sync());
  const size_t before = harness.log().segment_count();
  ASSERT_TRUE(
      harness
          .Await<void>([&](auto done) { harness.log().DeleteBefore(Offset{25}, std::move(done)); })
          .ok());
  harness.scheduler().RunFor(std::chrono::seconds(1));  // first a checkpoint says so
  EXPECT_LT(harness.log().segment_count(), before);
  harness.LosePower();
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_EQ(harness.log().ends().log_start, Offset{25});
  EXPECT_THAT(harness.ReadAll(Offset{25}), SizeIs(15));
}

TEST(Log, RetentionDropsOldAndSurplusSegments) {
  LogConfig config = SmallSegments();
  config.retention_bytes = 3000;
  LogHarness harness(14, config);
  ASSERT_TRUE(harness.Start());
  const Timestamp now = harness.scheduler().clock().WallNow();
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(harness.Append(1, 100, now));
  ASSERT_TRUE(harness.Sync());
  harness.loop().Run([&] { harness.log().ApplyRetention(Offset{40}); });
  harness.scheduler().RunFor(std::chrono::seconds(3));
  EXPECT_LE(harness.log().size_bytes(), 4000u);
  EXPECT_GE(harness.log().size_bytes(), 2500u);
  config.retention_bytes = LogConfig::kNever;
  config.retention_ms = 1000;
  harness.loop().Run([&] { harness.log().SetConfig(config); });
  harness.scheduler().RunFor(std::chrono::seconds(30));
  harness.loop().Run([&] { harness.log().ApplyRetention(Offset{40}); });
  harness.scheduler().RunFor(std::chrono::seconds(3));
  EXPECT_EQ(harness.log().segment_count(), 1u);
}

TEST(Log, FindsRecordsByTime) {
  LogHarness harness(15, SmallSegments());
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(harness.Append(1, 60, Timestamp{10000 + 100 * i}));
  ASSERT_TRUE(harness.Sync());
  const auto find = [&](int64_t time) {
    const auto found = harness.Await<std::optional<TimedOffset>>(
        [&](auto done) { harness.log().FindByTime(Timestamp{time}, Offset{50}, std::move(done)); });
    return found.ok() && found->has_value() ? (*found)->offset.value : -1;
  };
  EXPECT_EQ(find(0), 0);
  EXPECT_EQ(find(10000), 0);
  EXPECT_EQ(find(10001), 1);
  EXPECT_EQ(find(12350), 24);
  EXPECT_EQ(find(14900), 49);
  EXPECT_EQ(find(14901), -1);
  const auto latest = harness.Await<std::optional<TimedOffset>>(
      [&](auto done) { harness.log().FindMaxTimestamp(Offset{50}, std::move(done)); });
  ASSERT_TRUE(latest.ok() && latest->has_value());
  EXPECT_EQ((*latest)->offset, Offset{49});
}

TEST(Log, ARemovedLogIsGone) {
  LogHarness harness(16);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(harness.Append());
  ASSERT_TRUE(harness.Await<void>([&](auto done) { harness.log().Remove(std::move(done)); }).ok());
  EXPECT_FALSE(*harness.files().Exists("/data/" + harness.id().ToString()));
}

TEST(Log, AnIdleLogHoldsNoFileOpen) {
  LogHarness harness(17);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(harness.Append());
  ASSERT_TRUE(harness.Sync());
  EXPECT_GT(harness.directory().file_cache().size(), 0u);
  harness.scheduler().RunFor(std::chrono::minutes(2));
  EXPECT_EQ(harness.directory().file_cache().size(), 0u);
  EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(1));
}

}  // namespace
}  // namespace gregor
