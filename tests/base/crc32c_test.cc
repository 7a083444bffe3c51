#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"

namespace gregor {
namespace {

std::span<const uint8_t> AsBytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// RFC 3720 appendix B.4, and the check value of the CRC catalogue.
TEST(Crc32c, GivesThePublishedValues) {
  EXPECT_EQ(Crc32c(0, AsBytes("123456789")), 0xe3069283u);
  EXPECT_EQ(Crc32c(0, AsBytes(std::string(32, '\0'))), 0x8a9136aau);
  EXPECT_EQ(Crc32c(0, AsBytes(std::string(32, '\xff'))), 0x62a8ab43u);
  EXPECT_EQ(Crc32c(0, std::span<const uint8_t>()), 0u);
  EXPECT_EQ(Crc32cPortable(0, AsBytes("123456789")), 0xe3069283u);
  EXPECT_EQ(Crc32cPortable(0, AsBytes(std::string(32, '\xff'))), 0x62a8ab43u);
  std::string rising(32, '\0');
  for (size_t i = 0; i < rising.size(); ++i) rising[i] = static_cast<char>(i);
  EXPECT_EQ(Crc32c(0, AsBytes(rising)), 0x46dd794eu);
  EXPECT_EQ(Crc32cPortable(0, AsBytes(rising)), 0x46dd794eu);
}

TEST(Crc32c, ConcatenatesAtEveryLength) {
  Random random(2);
  std::string data(300, '\0');
  for (char& byte : data) byte = static_cast<char>(random.Next());
  const uint32_t whole = Crc32c(0, AsBytes(data));
  for (size_t cut = 0; cut <= data.size(); ++cut) {
    const auto bytes = AsBytes(data);
    EXPECT_EQ(
        Crc32cConcat(Crc32c(0, bytes.first(cut)), Crc32c(0, bytes.subspan(cut)), data.size() - cut),
        whole);
  }
  // A gigabyte of nothing, without a gigabyte.
  const uint32_t zeros = Crc32c(0, AsBytes(std::string(1 << 20, '\0')));
  uint32_t many = zeros;
  for (uint64_t i = 0; i < 10; ++i) many = Crc32cConcat(many, many, uint64_t{1} << (20 + i));
  uint32_t again = 0;
  for (int i = 0; i < 1024; ++i) again = Crc32cConcat(again, zeros, 1 << 20);
  EXPECT_EQ(many, again);
}

TEST(Crc32c, IsTheSameByInstructionAndByTableAtEveryLengthAndAlignment) {
  Random random(1);
  std::string data(10000, '\0');
  for (char& byte : data) byte = static_cast<char>(random.Next());
  for (size_t size = 0; size < 200; ++size) {
    for (size_t start = 0; start < 9; ++start) {
      const auto part = AsBytes(data).subspan(start, size);
      ASSERT_EQ(Crc32c(7, part), Crc32cPortable(7, part)) << start << " " << size;
    }
  }
  for (const size_t size : {3071, 3072, 3073, 6144, 9999}) {
    const auto part = AsBytes(data).subspan(1, static_cast<size_t>(size));
    ASSERT_EQ(Crc32c(0, part), Crc32cPortable(0, part)) << size;
  }
}

TEST(Crc32c, ContinuesAndConcatenates) {
  const std::string a = "the first part, ", b(5000, 'b');
  const uint32_t whole = Crc32c(0, AsBytes(a + b));
  EXPECT_EQ(Crc32c(Crc32c(0, AsBytes(a)), AsBytes(b)), whole);
  EXPECT_EQ(Crc32cConcat(Crc32c(0, AsBytes(a)), Crc32c(0, AsBytes(b)), b.size()), whole);
  Bytes bytes(Slice::Copy(a));
  bytes.Append(Slice::Copy(b));
  EXPECT_EQ(Crc32c(0, bytes), whole);
}

}  // namespace
}  // namespace gregor
