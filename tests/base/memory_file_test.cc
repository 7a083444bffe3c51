#include "base/memory_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace gregor {
namespace {

std::string Rest(std::ifstream& file) {
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

TEST(MemoryFile, IsReadByItsPathAsOtherFilesAre) {
  const std::string bytes(100'000, 'x');
  const auto file = MemoryFile::Create(bytes);
  ASSERT_TRUE(file.ok()) << file.error();
  for (int i = 0; i < 2; ++i) {
    std::ifstream reader((*file)->path());
    EXPECT_EQ(Rest(reader), bytes);
  }
}

TEST(MemoryFile, AReaderSeesTheOldBytesOrTheNewOnes) {
  const auto file = MemoryFile::Create("first");
  ASSERT_TRUE(file.ok()) << file.error();
  std::ifstream before((*file)->path());
  const auto replaced = (*file)->Replace("second, and longer");
  ASSERT_TRUE(replaced.ok()) << replaced.error();
  std::ifstream after((*file)->path());
  EXPECT_EQ(Rest(before), "first");
  EXPECT_EQ(Rest(after), "second, and longer");
}

TEST(MemoryFile, IsGoneWithItsOwner) {
  std::string path;
  {
    const auto file = MemoryFile::Create("bytes");
    ASSERT_TRUE(file.ok());
    path = (*file)->path();
  }
  std::ifstream reader(path);
  EXPECT_FALSE(reader.good() && Rest(reader) == "bytes");
}

}  // namespace
}  // namespace gregor
