#include "base/utf8.h"

#include <cstdint>
#include <cstring>

namespace gregor {
namespace {

// Of the character that `text` begins with; 0: that is none.
size_t CharacterSize(std::string_view text) {
  const auto first = static_cast<uint8_t>(text.front());
  const size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  return size <= text.size() && IsUtf8(text.substr(0, size)) ? size : 0;
}

// Whether it moves a cursor, or the letters around it, or cannot be seen.
bool IsControl(std::string_view character) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(character[i]); };
  if (character.size() == 1) return byte(0) < ' ' || byte(0) == 0x7f;
  if (character.size() == 2) return byte(0) == 0xc2 && byte(1) < 0xa0;
  if (character.size() > 3) return false;
  const int code = (byte(0) & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
  return (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

}  // namespace

bool IsUtf8(std::string_view text) {
  const auto* at = reinterpret_cast<const uint8_t*>(text.data());
  const uint8_t* const end = at + text.size();
  while (true) {
    // Nearly all text is ASCII: eight at a time.
    for (uint64_t eight; end - at >= 8; at += 8) {
      std::memcpy(&eight, at, sizeof eight);
      if ((eight & 0x8080808080808080u) != 0) break;
    }
    while (at < end && *at < 0x80) ++at;
    if (at == end) return true;
    const uint8_t first = *at;
    const int size = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (size == 0 || end - at < size) return false;
    // What the second byte may be excludes longer forms, surrogates and what is above U+10FFFF.
    const uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high) return false;
    for (int i = 2; i < size; ++i) {
      if ((at[i] & 0xc0) != 0x80) return false;
    }
    at += size;
  }
}

std::string ShowQuoted(std::string_view text, size_t bytes_max) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string shown = "\"";
  while (!text.empty()) {
    const size_t whole = CharacterSize(text);
    const std::string_view next = text.substr(0, whole == 0 ? 1 : whole);
    if (next.size() > bytes_max) return shown + "...\"";
    bytes_max -= next.size();
    text.remove_prefix(next.size());
    if (whole > 0 && !IsControl(next)) {
      shown += next;
      continue;
    }
    for (const char letter : next) {
      const auto byte = static_cast<uint8_t>(letter);
      shown += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return shown + "\"";
}

}  // namespace gregor
