#ifndef GREGOR_BASE_COMPRESSION_H_
#define GREGOR_BASE_COMPRESSION_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "base/budget.h"
#include "base/bytes.h"
#include "base/result.h"

namespace gregor {

// As in the low three bits of a batch's attributes.
enum class Codec : uint8_t { kNone = 0, kGzip = 1, kSnappy = 2, kLz4 = 3, kZstd = 4 };

// "none", "gzip", "snappy", "lz4", "zstd".
std::string_view CodecName(Codec codec);

// Compresses `input` in the framing that Kafka clients read: gzip member, snappy-java blocks, LZ4
// frame with independent blocks, one zstd frame (reference: docs/formats.md). Level: the codec's
// default. kNone copies.
std::string Compress(Codec codec, std::string_view input);

// Decompresses every framing that is met in the wild (several gzip members, raw snappy, LZ4 and
// zstd frames with or without sizes). Fails with kCorruptBatch on malformed input, and with
// kBatchTooLarge once the output would exceed `output_bytes_max`; never allocates more than twice
// that, whatever the input claims. `memory`, where it is given, grows by what is allocated before
// that happens: fails with kQuotaExceeded where its budget does not have as much now, with
// kBatchTooLarge where it never has.
Result<std::string> Decompress(Codec codec, const Bytes& input, size_t output_bytes_max,
                               Budget::Share* memory = nullptr);

// Round-trips a sample through every codec (KAFKA-9203: a broken codec library must not reject good
// data at run time). Fails with kUnsupportedCompression naming the codec. Called once at start.
Result<void> CheckCodecs();

}  // namespace gregor

#endif  // GREGOR_BASE_COMPRESSION_H_
