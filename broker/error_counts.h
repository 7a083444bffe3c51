#ifndef GREGOR_BROKER_ERROR_COUNTS_H_
#define GREGOR_BROKER_ERROR_COUNTS_H_

#include <array>
#include <cstddef>

#include "base/metrics.h"
#include "base/result.h"

namespace gregor {

// How many calls of a kind were refused or failed, by reason; whichever door they came through.
// Thread: any; a relaxed atomic addition.
class ErrorCounts {
 public:
  void Add(Reason reason) { counts_[IndexOf(reason)].Add(); }
  uint64_t Of(Reason reason) const { return counts_[IndexOf(reason)].value(); }

 private:
  // More than any reason's number; a test walks them.
  static constexpr size_t kReasonEnd = 256;

  static size_t IndexOf(Reason reason) {
    const auto index = static_cast<size_t>(reason);
    CHECK_LT(index, kReasonEnd);
    return index;
  }
  std::array<Counter, kReasonEnd> counts_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_ERROR_COUNTS_H_
