#ifndef GREGOR_RAFT_CORE_QUORUM_H_
#define GREGOR_RAFT_CORE_QUORUM_H_

#include <algorithm>
#include <cstddef>
#include <functional>
#include <vector>

#include "base/check.h"
#include "base/types.h"
#include "raft/core/mutant.h"

namespace gregor::raft {

// More than half: any two of them share a voter.
inline size_t MajorityOf(size_t voters) { return IsMutant(8) ? (voters + 1) / 2 : voters / 2 + 1; }

// The largest value that a majority has reached. REQUIRES: there is one.
template <typename Value>
Value ReachedByMajority(std::vector<Value> values) {
  CHECK(!values.empty());
  std::sort(values.begin(), values.end(), std::greater<>());
  return values[MajorityOf(values.size()) - 1];
}

}  // namespace gregor::raft

#endif  // GREGOR_RAFT_CORE_QUORUM_H_
