// Controllers whose state of the metadata is not the one that the records make.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "controller/image/snapshot.h"
#include "controller/metadata_dump.h"
#include "tests/base/seeds.h"
#include "tests/sim/controller_cluster.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr NodeId kNobody{77};
constexpr int32_t kPartitions = 5000;
constexpr char kMismatches[] = "gregor_metadata_hash_mismatches_total";
constexpr char kDiffers[] = "gregor_metadata_state_differs";
constexpr char kSnapshots[] = "/node/metadata/snapshots";

// Another state, sound in itself, with the hash that it has.
ImagePtr Altered(const MetadataImage& image) {
  auto altered = std::make_shared<MetadataImage>(image);
  const ConfigMap configs{{"log.retention.ms", "666"}};
  altered->broker_configs.Set(kNobody, std::make_shared<const ConfigMap>(configs));
  altered->state_hash = StateHashOf(*altered);
  return altered;
}
bool IsAltered(const MetadataImage& image) { return image.broker_configs.Find(kNobody) != nullptr; }

// A state without the topic "orders", where it has that.
ImagePtr WithoutOrders(const MetadataImage& image) {
  const auto shared = std::make_shared<MetadataImage>(image);
  const TopicPtr orders = image.Topic("orders");
  if (orders == nullptr) return shared;
  pb::MetadataRecord record;
  const auto& id = orders->id.bytes;
  record.mutable_remove_topic()->set_topic_id(std::string(id.begin(), id.end()));
  Replay replay(shared);
  EXPECT_TRUE(replay.Apply(image.version - 1, record).ok());
  return replay.Finish(PositionOf(image)).after;
}

int CountInLog(SimFileSystem& disk, const std::string& what) {
  std::ostringstream out;
  MetadataDumpOptions options;
  options.image = false;
  const auto dumped = DumpMetadata(disk, ControllerCluster::kDataDir, options, out);
  EXPECT_TRUE(dumped.ok()) << dumped.error();
  int count = 0;
  for (size_t at = 0; (at = out.str().find(what, at)) != std::string::npos; ++at) ++count;
  return count;
}

class Healing {
 public:
  explicit Healing(uint64_t seed, size_t snapshot_record_bytes = 20u << 20,
                   size_t transaction_batch_bytes = 256u << 10)
      : cluster(seed, 3, snapshot_record_bytes, transaction_batch_bytes) {
    EXPECT_TRUE(cluster.WaitForOpen({1, 2, 3}));
    leader = cluster.WaitForLeader();
    follower = leader == 1 ? 2 : 1;
    other = 6 - leader - follower;
    cluster.has_stores = true;
    cluster.Kill(follower);
    cluster.Start(follower);
    EXPECT_TRUE(cluster.WaitForOpen({follower}));
  }

  void Set(int count, Duration each = Duration(0)) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(cluster.Set(std::to_string(1000 + ++value_)));
      cluster.RunFor(each);
    }
  }
  // The follower's store has another state when it starts again; with `snapshots`, these too.
  void AlterFollower(bool snapshots = false) {
    const auto is_stored = [&] {
      const MemoryRows& store = cluster.store(follower);
      return store.has_position &&
             store.position.version == cluster.controller(follower).image()->version;
    };
    ASSERT_TRUE(cluster.WaitFor(is_stored));
    const ImagePtr altered = alter(*cluster.controller(follower).image());
    cluster.Kill(follower);
    MemoryRows& store = cluster.store(follower);
    store.rows.clear();
    for (const RowChange& row : DiffRows(nullptr, *altered)) store.rows[row.key] = *row.record;
    store.position = PositionOf(*altered);
    if (snapshots) AlterSnapshots();
    cluster.Start(follower);
    ASSERT_TRUE(cluster.WaitForOpen({follower}));
    ASSERT_EQ(RowsOf(*cluster.controller(follower).image()), RowsOf(*altered));
  }
  void AlterSnapshots() {
    SimFileSystem& disk = cluster.disk(follower);
    const auto files = ListSnapshots(disk, kSnapshots);
    ASSERT_TRUE(files.ok() && !files->empty());
    for (const SnapshotFile& file : *files) {
      const std::string path = JoinPath(kSnapshots, file.name);
      const auto image = ReadSnapshot(disk, path);
      ASSERT_TRUE(image.ok()) << image.error();
      ASSERT_TRUE(WriteSnapshot(disk, path, *alter(**image)).ok());
    }
  }
  void RegisterBroker11() {
    RegisterBroker registration;
    registration.broker.id = NodeId{11};
    registration.broker.incarnation[0] = 1;
    registration.broker.directories = {cluster.random().NewUuid<DirectoryId>()};
    const auto registered = cluster.Ask<BrokerEpoch>(
        leader,
        [&](Controller& controller, auto done) { controller.Run(registration, std::move(done)); });
    ASSERT_TRUE(registered.ok()) << registered.error();
    ASSERT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
  }
  bool Differs() { return cluster.Metric(follower, kDiffers) == 1; }
  void WaitUntilItDiffers() {
    Set(1);
    ASSERT_TRUE(cluster.WaitFor([&] { return Differs(); }));
  }
  // All have one state again, without anything of the altered one.
  void ExpectHealed() {
    EXPECT_TRUE(cluster.WaitFor([&] { return !Differs(); }, minutes(2)));
    Set(1);
    EXPECT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
    EXPECT_FALSE(IsAltered(*cluster.controller(follower).image()));
    // And so it stays over the next comparison, and a start.
    const int64_t mismatches = cluster.Metric(follower, kMismatches);
    EXPECT_GE(mismatches, 1);
    cluster.RunFor(seconds(12));
    EXPECT_EQ(cluster.Metric(follower, kMismatches), mismatches);
    EXPECT_FALSE(Differs());
    cluster.Kill(follower);
    cluster.Start(follower);
    EXPECT_TRUE(cluster.WaitForOpen({follower}));
    EXPECT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
    Set(1);
    cluster.RunFor(seconds(12));
    EXPECT_EQ(cluster.Metric(follower, kMismatches), 0);
  }
  bool HasDamagedSnapshots() {
    const auto entries = cluster.disk(follower).List(kSnapshots);
    return entries.ok() && std::any_of(entries->begin(), entries->end(), [](const auto& each) {
             return each.name.ends_with(".damaged");
           });
  }

  ControllerCluster cluster;
  int leader = 0, follower = 0, other = 0;
  std::function<ImagePtr(const MetadataImage&)> alter = Altered;

 private:
  int value_ = 0;
};

TEST(ControllerState, AStoreThatIsWrongIsMadeAgainOfTheNodesOwnFiles) {
  for (const size_t snapshot_record_bytes : {size_t{20} << 20, size_t{1000}}) {
    Healing healing(1, snapshot_record_bytes);
    healing.Set(30, milliseconds(10));
    healing.AlterFollower();
    healing.WaitUntilItDiffers();
    healing.ExpectHealed();
    EXPECT_EQ(healing.cluster.snapshots_fetched, 0);
    EXPECT_FALSE(healing.HasDamagedSnapshots());
  }
}

TEST(ControllerState, WhatWasMadeOfAWrongStateIsNotBelieved) {
  Healing healing(2, /*snapshot_record_bytes=*/1000);
  healing.Set(30, milliseconds(10));
  healing.AlterFollower();
  // Snapshots are made of it before it is found to be wrong.
  healing.Set(60, milliseconds(10));
  ASSERT_TRUE(healing.cluster.WaitFor([&] { return healing.Differs(); }));
  healing.ExpectHealed();
  EXPECT_GE(healing.cluster.snapshots_fetched, 1);
  EXPECT_TRUE(healing.HasDamagedSnapshots());
}

TEST(ControllerState, OneWhoseOwnFilesAreWrongTooGetsTheLeadersSnapshot) {
  Healing healing(3, /*snapshot_record_bytes=*/1000);
  healing.Set(30, milliseconds(10));
  healing.AlterFollower(/*snapshots=*/true);
  healing.WaitUntilItDiffers();
  healing.ExpectHealed();
  EXPECT_GE(healing.cluster.snapshots_fetched, 1);
  EXPECT_TRUE(healing.HasDamagedSnapshots());
}

TEST(ControllerState, TheLeaderMakesASnapshotWhereItHasNone) {
  Healing healing(4);
  healing.Set(30);
  // Its own log would do, if it had no snapshot.
  const ImagePtr image = healing.cluster.controller(healing.follower).image();
  const std::string path = JoinPath(kSnapshots, SnapshotFileName(PositionOf(*image)));
  ASSERT_TRUE(healing.cluster.disk(healing.follower).MakeDirectory(kSnapshots).ok());
  ASSERT_TRUE(WriteSnapshot(healing.cluster.disk(healing.follower), path, *image).ok());
  healing.AlterFollower(/*snapshots=*/true);
  healing.WaitUntilItDiffers();
  healing.ExpectHealed();
  EXPECT_GE(healing.cluster.snapshots_fetched, 2);
}

class DamagedMemory : public testing::Test {
 protected:
  DamagedMemory() : healing_(5, /*snapshot_record_bytes=*/1000) { healing_.RegisterBroker11(); }
  ControllerCluster& cluster() { return healing_.cluster; }
  void Damage(int id) {
    const ImagePtr image = cluster().controller(id).image();
    const_cast<BrokerImage&>(*image->Broker(NodeId{11})).rack = "another one";
  }

  Healing healing_;
};

TEST_F(DamagedMemory, OfAFollowerIsFoundWithTheNextSnapshotAndHealed) {
  Damage(healing_.follower);
  healing_.Set(40, milliseconds(10));
  ASSERT_TRUE(
      cluster().WaitFor([&] { return cluster().Metric(healing_.follower, kMismatches) > 0; }));
  healing_.ExpectHealed();
  EXPECT_EQ(cluster().snapshots_fetched, 0);
}

TEST_F(DamagedMemory, OfALeaderMakesItHandOver) {
  Damage(healing_.leader);
  healing_.Set(40, milliseconds(10));
  EXPECT_TRUE(cluster().WaitFor([&] {
    const int leads = cluster().Leader();
    return leads != 0 && leads != healing_.leader;
  }));
  std::swap(healing_.leader, healing_.follower);
  healing_.ExpectHealed();
}

TEST(ControllerState, OneThatIsElectedMeanwhileHandsOver) {
  Healing healing(6, /*snapshot_record_bytes=*/1000);
  healing.Set(30, milliseconds(10));
  healing.AlterFollower(/*snapshots=*/true);
  healing.WaitUntilItDiffers();
  const auto led = healing.cluster.Transfer(healing.leader, NodeId{healing.follower});
  EXPECT_TRUE(led.ok()) << led.error();
  // At no time it leads with what it has.
  EXPECT_TRUE(healing.cluster.WaitFor([&] {
    EXPECT_FALSE(healing.Differs() && healing.cluster.Leader() == healing.follower);
    return !healing.Differs();
  }));
  healing.ExpectHealed();
}

TEST(ControllerState, WhereNobodyElseCanLeadItDoesAfterAWhile) {
  Healing healing(7, /*snapshot_record_bytes=*/1000);
  healing.Set(30, milliseconds(10));
  healing.AlterFollower(/*snapshots=*/true);
  healing.WaitUntilItDiffers();
  ASSERT_TRUE(healing.cluster.Transfer(healing.leader, NodeId{healing.follower}).ok());
  // A majority, of which nobody may lead: the other one is gone before it was asked.
  healing.cluster.Kill(healing.leader);
  healing.cluster.Kill(healing.other);
  healing.cluster.RunFor(seconds(20));
  healing.cluster.Start(healing.leader);
  healing.cluster.Start(healing.other);
  ASSERT_TRUE(healing.cluster.WaitForOpen({1, 2, 3}));
  healing.ExpectHealed();
}

// What is committed cannot be applied to it, before any hash is compared.
TEST(ControllerState, OneThatContradictsTheLogIsMadeAgain) {
  for (const bool snapshots : {false, true}) {
    Healing healing(10, /*snapshot_record_bytes=*/1000);
    healing.RegisterBroker11();
    CreateTopic operation;
    operation.name = "orders";
    ASSERT_TRUE(healing.cluster
                    .Ask<TopicPtr>(healing.leader,
                                   [&](Controller& controller, auto done) {
                                     controller.Run(operation, std::move(done));
                                   })
                    .ok());
    healing.Set(30, milliseconds(10));
    healing.alter = WithoutOrders;
    healing.AlterFollower(snapshots);
    ASSERT_TRUE(
        healing.cluster
            .Ask<void>(healing.leader,
                       [&](Controller& controller, auto done) {
                         controller.Run(DeleteTopic{{"orders", std::nullopt}}, std::move(done));
                       })
            .ok());
    ASSERT_TRUE(healing.cluster.WaitFor(
        [&] { return healing.cluster.Metric(healing.follower, kMismatches) > 0; }));
    EXPECT_EQ(healing.cluster.controller(healing.follower).failure(), std::nullopt);
    healing.ExpectHealed();
    EXPECT_EQ(healing.cluster.snapshots_fetched > 0, snapshots);
  }
}

// Nothing has told it that its state is another one.
TEST(ControllerState, WhoLeadsBeforeAnythingIsComparedIsBelieved) {
  Healing healing(11, /*snapshot_record_bytes=*/1000);
  healing.Set(30, milliseconds(10));
  const int wrong = healing.follower;
  healing.AlterFollower(/*snapshots=*/true);
  ASSERT_TRUE(healing.cluster.Transfer(healing.leader, NodeId{wrong}).ok());
  ASSERT_TRUE(healing.cluster.WaitFor([&] { return healing.cluster.Leader() == wrong; }));
  ASSERT_TRUE(IsAltered(*healing.cluster.controller(wrong).image()));
  healing.Set(1);
  const auto has_it = [&](int id) { return IsAltered(*healing.cluster.controller(id).image()); };
  ASSERT_TRUE(healing.cluster.WaitFor(
      [&] { return has_it(healing.leader) && has_it(healing.other); }, minutes(2)));
  healing.Set(1);
  EXPECT_TRUE(healing.cluster.WaitForSameImages({1, 2, 3}));
}

// While batches of a large operation come, of which the leader's end leaves a part.
TEST(ControllerState, ItIsHealedInsideOfATransaction) {
  int aborted = 0;
  for (uint64_t seed = 1; seed <= SeedCount(12); ++seed) {
    Healing healing(seed, /*snapshot_record_bytes=*/1000, /*transaction_batch_bytes=*/300);
    ControllerCluster& cluster = healing.cluster;
    healing.RegisterBroker11();
    healing.Set(30, milliseconds(10));
    healing.AlterFollower(/*snapshots=*/seed % 2 == 0);
    const auto watch = cluster.controller(healing.follower).Watch([](const MetadataDelta& delta) {
      const TopicPtr topic = delta.after->Topic("orders");
      if (topic != nullptr) {
        EXPECT_EQ(topic->partition_count(), kPartitions);
      }
    });
    healing.WaitUntilItDiffers();
    CreateTopic operation;
    operation.name = "orders";
    operation.partitions = kPartitions;
    cluster.controller(healing.leader).Run(operation, [](const Result<TopicPtr>&) {});
    cluster.RunFor(std::chrono::microseconds(cluster.random().Below(6000)));
    cluster.Kill(healing.leader);
    healing.Set(1);
    cluster.Start(healing.leader);
    ASSERT_TRUE(cluster.WaitForOpen({healing.leader}));
    aborted += CountInLog(cluster.disk(healing.other), "abort_transaction");
    healing.ExpectHealed();
  }
  EXPECT_TRUE(aborted > 0 || kFewSeeds);
}

TEST(ControllerState, HashesAreWrittenAtTheLevelThatHasThem) {
  ControllerCluster cluster(8, 3, 20u << 20, 256u << 10, /*feature_level=*/1);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3}));
  const auto update = [&](int32_t level) {
    const auto updated =
        cluster.Ask<void>(cluster.WaitForLeader(), [&](Controller& controller, auto done) {
          controller.Run(UpdateFeatures{level, false}, std::move(done));
        });
    EXPECT_TRUE(updated.ok()) << updated.error();
  };
  const auto work = [&] {
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(cluster.Set(std::to_string(1000 + i)));
      cluster.RunFor(seconds(11));
    }
    EXPECT_TRUE(cluster.WaitForSameImages({1, 2, 3}));
    for (const int id : {2, 3}) {
      EXPECT_EQ(cluster.controller(id).image()->state_hash,
                cluster.controller(1).image()->state_hash);
      EXPECT_EQ(cluster.Metric(id, kMismatches), 0);
    }
    return CountInLog(cluster.disk(1), "state_hash");
  };
  EXPECT_EQ(work(), 0);
  update(2);
  const int written = work();
  EXPECT_GE(written, 3);
  EXPECT_LE(written, 5);
  update(1);
  EXPECT_EQ(work(), written);
}

TEST(ControllerState, WithoutChangesNothingIsWritten) {
  ControllerCluster cluster(9);
  ASSERT_TRUE(cluster.WaitForOpen({1, 2, 3}));
  ASSERT_TRUE(cluster.Set("1000"));
  cluster.RunFor(seconds(15));
  const Offset version = cluster.controller(1).image()->version;
  EXPECT_EQ(cluster.Metric(1, "gregor_metadata_hash_offset"), version.value);
  cluster.RunFor(minutes(5));
  EXPECT_EQ(cluster.controller(1).image()->version, version);
}

}  // namespace
}  // namespace gregor
