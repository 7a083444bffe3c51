#include "tests/sim/checkers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gregor {
namespace {

using testing::HasSubstr;

RecordBatch MakeBatch(int64_t base, int count, int32_t epoch, int64_t producer = -1,
                      int32_t sequence = -1) {
  BatchBuilder::Options options;
  options.producer_id = ProducerId{producer};
  options.producer_epoch = producer < 0 ? kNoProducerEpoch : ProducerEpoch{0};
  options.base_sequence = Sequence{sequence};
  BatchBuilder builder(options);
  for (int i = 0; i < count; ++i) {
    NewRecord record;
    const std::string value = std::to_string(base + i) + "/" + std::to_string(epoch);
    record.value = value;
    record.timestamp = Timestamp{1000 + base + i};
    builder.Add(record);
  }
  RecordBatch batch = builder.Build();
  StampBatch(batch, Offset{base}, LeaderEpoch{epoch}, TimestampType::kCreateTime, Timestamp{0});
  return batch;
}

LogEnds Ends(int64_t start, int64_t synced, int64_t written, int64_t end) {
  return {Offset{start}, Offset{synced}, Offset{written}, Offset{end}};
}

// A log with batches of two records each, all of them synced, which a test then harms in one way:
// what a checker is worth is what it catches.
class CheckersTest : public testing::Test {
 protected:
  CheckersTest() { checker_.OnOpened(Ends(0, 0, 0, 0), &nothing_); }

  void Append(int64_t base, int count, int32_t epoch, int64_t producer = -1,
              int32_t sequence = -1) {
    const RecordBatch batch = MakeBatch(base, count, epoch, producer, sequence);
    std::vector<KnownRecord> records;
    for (int i = 0; i < count; ++i) records.push_back({.time = 1000 + base + i});
    checker_.OnAppended(batch.header, records);
  }
  void Fill(int batches, int32_t epoch = 1) {
    for (int i = 0; i < batches; ++i) {
      Append(2 * i, 2, epoch);
      checker_.OnEnds(Ends(0, 2 * i, 2 * i, 2 * i + 2));
      checker_.OnEnds(Ends(0, 2 * i + 2, 2 * i + 2, 2 * i + 2));
    }
    EXPECT_FALSE(verdict_.failed()) << verdict_.what();
  }
  void Reopen(StopKind stop, const LogEnds& ends, int64_t mark) {
    checker_.OnStopped(stop);
    const SyncedMark journaled{Offset{0}, Offset{mark}, Offset{0}, 100, 0};
    checker_.OnOpened(ends, &journaled);
  }
  void Read(int64_t from, const RecordBatch& batch, int64_t limit = 1000) {
    LogRead read;
    read.batches = batch.bytes;
    read.base_offset = batch.header.base_offset;
    read.next_offset = batch.header.next_offset();
    checker_.OnRead(Offset{from}, Offset{limit}, read, checker_.cut_count());
  }
  void ExpectFailure(const std::string& part) { EXPECT_THAT(verdict_.what(), HasSubstr(part)); }
  void ExpectNone() { EXPECT_EQ(verdict_.what(), ""); }

  Verdict verdict_;
  SyncedMark nothing_;
  LogChecker checker_{"log", Durability::kSynced, verdict_};
};

TEST_F(CheckersTest, AGoodHistoryPasses) {
  Fill(5);
  Read(4, MakeBatch(4, 2, 1));
  Reopen(StopKind::kPowerLoss, Ends(0, 10, 10, 10), 8);
  Append(10, 1, 2);
  checker_.OnEnds(Ends(0, 10, 11, 11));
  Reopen(StopKind::kPowerLoss, Ends(0, 10, 10, 10), 10);
  Append(10, 3, 3);
  ExpectNone();
}

TEST_F(CheckersTest, AcknowledgedRecordsAreMissedAfterAPowerLoss) {
  Fill(5);
  Reopen(StopKind::kPowerLoss, Ends(0, 8, 8, 8), 8);
  ExpectFailure("acknowledged up to 10");
}

TEST_F(CheckersTest, WrittenRecordsMayGoWithThePowerAndNotWithTheProcess) {
  Fill(2);
  Append(4, 2, 1);
  checker_.OnEnds(Ends(0, 4, 6, 6));
  Reopen(StopKind::kPowerLoss, Ends(0, 4, 4, 4), 2);
  ExpectNone();
  Append(4, 2, 2);
  checker_.OnEnds(Ends(0, 4, 6, 6));
  Reopen(StopKind::kKill, Ends(0, 4, 4, 4), 4);
  ExpectFailure("acknowledged up to 6");
}

TEST_F(CheckersTest, ALogThatGrewWhileItWasClosedIsNoticed) {
  Fill(2);
  Reopen(StopKind::kPowerLoss, Ends(0, 6, 6, 6), 4);
  ExpectFailure("more than was appended");
}

TEST_F(CheckersTest, RecoveredRecordsHaveToBeSynced) {
  Fill(2);
  Reopen(StopKind::kPowerLoss, Ends(0, 2, 4, 4), 2);
  ExpectFailure("served before it is synced");
}

TEST_F(CheckersTest, ALogEndsBetweenBatches) {
  Fill(2);
  Append(4, 2, 1);
  Reopen(StopKind::kPowerLoss, Ends(0, 5, 5, 5), 2);
  ExpectFailure("inside of a batch");
}

TEST_F(CheckersTest, DamageIsNeverCutBelowTheMark) {
  Fill(5);
  checker_.OnDamaged(1);
  Reopen(StopKind::kPowerLoss, Ends(0, 8, 8, 8), 8);  // above it damage looks like a torn write
  ExpectNone();
  EXPECT_EQ(checker_.tolerated_losses(), 1u);
  Reopen(StopKind::kPowerLoss, Ends(0, 6, 6, 6), 8);
  ExpectFailure("below its synced mark 8");
}

TEST_F(CheckersTest, OnlyDamageExcusesARefusal) {
  Fill(1);
  checker_.OnStopped(StopKind::kKill);
  checker_.OnDamaged(1);
  checker_.OnRefused(Error(Reason::kStorageError, "bad"));
  ExpectNone();
  LogChecker whole("whole", Durability::kSynced, verdict_);
  whole.OnRefused(Error(Reason::kStorageError, "bad"));
  ExpectFailure("nothing is wrong with it");
}

TEST_F(CheckersTest, MarksTrailByAGroupAtMost) {
  Fill(5);
  Reopen(StopKind::kKill, Ends(0, 10, 10, 10), 4);
  ExpectFailure("its synced mark is 4");
}

TEST_F(CheckersTest, MarksTrailByTheirTimeAtMost) {
  for (const int64_t mark : {2, 0}) {
    MonotonicTime now{};
    LogChecker checker("log", Durability::kSynced, verdict_);
    checker.SetMarksTrail(Duration(10), [&] { return now; });
    checker.OnOpened(Ends(0, 0, 0, 0), &nothing_);
    for (int i = 0; i < 5; ++i) {
      const RecordBatch batch = MakeBatch(2 * i, 2, 1);
      checker.OnAppended(batch.header, {{.time = 1000}, {.time = 1001}});
      now += Duration(5);
      checker.OnEnds(Ends(0, 2 * i + 2, 2 * i + 2, 2 * i + 2));
    }
    checker.OnStopped(StopKind::kKill);
    const SyncedMark journaled{Offset{0}, Offset{mark}, Offset{0}, 100, 0};
    checker.OnOpened(Ends(0, 10, 10, 10), &journaled);
    if (mark == 2) ExpectNone();
  }
  ExpectFailure("its synced mark is 0, and 2 was");
}

TEST_F(CheckersTest, AnEpochAndAnOffsetNameOneContent) {
  Fill(2);
  Append(4, 2, 1);
  Reopen(StopKind::kPowerLoss, Ends(0, 4, 4, 4), 2);
  Append(4, 1, 1);
  ExpectFailure("two contents");
}

TEST_F(CheckersTest, OffsetsAreDense) {
  Fill(2);
  Append(5, 1, 1);
  ExpectFailure("behind offset 4");
}

TEST_F(CheckersTest, EndsDoNotMoveBack) {
  Fill(2);
  checker_.OnEnds(Ends(0, 2, 4, 4));
  ExpectFailure("moved back");
}

TEST_F(CheckersTest, EndsAreInOrder) {
  checker_.OnEnds(Ends(0, 2, 1, 2));
  ExpectFailure("out of order");
}

TEST_F(CheckersTest, DeletedRecordsStayDeleted) {
  Fill(3);
  checker_.OnDelete(Offset{4});
  checker_.OnEnds(Ends(4, 6, 6, 6));
  checker_.OnDeleted(Offset{4});
  Reopen(StopKind::kPowerLoss, Ends(2, 6, 6, 6), 6);
  ExpectFailure("deleted records are back");
}

TEST_F(CheckersTest, NothingIsDeletedUnasked) {
  Fill(3);
  Reopen(StopKind::kPowerLoss, Ends(2, 6, 6, 6), 6);
  ExpectFailure("nobody deleted");
}

TEST_F(CheckersTest, ACutThatIsDoneStaysSo) {
  Fill(3);
  checker_.OnTruncate(Offset{3});
  checker_.OnCutDone(Ends(0, 2, 2, 2));
  ExpectNone();
  Reopen(StopKind::kPowerLoss, Ends(0, 4, 4, 4), 2);
  ExpectFailure("more than was appended");
}

TEST_F(CheckersTest, ACutThatIsNotDoneLeavesEitherState) {
  for (const int64_t end : {2, 4, 6}) {
    Verdict verdict;
    LogChecker checker("log", Durability::kSynced, verdict);
    checker.OnOpened(Ends(0, 0, 0, 0), &nothing_);
    for (int i = 0; i < 3; ++i) checker.OnAppended(MakeBatch(2 * i, 2, 1).header, {{}, {}});
    checker.OnEnds(Ends(0, 6, 6, 6));
    checker.OnTruncate(Offset{3});
    checker.OnStopped(StopKind::kPowerLoss);
    const SyncedMark mark{Offset{0}, Offset{2}, Offset{0}, 100, 0};
    checker.OnOpened(Ends(0, end, end, end), &mark);
    EXPECT_EQ(verdict.what(), "") << end;
  }
}

TEST_F(CheckersTest, AResetLogBeginsWhereItWasTold) {
  Fill(3);
  checker_.OnReset(Offset{100});
  Reopen(StopKind::kPowerLoss, Ends(100, 100, 100, 100), 100);
  Append(100, 1, 2);
  ExpectNone();
  checker_.OnReset(Offset{200});
  checker_.OnCutDone(Ends(150, 150, 150, 150));
  ExpectFailure("was cut to 200");
}

TEST_F(CheckersTest, OfAResetThatIsUnderWayTheJournalAloneKnows) {
  Fill(3);
  checker_.OnReset(Offset{100});
  checker_.OnJournalDamaged();
  Reopen(StopKind::kPowerLoss, Ends(2, 6, 6, 6), 6);
  ExpectNone();
  checker_.OnReset(Offset{100});
  checker_.OnCutDone(Ends(100, 100, 100, 100));
  ExpectNone();
}

TEST_F(CheckersTest, ASoundJournalFinishesAReset) {
  Fill(3);
  checker_.OnReset(Offset{100});
  Reopen(StopKind::kPowerLoss, Ends(2, 6, 6, 6), 6);
  ExpectFailure("nobody deleted");
}

TEST_F(CheckersTest, WhatIsServedWasAppended) {
  Fill(3);
  Read(2, MakeBatch(2, 2, 7));
  ExpectFailure("nobody appended");
}

TEST_F(CheckersTest, WhatIsServedIsStillInTheLog) {
  Fill(3);
  checker_.OnTruncate(Offset{2});
  checker_.OnCutDone(Ends(0, 2, 2, 2));
  Append(2, 2, 2);
  checker_.OnEnds(Ends(0, 4, 4, 4));
  Read(2, MakeBatch(2, 2, 1));
  ExpectFailure("not in the log");
}

TEST_F(CheckersTest, DamagedBytesAreNotServed) {
  Fill(1);
  RecordBatch batch = MakeBatch(0, 2, 1);
  std::string bytes = batch.bytes.ToString();
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  batch.bytes = Slice::Own(bytes);
  Read(0, batch);
  ExpectFailure("damaged batch");
}

TEST_F(CheckersTest, AFlippedEpochIsForgivenOnlyWhereNoMarkCouldTell) {
  for (const bool journal_damaged : {false, true}) {
    for (const bool other_content : {false, true}) {
      Verdict verdict;
      LogChecker checker("log", Durability::kSynced, verdict);
      checker.OnOpened(Ends(0, 0, 0, 0), &nothing_);
      checker.OnAppended(MakeBatch(0, 2, 1).header, {{.time = 1000}, {.time = 1001}});
      checker.OnEnds(Ends(0, 2, 2, 2));
      checker.OnDamaged(1);
      if (journal_damaged) checker.OnJournalDamaged();
      const RecordBatch batch = MakeBatch(0, other_content ? 1 : 2, 1);
      std::string bytes = batch.bytes.ToString();
      bytes[15] ^= 4;
      LogRead read;
      read.batches = Slice::Own(bytes);
      read.next_offset = batch.header.next_offset();
      checker.OnRead(Offset{0}, Offset{2}, read, checker.cut_count());
      EXPECT_EQ(verdict.failed(), !journal_damaged || other_content) << verdict.what();
    }
  }
}

TEST_F(CheckersTest, NothingIsServedAboveTheLimit) {
  Fill(3);
  Read(4, MakeBatch(4, 2, 1), 4);
  ExpectFailure("above 4");
}

TEST_F(CheckersTest, ReadsHaveNoGaps) {
  Fill(3);
  Read(1, MakeBatch(2, 2, 1));
  ExpectFailure("has a gap");
}

TEST_F(CheckersTest, AReadBelowItsLimitHasSomething) {
  Fill(3);
  checker_.OnRead(Offset{2}, Offset{6}, LogRead(), checker_.cut_count());
  ExpectFailure("nothing to read at 2");
}

TEST_F(CheckersTest, SearchesByTimeFindTheFirst) {
  Fill(3);
  const TimedOffset wrong{Offset{4}, Timestamp{1004}, LeaderEpoch{1}};
  checker_.OnFoundByTime(Timestamp{1003}, Offset{6}, wrong, checker_.cut_count());
  ExpectFailure("it is 3");
}

TEST_F(CheckersTest, ProducersHaveNoDuplicates) {
  Append(0, 2, 1, 7, 0);
  Append(2, 2, 1, 7, 2);
  ExpectNone();
  Append(4, 2, 1, 7, 2);
  ExpectFailure("duplicate or gap");
}

TEST_F(CheckersTest, ProducersHaveNoGaps) {
  Append(0, 2, 1, 7, 0);
  Append(2, 2, 1, 7, 3);
  ExpectFailure("duplicate or gap");
}

TEST_F(CheckersTest, ARequestIsAppendedOnce) {
  Append(0, 1, 1, kRequestIdRange + 5, 1234);
  Append(1, 1, 1, kRequestIdRange + 5, 1234);
  ExpectFailure("in the log twice");
}

TEST_F(CheckersTest, ADuplicateIsWhatItIsSaidToBe) {
  Append(0, 2, 1, 7, 0);
  Append(2, 2, 1, 7, 2);
  const BatchHeader again = MakeBatch(0, 2, 1, 7, 0).header;
  ProducerState::Batch batch;
  batch.base_offset = Offset{0};
  batch.last_offset = Offset{1};
  checker_.OnDuplicate(again, batch);
  ExpectNone();
  batch.base_offset = Offset{2};
  batch.last_offset = Offset{3};
  checker_.OnDuplicate(again, batch);
  ExpectFailure("is said to be");
}

TEST_F(CheckersTest, AProducerInOrderIsNotRefused) {
  Append(0, 2, 1, 7, 0);
  checker_.OnOutOfOrder(MakeBatch(2, 1, 1, 7, 5).header, Error(Reason::kOutOfOrderSequence, "gap"));
  ExpectNone();
  checker_.OnOutOfOrder(MakeBatch(2, 1, 1, 7, 2).header, Error(Reason::kOutOfOrderSequence, "gap"));
  ExpectFailure("in spite of its order");
}

TEST_F(CheckersTest, ALostJournalIsNoReasonToLoseRecords) {
  Fill(5);
  checker_.OnJournalDamaged();
  Reopen(StopKind::kPowerLoss, Ends(0, 8, 8, 8), 0);
  ExpectFailure("acknowledged up to 10");
}

TEST_F(CheckersTest, AWholeJournalIsNotDoubted) {
  Fill(2);
  checker_.OnStopped(StopKind::kPowerLoss);
  SyncedMark mark{Offset{0}, Offset{4}, Offset{0}, 100, 0};
  mark.is_doubtful = true;
  checker_.OnOpened(Ends(0, 4, 4, 4), &mark);
  ExpectFailure("is doubted");
}

TEST_F(CheckersTest, WithoutAMarkDamageCostsNoMoreThanItselfAtTheEnd) {
  for (const int64_t end : {8, 6}) {
    Verdict verdict;
    LogChecker checker("log", Durability::kSynced, verdict);
    checker.OnOpened(Ends(0, 0, 0, 0), &nothing_);
    for (int i = 0; i < 5; ++i) checker.OnAppended(MakeBatch(2 * i, 2, 1).header, {{}, {}});
    checker.OnEnds(Ends(0, 10, 10, 10));
    checker.OnJournalDamaged();
    checker.OnDamaged(1);
    checker.OnStopped(StopKind::kKill);
    SyncedMark mark;
    mark.is_doubtful = true;
    checker.OnOpened(Ends(0, end, end, end), &mark);
    EXPECT_EQ(verdict.failed(), end == 6) << verdict.what();
  }
}

TEST_F(CheckersTest, AfterACleanStopALostJournalIsNoReasonToRefuse) {
  Fill(2);
  checker_.OnStopped(StopKind::kClean);
  checker_.OnJournalDamaged();
  checker_.OnRefused(Error(Reason::kStorageError, "bad"));
  ExpectFailure("nothing is wrong");
}

TEST_F(CheckersTest, NorToForgetWhatWasDeletedBefore) {
  Fill(3);
  checker_.OnDelete(Offset{4});
  checker_.OnEnds(Ends(4, 6, 6, 6));
  checker_.OnDeleted(Offset{4});
  checker_.OnJournalDamaged();
  Reopen(StopKind::kClean, Ends(2, 6, 6, 6), 0);
  ExpectFailure("deleted records are back");
}

// A compacted log: a value of key 1, a value of key 2, another one of key 1, a tombstone of key 2.
class CompactedCheckersTest : public CheckersTest {
 protected:
  CompactedCheckersTest() {
    checker_.SetCompacted(1000, [this] { return now_; });
    for (int64_t i = 0; i < 4; ++i) {
      const uint64_t value = i == 3 ? 0 : 10 + static_cast<uint64_t>(i);
      checker_.OnAppended(Batch(i).header,
                          {{.time = i, .key = i % 2 == 0 ? 1 : 2, .value = value}});
    }
    checker_.OnEnds(Ends(0, 4, 4, 4));
  }
  static RecordBatch Batch(int64_t offset) {
    BatchBuilder builder(BatchBuilder::Options{});
    NewRecord record;
    const std::string key = LogChecker::KeyOf(offset % 2 == 0 ? 1 : 2);
    const std::string value = LogChecker::TextOf(10 + static_cast<uint64_t>(offset));
    record.key = key;
    if (offset != 3) record.value = value;
    record.timestamp = Timestamp{offset};
    builder.Add(record);
    RecordBatch batch = builder.Build();
    StampBatch(batch, Offset{offset}, LeaderEpoch{1}, TimestampType::kCreateTime, Timestamp{0});
    return batch;
  }
  void ReadThese(const std::vector<int64_t>& offsets, uint64_t reads = UINT64_MAX) {
    LogRead read;
    read.base_offset = Offset{offsets.front()};
    for (const int64_t offset : offsets) read.batches.Append(Batch(offset).bytes);
    read.next_offset = Offset{offsets.back() + 1};
    checker_.OnRead(Offset{0}, Offset{4}, read, checker_.cut_count(), reads);
    // Up to the end.
    if (offsets.back() < 3)
      checker_.OnRead(read.next_offset, Offset{4}, {}, checker_.cut_count(), reads);
  }
  Timestamp now_{5000};
};

TEST_F(CompactedCheckersTest, WhatIsSupersededMayGo) {
  ReadThese({0, 1, 2, 3});
  ReadThese({2, 3});
  ExpectNone();
}

TEST_F(CompactedCheckersTest, TombstonesStayForTheirTime) {
  now_ = Timestamp{5999};
  ReadThese({2});
  ExpectFailure("the last record of a key, at 3");
}

TEST_F(CompactedCheckersTest, AndGoAfterIt) {
  now_ = Timestamp{6000};
  ReadThese({2});
  ExpectNone();
}

TEST_F(CompactedCheckersTest, TimeIsTheClocksWhereverItJumps) {
  checker_.OnClockJump(Timestamp{5500}, Timestamp{4600});
  now_ = Timestamp{5000};
  ReadThese({2, 3});
  ExpectNone();
  now_ = Timestamp{5600};
  ReadThese({2});
  ExpectNone();
}

TEST_F(CompactedCheckersTest, AnOlderValueNeverComesBack) {
  ReadThese({2, 3});
  ExpectNone();
  ReadThese({0, 2, 3}, 0);  // began before that
  ExpectNone();
  ReadThese({1, 2, 3});
  ExpectNone();  // the tombstone is there
  now_ = Timestamp{6000};
  ReadThese({2});
  ReadThese({1, 2});
  ExpectFailure("the record at 1 is served, and a later one of its key, at 3, was not");
}

}  // namespace
}  // namespace gregor
