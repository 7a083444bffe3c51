#ifndef GREGOR_TESTS_BASE_HAND_LOOP_H_
#define GREGOR_TESTS_BASE_HAND_LOOP_H_

#include <deque>
#include <utility>

#include "base/event_loop.h"

namespace gregor {

class HandClock final : public Clock {
 public:
  MonotonicTime Now() const override { return MonotonicTime(now); }
  Timestamp WallNow() const override { return Timestamp{0}; }
  Duration now{0};
};

// Runs what was posted when it is told to, in a time of the test's own; has no timers.
class HandLoop final : public EventLoop {
 public:
  void Post(const char*, Task task) override { tasks.push_back(std::move(task)); }
  TimerId After(Duration, const char*, Task) override { return {}; }
  void Cancel(TimerId) override {}
  bool InLoop() const override { return false; }
  const Clock& clock() const override { return hand_clock; }

  void RunOne() {
    Task task = std::move(tasks.front());
    tasks.pop_front();
    task();
  }
  // Also what is posted meanwhile.
  void RunAll() {
    while (!tasks.empty()) RunOne();
  }

  HandClock hand_clock;
  std::deque<Task> tasks;  // that wait
};

}  // namespace gregor

#endif  // GREGOR_TESTS_BASE_HAND_LOOP_H_
