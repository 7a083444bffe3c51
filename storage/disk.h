#ifndef GREGOR_STORAGE_DISK_H_
#define GREGOR_STORAGE_DISK_H_

#include <memory>
#include <string>
#include <utility>

#include "base/event_loop.h"
#include "base/task.h"
#include "storage/file_system.h"

namespace gregor {

// Which queue a job waits in. Jobs of one lane of one disk start in the order of submission; lanes
// run beside each other.
enum class Lane {
  kWrite,       // appends, rolls, truncations: one thread, so they happen in order
  kSync,        // group syncs: one thread
  kRead,        // cold reads: several threads
  kBackground,  // open, recovery, retention, compaction: several threads, lowest priority
};

// Runs what blocks. One per log directory (and one for the metadata directory), so that a slow or
// hanging disk holds up only itself. In production the lanes are threads; in the simulator a job
// runs in one go at a later virtual time, which a slow disk delays and a crash forgets.
class Disk {
 public:
  virtual ~Disk() = default;

  // Runs `job` on a thread of `lane`. `name` must be a literal. Thread: any.
  virtual void Submit(Lane lane, const char* name, Task job) = 0;
  virtual FileSystem& files() = 0;

  // Runs `job` (returning a T) on a thread of `lane`, then `done(T)` on `reply`.
  template <typename Job, typename Done>
  void Submit(Lane lane, const char* name, EventLoop& reply, Job job, Done done) {
    Submit(lane, name, Task([name, &reply, job = std::move(job), done = std::move(done)]() mutable {
             auto result = job();
             reply.Post(name, Task([done = std::move(done), result = std::move(result)]() mutable {
                          done(std::move(result));
                        }));
           }));
  }
};

// Threads named "<name>-w", "-s", "-r0" ...; the destructor runs what was submitted, then joins
// them.
struct DiskThreads {
  std::string name = "disk";
  int read_threads = 2;
  int background_threads = 2;
};
std::unique_ptr<Disk> NewThreadDisk(FileSystem& files, DiskThreads threads);

}  // namespace gregor

#endif  // GREGOR_STORAGE_DISK_H_
