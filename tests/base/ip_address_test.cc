#include "base/ip_address.h"

#include <gtest/gtest.h>

namespace gregor {
namespace {

TEST(IpAddress, IsWrittenInOneWay) {
  EXPECT_EQ(CanonicalAddress("10.0.0.7"), "10.0.0.7");
  EXPECT_EQ(CanonicalAddress("2001:DB8:0:0::1"), "2001:db8::1");
  EXPECT_EQ(CanonicalAddress("0:0:0:0:0:0:0:1"), "::1");
}

TEST(IpAddress, WhatIsNoneIsNotOne) {
  for (const std::string& none :
       {std::string(), std::string("example.org"), std::string("10.0.0"), std::string("10.0.0.0/8"),
        std::string("::1%eth0"), std::string("1.2.3.4 "), std::string("1.2.3.4\0x", 9),
        std::string("::1\0", 4)})
    EXPECT_EQ(CanonicalAddress(none), std::nullopt) << none;
}

}  // namespace
}  // namespace gregor
