#include "base/event_loop.h"

#include <pthread.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "base/metrics.h"
#include "base/thread_annotations.h"

namespace gregor {
namespace {

// So long at most do tasks run before timers that are due get their turn (or one task, which takes
// as long as it does): what a timer decides, such as that a leader is lost, is not decided late.
constexpr Duration kBurst = std::chrono::milliseconds(5);

// Posts go through a queue of our own, so that a burst costs one wake-up of Asio, not one
// allocation and wake-up per task.
class ThreadLoop final : public EventLoop {
 public:
  ThreadLoop(std::string name, LoopTimes times)
      : work_(boost::asio::make_work_guard(context_)), times_(times) {
    thread_ = std::thread([this, name = std::move(name)] {
      pthread_setname_np(pthread_self(), name.c_str());
      context_.run();
    });
  }

  ~ThreadLoop() override {
    context_.stop();
    thread_.join();
    burst_.clear();
  }

  void Post(const char* name, Task task) override {
    bool wake;
    {
      MutexLock lock(mutex_);
      wake = queue_.empty() && !draining_;
      if (queue_.empty() && times_.waits != nullptr) queued_at_ = clock().Now();
      queue_.push_back(std::move(task));
    }
    if (wake) boost::asio::post(context_, [this] { Drain(); });
  }

  TimerId After(Duration delay, const char* name, Task task) override {
    const bool in_loop = InLoop();
    TimerId id;
    {
      MutexLock lock(mutex_);
      id.value = ++last_timer_;
      if (!in_loop) coming_timers_.insert(id.value);
    }
    if (in_loop) {
      StartTimer(id, delay, std::move(task));
      return id;
    }
    Post(name, [this, id, delay, task = std::move(task)]() mutable {
      if (ForgetComing(id)) StartTimer(id, delay, std::move(task));
    });
    return id;
  }

  void Cancel(TimerId timer) override {
    CHECK(InLoop());
    if (timers_.erase(timer.value) == 0) ForgetComing(timer);
  }

  bool InLoop() const override { return std::this_thread::get_id() == thread_.get_id(); }
  const Clock& clock() const override { return SystemClock(); }

 private:
  // Runs what was posted, for so long at most: then timers get their turn.
  void Drain() {
    MonotonicTime now = clock().Now();
    if (next_ == burst_.size()) {
      burst_.clear();
      next_ = 0;
      MutexLock lock(mutex_);
      burst_.swap(queue_);
      draining_ = true;
      if (times_.waits != nullptr) times_.waits->Observe(now - queued_at_);
    }
    const MonotonicTime end = now + kBurst;
    while (next_ < burst_.size() && now < end) {
      if (context_.stopped()) return;
      Task task = std::move(burst_[next_++]);
      task();
      task = nullptr;
      now = Observe(times_.tasks, now);
    }
    bool more = next_ < burst_.size();
    if (!more) {
      MutexLock lock(mutex_);
      draining_ = false;
      more = !queue_.empty();
    }
    // Through Asio again, which looks at the timers before.
    if (more) boost::asio::post(context_, [this] { Drain(); });
  }

  // Counts the time since `begin`; returns the time of now.
  MonotonicTime Observe(LatencyHistogram* histogram, MonotonicTime begin) {
    const MonotonicTime now = clock().Now();
    if (histogram != nullptr) histogram->Observe(now - begin);
    return now;
  }

  // True if the timer comes from another thread, has not begun yet and was not cancelled.
  bool ForgetComing(TimerId id) {
    MutexLock lock(mutex_);
    return coming_timers_.erase(id.value) > 0;
  }

  void StartTimer(TimerId id, Duration delay, Task task) {
    auto timer = std::make_unique<Timer>(
        Timer{boost::asio::steady_timer(context_, delay), std::move(task),
              times_.waits != nullptr ? clock().Now() + delay : MonotonicTime()});
    timer->clock.async_wait([this, id](const boost::system::error_code& error) {
      auto found = timers_.find(id.value);
      if (error || found == timers_.end()) return;
      const MonotonicTime now = Observe(times_.waits, found->second->due_at);
      Task due = std::move(found->second->task);
      timers_.erase(found);
      due();
      if (times_.tasks != nullptr) Observe(times_.tasks, now);
    });
    timers_.emplace(id.value, std::move(timer));
  }

  struct Timer {
    boost::asio::steady_timer clock;
    Task task;
    MonotonicTime due_at;  // where somebody counts
  };

  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  const LoopTimes times_;
  std::vector<Task> burst_;  // what runs now, from next_ on; the loop's
  size_t next_ = 0;
  Mutex mutex_;
  std::vector<Task> queue_ TS_GUARDED_BY(mutex_);
  MonotonicTime queued_at_ TS_GUARDED_BY(mutex_);  // the first of them
  bool draining_ TS_GUARDED_BY(mutex_) = false;
  uint64_t last_timer_ TS_GUARDED_BY(mutex_) = 0;
  std::set<uint64_t> coming_timers_ TS_GUARDED_BY(mutex_);
  std::map<uint64_t, std::unique_ptr<Timer>> timers_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<EventLoop> NewThreadLoop(std::string thread_name, LoopTimes times) {
  return std::make_unique<ThreadLoop>(std::move(thread_name), times);
}

}  // namespace gregor
