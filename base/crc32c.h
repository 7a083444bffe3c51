#ifndef GREGOR_BASE_CRC32C_H_
#define GREGOR_BASE_CRC32C_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace gregor {

// CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the processor's instruction where there is one.
// `crc` is the value of the bytes before (0 to begin with), so that
// Crc32c(Crc32c(0, a), b) == Crc32c(0, a + b).
uint32_t Crc32c(uint32_t crc, std::span<const uint8_t> data);
uint32_t Crc32c(uint32_t crc, const Bytes& bytes);

// The same by table: the fallback, and the reference in tests.
uint32_t Crc32cPortable(uint32_t crc, std::span<const uint8_t> data);

// The CRC of a + b from those of a and b and the length of b, without touching the bytes. Also how
// a changed prefix is accounted for: the CRC is linear (see docs/formats.md).
uint32_t Crc32cConcat(uint32_t crc_a, uint32_t crc_b, uint64_t size_b);

}  // namespace gregor

#endif  // GREGOR_BASE_CRC32C_H_
