#include "storage/meta_properties.h"

#include <gtest/gtest.h>

namespace gregor {
namespace {

const std::string kLines = "version=1\nnode.id=7\n# a comment=1\ndirectory.id=AAAA==\n";

TEST(MetaProperties, LinesAreNamesAndValues) {
  const auto properties = ParseProperties(kLines + "\nno value\nlast=");
  EXPECT_EQ(properties.size(), 4u);
  EXPECT_EQ(properties.at("version"), "1");
  EXPECT_EQ(properties.at("node.id"), "7");
  EXPECT_EQ(properties.at("directory.id"), "AAAA==");
  EXPECT_EQ(properties.at("last"), "");
}

TEST(MetaProperties, EveryFlippedBitAndCutOfALineIsNoticed) {
  const std::string text = WithPropertiesChecksum(kLines);
  EXPECT_TRUE(IsSoundProperties(text));
  EXPECT_EQ(ParseProperties(text).at("directory.id"), "AAAA==");
  // Save the line end in front of the checksum: the last value is none any more then.
  for (size_t at = 0; at + 1 < kLines.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = text;
      flipped[at] = static_cast<char>(flipped[at] ^ 1 << bit);
      EXPECT_FALSE(IsSoundProperties(flipped)) << at << " " << bit;
    }
  }
  for (size_t end = kLines.size() + 8; end < text.size(); ++end)
    EXPECT_FALSE(IsSoundProperties(text.substr(0, end))) << end;
}

TEST(MetaProperties, WhatHasNoChecksumIsTaken) { EXPECT_TRUE(IsSoundProperties(kLines)); }

}  // namespace
}  // namespace gregor
