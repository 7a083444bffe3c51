#include "raft/host/log_base_file.h"

#include <gtest/gtest.h>

#include "tests/sim/sim_file_system.h"

namespace gregor {
namespace {

LogBase SomeBase() {
  DirectoryId first, second;
  first.bytes[3] = 7;
  second.bytes[15] = 200;
  VoterSet voters{{{{NodeId{1}, first}, {{"internal", "10.0.0.1", 9093}}},
                   {{NodeId{2}, second}, {{"internal", "::1", 9193}, {"other", "b.example", 1}}}}};
  return {{Offset{12'345'678'901}, Term{17}},
          LogBase::Place{Offset{77}, Term{3}},
          raft::VotersAt{Offset{12'000'000'000}, voters}};
}

TEST(LogBaseFile, WhatIsSavedIsRead) {
  SimFileSystem files(1, nullptr);
  ASSERT_TRUE(files.MakeDirectory("/metadata").ok());
  const LogBase base = SomeBase();
  ASSERT_TRUE(SaveLogBase(files, "/metadata/log-base", base).ok());
  const auto read = ReadLogBase(files, "/metadata/log-base");
  ASSERT_TRUE(read.ok()) << read.error();
  ASSERT_TRUE(read->has_value());
  EXPECT_EQ((*read)->place, base.place);
  EXPECT_EQ((*read)->before, base.before);
  ASSERT_TRUE((*read)->voters.has_value());
  EXPECT_EQ((*read)->voters->end, base.voters->end);
  EXPECT_EQ((*read)->voters->voters, base.voters->voters);
}

TEST(LogBaseFile, ItMayHaveNoVoters) {
  const auto read = DecodeLogBase(EncodeLogBase({{Offset{5}, Term{1}}, {}, {}}));
  ASSERT_TRUE(read.ok()) << read.error();
  EXPECT_FALSE(read->voters.has_value());
  EXPECT_EQ(read->TermBefore(Offset{5}), Term{1});
  EXPECT_EQ(read->TermBefore(Offset{4}), std::nullopt);
}

TEST(LogBaseFile, AMissingOneIsNone) {
  SimFileSystem files(1, nullptr);
  ASSERT_TRUE(files.MakeDirectory("/metadata").ok());
  const auto read = ReadLogBase(files, "/metadata/log-base");
  ASSERT_TRUE(read.ok()) << read.error();
  EXPECT_FALSE(read->has_value());
}

TEST(LogBaseFile, EveryFlippedByteAndEveryCutIsRefused) {
  const std::string text = EncodeLogBase(SomeBase());
  for (size_t i = 0; i < text.size(); ++i) {
    std::string flipped = text;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    EXPECT_FALSE(DecodeLogBase(flipped).ok()) << "byte " << i;
    EXPECT_FALSE(DecodeLogBase(text.substr(0, i)).ok()) << "cut at " << i;
  }
}

TEST(LogBaseFile, ANewerFormatSaysSo) {
  const auto read = DecodeLogBase("gregor-log-base 2\nsomething else\n");
  ASSERT_FALSE(read.ok());
  EXPECT_NE(read.error().message.find("use the release that wrote it"), std::string::npos);
}

}  // namespace
}  // namespace gregor
