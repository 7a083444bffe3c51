#include "storage/compaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/crc32c.h"
#include "storage/log_files.h"
#include "storage/producer_state.h"
#include "storage/segment_cursor.h"
#include "tests/storage/log_harness.h"

namespace gregor {
namespace {

using testing::SizeIs;

LogConfig Compacted() {
  LogConfig config;
  config.segment_bytes = 1000;
  config.index_interval_bytes = 200;
  config.cleanup_delete = false;
  config.cleanup_compact = true;
  config.min_cleanable_dirty_ratio = 0;
  return config;
}

// A compacted log, and what was ever appended to it.
class CompactedLog : public LogHarness {
 public:
  explicit CompactedLog(uint64_t seed, LogConfig config = Compacted())
      : LogHarness(seed, config), random_(seed + 1000) {}

  using Value = std::optional<std::string>;

  bool Put(const std::string& key, Value value, BatchBuilder::Options options = {}) {
    return PutAll({{key, std::move(value)}}, options);
  }
  bool PutAll(const std::vector<std::pair<std::string, Value>>& records,
              BatchBuilder::Options options = {}) {
    BatchBuilder builder(options);
    const Offset base = log().ends().log_end;
    const Timestamp now = scheduler().clock().WallNow();
    for (const auto& [key, value] : records) {
      NewRecord record;
      record.key = key;
      if (value.has_value()) record.value = *value;
      record.timestamp = now;
      builder.Add(record);
    }
    if (!LogHarness::Append(builder)) return false;
    all_.resize(static_cast<size_t>(base.value));  // what was lost before is not expected any more
    for (const auto& [key, value] : records) {
      const Offset offset{static_cast<int64_t>(all_.size())};
      all_.push_back({offset, now, key, value});
    }
    return true;
  }
  // Some records of `keys` keys in batches of up to four.
  bool PutSome(int batches, int keys) {
    for (int i = 0; i < batches; ++i) {
      std::vector<std::pair<std::string, Value>> records;
      for (uint64_t n = 1 + random_.Below(4); n > 0; --n) {
        const std::string key = "key" + std::to_string(random_.Below(static_cast<uint64_t>(keys)));
        Value value = std::string(20 + random_.Below(60), 'v') + std::to_string(all_.size());
        if (random_.Chance(0.1)) value.reset();
        records.emplace_back(key, value);
      }
      if (!PutAll(records)) return false;
    }
    return true;
  }
  // Until nothing happens any more.
  void Settle() { scheduler().RunFor(std::chrono::seconds(5)); }

  // Reading may begin anywhere: every record is one that was appended, at its offset, and the last
  // one of each key is there (unless it is a tombstone).
  void Check() {
    const int64_t end = log().ends().log_end.value;
    ASSERT_LE(static_cast<size_t>(end), all_.size());
    CheckFrom(Offset{0}, 4096);
    CheckFrom(Offset{static_cast<int64_t>(random_.Below(static_cast<uint64_t>(end) + 1))},
              1 + random_.Below(500));
  }
  void CheckFrom(Offset from, size_t bytes_max) {
    const Offset end = log().ends().log_end;
    const std::vector<Record> records = ReadRecords(from, bytes_max);
    Offset last = from - 1;
    std::set<int64_t> found;
    for (const Record& record : records) {
      ASSERT_GT(record.offset, last);
      ASSERT_LT(record.offset, end);
      last = record.offset;
      const Record& appended = all_[static_cast<size_t>(record.offset.value)];
      ASSERT_TRUE(record == appended) << record.offset;
      found.insert(record.offset.value);
    }
    std::map<std::string, Offset> latest;
    for (int64_t i = 0; i < end.value; ++i) latest[*all_[static_cast<size_t>(i)].key] = Offset{i};
    for (const auto& [key, offset] : latest) {
      const bool must_be_there =
          offset >= from && all_[static_cast<size_t>(offset.value)].value.has_value();
      ASSERT_TRUE(!must_be_there || found.contains(offset.value)) << key << " at " << offset;
      // A tombstone that went took all older records of its key along.
      if (all_[static_cast<size_t>(offset.value)].value.has_value() || found.contains(offset.value))
        continue;
      for (const int64_t other : found)
        ASSERT_NE(all_[static_cast<size_t>(other)].key, key) << "at " << other;
    }
  }
  // No key has two records in front of the active segment.
  void ExpectNothingSuperseded(Offset below) {
    std::map<std::string, Offset> seen;
    for (const Record& record : ReadRecords(Offset{0})) {
      if (record.offset >= below) break;
      EXPECT_TRUE(seen.emplace(*record.key, record.offset).second)
          << *record.key << " at " << record.offset << " and at " << seen[*record.key];
    }
  }
  Offset ActiveBase() {
    Offset base{0};
    const auto entries = files().List("/data/" + id().ToString());
    for (const DirectoryEntry& entry : *entries) {
      const auto name = SegmentName::Parse(entry.name, "log");
      if (name.has_value()) base = std::max(base, name->base);
    }
    return base;
  }
  // What was written anew and never took a place.
  std::vector<std::string> Unfinished() {
    std::vector<std::string> names;
    const auto entries = files().List("/data/" + id().ToString());
    for (const DirectoryEntry& entry : *entries) {
      if (entry.name.ends_with(kUnfinishedSuffix)) names.push_back(entry.name);
    }
    return names;
  }
  uint64_t Rounds() { return directory().compactor().stats().rounds; }
  const std::vector<Record>& all() const { return all_; }

 private:
  Random random_;
  std::vector<Record> all_;
};

TEST(Compaction, KeepsTheLatestRecordOfEachKeyAtItsOffset) {
  CompactedLog log(1);
  ASSERT_TRUE(log.Start());
  ASSERT_TRUE(log.PutSome(200, 12));
  ASSERT_TRUE(log.Sync());
  const uint64_t before = log.log().size_bytes();
  const Offset end = log.log().ends().log_end;
  log.Settle();
  log.Check();
  EXPECT_LT(log.log().size_bytes(), before / 4);
  EXPECT_EQ(log.log().ends().log_end, end);
  log.ExpectNothingSuperseded(log.ActiveBase());
  // And it goes on, over restarts of either kind.
  for (const bool clean : {true, false, true}) {
    ASSERT_TRUE(log.PutSome(100, 12));
    ASSERT_TRUE(log.Sync());
    if (clean) {
      ASSERT_TRUE(log.CloseCleanly()) << *log.error();
    } else {
      log.LosePower();
    }
    ASSERT_TRUE(log.Start()) << *log.error();
    log.Check();
    ASSERT_TRUE(log.PutSome(20, 12));
    log.Settle();
    log.Check();
    log.ExpectNothingSuperseded(log.ActiveBase());
  }
  EXPECT_EQ(log.directory().compactor().stats().failures, 0u);
}

TEST(Compaction, WorksOnEveryCodec) {
  for (const Codec codec :
       {Codec::kNone, Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    CompactedLog log(2);
    ASSERT_TRUE(log.Start());
    BatchBuilder::Options options;
    options.codec = codec;
    for (int i = 0; i < 100; ++i) {
      const std::string n = std::to_string(i);
      ASSERT_TRUE(log.PutAll({{"a", n},
                              {"b" + std::to_string(i % 3), std::string(100, 'x') + n},
                              {"c" + std::to_string(i % 2), std::nullopt},
                              {"once" + n, n}},
                             options));
    }
    log.Settle();
    log.Check();
    log.ExpectNothingSuperseded(log.ActiveBase());
    EXPECT_GT(log.Rounds(), 0u);
  }
}

TEST(Compaction, WaitsForTheDirtyRatio) {
  LogConfig config = Compacted();
  config.min_cleanable_dirty_ratio = 0.8;
  CompactedLog log(3, config);
  ASSERT_TRUE(log.Start());
  ASSERT_TRUE(log.PutSome(100, 500));
  log.Settle();
  EXPECT_GE(log.Rounds(), 1u);  // all of it was dirty
  const uint64_t rounds = log.Rounds();
  ASSERT_TRUE(log.PutSome(30, 500));
  log.Settle();
  EXPECT_EQ(log.Rounds(), rounds);
  config.min_cleanable_dirty_ratio = 0.01;
  log.loop().Run([&] { log.log().SetConfig(config); });
  log.Settle();
  EXPECT_EQ(log.Rounds(), rounds + 1);
  log.Check();
}

TEST(Compaction, TombstonesGoAfterTheirRetentionAndTakeTheirKeyAlong) {
  LogConfig config = Compacted();
  config.delete_retention_ms = 60000;
  CompactedLog log(4, config);
  ASSERT_TRUE(log.Start());
  ASSERT_TRUE(log.Put("gone", "value"));
  ASSERT_TRUE(log.PutSome(20, 5));
  ASSERT_TRUE(log.Put("gone", std::nullopt));
  ASSERT_TRUE(log.PutSome(20, 5));
  log.Settle();
  const auto of_gone = [&] {
    std::vector<CompactedLog::Record> records;
    for (auto& record : log.ReadRecords(Offset{0})) {
      if (record.key == "gone") records.push_back(record);
    }
    return records;
  };
  ASSERT_THAT(of_gone(), SizeIs(1));
  EXPECT_FALSE(of_gone()[0].value.has_value());
  // Another round before the time: it stays. The horizon was set once.
  log.scheduler().RunFor(std::chrono::seconds(40));
  ASSERT_TRUE(log.PutSome(20, 5));
  log.Settle();
  ASSERT_THAT(of_gone(), SizeIs(1));
  log.scheduler().RunFor(std::chrono::seconds(25));
  ASSERT_TRUE(log.PutSome(20, 5));
  log.Settle();
  EXPECT_THAT(of_gone(), SizeIs(0));
  log.Check();
}

TEST(Compaction, LeavesYoungRecordsAloneAndOldOnesNotForLong) {
  LogConfig config = Compacted();
  config.min_compaction_lag_ms = 60000;
  CompactedLog log(5, config);
  ASSERT_TRUE(log.Start());
  ASSERT_TRUE(log.PutSome(60, 5));
  log.Settle();
  EXPECT_EQ(log.Rounds(), 0u);
  log.scheduler().RunFor(std::chrono::seconds(61));
  log.loop().Run([&] { log.log().ApplyRetention(log.log().ends().log_end); });
  log.Settle();
  EXPECT_GT(log.Rounds(), 0u);
  log.Check();

  config.min_compaction_lag_ms = 0;
  config.min_cleanable_dirty_ratio = 1;
  config.max_compaction_lag_ms = 120000;
  config.segment_bytes = 1 << 20;
  CompactedLog late(6, config);
  ASSERT_TRUE(late.Start());
  ASSERT_TRUE(late.PutSome(60, 5));  // all of it in the active segment
  ASSERT_TRUE(late.Sync());
  late.Settle();
  late.loop().Run([&] { late.log().ApplyRetention(late.log().ends().log_end); });
  late.Settle();
  EXPECT_EQ(late.log().segment_count(), 1u);
  late.scheduler().RunFor(std::chrono::seconds(121));
  late.loop().Run([&] { late.log().ApplyRetention(late.log().ends().log_end); });
  late.Settle();
  EXPECT_EQ(late.Rounds(), 1u);
  late.Check();
  late.ExpectNothingSuperseded(late.log().ends().log_end);
  for (const bool clean : {false, true}) {
    if (clean) {
      ASSERT_TRUE(late.CloseCleanly());
    } else {
      late.LosePower();
    }
    ASSERT_TRUE(late.Start()) << *late.error();
    late.Check();
  }
  ASSERT_TRUE(late.PutSome(10, 5));
  ASSERT_TRUE(late.Sync());
  late.Check();
}

TEST(Compaction, PassesNothingThatIsNotCommitted) {
  CompactedLog log(7);
  Offset committed{0};
  log.stable_end = [&] { return committed; };
  ASSERT_TRUE(log.Start());
  ASSERT_TRUE(log.PutSome(100, 3));
  log.Settle();
  EXPECT_EQ(log.Rounds(), 0u);
  committed = Offset{60};
  log.loop().Run([&] { log.log().ApplyRetention(committed); });
  log.Settle();
  EXPECT_EQ(log.Rounds(), 1u);
  const auto records = log.ReadRecords(committed);
  EXPECT_EQ(static_cast<int64_t>(records.size()), log.log().ends().log_end - committed);
  log.Check();
}

TEST(Compaction, NeedsSeveralRoundsWhereTheKeysDoNotFit) {
  CompactedLog log(8);
  log.directory_options().compaction.memory_bytes = 1;  // the least that there is: 64 slots
  ASSERT_TRUE(log.Start());
  ASSERT_TRUE(log.PutSome(400, 300));
  log.scheduler().RunFor(std::chrono::minutes(1));
  EXPECT_GT(log.Rounds(), 4u);
  log.Check();
  log.ExpectNothingSuperseded(log.ActiveBase());
}

TEST(Compaction, KeepsEmptiedBatchesOfProducersThatMayRetry) {
  CompactedLog log(9);
  ASSERT_TRUE(log.Start());
  const auto put = [&](int64_t producer, int32_t sequence, const std::string& key) {
    BatchBuilder::Options options;
    options.producer_id = ProducerId{producer};
    options.producer_epoch = ProducerEpoch{0};
    options.base_sequence = Sequence{sequence};
    return log.Put(key, "x", options);
  };
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(put(5, i, "k"));
  ASSERT_TRUE(put(kRequestIdRange + 77, 1234, "k"));
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(log.Put("k", std::string(100, 'y')));
  log.Settle();
  log.Check();
  ASSERT_GT(log.Rounds(), 0u);
  EXPECT_LT(log.ReadRecords(Offset{0}).size(), 12u);
  // Without a checkpoint the state comes from the batches.
  log.Kill();
  ASSERT_TRUE(log.files().Remove("/data/" + log.id().ToString() + "/checkpoint").ok());
  ASSERT_TRUE(log.Start()) << *log.error();
  const auto check = [&](int64_t producer, int32_t sequence) {
    BatchHeader header;
    header.producer_id = ProducerId{producer};
    header.producer_epoch = ProducerEpoch{0};
    header.base_sequence = Sequence{sequence};
    return log.log().producers().Check(header);
  };
  for (int i = 3; i < 8; ++i) {
    const auto known = check(5, i);
    ASSERT_TRUE(known.ok() && known->has_value()) << i;
    EXPECT_EQ((*known)->base_offset, Offset{i});
  }
  EXPECT_FALSE(check(5, 9).ok());  // a gap
  EXPECT_TRUE(check(kRequestIdRange + 77, 1234)->has_value());
  log.Check();
}

TEST(Compaction, LeavesControlAndTransactionalBatchesAsTheyAre) {
  CompactedLog log(10);
  ASSERT_TRUE(log.Start());
  BatchBuilder::Options transactional;
  transactional.attributes = BatchHeader::kTransactionalBit;
  transactional.producer_id = ProducerId{3};
  transactional.producer_epoch = ProducerEpoch{0};
  transactional.base_sequence = Sequence{0};
  ASSERT_TRUE(log.Put("k", "in a transaction", transactional));
  BatchBuilder::Options marker = transactional;
  marker.attributes |= BatchHeader::kControlBit;
  marker.base_sequence = kNoSequence;
  ASSERT_TRUE(log.Put(std::string("\0\0\0\1", 4), "", marker));
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(log.Put("k", std::string(100, 'z')));
  log.Settle();
  ASSERT_GT(log.Rounds(), 0u);
  const auto records = log.ReadRecords(Offset{0});
  ASSERT_GE(records.size(), 2u);
  EXPECT_EQ(records[0].offset, Offset{0});
  EXPECT_EQ(records[0].value, "in a transaction");
  EXPECT_LT(records.size(), 12u);
}

TEST(Compaction, KeepsWhatItCannotRead) {
  CompactedLog log(11);
  ASSERT_TRUE(log.Start());
  ASSERT_TRUE(log.Put("k", "old"));
  log.loop().Run([&] {
    BatchBuilder builder;
    NewRecord record;
    record.key = "k";
    builder.Add(record);
    RecordBatch batch = builder.Build();
    // As compressed as it claims to be it is not.
    batch.header.attributes = static_cast<int16_t>(Codec::kZstd);
    std::string bytes = batch.bytes.ToString();
    auto* const data = reinterpret_cast<uint8_t*>(bytes.data());
    batch.header.Encode(data);
    batch.header.crc = Crc32c(0, {data + kBatchCrcStart, bytes.size() - kBatchCrcStart});
    batch.header.Encode(data);
    batch.bytes = Bytes(Slice::Own(std::move(bytes)));
    StampBatch(batch, log.log().ends().log_end, LeaderEpoch{log.epoch()},
               TimestampType::kCreateTime, Timestamp{0});
    ASSERT_TRUE(log.log().Append(std::move(batch)).ok());
  });
  for (int i = 0; i < 40; ++i) {
    BatchBuilder builder;
    NewRecord record;
    record.key = "k";
    const std::string value(100, 'z');
    record.value = value;
    builder.Add(record);
    ASSERT_TRUE(log.LogHarness::Append(builder));
  }
  log.Settle();
  EXPECT_GT(log.Rounds(), 0u);
  EXPECT_EQ(log.directory().compactor().stats().failures, 0u);
  const auto read = log.Await<LogRead>([&](auto done) {
    ReadSpec spec;
    spec.from = Offset{1};
    log.log().Read(spec, std::move(done));
  });
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->base_offset, Offset{1});  // still there
}

// Appends, is compacted, appends more: until the disk stops.
void FillAndCompact(CompactedLog& log) {
  if (!log.Start()) return;
  for (int round = 0; round < 3; ++round) {
    if (!log.PutSome(12, 4) || !log.Sync()) return;
    log.scheduler().RunFor(std::chrono::milliseconds(100));
  }
  log.Settle();
}

TEST(Compaction, IsAllOrNothingWhereverItIsCutOff) {
  CompactedLog measured(20);
  FillAndCompact(measured);
  measured.Check();
  ASSERT_GT(measured.Rounds(), 2u);
  const uint64_t steps = measured.files().mutation_count();
  ASSERT_GT(steps, 150u);
  const auto survivals = {SimSurvival::kNothing, SimSurvival::kEverything, SimSurvival::kPrefix,
                          SimSurvival::kSectors};
  for (uint64_t step = 10; step <= steps; ++step) {
    for (const SimSurvival survival : survivals) {
      SCOPED_TRACE(testing::Message()
                   << "step " << step << " survival " << static_cast<int>(survival));
      CompactedLog log(20);
      log.files().FailPowerAt(step);
      FillAndCompact(log);
      const Offset promised = log.synced();
      log.LosePower(survival);
      ASSERT_TRUE(log.Start()) << *log.error();
      ASSERT_GE(log.log().ends().log_end, promised);
      ASSERT_NO_FATAL_FAILURE(log.Check());
      // What was left half done does no harm later.
      ASSERT_TRUE(log.PutSome(10, 4));
      ASSERT_TRUE(log.Sync());
      log.Settle();
      ASSERT_NO_FATAL_FAILURE(log.Check());
      log.LosePower(survival);
      ASSERT_TRUE(log.Start()) << *log.error();
      ASSERT_NO_FATAL_FAILURE(log.Check());
    }
  }
}

TEST(Compaction, NeedsNoCheckpointToKnowWhatItReplaced) {
  CompactedLog measured(21);
  FillAndCompact(measured);
  const uint64_t steps = measured.files().mutation_count();
  for (uint64_t step = 10; step <= steps; ++step) {
    SCOPED_TRACE(step);
    CompactedLog log(21);
    log.files().FailPowerAt(step);
    FillAndCompact(log);
    const Offset promised = log.synced();
    log.LosePower();
    const std::string checkpoint = "/data/" + log.id().ToString() + "/checkpoint";
    ASSERT_TRUE(log.files().Remove(checkpoint).ok());
    ASSERT_TRUE(log.Start()) << *log.error();
    ASSERT_GE(log.log().ends().log_end, promised);
    ASSERT_NO_FATAL_FAILURE(log.Check());
  }
}

TEST(Compaction, GivesWayToTruncationAtAnyTime) {
  for (int ms = 0; ms < 60; ++ms) {
    SCOPED_TRACE(ms);
    CompactedLog log(30 + static_cast<uint64_t>(ms));
    ASSERT_TRUE(log.Start());
    ASSERT_TRUE(log.PutSome(40, 4));
    ASSERT_TRUE(log.Sync());
    log.scheduler().RunFor(std::chrono::milliseconds(ms));
    const Offset cut = log.log().ends().log_end - 5;
    ASSERT_TRUE(
        log.Await<void>([&](auto done) { log.log().TruncateTo(cut, std::move(done)); }).ok());
    const Offset end = log.log().ends().log_end;
    ASSERT_LE(end, cut);
    ASSERT_GT(end, cut - 12);
    ASSERT_TRUE(log.PutSome(20, 4));
    ASSERT_TRUE(log.Sync());
    log.Settle();
    EXPECT_THAT(log.Unfinished(), testing::IsEmpty());
    ASSERT_NO_FATAL_FAILURE(log.Check());
    // Also into what was compacted.
    const Offset deep{log.log().ends().log_end.value / 2};
    ASSERT_TRUE(
        log.Await<void>([&](auto done) { log.log().TruncateTo(deep, std::move(done)); }).ok());
    ASSERT_LE(log.log().ends().log_end, deep);
    log.LosePower();
    ASSERT_TRUE(log.Start()) << *log.error();
    ASSERT_LE(log.log().ends().log_end, deep);
    ASSERT_TRUE(log.PutSome(30, 4));
    log.Settle();
    ASSERT_NO_FATAL_FAILURE(log.Check());
  }
}

TEST(Compaction, GivesWayToDeletionAndToAChangeOfPolicy) {
  for (int ms = 0; ms < 40; ++ms) {
    SCOPED_TRACE(ms);
    LogConfig config = Compacted();
    config.cleanup_delete = true;
    config.file_delete_delay_ms = ms % 2 == 0 ? 0 : 1000;
    CompactedLog log(90 + static_cast<uint64_t>(ms), config);
    ASSERT_TRUE(log.Start());
    ASSERT_TRUE(log.PutSome(60, 8));
    ASSERT_TRUE(log.Sync());
    log.scheduler().RunFor(std::chrono::milliseconds(ms));
    const Offset start{log.log().ends().log_end.value / 2};
    ASSERT_TRUE(
        log.Await<void>([&](auto done) { log.log().DeleteBefore(start, std::move(done)); }).ok());
    log.Settle();
    EXPECT_EQ(log.log().ends().log_start, start);
    EXPECT_THAT(log.Unfinished(), testing::IsEmpty());
    ASSERT_NO_FATAL_FAILURE(log.CheckFrom(start, 500));
    const uint64_t rounds = log.Rounds();
    config.cleanup_compact = false;
    log.loop().Run([&] { log.log().SetConfig(config); });
    ASSERT_TRUE(log.PutSome(60, 8));
    log.Settle();
    EXPECT_EQ(log.Rounds(), rounds);
    log.LosePower();
    ASSERT_TRUE(log.Start()) << *log.error();
    EXPECT_EQ(log.log().ends().log_start, start);
    ASSERT_NO_FATAL_FAILURE(log.CheckFrom(start, 500));
    EXPECT_EQ(log.directory().compactor().stats().failures, 0u);
  }
}

TEST(Compaction, GoesOnAfterADeletionThatBeganBeforeIt) {
  for (int i = 0; i < 60; ++i) {
    SCOPED_TRACE(i);
    LogConfig config = Compacted();
    config.cleanup_delete = true;
    config.cleanup_compact = false;
    config.file_delete_delay_ms = 0;
    CompactedLog log(150 + static_cast<uint64_t>(i), config);
    ASSERT_TRUE(log.Start());
    ASSERT_TRUE(log.PutSome(60, 8));
    ASSERT_TRUE(log.Sync());
    const Offset start{log.log().ends().log_end.value / 2};
    config.cleanup_compact = true;
    // The log begins later at once; the files go when that is durable.
    log.loop().Run([&] {
      log.log().DeleteBefore(start, [](Result<void> deleted) { EXPECT_TRUE(deleted.ok()); });
      log.log().SetConfig(config);
    });
    log.Settle();
    ASSERT_TRUE(log.PutSome(60, 8));
    log.Settle();
    EXPECT_GT(log.Rounds(), 0u);
    EXPECT_EQ(log.directory().compactor().stats().failures, 0u);
    EXPECT_EQ(log.log().ends().log_start, start);
    ASSERT_NO_FATAL_FAILURE(log.CheckFrom(start, 500));
  }
}

TEST(Compaction, StopsAtDamageAndLeavesIt) {
  CompactedLog log(12);
  ASSERT_TRUE(log.Start());
  log.disk().Hang();
  ASSERT_TRUE(log.PutSome(50, 4));
  log.disk().Resume();
  ASSERT_TRUE(log.Sync());
  ASSERT_TRUE(log.files().FlipBit(log.Path(0), 300, 2));
  log.Settle();
  EXPECT_EQ(log.Rounds(), 0u);
  EXPECT_EQ(log.directory().compactor().stats().failures, 1u);
  EXPECT_FALSE(log.log().failure().has_value());  // the log itself goes on
  ASSERT_TRUE(log.files().FlipBit(log.Path(0), 300, 2));
  log.Check();
}

// A base offset is outside of the checksum. Whatever it says, no round passes it on.
TEST(Compaction, StopsAtAnOffsetThatDoesNotFit) {
  for (uint64_t batch = 0; batch < 6; ++batch) {
    SCOPED_TRACE(batch);
    CompactedLog log(40 + batch);
    ASSERT_TRUE(log.Start());
    log.disk().Hang();
    ASSERT_TRUE(log.PutSome(50, 4));
    log.disk().Resume();
    ASSERT_TRUE(log.Sync());
    // The last byte of the base offset of one of the first segment's batches.
    uint64_t position = 0;
    const auto file = log.files().Open(log.Path(0), OpenMode::kRead);
    ASSERT_TRUE(file.ok());
    std::vector<uint64_t> positions;
    SegmentCursor cursor(**file, {.end = 1000});
    while (true) {
      position = cursor.position();
      const auto next = cursor.Next();
      if (!next.ok() || !next->has_value()) break;
      positions.push_back(position);
    }
    ASSERT_GE(positions.size(), 2u);
    position = positions[positions.size() - 1 - batch % positions.size()] + 7;
    ASSERT_TRUE(log.files().FlipBit(log.Path(0), position, 6));
    log.Settle();
    EXPECT_EQ(log.Rounds(), 0u);
    EXPECT_EQ(log.directory().compactor().stats().failures, 1u);
    ASSERT_TRUE(log.files().FlipBit(log.Path(0), position, 6));
    ASSERT_NO_FATAL_FAILURE(log.Check());
  }
}

TEST(Compaction, KeepsToItsRate) {
  LogConfig config = Compacted();
  config.segment_bytes = 1 << 20;
  CompactedLog log(13, config);
  log.directory_options().compaction.bytes_per_second = 1 << 20;
  ASSERT_TRUE(log.Start());
  for (int i = 0; i < 700; ++i) {
    ASSERT_TRUE(log.Put("key" + std::to_string(i % 50), std::string(10000, 'r')));
    ASSERT_TRUE(i % 50 > 0 || log.Sync());
  }
  const MonotonicTime start = log.scheduler().clock().Now();
  for (int second = 1; second <= 15; ++second) {
    log.scheduler().RunFor(std::chrono::seconds(1));
    const std::chrono::duration<double> passed = log.scheduler().clock().Now() - start;
    // A step or two may be ahead.
    ASSERT_LE(static_cast<double>(log.directory().compactor().stats().bytes),
              (passed.count() + 4) * (1 << 20));
    ASSERT_TRUE(log.Put("meanwhile", "appended"));
    ASSERT_TRUE(log.Sync());
  }
  EXPECT_GT(log.directory().compactor().stats().bytes, 10u << 20);
  log.Check();
}

TEST(Compaction, IsPutOffWhereTheDiskIsFull) {
  CompactedLog log(14);
  ASSERT_TRUE(log.Start());
  ASSERT_TRUE(log.PutSome(100, 30));
  ASSERT_TRUE(log.Sync());
  log.files().faults().capacity_bytes = 1;
  log.Settle();
  EXPECT_FALSE(log.log().failure().has_value());
  log.Check();
  log.files().faults().capacity_bytes = uint64_t{1} << 40;
  log.loop().Run([&] { log.log().ApplyRetention(log.log().ends().log_end); });
  log.Settle();
  EXPECT_GT(log.Rounds(), 0u);
  log.Check();
  log.LosePower();
  ASSERT_TRUE(log.Start()) << *log.error();
  log.Check();
}

TEST(Compaction, LeavesTheReserveOfTheDiskToOthers) {
  CompactedLog log(15);
  constexpr uint64_t kReserve = 100'000;
  log.SetReserve(kReserve);
  Offset stable{0};
  log.stable_end = [&] { return stable; };
  ASSERT_TRUE(log.Start());
  ASSERT_TRUE(log.PutSome(100, 30));
  ASSERT_TRUE(log.Sync());
  log.Settle();
  stable = log.log().ends().log_end;
  // A little more than the reserve is left: less than what a group of segments needs.
  log.files().faults().capacity_bytes = log.files().tree().UsedBytes() + kReserve + 300;
  log.scheduler().RunFor(std::chrono::seconds(60));
  log.loop().Run([&] { log.log().ApplyRetention(log.log().ends().log_end); });
  log.Settle();
  EXPECT_EQ(log.Rounds(), 0u);
  EXPECT_GE(log.directory().compactor().stats().failures, 1u);
  EXPECT_GE(log.files().Space("/data")->free_bytes, kReserve);
  EXPECT_FALSE(log.log().failure().has_value());
  log.Check();
  log.files().faults().capacity_bytes = uint64_t{1} << 40;
  log.scheduler().RunFor(std::chrono::seconds(60));
  log.loop().Run([&] { log.log().ApplyRetention(log.log().ends().log_end); });
  log.Settle();
  EXPECT_GT(log.Rounds(), 0u);
  log.Check();
}

}  // namespace
}  // namespace gregor
