#include "base/types.h"

#include <charconv>

namespace gregor {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

}  // namespace

std::string UuidToString(const std::array<uint8_t, 16>& bytes) {
  std::string text;
  text.reserve(22);
  uint32_t buffer = 0;
  int bits = 0;
  for (uint8_t byte : bytes) {
    buffer = buffer << 8 | byte;
    bits += 8;
    while (bits >= 6) {
      bits -= 6;
      text += kAlphabet[buffer >> bits & 63];
    }
  }
  text += kAlphabet[buffer << (6 - bits) & 63];
  return text;
}

bool ParseUuid(std::string_view text, std::array<uint8_t, 16>* bytes) {
  if (text.size() != 22) return false;
  uint32_t buffer = 0;
  int bits = 0;
  size_t at = 0;
  for (char c : text) {
    const size_t digit = kAlphabet.find(c);
    if (digit == std::string_view::npos) return false;
    buffer = buffer << 6 | static_cast<uint32_t>(digit);
    bits += 6;
    if (bits >= 8 && at < bytes->size()) {
      bits -= 8;
      (*bytes)[at++] = static_cast<uint8_t>(buffer >> bits);
    }
  }
  return (buffer & 15) == 0;  // one spelling per id
}

std::string TopicIdPartition::ToString() const {
  return topic_id.ToString() + "-" + std::to_string(partition.value);
}

std::optional<TopicIdPartition> TopicIdPartition::Parse(std::string_view text) {
  if (text.size() < 24 || text[22] != '-') return std::nullopt;
  const auto topic_id = TopicId::Parse(text.substr(0, 22));
  int32_t index = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + 23, end, index);
  if (!topic_id || error != std::errc() || stop != end || index < 0) return std::nullopt;
  return TopicIdPartition{*topic_id, {index}};
}

}  // namespace gregor
