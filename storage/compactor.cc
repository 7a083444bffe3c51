#include "storage/compactor.h"

#include <algorithm>
#include <map>

#include "base/thread_annotations.h"

namespace gregor {

struct Compactor::Offered {
  double urgency = 0;
  EventLoop* loop = nullptr;
  UniqueFunction<void(Turn)> start;
};

class Compactor::Core : public std::enable_shared_from_this<Compactor::Core> {
 public:
  explicit Core(const Options& options) : options_(options) {}

  void Offer(const TopicIdPartition& id, Offered offered) {
    const MutexLock lock(mutex_);
    waiting_.insert_or_assign(id, std::move(offered));
    StartNext();
  }

  void Withdraw(const TopicIdPartition& id) {
    Offered gone;  // goes outside of the lock
    const MutexLock lock(mutex_);
    const auto found = waiting_.find(id);
    if (found == waiting_.end()) return;
    gone = std::move(found->second);
    waiting_.erase(found);
  }

  void EndTurn() {
    const MutexLock lock(mutex_);
    running_ = false;
    StartNext();
  }

  void Moved(uint64_t bytes, MonotonicTime now) {
    const MutexLock lock(mutex_);
    stats_.bytes += bytes;
    if (options_.bytes_per_second == 0) return;
    const std::chrono::duration<double> time(static_cast<double>(bytes) /
                                             static_cast<double>(options_.bytes_per_second));
    next_ = std::max(next_, now) + std::chrono::duration_cast<Duration>(time);
  }

  Duration PauseAt(MonotonicTime now) const {
    const MutexLock lock(mutex_);
    return std::max(next_ - now, Duration(0));
  }

  void CountRound(bool is_fine) {
    const MutexLock lock(mutex_);
    ++(is_fine ? stats_.rounds : stats_.failures);
  }

  CompactionStats stats() const {
    const MutexLock lock(mutex_);
    CompactionStats stats = stats_;
    stats.waiting = waiting_.size();
    stats.is_running = running_;
    return stats;
  }

  size_t memory_bytes() const { return options_.memory_bytes; }

 private:
  void StartNext() TS_REQUIRES(mutex_) {
    if (running_ || waiting_.empty()) return;
    const auto next = std::max_element(
        waiting_.begin(), waiting_.end(),
        [](const auto& a, const auto& b) { return a.second.urgency < b.second.urgency; });
    running_ = true;
    next->second.loop->Post("compaction.start", [turn = Turn(shared_from_this()),
                                                 start = std::move(next->second.start)]() mutable {
      start(std::move(turn));
    });
    waiting_.erase(next);
  }

  const Options options_;
  mutable Mutex mutex_;
  std::map<TopicIdPartition, Offered> waiting_ TS_GUARDED_BY(mutex_);
  bool running_ TS_GUARDED_BY(mutex_) = false;
  MonotonicTime next_ TS_GUARDED_BY(mutex_);  // when what was moved so far is within the rate
  CompactionStats stats_ TS_GUARDED_BY(mutex_);
};

Compactor::Turn::~Turn() {
  if (core_ != nullptr) core_->EndTurn();
}
size_t Compactor::Turn::memory_bytes() const { return core_->memory_bytes(); }
void Compactor::Turn::Moved(uint64_t bytes, MonotonicTime now) { core_->Moved(bytes, now); }
Duration Compactor::Turn::PauseAt(MonotonicTime now) const { return core_->PauseAt(now); }
void Compactor::Turn::CountRound(bool is_fine) { core_->CountRound(is_fine); }

Compactor::Compactor(const Options& options) : core_(std::make_shared<Core>(options)) {}
Compactor::~Compactor() = default;

void Compactor::Offer(const TopicIdPartition& id, double urgency, EventLoop& loop,
                      UniqueFunction<void(Turn)> start) {
  core_->Offer(id, {urgency, &loop, std::move(start)});
}
void Compactor::Withdraw(const TopicIdPartition& id) { core_->Withdraw(id); }
CompactionStats Compactor::stats() const { return core_->stats(); }

}  // namespace gregor
