#include "storage/worker_pool.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <mutex>
#include <utility>

#include "base/check.h"

namespace gregor {
namespace {

constexpr int kLowPriorityNice = 5;
constexpr size_t kThreadNameMax = 15;

void PrepareThread(const std::string& name, bool low_priority) {
  pthread_setname_np(pthread_self(), name.substr(0, kThreadNameMax).c_str());
  // On Linux the nice value belongs to the thread, not to the process. Without it the work is only
  // less polite.
  if (low_priority &&
      setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kLowPriorityNice) != 0) {
    PLOG(WARNING) << "Thread " << name << " runs at normal priority";
  }
}

}  // namespace

WorkerPool::WorkerPool(std::vector<Queue> queues) {
  {
    MutexLock lock(mutex_);
    waiting_.resize(queues.size());
  }
  for (size_t queue = 0; queue < queues.size(); ++queue) {
    const Queue& options = queues[queue];
    CHECK_GT(options.threads, 0);
    for (int i = 0; i < options.threads; ++i) {
      std::string name = options.thread_name + (options.threads > 1 ? std::to_string(i) : "");
      threads_.emplace_back([this, queue, name = std::move(name), low = options.low_priority] {
        PrepareThread(name, low);
        Run(queue);
      });
    }
  }
}

WorkerPool::~WorkerPool() {
  {
    std::unique_lock<std::mutex> lock(mutex_.native());
    finished_.wait(lock, [this]() TS_NO_ANALYSIS { return unfinished_ == 0; });
  }
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    for (Waiting& queue : waiting_) queue.arrived.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::Submit(size_t queue, Task job) {
  MutexLock lock(mutex_);
  CHECK(!stopping_);
  Waiting& waiting = waiting_[queue];
  waiting.jobs.push_back(std::move(job));
  ++unfinished_;
  waiting.arrived.notify_one();
}

void WorkerPool::Run(size_t queue) TS_NO_ANALYSIS {
  std::unique_lock<std::mutex> lock(mutex_.native());
  Waiting& waiting = waiting_[queue];
  while (true) {
    waiting.arrived.wait(lock, [&]() TS_NO_ANALYSIS { return stopping_ || !waiting.jobs.empty(); });
    if (waiting.jobs.empty()) return;
    Task job = std::move(waiting.jobs.front());
    waiting.jobs.pop_front();
    lock.unlock();
    job();
    job = nullptr;  // what it holds goes before it counts as finished
    lock.lock();
    if (--unfinished_ == 0) finished_.notify_all();
  }
}

}  // namespace gregor
