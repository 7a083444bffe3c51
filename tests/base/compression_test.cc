#include "base/compression.h"

#include <gtest/gtest.h>
#include <snappy.h>

#include "base/random.h"

namespace gregor {
namespace {

constexpr Codec kCodecs[] = {Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd};

std::string Text(size_t size) {
  Random random(size);
  std::string text;
  while (text.size() < size) text += "line " + std::to_string(random.Below(1000)) + "\n";
  text.resize(size);
  return text;
}

TEST(Compression, EveryCodecGivesBackWhatItTook) {
  for (const Codec codec : kCodecs) {
    for (const size_t size : {0, 1, 100, 32768, 32769, 1000000}) {
      const std::string text = Text(static_cast<size_t>(size));
      const auto back = Decompress(codec, Slice::Own(Compress(codec, text)), text.size());
      ASSERT_TRUE(back.ok()) << CodecName(codec) << " " << size << " " << back.error();
      EXPECT_EQ(*back, text);
    }
  }
}

TEST(Compression, InputMayLieInManySlices) {
  const std::string text = Text(200000);
  for (const Codec codec : kCodecs) {
    const std::string packed = Compress(codec, text);
    Bytes pieces;
    for (size_t at = 0; at < packed.size(); at += 777)
      pieces.Append(Slice::Copy(std::string_view(packed).substr(at, 777)));
    const auto back = Decompress(codec, pieces, text.size());
    ASSERT_TRUE(back.ok()) << CodecName(codec) << " " << back.error();
    EXPECT_EQ(*back, text);
  }
}

TEST(Compression, ABombStopsAtTheLimit) {
  const std::string zeros(50 << 20, '\0');
  for (const Codec codec : kCodecs) {
    const auto bomb = Decompress(codec, Slice::Own(Compress(codec, zeros)), 1 << 20);
    ASSERT_FALSE(bomb.ok()) << CodecName(codec);
    EXPECT_EQ(bomb.error().reason, Reason::kBatchTooLarge) << CodecName(codec);
  }
}

TEST(Compression, CutOrDamagedDataIsAnErrorNeverACrash) {
  const std::string text = Text(100000);
  for (const Codec codec : kCodecs) {
    const std::string packed = Compress(codec, text);
    for (size_t size = 1; size < packed.size(); size += 1 + packed.size() / 50) {
      EXPECT_FALSE(
          Decompress(codec, Slice::Copy(std::string_view(packed).substr(0, size)), text.size())
              .ok() &&
          size < 4)
          << CodecName(codec) << " " << size;
    }
    Random random(7);
    for (int i = 0; i < 300; ++i) {
      std::string damaged = packed;
      damaged[random.Below(damaged.size())] ^= static_cast<char>(1 + random.Below(255));
      (void)Decompress(codec, Slice::Own(damaged), text.size());
    }
  }
}

TEST(Compression, SnappyIsReadRawAndInBlocksOfEitherByteOrderInTheHeader) {
  const std::string text = Text(50000);
  std::string raw;
  snappy::Compress(text.data(), text.size(), &raw);
  EXPECT_EQ(*Decompress(Codec::kSnappy, Slice::Own(raw), text.size()), text);
  std::string little = Compress(Codec::kSnappy, text);
  std::swap(little[8], little[11]);
  std::swap(little[12], little[15]);
  EXPECT_EQ(*Decompress(Codec::kSnappy, Slice::Own(little), text.size()), text);
}

TEST(Compression, ASnappyBlockThatClaimsTooMuchCostsNoMemory) {
  const std::string claim("\xff\xff\xff\xff\x0f", 5);  // 4 GiB in five bytes
  EXPECT_FALSE(Decompress(Codec::kSnappy, Slice::Copy(claim), 64 << 20).ok());
  const std::string within("\x80\x80\x80\x10 ", 5);  // 32 MiB in five bytes
  EXPECT_EQ(Decompress(Codec::kSnappy, Slice::Copy(within), 64 << 20).error().reason,
            Reason::kCorruptBatch);
}

TEST(Compression, SeveralGzipMembersAreOneStream) {
  const std::string both = Compress(Codec::kGzip, "one ") + Compress(Codec::kGzip, "two");
  EXPECT_EQ(*Decompress(Codec::kGzip, Slice::Copy(both), 100), "one two");
}

TEST(Compression, TheCodecsOfThisMachineWork) { EXPECT_TRUE(CheckCodecs().ok()); }

}  // namespace
}  // namespace gregor
