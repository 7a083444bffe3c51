#include "base/siphash.h"

#include <gtest/gtest.h>

#include <string>

namespace gregor {
namespace {

std::array<uint8_t, 16> CountingKey() {
  std::array<uint8_t, 16> key;
  for (uint8_t i = 0; i < 16; ++i) key[i] = i;
  return key;
}

// The paper's appendix A, and the reference implementation's table of vectors.
TEST(SipHash, GivesThePublishedValues) {
  std::string data;
  SipHash empty(CountingKey());
  EXPECT_EQ(empty.Finish(), 0x726fdb47dd0e0e31u);
  for (char i = 0; i < 15; ++i) data += i;
  SipHash fifteen(CountingKey());
  fifteen.Add(data);
  EXPECT_EQ(fifteen.Finish(), 0xa129ca6149be45e5u);
}

TEST(SipHash, DoesNotDependOnHowTheInputIsCut) {
  SipHash whole(CountingKey());
  whole.Add("orders and payments");
  SipHash pieces(CountingKey());
  pieces.Add("orders");
  pieces.Add(" and ");
  pieces.Add("payments");
  EXPECT_EQ(whole.Finish(), pieces.Finish());
}

TEST(SipHash, ANumberIsItsBytesWhereverItStands) {
  const uint64_t number = 0x0102030405060708;
  const std::string bytes = {8, 7, 6, 5, 4, 3, 2, 1};
  for (size_t before = 0; before < 20; ++before) {
    SipHash as_number(CountingKey()), as_bytes(CountingKey());
    as_number.Add(std::string(before, 'x'));
    as_number.Add(number);
    as_bytes.Add(std::string(before, 'x') + bytes);
    EXPECT_EQ(as_number.Finish(), as_bytes.Finish()) << before;
  }
}

}  // namespace
}  // namespace gregor
