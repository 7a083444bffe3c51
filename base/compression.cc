#include "base/compression.h"

#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>

namespace gregor {
namespace {

constexpr std::string_view kSnappyMagic("\x82SNAPPY\0", 8);
constexpr size_t kSnappyHeaderBytes = 16;  // magic, version, oldest compatible version
constexpr size_t kSnappyBlockBytes = 32 << 10;
constexpr size_t kChunkBytes = 64 << 10;
constexpr size_t kZstdBlockBytesMax = 128 << 10;

Error Corrupt(Codec codec, const std::string& what) {
  return Error(Reason::kCorruptBatch,
               "the " + std::string(CodecName(codec)) + " data cannot be decompressed: " + what);
}

// Output that grows with what really comes, up to a limit, and as far as a budget has it.
class Output {
 public:
  Output(Codec codec, size_t limit, Budget::Share* memory)
      : codec_(codec), limit_(std::min(limit, SIZE_MAX - 1)), memory_(memory) {}

  // Room for at least one byte more; fails with kBatchTooLarge beyond the limit.
  Result<std::span<char>> Room() {
    if (used_ == data_.size()) {
      if (used_ > limit_) return TooLarge();
      // One byte beyond the limit tells a fit from an excess.
      RETURN_IF_ERROR(Resize(std::min(std::max(kChunkBytes, 2 * used_), limit_ + 1)));
    }
    return std::span<char>(data_.data() + used_, data_.size() - used_);
  }
  // Room for `bytes` more, within the limit.
  Result<char*> RoomFor(size_t bytes) {
    if (bytes > left()) return TooLarge();
    if (used_ + bytes > data_.size())
      RETURN_IF_ERROR(Resize(std::max(used_ + bytes, std::min(2 * data_.size(), limit_))));
    return data_.data() + used_;
  }
  Result<void> Use(size_t bytes) {
    used_ += bytes;
    if (used_ > limit_) return TooLarge();
    return {};
  }
  // How much more the limit allows.
  size_t left() const { return limit_ - used_; }
  Error TooLarge() const { return TooLarge(limit_); }
  std::string Take() {
    data_.resize(used_);
    return std::move(data_);
  }

 private:
  Error TooLarge(size_t limit) const {
    return Error(Reason::kBatchTooLarge, "the " + std::string(CodecName(codec_)) +
                                             " data decompresses to more than " +
                                             std::to_string(limit) + " bytes")
        .With("limit_bytes", std::to_string(limit));
  }
  Result<void> Resize(size_t size) {
    if (memory_ != nullptr) {
      const size_t max = memory_->budget_max();
      if (size > max || data_.size() > max - size) return TooLarge(max);
      if (!memory_->TryGrow(size)) {
        return Error(Reason::kQuotaExceeded,
                     "the memory that decompressing takes (" + std::to_string(size) + " of " +
                         std::to_string(max) + " bytes) is in use: retry more slowly");
      }
    }
    std::string larger;
    larger.reserve(size);
    larger.assign(data_, 0, used_);
    larger.resize(size);
    if (memory_ != nullptr) memory_->ShrinkTo(memory_->bytes() - data_.size());
    data_ = std::move(larger);
    return {};
  }

  const Codec codec_;
  const size_t limit_;
  Budget::Share* const memory_;
  std::string data_;
  size_t used_ = 0;
};

void AppendBigEndian32(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
}

uint32_t LoadBigEndian32(const char* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return __builtin_bswap32(value);
}

std::string CompressGzip(std::string_view input) {
  z_stream stream{};
  CHECK_EQ(deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY),
           Z_OK);
  std::string out(deflateBound(&stream, input.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string CompressSnappy(std::string_view input) {
  std::string out(kSnappyMagic);
  AppendBigEndian32(out, 1);
  AppendBigEndian32(out, 1);
  std::string block;
  while (!input.empty()) {
    const std::string_view part = input.substr(0, kSnappyBlockBytes);
    snappy::Compress(part.data(), part.size(), &block);
    AppendBigEndian32(out, static_cast<uint32_t>(block.size()));
    out += block;
    input.remove_prefix(part.size());
  }
  return out;
}

std::string CompressLz4(std::string_view input) {
  LZ4F_preferences_t preferences{};
  // Java's decoder takes independent blocks only.
  preferences.frameInfo.blockMode = LZ4F_blockIndependent;
  preferences.frameInfo.blockSizeID = LZ4F_max64KB;
  std::string out(LZ4F_compressFrameBound(input.size(), &preferences), '\0');
  const size_t size =
      LZ4F_compressFrame(out.data(), out.size(), input.data(), input.size(), &preferences);
  CHECK(!LZ4F_isError(size)) << LZ4F_getErrorName(size);
  out.resize(size);
  return out;
}

std::string CompressZstd(std::string_view input) {
  std::string out(ZSTD_compressBound(input.size()), '\0');
  const size_t size =
      ZSTD_compress(out.data(), out.size(), input.data(), input.size(), ZSTD_CLEVEL_DEFAULT);
  CHECK(!ZSTD_isError(size)) << ZSTD_getErrorName(size);
  out.resize(size);
  return out;
}

// Inflates one slice after another; `ended`: the last member is complete.
Result<void> InflateSlice(z_stream& stream, const Slice& slice, Output& output, bool& ended) {
  stream.next_in = const_cast<Bytef*>(slice.data());
  stream.avail_in = static_cast<uInt>(slice.size());
  while (stream.avail_in > 0) {
    if (std::exchange(ended, false) && inflateReset(&stream) != Z_OK)
      return Corrupt(Codec::kGzip, "bad member");
    ASSIGN_OR_RETURN(const std::span<char> room, output.Room());
    stream.next_out = reinterpret_cast<Bytef*>(room.data());
    stream.avail_out = static_cast<uInt>(room.size());
    const int status = inflate(&stream, Z_NO_FLUSH);
    RETURN_IF_ERROR(output.Use(room.size() - stream.avail_out));
    ended = status == Z_STREAM_END;
    if (!ended && status != Z_OK && status != Z_BUF_ERROR) {
      return Corrupt(Codec::kGzip, stream.msg == nullptr ? "bad data" : stream.msg);
    }
  }
  return {};
}

Result<void> DecompressGzip(const Bytes& input, Output& output) {
  z_stream stream{};
  CHECK_EQ(inflateInit2(&stream, 15 + 32), Z_OK);
  const std::unique_ptr<z_stream, void (*)(z_stream*)> closer(&stream,
                                                              [](z_stream* s) { inflateEnd(s); });
  bool ended = false;
  for (const Slice& slice : input.slices())
    RETURN_IF_ERROR(InflateSlice(stream, slice, output, ended));
  // What did not fit into the last room may still be inside of the stream.
  while (!ended) {
    ASSIGN_OR_RETURN(const std::span<char> room, output.Room());
    stream.next_out = reinterpret_cast<Bytef*>(room.data());
    stream.avail_out = static_cast<uInt>(room.size());
    const int status = inflate(&stream, Z_NO_FLUSH);
    const size_t came = room.size() - stream.avail_out;
    RETURN_IF_ERROR(output.Use(came));
    ended = status == Z_STREAM_END;
    if (!ended && came == 0) return Corrupt(Codec::kGzip, "it ends too early");
  }
  return {};
}

Result<void> AppendSnappyBlock(std::string_view block, Output& output) {
  size_t size = 0;
  if (!snappy::GetUncompressedLength(block.data(), block.size(), &size))
    return Corrupt(Codec::kSnappy, "bad length");
  if (size > output.left()) return output.TooLarge();
  // The format yields at most 64 bytes for each of three: a longer claim is not worth the memory.
  if (size > 32 * block.size() + 64)
    return Corrupt(Codec::kSnappy, "it claims more than it can hold");
  ASSIGN_OR_RETURN(char* const to, output.RoomFor(size));
  if (!snappy::RawUncompress(block.data(), block.size(), to))
    return Corrupt(Codec::kSnappy, "bad data");
  return output.Use(size);
}

Result<void> DecompressSnappy(const Bytes& input, Output& output) {
  const Slice flat = input.Flatten();
  std::string_view rest = flat.view();
  if (!rest.starts_with(kSnappyMagic)) return AppendSnappyBlock(rest, output);
  if (rest.size() < kSnappyHeaderBytes) return Corrupt(Codec::kSnappy, "it ends in the header");
  rest.remove_prefix(kSnappyHeaderBytes);
  while (!rest.empty()) {
    if (rest.size() < 4) return Corrupt(Codec::kSnappy, "it ends in a block's length");
    const uint32_t size = LoadBigEndian32(rest.data());
    rest.remove_prefix(4);
    if (size > rest.size()) return Corrupt(Codec::kSnappy, "it ends in a block");
    RETURN_IF_ERROR(AppendSnappyBlock(rest.substr(0, size), output));
    rest.remove_prefix(size);
  }
  return {};
}

Result<void> DecompressLz4(const Bytes& input, Output& output) {
  LZ4F_dctx* raw = nullptr;
  CHECK(!LZ4F_isError(LZ4F_createDecompressionContext(&raw, LZ4F_VERSION)));
  const std::unique_ptr<LZ4F_dctx, LZ4F_errorCode_t (*)(LZ4F_dctx*)> context(
      raw, LZ4F_freeDecompressionContext);
  size_t hint = 1;  // 0 at the end of a frame
  for (const Slice& slice : input.slices()) {
    const uint8_t* at = slice.data();
    size_t left = slice.size();
    while (left > 0) {
      ASSIGN_OR_RETURN(const std::span<char> room, output.Room());
      size_t out_size = room.size();
      size_t in_size = left;
      hint = LZ4F_decompress(context.get(), room.data(), &out_size, at, &in_size, nullptr);
      if (LZ4F_isError(hint)) return Corrupt(Codec::kLz4, LZ4F_getErrorName(hint));
      RETURN_IF_ERROR(output.Use(out_size));
      if (in_size == 0 && out_size == 0) return Corrupt(Codec::kLz4, "it makes no progress");
      at += in_size;
      left -= in_size;
    }
  }
  while (hint != 0) {  // what is still inside of the context
    ASSIGN_OR_RETURN(const std::span<char> room, output.Room());
    size_t out_size = room.size();
    size_t in_size = 0;
    hint = LZ4F_decompress(context.get(), room.data(), &out_size, nullptr, &in_size, nullptr);
    if (LZ4F_isError(hint)) return Corrupt(Codec::kLz4, LZ4F_getErrorName(hint));
    RETURN_IF_ERROR(output.Use(out_size));
    if (hint != 0 && out_size == 0) return Corrupt(Codec::kLz4, "it ends too early");
  }
  return {};
}

// How much room one zstd frame is given first: what it says, or a guess.
Result<size_t> FirstRoom(std::string_view frame) {
  // Each block holds at most 128 KiB and takes at least four bytes.
  const size_t possible = (frame.size() / 4 + 1) * kZstdBlockBytesMax;
  const unsigned long long claimed = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (claimed == ZSTD_CONTENTSIZE_UNKNOWN) return std::min(8 * frame.size() + 4096, possible);
  if (claimed == ZSTD_CONTENTSIZE_ERROR) return Corrupt(Codec::kZstd, "bad header");
  if (claimed > possible) return Corrupt(Codec::kZstd, "it claims more than it can hold");
  return static_cast<size_t>(claimed);
}

// Whole frames are decompressed straight into the output: unlike a stream that needs no window,
// whose size the sender chooses, and takes the same inputs however they are cut. A frame that does
// not tell its size may be tried a few times.
Result<void> AppendZstdFrame(ZSTD_DCtx* context, std::string_view frame, Output& output) {
  ASSIGN_OR_RETURN(size_t room, FirstRoom(frame));
  while (true) {
    const bool is_last_try = room >= output.left();
    room = std::min(room, output.left());
    ASSIGN_OR_RETURN(char* const to, output.RoomFor(room));
    const size_t size = ZSTD_decompressDCtx(context, to, room, frame.data(), frame.size());
    if (!ZSTD_isError(size)) return output.Use(size);
    if (ZSTD_getErrorCode(size) != ZSTD_error_dstSize_tooSmall)
      return Corrupt(Codec::kZstd, ZSTD_getErrorName(size));
    if (is_last_try) return output.TooLarge();
    room = std::max(2 * room, kChunkBytes);
  }
}

Result<void> DecompressZstd(const Bytes& input, Output& output) {
  // Kept for the thread: making one takes longer than decompressing a batch of a few records.
  static thread_local const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(
      ZSTD_createDCtx(), ZSTD_freeDCtx);
  const Slice flat = input.Flatten();
  std::string_view rest = flat.view();
  do {
    const uint32_t magic = rest.size() < 4 ? 0 : __builtin_bswap32(LoadBigEndian32(rest.data()));
    // The library may have been built to read formats from before the first version, too.
    if (magic != ZSTD_MAGICNUMBER &&
        (magic & ZSTD_MAGIC_SKIPPABLE_MASK) != ZSTD_MAGIC_SKIPPABLE_START)
      return Corrupt(Codec::kZstd, "no frame begins where one has to");
    const size_t size = ZSTD_findFrameCompressedSize(rest.data(), rest.size());
    if (ZSTD_isError(size)) return Corrupt(Codec::kZstd, ZSTD_getErrorName(size));
    RETURN_IF_ERROR(AppendZstdFrame(context.get(), rest.substr(0, size), output));
    rest.remove_prefix(size);
  } while (!rest.empty());
  return {};
}

}  // namespace

std::string_view CodecName(Codec codec) {
  constexpr std::array<std::string_view, 5> kNames = {"none", "gzip", "snappy", "lz4", "zstd"};
  const auto index = static_cast<size_t>(codec);
  return index < kNames.size() ? kNames[index] : "unknown";
}

std::string Compress(Codec codec, std::string_view input) {
  switch (codec) {
    case Codec::kNone:
      break;
    case Codec::kGzip:
      return CompressGzip(input);
    case Codec::kSnappy:
      return CompressSnappy(input);
    case Codec::kLz4:
      return CompressLz4(input);
    case Codec::kZstd:
      return CompressZstd(input);
  }
  return std::string(input);
}

Result<std::string> Decompress(Codec codec, const Bytes& input, size_t output_bytes_max,
                               Budget::Share* memory) {
  Output output(codec, output_bytes_max, memory);
  switch (codec) {
    case Codec::kNone: {
      ASSIGN_OR_RETURN(char* const to, output.RoomFor(input.size()));
      input.CopyTo(0, {reinterpret_cast<uint8_t*>(to), input.size()});
      RETURN_IF_ERROR(output.Use(input.size()));
      return output.Take();
    }
    case Codec::kGzip:
      RETURN_IF_ERROR(DecompressGzip(input, output));
      return output.Take();
    case Codec::kSnappy:
      RETURN_IF_ERROR(DecompressSnappy(input, output));
      return output.Take();
    case Codec::kLz4:
      RETURN_IF_ERROR(DecompressLz4(input, output));
      return output.Take();
    case Codec::kZstd:
      RETURN_IF_ERROR(DecompressZstd(input, output));
      return output.Take();
  }
  return Error(Reason::kUnsupportedCompression, "compression " +
                                                    std::to_string(static_cast<int>(codec)) +
                                                    " is none of none, gzip, snappy, lz4, zstd");
}

Result<void> CheckCodecs() {
  std::string sample;
  for (int i = 0; i < 5000; ++i) sample += "sample " + std::to_string(i * 2654435761u % 1000);
  for (const Codec codec : {Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    const auto back = Decompress(codec, Slice::Own(Compress(codec, sample)), sample.size());
    if (!back.ok() || *back != sample) {
      return Error(Reason::kUnsupportedCompression,
                   "the " + std::string(CodecName(codec)) +
                       " library on this machine does not give back what it compressed");
    }
  }
  return {};
}

}  // namespace gregor
