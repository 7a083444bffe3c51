#include "storage/disk.h"

#include <utility>

#include "base/check.h"
#include "storage/worker_pool.h"

namespace gregor {
namespace {

class ThreadDisk final : public Disk {
 public:
  ThreadDisk(FileSystem& files, const DiskThreads& threads)
      : files_(files),
        pool_({{.thread_name = threads.name + "-w"},
               {.thread_name = threads.name + "-s"},
               {.thread_name = threads.name + "-r", .threads = threads.read_threads},
               {.thread_name = threads.name + "-b",
                .threads = threads.background_threads,
                .low_priority = true}}) {}

  using Disk::Submit;
  void Submit(Lane lane, const char*, Task job) override {
    pool_.Submit(static_cast<size_t>(lane), std::move(job));
  }
  FileSystem& files() override { return files_; }

 private:
  // The pool's queues are indexed by lane.
  static_assert(static_cast<int>(Lane::kWrite) == 0 && static_cast<int>(Lane::kSync) == 1 &&
                static_cast<int>(Lane::kRead) == 2 && static_cast<int>(Lane::kBackground) == 3);

  FileSystem& files_;
  WorkerPool pool_;
};

}  // namespace

std::unique_ptr<Disk> NewThreadDisk(FileSystem& files, DiskThreads threads) {
  CHECK_GT(threads.read_threads, 0);
  CHECK_GT(threads.background_threads, 0);
  return std::make_unique<ThreadDisk>(files, threads);
}

}  // namespace gregor
