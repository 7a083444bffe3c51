#include "broker/grpc/drain_signal.h"

#include <algorithm>
#include <utility>

namespace gregor {

void DrainSignal::Begin(Duration close_in) {
  std::vector<std::weak_ptr<Observer>> observers;
  {
    const MutexLock lock(mutex_);
    if (std::exchange(begun_, true)) return;
    close_in_ = close_in;
    observers.swap(observers_);
  }
  for (const auto& each : observers) {
    if (const auto observer = each.lock()) (*observer)(close_in);
  }
}

bool DrainSignal::begun() const {
  const MutexLock lock(mutex_);
  return begun_;
}

std::shared_ptr<void> DrainSignal::Watch(Observer observer) {
  auto watched = std::make_shared<Observer>(std::move(observer));
  Duration close_in{0};
  {
    const MutexLock lock(mutex_);
    if (!begun_) {
      // Those that went are swept when the list would grow.
      if (observers_.size() == observers_.capacity()) {
        observers_.erase(std::remove_if(observers_.begin(), observers_.end(),
                                        [](const auto& each) { return each.expired(); }),
                         observers_.end());
      }
      observers_.push_back(watched);
      return watched;
    }
    close_in = close_in_;
  }
  (*watched)(close_in);
  return watched;
}

}  // namespace gregor
