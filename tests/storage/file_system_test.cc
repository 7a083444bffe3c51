#include "storage/file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "tests/sim/sim_file_system.h"
#include "tests/storage/file_system_contract.h"

namespace gregor {
namespace {

class PosixFixture final : public FileSystemFixture {
 public:
  PosixFixture() {
    std::string folder = (std::filesystem::temp_directory_path() / "gregor-files-XXXXXX").string();
    CHECK(mkdtemp(folder.data()) != nullptr);
    root_ = folder;
  }
  ~PosixFixture() override { std::filesystem::remove_all(root_); }
  FileSystem& files() override { return *files_; }
  std::string root() override { return root_; }

 private:
  std::unique_ptr<FileSystem> files_ = NewPosixFileSystem(4);
  std::string root_;
};

INSTANTIATE_TEST_SUITE_P(Posix, FileSystemContract,
                         testing::Values(FileSystemMaker{
                             "posix", [] { return std::make_unique<PosixFixture>(); }}));

class SimFixture final : public FileSystemFixture {
 public:
  SimFixture() { CHECK(files_.MakeDirectory(root()).ok()); }
  FileSystem& files() override { return files_; }
  std::string root() override { return "/simulated/data"; }

 private:
  SimFileSystem files_{1, nullptr};
};

INSTANTIATE_TEST_SUITE_P(Simulated, FileSystemContract,
                         testing::Values(FileSystemMaker{
                             "simulated", [] { return std::make_unique<SimFixture>(); }}));

TEST(Paths, JoinAndParentAreEachOthersInverse) {
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/", "b"), "a/b");
  EXPECT_EQ(JoinPath("/", "b"), "/b");
  EXPECT_EQ(JoinPath("", "b"), "b");
  EXPECT_EQ(ParentPath("a/b"), "a");
  EXPECT_EQ(ParentPath("a/b/"), "a");
  EXPECT_EQ(ParentPath("a//b"), "a");
  EXPECT_EQ(ParentPath("b"), ".");
  EXPECT_EQ(ParentPath("/b"), "/");
  EXPECT_EQ(ParentPath("/"), "/");
}

TEST(PosixFileSystem, AFullDiskHasAReasonOfItsOwn) {
  std::unique_ptr<FileSystem> files = NewPosixFileSystem(1);
  Result<FilePtr> file = files->Open("/dev/full", OpenMode::kReadWrite);
  if (!file.ok()) GTEST_SKIP() << "no /dev/full here";
  Result<void> written = (*file)->Write(0, Slice::Static("x"));
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().reason, Reason::kDiskFull);
}

TEST(PosixFileSystem, TooManyOpenFilesHaveAReasonOfTheirOwn) {
  PosixFixture fixture;
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int next = dup(0);  // the lowest number that is free
  ASSERT_GE(next, 0);
  close(next);
  const rlimit none{static_cast<rlim_t>(next), before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto file = fixture.files().Open(JoinPath(fixture.root(), "file"), OpenMode::kCreate);
  const auto synced = fixture.files().SyncDirectory(fixture.root());
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().reason, Reason::kQuotaExceeded);
  EXPECT_THAT(file.error().message, testing::HasSubstr("ulimit"));
  ASSERT_FALSE(synced.ok());
  EXPECT_EQ(synced.error().reason, Reason::kQuotaExceeded);
}

TEST(PosixFileSystem, RemoveTreeDoesNotFollowLinks) {
  PosixFixture fixture;
  const std::string outside = JoinPath(fixture.root(), "outside");
  const std::string tree = JoinPath(fixture.root(), "tree");
  ASSERT_TRUE(fixture.files().MakeDirectory(outside).ok());
  ASSERT_TRUE(fixture.files().MakeDirectory(tree).ok());
  ASSERT_TRUE(fixture.files().Open(JoinPath(outside, "kept"), OpenMode::kCreate).ok());
  std::filesystem::create_directory_symlink(outside, JoinPath(tree, "link"));
  ASSERT_TRUE(RemoveTree(fixture.files(), tree).ok());
  EXPECT_TRUE(*fixture.files().Exists(JoinPath(outside, "kept")));
}

TEST(PosixFileSystem, AFileInMemoryIsReadWithoutTheDisk) {
  PosixFixture fixture;
  Result<FilePtr> file = fixture.files().Open(JoinPath(fixture.root(), "a"), OpenMode::kCreate);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Write(0, Slice::Own(std::string(100000, 'x'))).ok());
  std::string out(60000, '?');
  std::span<uint8_t> span(reinterpret_cast<uint8_t*>(out.data()), out.size());
  if ((*file)->ReadCached(0, span) == -1) GTEST_SKIP() << "this file system has no such reads";
  EXPECT_EQ((*file)->ReadCached(0, span), 60000);
  EXPECT_EQ((*file)->ReadCached(60000, span), 40000);
}

}  // namespace
}  // namespace gregor
