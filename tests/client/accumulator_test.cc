#include "client/accumulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

namespace gregor {
namespace {

using Added = Accumulator::Added;
using std::chrono::milliseconds;

class ManualClock final : public Clock {
 public:
  MonotonicTime Now() const override { return now; }
  Timestamp WallNow() const override { return Timestamp{0}; }
  MonotonicTime now;
};

class AccumulatorTest : public testing::Test {
 protected:
  AccumulatorTest() { options_ = {1000, 10 << 20, milliseconds(10), Codec::kNone}; }

  void Start(int32_t partitions = 1, size_t batch_bytes_max = 1 << 20) {
    accumulator_.emplace(options_, clock_, Random(1), [this] { ++wakes_; });
    accumulator_->SetTopic("t", {partitions, batch_bytes_max});
  }
  void Add(std::string_view value, std::optional<int32_t> partition = std::nullopt) {
    NewRecord record;
    record.value = value;
    std::optional<PartitionIndex> index;
    if (partition.has_value()) index = PartitionIndex{*partition};
    const auto added = accumulator_->Add("t", index, record);
    ASSERT_TRUE(added.ok()) << added.error();
    ASSERT_EQ(*added, Added::kYes);
  }
  std::optional<FilledBatch> Take(bool idle = false) {
    return accumulator_->Take(clock_.now, idle, [this](const ProducerPartition& partition) {
      return blocked_.count(partition.index.value) == 0;
    });
  }
  void Pass(Duration time) { clock_.now += time; }

  Accumulator::Options options_;
  ManualClock clock_;
  std::optional<Accumulator> accumulator_;
  std::set<int32_t> blocked_;
  int wakes_ = 0;
};

TEST_F(AccumulatorTest, ATopicHasToBeKnown) {
  Start();
  const auto added = accumulator_->Add("other", std::nullopt, {});
  ASSERT_TRUE(added.ok());
  EXPECT_EQ(*added, Added::kTopicUnknown);
  EXPECT_FALSE(accumulator_->KnowsTopic("other"));
}

TEST_F(AccumulatorTest, ABatchIsGivenOnceItsFirstRecordHasWaited) {
  Start();
  Add("a");
  Pass(milliseconds(9));
  Add("b");
  EXPECT_FALSE(Take().has_value());
  Pass(milliseconds(1));
  const auto batch = Take();
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->builder.record_count(), 2);
  EXPECT_EQ(batch->since, MonotonicTime());
  EXPECT_FALSE(Take().has_value());
}

TEST_F(AccumulatorTest, AFullBatchIsGivenAtOnceAndNeverTooLarge) {
  Start();
  for (int i = 0; i < 20; ++i) Add(std::string(100, 'x'));
  for (int i = 0; i < 2; ++i) {
    const auto batch = Take();
    ASSERT_TRUE(batch.has_value());
    EXPECT_LE(batch->builder.size(), 1000u);
    EXPECT_GT(batch->builder.size(), 850u);
  }
  EXPECT_FALSE(Take().has_value());  // the rest lingers
}

TEST_F(AccumulatorTest, ABatchDoesNotWaitWhileNothingIsOnItsWay) {
  options_.batch_bytes = 100000;
  options_.linger.reset();
  Start(2);
  Add("a", 0);
  Add("b", 1);
  EXPECT_TRUE(Take(true).has_value());
  EXPECT_FALSE(Take(false).has_value());  // the first one is on its way now
  Pass(Accumulator::kDefaultLinger);
  EXPECT_TRUE(Take(false).has_value());
  for (int i = 0; i < 100; ++i) Add(std::string(100, 'x'), 0);
  EXPECT_FALSE(Take(false).has_value());
  EXPECT_TRUE(Take(true).has_value());
}

TEST_F(AccumulatorTest, ALingerThatIsSetHoldsAlsoWhileNothingIsOnItsWay) {
  options_.batch_bytes = 100000;
  Start();
  EXPECT_EQ(accumulator_->Sleep(true, true), MonotonicTime::max());
  Add("a");
  EXPECT_EQ(accumulator_->Sleep(true, true), clock_.now + milliseconds(10));
  Pass(milliseconds(9));
  Add("b");
  EXPECT_FALSE(Take(true).has_value());
  Pass(milliseconds(1));
  const auto batch = Take(true);
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->builder.record_count(), 2);
}

TEST_F(AccumulatorTest, ALingerOfNothingSendsAtOnceWhateverIsOnItsWay) {
  options_.batch_bytes = 100000;
  options_.linger = Duration(0);
  Start();
  for (int i = 0; i < 3; ++i) {
    Add("a");
    EXPECT_TRUE(Take(false).has_value());
  }
}

TEST_F(AccumulatorTest, ABlockedPartitionGoesOnFillingAndTheOthersPass) {
  options_.batch_bytes = 100000;
  Start(2);
  blocked_ = {0};
  Add("a", 0);
  Add("b", 1);
  Pass(milliseconds(10));
  const auto other = Take();
  ASSERT_TRUE(other.has_value());
  EXPECT_EQ(other->partition->index, PartitionIndex{1});
  EXPECT_FALSE(Take().has_value());
  Add("c", 0);
  blocked_.clear();
  EXPECT_FALSE(Take().has_value());  // until it is said that it may be asked again
  const ProducerPartition* first = nullptr;
  accumulator_->Unblock({other->partition});
  EXPECT_FALSE(Take().has_value());
  for (FilledBatch& old : accumulator_->TakeOlderThan(clock_.now)) {
    first = old.partition;
    EXPECT_EQ(old.builder.record_count(), 2);
  }
  ASSERT_NE(first, nullptr);
  Add("d", 0);
  Pass(milliseconds(10));
  EXPECT_FALSE(Take().has_value());
  accumulator_->Unblock({first});
  EXPECT_TRUE(Take().has_value());
}

TEST_F(AccumulatorTest, TheStickyPartitionChangesWithEveryBatch) {
  Start(10);
  int32_t last = -1;
  std::set<int32_t> seen;
  for (int round = 0; round < 100; ++round) {
    Add("x");
    Add("y");
    Pass(milliseconds(10));
    const auto batch = Take();
    ASSERT_TRUE(batch.has_value());
    EXPECT_EQ(batch->builder.record_count(), 2);
    EXPECT_NE(batch->partition->index.value, last);
    last = batch->partition->index.value;
    seen.insert(last);
  }
  EXPECT_EQ(seen.size(), 10u);
}

TEST_F(AccumulatorTest, WakesTheLoopOnceAndOnlyWhenItSleeps) {
  Start();
  Add("a");
  EXPECT_EQ(wakes_, 0);  // it does not sleep
  EXPECT_EQ(accumulator_->Sleep(true, false), clock_.now + milliseconds(10));
  Add("b");
  EXPECT_EQ(wakes_, 0);  // its time is known
  Pass(milliseconds(10));
  ASSERT_TRUE(Take().has_value());
  EXPECT_EQ(accumulator_->Sleep(true, false), MonotonicTime::max());
  Add("c");
  EXPECT_EQ(wakes_, 1);
  for (int i = 0; i < 30; ++i) Add(std::string(100, 'x'));
  EXPECT_EQ(wakes_, 1);  // it was woken
  while (Take().has_value()) {
  }
  EXPECT_EQ(accumulator_->Sleep(false, false), MonotonicTime::max());
  for (int i = 0; i < 30; ++i) Add(std::string(100, 'x'));
  EXPECT_EQ(wakes_, 1);  // it could not send anything
  EXPECT_EQ(accumulator_->Sleep(true, false), MonotonicTime::min());
}

TEST_F(AccumulatorTest, WithoutAnythingOnItsWayABatchWakesAtOnce) {
  options_.linger.reset();
  Start();
  EXPECT_EQ(accumulator_->Sleep(true, true), MonotonicTime::max());
  Add("a");
  EXPECT_EQ(wakes_, 1);
  EXPECT_EQ(accumulator_->Sleep(true, true), MonotonicTime::min());
}

TEST_F(AccumulatorTest, MemoryIsBoundedAndComesBackWithRelease) {
  options_.memory_bytes = 4096;
  Start();
  size_t taken = 0;
  std::vector<std::pair<size_t, uint64_t>> held;
  for (int i = 0; i < 500; ++i) {
    Add(std::string(100, 'x'));
    while (auto batch = Take()) {
      held.emplace_back(batch->memory_bytes, batch->generation);
      taken += batch->memory_bytes;
    }
    EXPECT_LE(taken, 4096u);
    if (held.size() < 3) continue;
    for (const auto& [memory, generation] : held) accumulator_->Release(memory, generation);
    held.clear();
    taken = 0;
  }
}

TEST_F(AccumulatorTest, WhoWaitsForMemoryMakesEverythingDueAndIsWoken) {
  options_.memory_bytes = 2048;
  options_.linger = std::chrono::hours(1);
  Start(2);
  Add(std::string(900, 'x'), 0);
  EXPECT_FALSE(Take().has_value());
  std::thread caller([this] {
    Add(std::string(900, 'y'), 1);
    Add(std::string(900, 'z'), 0);
  });
  // Both batches of before have to go to make room.
  int taken = 0;
  while (taken < 2) {
    if (auto batch = Take()) {
      ++taken;
      accumulator_->Release(batch->memory_bytes, batch->generation);
    }
  }
  caller.join();
}

TEST_F(AccumulatorTest, ARecordOfAllTheMemoryPassesWhenItIsAlone) {
  options_.memory_bytes = 1000;
  Start();
  Add(std::string(5000, 'x'));
  const auto batch = Take();
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->builder.record_count(), 1);
}

TEST_F(AccumulatorTest, ARecordThatTheTopicDoesNotTakeIsRefused) {
  Start(1, 500);
  Add(std::string(400, 'x'));
  NewRecord record;
  const std::string large(500, 'x');
  record.value = large;
  const auto refused = accumulator_->Add("t", std::nullopt, record);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kBatchTooLarge);
  Add("y");
}

TEST_F(AccumulatorTest, FlushWaitsForWhatWasBeforeAndNotForWhatComesAfter) {
  options_.linger = std::chrono::hours(1);
  Start();
  Add("a");
  std::optional<FilledBatch> batch;
  std::thread flusher([this] { accumulator_->Flush(); });
  while (!batch.has_value()) batch = Take();
  Add("b");  // of the next generation
  accumulator_->Release(batch->memory_bytes, batch->generation);
  flusher.join();
  EXPECT_FALSE(Take().has_value());
}

TEST_F(AccumulatorTest, StopRefusesWhatComesAndGivesWhatIsThere) {
  Start(3);
  for (int32_t partition = 0; partition < 3; ++partition) Add("x", partition);
  const auto batches = accumulator_->Stop(Error(Reason::kProducerFenced, "fenced"));
  EXPECT_EQ(batches.size(), 3u);
  const auto refused = accumulator_->Add("t", PartitionIndex{0}, {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kProducerFenced);
}

TEST_F(AccumulatorTest, WhatMayGoAnywhereGoesWhereItIsServed) {
  Start(4, 500);
  const auto used = [&] {
    std::set<int32_t> partitions;
    for (int i = 0; i < 40; ++i) Add(std::string(300, 'x'));
    for (const auto& batch : accumulator_->Stop(Error(Reason::kProducerFenced, "over")))
      partitions.insert(batch.partition->index.value);
    return partitions;
  };
  accumulator_->SetUnserved("t", {0, 1, 3});
  EXPECT_THAT(used(), testing::ElementsAre(2));
  // Whether they are served again is asked soon.
  Start(4, 500);
  accumulator_->SetUnserved("t", {1});
  Pass(std::chrono::seconds(11));
  EXPECT_EQ(*accumulator_->Add("t", std::nullopt, {}), Added::kTopicUnknown);
  Start(4, 500);
  accumulator_->SetUnserved("t", {0, 1, 2, 3});
  Add("anywhere");
  accumulator_->SetUnserved("t", {1});
  const auto all = used();
  EXPECT_EQ(all.count(0) + all.count(2) + all.count(3), 3u);
}

TEST_F(AccumulatorTest, OldMetadataIsSaidOnceAndUsedMeanwhile) {
  Start();
  Pass(std::chrono::minutes(6));
  EXPECT_EQ(*accumulator_->Add("t", std::nullopt, {}), Added::kTopicUnknown);
  EXPECT_EQ(*accumulator_->Add("t", std::nullopt, {}), Added::kYes);
  accumulator_->SetTopic("t", {5, 1 << 20});
  Add("x", 4);
  accumulator_->ForgetTopic("t");
  NewRecord record;
  EXPECT_EQ(*accumulator_->Add("t", PartitionIndex{3}, record), Added::kTopicUnknown);
}

TEST_F(AccumulatorTest, WhatStandsInTheWayIsAskedForAgainFirst) {
  Start(1, 500);
  NewRecord record;
  const std::string large(600, 'x');
  record.value = large;
  EXPECT_FALSE(accumulator_->Add("t", std::nullopt, record).ok());  // just asked for
  EXPECT_FALSE(accumulator_->Add("t", PartitionIndex{1}, {}).ok());
  Pass(std::chrono::seconds(11));
  EXPECT_EQ(*accumulator_->Add("t", std::nullopt, record), Added::kTopicUnknown);
  accumulator_->SetTopic("t", {2, 1000});
  EXPECT_EQ(*accumulator_->Add("t", std::nullopt, record), Added::kYes);
  EXPECT_EQ(*accumulator_->Add("t", PartitionIndex{1}, {}), Added::kYes);
  Pass(std::chrono::seconds(11));
  EXPECT_EQ(*accumulator_->Add("t", PartitionIndex{2}, {}), Added::kTopicUnknown);
  EXPECT_FALSE(accumulator_->Add("t", PartitionIndex{2}, {}).ok());
}

}  // namespace
}  // namespace gregor
