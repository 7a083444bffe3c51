#include "base/budget.h"

#include <gtest/gtest.h>

#include <future>
#include <vector>

#include "base/event_loop.h"

namespace gregor {
namespace {

TEST(Budget, IsDrawnFromUntilNothingIsLeft) {
  Budget budget(100);
  Budget::Share first = budget.TryAcquire(60);
  EXPECT_TRUE(first);
  EXPECT_EQ(budget.used(), 60u);
  EXPECT_FALSE(budget.TryAcquire(41));
  EXPECT_FALSE(budget.TryAcquire(SIZE_MAX));
  EXPECT_EQ(budget.used(), 60u);
  const Budget::Share second = budget.TryAcquire(40);
  EXPECT_TRUE(second);
  EXPECT_TRUE(budget.TryAcquire(0));
  EXPECT_FALSE(budget.TryAcquire(1));
  EXPECT_EQ(budget.max(), 100u);
}

TEST(Budget, GetsSharesBackWhenTheyGo) {
  Budget budget(100);
  {
    const Budget::Share share = budget.TryAcquire(100);
    EXPECT_EQ(budget.used(), 100u);
  }
  EXPECT_EQ(budget.used(), 0u);
  Budget::Share share = budget.TryAcquire(100);
  share.Release();
  share.Release();
  EXPECT_EQ(budget.used(), 0u);
  EXPECT_FALSE(share);
  EXPECT_EQ(share.bytes(), 0u);
}

TEST(Budget, SharesAreMovedAndShrunkButCountOnce) {
  Budget budget(100);
  Budget::Share a = budget.TryAcquire(30);
  Budget::Share b = std::move(a);
  EXPECT_FALSE(a);  // NOLINT: what a move leaves is part of the contract
  EXPECT_EQ(budget.used(), 30u);
  b.ShrinkTo(50);
  EXPECT_EQ(budget.used(), 30u);
  b.ShrinkTo(10);
  EXPECT_EQ(b.bytes(), 10u);
  EXPECT_EQ(budget.used(), 10u);
  b = budget.TryAcquire(20);
  EXPECT_EQ(budget.used(), 20u);
  b = Budget::Share();
  EXPECT_EQ(budget.used(), 0u);
  b.ShrinkTo(0);
}

TEST(Budget, HoldsWithManyThreads) {
  Budget budget(1000);
  std::vector<std::unique_ptr<EventLoop>> loops;
  std::vector<std::future<bool>> done;
  for (int i = 0; i < 4; ++i) {
    loops.push_back(NewThreadLoop("budget"));
    auto promise = std::make_shared<std::promise<bool>>();
    done.push_back(promise->get_future());
    loops.back()->Post("draw", [&budget, promise] {
      bool held = true;
      for (size_t round = 0; round < 20000; ++round) {
        Budget::Share share = budget.TryAcquire(1 + round % 400);
        held = held && budget.used() <= budget.max();
        share.ShrinkTo(round % 100);
      }
      promise->set_value(held);
    });
  }
  for (auto& each : done) EXPECT_TRUE(each.get());
  EXPECT_EQ(budget.used(), 0u);
}

TEST(Budget, AShareIsSplitAndGrows) {
  Budget budget(100);
  Budget::Share whole = budget.TryAcquire(60);
  {
    const Budget::Share part = whole.Split(25);
    EXPECT_EQ(part.bytes(), 25u);
    EXPECT_EQ(whole.bytes(), 35u);
    EXPECT_EQ(budget.used(), 60u);
    EXPECT_FALSE(whole.TryGrow(41));
    EXPECT_TRUE(whole.TryGrow(40));
  }
  EXPECT_EQ(whole.bytes(), 75u);
  EXPECT_EQ(budget.used(), 75u);
  whole.Release();
  EXPECT_EQ(budget.used(), 0u);
}

}  // namespace
}  // namespace gregor
