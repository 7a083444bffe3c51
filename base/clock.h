#ifndef GREGOR_BASE_CLOCK_H_
#define GREGOR_BASE_CLOCK_H_

#include <chrono>

#include "base/types.h"

namespace gregor {

using Duration = std::chrono::nanoseconds;

// The tag of monotonic time points; they have no epoch that means anything outside of the process.
struct MonotonicTag {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicTag>;
  static constexpr bool is_steady = true;
};
using MonotonicTime = std::chrono::time_point<MonotonicTag>;

// The only source of time. Thread: any.
class Clock {
 public:
  virtual ~Clock() = default;
  // Never goes back; what timeouts are measured with.
  virtual MonotonicTime Now() const = 0;
  // The wall clock; may jump either way. What records are stamped with.
  virtual Timestamp WallNow() const = 0;
};

// The machine's clocks.
const Clock& SystemClock();

}  // namespace gregor

#endif  // GREGOR_BASE_CLOCK_H_
