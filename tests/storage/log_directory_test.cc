#include "storage/log_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "storage/file_cache.h"
#include "storage/group_sync.h"
#include "storage/log.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_file_system.h"

namespace gregor {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class LogDirectoryTest : public testing::Test {
 protected:
  LogDirectoryTest() {
    Random random(1);
    options_.path = "/data";
    options_.cluster_id = random.NewUuid<ClusterId>();
    options_.node_id = NodeId{1};
    topic_ = random.NewUuid<TopicId>();
    CHECK(files_.MakeDirectory("/data").ok());
  }
  ~LogDirectoryTest() override {
    disk_.Kill();
    loop_.Kill();
  }

  Result<std::unique_ptr<LogDirectory>> Open() {
    return LogDirectory::Open(disk_, loop_, options_);
  }
  std::unique_ptr<LogDirectory> MustOpen() {
    auto directory = Open();
    CHECK(directory.ok()) << directory.error();
    return *std::move(directory);
  }
  TopicIdPartition Id(int32_t partition) const { return {topic_, PartitionIndex{partition}}; }
  void MakeFolder(const std::string& name) {
    CHECK(files_.MakeDirectory("/data/" + name).ok());
    CHECK(files_.Open("/data/" + name + "/file", OpenMode::kCreate).ok());
  }
  bool Exists(const std::string& path) { return *files_.Exists(path); }

  Result<void> Sync(LogDirectory& directory, GroupSync::Part part) {
    std::optional<Result<void>> result;
    part.reply = &loop_;
    part.done = [&](Result<void> done) { result = std::move(done); };
    loop_.Run([&] { directory.group_sync().Add(std::move(part)); });
    CHECK(scheduler_.RunUntil([&] { return result.has_value(); }, seconds(60)));
    return *std::move(result);
  }
  static SyncedMark Mark(int64_t start, int64_t end) {
    return {Offset{start}, Offset{end}, Offset{0}, static_cast<uint64_t>(10 * end), 7};
  }

  Scheduler scheduler_{1};
  SimFileSystem files_{1, nullptr};
  SimLoop loop_{scheduler_, "loop"};
  SimDisk disk_{scheduler_, files_};
  LogDirectory::Options options_;
  TopicId topic_;
};

TEST_F(LogDirectoryTest, KnowsItselfAgain) {
  DirectoryId id;
  {
    const auto directory = MustOpen();
    id = directory->id();
    EXPECT_FALSE(id.IsZero());
    EXPECT_FALSE(directory->was_clean());
  }
  const auto directory = MustOpen();
  EXPECT_EQ(directory->id(), id);
  EXPECT_FALSE(directory->was_clean());
}

TEST_F(LogDirectoryTest, RefusesWhatIsNotItsOwn) {
  MustOpen().reset();
  const LogDirectory::Options own = options_;
  options_.node_id = NodeId{2};
  EXPECT_THAT(Open().error().message, HasSubstr("belongs to node 1, and this is node 2"));
  options_ = own;
  options_.cluster_id = Random(9).NewUuid<ClusterId>();
  EXPECT_EQ(Open().error().reason, Reason::kInconsistentClusterId);
  options_ = own;
  const auto file = files_.Open("/data/meta.properties", OpenMode::kReadWrite);
  ASSERT_TRUE((*file)->Write(0, Slice::Static("version=9")).ok());
  EXPECT_THAT(Open().error().message, HasSubstr("has format version 9, and this release knows 1"));
}

TEST_F(LogDirectoryTest, AFailedDiskIsToldFromAFolderThatIsInUseOrAnothers) {
  const auto is_disk_failure = [&] {
    const auto opened = Open();
    return !opened.ok() && LogDirectory::IsDiskFailure(opened.error());
  };
  const DirectoryId id = MustOpen()->id();
  EXPECT_EQ(LogDirectory::IdOf(files_, "/data"), id);
  const LogDirectory::Options own = options_;
  options_.node_id = NodeId{2};
  EXPECT_FALSE(is_disk_failure());
  options_.node_id = own.node_id;
  options_.cluster_id = Random(9).NewUuid<ClusterId>();
  EXPECT_FALSE(is_disk_failure());
  options_.cluster_id = own.cluster_id;
  {
    const auto holder = MustOpen();
    EXPECT_FALSE(is_disk_failure());
  }
  ASSERT_TRUE(files_.Remove("/data/synced-marks").ok());
  ASSERT_TRUE(files_.MakeDirectory("/data/synced-marks").ok());
  EXPECT_TRUE(is_disk_failure());
  EXPECT_EQ(LogDirectory::IdOf(files_, "/data"), id);
  const auto file = files_.Open("/data/meta.properties", OpenMode::kReadWrite);
  ASSERT_TRUE((*file)->Write(0, Slice::Static("rubbish")).ok());
  EXPECT_TRUE(is_disk_failure());
  options_.path = "/elsewhere";
  options_.format_if_empty = false;
  EXPECT_TRUE(is_disk_failure());
  EXPECT_TRUE(LogDirectory::IdOf(files_, "/elsewhere").IsZero());
}

TEST_F(LogDirectoryTest, RefusesAFolderOfOtherThings) {
  MakeFolder("holiday-pictures");
  EXPECT_THAT(Open().error().message, HasSubstr("is it the right folder?"));
}

TEST_F(LogDirectoryTest, AMissingMountIsNoFreshDisk) {
  options_.format_if_empty = false;
  EXPECT_THAT(Open().error().message, HasSubstr("is its disk mounted?"));
  options_.format_if_empty = true;
  EXPECT_TRUE(Open().ok());
}

TEST_F(LogDirectoryTest, IsLockedWhileItIsOpen) {
  auto directory = MustOpen();
  EXPECT_THAT(Open().error().message, HasSubstr("is locked by process"));
  directory.reset();
  EXPECT_TRUE(Open().ok());
}

TEST_F(LogDirectoryTest, FindsTheFoldersOfItsPartitionsAndLeavesOthersAlone) {
  MustOpen().reset();
  MakeFolder(Id(3).ToString());
  MakeFolder(Id(1).ToString());
  MakeFolder(Id(2).ToString() + ".stray");
  MakeFolder("lost+found");
  MakeFolder("something");
  EXPECT_THAT(MustOpen()->found(), ElementsAre(Id(1), Id(3)));
  const auto directory = MustOpen();
  EXPECT_EQ(directory->stray_folders(), 1);
  ASSERT_TRUE(directory->SetAside(Id(1)).ok());
  EXPECT_EQ(directory->stray_folders(), 2);
  EXPECT_TRUE(Exists("/data/something/file"));
  EXPECT_TRUE(Exists("/data/" + Id(2).ToString() + ".stray/file"));
}

TEST_F(LogDirectoryTest, StraysAreSetAsideUnderNamesOfTheirOwn) {
  const auto directory = MustOpen();
  for (int i = 0; i < 3; ++i) {
    MakeFolder(Id(0).ToString());
    ASSERT_TRUE(directory->SetAside(Id(0)).ok());
    EXPECT_FALSE(Exists(directory->PathOf(Id(0))));
  }
  for (const char* suffix : {".stray", ".stray.1", ".stray.2"})
    EXPECT_TRUE(Exists(directory->PathOf(Id(0)) + suffix + "/file")) << suffix;
}

TEST_F(LogDirectoryTest, ARemovedFolderGoesAsAWholeWhateverHappens) {
  for (uint64_t step = 1; step < 12; ++step) {
    SimFileSystem files(step, nullptr);
    SimDisk disk(scheduler_, files);
    CHECK(files.MakeDirectory("/data").ok());
    {
      auto directory = LogDirectory::Open(disk, loop_, options_);
      ASSERT_TRUE(directory.ok());
      const std::string path = (*directory)->PathOf(Id(0));
      ASSERT_TRUE(files.MakeDirectory(path).ok());
      for (const char* name : {"/a", "/b"}) {
        const auto file = files.Open(path + name, OpenMode::kCreate);
        ASSERT_TRUE((*file)->Sync().ok());
      }
      ASSERT_TRUE(files.SyncDirectory(path).ok());
      files.FailPowerAt(files.mutation_count() + step);
      (*directory)->Discard(Id(0), loop_, [](Result<void>) {});
      scheduler_.RunFor(seconds(1));
    }
    files.LosePower();
    auto directory = LogDirectory::Open(disk, loop_, options_);
    ASSERT_TRUE(directory.ok()) << directory.error();
    const std::string path = (*directory)->PathOf(Id(0));
    if (!(*directory)->found().empty()) {
      EXPECT_TRUE(*files.Exists(path + "/a") && *files.Exists(path + "/b")) << step;
    }
    scheduler_.RunFor(seconds(1));
    EXPECT_FALSE(*files.Exists(path + ".removed")) << step;
    disk.Kill();
  }
}

TEST_F(LogDirectoryTest, ManyFoldersGoInTurnsWithOtherWork) {
  const auto directory = MustOpen();
  constexpr int kFolders = 1000;
  for (int i = 0; i < kFolders; ++i) MakeFolder(Id(i).ToString());
  int gone = 0, gone_before = kFolders;
  for (int i = 0; i < kFolders; ++i) {
    directory->Discard(Id(i), loop_, [&](Result<void> removed) {
      EXPECT_TRUE(removed.ok()) << removed.error();
      ++gone;
    });
  }
  disk_.Submit(
      Lane::kBackground, "other", loop_, [] { return true; }, [&](bool) { gone_before = gone; });
  scheduler_.RunFor(std::chrono::minutes(5));
  EXPECT_EQ(gone, kFolders);
  EXPECT_LT(gone_before, kFolders / 4);
  for (int i = 0; i < kFolders; ++i) EXPECT_FALSE(Exists(directory->PathOf(Id(i)))) << i;
}

TEST_F(LogDirectoryTest, OnlyACleanStopLeavesItsSign) {
  {
    const auto directory = MustOpen();
    ASSERT_TRUE(Sync(*directory, {.partition = Id(0), .mark = Mark(0, 5)}).ok());
    ASSERT_TRUE(directory->CloseCleanly().ok());
  }
  const auto directory = MustOpen();
  EXPECT_TRUE(directory->was_clean());
  EXPECT_EQ(directory->MarkOf(Id(0)), Mark(0, 5));
  EXPECT_FALSE(Exists("/data/clean-shutdown"));
}

TEST_F(LogDirectoryTest, ItsFailureIsToldToEachObserverOnceAndEndsAllWrites) {
  const auto directory = MustOpen();
  std::vector<std::string> told;
  directory->OnFailure(loop_, [&](const Error& error) { told.push_back("a: " + error.message); });
  directory->Fail(Error(Reason::kStorageError, "first"));
  directory->Fail(Error(Reason::kStorageError, "second"));
  directory->OnFailure(loop_, [&](const Error& error) { told.push_back("b: " + error.message); });
  scheduler_.RunFor(seconds(1));
  EXPECT_THAT(told, ElementsAre("a: first", "b: first"));
  EXPECT_EQ(directory->CheckWritable().error().message, "first");
  EXPECT_EQ(Sync(*directory, {.partition = Id(0), .mark = Mark(0, 5)}).error().message, "first");
  EXPECT_FALSE(directory->CloseCleanly().ok());
}

TEST_F(LogDirectoryTest, AnotherDirectoryGoesOnWhenOneFails) {
  LogDirectory::Options options = options_;
  options.path = "/other";
  const auto first = MustOpen();
  auto second = LogDirectory::Open(disk_, loop_, options);
  ASSERT_TRUE(second.ok());
  std::vector<std::unique_ptr<Log>> logs;
  for (LogDirectory* directory : {first.get(), second->get()}) {
    loop_.Run([&] {
      Log::Options log_options;
      log_options.id = Id(0);
      Log::Open(*directory, loop_, std::move(log_options), [&](Result<std::unique_ptr<Log>> log) {
        ASSERT_TRUE(log.ok()) << log.error();
        logs.push_back(*std::move(log));
      });
    });
    scheduler_.RunFor(seconds(1));
  }
  ASSERT_EQ(logs.size(), 2u);
  files_.FailNext(SimOperation::kSync, "/data/");
  for (const auto& log : logs) {
    loop_.Run([&] {
      BatchBuilder builder;
      NewRecord record;
      record.value = "value";
      builder.Add(record);
      RecordBatch batch = builder.Build();
      StampBatch(batch, Offset{0}, LeaderEpoch{1}, TimestampType::kCreateTime, Timestamp{0});
      ASSERT_TRUE(log->Append(std::move(batch)).ok());
    });
  }
  scheduler_.RunFor(seconds(1));
  EXPECT_TRUE(first->failure().has_value());
  EXPECT_TRUE(logs[0]->failure().has_value());
  EXPECT_EQ(logs[0]->ends().synced_end, Offset{0});
  EXPECT_FALSE((*second)->failure().has_value());
  EXPECT_EQ(logs[1]->ends().synced_end, Offset{1});
  logs.clear();
}

TEST_F(LogDirectoryTest, TheMoreLogsAreBehindTheSoonerTheyTakeCheckpoints) {
  options_.checkpoint_bytes = 64 << 20;
  const auto directory = MustOpen();
  EXPECT_EQ(directory->CheckpointBytes(), 64u << 20);
  for (int i = 0; i < 16; ++i) directory->CountUnreadLog(1);
  EXPECT_EQ(directory->CheckpointBytes(), 16u << 20);
  for (int i = 0; i < 10'000; ++i) directory->CountUnreadLog(1);
  EXPECT_EQ(directory->CheckpointBytes(), 1u << 20);
  for (int i = 0; i < 10'014; ++i) directory->CountUnreadLog(-1);
  EXPECT_EQ(directory->CheckpointBytes(), 64u << 20);
}

// ---- its group sync

TEST_F(LogDirectoryTest, MarksAreKnownAtOnceAndFollowInTheJournal) {
  {
    const auto directory = MustOpen();
    ASSERT_TRUE(Sync(*directory, {.partition = Id(0), .mark = Mark(0, 5)}).ok());
    EXPECT_EQ(directory->MarkOf(Id(0)), Mark(0, 5));
    EXPECT_FALSE(directory->MarkOf(Id(1)).has_value());
    scheduler_.RunFor(seconds(3));  // nothing else is synced: its turn comes by time
    disk_.Kill();
  }
  files_.LosePower(SimSurvival::kNothing);
  SimDisk disk(scheduler_, files_);
  const auto directory = LogDirectory::Open(disk, loop_, options_);
  ASSERT_TRUE(directory.ok());
  EXPECT_EQ((*directory)->MarkOf(Id(0)), Mark(0, 5));
  disk.Kill();
}

TEST_F(LogDirectoryTest, MarksThatHaveWaitedGoWithTheNextGroup) {
  std::vector<size_t> counts;
  options_.on_synced = [&](Duration, size_t files) { counts.push_back(files); };
  const auto directory = MustOpen();
  const auto file = files_.Open("/data/file", OpenMode::kCreate);
  const auto sync = [&](int64_t end) {
    ASSERT_TRUE((*file)->Write(0, Slice::Static("data")).ok());
    ASSERT_TRUE(
        Sync(*directory, {.partition = Id(0), .files = {*file}, .mark = Mark(0, end)}).ok());
  };
  const auto records = [&] {
    const std::string text = *ReadWholeFile(files_, "/data/synced-marks", 1 << 20);
    return text.find_last_not_of('\0') / 64;  // but for the head
  };
  sync(5);
  sync(6);
  EXPECT_THAT(counts, testing::ElementsAre(1, 1));
  scheduler_.RunFor(options_.marks_trail);
  EXPECT_EQ(records(), 0u);
  sync(7);
  EXPECT_THAT(counts, testing::ElementsAre(1, 1, 2));
  EXPECT_EQ(records(), 1u);  // the last one of the partition
  sync(8);
  EXPECT_THAT(counts, testing::ElementsAre(1, 1, 2, 1));
}

TEST_F(LogDirectoryTest, WritesWithTheSyncWhereNoGroupIsOnItsWay) {
  const auto directory = MustOpen();
  const auto file = files_.Open("/data/file", OpenMode::kCreate);
  std::vector<std::string> events;
  const auto part = [&](const char* name, int64_t end) {
    GroupSync::Part part;
    part.partition = Id(0);
    part.files = {*file};
    part.mark = Mark(0, end);
    part.reply = &loop_;
    part.done = [&events, name](Result<void> done) { events.push_back(done.ok() ? name : "bad"); };
    return part;
  };
  GroupSync& sync = directory->group_sync();
  const auto run = [&] { scheduler_.RunFor(seconds(1)); };
  EXPECT_TRUE(sync.TryWrite([&] {
    events.push_back("write");
    return part("written", 5);
  }));
  EXPECT_FALSE(sync.TryWrite([&] { return part("refused", 6); }));
  sync.Add(part("added", 7));  // goes with it
  run();
  EXPECT_THAT(events, testing::ElementsAre("write", "added", "written"));
  EXPECT_EQ(directory->MarkOf(Id(0)), Mark(0, 7));
  // What failed holds nobody up.
  EXPECT_TRUE(sync.TryWrite([&] {
    events.push_back("failed");
    return std::nullopt;
  }));
  run();
  EXPECT_TRUE(sync.TryWrite([&] { return part("next", 9); }));
  run();
  EXPECT_THAT(events, testing::ElementsAre("write", "added", "written", "failed", "next"));
}

TEST_F(LogDirectoryTest, MarksOnlyRiseUnlessTheyReplace) {
  const auto directory = MustOpen();
  ASSERT_TRUE(Sync(*directory, {.partition = Id(0), .mark = Mark(3, 9)}).ok());
  ASSERT_TRUE(Sync(*directory, {.partition = Id(0), .mark = Mark(0, 5)}).ok());
  EXPECT_EQ(directory->MarkOf(Id(0)), Mark(3, 9));
  ASSERT_TRUE(Sync(*directory, {.partition = Id(0), .mark = Mark(4, 5)}).ok());
  EXPECT_EQ(directory->MarkOf(Id(0))->log_start, Offset{4});
  EXPECT_EQ(directory->MarkOf(Id(0))->end_offset, Offset{9});
  ASSERT_TRUE(Sync(*directory, {.partition = Id(0), .mark = Mark(0, 5), .replaces = true}).ok());
  EXPECT_EQ(directory->MarkOf(Id(0)), Mark(0, 5));
}

TEST_F(LogDirectoryTest, WhoNeedsTheJournalWaitsForIt) {
  {
    const auto directory = MustOpen();
    ASSERT_TRUE(Sync(*directory, {.partition = Id(0), .mark = Mark(0, 5)}).ok());
    ASSERT_TRUE(Sync(*directory, {.partition = Id(0), .needs_journal = true}).ok());
    disk_.Kill();
  }
  files_.LosePower(SimSurvival::kNothing);
  SimDisk disk(scheduler_, files_);
  const auto directory = LogDirectory::Open(disk, loop_, options_);
  ASSERT_TRUE(directory.ok());
  EXPECT_EQ((*directory)->MarkOf(Id(0)), Mark(0, 5));
  disk.Kill();
}

TEST_F(LogDirectoryTest, AForgottenMarkDoesNotComeBack) {
  {
    const auto directory = MustOpen();
    ASSERT_TRUE(Sync(*directory, {.partition = Id(0), .mark = Mark(0, 5)}).ok());
    ASSERT_TRUE(Sync(*directory, {.partition = Id(1), .mark = Mark(0, 6)}).ok());
    directory->group_sync().Forget(Id(0));
    EXPECT_FALSE(directory->MarkOf(Id(0)).has_value());
    ASSERT_TRUE(Sync(*directory, {.partition = Id(1), .needs_journal = true}).ok());
    disk_.Kill();
  }
  files_.LosePower(SimSurvival::kNothing);
  SimDisk disk(scheduler_, files_);
  const auto directory = LogDirectory::Open(disk, loop_, options_);
  ASSERT_TRUE(directory.ok());
  EXPECT_FALSE((*directory)->MarkOf(Id(0)).has_value());
  EXPECT_EQ((*directory)->MarkOf(Id(1)), Mark(0, 6));
  disk.Kill();
}

TEST_F(LogDirectoryTest, ACutIsDoneOnceTheJournalSaysSo) {
  const auto directory = MustOpen();
  SyncedMark cut = Mark(0, 5);
  cut.is_cut = true;
  ASSERT_TRUE(Sync(*directory, {.partition = Id(0), .mark = Mark(0, 9)}).ok());
  ASSERT_TRUE(Sync(*directory, {.partition = Id(0), .mark = cut, .replaces = true}).ok());
  ASSERT_TRUE(Sync(*directory, {.partition = Id(0), .needs_journal = true}).ok());
  const uint64_t capacity = files_.faults().capacity_bytes;
  files_.faults().capacity_bytes = 1;
  ASSERT_TRUE(Sync(*directory, {.partition = Id(0), .mark = Mark(0, 5), .replaces = true}).ok());
  EXPECT_FALSE(Sync(*directory, {.partition = Id(0), .needs_journal = true}).ok());
  // A start would cut it again, so whoever opens it has to know.
  EXPECT_EQ(directory->MarkOf(Id(0)), cut);
  files_.faults().capacity_bytes = capacity;
  EXPECT_TRUE(Sync(*directory, {.partition = Id(0), .needs_journal = true}).ok());
  EXPECT_EQ(directory->MarkOf(Id(0)), Mark(0, 5));
}

TEST_F(LogDirectoryTest, AFullDiskDelaysTheJournalAndNotTheData) {
  const auto directory = MustOpen();
  const auto file = files_.Open("/data/file", OpenMode::kCreate);
  ASSERT_TRUE((*file)->Write(0, Slice::Static("data")).ok());
  ASSERT_TRUE(Sync(*directory, {.partition = Id(0), .mark = Mark(0, 5)}).ok());
  const uint64_t capacity = files_.faults().capacity_bytes;
  files_.faults().capacity_bytes = 1;
  // The journal has room for some.
  Result<void> needed;
  int64_t end = 5;
  while (needed.ok()) {
    ASSERT_LT(++end, 5000);
    ASSERT_TRUE(
        Sync(*directory, {.partition = Id(0), .files = {*file}, .mark = Mark(0, end)}).ok());
    needed = Sync(*directory, {.partition = Id(0), .needs_journal = true});
  }
  EXPECT_GT(end, 100);
  EXPECT_EQ(needed.error().reason, Reason::kDiskFull);
  EXPECT_FALSE(directory->failure().has_value());
  files_.faults().capacity_bytes = capacity;
  EXPECT_TRUE(Sync(*directory, {.partition = Id(0), .needs_journal = true}).ok());
  EXPECT_EQ(directory->MarkOf(Id(0)), Mark(0, end));
}

TEST_F(LogDirectoryTest, AFailedSyncTakesItOffline) {
  const auto directory = MustOpen();
  const auto file = files_.Open("/data/file", OpenMode::kCreate);
  ASSERT_TRUE((*file)->Write(0, Slice::Static("data")).ok());
  files_.FailNext(SimOperation::kSync, "/data/file");
  EXPECT_FALSE(Sync(*directory, {.partition = Id(0), .files = {*file}, .mark = Mark(0, 6)}).ok());
  EXPECT_TRUE(directory->failure().has_value());
  EXPECT_FALSE(directory->MarkOf(Id(0)).has_value());
  // Nothing is synced again, so nothing can be said to be durable that is not.
  EXPECT_FALSE(Sync(*directory, {.partition = Id(1), .mark = Mark(0, 1)}).ok());
}

}  // namespace
}  // namespace gregor
