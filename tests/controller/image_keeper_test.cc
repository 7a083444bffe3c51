#include "controller/image_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "raft/host/log_inspection.h"
#include "tests/controller/controller_harness.h"
#include "tests/controller/image/image_maker.h"

namespace gregor {
namespace {

using testing::HasSubstr;

constexpr char kSnapshots[] = "/data/metadata/snapshots";

// A controller that takes snapshots often, and whose log has short segments.
class ImageKeeperTest : public testing::Test {
 protected:
  ImageKeeperTest() : node_(21) {
    node_.snapshot_record_bytes = 3000;
    node_.segment_bytes = 2000;
    node_.has_store = false;
    EXPECT_TRUE(node_.Start());
  }

  // Creates topics and deletes most of them, until `snapshots` were taken.
  void Work(int steps = 60) {
    for (int i = 0; i < steps; ++i) {
      const std::string name = "topic-" + std::to_string(++number_);
      ASSERT_TRUE(node_.Create(name, 3).ok());
      if (i % 4 != 0) {
        ASSERT_TRUE(node_.Delete(name).ok());
      }
      node_.scheduler().RunFor(std::chrono::milliseconds(30));
    }
    node_.scheduler().RunFor(std::chrono::seconds(3));
  }
  std::vector<SnapshotFile> Snapshots() { return *ListSnapshots(node_.files(), kSnapshots); }
  std::string PathOf(const SnapshotFile& file) { return JoinPath(kSnapshots, file.name); }
  void Damage(const SnapshotFile& file) { ASSERT_TRUE(node_.files().FlipBit(PathOf(file), 60, 3)); }
  bool HasFirstSegment() {
    return *node_.files().Exists(
        "/data/metadata/log/AAAAAAAAAAAAAAAAAAAAAQ-0/00000000000000000000.log");
  }
  // That of its first segment.
  Offset LogStart() {
    const auto segments =
        ListSegments(node_.files(), "/data/metadata/log/AAAAAAAAAAAAAAAAAAAAAQ-0");
    return segments.ok() && !segments->empty() ? segments->front().name.base : Offset{-1};
  }
  void ExpectSameAfterRestart() {
    const Rows before = RowsOf(*node_.image());
    node_.Kill();
    ASSERT_TRUE(node_.Open()) << *node_.error();
    EXPECT_EQ(RowsOf(*node_.image()), before);
  }

  ControllerHarness node_;
  int number_ = 0;
};

TEST_F(ImageKeeperTest, TheLogIsKeptBackToTheSnapshotBeforeTheLast) {
  Work();
  EXPECT_EQ(Snapshots().size(), 2u);
  EXPECT_FALSE(HasFirstSegment());
  ExpectSameAfterRestart();
  // Nothing before that snapshot is there: it is what everything stands on.
  const auto snapshots = Snapshots();
  for (const SnapshotFile& file : snapshots) Damage(file);
  node_.Kill();
  EXPECT_FALSE(node_.Open());
  EXPECT_THAT(node_.error()->message, HasSubstr("no snapshot is left that can be read"));
  for (const SnapshotFile& file : snapshots)
    EXPECT_TRUE(*node_.files().Exists(PathOf(file) + ".damaged"));
}

TEST_F(ImageKeeperTest, ADamagedSnapshotIsSetAsideAndTheOlderOneUsed) {
  Work();
  const auto snapshots = Snapshots();
  Damage(snapshots.back());
  ExpectSameAfterRestart();
  EXPECT_TRUE(*node_.files().Exists(PathOf(snapshots.back()) + ".damaged"));
  EXPECT_EQ(Snapshots().front(), snapshots.front());
  Work();
  EXPECT_EQ(Snapshots().size(), 2u);
  ExpectSameAfterRestart();
}

TEST_F(ImageKeeperTest, TheLogIsNotCutBehindADamagedSnapshot) {
  Work(20);
  while (Snapshots().empty()) Work(1);
  const SnapshotFile first = Snapshots().back();
  Damage(first);
  // The next snapshot finds the one before it damaged, so the log must reach back to what is whole.
  while (Snapshots().back() == first) Work(1);
  ExpectSameAfterRestart();
}

TEST_F(ImageKeeperTest, WithoutSpaceForSnapshotsTheLogIsKept) {
  for (int i = 0; i < 50; ++i) node_.files().FailNext(SimOperation::kWrite, ".snapshot.part");
  Work();
  EXPECT_TRUE(Snapshots().empty());
  EXPECT_TRUE(HasFirstSegment());
  EXPECT_FALSE(node_.controller().failure().has_value());
  ExpectSameAfterRestart();
}

TEST_F(ImageKeeperTest, LeftoversOfACrashAreRemoved) {
  node_.Kill();
  ASSERT_TRUE(node_.files().MakeDirectory(kSnapshots).ok());
  const std::string part = JoinPath(kSnapshots, "00000000000000000009-0000000001.snapshot.part");
  ASSERT_TRUE(ReplaceFile(node_.files(), part, "half").ok());
  ASSERT_TRUE(node_.Open());
  EXPECT_FALSE(*node_.files().Exists(part));
}

class StoreKeeperTest : public ImageKeeperTest {
 protected:
  StoreKeeperTest() {
    node_.has_store = true;
    EXPECT_TRUE(node_.Start());
  }
};

TEST_F(StoreKeeperTest, TheStoreTrailsTheLog) {
  ASSERT_TRUE(node_.Create("orders", 3).ok());
  const Offset before = node_.store().position.version;
  EXPECT_LT(before, node_.image()->version);
  node_.scheduler().RunFor(std::chrono::seconds(3));
  EXPECT_EQ(node_.store().position.version, node_.image()->version);
  EXPECT_EQ(Rows(node_.store().rows.begin(), node_.store().rows.end()), RowsOf(*node_.image()));
  // A crash before it has caught up: the rest comes from the log.
  ASSERT_TRUE(node_.Create("later", 3).ok());
  EXPECT_LT(node_.store().position.version, node_.image()->version);
  ExpectSameAfterRestart();
}

TEST_F(StoreKeeperTest, ACleanCloseLeavesNothingToReplay) {
  ASSERT_TRUE(node_.Create("orders", 3).ok());
  node_.scheduler().RunFor(std::chrono::seconds(3));
  ASSERT_TRUE(node_.Create("later", 3).ok());
  const Offset version = node_.image()->version;
  ASSERT_TRUE(node_.Close().ok());
  EXPECT_EQ(node_.store().position.version, version);
}

TEST_F(StoreKeeperTest, AShortLifeDoesNotBeginAStore) {
  ASSERT_TRUE(node_.Create("orders", 3).ok());
  ASSERT_TRUE(node_.Close().ok());
  EXPECT_FALSE(node_.store().has_position);
  ASSERT_TRUE(node_.Open());
  EXPECT_NE(node_.image()->Topic("orders"), nullptr);
}

TEST_F(StoreKeeperTest, ADamagedStoreIsBuiltAnew) {
  Work();
  node_.store().rows.begin()->second = "damage";
  ExpectSameAfterRestart();
  node_.scheduler().RunFor(std::chrono::seconds(3));
  ASSERT_TRUE(node_.Create("after").ok());
  node_.scheduler().RunFor(std::chrono::seconds(3));
  EXPECT_EQ(Rows(node_.store().rows.begin(), node_.store().rows.end()), RowsOf(*node_.image()));
}

TEST_F(StoreKeeperTest, AStoreOfAnotherTermIsBuiltAnew) {
  Work(5);
  node_.store().position.term = LeaderEpoch{99};
  ExpectSameAfterRestart();
}

TEST_F(StoreKeeperTest, AStoreBehindTheLogsStartIsBuiltAnew) {
  Work(5);
  const MemoryRows old = node_.store();
  Work();
  ASSERT_FALSE(HasFirstSegment());
  const Rows before = RowsOf(*node_.image());
  node_.Kill();
  node_.store() = old;
  ASSERT_TRUE(node_.Open()) << *node_.error();
  EXPECT_EQ(RowsOf(*node_.image()), before);
}

// What was not durable of a store is gone with its process; the rest has to fit the log all the
// same.
TEST_F(StoreKeeperTest, TheLogReachesBackToWhatTheStoreHasAfterACrash) {
  node_.store().keeps_all = false;
  for (int round = 0; round < 5; ++round) {
    Work(30);
    ASSERT_EQ(Snapshots().size(), 2u);
    ASSERT_TRUE(node_.store().has_position);
    EXPECT_GE(node_.store().position.version, Snapshots().front().end_offset);
    EXPECT_GE(node_.store().position.version, LogStart());
    ExpectSameAfterRestart();
  }
  EXPECT_FALSE(HasFirstSegment());
}

// Snapshots come faster than the store is written: the log is to be trimmed, and waits for it.
class HastyKeeperTest : public StoreKeeperTest {
 protected:
  HastyKeeperTest() {
    node_.store().keeps_all = false;
    Work();
    start_ = LogStart();
    stored_ = node_.store().position.version;
    // By more than a segment.
    while (Snapshots().front().end_offset <= stored_ + 60) {
      EXPECT_TRUE(node_.Create("topic-" + std::to_string(++number_), 3).ok());
      node_.scheduler().RunFor(std::chrono::milliseconds(2));
    }
    node_.scheduler().RunFor(std::chrono::milliseconds(100));
    EXPECT_EQ(node_.store().position.version, stored_) << "too slow to show it";
    EXPECT_GE(LogStart(), start_);
    EXPECT_LE(LogStart(), stored_);
  }
  void Rest() { node_.scheduler().RunFor(std::chrono::seconds(5)); }

  Offset start_{-1};
  Offset stored_{-1};
};

TEST_F(HastyKeeperTest, TheLogGoesOnceTheStoreIsThatFar) {
  Rest();  // nothing else happens
  EXPECT_GT(LogStart(), stored_);
  EXPECT_GE(node_.store().position.version, LogStart());
  ExpectSameAfterRestart();
}

TEST_F(HastyKeeperTest, TheLogGoesWhereTheStoreIsGivenUp) {
  node_.store().fails = true;
  Rest();
  EXPECT_GT(LogStart(), stored_);
  node_.store().fails = false;
  ExpectSameAfterRestart();
}

TEST_F(HastyKeeperTest, AKilledNodeStartsFromItsStore) {
  ExpectSameAfterRestart();
  Rest();
  Work();
  EXPECT_GT(LogStart(), stored_);
  ExpectSameAfterRestart();
}

TEST_F(HastyKeeperTest, ACloseDoesNotWaitForTheLog) {
  ASSERT_TRUE(node_.Close().ok());
  ASSERT_TRUE(node_.Open()) << *node_.error();
  EXPECT_NE(node_.image()->Topic("topic-" + std::to_string(number_)), nullptr);
}

TEST_F(StoreKeeperTest, AStoreAheadOfTheLogMeansThatTheLogLostRecords) {
  Work(5);
  node_.store().position.version = node_.store().position.version + 100;
  node_.Kill();
  EXPECT_FALSE(node_.Open());
  EXPECT_THAT(node_.error()->message, HasSubstr("were committed. Restore the directory"));
}

// The power fails at every step of a life with operations, snapshots and trimming.
TEST(ImageKeeper, APowerLossAtAnyStepLosesNothingThatWasAnswered) {
  int restarts = 0;
  bool ended = false;
  for (uint64_t step = 1; !ended; ++step) {
    ControllerHarness node(3000 + step);
    node.snapshot_record_bytes = 1200;
    node.segment_bytes = 1000;
    node.has_store = step % 3 != 0;
    node.store().keeps_all = step % 3 == 1;
    ASSERT_TRUE(node.Start());
    node.files().FailPowerAt(node.files().mutation_count() + step);
    std::vector<std::string> made;
    for (int i = 0; i < 14 && !node.files().is_powerless(); ++i) {
      const std::string name = "topic-" + std::to_string(i);
      if (node.Create(name, 2).ok()) made.push_back(name);
      node.scheduler().RunFor(std::chrono::milliseconds(400));
    }
    ended = !node.files().is_powerless();
    node.LosePower();
    ASSERT_TRUE(node.Start()) << "step " << step << ": " << *node.error();
    for (const std::string& name : made)
      ASSERT_NE(node.image()->Topic(name), nullptr) << "step " << step << ", " << name;
    ++restarts;
  }
  EXPECT_GT(restarts, 20);
}

// A keeper that writes a snapshot of every image, and others that fetch them.
class OpenSnapshotTest : public testing::Test {
 protected:
  explicit OpenSnapshotTest(std::unique_ptr<ImageStore> store = nullptr) {
    ImageKeeper::Options options;
    options.store = std::move(store);
    options.loop = &loop_;
    options.disk = &disk_;
    options.snapshot_folder = kSnapshots;
    options.snapshot_record_bytes = 1;
    options.durable_end = [] { return Offset{INT64_MAX}; };
    options.on_snapshot = [](const SnapshotFile&) {};
    options.on_trimmable = [this](Offset end) { trimmable_ = end; };
    options.on_damaged = [](const ImagePtr&, uint64_t) { FAIL(); };
    keeper_ = std::make_unique<ImageKeeper>(std::move(options));
    keeper_->Load([](const ImagePosition&) { return true; }, [](Result<ImagePtr>) {});
    scheduler_.RunFor(std::chrono::seconds(1));
  }

  ImagePtr Next() {
    const ImagePtr image = maker_.Step();
    keeper_->OnImage(image, 10);
    scheduler_.RunFor(std::chrono::seconds(1));
    return image;
  }
  Result<ImageKeeper::OpenSnapshot> Open(const std::optional<ImagePosition>& preferred = {}) {
    std::optional<Result<ImageKeeper::OpenSnapshot>> came;
    keeper_->Open(preferred, [&](auto opened) { came.emplace(std::move(opened)); });
    scheduler_.RunFor(std::chrono::seconds(1));
    return *std::move(came);
  }
  static void ExpectSnapshotOf(const MetadataImage& image,
                               const Result<ImageKeeper::OpenSnapshot>& opened) {
    ASSERT_TRUE(opened.ok()) << opened.error();
    std::string bytes(opened->snapshot.size_bytes, '\0');
    const auto read =
        opened->file->Read(0, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
    EXPECT_EQ(*read, bytes.size());
    EXPECT_TRUE(bytes == EncodeSnapshot(image));
    EXPECT_EQ(opened->snapshot.end_offset, image.version);
  }

  Scheduler scheduler_{5};
  SimFileSystem files_{5, nullptr};
  SimLoop loop_{scheduler_, "controller"};
  SimDisk disk_{scheduler_, files_};
  ImageMaker maker_{5};
  Offset trimmable_{0};
  std::unique_ptr<ImageKeeper> keeper_;
};

TEST_F(OpenSnapshotTest, ThereIsNoneBeforeOneWasWritten) {
  EXPECT_EQ(Open().error().reason, Reason::kLeaderNotAvailable);
}

TEST_F(OpenSnapshotTest, TheNewestIsGivenUnlessAnotherOneWasBegun) {
  const ImagePtr first = Next(), second = Next(), third = Next();
  ExpectSnapshotOf(*third, Open());
  ExpectSnapshotOf(*second, Open(PositionOf(*second)));
  ExpectSnapshotOf(*third, Open(PositionOf(*first)));  // that has been removed
  ImagePosition other_term = PositionOf(*second);
  other_term.term = LeaderEpoch{99};
  ExpectSnapshotOf(*third, Open(other_term));
}

TEST_F(OpenSnapshotTest, WhatIsOpenStaysReadableWhenNewerOnesHaveTakenItsPlace) {
  const ImagePtr first = Next();
  const auto opened = Open();
  for (int i = 0; i < 3; ++i) Next();
  EXPECT_FALSE(*files_.Exists(JoinPath(kSnapshots, opened->snapshot.name)));
  ExpectSnapshotOf(*first, opened);
}

TEST_F(OpenSnapshotTest, ADamagedOneIsNotGivenAndWrittenAnew) {
  const ImagePtr older = Next(), image = Next();
  const std::string path = JoinPath(kSnapshots, SnapshotFileName(PositionOf(*image)));
  ASSERT_TRUE(files_.FlipBit(path, 60, 3));
  EXPECT_EQ(Open().error().reason, Reason::kStorageError);
  EXPECT_TRUE(*files_.Exists(path + ".damaged"));
  ExpectSnapshotOf(*image, Open());
  ExpectSnapshotOf(*older, Open(PositionOf(*older)));
}

TEST_F(OpenSnapshotTest, AnOlderOneThatIsDamagedIsMissedByNobody) {
  const ImagePtr older = Next(), image = Next();
  const std::string path = JoinPath(kSnapshots, SnapshotFileName(PositionOf(*older)));
  ASSERT_TRUE(files_.FlipBit(path, 60, 3));
  EXPECT_EQ(Open(PositionOf(*older)).error().reason, Reason::kStorageError);
  EXPECT_FALSE(*files_.Exists(path));
  ExpectSnapshotOf(*image, Open(PositionOf(*older)));
}

TEST_F(OpenSnapshotTest, OneThatIsFetchedStaysTheNewestWhateverIsWrittenMeanwhile) {
  Next();
  Next();
  const ImagePtr older = maker_.Step(), later = maker_.Step(), fetched = maker_.Step();
  std::optional<Result<void>> kept;
  keeper_->Keep({EncodeSnapshot(*fetched), fetched}, [&](Result<void> result) { kept = result; });
  keeper_->OnImage(older, 10);  // what is written behind the other one
  scheduler_.RunFor(std::chrono::seconds(1));
  ASSERT_TRUE(kept.has_value() && kept->ok());
  keeper_->OnImage(later, 10);
  scheduler_.RunFor(std::chrono::seconds(1));
  EXPECT_EQ(ListSnapshots(files_, kSnapshots)->back().end_offset, fetched->version);
  ExpectSnapshotOf(*fetched, Open());
  EXPECT_LE(trimmable_, fetched->version);
  // It counts from then on.
  keeper_->OnImage(fetched, 10);
  scheduler_.RunFor(std::chrono::seconds(1));
  const ImagePtr next = Next();
  ExpectSnapshotOf(*next, Open());
  ExpectSnapshotOf(*fetched, Open(PositionOf(*fetched)));
  EXPECT_EQ(trimmable_, fetched->version);
}

// ... and a store, which is written later than two snapshots are.
class WaitingTrimTest : public OpenSnapshotTest {
 protected:
  explicit WaitingTrimTest(std::shared_ptr<MemoryRows> rows = std::make_shared<MemoryRows>())
      : OpenSnapshotTest(NewMemoryStore(rows)), rows_(std::move(rows)) {
    rows_->keeps_all = false;
    for (ImagePtr* const image : {&older_, &newer_}) {
      *image = maker_.Step();
      keeper_->OnImage(*image, 10);
      scheduler_.RunFor(std::chrono::milliseconds(200));
    }
    EXPECT_EQ(ListSnapshots(files_, kSnapshots)->size(), 2u);
    EXPECT_FALSE(rows_->has_position);
    EXPECT_EQ(trimmable_, Offset{0});
  }
  void ExpectRest() {
    const uint64_t written = rows_->write_count;
    scheduler_.RunFor(std::chrono::minutes(1));
    EXPECT_EQ(rows_->write_count, written);
  }

  const std::shared_ptr<MemoryRows> rows_;
  ImagePtr older_, newer_;
};

TEST_F(WaitingTrimTest, TheStoreIsWrittenOnceAndTheLogMayGo) {
  scheduler_.RunFor(std::chrono::seconds(3));
  EXPECT_EQ(rows_->position.version, newer_->version);
  EXPECT_EQ(trimmable_, older_->version);
  ExpectRest();
}

TEST_F(WaitingTrimTest, TheLogStaysWhereTheOlderSnapshotIsFoundDamaged) {
  const auto snapshots = ListSnapshots(files_, kSnapshots);
  ASSERT_TRUE(files_.FlipBit(JoinPath(kSnapshots, snapshots->front().name), 60, 3));
  EXPECT_FALSE(Open(PositionOf(*older_)).ok());
  scheduler_.RunFor(std::chrono::seconds(3));
  EXPECT_EQ(trimmable_, Offset{0});
  ExpectRest();
}

TEST_F(WaitingTrimTest, ItDoesNotOutliveANewBeginning) {
  keeper_->LoadAgain(
      older_->version, [](const ImagePosition&) { return true; },
      [](const Result<ImagePtr>& loaded) { EXPECT_TRUE(loaded.ok()) << loaded.error(); });
  scheduler_.RunFor(std::chrono::seconds(3));
  EXPECT_EQ(trimmable_, Offset{0});
  keeper_->Resume(true);
  ExpectRest();
  for (int i = 0; i < 3; ++i) Next();
  scheduler_.RunFor(std::chrono::seconds(3));
  EXPECT_GT(trimmable_, older_->version);
  EXPECT_EQ(rows_->position.version, maker_.image()->version);
}

}  // namespace
}  // namespace gregor
