#include "raft/host/vote_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sim/sim_file_system.h"

namespace gregor {
namespace {

using testing::HasSubstr;

Vote SomeVote() {
  Random random(3);
  Vote vote;
  vote.cluster = random.NewUuid<ClusterId>();
  vote.self = {NodeId{1}, random.NewUuid<DirectoryId>()};
  vote.term = Term{7};
  vote.voted_for = vote.self;
  return vote;
}

TEST(VoteFile, WhatIsWrittenIsRead) {
  Vote vote = SomeVote();
  EXPECT_EQ(*DecodeVote(EncodeVote(vote)), vote);
  vote.voted_for.reset();
  EXPECT_EQ(*DecodeVote(EncodeVote(vote)), vote);
}

TEST(VoteFile, NoChangedByteIsBelieved) {
  const std::string text = EncodeVote(SomeVote());
  for (size_t i = 0; i < text.size(); ++i) {
    for (const char flip : {'\x01', '\x20', '\x40'}) {
      std::string damaged = text;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      EXPECT_FALSE(DecodeVote(damaged).ok()) << damaged;
    }
    EXPECT_FALSE(DecodeVote(text.substr(0, i)).ok()) << i;
  }
  EXPECT_FALSE(DecodeVote(text + "\n").ok());
}

TEST(VoteFile, ANewerFormatIsNamed) {
  std::string text = EncodeVote(SomeVote());
  text.replace(text.find(" 1\n"), 3, " 2\n");
  EXPECT_THAT(DecodeVote(text).error().message, HasSubstr("use the release that wrote it"));
}

TEST(VoteFile, AMissingOneIsNotADamagedOne) {
  SimFileSystem files(1, nullptr);
  ASSERT_TRUE(files.MakeDirectory("/data").ok());
  const auto vote = ReadVote(files, "/data/vote");
  ASSERT_TRUE(vote.ok());
  EXPECT_FALSE(vote->has_value());
}

TEST(VoteFile, ASavedVoteSurvivesAPowerLoss) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SimFileSystem files(seed, nullptr);
    ASSERT_TRUE(files.MakeDirectory("/data").ok());
    Vote vote = SomeVote();
    for (int term = 1; term < 4; ++term) {
      vote.term = Term{term};
      ASSERT_TRUE(SaveVote(files, "/data/vote", vote).ok());
      files.LosePower();
      const auto read = ReadVote(files, "/data/vote");
      ASSERT_TRUE(read.ok()) << read.error();
      EXPECT_EQ(**read, vote);
    }
  }
}

TEST(VoteFile, ADamagedOneIsRefused) {
  SimFileSystem files(1, nullptr);
  ASSERT_TRUE(files.MakeDirectory("/data").ok());
  ASSERT_TRUE(SaveVote(files, "/data/vote", SomeVote()).ok());
  ASSERT_TRUE(files.FlipBit("/data/vote", 80, 2));
  const auto vote = ReadVote(files, "/data/vote");
  ASSERT_FALSE(vote.ok());
  EXPECT_EQ(vote.error().reason, Reason::kStorageError);
  EXPECT_THAT(vote.error().message, HasSubstr("/data/vote cannot be used"));
}

}  // namespace
}  // namespace gregor
