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

TEST(ShowQuoted, KeepsWhatCanBeReadAndEscapesTheRest) {
  EXPECT_EQ(ShowQuoted("orders", 100), "\"orders\"");
  EXPECT_EQ(ShowQuoted("\xc3\xa9t\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", 100),
            "\"\xc3\xa9t\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"");
  EXPECT_EQ(ShowQuoted("a\x1b[2Jb\n\x7f", 100), "\"a\\x1b[2Jb\\x0a\\x7f\"");
  // A control character of two bytes, and one that turns what follows.
  EXPECT_EQ(ShowQuoted("\xc2\x9b\xe2\x80\xae", 100), "\"\\xc2\\x9b\\xe2\\x80\\xae\"");
  EXPECT_EQ(ShowQuoted("\xff\xc3", 100), "\"\\xff\\xc3\"");
}

TEST(ShowQuoted, IsCutBetweenCharacters) {
  EXPECT_EQ(ShowQuoted("abc", 3), "\"abc\"");
  EXPECT_EQ(ShowQuoted("abcd", 3), "\"abc...\"");
  EXPECT_EQ(ShowQuoted("ab\xc3\xa9", 3), "\"ab...\"");
}

}  // namespace
}  // namespace gregor
