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

TEST(Compression, TheLimitMayBeNone) {
  const std::string text = Text(200000);
  for (const Codec codec : kCodecs) {
    const auto back = Decompress(codec, Slice::Own(Compress(codec, text)), SIZE_MAX);
    ASSERT_TRUE(back.ok()) << CodecName(codec) << " " << back.error();
    EXPECT_EQ(*back, text);
  }
}

TEST(Compression, WhatIsAllocatedIsDrawnFromTheBudget) {
  const std::string text = Text(300000);
  for (const Codec codec : kCodecs) {
    const Bytes packed = Slice::Own(Compress(codec, text));
    Budget budget(2 << 20);
    Budget::Share memory = budget.TryAcquire(0);
    const auto back = Decompress(codec, packed, 1 << 20, &memory);
    ASSERT_TRUE(back.ok()) << CodecName(codec) << " " << back.error();
    EXPECT_EQ(*back, text);
    EXPECT_GE(memory.bytes(), text.size()) << CodecName(codec);
    EXPECT_LE(memory.bytes(), 2 * text.size()) << CodecName(codec);
    memory.Release();

    // Somebody else has most of it: later.
    const Budget::Share other = budget.TryAcquire((2 << 20) - 200000);
    memory = budget.TryAcquire(0);
    const auto refused = Decompress(codec, packed, 1 << 20, &memory);
    ASSERT_FALSE(refused.ok()) << CodecName(codec);
    EXPECT_EQ(refused.error().reason, Reason::kQuotaExceeded) << CodecName(codec);

    Budget small(200000);
    Budget::Share little = small.TryAcquire(0);
    const auto never = Decompress(codec, packed, 1 << 20, &little);
    ASSERT_FALSE(never.ok()) << CodecName(codec);
    EXPECT_EQ(never.error().reason, Reason::kBatchTooLarge) << CodecName(codec);
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

// Lengths of the blocks in snappy-java's framing: past the end, negative, cut off.
TEST(Compression, SnappyBlocksThatLieAreRefused) {
  const std::string good = Compress(Codec::kSnappy, Text(1000));
  for (const std::string& length :
       {std::string("\x7f\xff\xff\xff", 4), std::string("\xff\xff\xff\xff", 4),
        std::string("\0\0\0\0", 4), std::string("\0\0\0\1", 4), std::string("\0\0", 2)}) {
    const auto appended = Decompress(Codec::kSnappy, Slice::Own(good + length), 1 << 20);
    EXPECT_FALSE(appended.ok()) << testing::PrintToString(length);
    if (length.size() < 4) continue;
    std::string replaced = good;
    replaced.replace(16, length.size(), length);
    EXPECT_FALSE(Decompress(Codec::kSnappy, Slice::Own(replaced), 1 << 20).ok());
  }
  for (size_t size = 0; size < 16; ++size)
    EXPECT_FALSE(Decompress(Codec::kSnappy, Slice::Own(good.substr(0, size)), 1 << 20).ok());
  EXPECT_EQ(*Decompress(Codec::kSnappy, Slice::Own(good.substr(0, 16)), 1 << 20), "");
}

TEST(Compression, WhatFollowsTheStreamIsRefused) {
  const std::string text = Text(1000);
  for (const Codec codec : kCodecs) {
    for (const char* rest : {"x", "garbage, longer than any header may be"}) {
      const auto result = Decompress(codec, Slice::Own(Compress(codec, text) + rest), 1 << 20);
      ASSERT_FALSE(result.ok()) << CodecName(codec) << " " << rest;
      EXPECT_EQ(result.error().reason, Reason::kCorruptBatch);
    }
  }
}

TEST(Compression, AStreamOfAnotherCodecIsRefused) {
  const std::string text = Text(1000);
  for (const Codec written : kCodecs) {
    for (const Codec read : kCodecs) {
      if (read == written) continue;
      EXPECT_FALSE(Decompress(read, Slice::Own(Compress(written, text)), 1 << 20).ok())
          << CodecName(written) << " as " << CodecName(read);
    }
  }
}

TEST(Compression, NothingIsNoStreamOfAnyCodec) {
  for (const Codec codec : kCodecs) EXPECT_FALSE(Decompress(codec, Bytes(), 1 << 20).ok());
  EXPECT_EQ(*Decompress(Codec::kNone, Bytes(), 0), "");
  const auto unknown = Decompress(static_cast<Codec>(7), Bytes(), 1 << 20);
  EXPECT_EQ(unknown.error().reason, Reason::kUnsupportedCompression);
}

TEST(Compression, TheLimitIsExactForEveryCodec) {
  for (const Codec codec :
       {Codec::kNone, Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    for (const size_t size : {size_t{1}, size_t{65535}, size_t{65536}, size_t{65537}}) {
      const Bytes packed = Slice::Own(Compress(codec, Text(size)));
      EXPECT_TRUE(Decompress(codec, packed, size).ok()) << CodecName(codec) << size;
      const auto less = Decompress(codec, packed, size - 1);
      ASSERT_FALSE(less.ok()) << CodecName(codec) << size;
      EXPECT_EQ(less.error().reason, Reason::kBatchTooLarge);
    }
  }
}

// A frame that claims 60 MiB, and one whose window is 128 MiB, both a few bytes long.
TEST(Compression, AZstdFrameThatClaimsTooMuchCostsNoMemory) {
  const std::string claim("\x28\xb5\x2f\xfd\xa0\x00\x00\xc0\x03\x01\x00\x00", 12);
  const auto claimed = Decompress(Codec::kZstd, Slice::Own(claim), 64 << 20);
  ASSERT_FALSE(claimed.ok());
  EXPECT_EQ(claimed.error().reason, Reason::kCorruptBatch);
  const std::string window("\x28\xb5\x2f\xfd\x00\x88\x09\x00\x00x", 10);
  EXPECT_EQ(*Decompress(Codec::kZstd, Slice::Own(window), 1 << 20), "x");
}

TEST(Compression, TheCodecsOfThisMachineWork) { EXPECT_TRUE(CheckCodecs().ok()); }

}  // namespace
}  // namespace gregor
