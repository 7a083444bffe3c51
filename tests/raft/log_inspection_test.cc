#include "raft/host/log_inspection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/raft/metadata_log_harness.h"

namespace gregor {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

// A node's log of some segments, which has ended.
class LogInspectionTest : public testing::Test {
 protected:
  LogInspectionTest() : node_(31) {
    EXPECT_TRUE(node_.Start());
    for (int i = 0; i < 60; ++i) {
      EXPECT_TRUE(node_.Append({std::string(1000, 'x'), "y"}));
      EXPECT_TRUE(node_.WaitForAll());
    }
    end_ = node_.log().end_offset();
    EXPECT_TRUE(node_.CloseCleanly());
    segments_ = *ListSegments(node_.files(), kFolder);
    EXPECT_GT(segments_.size(), 2u);
  }

  LogInspection Inspect(std::optional<SyncedMark> mark = std::nullopt) {
    auto found = InspectLog(node_.files(), kFolder, mark, MetadataLogHarness::kBatchMax);
    EXPECT_TRUE(found.ok());
    return *std::move(found);
  }
  std::string PathOf(size_t segment) const {
    return JoinPath(kFolder, segments_[segment].name.FileName("log"));
  }

  static constexpr char kFolder[] = "/data/metadata/log/AAAAAAAAAAAAAAAAAAAAAQ-0";
  MetadataLogHarness node_;
  Offset end_{0};
  std::vector<SegmentFile> segments_;
};

TEST_F(LogInspectionTest, AWholeLogHasNoHole) {
  const LogInspection found = Inspect();
  EXPECT_THAT(found.holes, IsEmpty());
  EXPECT_EQ(found.start, Offset{0});
  EXPECT_EQ(found.end, end_);
  EXPECT_EQ(found.runs.front().begin, Offset{0});
  EXPECT_EQ(found.runs.back().end, end_);
}

TEST_F(LogInspectionTest, ADamagedBatchIsAHoleInFrontOfTheNext) {
  ASSERT_TRUE(node_.files().FlipBit(PathOf(1), 100, 2));
  const LogInspection found = Inspect();
  ASSERT_THAT(found.holes, SizeIs(1));
  EXPECT_EQ(found.holes[0].begin, segments_[1].name.base);
  EXPECT_EQ(found.holes[0].end, segments_[1].name.base + 2);
  ASSERT_TRUE(found.holes[0].behind.has_value());
  EXPECT_EQ(found.holes[0].behind->base_offset, found.holes[0].end);
  EXPECT_EQ(found.end, end_);
}

TEST_F(LogInspectionTest, AMissingSegmentAndAMissingEndAreHoles) {
  ASSERT_TRUE(node_.files().Remove(PathOf(1)).ok());
  ASSERT_TRUE(node_.files().Remove(PathOf(segments_.size() - 1)).ok());
  const LogInspection found = Inspect();
  ASSERT_THAT(found.holes, SizeIs(2));
  EXPECT_EQ(found.holes[0].begin, segments_[1].name.base);
  EXPECT_EQ(found.holes[0].end, segments_[2].name.base);
  EXPECT_EQ(found.holes[1].begin, segments_.back().name.base);
  EXPECT_EQ(found.holes[1].end, end_) << "the checkpoint says how far it was synced";
  EXPECT_FALSE(found.holes[1].behind.has_value());
}

TEST_F(LogInspectionTest, ATornEndAboveWhatWasSyncedIsNone) {
  ASSERT_TRUE(node_.files().Remove(JoinPath(kFolder, "checkpoint")).ok());
  const LogInspection whole = Inspect();
  const SoundRun& last = whole.runs.back();
  ASSERT_TRUE(node_.files().FlipBit(PathOf(segments_.size() - 1), last.size - 5, 1));
  SyncedMark mark;
  mark.end_offset = mark.segment_base = last.file.base;
  const LogInspection found = Inspect(mark);
  EXPECT_THAT(found.holes, IsEmpty());
  EXPECT_EQ(found.end, end_ - 2);
}

TEST_F(LogInspectionTest, SoundBatchesAreReadOverDamage) {
  ASSERT_TRUE(node_.files().FlipBit(PathOf(1), 100, 2));
  const Offset base = segments_[1].name.base;
  const auto read = [&](Offset from, size_t bytes_max) {
    return *ReadSoundBatches(node_.files(), kFolder, from, bytes_max,
                             MetadataLogHarness::kBatchMax);
  };
  EXPECT_TRUE(read(base, 1).empty());
  const Bytes one = read(base + 2, 1);
  const auto batch = CheckBatch(one);
  ASSERT_TRUE(batch.ok()) << batch.error();
  EXPECT_EQ(batch->header.base_offset, base + 2);
  EXPECT_GT(read(base + 2, 3000).size(), one.size());
  EXPECT_TRUE(read(end_, 1).empty());
}

}  // namespace
}  // namespace gregor
