#ifndef GREGOR_CLIENT_TIMING_H_
#define GREGOR_CLIENT_TIMING_H_

#include <chrono>

#include "base/time.h"

namespace gregor {

// Between attempts at what failed and may be tried again: the first one, twice as much with each,
// up to the last one.
inline constexpr Duration kBackoffMin = std::chrono::milliseconds(20);
inline constexpr Duration kBackoffMax = std::chrono::seconds(1);
// For the answer to a short question.
inline constexpr Duration kCallTimeout = std::chrono::seconds(10);

}  // namespace gregor

#endif  // GREGOR_CLIENT_TIMING_H_
