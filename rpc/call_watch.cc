#include "rpc/call_watch.h"

#include <utility>

namespace gregor {

void CallWatch::Begin() {
  Note();
  LookAfter(at_most_);
}

void CallWatch::Note() {
  const MutexLock lock(mutex_);
  moved_ = loop_.clock().Now();
}

void CallWatch::End() {
  const MutexLock lock(mutex_);
  cancel_ = nullptr;
}

bool CallWatch::has_cancelled() const {
  const MutexLock lock(mutex_);
  return has_cancelled_;
}

void CallWatch::LookAfter(Duration delay) {
  loop_.After(delay, "rpc.call_watch", [self = shared_from_this()] { self->Look(); });
}

void CallWatch::Look() {
  Duration left{};
  {
    const MutexLock lock(mutex_);
    if (cancel_ == nullptr) return;
    left = moved_ + at_most_ - loop_.clock().Now();
    if (left <= Duration::zero()) {
      has_cancelled_ = true;
      return std::exchange(cancel_, nullptr)();
    }
  }
  LookAfter(left);
}

}  // namespace gregor
