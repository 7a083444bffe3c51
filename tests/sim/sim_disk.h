#ifndef GREGOR_TESTS_SIM_SIM_DISK_H_
#define GREGOR_TESTS_SIM_SIM_DISK_H_

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/task.h"
#include "storage/disk.h"
#include "tests/sim/scheduler.h"

namespace gregor {

// Disk threads in virtual time: each job runs in one go, some time after it was submitted, in the
// order of its lane (kRead and kBackground have two "threads", so their jobs may overtake one
// another). Thread: the simulation's.
class SimDisk final : public Disk {
 public:
  struct Latency {
    Duration min = std::chrono::microseconds(20);
    Duration max = std::chrono::microseconds(800);
    // With this probability a job takes up to `outlier` instead (a gray failure: A13).
    double outlier_chance = 0.01;
    Duration outlier = std::chrono::milliseconds(50);
  };

  SimDisk(Scheduler& scheduler, FileSystem& files);
  ~SimDisk() override;

  using Disk::Submit;
  void Submit(Lane lane, const char* name, Task job) override;
  FileSystem& files() override { return files_; }

  void set_latency(const Latency& latency) { latency_ = latency; }
  // From now on no job starts or ends (A14), until Resume().
  void Hang();
  void Resume();
  // As if the process was killed: what waits is forgotten, and so is what is submitted later.
  void Kill();
  size_t waiting_count() const;

 private:
  struct Job {
    const char* name;
    Task task;
  };
  struct Queue {
    int threads = 1;
    int busy = 0;
    std::deque<Job> waiting = {};
  };

  void StartWaiting(Queue& queue);
  void Finish(Queue& queue, Job job);
  Duration DrawLatency();

  Scheduler& scheduler_;
  FileSystem& files_;
  Random random_;
  Latency latency_;
  bool hanging_ = false;
  bool killed_ = false;
  std::array<Queue, 4> queues_;
  std::map<uint64_t, Scheduler::EventId> running_;
  uint64_t last_running_ = 0;
  std::vector<std::pair<Queue*, Job>> stuck_;  // met by a hang while they ran
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_SIM_DISK_H_
