#include "tests/sim/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace gregor {
namespace {

// How long a posted task waits at most, in nanoseconds: in the order of a thread's wake-up.
constexpr int64_t kPostDelayMax = 20'000;

}  // namespace

Timestamp Scheduler::VirtualClock::WallNow() const {
  const Duration wall = now.time_since_epoch() + wall_offset;
  return {std::chrono::duration_cast<std::chrono::milliseconds>(wall).count()};
}

Scheduler::Scheduler(uint64_t seed) : random_(seed) { trace_.Note("seed", seed); }

Scheduler::~Scheduler() {
  // A task's destructor may cancel others.
  while (!events_.empty()) {
    Event event = std::move(events_.begin()->second);
    events_.erase(events_.begin());
  }
}

Scheduler::EventId Scheduler::At(MonotonicTime time, const char* name, Task task) {
  const EventId id{std::max(time, clock_.now), ++last_number_};
  events_.emplace(id, Event{name, std::move(task)});
  return id;
}

Scheduler::EventId Scheduler::After(Duration delay, const char* name, Task task) {
  return At(clock_.now + delay, name, std::move(task));
}

void Scheduler::Cancel(EventId event) {
  auto found = events_.find(event);
  if (found == events_.end()) return;
  Event gone = std::move(found->second);  // its destructor may come back here
  events_.erase(found);
}

bool Scheduler::Step() {
  if (events_.empty()) return false;
  auto next = events_.begin();
  const EventId id = next->first;
  Event event = std::move(next->second);
  events_.erase(next);
  CHECK(id.time >= clock_.now);
  clock_.now = id.time;
  trace_.Note(event.name, static_cast<uint64_t>(id.time.time_since_epoch().count()), id.number);
  event.task();
  return true;
}

bool Scheduler::RunUntil(const std::function<bool()>& done, Duration limit) {
  const MonotonicTime end = clock_.now + limit;
  while (!done()) {
    if (events_.empty() || events_.begin()->first.time > end) return false;
    Step();
  }
  return true;
}

void Scheduler::RunFor(Duration time) {
  const MonotonicTime end = clock_.now + time;
  RunUntil([] { return false; }, time);
  clock_.now = end;
}

SimLoop::SimLoop(Scheduler& scheduler, std::string name)
    : scheduler_(scheduler), name_(std::move(name)), random_(scheduler.random().Fork()) {}

SimLoop::~SimLoop() { Kill(); }

void SimLoop::Post(const char* name, Task task) {
  if (killed_) return;
  const Duration delay(random_.Between(0, kPostDelayMax));
  last_post_ = std::max(last_post_, scheduler_.clock().Now() + delay);
  Add(last_post_, name, std::move(task));
}

TimerId SimLoop::After(Duration delay, const char* name, Task task) {
  if (killed_) return {};
  const Duration late(random_.Between(0, kPostDelayMax));
  return {Add(scheduler_.clock().Now() + delay + late, name, std::move(task))};
}

void SimLoop::Cancel(TimerId timer) {
  if (killed_) return;  // by what is destroyed after the loop has stopped
  CHECK(InLoop());
  held_.erase(timer.value);
  auto found = waiting_.find(timer.value);
  if (found == waiting_.end()) return;
  const Scheduler::EventId event = found->second;
  waiting_.erase(found);
  scheduler_.Cancel(event);
}

uint64_t SimLoop::Add(MonotonicTime time, const char* name, Task task) {
  const uint64_t number = ++last_timer_;
  AddNumbered(number, time, name, std::move(task));
  return number;
}

void SimLoop::AddNumbered(uint64_t number, MonotonicTime time, const char* name, Task task) {
  waiting_[number] =
      scheduler_.At(time, name, [this, number, name, task = std::move(task)]() mutable {
        waiting_.erase(number);
        if (paused_) {
          held_.emplace(number, std::pair(name, std::move(task)));
          return;
        }
        CHECK(!running_);
        running_ = true;
        task();
        task = nullptr;  // what it holds goes while the loop runs, as on a thread
        running_ = false;
      });
}

void SimLoop::Resume() {
  paused_ = false;
  for (auto& [number, held] : std::exchange(held_, {}))
    AddNumbered(number, scheduler_.clock().Now(), held.first, std::move(held.second));
}

void SimLoop::Kill() {
  killed_ = true;
  held_.clear();
  while (!waiting_.empty()) {
    const Scheduler::EventId event = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    scheduler_.Cancel(event);
  }
}

void SimLoop::Run(const std::function<void()>& call) {
  CHECK(!running_);
  running_ = true;
  call();
  running_ = false;
}

bool SimLoop::RunUntil(const std::function<void()>& call, const std::function<bool()>& done,
                       Duration limit) {
  Run(call);
  return scheduler_.RunUntil(done, limit);
}

}  // namespace gregor
