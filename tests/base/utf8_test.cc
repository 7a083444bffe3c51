#include "base/utf8.h"

#include <gtest/gtest.h>

namespace gregor {
namespace {

TEST(Utf8, IsWhatUnicodeSays) {
  for (const std::string_view good :
       {"", "plain", "\xc3\xa9t\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80 and more of it",
        "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf", "01234567\xc3\xa9"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
  for (const std::string_view bad :
       {"\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff",
        "\xf0\x80\x80\x80", "0123456\xc3", "\xe2\x82", "\xe2\x28\xa1", "\xf5\x80\x80\x80"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
  }
}

}  // namespace
}  // namespace gregor
