#include "storage/sync_chooser.h"

#include <gtest/gtest.h>

namespace gregor {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Way = SyncChooser::Way;

const MonotonicTime kStart{seconds(100)};

TEST(SyncChooser, AFewFilesAreSyncedEachByItself) {
  SyncChooser chooser;
  EXPECT_EQ(chooser.Choose(1, kStart), Way::kEach);
  EXPECT_EQ(chooser.Choose(7, kStart), Way::kEach);
}

TEST(SyncChooser, ManyFilesAreSyncedWithTheirDisk) {
  SyncChooser chooser;
  EXPECT_EQ(chooser.Choose(1000, kStart), Way::kDisk);
  for (int i = 0; i < 20; ++i) chooser.Note(Way::kDisk, 1000, milliseconds(4), kStart);
  EXPECT_EQ(chooser.Choose(1000, kStart), Way::kDisk);
}

TEST(SyncChooser, ADiskOnWhichOthersWriteMuchIsLeftAloneForAWhile) {
  SyncChooser chooser;
  for (int i = 0; i < 9; ++i) chooser.Note(Way::kDisk, 64, milliseconds(30), kStart);
  EXPECT_EQ(chooser.Choose(64, kStart + seconds(1)), Way::kEach);
  // Then it is tried again, in case that it was for a while only.
  EXPECT_EQ(chooser.Choose(64, kStart + seconds(6)), Way::kDisk);
  for (int i = 0; i < 30; ++i) chooser.Note(Way::kDisk, 64, milliseconds(1), kStart + seconds(6));
  EXPECT_EQ(chooser.Choose(64, kStart + seconds(7)), Way::kDisk);
}

TEST(SyncChooser, ADiskThatTookLongIsLeftAloneForLonger) {
  SyncChooser chooser;
  chooser.Note(Way::kDisk, 64, seconds(1), kStart);
  EXPECT_EQ(chooser.Choose(64, kStart + seconds(6)), Way::kEach);
  EXPECT_EQ(chooser.Choose(64, kStart + seconds(99)), Way::kEach);
  EXPECT_EQ(chooser.Choose(64, kStart + seconds(101)), Way::kDisk);
}

TEST(SyncChooser, LearnsWhatAFileCosts) {
  SyncChooser chooser;
  for (int i = 0; i < 30; ++i) {
    chooser.Note(Way::kDisk, 100, milliseconds(20), kStart);
    chooser.Note(Way::kEach, 100, milliseconds(100), kStart);
  }
  chooser.Note(Way::kEach, 1, milliseconds(30), kStart);  // tells nothing about many
  // A millisecond a file.
  EXPECT_EQ(chooser.Choose(10, kStart), Way::kEach);
  EXPECT_EQ(chooser.Choose(40, kStart), Way::kDisk);
}

}  // namespace
}  // namespace gregor
