#include "tests/sim/sim_disk.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace gregor {

SimDisk::SimDisk(Scheduler& scheduler, FileSystem& files)
    : scheduler_(scheduler),
      files_(files),
      random_(scheduler.random().Fork()),
      queues_{{{.threads = 1}, {.threads = 1}, {.threads = 2}, {.threads = 2}}} {}

SimDisk::~SimDisk() { Kill(); }

void SimDisk::Submit(Lane lane, const char* name, Task job) {
  if (killed_) return;
  Queue& queue = queues_[static_cast<size_t>(lane)];
  queue.waiting.push_back({name, std::move(job)});
  StartWaiting(queue);
}

void SimDisk::StartWaiting(Queue& queue) {
  while (!hanging_ && !killed_ && queue.busy < queue.threads && !queue.waiting.empty()) {
    Job job = std::move(queue.waiting.front());
    queue.waiting.pop_front();
    ++queue.busy;
    const uint64_t number = ++last_running_;
    running_[number] = scheduler_.After(DrawLatency(), job.name,
                                        [this, &queue, number, job = std::move(job)]() mutable {
                                          running_.erase(number);
                                          if (hanging_) {
                                            stuck_.emplace_back(&queue, std::move(job));
                                          } else {
                                            Finish(queue, std::move(job));
                                          }
                                        });
  }
}

void SimDisk::Finish(Queue& queue, Job job) {
  job.task();
  job.task = nullptr;
  --queue.busy;
  StartWaiting(queue);
}

Duration SimDisk::DrawLatency() {
  const bool outlier = random_.Chance(latency_.outlier_chance);
  const Duration max = outlier ? latency_.outlier : latency_.max;
  return Duration(random_.Between(latency_.min.count(), std::max(latency_.min, max).count()));
}

void SimDisk::Hang() { hanging_ = true; }

void SimDisk::Resume() {
  hanging_ = false;
  std::vector<std::pair<Queue*, Job>> stuck = std::move(stuck_);
  stuck_.clear();
  for (auto& [queue, job] : stuck) Finish(*queue, std::move(job));
  for (Queue& queue : queues_) StartWaiting(queue);
}

void SimDisk::Kill() {
  killed_ = true;
  std::vector<std::pair<Queue*, Job>> stuck = std::move(stuck_);
  stuck_.clear();
  for (Queue& queue : queues_) {
    std::deque<Job> gone = std::move(queue.waiting);
    queue.waiting.clear();
  }
  while (!running_.empty()) {
    const Scheduler::EventId event = running_.begin()->second;
    running_.erase(running_.begin());
    scheduler_.Cancel(event);
  }
}

size_t SimDisk::waiting_count() const {
  size_t count = running_.size() + stuck_.size();
  for (const Queue& queue : queues_) count += queue.waiting.size();
  return count;
}

}  // namespace gregor
