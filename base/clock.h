#ifndef GREGOR_BASE_CLOCK_H_
#define GREGOR_BASE_CLOCK_H_

#include "base/time.h"
#include "base/types.h"

namespace gregor {

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
