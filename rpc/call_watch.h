#ifndef GREGOR_RPC_CALL_WATCH_H_
#define GREGOR_RPC_CALL_WATCH_H_

#include <functional>
#include <memory>

#include "base/event_loop.h"
#include "base/thread_annotations.h"

namespace gregor {

// Breaks a call off where nothing moves for too long, however long all of it takes. Shared by the
// call and a timer, which outlives it a little. Thread: any.
class CallWatch : public std::enable_shared_from_this<CallWatch> {
 public:
  // `cancel` runs on `loop`, once at most, and calls nobody back.
  CallWatch(EventLoop& loop, Duration at_most, std::function<void()> cancel)
      : loop_(loop), at_most_(at_most), cancel_(std::move(cancel)) {}

  // The time runs from now on.
  void Begin();
  // Something moved.
  void Note();
  // The call has ended: `cancel` does not run any more when this returns. REQUIRES: called before
  // what `cancel` refers to goes.
  void End();
  bool has_cancelled() const;

 private:
  void LookAfter(Duration delay);
  void Look();

  EventLoop& loop_;
  const Duration at_most_;
  mutable Mutex mutex_;
  std::function<void()> cancel_ TS_GUARDED_BY(mutex_);  // empty: ended
  MonotonicTime moved_ TS_GUARDED_BY(mutex_);
  bool has_cancelled_ TS_GUARDED_BY(mutex_) = false;
};

}  // namespace gregor

#endif  // GREGOR_RPC_CALL_WATCH_H_
