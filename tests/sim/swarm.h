#ifndef GREGOR_TESTS_SIM_SWARM_H_
#define GREGOR_TESTS_SIM_SWARM_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "base/random.h"

namespace gregor {

// How a run's configuration and its steps are drawn.

template <typename T>
const T& Pick(Random& random, const std::vector<T>& choices) {
  return choices[random.Below(choices.size())];
}

// None for half of them. Not drawn, so that known seeds keep what they drew.
inline Duration MarksTrailFor(Duration flush_interval) {
  const bool trails = flush_interval / std::chrono::milliseconds(1) % 2 == 1;
  return trails ? flush_interval / 50 : Duration(0);
}

// Most values near the low end, some near the high one. REQUIRES: 0 < low <= high.
inline int64_t LogUniform(Random& random, int64_t low, int64_t high) {
  const int64_t doublings = 63 - __builtin_clzll(static_cast<uint64_t>(high / low));
  const int64_t bound = low << random.Between(0, doublings);
  return random.Between(bound, std::min(high, 2 * bound));
}

// An interval that is `mean` on average.
inline Duration About(Random& random, Duration mean) {
  return Duration(random.Between(1, 2 * mean.count()));
}

inline bool HasWeight(const std::vector<uint64_t>& weights) {
  return std::any_of(weights.begin(), weights.end(), [](uint64_t weight) { return weight > 0; });
}

// An index, with a probability in proportion to its weight. REQUIRES: HasWeight(weights).
inline size_t PickWeighted(Random& random, const std::vector<uint64_t>& weights) {
  uint64_t sum = 0;
  for (const uint64_t weight : weights) sum += weight;
  uint64_t drawn = random.Below(sum);
  for (size_t i = 0;; ++i) {
    if (drawn < weights[i]) return i;
    drawn -= weights[i];
  }
}

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_SWARM_H_
