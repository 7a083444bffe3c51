#ifndef GREGOR_STORAGE_ENCODING_H_
#define GREGOR_STORAGE_ENCODING_H_

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gregor {

// Numbers in files: most significant byte first, as everywhere in the log's formats. Thread: any.

template <std::integral T>
void PutBigEndian(std::string* out, T number) {
  const auto bits = static_cast<uint64_t>(number);
  for (int shift = 8 * static_cast<int>(sizeof(T)) - 8; shift >= 0; shift -= 8) {
    out->push_back(static_cast<char>((bits >> shift) & 0xff));
  }
}

// Takes a number off the front of `*rest`; nullopt (and `*rest` as it was) where it is too short.
template <std::integral T>
std::optional<T> TakeBigEndian(std::string_view* rest) {
  if (rest->size() < sizeof(T)) return std::nullopt;
  uint64_t bits = 0;
  for (size_t i = 0; i < sizeof(T); ++i) bits = bits << 8 | static_cast<uint8_t>((*rest)[i]);
  rest->remove_prefix(sizeof(T));
  return static_cast<T>(bits);
}

// A string behind its length.
void PutText(std::string* out, std::string_view text);
std::optional<std::string_view> TakeText(std::string_view* rest);

// The content of a small file behind four bytes that say what it is, and its checksum.
std::string Seal(uint32_t magic, std::string_view body);
// The body again; nullopt where it is another kind of file, or damaged.
std::optional<std::string_view> Unseal(uint32_t magic, std::string_view text);

}  // namespace gregor

#endif  // GREGOR_STORAGE_ENCODING_H_
