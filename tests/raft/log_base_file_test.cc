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
  LogBase base;
  base.place = {Offset{12'345'678'901}, Term{17}};
  base.before = {Offset{77}, Term{3}};
  base.voters = {Offset{12'000'000'000}, voters};
  return base;
}

// ... of a log that is being exchanged.
LogBase BaseWithFormer() {
  LogBase base = SomeBase();
  base.former_voters = {Offset{70}, {{base.voters->voters.voters[1]}}};
  return base;
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
  LogBase base;
  base.place = {Offset{5}, Term{1}};
  const auto read = DecodeLogBase(EncodeLogBase(base));
  ASSERT_TRUE(read.ok()) << read.error();
  EXPECT_FALSE(read->voters.has_value());
  EXPECT_EQ(read->TermBefore(Offset{5}), Term{1});
  EXPECT_EQ(read->TermBefore(Offset{4}), std::nullopt);
}

TEST(LogBaseFile, TheFormerVotersCountUntilTheLogIsExchanged) {
  const LogBase base = BaseWithFormer();
  const auto read = DecodeLogBase(EncodeLogBase(base));
  ASSERT_TRUE(read.ok()) << read.error();
  EXPECT_EQ(read->place, base.place);
  ASSERT_TRUE(read->former_voters.has_value() && read->voters.has_value());
  EXPECT_EQ(read->former_voters->voters, base.former_voters->voters);
  EXPECT_EQ(read->voters->voters, base.voters->voters);
  EXPECT_EQ(read->VotersOf(Offset{77})->end, Offset{70});
  EXPECT_EQ(read->VotersOf(base.place.start)->end, base.voters->end);
}

TEST(LogBaseFile, WithoutFormerVotersItIsAsBeforeThereWereAny) {
  const std::string text = EncodeLogBase(SomeBase());
  EXPECT_EQ(text.substr(0, text.rfind("crc32c")),
            "gregor-log-base 1\n"
            "start 12345678901 17\n"
            "before 77 3\n"
            "voters before 12000000000\n"
            "voter 1 AAAABwAAAAAAAAAAAAAAAA\n"
            "at internal 9093 10.0.0.1\n"
            "voter 2 AAAAAAAAAAAAAAAAAAAAyA\n"
            "at internal 9193 ::1\n"
            "at other 1 b.example\n");
  EXPECT_EQ(DecodeLogBase(text)->VotersOf(Offset{77})->end, Offset{12'000'000'000});
}

TEST(LogBaseFile, AMissingOneIsNone) {
  SimFileSystem files(1, nullptr);
  ASSERT_TRUE(files.MakeDirectory("/metadata").ok());
  const auto read = ReadLogBase(files, "/metadata/log-base");
  ASSERT_TRUE(read.ok()) << read.error();
  EXPECT_FALSE(read->has_value());
}

TEST(LogBaseFile, EveryFlippedByteAndEveryCutIsRefused) {
  for (const std::string& text : {EncodeLogBase(SomeBase()), EncodeLogBase(BaseWithFormer())}) {
    for (size_t i = 0; i < text.size(); ++i) {
      std::string flipped = text;
      flipped[i] = static_cast<char>(flipped[i] ^ 1);
      EXPECT_FALSE(DecodeLogBase(flipped).ok()) << "byte " << i;
      EXPECT_FALSE(DecodeLogBase(text.substr(0, i)).ok()) << "cut at " << i;
    }
  }
}

TEST(LogBaseFile, ANewerFormatSaysSo) {
  const auto read = DecodeLogBase("gregor-log-base 3\nsomething else\n");
  ASSERT_FALSE(read.ok());
  EXPECT_NE(read.error().message.find("use the release that wrote it"), std::string::npos);
}

}  // namespace
}  // namespace gregor
