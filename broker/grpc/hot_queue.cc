#include "broker/grpc/hot_queue.h"

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

class HotQueue::Timer final : public HotQueue::Tag {
 public:
  Timer(HotQueue& queue, Task task) : queue_(queue), task_(std::move(task)) {}

  void Set(Duration delay) {
    alarm_.Set(queue_.queue(), DeadlineIn(delay), static_cast<HotQueue::Tag*>(this));
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
  HotQueue& queue_;
  grpc::Alarm alarm_;
  Task task_;
};

HotQueue::HotQueue(std::unique_ptr<grpc::ServerCompletionQueue> queue) : queue_(std::move(queue)) {}

HotQueue::~HotQueue() = default;

void HotQueue::Run(std::unique_ptr<grpc::Server> server) {
  CHECK(server_ == nullptr);
  server_ = std::move(server);
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "grpc-hot");
    Loop();
  });
}

void HotQueue::Loop() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) static_cast<Tag*>(tag)->OnDone(ok);
}

void HotQueue::After(Duration delay, Task task) {
  Begin([&] {
    auto* const timer = new Timer(*this, std::move(task));  // deletes itself when it is over
    const MutexLock lock(timers_mutex_);
    timers_.insert(timer);
    timer->Set(delay);
  });
}

void HotQueue::Forget(Timer* timer) {
  const MutexLock lock(timers_mutex_);
  timers_.erase(timer);
}

void HotQueue::Close() {
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
  if (thread_.joinable()) thread_.join();
  server_.reset();
}

}  // namespace gregor
