#include "broker/shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/broker/broker_harness.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr auto kMinute = std::chrono::minutes(1);

// Names in the log directory that belong to the topic.
std::set<std::string> FoldersOf(BrokerHarness& harness, const TopicId& topic) {
  std::set<std::string> names;
  const auto entries = harness.files().List("/data");
  for (const DirectoryEntry& entry : *entries) {
    if (entry.name.find(topic.ToString()) != std::string::npos) names.insert(entry.name);
  }
  return names;
}

// A topic that has records in all of its partitions.
TopicId CreateUsedTopic(BrokerHarness& harness, const std::string& name, int partitions) {
  const TopicId id = harness.CreateTopic(name, partitions);
  for (int i = 0; i < partitions; ++i) EXPECT_TRUE(harness.Produce(name, i, {"a"}).ok());
  return id;
}

std::string SegmentOf(const TopicId& topic) {
  return "/data/" + topic.ToString() + "-0/00000000000000000000.log";
}

TEST(Shard, AStopRightAfterATopicWasDeletedWaitsForNothingElseAndLeavesNoStrays) {
  BrokerHarness harness;
  harness.Start();
  CreateUsedTopic(harness, "kept", 3);
  const TopicId deleted = CreateUsedTopic(harness, "deleted", 100);
  harness.DeleteTopic("deleted");
  EXPECT_EQ(harness.Close(), 0);
  for (const std::string& name : FoldersOf(harness, deleted))
    EXPECT_TRUE(name.ends_with(".removed")) << name;
  harness.Kill();
  harness.Start();
  harness.scheduler().RunFor(kMinute);
  EXPECT_THAT(FoldersOf(harness, deleted), IsEmpty());
  EXPECT_THAT(harness.directory().marked(), SizeIs(3));
  EXPECT_THAT(harness.Values("kept", 2), ElementsAre("a"));
}

// What an error says of the leader: "id host:port", as far as it is told.
std::string HintOf(const Error& error) {
  std::string hint;
  for (const auto& [key, value] : error.details) {
    if (key == "leader_id") hint += value;
    if (key == "leader_host") hint += " " + value;
    if (key == "leader_port") hint += ":" + value;
  }
  return hint;
}

TEST(Shard, WhoLeadsElsewhereIsNamedWithItsAddress) {
  BrokerHarness harness;
  harness.Start();
  CreateUsedTopic(harness, "t", 1);
  const auto refusal = [&] {
    const auto produced = harness.Produce("t", 0, {"b"});
    EXPECT_FALSE(produced.ok());
    EXPECT_EQ(produced.error().reason, Reason::kNotLeader);
    return HintOf(produced.error());
  };
  harness.SetLeader("t", NodeId{7});
  EXPECT_EQ(refusal(), "7") << "it is not registered";
  EXPECT_EQ(harness.Produce("t", 0, {"b"}).error().message,
            "this broker does not lead partition 0 of topic \"t\": broker 7 does");
  harness.SetBroker(NodeId{7}, {"seven.example", 9094});
  EXPECT_EQ(refusal(), "7 seven.example:9094");
  // The partition is what it was, and its leader elsewhere.
  harness.SetBroker(NodeId{7}, {"seven.example", 9194});
  EXPECT_EQ(refusal(), "7 seven.example:9194");
  harness.SetBroker(NodeId{8}, {"eight.example", 9094});
  harness.SetLeader("t", NodeId{8});
  EXPECT_EQ(refusal(), "8 eight.example:9094");
  // Reading is refused in the same way, and one with another epoch names the leader, too.
  EXPECT_EQ(HintOf(harness.Read(harness.FetchFrom("t", 0, 0)).error()), "8 eight.example:9094");
  harness.SetBroker(BrokerHarness::kNode, {"here.example", 9094});
  harness.SetLeader("t", BrokerHarness::kNode);
  Fetch fetch = harness.FetchFrom("t", 0, 0);
  fetch.current_leader_epoch = LeaderEpoch{0};
  const auto fenced = harness.Read(std::move(fetch));
  ASSERT_FALSE(fenced.ok());
  EXPECT_EQ(fenced.error().reason, Reason::kFencedLeaderEpoch);
  EXPECT_EQ(HintOf(fenced.error()),
            std::to_string(BrokerHarness::kNode.value) + " here.example:9094");
}

TEST(Shard, AStopWhileRemovalsRunEnds) {
  for (const int wait_ms : {1, 5, 20, 100}) {
    BrokerHarness harness(static_cast<uint64_t>(wait_ms));
    harness.Start();
    CreateUsedTopic(harness, "deleted", 50);
    harness.DeleteTopic("deleted");
    harness.scheduler().RunFor(std::chrono::milliseconds(wait_ms));
    EXPECT_EQ(harness.Close(), 0) << wait_ms;
  }
}

TEST(Shard, ATopicThatIsDeletedBeforeItsLogsWereOpenedLeavesNothing) {
  BrokerHarness harness;
  harness.Start();
  const TopicId deleted = CreateUsedTopic(harness, "deleted", 40);
  CreateUsedTopic(harness, "kept", 1);
  harness.Kill();
  harness.opening_max = 1;
  harness.BeginStart();
  harness.scheduler().RunFor(std::chrono::milliseconds(3));
  ASSERT_LT(harness.broker().recovery().done.load(), 30);
  harness.DeleteTopic("deleted");
  ASSERT_TRUE(harness.scheduler().RunUntil([&] { return harness.is_started(); }, kMinute));
  EXPECT_EQ(harness.broker().recovery().done.load(), 41);
  EXPECT_EQ(harness.broker().recovery().failed.load(), 0);
  harness.scheduler().RunFor(kMinute);
  EXPECT_THAT(FoldersOf(harness, deleted), IsEmpty());
  EXPECT_THAT(harness.directory().marked(), SizeIs(1));
}

TEST(Shard, AStopWhileATopicIsDeletedThatWasNotOpenedYetEnds) {
  BrokerHarness harness;
  harness.Start();
  const TopicId deleted = CreateUsedTopic(harness, "deleted", 40);
  harness.Kill();
  harness.opening_max = 1;
  harness.BeginStart();
  harness.DeleteTopic("deleted");
  EXPECT_EQ(harness.Close(), 0);
  harness.Kill();
  harness.Start();
  harness.scheduler().RunFor(kMinute);
  EXPECT_THAT(FoldersOf(harness, deleted), IsEmpty());
}

TEST(Shard, ALogThatCannotBeOpenedGoesWithItsTopic) {
  BrokerHarness harness;
  harness.Start();
  const TopicId damaged = CreateUsedTopic(harness, "damaged", 1);
  harness.scheduler().RunFor(kMinute);  // its mark is in the journal
  harness.LosePower();
  ASSERT_TRUE(harness.files().FlipBit(SegmentOf(damaged), 16, 3));
  harness.Start();
  ASSERT_EQ(harness.broker().recovery().failed.load(), 1);
  ASSERT_EQ(harness.Produce("damaged", 0, {"b"}).error().reason, Reason::kStorageError);
  harness.DeleteTopic("damaged");
  harness.scheduler().RunFor(kMinute);
  EXPECT_THAT(FoldersOf(harness, damaged), IsEmpty());
  EXPECT_THAT(harness.directory().marked(), IsEmpty());
  EXPECT_EQ(harness.Close(), 0);
}

TEST(Shard, ALogWhoseFolderIsGoneIsReportedAtTheStart) {
  BrokerHarness harness;
  harness.Start();
  const TopicId lost = CreateUsedTopic(harness, "lost", 1);
  CreateUsedTopic(harness, "kept", 1);
  EXPECT_EQ(harness.Close(), 0);
  harness.scheduler().RunFor(kMinute);
  harness.Kill();
  ASSERT_TRUE(RemoveTree(harness.files(), "/data/" + lost.ToString() + "-0").ok());
  harness.Start();
  EXPECT_EQ(harness.broker().recovery().total.load(), 2);
  EXPECT_EQ(harness.broker().recovery().failed.load(), 1);
  EXPECT_EQ(harness.Produce("lost", 0, {"b"}).error().reason, Reason::kStorageError);
}

TEST(Shard, MarksOfTopicsThatAreGoneGoAndThoseOfStraysStay) {
  BrokerHarness harness;
  harness.Start();
  const TopicId stray = CreateUsedTopic(harness, "stray", 1);
  const TopicId gone = CreateUsedTopic(harness, "gone", 1);
  EXPECT_EQ(harness.Close(), 0);
  harness.scheduler().RunFor(kMinute);
  harness.Kill();
  ASSERT_TRUE(RemoveTree(harness.files(), "/data/" + gone.ToString() + "-0").ok());
  harness.ForgetMetadata();
  for (int starts = 0; starts < 2; ++starts) {
    harness.Start();
    harness.scheduler().RunFor(kMinute);
    EXPECT_THAT(harness.directory().marked(),
                ElementsAre(TopicIdPartition{stray, PartitionIndex{0}}));
    EXPECT_THAT(FoldersOf(harness, stray), ElementsAre(stray.ToString() + "-0.stray"));
    harness.LosePower();
  }
}

}  // namespace
}  // namespace gregor
