#include "storage/reserved_files.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/sim/sim_file_system.h"

namespace gregor {
namespace {

constexpr uint64_t kMiB = 1u << 20;

// A disk of 20 MiB, 8 of which are kept back for what lies in /data/kept.
class ReservedFilesTest : public testing::Test {
 protected:
  ReservedFilesTest() {
    disk_.faults().capacity_bytes = 20 * kMiB;
    CHECK(disk_.MakeDirectory("/data/kept").ok());
    CHECK(files_.Fill().ok());
  }

  static Bytes Zeros(size_t size) { return Slice::Own(std::string(size, '\0')); }
  // Until nothing more goes in; returns how much went.
  uint64_t WriteUntilFull(const std::string& path) {
    const auto file = files_.Open(path, OpenMode::kCreate);
    if (!file.ok()) return 0;
    uint64_t size = *(*file)->Size();
    for (const uint64_t step : {kMiB, uint64_t{4096}}) {
      while (true) {
        const auto written = (*file)->Write(size, Zeros(step));
        if (!written.ok()) {
          EXPECT_EQ(written.error().reason, Reason::kDiskFull);
          CHECK((*file)->Truncate(size).ok());
          break;
        }
        size += step;
      }
    }
    return size;
  }
  uint64_t ReserveBytes() { return *(*disk_.Open("/data/reserve", OpenMode::kRead))->Size(); }

  SimFileSystem disk_{1, nullptr};
  ReservedFiles files_{disk_, {.path = "/data/reserve", .beneficiaries = {"/data/kept/"}}};
};

TEST_F(ReservedFilesTest, WhoIsNamedWritesOnAFullDisk) {
  EXPECT_EQ(ReserveBytes(), 8 * kMiB);
  EXPECT_LE(WriteUntilFull("/data/other"), 12 * kMiB);
  EXPECT_EQ(ReserveBytes(), 8 * kMiB);
  const auto file = files_.Open("/data/kept/file", OpenMode::kCreate);
  ASSERT_TRUE(file.ok()) << file.error();
  ASSERT_TRUE((*file)->Allocate(64u << 10).ok());
  ASSERT_TRUE((*file)->Write(0, Zeros(64u << 10)).ok());
  ASSERT_TRUE(files_.SyncAll(std::vector<FilePtr>{*file}, {}).ok());
  // Others that fill the disk get no more than a step.
  EXPECT_EQ(ReserveBytes(), 7 * kMiB);
  const auto text = ReadWholeFile(files_, "/data/kept/file", kMiB);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(text->size(), 64u << 10);
}

TEST_F(ReservedFilesTest, AFileIsReplacedOnAFullDisk) {
  ASSERT_TRUE(ReplaceFile(files_, "/data/kept/vote", "old").ok());
  WriteUntilFull("/data/other");
  const auto replaced = ReplaceFile(files_, "/data/kept/vote", std::string(5000, 'n'));
  ASSERT_TRUE(replaced.ok()) << replaced.error();
  EXPECT_EQ(*ReadWholeFile(files_, "/data/kept/vote", kMiB), std::string(5000, 'n'));
}

TEST_F(ReservedFilesTest, AnEmptyReserveIsADiskThatIsFull) {
  WriteUntilFull("/data/other");
  EXPECT_GE(WriteUntilFull("/data/kept/file"), 7 * kMiB);
  EXPECT_EQ(ReserveBytes(), 0u);
}

TEST_F(ReservedFilesTest, TheReserveIsTakenAgainWhenThereIsPlentyOfSpace) {
  WriteUntilFull("/data/other");
  ASSERT_TRUE(ReplaceFile(files_, "/data/kept/vote", std::string(kMiB / 2, 'n')).ok());
  ASSERT_LT(ReserveBytes(), 8 * kMiB);
  const uint64_t left = ReserveBytes();
  ASSERT_TRUE(files_.Space("/data").ok());
  EXPECT_EQ(ReserveBytes(), left);
  ASSERT_TRUE(files_.Remove("/data/other").ok());
  disk_.faults().capacity_bytes = 40 * kMiB;
  ASSERT_TRUE(files_.Space("/data").ok());
  EXPECT_EQ(ReserveBytes(), 8 * kMiB);
}

}  // namespace
}  // namespace gregor
