#include "controller/image/snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/controller/image/image_maker.h"
#include "tests/sim/sim_file_system.h"

namespace gregor {
namespace {

using testing::HasSubstr;

ImagePtr SomeImage(int steps = 40) {
  ImageMaker maker(7);
  for (int i = 0; i < steps; ++i) maker.Step();
  return maker.image();
}

ImagePtr SmallImage() {
  ImageMaker maker(9);
  maker.CreateTopic("orders", 2);
  return maker.image();
}

TEST(Snapshot, WhatIsWrittenIsRead) {
  const ImagePtr image = SomeImage();
  const std::string bytes = EncodeSnapshot(*image);
  const auto read = DecodeSnapshot(bytes);
  ASSERT_TRUE(read.ok()) << read.error();
  EXPECT_EQ(PositionOf(**read), PositionOf(*image));
  EXPECT_EQ(EncodeSnapshot(**read), bytes) << "equal images have equal bytes";
}

TEST(Snapshot, NoCutOneIsUsed) {
  const std::string bytes = EncodeSnapshot(*SmallImage());
  for (size_t size = 0; size < bytes.size(); ++size)
    ASSERT_FALSE(DecodeSnapshot(std::string_view(bytes).substr(0, size)).ok()) << size;
  EXPECT_FALSE(DecodeSnapshot(bytes + "x").ok());
}

TEST(Snapshot, NoFlippedBitIsBelieved) {
  const std::string bytes = EncodeSnapshot(*SmallImage());
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      ASSERT_FALSE(DecodeSnapshot(damaged).ok()) << "byte " << at << ", bit " << bit;
    }
  }
}

TEST(Snapshot, AHugeClaimedLengthCostsNothing) {
  std::string bytes = EncodeSnapshot(*SmallImage());
  bytes[8] = '\x7f';
  const auto read = DecodeSnapshot(bytes);
  ASSERT_FALSE(read.ok());
  EXPECT_THAT(read.error().message, HasSubstr("a frame of"));
}

TEST(Snapshot, FilesAreListedInTheirOrder) {
  SimFileSystem files(1, nullptr);
  EXPECT_TRUE(ListSnapshots(files, "/snapshots")->empty());
  ASSERT_TRUE(files.MakeDirectory("/snapshots").ok());
  ImageMaker maker(8);
  std::vector<Offset> written;
  for (int i = 0; i < 4; ++i) {
    for (int step = 0; step < 40; ++step) maker.Step();
    const std::string name = SnapshotFileName(PositionOf(*maker.image()));
    ASSERT_TRUE(WriteSnapshot(files, "/snapshots/" + name, *maker.image()).ok());
    written.push_back(maker.image()->version);
  }
  ASSERT_TRUE(ReplaceFile(files, "/snapshots/readme.snapshot", "").ok());
  ASSERT_TRUE(ReplaceFile(files, "/snapshots/1-1.snapshot", "").ok());
  std::vector<Offset> found;
  const auto snapshots = ListSnapshots(files, "/snapshots");
  for (const SnapshotFile& file : *snapshots) found.push_back(file.end_offset);
  EXPECT_EQ(found, written);
}

// The power fails at every step of writing: the snapshot is there whole, or not at all.
TEST(Snapshot, APowerLossLeavesAWholeOneOrNone) {
  const ImagePtr image = SomeImage(10);
  bool was_whole = false, was_missing = false;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SimFileSystem files(seed, nullptr);
    ASSERT_TRUE(files.MakeDirectory("/snapshots").ok());
    files.FailPowerAt(files.mutation_count() + 1 + seed % 8);
    const bool done = WriteSnapshot(files, "/snapshots/new", *image).ok();
    files.LosePower();
    if (!*files.Exists("/snapshots/new")) {
      EXPECT_FALSE(done);
      was_missing = true;
      continue;
    }
    const auto read = ReadSnapshot(files, "/snapshots/new");
    ASSERT_TRUE(read.ok()) << read.error();
    EXPECT_EQ(EncodeSnapshot(**read), EncodeSnapshot(*image));
    was_whole = true;
  }
  EXPECT_TRUE(was_whole && was_missing);
}

TEST(Snapshot, AFailedWriteIsReported) {
  SimFileSystem files(1, nullptr);
  ASSERT_TRUE(files.MakeDirectory("/snapshots").ok());
  for (const auto operation : {SimOperation::kWrite, SimOperation::kSync}) {
    files.FailNext(operation, "new");
    EXPECT_FALSE(WriteSnapshot(files, "/snapshots/new", *SmallImage()).ok());
    EXPECT_FALSE(*files.Exists("/snapshots/new"));
  }
  EXPECT_TRUE(WriteSnapshot(files, "/snapshots/new", *SmallImage()).ok());
}

TEST(Snapshot, AFileIsCheckedAsClosely) {
  SimFileSystem files(1, nullptr);
  ASSERT_TRUE(files.MakeDirectory("/snapshots").ok());
  const std::string path = "/snapshots/one";
  const auto check = [&](const std::string& bytes) {
    EXPECT_TRUE(ReplaceFile(files, path, bytes).ok());
    return CheckSnapshot(files, path);
  };
  const std::string bytes = EncodeSnapshot(*SmallImage());
  EXPECT_TRUE(check(bytes).ok());
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << at % 8));
    ASSERT_FALSE(check(damaged).ok()) << at;
    ASSERT_FALSE(check(bytes.substr(0, at)).ok()) << at;
  }
  const auto longer = check(bytes + "x");
  ASSERT_FALSE(longer.ok());
  EXPECT_EQ(longer.error().reason, Reason::kStorageError);
  EXPECT_THAT(longer.error().message, HasSubstr(path));
  EXPECT_FALSE(CheckSnapshot(files, "/snapshots/missing").ok());
  const ImagePtr large = SomeImage(400);
  ASSERT_TRUE(WriteSnapshot(files, path, *large).ok());
  EXPECT_TRUE(CheckSnapshot(files, path).ok());
}

}  // namespace
}  // namespace gregor
