#include "tests/sim/scheduler.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_file_system.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(SimLoop, RunsPostedTasksInOrderAndTimersWhenTheyAreDue) {
  Scheduler scheduler(1);
  SimLoop loop(scheduler, "loop");
  std::vector<int> order;
  loop.After(seconds(2), "timer", [&] { order.push_back(2); });
  loop.After(seconds(1), "timer", [&] { order.push_back(1); });
  for (int i = 10; i < 15; ++i) {
    loop.Post("task", [&, i] {
      EXPECT_TRUE(loop.InLoop());
      order.push_back(i);
    });
  }
  const MonotonicTime start = scheduler.clock().Now();
  while (scheduler.Step()) {
  }
  EXPECT_EQ(order, (std::vector<int>{10, 11, 12, 13, 14, 1, 2}));
  EXPECT_GE(scheduler.clock().Now(), start + seconds(2));
  EXPECT_LT(scheduler.clock().Now(), start + seconds(3));
  EXPECT_FALSE(loop.InLoop());
}

TEST(SimLoop, ACancelledTimerDoesNotRun) {
  Scheduler scheduler(1);
  SimLoop loop(scheduler, "loop");
  bool ran = false;
  const TimerId timer = loop.After(milliseconds(5), "timer", [&] { ran = true; });
  loop.Post("cancel", [&] { loop.Cancel(timer); });
  scheduler.RunFor(seconds(1));
  EXPECT_FALSE(ran);
}

TEST(SimLoop, AKilledLoopRunsNothingAndFreesWhatItsTasksHold) {
  Scheduler scheduler(1);
  SimLoop loop(scheduler, "loop");
  auto held = std::make_shared<int>(1);
  bool ran = false;
  loop.Post("task", [&ran, held] { ran = true; });
  loop.Kill();
  loop.Post("task", [&ran, held] { ran = true; });
  EXPECT_EQ(held.use_count(), 1);
  scheduler.RunFor(seconds(1));
  EXPECT_FALSE(ran);
}

TEST(SimLoop, TasksOfTwoLoopsMixDifferentlyWithTheSeed) {
  const auto order_of = [](uint64_t seed) {
    Scheduler scheduler(seed);
    SimLoop a(scheduler, "a");
    SimLoop b(scheduler, "b");
    std::string order;
    for (int i = 0; i < 20; ++i) {
      a.Post("a", [&] { order += 'a'; });
      b.Post("b", [&] { order += 'b'; });
    }
    scheduler.RunFor(seconds(1));
    return order + std::to_string(scheduler.trace().hash());
  };
  EXPECT_EQ(order_of(1), order_of(1));
  EXPECT_NE(order_of(1).substr(0, 40), order_of(2).substr(0, 40));
}

class SimDiskTest : public testing::Test {
 protected:
  Scheduler scheduler_{1};
  SimFileSystem files_{1, nullptr};
  SimDisk disk_{scheduler_, files_};
  SimLoop loop_{scheduler_, "loop"};
};

TEST_F(SimDiskTest, JobsOfALaneRunInOrderAndLanesBesideEachOther) {
  std::vector<int> writes;
  bool synced = false;
  bool sync_overtook = false;
  for (int i = 0; i < 100; ++i) {
    disk_.Submit(Lane::kWrite, "write", [&, i] { writes.push_back(i); });
  }
  disk_.Submit(Lane::kSync, "sync", [&] {
    synced = true;
    sync_overtook = writes.size() < 100;
  });
  scheduler_.RunFor(seconds(60));
  ASSERT_EQ(writes.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(writes[static_cast<size_t>(i)], i);
  EXPECT_TRUE(synced && sync_overtook);
}

TEST_F(SimDiskTest, TheResultArrivesOnTheLoop) {
  int answer = 0;
  disk_.Submit(
      Lane::kRead, "answer", loop_, [] { return 42; },
      [&](int result) {
        EXPECT_TRUE(loop_.InLoop());
        answer = result;
      });
  scheduler_.RunFor(seconds(1));
  EXPECT_EQ(answer, 42);
}

TEST_F(SimDiskTest, AHangingDiskHoldsItsJobsAndNothingElse) {
  bool ran = false;
  bool timer = false;
  disk_.Submit(Lane::kSync, "sync", [&] { ran = true; });
  disk_.Hang();
  loop_.After(seconds(10), "timer", [&] { timer = true; });
  scheduler_.RunFor(seconds(20));
  EXPECT_TRUE(timer);
  EXPECT_FALSE(ran);
  EXPECT_EQ(disk_.waiting_count(), 1u);
  disk_.Resume();
  scheduler_.RunFor(seconds(1));
  EXPECT_TRUE(ran);
}

TEST_F(SimDiskTest, AKilledDiskForgetsItsJobs) {
  bool ran = false;
  for (int i = 0; i < 3; ++i) disk_.Submit(Lane::kWrite, "write", [&] { ran = true; });
  disk_.Kill();
  disk_.Submit(Lane::kWrite, "write", [&] { ran = true; });
  scheduler_.RunFor(seconds(1));
  EXPECT_FALSE(ran);
  EXPECT_EQ(disk_.waiting_count(), 0u);
}

}  // namespace
}  // namespace gregor
