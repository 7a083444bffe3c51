#ifndef GREGOR_NODE_SETTING_VALUES_H_
#define GREGOR_NODE_SETTING_VALUES_H_

#include <cstdint>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace gregor {

// Text to values of settings; all fail with kInvalidConfig, saying what was expected. Thread: any.

// Whole number in [low, high].
Result<int64_t> ParseInteger(std::string_view text, int64_t low, int64_t high);
// Bytes: a whole number, with or without KiB, MiB, GiB, TiB (or K, M, G, T).
Result<uint64_t> ParseByteCount(std::string_view text, uint64_t low, uint64_t high);
// A whole number with ms, s, m, h or d.
Result<Duration> ParseDuration(std::string_view text, Duration low, Duration high);

}  // namespace gregor

#endif  // GREGOR_NODE_SETTING_VALUES_H_
