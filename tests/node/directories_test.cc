#include "node/directories.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace gregor {
namespace {

using testing::HasSubstr;

class DataDirectoryTest : public testing::Test {
 protected:
  DataDirectoryTest() { std::filesystem::remove_all(path_); }
  ~DataDirectoryTest() override { std::filesystem::remove_all(path_); }
  auto Lock(bool must_be_formatted = false) {
    Settings settings;
    settings.data_dir = path_;
    settings.must_be_formatted = must_be_formatted;
    settings.format_command = "gregor cluster format --config node.yaml";
    return LockDataDirectory(*files_, settings);
  }

  const std::string path_ = testing::TempDir() + "/data_directory_test." + std::to_string(getpid());
  const std::unique_ptr<FileSystem> files_ = NewPosixFileSystem(1);
};

TEST_F(DataDirectoryTest, IsLockedByOneAtATime) {
  {
    const auto lock = Lock();
    ASSERT_TRUE(lock.ok()) << lock.error();
    const auto second = Lock();
    ASSERT_FALSE(second.ok());
    EXPECT_THAT(second.error().message, HasSubstr("locked by process " + std::to_string(getpid())));
  }
  EXPECT_TRUE(Lock().ok());
}

TEST_F(DataDirectoryTest, StaysFreeOfALockFileWhereItHoldsSomethingElse) {
  std::filesystem::create_directory(path_);
  std::ofstream(path_ + "/something") << "precious";
  EXPECT_FALSE(Lock().ok());
  EXPECT_FALSE(std::filesystem::exists(path_ + "/.lock"));
}

TEST_F(DataDirectoryTest, IsNoFile) {
  std::ofstream(path_) << "precious";
  for (const bool must_be_formatted : {true, false}) {
    const auto lock = Lock(must_be_formatted);
    ASSERT_FALSE(lock.ok());
    EXPECT_EQ(lock.error().message, "data directory " + path_ + " is a file");
  }
}

TEST_F(DataDirectoryTest, IsNotMadeWhereItMustBeFormattedAlready) {
  const auto lock = Lock(true);
  ASSERT_FALSE(lock.ok());
  EXPECT_THAT(lock.error().message, HasSubstr("`gregor cluster format --config node.yaml`"));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(DataDirectoryTest, IsLockedWhileAnotherProcessFormatsIt) {
  // What a formatting that has not ended, or was cut off, leaves behind besides the lock file.
  const auto lock = Lock();
  ASSERT_TRUE(lock.ok());
  std::filesystem::create_directory(path_ + "/topics");
  const auto second = Lock();
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.error().message, HasSubstr("locked by process"));
}

}  // namespace
}  // namespace gregor
