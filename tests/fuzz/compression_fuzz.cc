// Links: gregor_base
// Compressed payloads from clients. The first byte of the input is the codec (low three bits) and
// how the payload is cut into slices, the rest is the payload.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/compression.h"

namespace gregor {
namespace {

constexpr size_t kOutputBytesMax = 256 << 10;

void Run(Codec codec, size_t piece, std::string_view payload) {
  Bytes sliced;
  for (size_t at = 0; at < payload.size(); at += piece)
    sliced.Append(Slice::Copy(payload.substr(at, piece)));
  const auto whole = Decompress(codec, Slice::Copy(payload), kOutputBytesMax);
  const auto parts = Decompress(codec, sliced, kOutputBytesMax);
  CHECK_EQ(whole.ok(), parts.ok());
  if (whole.ok()) {
    CHECK_LE(whole->size(), kOutputBytesMax);
    CHECK(*whole == *parts);
    // The limit is exact.
    CHECK(Decompress(codec, sliced, whole->size()).ok());
    if (!whole->empty()) CHECK(!Decompress(codec, sliced, whole->size() - 1).ok());
  } else {
    const Reason reason = whole.error().reason;
    CHECK(reason == Reason::kCorruptBatch || reason == Reason::kBatchTooLarge ||
          reason == Reason::kUnsupportedCompression)
        << whole.error();
  }
  if (codec > Codec::kZstd) return;
  const auto back = Decompress(codec, Slice::Own(Compress(codec, payload)), payload.size());
  CHECK(back.ok()) << back.error();
  CHECK(*back == payload);
}

}  // namespace
}  // namespace gregor

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  gregor::Run(static_cast<gregor::Codec>(data[0] & 7), size_t{1} + (data[0] >> 3) * 3,
              {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
