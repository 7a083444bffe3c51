#ifndef GREGOR_NODE_LOOP_PROBE_H_
#define GREGOR_NODE_LOOP_PROBE_H_

#include <atomic>
#include <memory>

#include "base/event_loop.h"

namespace gregor {

// How long a task waits in an event loop until its turn comes. It is measured only when somebody
// asks, so that an idle loop is not woken. Thread: any.
class LoopProbe : public std::enable_shared_from_this<LoopProbe> {
 public:
  // REQUIRES: the loop outlives the calls.
  explicit LoopProbe(EventLoop& loop) : loop_(loop) {}

  // What the task waited that the last call posted, or still waits; posts the next one.
  Duration Measure() {
    const Duration now = loop_.clock().Now().time_since_epoch();
    Duration posted = kNone;
    if (!posted_.compare_exchange_strong(posted, now)) return std::max(last_.load(), now - posted);
    const Duration last = last_.load();
    loop_.Post("loop.probe", [self = shared_from_this(), now] {
      self->last_.store(self->loop_.clock().Now().time_since_epoch() - now);
      self->posted_.store(kNone);
    });
    return last;
  }

 private:
  static constexpr Duration kNone{-1};

  EventLoop& loop_;
  std::atomic<Duration> posted_{kNone};  // when the task was that is on its way
  std::atomic<Duration> last_{Duration::zero()};
};

}  // namespace gregor

#endif  // GREGOR_NODE_LOOP_PROBE_H_
