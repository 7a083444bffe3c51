#ifndef GREGOR_BASE_TIME_H_
#define GREGOR_BASE_TIME_H_

#include <chrono>

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

// `ms` milliseconds of a setting, 0 or more; a hundred years where it is more than that, so that a
// time can be added.
constexpr Duration DurationOfMs(int64_t ms) {
  constexpr std::chrono::hours kMax{24 * 36525};
  return ms < std::chrono::milliseconds(kMax).count() ? Duration(std::chrono::milliseconds(ms))
                                                      : Duration(kMax);
}

}  // namespace gregor

#endif  // GREGOR_BASE_TIME_H_
