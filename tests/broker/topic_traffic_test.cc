#include "broker/topic_traffic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/broker/broker_harness.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> NamesOf(const TopicTraffic& traffic) {
  std::vector<std::string> names;
  for (const auto& [name, counts] : traffic.All()) names.push_back(name);
  return names;
}

TEST(TopicTraffic, PartitionsOfATopicShareItsCounts) {
  TopicTraffic traffic(10);
  const auto first = traffic.Of("orders");
  EXPECT_EQ(traffic.Of("orders"), first);
  EXPECT_NE(traffic.Of("bills"), first);
  first->bytes_in.Add(7);
  const auto all = traffic.All();
  ASSERT_THAT(NamesOf(traffic), ElementsAre("orders"));
  EXPECT_EQ(all[0].second->bytes_in.value(), 7u);
}

TEST(TopicTraffic, CountsGoWithTheLastPartition) {
  TopicTraffic traffic(1);
  auto one = traffic.Of("orders");
  auto other = traffic.Of("orders");
  one->writes.Add();
  one.reset();
  EXPECT_THAT(NamesOf(traffic), ElementsAre("orders"));
  other.reset();
  EXPECT_THAT(NamesOf(traffic), IsEmpty());
  // The room is there for others, and the same name begins anew.
  const auto again = traffic.Of("orders");
  EXPECT_EQ(again->writes.value(), 0u);
}

TEST(TopicTraffic, WhoeverReadsMayBeTheLastToLetGo) {
  TopicTraffic traffic(1);
  auto counts = traffic.Of("orders");
  auto all = traffic.All();
  counts.reset();
  EXPECT_THAT(NamesOf(traffic), ElementsAre("orders"));
  all.clear();
  EXPECT_THAT(NamesOf(traffic), IsEmpty());
}

TEST(TopicTraffic, TopicsBeyondTheBoundAreSummedUpUntilTheyHaveGone) {
  TopicTraffic traffic(1);
  auto own = traffic.Of("a");
  auto second = traffic.Of("b");
  auto third = traffic.Of("c");
  second->bytes_out.Add(2);
  third->bytes_out.Add(3);
  ASSERT_THAT(NamesOf(traffic), ElementsAre("", "a"));
  EXPECT_EQ(traffic.All()[0].second->bytes_out.value(), 5u);
  // Also when there is room again: their count must not fall.
  own.reset();
  traffic.Of("b")->bytes_out.Add(1);
  ASSERT_THAT(NamesOf(traffic), ElementsAre(""));
  EXPECT_EQ(traffic.All()[0].second->bytes_out.value(), 6u);
  second.reset();
  const auto anew = traffic.Of("b");
  EXPECT_EQ(anew->bytes_out.value(), 0u);
  EXPECT_THAT(NamesOf(traffic), ElementsAre("", "b"));
}

TEST(TopicTraffic, TheBrokerCountsWhatGoesInAndOut) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 3);
  harness.CreateTopic("bills", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {"a", "b"}).ok());
  ASSERT_TRUE(harness.Produce("orders", 2, {"c"}).ok());
  ProduceBatch refused = harness.Request("orders", 2, BrokerHarness::Batch({"d"}));
  refused.current_leader_epoch = LeaderEpoch{1000};
  ASSERT_FALSE(harness.Produce(std::move(refused)).ok());
  const auto fetched = harness.Read(harness.FetchFrom("orders", 0, 1));
  ASSERT_TRUE(fetched.ok());
  ASSERT_FALSE(harness.Read(harness.FetchFrom("orders", 0, 100)).ok());
  ASSERT_TRUE(harness.Read(harness.FetchFrom("bills", 0, 0)).ok());

  ASSERT_THAT(NamesOf(*harness.broker().traffic()), ElementsAre("bills", "orders"));
  const auto all = harness.broker().traffic()->All();
  const TopicCounts& orders = *all[1].second;
  EXPECT_EQ(orders.writes.value(), 3u);
  EXPECT_EQ(orders.records_in.value(), 3u);
  EXPECT_GT(orders.bytes_in.value(), fetched->batches.size());
  EXPECT_EQ(orders.reads.value(), 2u);
  EXPECT_EQ(orders.records_out.value(), 2u);  // the batch begins before what was asked for
  EXPECT_EQ(orders.bytes_out.value(), fetched->batches.size());
  const TopicCounts& bills = *all[0].second;
  EXPECT_EQ(bills.writes.value(), 0u);
  EXPECT_EQ(bills.reads.value(), 1u);
  EXPECT_EQ(bills.bytes_out.value(), 0u);
}

TEST(TopicTraffic, ADeletedTopicIsCountedNoMore) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 2);
  ASSERT_TRUE(harness.Produce("orders", 1, {"a"}).ok());
  ASSERT_THAT(NamesOf(*harness.broker().traffic()), ElementsAre("orders"));
  harness.DeleteTopic("orders");
  EXPECT_TRUE(harness.scheduler().RunUntil(
      [&] { return harness.broker().traffic()->All().empty(); }, std::chrono::minutes(1)));
}

TEST(TopicTraffic, NothingIsCountedByTopicWhereThatIsSwitchedOff) {
  BrokerHarness harness;
  harness.counted_topics_max = 0;
  harness.Start();
  harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {"a"}).ok());
  EXPECT_THAT(harness.Values("orders", 0), ElementsAre("a"));
  EXPECT_EQ(harness.broker().traffic(), nullptr);
}

}  // namespace
}  // namespace gregor
