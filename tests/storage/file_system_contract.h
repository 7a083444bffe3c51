#ifndef GREGOR_TESTS_STORAGE_FILE_SYSTEM_CONTRACT_H_
#define GREGOR_TESTS_STORAGE_FILE_SYSTEM_CONTRACT_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/file_system.h"

namespace gregor {

// What every FileSystem must do, whatever it stands on. To be instantiated with each
// implementation: INSTANTIATE_TEST_SUITE_P(Posix, FileSystemContract,
// testing::Values(FileSystemMaker{"posix", [] { ... }}));

// A file system and a folder in it that is there, empty, and the test's own.
class FileSystemFixture {
 public:
  virtual ~FileSystemFixture() = default;
  virtual FileSystem& files() = 0;
  virtual std::string root() = 0;
};

struct FileSystemMaker {
  std::string name;
  std::function<std::unique_ptr<FileSystemFixture>()> make;
  friend void PrintTo(const FileSystemMaker& maker, std::ostream* out) { *out << maker.name; }
};

class FileSystemContract : public testing::TestWithParam<FileSystemMaker> {
 protected:
  FileSystem& files() { return fixture_->files(); }
  std::string Path(std::string_view name) { return JoinPath(fixture_->root(), name); }

  FilePtr Create(std::string_view name, std::string_view content = "") {
    Result<FilePtr> file = files().Open(Path(name), OpenMode::kCreate);
    CHECK(file.ok()) << file.error();
    Put(**file, 0, content);
    return *file;
  }
  static void Put(File& file, uint64_t position, std::string_view content) {
    Result<void> written = file.Write(position, Slice::Copy(content));
    CHECK(written.ok()) << written.error();
  }
  static std::string Get(File& file, uint64_t position = 0, size_t size = 1 << 20) {
    std::string out(size, '?');
    Result<size_t> read = file.Read(position, Span(out));
    CHECK(read.ok()) << read.error();
    return out.substr(0, *read);
  }
  std::string Content(std::string_view name) {
    Result<std::string> content = ReadWholeFile(files(), Path(name), 1 << 24);
    return content.ok() ? *content : content.error().ToString();
  }
  bool Exists(std::string_view name) {
    Result<bool> exists = files().Exists(Path(name));
    CHECK(exists.ok()) << exists.error();
    return *exists;
  }
  static std::span<uint8_t> Span(std::string& out) {
    return {reinterpret_cast<uint8_t*>(out.data()), out.size()};
  }
  // "errno" of a failed result that has the reason kStorageError and names a path.
  template <typename T>
  static std::string ErrnoOf(const Result<T>& result) {
    if (result.ok()) return "ok";
    EXPECT_EQ(result.error().reason, Reason::kStorageError) << result.error();
    std::string symbol = "none";
    bool has_path = false;
    for (const auto& [key, value] : result.error().details) {
      if (key == "errno") symbol = value;
      if (key == "path") has_path = !value.empty();
    }
    EXPECT_TRUE(has_path) << result.error();
    return symbol;
  }

 private:
  std::unique_ptr<FileSystemFixture> fixture_ = GetParam().make();
};

TEST_P(FileSystemContract, AMissingFileIsOpenedOnlyByCreate) {
  EXPECT_EQ(ErrnoOf(files().Open(Path("a"), OpenMode::kRead)), "ENOENT");
  EXPECT_EQ(ErrnoOf(files().Open(Path("a"), OpenMode::kReadWrite)), "ENOENT");
  EXPECT_FALSE(Exists("a"));
  ASSERT_TRUE(files().Open(Path("a"), OpenMode::kCreate).ok());
  EXPECT_TRUE(Exists("a"));
  EXPECT_EQ(ErrnoOf(files().Open(Path("no/a"), OpenMode::kCreate)), "ENOENT");
}

TEST_P(FileSystemContract, CreateKeepsWhatIsThere) {
  Create("a", "hello");
  FilePtr again = Create("a");
  EXPECT_EQ(Get(*again), "hello");
}

TEST_P(FileSystemContract, AFolderIsNotOpenedAsAFileNorAFileWalkedAsAFolder) {
  ASSERT_TRUE(files().MakeDirectory(Path("d")).ok());
  Create("f");
  EXPECT_EQ(ErrnoOf(files().Open(Path("d"), OpenMode::kRead)), "EISDIR");
  EXPECT_EQ(ErrnoOf(files().Open(Path("d"), OpenMode::kCreate)), "EISDIR");
  EXPECT_EQ(ErrnoOf(files().Open(Path("f/x"), OpenMode::kRead)), "ENOTDIR");
  EXPECT_EQ(ErrnoOf(files().List(Path("f"))), "ENOTDIR");
  EXPECT_FALSE(Exists("f/x"));
}

TEST_P(FileSystemContract, ReadsWhatWasWrittenShortAtTheEnd) {
  FilePtr file = Create("a", "0123456789");
  EXPECT_EQ(Get(*file, 3, 4), "3456");
  EXPECT_EQ(Get(*file, 8, 100), "89");
  EXPECT_EQ(Get(*file, 10, 100), "");
  EXPECT_EQ(Get(*file, 5000, 100), "");
  EXPECT_EQ(Get(*file, 3, 0), "");
  Put(*file, 2, "ab");
  Put(*file, 9, "xyz");
  EXPECT_EQ(Get(*file), "01ab45678xyz");
  EXPECT_EQ(*file->Size(), 12u);
}

TEST_P(FileSystemContract, TwoHandlesSeeTheSameBytes) {
  FilePtr writer = Create("a", "one");
  Result<FilePtr> reader = files().Open(Path("a"), OpenMode::kRead);
  ASSERT_TRUE(reader.ok());
  Put(*writer, 3, "two");
  EXPECT_EQ(Get(**reader), "onetwo");
}

TEST_P(FileSystemContract, WritesMoreSlicesThanOneSystemCallTakes) {
  Bytes data;
  std::string expected;
  for (int i = 0; i < 5000; ++i) {
    std::string piece(static_cast<size_t>(i % 7), static_cast<char>('a' + i % 26));
    expected += piece;
    data.Append(Slice::Own(std::move(piece)));
  }
  FilePtr file = Create("a", "##");
  ASSERT_TRUE(file->Write(2, data).ok());
  EXPECT_EQ(Get(*file), "##" + expected);
  ASSERT_TRUE(file->Write(0, Bytes()).ok());
  EXPECT_EQ(*file->Size(), expected.size() + 2);
}

TEST_P(FileSystemContract, AHoleReadsAsZeros) {
  FilePtr file = Create("a", "x");
  Put(*file, 10000, "y");
  const std::string content = Get(*file);
  ASSERT_EQ(content.size(), 10001u);
  EXPECT_EQ(content, "x" + std::string(9999, '\0') + "y");
}

TEST_P(FileSystemContract, AReaderCannotWrite) {
  Create("a", "x");
  Result<FilePtr> reader = files().Open(Path("a"), OpenMode::kRead);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(ErrnoOf((*reader)->Write(0, Slice::Static("y"))), "EBADF");
  EXPECT_FALSE((*reader)->Truncate(0).ok());
  EXPECT_EQ(Content("a"), "x");
}

TEST_P(FileSystemContract, ACachedReadGivesTheSameOrNothing) {
  FilePtr file = Create("a", "0123456789");
  std::string out(8, '?');
  // Just written, so still in memory; file systems without such reads may say -1 always.
  const int64_t whole = file->ReadCached(1, Span(out));
  if (whole != -1) {
    EXPECT_EQ(whole, 8);
    EXPECT_EQ(out, "12345678");
  }
  const int64_t end = file->ReadCached(6, Span(out));
  if (end != -1) {
    EXPECT_EQ(end, 4);
    EXPECT_EQ(out.substr(0, 4), "6789");
  }
  const int64_t past = file->ReadCached(100, Span(out));
  EXPECT_TRUE(past == 0 || past == -1) << past;
}

TEST_P(FileSystemContract, TruncateCutsAndExtendsWithZeros) {
  FilePtr file = Create("a", "0123456789");
  ASSERT_TRUE(file->Truncate(4).ok());
  EXPECT_EQ(Get(*file), "0123");
  ASSERT_TRUE(file->Truncate(7).ok());
  EXPECT_EQ(Get(*file), std::string("0123\0\0\0", 7));
}

TEST_P(FileSystemContract, AllocateExtendsWithZerosAndKeepsContent) {
  FilePtr file = Create("a", "0123");
  ASSERT_TRUE(file->Allocate(100000).ok());
  EXPECT_EQ(*file->Size(), 100000u);
  EXPECT_EQ(Get(*file), "0123" + std::string(99996, '\0'));
  ASSERT_TRUE(file->Allocate(10).ok());
  EXPECT_EQ(*file->Size(), 100000u);
  Put(*file, 4, "4567");
  EXPECT_EQ(Get(*file, 0, 10), std::string("01234567\0\0", 10));
}

TEST_P(FileSystemContract, RoomIsBlankUntilItIsWritten) {
  FilePtr file = Create("a", "0123");
  EXPECT_TRUE(*file->IsBlank(4));  // the end of the file
  EXPECT_TRUE(*file->IsBlank(100));
  EXPECT_FALSE(*file->IsBlank(3));
  ASSERT_TRUE(file->Allocate(1 << 20).ok());
  // A file system may not know it, and then says so of everything.
  const bool knows = *file->IsBlank(4);
  EXPECT_EQ(Get(*file, 100'000, 50'000), std::string(50'000, '\0'));  // now it is in memory
  EXPECT_EQ(*file->IsBlank(4), knows);
  EXPECT_FALSE(*file->IsBlank(0));
  // In the same block, in one that is far away, and synced.
  for (const uint64_t position : {5u, 500000u}) {
    Put(*file, position, "x");
    EXPECT_FALSE(*file->IsBlank(4));
    ASSERT_TRUE(file->Sync().ok());
    EXPECT_FALSE(*file->IsBlank(4));
    EXPECT_FALSE(*file->IsBlank(position));
    EXPECT_EQ(*file->IsBlank(position + 1), knows);
  }
}

TEST_P(FileSystemContract, ListIsSortedAndTellsSizesAndFolders) {
  Create("b", "12345");
  Create("a");
  ASSERT_TRUE(files().MakeDirectory(Path("c/inner")).ok());
  Result<std::vector<DirectoryEntry>> list = files().List(Path(""));
  ASSERT_TRUE(list.ok()) << list.error();
  ASSERT_EQ(list->size(), 3u);
  EXPECT_EQ((*list)[0].name, "a");
  EXPECT_EQ((*list)[0].size, 0u);
  EXPECT_EQ((*list)[1].name, "b");
  EXPECT_EQ((*list)[1].size, 5u);
  EXPECT_FALSE((*list)[1].is_directory);
  EXPECT_EQ((*list)[2].name, "c");
  EXPECT_TRUE((*list)[2].is_directory);
  EXPECT_EQ(ErrnoOf(files().List(Path("nowhere"))), "ENOENT");
}

TEST_P(FileSystemContract, MakeDirectoryMakesParentsAndMayBeRepeated) {
  ASSERT_TRUE(files().MakeDirectory(Path("x/y/z")).ok());
  ASSERT_TRUE(files().MakeDirectory(Path("x/y/z")).ok());
  ASSERT_TRUE(files().MakeDirectory(Path("x/y/w/")).ok());
  Create("x/y/z/file", "in");
  EXPECT_EQ(Content("x/y/z/file"), "in");
  EXPECT_EQ(ErrnoOf(files().MakeDirectory(Path("x/y/z/file"))), "ENOTDIR");
  EXPECT_EQ(ErrnoOf(files().MakeDirectory(Path("x/y/z/file/more"))), "ENOTDIR");
}

TEST_P(FileSystemContract, AddDirectoryMakesOneFolderAndMayBeRepeated) {
  ASSERT_TRUE(files().AddDirectory(Path("x")).ok());
  ASSERT_TRUE(files().AddDirectory(Path("x")).ok());
  Create("x/file", "in");
  EXPECT_EQ(ErrnoOf(files().AddDirectory(Path("x/file"))), "ENOTDIR");
  EXPECT_EQ(ErrnoOf(files().AddDirectory(Path("y/z"))), "ENOENT");
  EXPECT_FALSE(Exists("y"));
}

TEST_P(FileSystemContract, RenameReplacesAndHandlesFollowTheFile) {
  FilePtr a = Create("a", "from");
  FilePtr b = Create("b", "target");
  ASSERT_TRUE(files().Rename(Path("a"), Path("b")).ok());
  EXPECT_FALSE(Exists("a"));
  EXPECT_EQ(Content("b"), "from");
  Put(*a, 4, "!");
  EXPECT_EQ(Content("b"), "from!");
  EXPECT_EQ(Get(*b), "target");
  EXPECT_EQ(ErrnoOf(files().Rename(Path("missing"), Path("b"))), "ENOENT");
  EXPECT_EQ(Content("b"), "from!");
  ASSERT_TRUE(files().Rename(Path("b"), Path("b")).ok());
  EXPECT_EQ(Content("b"), "from!");
}

TEST_P(FileSystemContract, RenameMovesFoldersWithWhatIsInThem) {
  ASSERT_TRUE(files().MakeDirectory(Path("d/e")).ok());
  Create("d/e/f", "deep");
  ASSERT_TRUE(files().MakeDirectory(Path("t")).ok());
  ASSERT_TRUE(files().Rename(Path("d"), Path("t/d2")).ok());
  EXPECT_FALSE(Exists("d/e/f"));
  EXPECT_EQ(Content("t/d2/e/f"), "deep");
  EXPECT_EQ(ErrnoOf(files().Rename(Path("t"), Path("t/d2/inside"))), "EINVAL");
  Create("plain");
  EXPECT_EQ(ErrnoOf(files().Rename(Path("t"), Path("plain"))), "ENOTDIR");
  EXPECT_EQ(ErrnoOf(files().Rename(Path("plain"), Path("t"))), "EISDIR");
}

TEST_P(FileSystemContract, RemoveOfWhatIsMissingIsFine) {
  EXPECT_TRUE(files().Remove(Path("never")).ok());
  FilePtr file = Create("a", "still readable");
  ASSERT_TRUE(files().Remove(Path("a")).ok());
  EXPECT_FALSE(Exists("a"));
  EXPECT_EQ(Get(*file), "still readable");
  ASSERT_TRUE(files().Remove(Path("a")).ok());
  Create("a", "new");
  EXPECT_EQ(Get(*file), "still readable");
}

TEST_P(FileSystemContract, OnlyEmptyFoldersAreRemoved) {
  ASSERT_TRUE(files().MakeDirectory(Path("d")).ok());
  Create("d/f");
  EXPECT_EQ(ErrnoOf(files().Remove(Path("d"))), "ENOTEMPTY");
  ASSERT_TRUE(files().Remove(Path("d/f")).ok());
  ASSERT_TRUE(files().Remove(Path("d")).ok());
  EXPECT_FALSE(Exists("d"));
}

TEST_P(FileSystemContract, SyncsFilesAndFolders) {
  FilePtr file = Create("a", "x");
  EXPECT_TRUE(file->Sync().ok());
  EXPECT_TRUE(files().SyncDirectory(Path("")).ok());
  EXPECT_EQ(ErrnoOf(files().SyncDirectory(Path("nowhere"))), "ENOENT");
  EXPECT_EQ(ErrnoOf(files().SyncDirectory(Path("a"))), "ENOTDIR");
  file->DropCache(0, 1);
  EXPECT_EQ(Get(*file), "x");
}

TEST_P(FileSystemContract, SyncAllTakesAnyNumberOfFiles) {
  EXPECT_TRUE(files().SyncAll({}, {}).ok());
  for (size_t count : {1u, 2u, 40u, 300u}) {
    std::vector<FilePtr> many;
    for (size_t i = 0; i < count; ++i) {
      many.push_back(Create("f" + std::to_string(i), std::to_string(i)));
    }
    EXPECT_TRUE(files().SyncAll(many, {}).ok()) << count;
  }
  EXPECT_EQ(Content("f299"), "299");
}

TEST_P(FileSystemContract, SyncAllTakesFoldersToo) {
  std::vector<FilePtr> many;
  std::vector<std::string> folders = {Path("")};
  for (int i = 0; i < 40; ++i) {
    const std::string folder = "d" + std::to_string(i);
    ASSERT_TRUE(files().AddDirectory(Path(folder)).ok());
    many.push_back(Create(folder + "/f", "x"));
    folders.push_back(Path(folder));
  }
  EXPECT_TRUE(files().SyncAll(many, folders).ok());
  EXPECT_TRUE(files().SyncAll({}, folders).ok());
  const std::vector<std::string> missing = {Path("nowhere")};
  EXPECT_EQ(ErrnoOf(files().SyncAll({}, missing)), "ENOENT");
}

TEST_P(FileSystemContract, SpaceIsMoreThanNothing) {
  Result<DiskSpace> space = files().Space(Path(""));
  ASSERT_TRUE(space.ok()) << space.error();
  EXPECT_GT(space->free_bytes, 0u);
  EXPECT_LE(space->free_bytes, space->total_bytes);
  EXPECT_EQ(ErrnoOf(files().Space(Path("nowhere"))), "ENOENT");
}

TEST_P(FileSystemContract, ALockExcludesAndGoesWithItsHolder) {
  Result<std::unique_ptr<DirectoryLock>> first = files().Lock(Path(".lock"));
  ASSERT_TRUE(first.ok()) << first.error();
  Result<std::unique_ptr<DirectoryLock>> second = files().Lock(Path(".lock"));
  EXPECT_EQ(ErrnoOf(second), "EAGAIN");
  // The holder's process id is in the file and in the message.
  const std::string holder = std::to_string(std::stol(Content(".lock")));
  EXPECT_THAT(second.error().message, testing::HasSubstr("process " + holder));
  EXPECT_TRUE(files().Lock(Path("other.lock")).ok());
  first->reset();
  EXPECT_TRUE(files().Lock(Path(".lock")).ok());
}

TEST_P(FileSystemContract, ReadWholeFileKeepsToItsLimit) {
  Create("a", "12345");
  EXPECT_EQ(*ReadWholeFile(files(), Path("a"), 5), "12345");
  EXPECT_EQ(ReadWholeFile(files(), Path("a"), 4).error().reason, Reason::kStorageError);
  EXPECT_EQ(ErrnoOf(ReadWholeFile(files(), Path("b"), 4)), "ENOENT");
}

TEST_P(FileSystemContract, ReplaceFileReplacesAndLeavesNothingBehind) {
  // What a crash in the middle of an earlier one may have left.
  Create("a.tmp", "garbage that is longer than the new content");
  ASSERT_TRUE(ReplaceFile(files(), Path("a"), "first").ok());
  ASSERT_TRUE(ReplaceFile(files(), Path("a"), "2nd").ok());
  EXPECT_EQ(Content("a"), "2nd");
  EXPECT_FALSE(Exists("a.tmp"));
}

TEST_P(FileSystemContract, RemoveTreeRemovesAllOfIt) {
  ASSERT_TRUE(files().MakeDirectory(Path("d/e")).ok());
  Create("d/e/f", "x");
  Create("d/g", "y");
  ASSERT_TRUE(RemoveTree(files(), Path("d")).ok());
  EXPECT_FALSE(Exists("d"));
  EXPECT_TRUE(RemoveTree(files(), Path("d")).ok());
}

}  // namespace gregor

#endif  // GREGOR_TESTS_STORAGE_FILE_SYSTEM_CONTRACT_H_
