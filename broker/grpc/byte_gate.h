#ifndef GREGOR_BROKER_GRPC_BYTE_GATE_H_
#define GREGOR_BROKER_GRPC_BYTE_GATE_H_

#include <cstddef>
#include <deque>

#include "base/task.h"
#include "base/thread_annotations.h"

namespace gregor {

// A number of bytes that many share, and wait for in turn where it is used up. Thread: any.
class ByteGate {
 public:
  explicit ByteGate(size_t bytes_max) : max_(bytes_max) {}

  // Takes `bytes` and returns true, or returns false and runs `granted` once they are taken, on the
  // thread that gave them back. More than there is in all is granted when nothing else is taken.
  bool Take(size_t bytes, Task granted);
  // False where it would have to wait.
  bool TryTake(size_t bytes);
  // Takes them without waiting, also where there is no room.
  void TakeAnyway(size_t bytes);
  void Give(size_t bytes);
  size_t used() const;

 private:
  struct Waiting {
    size_t bytes;
    Task granted;
  };
  bool Fits(size_t bytes) const TS_REQUIRES(mutex_) {
    return used_ == 0 || (bytes <= max_ && used_ <= max_ - bytes);
  }

  const size_t max_;
  mutable Mutex mutex_;
  size_t used_ TS_GUARDED_BY(mutex_) = 0;
  std::deque<Waiting> waiting_ TS_GUARDED_BY(mutex_);
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_BYTE_GATE_H_
