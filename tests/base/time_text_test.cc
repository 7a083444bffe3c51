#include "base/time_text.h"

#include <gtest/gtest.h>

namespace gregor {
namespace {

TEST(TimeText, TimesAreReadAsTheyAreShown) {
  for (const int64_t ms : {int64_t{0}, int64_t{1'769'860'800'000}, int64_t{1'769'860'800'250},
                           int64_t{-1}, int64_t{253'402'300'799'999}}) {
    EXPECT_EQ(ParseTime(TimeText(Timestamp{ms})), Timestamp{ms}) << TimeText(Timestamp{ms});
  }
  EXPECT_EQ(TimeText(Timestamp{1'769'860'800'250}), "2026-01-31T12:00:00.250Z");
}

TEST(TimeText, ZonesAndPartsMayBeLeftOut) {
  const Timestamp noon{1'769'860'800'000};
  EXPECT_EQ(ParseTime("2026-01-31T12:00:00"), noon);
  EXPECT_EQ(ParseTime("2026-01-31T14:00:00+02:00"), noon);
  EXPECT_EQ(ParseTime("2026-02-30"), std::nullopt);
  EXPECT_TRUE(ParseTime("2028-02-29").has_value());
  EXPECT_EQ(ParseTime("2016-12-31T23:59:60Z"), ParseTime("2017-01-01T00:00:00Z"));
  EXPECT_EQ(ParseTime("2026-01-31T11:30:00-00:30"), noon);
  EXPECT_EQ(ParseTime("2026-01-31T12:00:00.5Z"), Timestamp{noon.value + 500});
  EXPECT_EQ(ParseTime("2026-01-31"), Timestamp{noon.value - 12 * 3600 * 1000});
}

TEST(TimeText, OtherTextIsNoTime) {
  for (const char* const text :
       {"", "1234", "2026", "2026-01-31T12", "2026-01-31T12:00:00.", "2026-01-31T12:00:00 Z",
        "2026-01-31T12:00:00+2:00", "2026-01-31T12:00:00+02:x0", "tomorrow"})
    EXPECT_EQ(ParseTime(text), std::nullopt) << text;
}

}  // namespace
}  // namespace gregor
