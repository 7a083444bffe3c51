#include "base/utf8.h"

#include <cstdint>
#include <cstring>

namespace gregor {

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

}  // namespace gregor
