#include "base/host_port.h"

#include <gtest/gtest.h>

namespace gregor {
namespace {

TEST(JoinHostPort, PutsBracketsAroundAnIpv6AddressOnly) {
  EXPECT_EQ(JoinHostPort("broker-1.example.org", 9094), "broker-1.example.org:9094");
  EXPECT_EQ(JoinHostPort("10.0.0.1", 0), "10.0.0.1:0");
  EXPECT_EQ(JoinHostPort("::1", 65535), "[::1]:65535");
  EXPECT_EQ(JoinHostPort("[fe80::1]", 9094), "[fe80::1]:9094");
  EXPECT_EQ(JoinHostPort("", 9094), ":9094");
}

}  // namespace
}  // namespace gregor
