#include "base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace gregor {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // reflected

// Powers x^(2^n) and products are taken modulo the polynomial, with bit 31 as x^0.
constexpr uint32_t Multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = uint32_t{1} << 31; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) product ^= b;
    b = (b & 1) != 0 ? (b >> 1) ^ kPolynomial : b >> 1;
  }
  return product;
}

constexpr std::array<uint32_t, 64> MakePowers() {
  std::array<uint32_t, 64> powers{};
  uint32_t power = uint32_t{1} << 30;  // x^1
  for (uint32_t& each : powers) {
    each = power;
    power = Multiply(power, power);
  }
  return powers;
}
constexpr std::array<uint32_t, 64> kPowers = MakePowers();

// x^(8 * bytes): what appending so many bytes multiplies a CRC by.
constexpr uint32_t ShiftFactor(uint64_t bytes) {
  uint32_t factor = uint32_t{1} << 31;  // x^0
  for (size_t i = 3; bytes != 0; ++i, bytes >>= 1) {
    if ((bytes & 1) != 0) factor = Multiply(kPowers[i & 63], factor);
  }
  return factor;
}

// kByteTables[n][b]: the CRC of byte b with n zeros after it.
constexpr std::array<std::array<uint32_t, 256>, 8> MakeByteTables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? (crc >> 1) ^ kPolynomial : crc >> 1;
    tables[0][i] = crc;
  }
  for (size_t n = 1; n < tables.size(); ++n) {
    for (uint32_t i = 0; i < 256; ++i) {
      const uint32_t before = tables[n - 1][i];
      tables[n][i] = tables[0][before & 0xff] ^ (before >> 8);
    }
  }
  return tables;
}
constexpr std::array<std::array<uint32_t, 256>, 8> kByteTables = MakeByteTables();

#if defined(__x86_64__)

// The instruction has a latency of three cycles and a throughput of one: three streams at a time,
// joined by a table that shifts a CRC over one stream's length (V. Gopal et al., "Fast CRC
// Computation for iSCSI Polynomial", 2011).
constexpr size_t kStreamBytes = 1024;

using ShiftTable = std::array<std::array<uint32_t, 256>, 4>;
constexpr ShiftTable MakeShiftTable() {
  ShiftTable table{};
  const uint32_t factor = ShiftFactor(kStreamBytes);
  for (size_t byte = 0; byte < 4; ++byte) {
    for (uint32_t i = 0; i < 256; ++i) table[byte][i] = Multiply(factor, i << (8 * byte));
  }
  return table;
}
constexpr ShiftTable kShift = MakeShiftTable();

uint32_t ShiftStream(uint32_t crc) {
  return kShift[0][crc & 0xff] ^ kShift[1][crc >> 8 & 0xff] ^ kShift[2][crc >> 16 & 0xff] ^
         kShift[3][crc >> 24];
}

__attribute__((target("sse4.2"))) uint32_t Crc32cHardware(uint32_t crc, const uint8_t* data,
                                                          size_t size) {
  const auto load = [](const uint8_t* at) {
    uint64_t word;
    std::memcpy(&word, at, sizeof word);
    return word;
  };
  uint64_t state = ~crc;
  while (size >= 3 * kStreamBytes) {
    uint64_t second = 0, third = 0;
    for (size_t i = 0; i < kStreamBytes; i += 8) {
      state = _mm_crc32_u64(state, load(data + i));
      second = _mm_crc32_u64(second, load(data + kStreamBytes + i));
      third = _mm_crc32_u64(third, load(data + 2 * kStreamBytes + i));
    }
    state = ShiftStream(static_cast<uint32_t>(state)) ^ second;
    state = ShiftStream(static_cast<uint32_t>(state)) ^ third;
    data += 3 * kStreamBytes;
    size -= 3 * kStreamBytes;
  }
  for (; size >= 8; data += 8, size -= 8) state = _mm_crc32_u64(state, load(data));
  auto small = static_cast<uint32_t>(state);
  for (; size > 0; ++data, --size) small = _mm_crc32_u8(small, *data);
  return ~small;
}

#endif

}  // namespace

uint32_t Crc32cPortable(uint32_t crc, std::span<const uint8_t> data) {
  crc = ~crc;
  // Eight bytes at a time (M. Kounavis, F. Berry, "A Systematic Approach to Building High
  // Performance Software-Based CRC Generators", 2005).
  while (data.size() >= 8) {
    const uint32_t low = crc ^ (data[0] | data[1] << 8 | data[2] << 16 | uint32_t{data[3]} << 24);
    crc = kByteTables[7][low & 0xff] ^ kByteTables[6][low >> 8 & 0xff] ^
          kByteTables[5][low >> 16 & 0xff] ^ kByteTables[4][low >> 24] ^ kByteTables[3][data[4]] ^
          kByteTables[2][data[5]] ^ kByteTables[1][data[6]] ^ kByteTables[0][data[7]];
    data = data.subspan(8);
  }
  for (const uint8_t byte : data) crc = kByteTables[0][(crc ^ byte) & 0xff] ^ (crc >> 8);
  return ~crc;
}

uint32_t Crc32c(uint32_t crc, std::span<const uint8_t> data) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return Crc32cHardware(crc, data.data(), data.size());
#endif
  return Crc32cPortable(crc, data);
}

uint32_t Crc32c(uint32_t crc, const Bytes& bytes) {
  for (const Slice& slice : bytes.slices()) crc = Crc32c(crc, slice.span());
  return crc;
}

uint32_t Crc32cConcat(uint32_t crc_a, uint32_t crc_b, uint64_t size_b) {
  return Multiply(ShiftFactor(size_b), crc_a) ^ crc_b;
}

}  // namespace gregor
