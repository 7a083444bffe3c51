#include "broker/log_dirs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/sim/scheduler.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_file_system.h"

namespace gregor {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// A node with one directory that is open; the metadata have topics of one partition each.
class LogDirsTest : public testing::Test {
 protected:
  LogDirsTest() {
    LogDirectory::Options options;
    options.path = "/open";
    options.cluster_id = random_.NewUuid<ClusterId>();
    options.node_id = kNode;
    auto opened = LogDirectory::Open(disk_, loop_, options);
    CHECK(opened.ok()) << opened.error();
    open_ = *std::move(opened);
  }
  ~LogDirsTest() override {
    disk_.Kill();
    loop_.Kill();
  }

  TopicIdPartition Add(const std::string& name, DirectoryId directory) {
    auto topic = std::make_shared<TopicImage>();
    topic->name = name;
    topic->id = random_.NewUuid<TopicId>();
    auto partition = std::make_shared<PartitionImage>();
    partition->replicas = {NodeId{7}, kNode};
    partition->directories = {random_.NewUuid<DirectoryId>(), directory};
    topic->partitions.Set(PartitionIndex{0}, std::move(partition));
    image_.topics.Set(name, topic);
    return {topic->id, PartitionIndex{0}};
  }
  static LogDirs::Failed Failed(const std::string& path, DirectoryId id = {}) {
    return {path, id, Error(Reason::kStorageError, "cannot open " + path)};
  }

  static constexpr NodeId kNode{1};
  Random random_{1};
  Scheduler scheduler_{1};
  SimFileSystem files_{1, nullptr};
  SimLoop loop_{scheduler_, "loop"};
  SimDisk disk_{scheduler_, files_};
  std::unique_ptr<LogDirectory> open_;
  MetadataImage image_;
  RefusedLogs refused_;
};

TEST_F(LogDirsTest, WhereAllIsWellOnlyRefusedLogsAreOffline) {
  const TopicIdPartition id = Add("a", open_->id());
  LogDirs dirs(kNode, {open_.get()}, {});
  dirs.FindMissing(image_);
  EXPECT_EQ(dirs.CountOffline(image_, refused_), 0);
  refused_.Add(id);
  EXPECT_EQ(dirs.CountOffline(image_, refused_), 1);
  refused_.Remove(id);
  EXPECT_EQ(dirs.CountOffline(image_, refused_), 0);
  const auto described = dirs.Describe(image_, {});
  ASSERT_THAT(described, SizeIs(1));
  EXPECT_FALSE(described[0].error.has_value());
}

TEST_F(LogDirsTest, PartitionsInADirectoryThatFailsAreOfflineOnce) {
  const TopicIdPartition id = Add("a", open_->id());
  Add("b", open_->id());
  LogDirs dirs(kNode, {open_.get()}, {});
  dirs.FindMissing(image_);
  refused_.Add(id);
  open_->Fail(Error(Reason::kStorageError, "sync failed"));
  EXPECT_EQ(dirs.CountOffline(image_, refused_), 2);
  EXPECT_TRUE(dirs.Describe(image_, {})[0].error.has_value());
}

TEST_F(LogDirsTest, ADirectoryThatCouldNotBeOpenedIsDescribedWithItsPartitions) {
  const DirectoryId failed = random_.NewUuid<DirectoryId>();
  Add("a", open_->id());
  Add("b", failed);
  Add("c", failed);
  LogDirs dirs(kNode, {open_.get()}, {Failed("/failed", failed)});
  dirs.FindMissing(image_);
  EXPECT_EQ(dirs.CountOffline(image_, refused_), 2);
  const auto described = dirs.Describe(image_, {"c"});
  ASSERT_THAT(described, SizeIs(2));
  EXPECT_THAT(described[0].replicas, IsEmpty());
  EXPECT_EQ(described[1].path, "/failed");
  EXPECT_EQ(described[1].id, failed);
  EXPECT_THAT(described[1].error->message, HasSubstr("cannot open /failed"));
  ASSERT_THAT(described[1].replicas, SizeIs(1));
  EXPECT_EQ(described[1].replicas[0].topic, "c");
}

TEST_F(LogDirsTest, TheOneThatHasNoIdHasWhatIsMissingWhereThatIsPlain) {
  const DirectoryId failed = random_.NewUuid<DirectoryId>();
  const DirectoryId unreadable = random_.NewUuid<DirectoryId>();
  Add("a", failed);
  Add("b", unreadable);
  LogDirs dirs(kNode, {open_.get()}, {Failed("/unreadable"), Failed("/failed", failed)});
  dirs.FindMissing(image_);
  const auto described = dirs.Describe(image_, {});
  ASSERT_THAT(described, SizeIs(3));
  EXPECT_EQ(described[1].path, "/unreadable");
  EXPECT_EQ(described[1].id, unreadable);
  ASSERT_THAT(described[1].replicas, SizeIs(1));
  EXPECT_EQ(described[1].replicas[0].topic, "b");
}

TEST_F(LogDirsTest, DirectoriesThatNobodyNamedAreDescribedByTheirIds) {
  const DirectoryId first = random_.NewUuid<DirectoryId>();
  const DirectoryId second = random_.NewUuid<DirectoryId>();
  Add("a", first);
  Add("b", second);
  LogDirs dirs(kNode, {open_.get()}, {Failed("/unreadable")});
  dirs.FindMissing(image_);
  EXPECT_EQ(dirs.CountOffline(image_, refused_), 2);
  const auto described = dirs.Describe(image_, {});
  ASSERT_THAT(described, SizeIs(4));
  EXPECT_THAT(described[1].replicas, IsEmpty());
  for (const size_t i : {2u, 3u}) {
    EXPECT_EQ(described[i].path, "");
    EXPECT_THAT(described[i].replicas, SizeIs(1));
    EXPECT_THAT(described[i].error->message, HasSubstr(described[i].id.ToString()));
  }
}

}  // namespace
}  // namespace gregor
