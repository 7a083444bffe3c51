#ifndef GREGOR_STORAGE_WORKER_POOL_H_
#define GREGOR_STORAGE_WORKER_POOL_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "base/task.h"
#include "base/thread_annotations.h"

namespace gregor {

// Threads that wait for jobs in one or more queues; what storage/disk.h and the parallel syncs of
// the POSIX file system are made of. Thread: any.
class WorkerPool {
 public:
  struct Queue {
    std::string thread_name;  // at most 15 characters, else it is cut
    int threads = 1;          // with more than one, their number is added to the name
    bool low_priority = false;
  };

  explicit WorkerPool(std::vector<Queue> queues);
  // Runs what was submitted, also what those jobs submit, then joins the threads.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Jobs of one queue start in the order of submission.
  void Submit(size_t queue, Task job);

 private:
  struct Waiting {
    std::deque<Task> jobs;
    std::condition_variable arrived;
  };

  void Run(size_t queue);

  Mutex mutex_;
  std::deque<Waiting> waiting_ TS_GUARDED_BY(mutex_);
  // Submitted and not finished yet, over all queues.
  size_t unfinished_ TS_GUARDED_BY(mutex_) = 0;
  bool stopping_ TS_GUARDED_BY(mutex_) = false;
  std::condition_variable finished_;
  std::vector<std::thread> threads_;
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_WORKER_POOL_H_
