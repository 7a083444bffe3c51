#include "tests/sim/sim_file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace gregor {
namespace {

// The simulator is worth what it forgets: each of these shows that a fault really happens for some
// seeds, and that what was synced survives for all.

constexpr uint64_t kSeeds = 300;

FilePtr MustOpen(SimFileSystem& files, const std::string& path) {
  Result<FilePtr> file = files.Open(path, OpenMode::kCreate);
  CHECK(file.ok()) << file.error();
  return *file;
}
void MustWrite(File& file, uint64_t position, std::string data) {
  CHECK(file.Write(position, Slice::Own(std::move(data))).ok());
}
std::string ContentOf(SimFileSystem& files, const std::string& path) {
  Result<std::string> content = ReadWholeFile(files, path, 1 << 26);
  return content.ok() ? *content : "missing";
}

TEST(SimFileSystem, WhatWasSyncedSurvivesAndWhatWasNotIsLostForSomeSeeds) {
  std::map<std::string, int> seen;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimFileSystem files(seed, nullptr);
    FilePtr file = MustOpen(files, "/a");
    MustWrite(*file, 0, "synced|");
    ASSERT_TRUE(file->Sync().ok());
    ASSERT_TRUE(files.SyncDirectory("/").ok());
    MustWrite(*file, 7, "not");
    files.LosePower();
    const std::string content = ContentOf(files, "/a");
    ASSERT_TRUE(content.starts_with("synced|")) << seed << ' ' << content;
    ++seen[content.substr(7)];
  }
  EXPECT_GT(seen[""], 20);
  EXPECT_GT(seen["not"], 20);
  EXPECT_GT(seen[std::string(3, '\0')], 0) << "the size survived, the bytes did not";
}

TEST(SimFileSystem, ANameWithoutAFolderSyncIsLostForSomeSeeds) {
  int lost = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimFileSystem files(seed, nullptr);
    ASSERT_TRUE(files.MakeDirectory("/d").ok());
    FilePtr file = MustOpen(files, "/d/a");
    MustWrite(*file, 0, "x");
    ASSERT_TRUE(file->Sync().ok());
    files.LosePower();
    ASSERT_TRUE(*files.Exists("/d"));
    lost += !*files.Exists("/d/a");
  }
  EXPECT_GT(lost, 20);
  EXPECT_LT(lost, static_cast<int>(kSeeds) - 20);
}

TEST(SimFileSystem, ARemovedNameComesBackForSomeSeedsUnlessItsFolderWasSynced) {
  for (const bool sync : {false, true}) {
    int back = 0;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
      SimFileSystem files(seed, nullptr);
      MustOpen(files, "/a");
      ASSERT_TRUE(files.SyncDirectory("/").ok());
      ASSERT_TRUE(files.Remove("/a").ok());
      ASSERT_TRUE(!sync || files.SyncDirectory("/").ok());
      files.LosePower();
      back += *files.Exists("/a");
    }
    EXPECT_EQ(back > 20, !sync) << back;
    EXPECT_TRUE(!sync || back == 0) << back;
  }
}

TEST(SimFileSystem, AnOverwriteIsTornAtSectorsAndAtPagesAndNowhereElse) {
  const std::string old_bytes(64 * 1024, 'o');
  const std::string new_bytes(64 * 1024, 'n');
  int torn_in_a_page = 0;
  int torn_between_pages_only = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimFileSystem files(seed, nullptr);
    FilePtr file = MustOpen(files, "/a");
    MustWrite(*file, 0, old_bytes);
    ASSERT_TRUE(file->Sync().ok());
    ASSERT_TRUE(files.SyncDirectory("/").ok());
    MustWrite(*file, 0, new_bytes);
    files.LosePower();
    const std::string content = ContentOf(files, "/a");
    ASSERT_EQ(content.size(), old_bytes.size());
    bool mixed = false;
    bool mixed_page = false;
    for (size_t i = 1; i < content.size(); ++i) {
      if (content[i] == content[i - 1]) continue;
      ASSERT_EQ(i % kSimSectorBytes, 0u) << seed;
      mixed = true;
      mixed_page = mixed_page || i % kSimPageBytes != 0;
    }
    torn_in_a_page += mixed_page;
    torn_between_pages_only += mixed && !mixed_page;
  }
  EXPECT_GT(torn_in_a_page, 20);
  EXPECT_GT(torn_between_pages_only, 10);
}

TEST(SimFileSystem, LaterWritesSurviveEarlierOnesForSomeSeeds) {
  int inverted = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimFileSystem files(seed, nullptr);
    FilePtr first = MustOpen(files, "/a");
    FilePtr second = MustOpen(files, "/b");
    ASSERT_TRUE(files.SyncDirectory("/").ok());
    MustWrite(*first, 0, "1");
    MustWrite(*second, 0, "2");
    files.LosePower();
    inverted += ContentOf(files, "/a") != "1" && ContentOf(files, "/b") == "2";
  }
  EXPECT_GT(inverted, 20);
}

TEST(SimFileSystem, ACutThatWasNotSyncedIsUndoneForSomeSeeds) {
  int undone = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimFileSystem files(seed, nullptr);
    FilePtr file = MustOpen(files, "/a");
    MustWrite(*file, 0, std::string(2000, 'x'));
    ASSERT_TRUE(file->Sync().ok());
    ASSERT_TRUE(files.SyncDirectory("/").ok());
    ASSERT_TRUE(file->Truncate(1000).ok());
    files.LosePower();
    const std::string content = ContentOf(files, "/a");
    ASSERT_THAT(content.size(), testing::AnyOf(1000u, 2000u));
    ASSERT_EQ(content, std::string(content.size(), 'x'));
    undone += content.size() == 2000;
  }
  EXPECT_GT(undone, 20);
  EXPECT_LT(undone, static_cast<int>(kSeeds) - 20);
}

TEST(SimFileSystem, ReplaceFileGivesTheOldOrTheNewContentWhereverThePowerFails) {
  std::set<std::string> found;
  uint64_t mutations = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimFileSystem files(seed, nullptr);
    ASSERT_TRUE(ReplaceFile(files, "/a", "old").ok());
    const uint64_t before = files.mutation_count();
    if (seed > 0) files.FailPowerAt(before + 1 + seed % (mutations + 1));
    const bool done = ReplaceFile(files, "/a", "new content").ok();
    if (seed == 0) mutations = files.mutation_count() - before;
    files.LosePower();
    const std::string content = ContentOf(files, "/a");
    ASSERT_THAT(content, testing::AnyOf("old", "new content")) << seed;
    ASSERT_TRUE(!done || content == "new content") << seed;
    found.insert(content);
  }
  EXPECT_GE(mutations, 5u);
  EXPECT_EQ(found.size(), 2u);
}

TEST(SimFileSystem, AfterAFailedSyncALaterOneDoesNotMakeTheBytesDurable) {
  int lost = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimFileSystem files(seed, nullptr);
    FilePtr file = MustOpen(files, "/a");
    ASSERT_TRUE(files.SyncDirectory("/").ok());
    MustWrite(*file, 0, "data");
    files.FailNext(SimOperation::kSync, "/a");
    ASSERT_FALSE(file->Sync().ok());
    ASSERT_TRUE(file->Sync().ok());  // the lie that Linux tells
    EXPECT_EQ(ContentOf(files, "/a"), "data");
    files.LosePower(SimSurvival::kEverything);
    lost += ContentOf(files, "/a") != "data";
  }
  EXPECT_GT(lost, 100);
}

TEST(SimFileSystem, AKilledProcessLosesItsHandlesAndLocksButNoBytes) {
  SimFileSystem files(1, nullptr);
  FilePtr file = MustOpen(files, "/a");
  MustWrite(*file, 0, "kept in the page cache");
  Result<std::unique_ptr<DirectoryLock>> lock = files.Lock("/lock");
  ASSERT_TRUE(lock.ok());
  files.KillProcess();
  EXPECT_FALSE(file->Write(0, Slice::Static("too late")).ok());
  EXPECT_FALSE(file->Sync().ok());
  EXPECT_EQ(ContentOf(files, "/a"), "kept in the page cache");
  Result<std::unique_ptr<DirectoryLock>> next = files.Lock("/lock");
  ASSERT_TRUE(next.ok());
  lock->reset();  // the dead holder's must not free the new one's
  EXPECT_FALSE(files.Lock("/lock").ok());
}

TEST(SimFileSystem, NothingWorksBetweenThePowerFailureAndTheRestart) {
  SimFileSystem files(1, nullptr);
  FilePtr file = MustOpen(files, "/a");
  files.FailPowerAt(files.mutation_count() + 2);
  EXPECT_TRUE(file->Write(0, Slice::Static("x")).ok());
  EXPECT_FALSE(file->Sync().ok());
  EXPECT_TRUE(files.is_powerless());
  EXPECT_FALSE(file->Write(0, Slice::Static("y")).ok());
  EXPECT_FALSE(files.Open("/a", OpenMode::kRead).ok());
  EXPECT_FALSE(files.Rename("/a", "/b").ok());
  files.LosePower();
  EXPECT_FALSE(files.is_powerless());
  EXPECT_TRUE(files.Exists("/a").ok());
}

TEST(SimFileSystem, AFullDiskRefusesWritesAndTakesThemAgainOnceThereIsSpace) {
  SimFileSystem files(1, nullptr);
  FilePtr file = MustOpen(files, "/a");
  FilePtr other = MustOpen(files, "/b");
  MustWrite(*other, 0, std::string(600, 'x'));
  files.faults().capacity_bytes = 1000;
  EXPECT_EQ(file->Write(0, Slice::Own(std::string(500, 'x'))).error().reason, Reason::kDiskFull);
  EXPECT_EQ(file->Allocate(500).error().reason, Reason::kDiskFull);
  EXPECT_EQ(files.Space("/")->free_bytes, 0u);
  EXPECT_TRUE(other->Write(0, Slice::Own(std::string(600, 'y'))).ok()) << "needs no new space";
  ASSERT_TRUE(files.Remove("/b").ok());
  EXPECT_TRUE(file->Write(0, Slice::Own(std::string(500, 'x'))).ok());
  EXPECT_EQ(files.counts().full, 2u);
}

TEST(SimFileSystem, BitsFlipAndWritesGoAstrayWhenAskedTo) {
  SimFileSystem files(1, nullptr);
  FilePtr file = MustOpen(files, "/a");
  MustWrite(*file, 0, std::string(100, '\0'));
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(files.FlipBit("/a", 40, 3));
  EXPECT_EQ(ContentOf(files, "/a")[40], 8);
  EXPECT_FALSE(files.FlipBit("/a", 100, 0));
  files.LosePower();
  EXPECT_TRUE(!*files.Exists("/a") || ContentOf(files, "/a")[40] == 8);

  FilePtr target = MustOpen(files, "/b");
  MustWrite(*target, 0, std::string(10 * kSimPageBytes, '.'));
  files.faults().misdirect = 1;
  int astray = 0;
  for (int i = 0; i < 20; ++i) {
    MustWrite(*target, 3 * kSimPageBytes, std::string(10, static_cast<char>('a' + i)));
    astray += ContentOf(files, "/b")[3 * kSimPageBytes] != 'a' + i;
  }
  EXPECT_GT(astray, 5);
  files.faults() = {};
  files.faults().bit_flip = 1;
  MustWrite(*target, 0, std::string(100, 'z'));
  EXPECT_NE(ContentOf(files, "/b").substr(0, 100), std::string(100, 'z'));
}

TEST(SimFileSystem, TheSameSeedGivesTheSameRun) {
  const auto run = [](uint64_t seed) {
    Trace trace;
    SimFileSystem files(seed, &trace);
    files.faults().write_error = 0.1;
    files.faults().sync_error = 0.1;
    for (int i = 0; i < 50; ++i) {
      const std::string path = "/" + std::to_string(i % 7);
      Result<FilePtr> file = files.Open(path, OpenMode::kCreate);
      if (!file.ok()) continue;
      (void)(*file)->Write(static_cast<uint64_t>(i), Slice::Own(std::string(3000, 'x'))).ok();
      if (i % 3 == 0) (void)(*file)->Sync().ok();
      if (i % 10 == 9) files.LosePower();
      trace.Note("content", HashOf(ContentOf(files, path)));
    }
    return trace.hash();
  };
  EXPECT_EQ(run(7), run(7));
  EXPECT_NE(run(7), run(8));
}

}  // namespace
}  // namespace gregor
