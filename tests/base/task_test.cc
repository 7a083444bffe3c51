#include "base/task.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>

namespace gregor {
namespace {

// Counts how many of its kind live.
struct Counted {
  explicit Counted(int& live) : live(&live) { ++live; }
  Counted(Counted&& other) noexcept : live(other.live) { ++*live; }
  Counted(const Counted&) = delete;
  ~Counted() { --*live; }
  int* live;
};

TEST(UniqueFunction, IsEmptyUntilItIsGivenACallable) {
  Task task;
  EXPECT_FALSE(task);
  EXPECT_FALSE(Task(nullptr));
  task = [] {};
  EXPECT_TRUE(task);
  task = nullptr;
  EXPECT_FALSE(task);
}

TEST(UniqueFunction, PassesArgumentsAndResults) {
  UniqueFunction<std::string(std::unique_ptr<int>, const std::string&)> join =
      [](std::unique_ptr<int> number, const std::string& text) {
        return text + std::to_string(*number);
      };
  EXPECT_EQ(join(std::make_unique<int>(7), "n"), "n7");
  int total = 0;
  UniqueFunction<void(int&, int)> add = [](int& sum, int part) { sum += part; };
  add(total, 2);
  add(total, 3);
  EXPECT_EQ(total, 5);
}

TEST(UniqueFunction, KeepsWhatTheCallableRemembers) {
  UniqueFunction<int()> next = [count = 0]() mutable { return ++count; };
  EXPECT_EQ(next(), 1);
  UniqueFunction<int()> moved = std::move(next);
  EXPECT_EQ(moved(), 2);
  EXPECT_FALSE(next);  // NOLINT: what a move leaves is part of the contract
}

TEST(UniqueFunction, DestroysSmallAndLargeCallablesOnce) {
  int live = 0;
  {
    Task small = [counted = Counted(live)] {};
    Task large = [counted = Counted(live), room = std::array<char, 200>()] { (void)room; };
    EXPECT_EQ(live, 2);
    Task moved = std::move(large);
    small = std::move(moved);  // what it held is destroyed
    EXPECT_EQ(live, 1);
    small();
    EXPECT_EQ(live, 1);
  }
  EXPECT_EQ(live, 0);
}

TEST(UniqueFunction, MovesAreChainedInContainers) {
  int live = 0, ran = 0;
  {
    std::vector<Task> tasks;
    for (int i = 0; i < 100; ++i) {
      if (i % 2 == 0) {
        tasks.emplace_back([counted = Counted(live), &ran] { ++ran; });
      } else {
        tasks.emplace_back([counted = Counted(live), room = std::array<char, 100>(), &ran] {
          (void)room;
          ++ran;
        });
      }
    }
    EXPECT_EQ(live, 100);
    for (Task& task : tasks) task();
  }
  EXPECT_EQ(ran, 100);
  EXPECT_EQ(live, 0);
}

TEST(UniqueFunction, TakesItselfWithoutLosingTheCallable) {
  int ran = 0;
  Task task = [&ran] { ++ran; };
  Task& same = task;
  task = std::move(same);
  task();
  EXPECT_EQ(ran, 1);
}

TEST(UniqueFunctionDeathTest, RefusesToCallNothing) { EXPECT_DEATH(Task()(), ""); }

}  // namespace
}  // namespace gregor
