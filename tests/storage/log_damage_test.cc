// What reads and searches say of files that are not as they were written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/log.h"
#include "tests/storage/log_harness.h"

namespace gregor {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

constexpr Timestamp kFirstTime{1000};
constexpr int64_t kBatches = 80;

// 80 batches of a record, a millisecond apart, in segments of 31, with an index entry for every
// four to five batches.
class DamagedLog : public LogHarness {
 public:
  explicit DamagedLog(uint64_t seed, size_t record_bytes = 60)
      : LogHarness(seed, SmallSegments()), record_bytes_(record_bytes) {
    EXPECT_TRUE(Start());
    for (int64_t i = 0; i < kBatches; ++i) EXPECT_TRUE(Append(1, record_bytes, kFirstTime + i));
    EXPECT_TRUE(Sync());
    scheduler().RunFor(std::chrono::seconds(1));
    for (int64_t i = 1; i < kBatches; ++i) {
      if (*files().Exists(Path(i))) bases_.push_back(i);
    }
  }

  size_t batch_bytes() const {
    return Make(Offset{10}, LeaderEpoch{1}, 1, record_bytes_, Timestamp{0}).bytes.size();
  }
  int64_t BaseOf(int64_t batch) const {
    return *std::prev(std::upper_bound(bases_.begin(), bases_.end(), batch));
  }
  uint64_t PositionOf(int64_t batch) const {
    return static_cast<uint64_t>(batch - BaseOf(batch)) * batch_bytes();
  }
  void Flip(int64_t batch, uint64_t byte, int bit) {
    ASSERT_TRUE(files().FlipBit(Path(BaseOf(batch)), PositionOf(batch) + byte, bit));
  }
  // Where the error says that reading can go on; -1: nowhere.
  static int64_t NextOffset(const Error& error) {
    EXPECT_EQ(error.reason, Reason::kCorruptBatch) << error;
    for (const auto& [name, value] : error.details) {
      if (name == "next_offset") return std::stoll(value);
    }
    return -1;
  }
  Result<LogRead> ReadOnce(ReadSpec spec) {
    return Await<LogRead>([&](auto done) { log().Read(spec, std::move(done)); });
  }
  Result<std::optional<TimedOffset>> Find(int64_t batch) {
    return Await<std::optional<TimedOffset>>([&](auto done) {
      log().FindByTime(kFirstTime + batch, Offset{kBatches}, std::move(done));
    });
  }
  // Reads all but what is damaged; the batches that came.
  std::set<int64_t> ReadAround(size_t bytes_max) {
    std::set<int64_t> seen;
    for (Offset from{0}; from < Offset{kBatches};) {
      const auto read = ReadOnce({.from = from, .bytes_max = bytes_max});
      const int64_t next = read.ok() ? read->next_offset.value : NextOffset(read.error());
      EXPECT_GT(next, from.value);
      if (next <= from.value) break;
      for (int64_t i = std::max(from, read.ok() ? read->base_offset : Offset{next}).value; i < next;
           ++i)
        seen.insert(i);
      from = Offset{next};
    }
    return seen;
  }

 private:
  static LogConfig SmallSegments() {
    LogConfig config;
    config.segment_bytes = 4000;
    config.index_interval_bytes = 500;
    return config;
  }
  const size_t record_bytes_;
  std::vector<int64_t> bases_ = {0};
};

TEST(LogDamage, IsNoticedWhenItIsReadAndNeverServed) {
  LogHarness harness(6);
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(harness.Append(1, 100));
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(harness.files().FlipBit(harness.Path(0), 400, 1));
  // What lies before it is served, however much is asked for at once.
  const auto values = harness.ReadAll(Offset{0}, 1);
  EXPECT_THAT(values, SizeIs(2));
  EXPECT_EQ(harness.error()->reason, Reason::kCorruptBatch);
  const auto& details = harness.error()->details;
  EXPECT_THAT(details, testing::Contains(testing::Pair("next_offset", "3")));
  EXPECT_THAT(harness.ReadAll(Offset{0}, 1 << 20), SizeIs(2));
  // Whoever goes on behind it gets all the rest, though the way there leads past it.
  EXPECT_THAT(harness.ReadAll(Offset{3}), SizeIs(7));
}

// Offset, length, epoch, magic, which no checksum covers; and what the header says of its end.
TEST(LogDamage, ADamagedHeaderCostsAsLittleAsCanBe) {
  LogConfig config;
  config.segment_bytes = 4000;
  config.index_interval_bytes = 500;
  // What a reader does that leaves out what cannot be read.
  const auto go_on = [](LogHarness& harness) {
    EXPECT_EQ(harness.error()->reason, Reason::kCorruptBatch) << *harness.error();
    for (const auto& [name, value] : harness.error()->details) {
      if (name == "next_offset") return Offset{std::stoll(value)};
    }
    ADD_FAILURE() << *harness.error();
    return Offset{80};
  };
  const auto expect_rest = [&](LogHarness& harness, Offset damaged) {
    EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(static_cast<size_t>(damaged.value)));
    const Offset behind = go_on(harness);
    ASSERT_GT(behind, damaged);
    // Also where next to nothing is read at a time.
    EXPECT_THAT(harness.ReadAll(Offset{0}, 1), SizeIs(static_cast<size_t>(damaged.value)));
    EXPECT_EQ(go_on(harness), behind);
    EXPECT_LE(behind, damaged + 6) << "an index entry is not further away";
    const auto left = static_cast<size_t>(Offset{80} - behind);
    EXPECT_THAT(harness.ReadAll(behind), SizeIs(left));
    EXPECT_THAT(harness.ReadAll(behind + 1, 1), SizeIs(left - 1));
  };
  for (uint64_t byte = 0; byte < 27; ++byte) {
    for (const int64_t damaged : {2, 29, 57}) {  // of the first segment, of another, of the last
      LogHarness harness(60 + byte, config);
      ASSERT_TRUE(harness.Start());
      for (int i = 0; i < 80; ++i) ASSERT_TRUE(harness.Append(1, 60));
      ASSERT_TRUE(harness.Sync());
      harness.scheduler().RunFor(std::chrono::seconds(1));
      const size_t size =
          LogHarness::Make(Offset{10}, LeaderEpoch{1}, 1, 60, Timestamp{0}).bytes.size();
      const int64_t each = 4000 / static_cast<int64_t>(size);
      const int64_t base = damaged / each * each;
      const uint64_t at = static_cast<uint64_t>(damaged - base) * size + byte;
      ASSERT_TRUE(harness.files().FlipBit(harness.Path(base), at, static_cast<int>(byte % 8)));
      SCOPED_TRACE(testing::Message() << "byte " << byte << " of batch " << damaged);
      ASSERT_NO_FATAL_FAILURE(expect_rest(harness, Offset{damaged}));
    }
  }
}

// The file was cut by somebody else, while the log was open.
TEST(LogDamage, AFileThatLostItsEndIsToldAndHoldsUpNothing) {
  for (const int64_t lost : {12, 40}) {
    DamagedLog harness(130);
    const auto file =
        harness.files().Open(harness.Path(harness.BaseOf(lost)), OpenMode::kReadWrite);
    ASSERT_TRUE((*file)->Truncate(harness.PositionOf(lost) + 70).ok());
    EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(static_cast<size_t>(lost)));
    EXPECT_THAT(harness.error()->message, HasSubstr("the file ends at"));
    EXPECT_GT(DamagedLog::NextOffset(*harness.error()), lost);
    EXPECT_LE(DamagedLog::NextOffset(*harness.error()), lost + 6);
    EXPECT_THAT(harness.ReadAll(Offset{70}), SizeIs(10));
    EXPECT_TRUE(harness.CloseCleanly() || harness.error().has_value());
  }
}

// A bad place of the disk costs what lies in it, as a wrong checksum does.
TEST(LogDamage, WhatTheDiskCannotReadCostsNoMore) {
  for (const size_t bytes_max : {size_t{1}, size_t{4096}, size_t{1} << 20}) {
    for (const int64_t bad : {0, 12, 45, 75}) {
      SCOPED_TRACE(testing::Message() << "batch " << bad << ", " << bytes_max << " bytes");
      DamagedLog harness(131, 4000);  // a batch for itself on a page of the disk, more or less
      const uint64_t page = (harness.PositionOf(bad) + 100) / 4096 * 4096;
      harness.files().SetBadPlace(harness.Path(harness.BaseOf(bad)), page, page + 1);
      const auto seen = harness.ReadAround(bytes_max);
      EXPECT_EQ(seen.count(bad), 0u);
      EXPECT_GE(seen.size(), static_cast<size_t>(kBatches - 3));
    }
  }
}

TEST(LogDamage, ADiskThatFailsOnceIsAskedAgain) {
  DamagedLog harness(132);
  harness.files().faults().cached = 0;
  for (int i = 0; i < 20; ++i) {
    harness.files().FailNext(SimOperation::kRead, ".log");
    EXPECT_THAT(harness.ReadAll(Offset{40}), SizeIs(40));
  }
  harness.files().FailNext(SimOperation::kRead, ".log");
  EXPECT_EQ((*harness.Find(40))->offset, Offset{40});
  // Also where an index has to be built again.
  for (const char* const suffix : {".index", ".log"}) {
    ASSERT_TRUE(harness.files().Remove(harness.Path(harness.BaseOf(12), "index")).ok());
    harness.files().FailNext(SimOperation::kRead, suffix);
    EXPECT_EQ((*harness.Find(12))->offset, Offset{12});
    harness.files().Disarm();
  }
}

// A length is believed only as far as the index lets it be: else a reader would be asked to take
// more than there is.
TEST(LogDamage, ADamagedLengthIsNotAskedFor) {
  for (const int64_t damaged : {0, 12, 31, 40, 75}) {
    for (int bit = 0; bit < 24; ++bit) {
      DamagedLog harness(133);
      harness.Flip(damaged, 8 + static_cast<uint64_t>(3 - bit / 8), bit % 8);
      SCOPED_TRACE(testing::Message() << "bit " << bit << " of batch " << damaged);
      for (const bool may_exceed : {false, true}) {
        const auto read = harness.ReadOnce(
            {.from = Offset{damaged}, .bytes_max = 200, .first_batch_may_exceed = may_exceed});
        ASSERT_FALSE(read.ok());
        if (read.error().reason == Reason::kFetchTooSmall) {
          // What lies up to the next entry is asked for at most.
          ASSERT_FALSE(may_exceed);
          EXPECT_EQ(read.error().details[0].first, "needed_bytes");
          EXPECT_LE(std::stoll(read.error().details[0].second), 1000);
        } else {
          EXPECT_GT(DamagedLog::NextOffset(read.error()), damaged);
        }
      }
      EXPECT_GE(harness.ReadAround(200).size(), static_cast<size_t>(kBatches - 6));
    }
  }
}

// Base offsets are outside of the checksum: one that is too high must not lead past records.
TEST(LogDamage, ASearchByTimeNeverPassesADamagedOffset) {
  for (const int64_t damaged : {0, 12, 40, 75}) {
    for (const uint64_t byte : {0u, 1u, 4u, 6u, 7u}) {
      for (int bit = 0; bit < 7; bit += 3) {
        SCOPED_TRACE(testing::Message()
                     << "byte " << byte << ", bit " << bit << " of batch " << damaged);
        DamagedLog harness(134);
        harness.Flip(damaged, byte, bit);
        const auto found = harness.Find(damaged);
        ASSERT_FALSE(found.ok());
        const int64_t next = DamagedLog::NextOffset(found.error());
        EXPECT_GT(next, damaged);
        EXPECT_LE(next, damaged + 6);
        EXPECT_THAT(harness.ReadAll(Offset{next}), SizeIs(static_cast<size_t>(kBatches - next)));
      }
    }
  }
}

TEST(LogDamage, ASearchByTimeIsNotSentOnByAnIndexThatDamageCutShort) {
  DamagedLog harness(135);
  harness.Flip(12, 40, 1);
  ASSERT_TRUE(harness.files().Remove(harness.Path(0, "index")).ok());
  EXPECT_EQ((*harness.Find(5))->offset, Offset{5});
  for (const int64_t wanted : {12, 20, 30}) {
    const auto found = harness.Find(wanted);
    ASSERT_FALSE(found.ok()) << wanted;
    EXPECT_EQ(DamagedLog::NextOffset(found.error()), 13);
  }
  EXPECT_EQ((*harness.Find(40))->offset, Offset{40});
  EXPECT_FALSE(*harness.files().Exists(harness.Path(0, "index")));
  EXPECT_EQ(harness.ReadAround(4096).count(12), 0u);
  // Of a segment that begins with it the index knows nothing at all.
  DamagedLog other(137);
  other.Flip(0, 40, 1);
  ASSERT_TRUE(other.files().Remove(other.Path(0, "index")).ok());
  EXPECT_FALSE(other.Find(5).ok());
  EXPECT_FALSE(other.Find(0).ok());
}

// A read that is on its way while the log is cut is not judged by what the log is afterwards.
TEST(LogDamage, AReadBesideACutIsAnsweredFromWhatIsThereThen) {
  for (uint64_t seed = 200; seed < 300; ++seed) {
    DamagedLog harness(seed);
    harness.files().faults().cached = 0;
    std::vector<Result<LogRead>> reads;
    bool cut = false;
    const bool came = harness.loop().RunUntil(
        [&] {
          for (int64_t from = 40; from < kBatches; from += 5) {
            ReadSpec spec{.from = Offset{from}, .bytes_max = 300};
            harness.log().Read(spec,
                               [&](Result<LogRead> read) { reads.push_back(std::move(read)); });
          }
          harness.log().TruncateTo(Offset{62}, [&](Result<void> done) { cut = done.ok(); });
        },
        [&] { return cut && reads.size() == 8; }, std::chrono::minutes(1));
    ASSERT_TRUE(came) << seed;
    for (const auto& read : reads) {
      EXPECT_TRUE(read.ok() || read.error().reason == Reason::kOffsetOutOfRange) << read.error();
    }
    for (int i = 0; i < 18; ++i) ASSERT_TRUE(harness.Append(1, 70));
    EXPECT_THAT(harness.ReadAll(Offset{0}, 300), SizeIs(kBatches)) << seed;
  }
}

// The epoch is outside of the checksum. It is not the sound batch behind a damaged one that a
// search blames, and damage to the last batch of a log can be passed, too.
TEST(LogDamage, ASearchByTimeBlamesNoSoundBatch) {
  DamagedLog harness(140);
  harness.Flip(12, 15, 4);
  EXPECT_EQ((*harness.Find(13))->offset, Offset{13});
  EXPECT_EQ((*harness.Find(12))->leader_epoch, LeaderEpoch{1});
  harness.Flip(kBatches - 1, 40, 1);
  const auto found = harness.Find(kBatches - 1);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(DamagedLog::NextOffset(found.error()), kBatches);
}

// Where records were deleted, or are not to be found yet.
TEST(LogDamage, ASearchByTimeLooksAtNothingElse) {
  DamagedLog harness(138);
  harness.Flip(12, 40, 1);
  harness.Flip(70, 40, 1);
  EXPECT_FALSE(harness.Find(12).ok());
  ASSERT_TRUE(
      harness
          .Await<void>([&](auto done) { harness.log().DeleteBefore(Offset{13}, std::move(done)); })
          .ok());
  EXPECT_EQ((*harness.Find(12))->offset, Offset{13});
  const auto below = [&](Offset limit) {
    return harness.Await<std::optional<TimedOffset>>(
        [&](auto done) { harness.log().FindByTime(kFirstTime + 1000, limit, std::move(done)); });
  };
  const auto none = below(Offset{70});
  EXPECT_TRUE(none.ok() && !none->has_value());
  const auto latest = harness.Await<std::optional<TimedOffset>>(
      [&](auto done) { harness.log().FindMaxTimestamp(Offset{70}, std::move(done)); });
  ASSERT_TRUE(latest.ok());
  EXPECT_EQ((*latest)->offset, Offset{69});
}

// A reader that asks for a byte, far from what the index knows.
TEST(LogDamage, ALongWayToABatchIsNoDeepOne) {
  LogConfig config;
  config.index_interval_bytes = 1 << 30;
  LogHarness harness(139, config);
  harness.files().faults().cached = 1;
  ASSERT_TRUE(harness.Start());
  constexpr int kCount = 20'000;
  for (int i = 0; i < kCount; ++i) ASSERT_TRUE(harness.Append(1, 10));
  ASSERT_TRUE(harness.Sync());
  EXPECT_THAT(harness.ReadAll(Offset{kCount - 2}, 1), SizeIs(2));
}

TEST(LogDamage, WhatLiesBehindACutMayBeDamaged) {
  DamagedLog harness(136);
  harness.Flip(70, 40, 1);
  EXPECT_TRUE(
      harness.Await<void>([&](auto done) { harness.log().TruncateTo(Offset{70}, std::move(done)); })
          .ok());
  EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(70));
}

}  // namespace
}  // namespace gregor
