#include "storage/mark_journal.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/sim/sim_file_system.h"

namespace gregor {
namespace {

constexpr char kPath[] = "/marks";

class MarkJournalTest : public testing::Test {
 protected:
  MarkJournal Open(uint64_t rewrite_bytes_min = 1 << 20) {
    marks_.clear();
    auto journal = MarkJournal::Open(files_, kPath, rewrite_bytes_min, marks_);
    CHECK(journal.ok()) << journal.error();
    return *std::move(journal);
  }
  TopicIdPartition Id(int32_t partition) const { return {topic_, PartitionIndex{partition}}; }
  static SyncedMark Mark(int64_t end) {
    return {Offset{end / 2},
            Offset{end},
            Offset{end / 3},
            static_cast<uint64_t>(100 * end),
            static_cast<uint32_t>(end * 7),
            end % 5 == 0};
  }
  // Of the records; room of zeros follows.
  uint64_t Size() { return ReadWholeFile(files_, kPath, 1 << 24)->find_last_not_of('\0') + 1; }

  SimFileSystem files_{1, nullptr};
  TopicId topic_ = Random(1).NewUuid<TopicId>();
  MarkJournal::Marks marks_;
};

TEST_F(MarkJournalTest, KeepsTheLastMarkOfEachPartition) {
  {
    MarkJournal journal = Open();
    EXPECT_TRUE(marks_.empty());
    ASSERT_TRUE(journal.Append({{Id(0), Mark(10)}, {Id(1), Mark(20)}}).ok());
    ASSERT_TRUE(journal.Append({{Id(0), Mark(30)}, {Id(2), Mark(1)}}).ok());
    ASSERT_TRUE(journal.Append({{Id(1), std::nullopt}}).ok());
  }
  Open();
  EXPECT_EQ(marks_.size(), 2u);
  EXPECT_EQ(marks_[Id(0)], Mark(30));
  EXPECT_EQ(marks_[Id(2)], Mark(1));
}

TEST_F(MarkJournalTest, IsDurableOnceItsFileIsSynced) {
  {
    MarkJournal journal = Open();
    ASSERT_TRUE(journal.Append({{Id(0), Mark(10)}}).ok());
    ASSERT_TRUE(journal.file()->Sync().ok());
    ASSERT_TRUE(journal.Append({{Id(0), Mark(20)}}).ok());
  }
  files_.LosePower(SimSurvival::kNothing);
  Open();
  EXPECT_EQ(marks_[Id(0)], Mark(10));
}

TEST_F(MarkJournalTest, OnAFullDiskTheOldFileGoesOn) {
  {
    MarkJournal journal = Open();
    ASSERT_TRUE(journal.Append({{Id(0), Mark(10)}, {Id(1), Mark(20)}}).ok());
  }
  files_.KillProcess();
  files_.faults().capacity_bytes = 0;
  {
    MarkJournal journal = Open();
    EXPECT_EQ(marks_[Id(0)], Mark(10));
    // What was read is durable now.
    files_.LosePower(SimSurvival::kNothing);
  }
  {
    MarkJournal journal = Open();
    EXPECT_EQ(marks_[Id(1)], Mark(20));
    ASSERT_TRUE(journal.Append({{Id(0), Mark(30)}}).ok());
  }
  files_.KillProcess();
  Open();
  EXPECT_EQ(marks_[Id(0)], Mark(30));
  EXPECT_EQ(marks_[Id(1)], Mark(20));
  EXPECT_FALSE(*files_.Exists(std::string(kPath) + ".tmp"));
}

TEST_F(MarkJournalTest, PassesDamagedRecordsOver) {
  for (const uint64_t damaged : {0u, 1u, 2u, 3u}) {
    ASSERT_TRUE(files_.Remove(kPath).ok());
    {
      MarkJournal journal = Open();
      for (int64_t i = 0; i < 4; ++i) ASSERT_TRUE(journal.Append({{Id(0), Mark(i + 1)}}).ok());
    }
    ASSERT_TRUE(files_.FlipBit(kPath, 64 * (1 + damaged) + 37, 5));  // behind the head
    Open();
    EXPECT_EQ(marks_[Id(0)], Mark(damaged == 3 ? 3 : 4));
  }
}

TEST_F(MarkJournalTest, ATornAppendCostsItselfAlone) {
  {
    MarkJournal journal = Open();
    ASSERT_TRUE(journal.Append({{Id(0), Mark(1)}, {Id(1), Mark(2)}}).ok());
  }
  ASSERT_TRUE((*files_.Open(kPath, OpenMode::kReadWrite))->Truncate(64 + 100).ok());
  MarkJournal journal = Open();
  EXPECT_EQ(marks_.size(), 1u);
  // What is appended then is read back.
  ASSERT_TRUE(journal.Append({{Id(1), Mark(3)}}).ok());
  Open();
  EXPECT_EQ(marks_[Id(1)], Mark(3));
}

TEST_F(MarkJournalTest, IsWrittenAnewWhenMostOfItIsStale) {
  MarkJournal journal = Open(1000);
  int64_t end = 0;
  while (!journal.IsFull(2, 2)) {
    ASSERT_TRUE(journal.Append({{Id(0), Mark(++end)}, {Id(1), Mark(end)}}).ok());
    ASSERT_LT(end, 1000);
  }
  EXPECT_GT(end, 4);
  ASSERT_TRUE(journal.Rewrite({{Id(0), Mark(end)}, {Id(1), Mark(end)}}).ok());
  EXPECT_GT(Size(), 64u);
  EXPECT_LE(Size(), 3 * 64u);  // and the head
  EXPECT_FALSE(journal.IsFull(2, 2));
  // As long as nothing is stale it is not full, however many partitions there are.
  EXPECT_FALSE(journal.IsFull(1000, 1000));
  Open();
  EXPECT_EQ(marks_[Id(1)], Mark(end));
}

// Head and 3 marks are written as a whole; then come 2 marks, and 3.
TEST_F(MarkJournalTest, WhatIsLostIsNoticedUnlessItIsOfTheLastAppend) {
  const std::vector<TopicIdPartition> folders = {Id(0), Id(7)};
  for (const bool cut_off : {false, true}) {
    for (uint64_t record = 0; record < 9; ++record) {
      files_.KillProcess();
      for (const char* path : {"/marks", "/marks.damaged"}) ASSERT_TRUE(files_.Remove(path).ok());
      {
        MarkJournal journal = Open();
        ASSERT_TRUE(journal.Rewrite({{Id(0), Mark(1)}, {Id(1), Mark(1)}, {Id(2), Mark(1)}}).ok());
        ASSERT_TRUE(journal.Append({{Id(0), Mark(2)}, {Id(1), Mark(2)}}).ok());
        ASSERT_TRUE(journal.Append({{Id(0), Mark(3)}, {Id(1), Mark(3)}, {Id(2), Mark(3)}}).ok());
      }
      if (cut_off) {
        ASSERT_TRUE((*files_.Open(kPath, OpenMode::kReadWrite))->Truncate(64 * record + 40).ok());
      } else {
        ASSERT_TRUE(files_.FlipBit(kPath, 64 * record + 40, 2));
      }
      marks_.clear();
      ASSERT_TRUE(MarkJournal::Open(files_, kPath, 1 << 20, marks_, folders).ok());
      // Without any of the last append the one before it is the last.
      const bool is_noticed = record < (cut_off ? 4 : 6);
      EXPECT_EQ(*files_.Exists("/marks.damaged"), is_noticed) << record;
      EXPECT_EQ(marks_[Id(7)].is_doubtful, is_noticed) << record;
      EXPECT_EQ(marks_[Id(0)].is_doubtful, is_noticed) << record;
      // Doubt lasts until a log has opened.
      marks_.clear();
      ASSERT_TRUE(MarkJournal::Open(files_, kPath, 1 << 20, marks_, folders).ok());
      EXPECT_EQ(marks_[Id(7)].is_doubtful, is_noticed) << record;
    }
  }
}

TEST_F(MarkJournalTest, AMissingOneIsNoticedWhereThereAreFolders) {
  for (const bool has_folders : {false, true}) {
    std::vector<TopicIdPartition> folders;
    if (has_folders) folders.push_back(Id(3));
    ASSERT_TRUE(files_.Remove(kPath).ok());
    marks_.clear();
    ASSERT_TRUE(MarkJournal::Open(files_, kPath, 1 << 20, marks_, folders).ok());
    EXPECT_EQ(marks_.size(), folders.size());
    EXPECT_EQ(marks_[Id(3)].is_doubtful, has_folders);
  }
}

TEST_F(MarkJournalTest, WritingAnewHoldsThroughAPowerLossAtEveryStep) {
  for (uint64_t step = 1; step < 30; ++step) {
    SimFileSystem files(step, nullptr);
    MarkJournal::Marks marks;
    {
      auto journal = MarkJournal::Open(files, kPath, 1000, marks);
      ASSERT_TRUE(journal.ok());
      ASSERT_TRUE(journal->Append({{Id(0), Mark(1)}, {Id(1), Mark(2)}}).ok());
      ASSERT_TRUE(journal->file()->Sync().ok());
      files.FailPowerAt(files.mutation_count() + step);
      (void)journal->Rewrite({{Id(0), Mark(3)}, {Id(1), Mark(4)}});
    }
    files.LosePower();
    marks.clear();
    ASSERT_TRUE(MarkJournal::Open(files, kPath, 1000, marks).ok());
    ASSERT_EQ(marks.size(), 2u);
    const bool is_old = marks[Id(0)] == Mark(1) && marks[Id(1)] == Mark(2);
    const bool is_new = marks[Id(0)] == Mark(3) && marks[Id(1)] == Mark(4);
    ASSERT_TRUE(is_old || is_new) << step;
  }
}

}  // namespace
}  // namespace gregor
