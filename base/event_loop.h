#ifndef GREGOR_BASE_EVENT_LOOP_H_
#define GREGOR_BASE_EVENT_LOOP_H_

#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/task.h"

namespace gregor {

class LatencyHistogram;

struct TimerId {
  uint64_t value = 0;
  friend bool operator==(const TimerId&, const TimerId&) = default;
};

// Runs tasks one after another: in production on one thread of its own, in the simulator in virtual
// time. What belongs to a loop is touched by its tasks only. A task never blocks. The queue is
// bounded by those who post: every request, disk job and stream holds a share of a budget while it
// has a task here.
class EventLoop {
 public:
  virtual ~EventLoop() = default;

  // Runs `task` after all that was posted before. `name` must outlive the loop (a literal); it
  // appears in traces and metrics. Thread: any. Tasks that are left when the loop goes are
  // destroyed without having run.
  virtual void Post(const char* name, Task task) = 0;
  // Runs `task` once `delay` has passed. Thread: any.
  virtual TimerId After(Duration delay, const char* name, Task task) = 0;
  // The task will not run (no effect if it ran already). Thread: the loop's.
  virtual void Cancel(TimerId timer) = 0;
  // Whether the caller is a task of this loop.
  virtual bool InLoop() const = 0;
  virtual const Clock& clock() const = 0;
};

// Where a loop counts its times; each may be nullptr, and outlives the loop.
struct LoopTimes {
  // Of the first task of each burst of posts from its post, and of each timer from its due time, to
  // its turn.
  LatencyHistogram* waits = nullptr;
  LatencyHistogram* tasks = nullptr;  // that each task took
};

// A loop with a thread of its own (Boost.Asio inside), named `thread_name` (at most 15 characters).
// The destructor stops the thread after the task that is running; tasks left in the queue are
// destroyed.
std::unique_ptr<EventLoop> NewThreadLoop(std::string thread_name, LoopTimes times = {});

}  // namespace gregor

#endif  // GREGOR_BASE_EVENT_LOOP_H_
