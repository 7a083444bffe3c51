#include "base/murmur2.h"

#include <gtest/gtest.h>

namespace gregor {
namespace {

// Values that Kafka's own unit tests expect of its murmur2 (as signed integers there).
TEST(Murmur2, GivesTheHashesOfKafkasClients) {
  EXPECT_EQ(static_cast<int32_t>(Murmur2("21")), -973932308);
  EXPECT_EQ(static_cast<int32_t>(Murmur2("foobar")), -790332482);
  EXPECT_EQ(static_cast<int32_t>(Murmur2("a-little-bit-long-string")), -985981536);
  EXPECT_EQ(static_cast<int32_t>(Murmur2("a-little-bit-longer-string")), -1486304829);
  EXPECT_EQ(static_cast<int32_t>(Murmur2("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8")),
            -58897971);
  EXPECT_EQ(static_cast<int32_t>(Murmur2("abc")), 479470107);
}

TEST(Murmur2, PartitionIsNeverNegative) {
  EXPECT_EQ(PartitionOfKey("21", 7).value,
            static_cast<int32_t>((static_cast<uint32_t>(-973932308) & 0x7fffffff) % 7));
  EXPECT_EQ(PartitionOfKey("anything", 1).value, 0);
}

}  // namespace
}  // namespace gregor
