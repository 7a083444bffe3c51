#include "node/setting_values.h"

#include <algorithm>
#include <charconv>
#include <span>
#include <string>
#include <utility>

namespace gregor {
namespace {

Error Expected(std::string_view text, const std::string& what) {
  return Error(Reason::kInvalidConfig, "\"" + std::string(text) + "\" is not " + what);
}

struct Unit {
  std::string_view suffix;
  int64_t factor;
};

constexpr int64_t kKibibyte = 1024;
constexpr int64_t kMebibyte = kKibibyte * kKibibyte;
constexpr int64_t kGibibyte = kMebibyte * kKibibyte;
constexpr int64_t kTebibyte = kGibibyte * kKibibyte;
// The smallest first.
constexpr Unit kByteUnits[] = {
    {"", 1},          {"B", 1},           {"K", kKibibyte}, {"KiB", kKibibyte},
    {"M", kMebibyte}, {"MiB", kMebibyte}, {"G", kGibibyte}, {"GiB", kGibibyte},
    {"T", kTebibyte}, {"TiB", kTebibyte}};
// The smallest first.
constexpr Unit kDurationUnits[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};

// In the largest unit that gives a whole number: "64 KiB".
std::string ByteCountText(uint64_t bytes) {
  std::string text = std::to_string(bytes);
  for (const Unit& unit : kByteUnits) {
    const auto factor = static_cast<uint64_t>(unit.factor);
    if (unit.suffix.ends_with("iB") && bytes >= factor && bytes % factor == 0)
      text = std::to_string(bytes / factor) + " " + std::string(unit.suffix);
  }
  return text;
}

// In the largest unit that gives a whole number.
std::string DurationText(Duration duration) {
  const int64_t ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  std::string text;
  for (const Unit& unit : kDurationUnits) {
    if (text.empty() || ms % unit.factor == 0)
      text = std::to_string(ms / unit.factor) + std::string(unit.suffix);
    if (ms == 0) break;
  }
  return text;
}

// A number that a unit follows.
Result<int64_t> ParseScaled(std::string_view text, std::span<const Unit> units,
                            const std::string& what) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0) return Expected(text, what);
  std::string_view suffix(end, static_cast<size_t>(text.data() + text.size() - end));
  while (!suffix.empty() && suffix.front() == ' ') suffix.remove_prefix(1);
  for (const Unit& unit : units) {
    if (suffix != unit.suffix) continue;
    int64_t scaled = 0;
    if (__builtin_mul_overflow(number, unit.factor, &scaled)) return Expected(text, what);
    return scaled;
  }
  return Expected(text, what);
}

}  // namespace

Result<int64_t> ParseInteger(std::string_view text, int64_t low, int64_t high) {
  const std::string what =
      "a whole number from " + std::to_string(low) + " to " + std::to_string(high);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < low || number > high) {
    return Expected(text, what);
  }
  return number;
}

Result<uint64_t> ParseByteCount(std::string_view text, uint64_t low, uint64_t high) {
  const std::string what = "a number of bytes from " + ByteCountText(low) + " to " +
                           ByteCountText(high) + " (KiB, MiB, GiB, TiB may follow)";
  ASSIGN_OR_RETURN(const int64_t bytes, ParseScaled(text, kByteUnits, what));
  const auto value = static_cast<uint64_t>(bytes);
  if (value < low || value > high) return Expected(text, what);
  return value;
}

Result<Duration> ParseDuration(std::string_view text, Duration low, Duration high) {
  const std::string what = "a duration from " + DurationText(low) + " to " + DurationText(high) +
                           " (a whole number with ms, s, m, h or d)";
  ASSIGN_OR_RETURN(const int64_t value, ParseScaled(text, kDurationUnits, what));
  if (value > std::chrono::duration_cast<std::chrono::milliseconds>(high).count())
    return Expected(text, what);
  const Duration duration = std::chrono::milliseconds(value);
  if (duration < low) return Expected(text, what);
  return duration;
}

}  // namespace gregor
