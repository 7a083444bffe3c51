#include "base/time_text.h"

#include <charconv>
#include <cstdio>
#include <ctime>
#include <string_view>

namespace gregor {
namespace {

// ".250" as 250; nothing as 0. Takes it off `text`.
bool TakeMilliseconds(std::string_view& text, int64_t* milliseconds) {
  *milliseconds = 0;
  if (!text.starts_with('.')) return true;
  size_t digits = 0;
  int64_t scale = 100;
  for (text.remove_prefix(1); digits < text.size() && text[digits] >= '0' && text[digits] <= '9';
       ++digits, scale /= 10)
    *milliseconds += (text[digits] - '0') * scale;
  text.remove_prefix(digits);
  return digits > 0;
}

bool ParseTwoDigits(std::string_view text, int64_t* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size() && *value >= 0;
}

// "", "Z" or "+02:00" as seconds that local time is ahead.
bool ParseZone(std::string_view text, int64_t* seconds) {
  *seconds = 0;
  if (text.empty() || text == "Z") return true;
  int64_t hours = 0, minutes = 0;
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':' ||
      !ParseTwoDigits(text.substr(1, 2), &hours) || !ParseTwoDigits(text.substr(4, 2), &minutes))
    return false;
  *seconds = (text[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
  return true;
}

}  // namespace

std::optional<Timestamp> ParseTime(const std::string& text) {
  std::tm time{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%d", &time);
  if (rest == nullptr) return std::nullopt;
  std::tm day = time;
  if (timegm(&day) == -1 || day.tm_mday != time.tm_mday) return std::nullopt;  // no such day
  if (*rest == 'T') rest = strptime(rest, "T%H:%M:%S", &time);
  if (rest == nullptr) return std::nullopt;
  std::string_view left(rest);
  int64_t fraction = 0, ahead = 0;
  if (!TakeMilliseconds(left, &fraction) || !ParseZone(left, &ahead)) return std::nullopt;
  return Timestamp{(static_cast<int64_t>(timegm(&time)) - ahead) * 1000 + fraction};
}

std::string TimeText(Timestamp time) {
  std::time_t seconds = time.value / 1000;
  int64_t fraction = time.value % 1000;
  if (fraction < 0) {
    fraction += 1000;
    --seconds;
  }
  std::tm parts{};
  char text[64];
  if (gmtime_r(&seconds, &parts) == nullptr) return std::to_string(time.value) + " ms";
  const size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + size, sizeof text - size, ".%03dZ", static_cast<int>(fraction));
  return text;
}

}  // namespace gregor
