#include "node/loop_probe.h"

#include <gtest/gtest.h>

#include <vector>

namespace gregor {
namespace {

class HandClock final : public Clock {
 public:
  MonotonicTime Now() const override { return MonotonicTime(now); }
  Timestamp WallNow() const override { return Timestamp{0}; }
  Duration now{0};
};

// Runs what was posted when it is told to.
class HandLoop final : public EventLoop {
 public:
  void Post(const char*, Task task) override { tasks.push_back(std::move(task)); }
  TimerId After(Duration, const char*, Task) override { return {}; }
  void Cancel(TimerId) override {}
  bool InLoop() const override { return false; }
  const Clock& clock() const override { return hand_clock; }
  void RunAll() {
    for (Task& task : std::exchange(tasks, {})) task();
  }

  HandClock hand_clock;
  std::vector<Task> tasks;
};

TEST(LoopProbe, TellsHowLongTheTaskOfTheLastCallWaited) {
  HandLoop loop;
  const auto probe = std::make_shared<LoopProbe>(loop);
  EXPECT_EQ(probe->Measure(), Duration::zero());
  loop.hand_clock.now = std::chrono::milliseconds(30);
  loop.RunAll();
  loop.hand_clock.now = std::chrono::seconds(15);
  EXPECT_EQ(probe->Measure(), std::chrono::milliseconds(30));
  loop.RunAll();
  EXPECT_EQ(probe->Measure(), Duration::zero());
}

TEST(LoopProbe, ALoopThatHangsShowsWhileItHangs) {
  HandLoop loop;
  const auto probe = std::make_shared<LoopProbe>(loop);
  probe->Measure();
  loop.hand_clock.now = std::chrono::seconds(15);
  EXPECT_EQ(probe->Measure(), std::chrono::seconds(15));
  loop.hand_clock.now = std::chrono::seconds(30);
  EXPECT_EQ(probe->Measure(), std::chrono::seconds(30));
  // One task waits, however often somebody looks.
  EXPECT_EQ(loop.tasks.size(), 1u);
  loop.RunAll();
  EXPECT_EQ(probe->Measure(), std::chrono::seconds(30));
  loop.RunAll();
  EXPECT_EQ(probe->Measure(), Duration::zero());
}

}  // namespace
}  // namespace gregor
