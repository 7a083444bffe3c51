#ifndef GREGOR_CLIENT_CLI_HISTOGRAM_H_
#define GREGOR_CLIENT_CLI_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <functional>

#include "base/clock.h"

namespace gregor {

// Counts durations in buckets whose width is at most 1/32 of their value. Thread: its owner's.
class Histogram {
 public:
  void Add(Duration duration, int64_t times = 1) {
    const auto value = static_cast<uint64_t>(std::max<int64_t>(0, duration.count()) / 1000);
    counts_[IndexOf(value)] += times;
    count_ += times;
    max_ = std::max(max_, duration);
  }
  void Add(const Histogram& other) {
    for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
    max_ = std::max(max_, other.max_);
  }
  int64_t count() const { return count_; }
  Duration max() const { return max_; }
  // The duration that `fraction` of the values do not exceed.
  Duration Quantile(double fraction) const {
    auto left = static_cast<int64_t>(fraction * static_cast<double>(count_));
    for (size_t i = 0; i < counts_.size(); ++i) {
      left -= counts_[i];
      if (left < 0) return std::min<Duration>(max_, std::chrono::microseconds(UpperOf(i)));
    }
    return max_;
  }
  // Calls `visit` with [begin, end) and the count of every power of two in which there are values,
  // and of those between.
  void ForEachOctave(
      const std::function<void(Duration begin, Duration end, int64_t count)>& visit) const {
    int64_t left = count_;
    for (int bit = 0; bit < 64 && left > 0; ++bit) {
      const uint64_t begin = bit == 0 ? 0 : uint64_t{1} << bit, end = uint64_t{2} << bit;
      int64_t count = 0;
      for (size_t i = IndexOf(begin); i < IndexOf(end) && i < counts_.size(); ++i)
        count += counts_[i];
      if (count > 0 || left < count_)
        visit(std::chrono::microseconds(begin), std::chrono::microseconds(end), count);
      left -= count;
    }
  }

 private:
  static constexpr int kSubBits = 5;
  static size_t IndexOf(uint64_t value) {
    if (value < (1u << kSubBits)) return value;
    const int shift = std::bit_width(value) - 1 - kSubBits;
    return ((static_cast<size_t>(shift) + 1) << kSubBits) +
           ((value >> shift) & ((1u << kSubBits) - 1));
  }
  static int64_t UpperOf(size_t index) {
    if (index < (1u << kSubBits)) return static_cast<int64_t>(index) + 1;
    const size_t shift = (index >> kSubBits) - 1;
    return static_cast<int64_t>(((index & ((1u << kSubBits) - 1)) + (1u << kSubBits) + 1) << shift);
  }

  std::array<int64_t, 64 << kSubBits> counts_{};
  int64_t count_ = 0;
  Duration max_{0};
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_HISTOGRAM_H_
