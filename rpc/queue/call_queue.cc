#include "rpc/queue/call_queue.h"

#include <pthread.h>

#include <vector>

#include "base/check.h"

namespace gregor {
namespace {

gpr_timespec DeadlineIn(Duration delay) {
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(delay.count(), GPR_TIMESPAN));
}

}  // namespace

class CallQueue::Timer final : public CallQueue::Tag {
 public:
  Timer(CallQueue& queue, Task task) : queue_(queue), task_(std::move(task)) {}

  void Set(Duration delay) {
    alarm_.Set(queue_.get(), DeadlineIn(delay), static_cast<CallQueue::Tag*>(this));
  }
  void Cancel() { alarm_.Cancel(); }
  // `ok` is false where it was cancelled.
  void OnDone(bool ok) override {
    queue_.Forget(this);
    Task task = std::move(task_);
    delete this;
    if (ok) task();
  }

 private:
  CallQueue& queue_;
  grpc::Alarm alarm_;
  Task task_;
};

CallQueue::CallQueue(std::unique_ptr<grpc::ServerCompletionQueue> queue, std::string thread_name)
    : queue_(std::move(queue)) {
  thread_ = std::thread([this, thread_name = std::move(thread_name)] {
    pthread_setname_np(pthread_self(), thread_name.c_str());
    void* tag = nullptr;
    bool ok = false;
    while (queue_->Next(&tag, &ok)) static_cast<Tag*>(tag)->OnDone(ok);
  });
}

CallQueue::~CallQueue() = default;

void CallQueue::After(Duration delay, Task task) {
  Begin([&] {
    auto* const timer = new Timer(*this, std::move(task));  // deletes itself when it is over
    const MutexLock lock(timers_mutex_);
    timers_.insert(timer);
    timer->Set(delay);
  });
}

void CallQueue::Forget(Timer* timer) {
  const MutexLock lock(timers_mutex_);
  timers_.erase(timer);
}

void CallQueue::Close() {
  uint32_t beginning = beginning_.fetch_or(kClosed) | kClosed;
  while (beginning != kClosed) {
    beginning_.wait(beginning);
    beginning = beginning_.load();
  }
  {
    const MutexLock lock(timers_mutex_);
    for (Timer* const timer : timers_) timer->Cancel();
  }
  queue_->Shutdown();
  thread_.join();
}

}  // namespace gregor
