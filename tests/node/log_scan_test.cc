#include "node/log_scan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "storage/log_checkpoint.h"
#include "storage/meta_properties.h"

namespace gregor {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class LogScanTest : public testing::Test {
 protected:
  LogScanTest() {
    folder_ = testing::TempDir() + "log_scan_" + std::to_string(getpid()) + "_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_);
  }
  ~LogScanTest() override { std::filesystem::remove_all(folder_); }

  static std::string Batch(int64_t base, int32_t epoch, int records) {
    BatchBuilder builder;
    for (int i = 0; i < records; ++i) {
      NewRecord record;
      record.value = "value";
      record.timestamp = Timestamp{1};
      builder.Add(record);
    }
    RecordBatch batch = builder.Build();
    StampBatch(batch, Offset{base}, LeaderEpoch{epoch}, TimestampType::kCreateTime, Timestamp{1});
    return batch.bytes.ToString();
  }
  void Write(const std::string& content, int64_t base = 0) {
    char name[32];
    std::snprintf(name, sizeof name, "/%020lld.log", static_cast<long long>(base));
    std::ofstream(folder_ + name, std::ios::binary) << content;
  }
  ScanSummary Scan() {
    auto summary = ScanLog(*files_, folder_,
                           [&](const ScannedBatch& batch) { visited_.push_back(batch.position); });
    EXPECT_TRUE(summary.ok());
    return *summary;
  }

  std::string folder_;
  std::unique_ptr<FileSystem> files_ = NewPosixFileSystem(1);
  std::vector<uint64_t> visited_;
};

TEST_F(LogScanTest, CountsWhatIsThereAndTakesZerosAtTheEnd) {
  const std::string first = Batch(0, 1, 3);
  Write(first + Batch(3, 1, 2) + std::string(5000, '\0'));
  Write(Batch(5, 2, 1), 5);
  const ScanSummary summary = Scan();
  EXPECT_EQ(summary.files, 2);
  EXPECT_EQ(summary.batches, 3);
  EXPECT_EQ(summary.records, 6);
  EXPECT_EQ(summary.first_offset, Offset{0});
  EXPECT_EQ(summary.next_offset, Offset{6});
  EXPECT_TRUE(summary.problems.empty());
  EXPECT_EQ(visited_, (std::vector<uint64_t>{0, first.size(), 0}));
}

TEST_F(LogScanTest, NamesFileAndPositionOfDamage) {
  const std::string first = Batch(0, 1, 3);
  std::string second = Batch(3, 1, 2);
  second[70] ^= 1;
  Write(first + second);
  const ScanSummary summary = Scan();
  ASSERT_EQ(summary.problems.size(), 1u);
  EXPECT_EQ(summary.problems[0].position, first.size());
  EXPECT_THAT(summary.problems[0].what, HasSubstr("checksum"));
  EXPECT_EQ(summary.good_up_to, Offset{3});
}

TEST_F(LogScanTest, OfALogWhoseFirstBatchIsDamagedNothingIsGood) {
  std::string first = Batch(70, 1, 3);
  first[70] ^= 1;
  Write(first, 70);
  Write(Batch(73, 1, 2), 73);
  const ScanSummary summary = Scan();
  EXPECT_EQ(summary.problems.size(), 1u);
  EXPECT_EQ(summary.good_up_to, Offset{70});
  EXPECT_EQ(summary.next_offset, Offset{75});
}

TEST_F(LogScanTest, ReportsACutBatchAndOffsetsOrEpochsThatGoBack) {
  Write(Batch(0, 1, 3).substr(0, 80));
  EXPECT_THAT(Scan().problems.at(0).what, HasSubstr("cut off"));
  Write(Batch(5, 1, 3) + Batch(4, 1, 1));
  EXPECT_THAT(Scan().problems.at(0).what, HasSubstr("goes back"));
  Write(Batch(5, 3, 3) + Batch(8, 2, 1));
  EXPECT_THAT(Scan().problems.at(0).what, HasSubstr("leader epoch"));
}

TEST_F(LogScanTest, GoesOnBehindEachDamage) {
  std::string content;
  for (int64_t base = 0; base < 10; ++base) {
    std::string batch = Batch(base, 1, 1);
    if (base == 2) batch[65] ^= 1;
    if (base == 5) batch[9] ^= 1;   // its length
    if (base == 7) batch[16] ^= 1;  // its magic
    content += batch;
  }
  Write(content + std::string(3000, '\0'));
  const ScanSummary summary = Scan();
  EXPECT_EQ(summary.problems.size(), 3u);
  EXPECT_EQ(summary.records, 7);
  EXPECT_EQ(summary.good_up_to, Offset{2});
  EXPECT_EQ(summary.next_offset, Offset{10});
}

TEST_F(LogScanTest, MissesWhatTheCheckpointNames) {
  LogCheckpoint checkpoint;
  const size_t size = Batch(0, 1, 3).size();
  for (const int64_t base : {0, 3, 6}) {
    Write(Batch(base, 1, 3), base);
    checkpoint.complete.push_back({.name = {Offset{base}, 0}, .size = size});
  }
  Write(Batch(9, 1, 3), 9);
  checkpoint.active = {
      .name = {Offset{9}, 0}, .size = size, .index = std::make_shared<SegmentIndex>()};
  checkpoint.end = Offset{12};
  std::ofstream(folder_ + "/checkpoint", std::ios::binary) << checkpoint.EncodeWith({});
  EXPECT_THAT(Scan().problems, IsEmpty());
  std::filesystem::remove(folder_ + "/00000000000000000003.log");
  std::filesystem::resize_file(folder_ + "/00000000000000000009.log", 0);
  const ScanSummary summary = Scan();
  ASSERT_EQ(summary.problems.size(), 2u);
  EXPECT_EQ(summary.problems[0].what, "the file is missing");
  EXPECT_THAT(summary.problems[1].what, HasSubstr("has had"));
  EXPECT_EQ(summary.good_up_to, Offset{3});
  EXPECT_EQ(*FindLogFolders(*files_, folder_), std::vector<std::string>{folder_});
}

TEST_F(LogScanTest, FindsTheFoldersOfALogDirectory) {
  std::filesystem::create_directories(folder_ + "/a-0");
  std::ofstream(folder_ + "/a-0/00000000000000000000.log") << "x";
  std::filesystem::create_directories(folder_ + "/empty");
  EXPECT_EQ(*FindLogFolders(*files_, folder_), std::vector<std::string>{folder_ + "/a-0"});
  EXPECT_FALSE(FindLogFolders(*files_, folder_ + "/empty").ok());
  EXPECT_FALSE(FindLogFolders(*files_, folder_ + "/missing").ok());
}

TEST_F(LogScanTest, FindsTheFoldersOfADataDirectory) {
  std::filesystem::create_directories(folder_ + "/metadata/log");
  std::filesystem::create_directories(folder_ + "/topics/a-0");
  const auto none = FindLogFolders(*files_, folder_);
  ASSERT_FALSE(none.ok());
  EXPECT_THAT(none.error().message, HasSubstr("log_dirs"));
  std::ofstream(folder_ + "/topics/a-0/00000000000000000000.log") << "x";
  EXPECT_EQ(*FindLogFolders(*files_, folder_), std::vector<std::string>{folder_ + "/topics/a-0"});
}

TEST_F(LogScanTest, ALogDirectoryMayHaveNoFolders) {
  const std::string meta =
      WithPropertiesChecksum("version=1\ndirectory.id=" + DirectoryId{{1}}.ToString() + "\n");
  std::filesystem::create_directories(folder_ + "/lost+found");
  EXPECT_FALSE(FindLogFolders(*files_, folder_).ok());
  std::ofstream(folder_ + "/meta.properties") << meta;
  EXPECT_THAT(*FindLogFolders(*files_, folder_), IsEmpty());
  // A data directory has an id, too, and log directories elsewhere.
  std::filesystem::create_directories(folder_ + "/metadata/log");
  EXPECT_FALSE(FindLogFolders(*files_, folder_).ok());
}

}  // namespace
}  // namespace gregor
