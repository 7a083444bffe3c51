#include "base/event_loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <vector>

#include "base/metrics.h"

namespace gregor {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;

// Runs `body` on the loop and waits for it, and with it for all that was posted before.
void RunIn(EventLoop& loop, Task body) {
  std::promise<void> done;
  loop.Post("test", [&] {
    body();
    done.set_value();
  });
  done.get_future().wait();
}

TEST(EventLoop, RunsTasksInOrderOnAThreadOfItsOwn) {
  const auto loop = NewThreadLoop("test");
  std::vector<int> order;
  for (int i = 0; i < 1000; ++i) loop->Post("append", [&order, i] { order.push_back(i); });
  bool inside = false;
  RunIn(*loop, [&] { inside = loop->InLoop(); });
  EXPECT_TRUE(inside);
  EXPECT_FALSE(loop->InLoop());
  ASSERT_EQ(order.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

TEST(EventLoop, RunsWhatATaskPostsAfterWhatWasPostedBefore) {
  const auto loop = NewThreadLoop("test");
  std::string order;
  std::promise<void> done;
  RunIn(*loop, [&] {
    loop->Post("b", [&] {
      order += 'b';
      loop->Post("d", [&] {
        order += 'd';
        done.set_value();
      });
    });
    loop->Post("c", [&] { order += 'c'; });
    order += 'a';
  });
  done.get_future().wait();
  EXPECT_EQ(order, "abcd");
}

TEST(EventLoop, TakesTasksFromManyThreadsAndKeepsTheOrderOfEach) {
  constexpr int kPosters = 4, kTasks = 5000;
  const auto loop = NewThreadLoop("test");
  std::vector<int> last(kPosters, -1);
  bool ordered = true;
  {
    std::vector<std::unique_ptr<EventLoop>> posters;
    for (size_t poster = 0; poster < kPosters; ++poster) {
      posters.push_back(NewThreadLoop("poster"));
      posters.back()->Post("post", [&, poster] {
        for (int i = 0; i < kTasks; ++i) {
          loop->Post("check", [&, poster, i] {
            ordered = ordered && last[poster] == i - 1;
            last[poster] = i;
          });
        }
      });
    }
    for (auto& poster : posters) RunIn(*poster, [] {});
  }
  RunIn(*loop, [] {});
  EXPECT_TRUE(ordered);
  EXPECT_EQ(last, std::vector<int>(kPosters, kTasks - 1));
}

TEST(EventLoop, TimersRunInTheOrderOfTheirTimes) {
  const auto loop = NewThreadLoop("test");
  std::string order;
  std::promise<void> done;
  const MonotonicTime start = loop->clock().Now();
  MonotonicTime end;
  RunIn(*loop, [&] {
    loop->After(milliseconds(3), "c", [&] {
      order += 'c';
      end = loop->clock().Now();
      done.set_value();
    });
    loop->After(milliseconds(2), "b", [&] { order += 'b'; });
    loop->After(milliseconds(-1), "a", [&] { order += 'a'; });
  });
  done.get_future().wait();
  EXPECT_EQ(order, "abc");
  EXPECT_GE(end - start, milliseconds(3));
}

TEST(EventLoop, TakesTimersFromOtherThreads) {
  const auto loop = NewThreadLoop("test");
  std::promise<bool> inside;
  loop->After(microseconds(1), "timer", [&] { inside.set_value(loop->InLoop()); });
  EXPECT_TRUE(inside.get_future().get());
}

TEST(EventLoop, ACancelledTimerNeverRunsAndIsDestroyedAtOnce) {
  const auto loop = NewThreadLoop("test");
  auto held = std::make_shared<int>(0);
  RunIn(*loop, [&] {
    const TimerId timer = loop->After(hours(1), "timer", [held] { ++*held; });
    EXPECT_EQ(held.use_count(), 2);
    loop->Cancel(timer);
    EXPECT_EQ(held.use_count(), 1);
    loop->Cancel(timer);  // twice is once
    loop->Cancel(TimerId{12345});
  });
  std::promise<void> later;
  RunIn(*loop, [&] {
    const TimerId due = loop->After(Duration::zero(), "due", [&] { ++*held; });
    loop->After(microseconds(500), "later", [&] { later.set_value(); });
    loop->Cancel(due);
  });
  later.get_future().wait();
  EXPECT_EQ(*held, 0);
}

// The loop learns of a timer of another thread by a task; a task before that may cancel it already.
TEST(EventLoop, ATimerOfAnotherThreadIsCancelledBeforeItBegan) {
  const auto loop = NewThreadLoop("test");
  std::promise<TimerId> id;
  bool ran = false;
  loop->Post("cancel", [&] { loop->Cancel(id.get_future().get()); });
  id.set_value(loop->After(Duration::zero(), "timer", [&] { ran = true; }));
  std::promise<void> later;
  RunIn(*loop, [&] { loop->After(microseconds(500), "later", [&] { later.set_value(); }); });
  later.get_future().wait();
  EXPECT_FALSE(ran);
}

TEST(EventLoop, ATimerMayCancelItselfAndOthers) {
  const auto loop = NewThreadLoop("test");
  std::promise<void> done;
  bool other_ran = false;
  TimerId self, other;
  RunIn(*loop, [&] {
    self = loop->After(microseconds(10), "self", [&] {
      loop->Cancel(self);
      loop->Cancel(other);
      loop->After(milliseconds(2), "done", [&] { done.set_value(); });
    });
    other = loop->After(milliseconds(1), "other", [&] { other_ran = true; });
  });
  done.get_future().wait();
  EXPECT_FALSE(other_ran);
}

TEST(EventLoop, TimersGetTheirTurnWhileTasksNeverEnd) {
  const auto loop = NewThreadLoop("test");
  std::atomic<bool> stop = false;
  struct Again {
    EventLoop* loop;
    std::atomic<bool>* stop;
    void operator()() const {
      if (!stop->load()) loop->Post("again", Again{loop, stop});
    }
  };
  loop->Post("again", Again{loop.get(), &stop});
  std::promise<void> due;
  loop->After(microseconds(100), "timer", [&] { due.set_value(); });
  due.get_future().wait();
  stop = true;
}

TEST(EventLoop, ATimerThatIsDueDoesNotWaitForTheEndOfABurst) {
  auto loop = NewThreadLoop("test");
  std::atomic<int> done = 0, at_timer = -1;
  std::promise<void> ended;
  loop->Post("begin", [&] {
    loop->After(std::chrono::milliseconds(1), "timer", [&] { at_timer = done.load(); });
    for (int i = 0; i < 100; ++i) {
      loop->Post("task", [&] {
        const MonotonicTime end = loop->clock().Now() + std::chrono::milliseconds(1);
        while (loop->clock().Now() < end) continue;
        if (++done == 100) ended.set_value();
      });
    }
  });
  ended.get_future().wait();
  EXPECT_GE(at_timer, 0);
  EXPECT_LT(at_timer, 50);
}

TEST(EventLoop, IsDestroyedWithTasksAndTimersLeftAndDestroysThem) {
  const auto held = std::make_shared<int>(0);
  for (int round = 0; round < 20; ++round) {
    const auto loop = NewThreadLoop("test");
    struct Again {
      EventLoop* loop;
      std::shared_ptr<int> held;
      void operator()() const { loop->Post("again", Again{loop, held}); }
    };
    loop->Post("again", Again{loop.get(), held});
    RunIn(*loop, [&] { loop->After(hours(1), "timer", [held] {}); });
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(EventLoop, ATaskIsDestroyedBeforeTheNextOneRuns) {
  const auto loop = NewThreadLoop("test");
  auto held = std::make_shared<int>(0);
  loop->Post("first", [held] {});
  long count = 0;
  RunIn(*loop, [&] { count = held.use_count(); });
  EXPECT_EQ(count, 1);
}

TEST(EventLoopDeathTest, RefusesToCancelFromAnotherThread) {
  EXPECT_DEATH(
      {
        const auto loop = NewThreadLoop("test");
        loop->Cancel(TimerId{1});
      },
      "");
}

uint64_t CountOf(const LatencyHistogram& histogram) {
  uint64_t count = 0;
  for (size_t i = 0; i <= LatencyHistogram::kBounds.size(); ++i) count += histogram.count(i);
  return count;
}

TEST(EventLoop, CountsHowLongTasksWaitAndTake) {
  constexpr Duration kBusy = milliseconds(20);
  LatencyHistogram waits, tasks;
  std::promise<void> timer_ran, next_ran;
  {
    const auto loop = NewThreadLoop("test", {.waits = &waits, .tasks = &tasks});
    RunIn(*loop, [&] {
      loop->After(Duration(0), "timer", [&] { timer_ran.set_value(); });
      loop->Post("next", [&] { next_ran.set_value(); });
      for (const MonotonicTime end = loop->clock().Now() + kBusy; loop->clock().Now() < end;)
        continue;
    });
    timer_ran.get_future().wait();
    next_ran.get_future().wait();
  }
  EXPECT_EQ(CountOf(tasks), 3u);
  EXPECT_GE(tasks.sum(), kBusy);
  // The task behind the busy one waited, and the timer, too.
  EXPECT_EQ(CountOf(waits), 3u);
  EXPECT_GE(waits.sum(), 2 * kBusy);
}

}  // namespace
}  // namespace gregor
