#ifndef GREGOR_BASE_VARINT_H_
#define GREGOR_BASE_VARINT_H_

#include <cstdint>
#include <string>

namespace gregor {

// Zig-zag base-128 integers of the record format. Thread: any.

constexpr uint64_t ZigZag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
constexpr int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

constexpr size_t VarintSize(int64_t value) {
  return (static_cast<size_t>(63 - __builtin_clzll(ZigZag(value) | 1)) * 37 >> 8) +
         1;  // (bits + 6) / 7
}

// Writes `value` to `out`, which has 10 bytes; returns the end.
inline uint8_t* WriteVarint(uint8_t* out, int64_t value) {
  uint64_t rest = ZigZag(value);
  while (rest >= 0x80) {
    *out++ = static_cast<uint8_t>(rest) | 0x80;
    rest >>= 7;
  }
  *out++ = static_cast<uint8_t>(rest);
  return out;
}

// Reads a value of at most `bytes_max` bytes from [at, end); returns what follows it, or nullptr if
// it is cut off or longer. Forms longer than needed are taken.
inline const uint8_t* ReadVarint(const uint8_t* at, const uint8_t* end, int bytes_max,
                                 int64_t* value) {
  uint64_t result = 0;
  for (int i = 0; i < bytes_max && at < end; ++i) {
    const uint64_t byte = *at++;
    result |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      *value = UnZigZag(result);
      return at;
    }
  }
  return nullptr;
}

}  // namespace gregor

#endif  // GREGOR_BASE_VARINT_H_
