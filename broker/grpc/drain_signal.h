#ifndef GREGOR_BROKER_GRPC_DRAIN_SIGNAL_H_
#define GREGOR_BROKER_GRPC_DRAIN_SIGNAL_H_

#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/task.h"
#include "base/thread_annotations.h"

namespace gregor {

// Tells long-lived calls that the server is about to close, so that they end as planned (with
// Draining, then OK) and not by a broken connection. Begins once, for good. Thread: any.
class DrainSignal {
 public:
  // `close_in`: how long calls may take to end.
  using Observer = UniqueFunction<void(Duration close_in)>;

  void Begin(Duration close_in);
  bool begun() const;
  // Calls `observer` when the signal begins, on the thread of Begin(); at once where it has begun.
  // Not called again, and not after the handle has gone, save for a call that is running then.
  // `observer` must not block.
  std::shared_ptr<void> Watch(Observer observer);

 private:
  mutable Mutex mutex_;
  bool begun_ TS_GUARDED_BY(mutex_) = false;
  Duration close_in_ TS_GUARDED_BY(mutex_){0};
  std::vector<std::weak_ptr<Observer>> observers_ TS_GUARDED_BY(mutex_);
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_DRAIN_SIGNAL_H_
