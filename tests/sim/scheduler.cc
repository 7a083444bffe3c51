#include "tests/sim/scheduler.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/check.h"

namespace gregor {
namespace {

// How long a posted task waits at most, in nanoseconds: in the order of a thread's wake-up.
constexpr int64_t kPostDelayMax = 20'000;
// A timer is known by its number and, in the lower bits, by its place.
constexpr int kPlaceBits = 20;
constexpr uint64_t kPlaceMask = (uint64_t{1} << kPlaceBits) - 1;

}  // namespace

Timestamp Scheduler::VirtualClock::WallNow() const {
  const Duration wall = now.time_since_epoch() + wall_offset;
  return {std::chrono::duration_cast<std::chrono::milliseconds>(wall).count()};
}

Scheduler::Scheduler(uint64_t seed) : random_(seed) { trace_.Note("seed", seed); }

Scheduler::~Scheduler() {
  // A task's destructor may cancel others.
  while (HasNext()) Take(due_.front().id);
}

Scheduler::EventId Scheduler::At(MonotonicTime time, const char* name, Task task) {
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(events_.size()));
    events_.emplace_back();
  }
  const EventId id{++last_number_, free_.back()};
  free_.pop_back();
  events_[id.place] = {id.number, name, std::move(task)};
  ++waiting_;
  due_.push_back({std::max(time, clock_.now), id});
  std::push_heap(due_.begin(), due_.end(), std::greater<>());
  return id;
}

Scheduler::EventId Scheduler::After(Duration delay, const char* name, Task task) {
  return At(clock_.now + delay, name, std::move(task));
}

void Scheduler::Cancel(EventId event) {
  if (event.number != 0 && events_[event.place].number == event.number) Take(event);
}

// What it holds may come back here when it goes.
Scheduler::Event Scheduler::Take(EventId id) {
  Event event = std::exchange(events_[id.place], {});
  free_.push_back(id.place);
  --waiting_;
  return event;
}

bool Scheduler::HasNext() {
  while (!due_.empty() && events_[due_.front().id.place].number != due_.front().id.number) {
    std::pop_heap(due_.begin(), due_.end(), std::greater<>());
    due_.pop_back();
  }
  return !due_.empty();
}

bool Scheduler::Step() {
  if (!HasNext()) return false;
  const Due due = due_.front();
  std::pop_heap(due_.begin(), due_.end(), std::greater<>());
  due_.pop_back();
  Event event = Take(due.id);
  CHECK(due.time >= clock_.now);
  clock_.now = due.time;
  trace_.NoteStep(event.name, static_cast<uint64_t>(due.time.time_since_epoch().count()),
                  due.id.number);
  event.task();
  return true;
}

bool Scheduler::RunUntil(const std::function<bool()>& done, Duration limit) {
  const MonotonicTime end = clock_.now + limit;
  while (!done()) {
    if (!HasNext() || due_.front().time > end) return false;
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
  return Add(scheduler_.clock().Now() + delay + late, name, std::move(task));
}

void SimLoop::Cancel(TimerId timer) {
  if (killed_) return;  // by what is destroyed after the loop has stopped
  CHECK(InLoop());
  const auto place = static_cast<uint32_t>(timer.value & kPlaceMask);
  const uint64_t number = timer.value >> kPlaceBits;
  if (number == 0 || place >= waiting_.size() || waiting_[place].number != number) return;
  if (!waiting_[place].is_held) scheduler_.Cancel(waiting_[place].event);
  Take(place);
}

TimerId SimLoop::Add(MonotonicTime time, const char* name, Task task) {
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(waiting_.size()));
    CHECK(waiting_.size() < kPlaceMask);
    waiting_.emplace_back();
  }
  const uint32_t place = free_.back();
  free_.pop_back();
  waiting_[place] = {++last_number_, name, std::move(task), {}, false};
  Schedule(place, time);
  return {last_number_ << kPlaceBits | place};
}

void SimLoop::Schedule(uint32_t place, MonotonicTime time) {
  waiting_[place].is_held = false;
  waiting_[place].event = scheduler_.At(time, waiting_[place].name, [this, place] { Fire(place); });
}

void SimLoop::Fire(uint32_t place) {
  if (scheduler_.trace().keeps()) scheduler_.trace().Annotate(name_);
  if (paused_) {
    waiting_[place].is_held = true;
    return;
  }
  Task task = Take(place);
  CHECK(!running_);
  running_ = true;
  task();
  task = nullptr;  // what it holds goes while the loop runs, as on a thread
  running_ = false;
}

Task SimLoop::Take(uint32_t place) {
  Task task = std::move(waiting_[place].task);
  waiting_[place] = {};
  free_.push_back(place);
  return task;
}

void SimLoop::Resume() {
  paused_ = false;
  std::vector<std::pair<uint64_t, uint32_t>> held;  // in the order in which they were added
  for (uint32_t place = 0; place < waiting_.size(); ++place) {
    if (waiting_[place].is_held) held.emplace_back(waiting_[place].number, place);
  }
  std::sort(held.begin(), held.end());
  for (const auto& [number, place] : held) Schedule(place, scheduler_.clock().Now());
}

void SimLoop::Kill() {
  killed_ = true;
  for (uint32_t place = 0; place < waiting_.size(); ++place) {
    if (waiting_[place].number == 0) continue;
    if (!waiting_[place].is_held) scheduler_.Cancel(waiting_[place].event);
    Take(place);
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
