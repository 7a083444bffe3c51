#ifndef GREGOR_RPC_QUEUE_CALL_QUEUE_H_
#define GREGOR_RPC_QUEUE_CALL_QUEUE_H_

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>

#include "base/clock.h"
#include "base/task.h"
#include "base/thread_annotations.h"

namespace gregor {

// The completion queue of a server's calls, and of those that go the other way, and its one thread,
// which alone polls their sockets (docs/adr/0012-one-completion-queue.md). Thread: any, unless said
// otherwise.
class CallQueue : public std::enable_shared_from_this<CallQueue> {
 public:
  // What the queue gives back when an operation is over. Runs on the queue's thread.
  class Tag {
   public:
    virtual void OnDone(bool ok) = 0;

   protected:
    ~Tag() = default;
  };

  CallQueue(std::unique_ptr<grpc::ServerCompletionQueue> queue, std::string thread_name);
  // REQUIRES: Close() has returned.
  ~CallQueue();

  grpc::ServerCompletionQueue* get() { return queue_.get(); }

  // Runs `start`, which begins an operation on the queue. False, and nothing is begun, once the
  // queue is closed: gRPC would abort the process.
  template <typename Start>
  bool Begin(Start&& start) {
    const bool open = (beginning_.fetch_add(1, std::memory_order_acquire) & kClosed) == 0;
    if (open) start();
    Leave();
    return open;
  }

  // Whether Close() was called.
  bool closed() const { return (beginning_.load(std::memory_order_relaxed) & kClosed) != 0; }

  // Runs `task` on the queue's thread after `delay`; dropped if the queue closes before.
  void After(Duration delay, Task task);
  void Post(Task task) { After(Duration(0), std::move(task)); }

  // Nothing begins any more; returns when everything that was begun is over, and the thread has
  // ended. REQUIRES: the queue's server is shut down; not called on the queue's thread.
  void Close();

 private:
  static constexpr uint32_t kClosed = 1u << 31;
  class Timer;

  void Leave() {
    if (beginning_.fetch_sub(1, std::memory_order_release) == (kClosed | 1)) {
      beginning_.notify_all();
    }
  }
  void Forget(Timer* timer);

  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::atomic<uint32_t> beginning_{0};  // how many are in Begin(), and kClosed
  Mutex timers_mutex_;
  std::unordered_set<Timer*> timers_ TS_GUARDED_BY(timers_mutex_);
  std::thread thread_;
};

// One kind of operation of a call, of which one at a time is under way. Keeps the call alive
// meanwhile.
template <typename Call>
class Operation final : public CallQueue::Tag {
 public:
  using Handler = void (Call::*)(bool ok);
  explicit Operation(Handler handler) : handler_(handler) {}

  // The tag to begin it with. REQUIRES: it is not under way.
  void* Begin(std::shared_ptr<Call> call) {
    DCHECK(call_ == nullptr);
    call_ = std::move(call);
    return static_cast<CallQueue::Tag*>(this);
  }
  // The queue will not give the tag back.
  void Forget() { call_ = nullptr; }
  bool is_under_way() const { return call_ != nullptr; }
  void OnDone(bool ok) override {
    const std::shared_ptr<Call> call = std::move(call_);
    (call.get()->*handler_)(ok);
  }

 private:
  const Handler handler_;
  std::shared_ptr<Call> call_;
};

}  // namespace gregor

#endif  // GREGOR_RPC_QUEUE_CALL_QUEUE_H_
