#ifndef GREGOR_NODE_WAITING_H_
#define GREGOR_NODE_WAITING_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "base/clock.h"

namespace gregor {

// What one thread waits for and another one gives. Shared, because who waits may give up first.
template <typename T>
class Awaited {
 public:
  void Set(T value) {
    const std::lock_guard lock(mutex_);
    value_.emplace(std::move(value));
    changed_.notify_all();
  }
  // nullopt if it takes longer than `timeout`.
  std::optional<T> WaitAtMost(Duration timeout) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, timeout, [&] { return value_.has_value(); })) return std::nullopt;
    return std::move(value_);
  }
  T Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return value_.has_value(); });
    return std::move(*value_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<T> value_;
};

// Calls `start(done)` and waits until done(T) was called. Thread: main, at start and stop; never a
// loop.
template <typename T, typename Start>
T WaitFor(Start start) {
  auto awaited = std::make_shared<Awaited<T>>();
  start([awaited](T value) { awaited->Set(std::move(value)); });
  return awaited->Wait();
}

// The same, but nullopt where `is_stopping` (unset: never) becomes true before.
template <typename T, typename Start>
std::optional<T> WaitUnless(const std::function<bool()>& is_stopping, Start start) {
  constexpr std::chrono::milliseconds kAskEvery(50);
  auto awaited = std::make_shared<Awaited<T>>();
  start([awaited](T value) { awaited->Set(std::move(value)); });
  while (true) {
    if (auto value = awaited->WaitAtMost(kAskEvery)) return value;
    if (is_stopping && is_stopping()) return std::nullopt;
  }
}

// The same for several steps that share a time limit.
class Deadline {
 public:
  explicit Deadline(Duration timeout) : end_(SystemClock().Now() + timeout) {}

  // nullopt where `done` did not come in time.
  template <typename T, typename Start>
  std::optional<T> WaitFor(Start start) const {
    auto awaited = std::make_shared<Awaited<T>>();
    start([awaited](T value) { awaited->Set(std::move(value)); });
    return awaited->WaitAtMost(end_ - SystemClock().Now());
  }

 private:
  MonotonicTime end_;
};

}  // namespace gregor

#endif  // GREGOR_NODE_WAITING_H_
