#include "broker/grpc/byte_gate.h"

#include <utility>
#include <vector>

#include "base/check.h"

namespace gregor {

bool ByteGate::Take(size_t bytes, Task granted) {
  const MutexLock lock(mutex_);
  if (waiting_.empty() && Fits(bytes)) {
    used_ += bytes;
    return true;
  }
  waiting_.push_back({bytes, std::move(granted)});
  return false;
}

bool ByteGate::TryTake(size_t bytes) {
  const MutexLock lock(mutex_);
  if (!waiting_.empty() || !Fits(bytes)) return false;
  used_ += bytes;
  return true;
}

void ByteGate::TakeAnyway(size_t bytes) {
  const MutexLock lock(mutex_);
  used_ += bytes;
}

void ByteGate::Give(size_t bytes) {
  std::vector<Task> granted;
  {
    const MutexLock lock(mutex_);
    CHECK_GE(used_, bytes);
    used_ -= bytes;
    while (!waiting_.empty() && Fits(waiting_.front().bytes)) {
      used_ += waiting_.front().bytes;
      granted.push_back(std::move(waiting_.front().granted));
      waiting_.pop_front();
    }
  }
  for (Task& task : granted) task();
}

size_t ByteGate::used() const {
  const MutexLock lock(mutex_);
  return used_;
}

}  // namespace gregor
