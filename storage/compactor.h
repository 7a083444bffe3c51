#ifndef GREGOR_STORAGE_COMPACTOR_H_
#define GREGOR_STORAGE_COMPACTOR_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "base/event_loop.h"
#include "base/task.h"
#include "base/types.h"

namespace gregor {

// What compaction did since the start.
struct CompactionStats {
  uint64_t rounds = 0;    // that went through
  uint64_t failures = 0;  // that ended with an error
  uint64_t bytes = 0;     // read and written
  size_t waiting = 0;     // logs whose turn has not come
  bool is_running = false;
};

// Lets one log of a log directory be compacted at a time, the dirtiest first, so that all of them
// share one bound of memory and of bytes per second. Thread: any.
class Compactor {
 public:
  struct Options {
    size_t memory_bytes = 32u << 20;  // of the key map
    uint64_t bytes_per_second = 0;    // read and written; 0: not limited
  };

 private:
  class Core;
  struct Offered;

 public:
  // The right to compact, until it goes. It outlives the compactor if it has to.
  class Turn {
   public:
    // For the compactor alone.
    explicit Turn(std::shared_ptr<Core> core) : core_(std::move(core)) {}
    Turn(Turn&&) = default;
    ~Turn();

    size_t memory_bytes() const;
    // Counts bytes that were moved.
    void Moved(uint64_t bytes, MonotonicTime now);
    // How long to wait before more are moved, to keep to the rate.
    Duration PauseAt(MonotonicTime now) const;
    void CountRound(bool is_fine);

   private:
    std::shared_ptr<Core> core_;  // null once moved from
  };

  explicit Compactor(const Options& options);
  ~Compactor();

  // Has `start` run on `loop` when it is the turn of `id`; the one with the highest urgency is
  // next. Replaces what `id` offered before.
  void Offer(const TopicIdPartition& id, double urgency, EventLoop& loop,
             UniqueFunction<void(Turn)> start);
  // `id` does not wait any more. A turn that was given already stays.
  void Withdraw(const TopicIdPartition& id);
  CompactionStats stats() const;

 private:
  std::shared_ptr<Core> core_;
};
using CompactionTurn = Compactor::Turn;

}  // namespace gregor

#endif  // GREGOR_STORAGE_COMPACTOR_H_
