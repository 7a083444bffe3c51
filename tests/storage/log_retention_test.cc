// When segments begin and go.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "storage/producer_state.h"
#include "tests/storage/log_harness.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<std::string> Names(LogHarness& harness, std::string_view suffix) {
  std::vector<std::string> names;
  const auto entries = harness.files().List("/data/" + harness.id().ToString());
  for (const DirectoryEntry& entry : *entries) {
    if (entry.name.ends_with(suffix)) names.push_back(entry.name);
  }
  return names;
}

void ApplyRetention(LogHarness& harness, Offset limit) {
  harness.loop().Run([&] { harness.log().ApplyRetention(limit); });
  harness.scheduler().RunFor(seconds(2));
}

TEST(LogRetention, SegmentsBeginByTheTimesOfTheirRecords) {
  LogConfig config;
  config.segment_ms = 1000;
  LogHarness harness(1, config);
  ASSERT_TRUE(harness.Start());
  for (const int64_t time : {5000, 5500, 6000, 6001, 6500, 9000})
    ASSERT_TRUE(harness.Append(1, 10, Timestamp{time}));
  EXPECT_EQ(harness.log().segment_count(), 3u);
  // Earlier ones begin none.
  ASSERT_TRUE(harness.Append(1, 10, Timestamp{100}));
  EXPECT_EQ(harness.log().segment_count(), 3u);
}

TEST(LogRetention, AndByTheClockWhereRecordsHaveNoTimes) {
  LogConfig config;
  config.segment_ms = 1000;
  LogHarness harness(2, config);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(harness.Append(1, 10, Timestamp{-1}));
  harness.scheduler().RunFor(milliseconds(500));
  ASSERT_TRUE(harness.Append(1, 10, Timestamp{-1}));
  EXPECT_EQ(harness.log().segment_count(), 1u);
  harness.scheduler().RunFor(milliseconds(800));
  ASSERT_TRUE(harness.Append(1, 10, Timestamp{-1}));
  EXPECT_EQ(harness.log().segment_count(), 2u);
}

TEST(LogRetention, JitterSpreadsTheRolls) {
  std::set<int64_t> ages;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    LogConfig config;
    config.segment_ms = 10'000;
    config.segment_jitter_ms = 5000;
    LogHarness harness(100 + seed, config);
    ASSERT_TRUE(harness.Start());
    int64_t age = 0;
    while (harness.log().segment_count() < 2) {
      ASSERT_TRUE(harness.Append(1, 10, Timestamp{1000 + age}));
      if (harness.log().segment_count() < 2) age += 100;
    }
    EXPECT_GT(age, 5000);
    EXPECT_LE(age, 10'100);
    ages.insert(age);
  }
  EXPECT_GT(ages.size(), 8u);
}

TEST(LogRetention, NothingBehindTheLimitGoes) {
  LogConfig config;
  config.segment_bytes = 1000;
  config.retention_bytes = 0;
  LogHarness harness(3, config);
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(harness.Append(1, 400));
  ASSERT_TRUE(harness.Sync());
  ApplyRetention(harness, Offset{7});
  EXPECT_LE(harness.log().ends().log_start, Offset{7});
  EXPECT_GT(harness.log().ends().log_start, Offset{3});
  ApplyRetention(harness, Offset{20});
  EXPECT_EQ(harness.log().segment_count(), 1u);
}

TEST(LogRetention, RecordsWithoutTimesGoByTheTimeOfTheirAppend) {
  LogConfig config;
  config.segment_bytes = 1000;
  config.retention_ms = 60'000;
  LogHarness harness(4, config);
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(harness.Append(1, 400, Timestamp{-1}));
  ASSERT_TRUE(harness.Sync());
  const Timestamp appended = harness.scheduler().clock().WallNow();
  harness.scheduler().RunFor(seconds(30));
  ASSERT_TRUE(harness.Append(1, 400, Timestamp{-1}));
  ASSERT_TRUE(harness.Sync());
  ApplyRetention(harness, Offset{11});
  EXPECT_EQ(harness.log().ends().log_start, Offset{0});
  // It outlives a restart: nothing begins anew.
  ASSERT_TRUE(harness.CloseCleanly());
  ASSERT_TRUE(harness.Start());
  while (harness.scheduler().clock().WallNow() - appended <= 60'000)
    harness.scheduler().RunFor(seconds(1));
  ApplyRetention(harness, Offset{11});
  EXPECT_EQ(harness.log().ends().log_start, Offset{10});  // where the late one's segment begins
  harness.scheduler().RunFor(seconds(60));
  ApplyRetention(harness, Offset{11});  // rolls
  ApplyRetention(harness, Offset{11});
  EXPECT_EQ(harness.log().ends().log_start, Offset{11});
}

TEST(LogRetention, AnIdleSegmentGoesTooOnceItIsOld) {
  LogConfig config;
  config.retention_ms = 10'000;
  LogHarness harness(5, config);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(harness.Append(3, 400, harness.scheduler().clock().WallNow()));
  ASSERT_TRUE(harness.Sync());
  ApplyRetention(harness, Offset{3});
  EXPECT_EQ(harness.log().ends().log_start, Offset{0});
  harness.scheduler().RunFor(seconds(20));
  ApplyRetention(harness, Offset{2});  // not all of it is committed
  EXPECT_EQ(harness.log().ends().log_start, Offset{0});
  ApplyRetention(harness, Offset{3});
  ApplyRetention(harness, Offset{3});
  EXPECT_EQ(harness.log().ends().log_start, Offset{3});
  EXPECT_EQ(harness.log().size_bytes(), 0u);
  harness.LosePower();
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_EQ(harness.log().ends().log_start, Offset{3});
  EXPECT_EQ(harness.log().ends().log_end, Offset{3});
}

TEST(LogRetention, FilesGoAfterTheirDelay) {
  LogConfig config;
  config.segment_bytes = 1000;
  config.file_delete_delay_ms = 30'000;
  LogHarness harness(6, config);
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(harness.Append(1, 400));
  ASSERT_TRUE(harness.Sync());
  const size_t before = Names(harness, ".log").size();
  ASSERT_TRUE(
      harness
          .Await<void>([&](auto done) { harness.log().DeleteBefore(Offset{11}, std::move(done)); })
          .ok());
  harness.scheduler().RunFor(seconds(20));
  const size_t deleted = Names(harness, ".deleted").size();
  EXPECT_GE(deleted, 4u);
  EXPECT_EQ(Names(harness, ".log").size() + deleted, before);
  harness.scheduler().RunFor(seconds(20));
  EXPECT_THAT(Names(harness, ".deleted"), IsEmpty());
  EXPECT_EQ(Names(harness, ".log").size(), before - deleted);
}

TEST(LogRetention, TheLongestDelayIsLong) {
  LogConfig config;
  config.segment_bytes = 1000;
  config.file_delete_delay_ms = INT64_MAX;
  config.retention_ms = INT64_MAX;
  LogHarness harness(12, config);
  ASSERT_TRUE(harness.Start());
  // Also of records of whatever time.
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(harness.Append(1, 400, Timestamp{INT64_MIN / 2}));
  ASSERT_TRUE(harness.Sync());
  ApplyRetention(harness, Offset{20});
  EXPECT_EQ(harness.log().ends().log_start, Offset{0});
  ASSERT_TRUE(
      harness
          .Await<void>([&](auto done) { harness.log().DeleteBefore(Offset{11}, std::move(done)); })
          .ok());
  harness.scheduler().RunFor(std::chrono::hours(1));
  EXPECT_GE(Names(harness, ".deleted").size(), 4u);
}

// Two deletions, the second of which waits for the first, and a disk that fails.
TEST(LogRetention, DeletionsThatWaitAreAnsweredWhereTheDiskFails) {
  LogConfig config;
  config.segment_bytes = 1000;
  LogHarness harness(13, config);
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(harness.Append(1, 400));
  ASSERT_TRUE(harness.Sync());
  harness.files().faults().sync_error = 1;
  std::vector<bool> answers;
  harness.loop().Run([&] {
    for (const int64_t start : {5, 9}) {
      harness.log().DeleteBefore(Offset{start},
                                 [&](Result<void> deleted) { answers.push_back(deleted.ok()); });
    }
  });
  harness.scheduler().RunFor(seconds(5));
  EXPECT_EQ(answers, (std::vector<bool>{false, false}));
}

TEST(LogRetention, AStartRemovesWhatWaitedForItsDelay) {
  LogConfig config;
  config.segment_bytes = 1000;
  LogHarness harness(7, config);
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(harness.Append(1, 400));
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(
      harness
          .Await<void>([&](auto done) { harness.log().DeleteBefore(Offset{11}, std::move(done)); })
          .ok());
  harness.scheduler().RunFor(seconds(5));
  EXPECT_THAT(Names(harness, ".deleted"), testing::Not(IsEmpty()));
  harness.Kill();
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_THAT(Names(harness, ".deleted"), IsEmpty());
  EXPECT_EQ(harness.log().ends().log_start, Offset{11});
  EXPECT_THAT(harness.ReadAll(Offset{11}), SizeIs(9));
}

TEST(LogRetention, ProducersAreKnownAfterTheirBatchesWereDeleted) {
  LogConfig config;
  config.segment_bytes = 1000;
  LogHarness harness(8, config);
  ASSERT_TRUE(harness.Start());
  BatchBuilder::Options options;
  options.producer_id = ProducerId{7};
  options.producer_epoch = ProducerEpoch{2};
  options.base_sequence = Sequence{0};
  BatchBuilder builder(options);
  NewRecord record;
  record.value = "some value";
  builder.Add(record);
  ASSERT_TRUE(harness.Append(builder));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(harness.Append(1, 400));
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(
      harness
          .Await<void>([&](auto done) { harness.log().DeleteBefore(Offset{11}, std::move(done)); })
          .ok());
  harness.scheduler().RunFor(seconds(5));
  // From the checkpoint, and without one.
  for (const bool with_checkpoint : {true, false}) {
    harness.Kill();
    const std::string folder = "/data/" + harness.id().ToString();
    if (!with_checkpoint) {
      ASSERT_TRUE(harness.files().Remove(folder + "/checkpoint").ok());
    }
    ASSERT_TRUE(harness.Start()) << *harness.error();
    EXPECT_EQ(harness.log().ends().log_start, Offset{11});
    const auto last = harness.log().producers().LastOf(ProducerId{7});
    ASSERT_TRUE(last.has_value()) << with_checkpoint;
    EXPECT_EQ(last->last_sequence, Sequence{0});
    EXPECT_EQ(last->base_offset, Offset{0});
  }
}

TEST(LogRetention, TheLastSegmentGoesWithAllItsRecords) {
  LogHarness harness(9);
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(harness.Append(1, 1000));
  const auto deleted = [&](int64_t start) {
    return harness
        .Await<void>([&](auto done) { harness.log().DeleteBefore(Offset{start}, std::move(done)); })
        .ok();
  };
  ASSERT_TRUE(deleted(2));
  EXPECT_GT(harness.log().size_bytes(), 3000u);
  ASSERT_TRUE(deleted(3));
  harness.scheduler().RunFor(std::chrono::minutes(2));
  EXPECT_EQ(harness.log().size_bytes(), 0u);
  EXPECT_FALSE(*harness.files().Exists(harness.Path(0)));
  ASSERT_TRUE(harness.Append());
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(harness.CloseCleanly());
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_THAT(harness.ReadAll(Offset{3}), testing::SizeIs(1));
}

TEST(LogRetention, DeletedSegmentsAreTold) {
  LogConfig config;
  config.segment_bytes = 1000;
  LogHarness harness(9, config);
  size_t count = 0;
  uint64_t bytes = 0;
  harness.directory_options().on_segments_deleted = [&](size_t segments, uint64_t size) {
    count += segments;
    bytes += size;
  };
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(harness.Append(1, 700));
  ASSERT_TRUE(harness.Sync());
  ASSERT_EQ(harness.log().segment_count(), 4u);
  EXPECT_EQ(count, 0u);
  const uint64_t before = harness.log().size_bytes();
  ASSERT_TRUE(
      harness
          .Await<void>([&](auto done) { harness.log().DeleteBefore(Offset{2}, std::move(done)); })
          .ok());
  harness.scheduler().RunFor(seconds(2));
  EXPECT_EQ(harness.log().segment_count(), 2u);
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(bytes, before - harness.log().size_bytes());
}

}  // namespace
}  // namespace gregor
