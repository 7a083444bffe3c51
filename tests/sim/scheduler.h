#ifndef GREGOR_TESTS_SIM_SCHEDULER_H_
#define GREGOR_TESTS_SIM_SCHEDULER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/event_loop.h"
#include "base/random.h"
#include "base/task.h"
#include "tests/sim/trace.h"

namespace gregor {

// Virtual time and everything that is going to happen in it. One event runs at a time; the time
// between two events costs nothing. Events of one moment run in the order in which they were added;
// who wants another order adds a random delay. Thread: the simulation's only one.
class Scheduler {
 public:
  struct EventId {
    uint64_t number = 0;
    uint32_t place = 0;
  };

  explicit Scheduler(uint64_t seed);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  EventId At(MonotonicTime time, const char* name, Task task);
  EventId After(Duration delay, const char* name, Task task);
  // No effect if it ran already.
  void Cancel(EventId event);

  // Runs the next event; false if there is none.
  bool Step();
  // Runs events until `done` holds; false if there is nothing left to run, or `limit` has passed.
  bool RunUntil(const std::function<bool()>& done, Duration limit);
  // Runs what happens within `time`, and moves on by so much.
  void RunFor(Duration time);

  const Clock& clock() const { return clock_; }
  // The wall clock is what Now() says plus this; faults move it.
  void set_wall_offset(Duration offset) { clock_.wall_offset = offset; }
  Trace& trace() { return trace_; }
  Random& random() { return random_; }
  size_t waiting_count() const { return waiting_; }

 private:
  struct VirtualClock final : Clock {
    MonotonicTime now{std::chrono::seconds(1)};
    Duration wall_offset = std::chrono::hours(24 * 365 * 56);  // some day in 2026
    MonotonicTime Now() const override { return now; }
    Timestamp WallNow() const override;
  };
  struct Event {
    uint64_t number = 0;  // 0: a free place
    const char* name = nullptr;
    Task task;
  };
  // When an event is due: in a heap, the next one on top. It stays there when the event is
  // cancelled.
  struct Due {
    MonotonicTime time;
    EventId id;
    bool operator>(const Due& other) const {
      return std::pair(time, id.number) > std::pair(other.time, other.id.number);
    }
  };

  // Takes cancelled events off the top; false if nothing is left.
  bool HasNext();
  Event Take(EventId id);

  VirtualClock clock_;
  Trace trace_;
  Random random_;
  uint64_t last_number_ = 0;
  size_t waiting_ = 0;
  std::vector<Event> events_;  // by place
  std::vector<uint32_t> free_;
  std::vector<Due> due_;
};

// An event loop in virtual time. Posted tasks run in order, each a short random time later, so that
// the tasks of several loops mix differently with every seed. Thread: the simulation's.
class SimLoop final : public EventLoop {
 public:
  SimLoop(Scheduler& scheduler, std::string name);
  ~SimLoop() override;

  void Post(const char* name, Task task) override;
  TimerId After(Duration delay, const char* name, Task task) override;
  void Cancel(TimerId timer) override;
  bool InLoop() const override { return running_; }
  const Clock& clock() const override { return scheduler_.clock(); }

  // As if the process was stopped (SIGSTOP, a machine that stands still): what becomes due waits,
  // and runs at Resume().
  void Pause() { paused_ = true; }
  void Resume();
  // As if the process was killed: nothing that waits here runs any more, nor what is posted later.
  void Kill();
  // Runs `call` as a task of this loop, now. For tests, which stand outside of all loops.
  void Run(const std::function<void()>& call);
  // The same, and runs other events until `done`; false if it never is, or not within `limit`.
  bool RunUntil(const std::function<void()>& call, const std::function<bool()>& done,
                Duration limit);

 private:
  struct Waiting {
    uint64_t number = 0;  // 0: a free place
    const char* name = nullptr;
    Task task;
    Scheduler::EventId event;
    bool is_held = false;  // due while the loop was paused
  };

  // Adds an event that is forgotten with the loop.
  TimerId Add(MonotonicTime time, const char* name, Task task);
  void Schedule(uint32_t place, MonotonicTime time);
  void Fire(uint32_t place);
  Task Take(uint32_t place);

  Scheduler& scheduler_;
  const std::string name_;
  Random random_;
  bool running_ = false;
  bool killed_ = false;
  bool paused_ = false;
  MonotonicTime last_post_;
  uint64_t last_number_ = 0;
  std::vector<Waiting> waiting_;  // by place
  std::vector<uint32_t> free_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_SCHEDULER_H_
