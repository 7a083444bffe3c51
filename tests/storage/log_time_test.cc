// Finding records by time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/crc32c.h"
#include "tests/storage/log_harness.h"

namespace gregor {
namespace {

LogConfig SmallSegments() {
  LogConfig config;
  config.segment_bytes = 2000;
  config.index_interval_bytes = 300;
  config.segment_ms = LogConfig::kNever;
  return config;
}

// A log whose records have any times, and what is to be found in it.
class TimedLog : public LogHarness {
 public:
  explicit TimedLog(uint64_t seed) : LogHarness(seed, SmallSegments()), random_(seed) {}

  void Append(std::vector<int64_t> times, BatchBuilder::Options options = {}) {
    BatchBuilder builder(options);
    for (const int64_t time : times) {
      NewRecord record;
      record.value = "some value";
      record.timestamp = Timestamp{time};
      builder.Add(record);
    }
    ASSERT_TRUE(LogHarness::Append(builder));
    times_.insert(times_.end(), times.begin(), times.end());
  }
  void AppendSome(int batches) {
    for (int i = 0; i < batches; ++i) {
      std::vector<int64_t> times;
      BatchBuilder::Options options;
      if (random_.Chance(0.3)) options.codec = Codec::kLz4;
      for (uint64_t n = 1 + random_.Below(4); n > 0; --n)
        times.push_back(static_cast<int64_t>(random_.Below(1000)));
      Append(times, options);
    }
  }

  Result<std::optional<TimedOffset>> Find(int64_t time, Offset limit) {
    return Await<std::optional<TimedOffset>>(
        [&](auto done) { log().FindByTime(Timestamp{time}, limit, std::move(done)); });
  }
  Result<std::optional<TimedOffset>> FindMax(Offset limit) {
    return Await<std::optional<TimedOffset>>(
        [&](auto done) { log().FindMaxTimestamp(limit, std::move(done)); });
  }
  void CheckAll() {
    const LogEnds ends = log().ends();
    for (int64_t time = -1; time <= 1001; time += 13) {
      Check(time, ends.log_end);
      Check(time, Offset{ends.log_start +
                         static_cast<int64_t>(random_.Below(
                             static_cast<uint64_t>(ends.log_end - ends.log_start) + 1))});
    }
    for (Offset limit = ends.log_start + 1; limit <= ends.log_end; limit = limit + 1)
      CheckMax(limit);
  }
  void CheckMax(Offset limit) {
    const auto begin = times_.begin() + log().ends().log_start.value;
    const auto largest = std::max_element(begin, times_.begin() + limit.value);
    const auto found = FindMax(limit);
    ASSERT_TRUE(found.ok()) << found.error();
    ASSERT_TRUE(found->has_value()) << "below " << limit;
    EXPECT_EQ((*found)->offset, Offset{largest - times_.begin()}) << "below " << limit;
    EXPECT_EQ((*found)->timestamp, Timestamp{*largest}) << "below " << limit;
  }
  void Check(int64_t time, Offset limit) {
    const auto begin = times_.begin() + log().ends().log_start.value;
    const auto end = times_.begin() + limit.value;
    const auto expected = std::find_if(begin, end, [&](int64_t each) { return each >= time; });
    const auto found = Find(time, limit);
    ASSERT_TRUE(found.ok()) << found.error();
    ASSERT_EQ(found->has_value(), expected != end) << time << " below " << limit;
    if (expected == end) return;
    EXPECT_EQ((*found)->offset, Offset{expected - times_.begin()}) << time << " below " << limit;
    EXPECT_EQ((*found)->timestamp, Timestamp{*expected});
  }
  std::vector<std::string> Names(std::string_view suffix) {
    std::vector<std::string> names;
    const std::string folder = "/data/" + id().ToString();
    const auto entries = files().List(folder);
    for (const DirectoryEntry& entry : *entries) {
      if (entry.name.ends_with(suffix)) names.push_back(JoinPath(folder, entry.name));
    }
    return names;
  }

 private:
  Random random_;
  std::vector<int64_t> times_;  // of all records
};

TEST(LogTime, FindsTheFirstRecordAtOrAfterATimeInAnyOrderOfTimes) {
  for (const uint64_t seed : {1u, 2u, 3u}) {
    TimedLog log(seed);
    ASSERT_TRUE(log.Start());
    log.AppendSome(60);
    ASSERT_TRUE(log.Sync());
    EXPECT_GT(log.log().segment_count(), 2u);
    log.CheckAll();
    ASSERT_TRUE(log.CloseCleanly());
    ASSERT_TRUE(log.Start());
    log.CheckAll();
  }
}

TEST(LogTime, MissingAndDamagedIndexesAreBuiltAgain) {
  TimedLog log(4);
  ASSERT_TRUE(log.Start());
  log.AppendSome(80);
  ASSERT_TRUE(log.Sync());
  ASSERT_TRUE(log.CloseCleanly());
  const std::vector<std::string> indexes = log.Names(".index");
  ASSERT_GT(indexes.size(), 3u);
  std::vector<std::string> contents;
  for (const std::string& path : indexes)
    contents.push_back(*ReadWholeFile(log.files(), path, 1 << 20));
  ASSERT_TRUE(log.files().Remove(indexes[0]).ok());
  ASSERT_TRUE(log.files().FlipBit(indexes[1], 30, 2));
  ASSERT_TRUE((*log.files().Open(indexes[2], OpenMode::kReadWrite))->Truncate(17).ok());
  // That of another segment.
  ASSERT_TRUE((*log.files().Open(indexes[3], OpenMode::kReadWrite))->Truncate(0).ok());
  ASSERT_TRUE((*log.files().Open(indexes[3], OpenMode::kReadWrite))
                  ->Write(0, Slice::Copy(contents[0]))
                  .ok());
  ASSERT_TRUE(log.Start()) << *log.error();
  log.CheckAll();
  for (int64_t from = 0; from < log.log().ends().log_end.value; ++from)
    ASSERT_FALSE(log.ReadRecords(Offset{from}).empty());
  for (size_t i = 0; i < indexes.size(); ++i)
    EXPECT_EQ(*ReadWholeFile(log.files(), indexes[i], 1 << 20), contents[i]) << indexes[i];
}

TEST(LogTime, WhatWasDeletedOrIsBehindTheLimitIsNotFound) {
  TimedLog log(5);
  ASSERT_TRUE(log.Start());
  log.AppendSome(60);
  ASSERT_TRUE(log.Sync());
  // In the middle of a segment, and of a batch.
  for (const int64_t start : {1, 20, 57, 90}) {
    ASSERT_TRUE(
        log.Await<void>([&](auto done) { log.log().DeleteBefore(Offset{start}, std::move(done)); })
            .ok());
    for (int64_t time = -1; time <= 1001; time += 50) {
      log.Check(time, log.log().ends().log_end);
      log.Check(time, Offset{start});
      log.Check(time, Offset{start + 3});
    }
    log.CheckAll();
    EXPECT_FALSE((*log.FindMax(Offset{start})).has_value());
  }
}

TEST(LogTime, AnEmptyLogHasNone) {
  TimedLog log(6);
  ASSERT_TRUE(log.Start());
  EXPECT_FALSE(log.Find(0, Offset{0})->has_value());
  EXPECT_FALSE(log.FindMax(Offset{0})->has_value());
}

TEST(LogTime, FindsWhatIsWrittenAndNotSyncedYet) {
  TimedLog log(7);
  ASSERT_TRUE(log.Start());
  log.AppendSome(10);
  ASSERT_TRUE(log.Sync());
  log.Append({5000});
  const auto found = log.loop().RunUntil(
      [] {}, [&] { return log.log().ends().written_end == log.log().ends().log_end; },
      std::chrono::minutes(1));
  ASSERT_TRUE(found);
  log.Check(5000, log.log().ends().log_end);
}

// The time in a batch's header says what to expect of its records, and may say too much.
TEST(LogTime, ABatchThatPromisesMoreThanItHasIsPassed) {
  TimedLog log(8);
  ASSERT_TRUE(log.Start());
  log.Append({100});
  RecordBatch lying = LogHarness::Make(Offset{1}, LeaderEpoch{1}, 1, 10, Timestamp{200});
  std::string bytes = lying.bytes.ToString();
  auto* const data = reinterpret_cast<uint8_t*>(bytes.data());
  lying.header.max_timestamp = Timestamp{900};
  lying.header.Encode(data);
  lying.header.crc = Crc32c(0, {data + kBatchCrcStart, bytes.size() - kBatchCrcStart});
  lying.header.Encode(data);
  lying.bytes = Slice::Copy(bytes);
  log.loop().Run([&] { ASSERT_TRUE(log.log().Append(std::move(lying)).ok()); });
  log.LogHarness::Append(1, 10, Timestamp{500});
  ASSERT_TRUE(log.Sync());
  EXPECT_EQ((*log.Find(300, Offset{3}))->offset, Offset{2});
  EXPECT_EQ((*log.Find(150, Offset{3}))->offset, Offset{1});
  EXPECT_FALSE(log.Find(600, Offset{3})->has_value());
}

// Once through a batch, however often the largest time rises in it; and what comes without a time
// is something, too.
TEST(LogTime, TheLargestTimeIsFoundInOneWalk) {
  TimedLog log(10);
  ASSERT_TRUE(log.Start());
  log.Append({100'000});
  std::vector<int64_t> times;
  for (int64_t time = 0; time < 50'000; ++time) times.push_back(time / 2);
  BatchBuilder::Options options;
  options.codec = Codec::kLz4;
  log.Append(times, options);
  ASSERT_TRUE(log.Sync());
  log.CheckMax(log.log().ends().log_end);
  ASSERT_TRUE(
      log.Await<void>([&](auto done) { log.log().DeleteBefore(Offset{1}, std::move(done)); }).ok());
  log.CheckMax(log.log().ends().log_end);
  log.CheckMax(Offset{40'000});
  TimedLog timeless(11);
  ASSERT_TRUE(timeless.Start());
  timeless.Append({-1, -1});
  ASSERT_TRUE(timeless.Sync());
  timeless.CheckMax(Offset{2});
}

TEST(LogTime, DamageIsToldAndNotPassedOver) {
  TimedLog log(9);
  ASSERT_TRUE(log.Start());
  for (int64_t time = 0; time < 10; ++time) log.Append({time});
  ASSERT_TRUE(log.Sync());
  ASSERT_TRUE(log.files().FlipBit(log.Path(0), 100, 1));  // the second batch
  const auto behind = log.Find(2, Offset{10});
  ASSERT_FALSE(behind.ok());
  EXPECT_EQ(behind.error().reason, Reason::kCorruptBatch);
  EXPECT_THAT(behind.error().message, testing::HasSubstr(log.Path(0)));
  EXPECT_EQ((*log.Find(9, Offset{10}))->offset, Offset{9});  // the index leads past it
}

}  // namespace
}  // namespace gregor
