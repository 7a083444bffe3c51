#include "storage/compactor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <vector>

#include "tests/sim/scheduler.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

class CompactorTest : public testing::Test {
 protected:
  TopicIdPartition Id(int32_t partition) { return {topic_, PartitionIndex{partition}}; }
  // Offers a log that keeps its turn until EndTurn().
  void Offer(Compactor& compactor, int32_t partition, double urgency) {
    compactor.Offer(Id(partition), urgency, loop_, [this, partition](CompactionTurn turn) {
      started_.push_back(partition);
      turn_.emplace(std::move(turn));
    });
  }
  void EndTurn() {
    turn_.reset();
    scheduler_.RunFor(milliseconds(10));
  }

  Scheduler scheduler_{1};
  SimLoop loop_{scheduler_, "loop"};
  TopicId topic_ = Random(1).NewUuid<TopicId>();
  std::vector<int32_t> started_;
  std::optional<CompactionTurn> turn_;
};

TEST_F(CompactorTest, OneLogAtATimeTheMostUrgentNext) {
  Compactor compactor({});
  Offer(compactor, 0, 0.1);
  Offer(compactor, 1, 0.2);
  Offer(compactor, 2, 0.9);
  Offer(compactor, 3, 0.5);
  scheduler_.RunFor(milliseconds(10));
  EXPECT_THAT(started_, ElementsAre(0));
  EXPECT_EQ(compactor.stats().waiting, 3u);
  EXPECT_TRUE(compactor.stats().is_running);
  EndTurn();
  EXPECT_THAT(started_, ElementsAre(0, 2));
  EndTurn();
  EndTurn();
  EXPECT_THAT(started_, ElementsAre(0, 2, 3, 1));
  EndTurn();
  EXPECT_FALSE(compactor.stats().is_running);
}

TEST_F(CompactorTest, ALaterOfferReplacesTheEarlierOne) {
  Compactor compactor({});
  Offer(compactor, 0, 1);
  Offer(compactor, 1, 0.1);
  Offer(compactor, 2, 0.2);
  Offer(compactor, 1, 0.3);
  EXPECT_EQ(compactor.stats().waiting, 2u);
  scheduler_.RunFor(milliseconds(10));
  EndTurn();
  EndTurn();
  EndTurn();
  EXPECT_THAT(started_, ElementsAre(0, 1, 2));
}

TEST_F(CompactorTest, WhoWithdrawsIsNotStarted) {
  Compactor compactor({});
  Offer(compactor, 0, 1);
  Offer(compactor, 1, 1);
  compactor.Withdraw(Id(1));
  compactor.Withdraw(Id(7));
  scheduler_.RunFor(milliseconds(10));
  EndTurn();
  EXPECT_THAT(started_, ElementsAre(0));
}

TEST_F(CompactorTest, ATurnThatNobodyTakesGoesToTheNext) {
  Compactor compactor({});
  {
    SimLoop gone(scheduler_, "gone");
    compactor.Offer(Id(0), 1, gone, [](CompactionTurn) { FAIL() << "its loop has ended"; });
    gone.Kill();
  }
  Offer(compactor, 1, 1);
  scheduler_.RunFor(milliseconds(10));
  EXPECT_THAT(started_, ElementsAre(1));
}

TEST_F(CompactorTest, ATurnMayOutliveTheCompactor) {
  {
    Compactor compactor({.memory_bytes = 5});
    Offer(compactor, 0, 1);
    scheduler_.RunFor(milliseconds(10));
  }
  ASSERT_TRUE(turn_.has_value());
  EXPECT_EQ(turn_->memory_bytes(), 5u);
  EndTurn();
}

TEST_F(CompactorTest, KeepsToTheRateOverAllLogs) {
  Compactor compactor({.bytes_per_second = 1000});
  Offer(compactor, 0, 1);
  Offer(compactor, 1, 1);
  scheduler_.RunFor(milliseconds(10));
  const MonotonicTime start = scheduler_.clock().Now();
  EXPECT_EQ(turn_->PauseAt(start), Duration(0));
  turn_->Moved(500, start);
  turn_->Moved(1500, start);
  EXPECT_EQ(turn_->PauseAt(start), seconds(2));
  EXPECT_EQ(turn_->PauseAt(start + seconds(3)), Duration(0));
  turn_->CountRound(true);
  EndTurn();
  // What the one moved holds up the other.
  EXPECT_EQ(turn_->PauseAt(start + seconds(1)), seconds(1));
  turn_->CountRound(false);
  EXPECT_EQ(compactor.stats().bytes, 2000u);
  EXPECT_EQ(compactor.stats().rounds, 1u);
  EXPECT_EQ(compactor.stats().failures, 1u);
  // Time that passed without work is not saved up.
  turn_->Moved(1000, start + seconds(10));
  EXPECT_EQ(turn_->PauseAt(start + seconds(10)), seconds(1));
}

TEST_F(CompactorTest, WithoutARateThereIsNoPause) {
  Compactor compactor({});
  Offer(compactor, 0, 1);
  scheduler_.RunFor(milliseconds(10));
  turn_->Moved(uint64_t{1} << 40, scheduler_.clock().Now());
  EXPECT_EQ(turn_->PauseAt(scheduler_.clock().Now()), Duration(0));
}

}  // namespace
}  // namespace gregor
