// Request ids as a broker keeps them: over all partitions of a topic.
#include "broker/request_id.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/broker/broker_harness.h"

namespace gregor {
namespace {

ProduceRecords Keyless(const std::string& id, std::string_view value) {
  ProduceRecords request;
  request.topic.name = "orders";
  request.request_id = id;
  request.records.push_back({std::nullopt, value, {}, kNoTimestamp});
  return request;
}

ProduceRecords WithKeys(const std::string& id, const std::vector<std::string>& keys) {
  ProduceRecords request;
  request.topic.name = "orders";
  request.request_id = id;
  const auto kept = std::make_shared<const std::vector<std::string>>(keys);
  for (const std::string& key : *kept) request.records.push_back({key, key, {}, kNoTimestamp});
  request.owner = kept;
  return request;
}

size_t CountOf(BrokerHarness& harness, int partitions) {
  size_t count = 0;
  for (int i = 0; i < partitions; ++i) count += harness.Values("orders", i).size();
  return count;
}

TEST(RequestId, AUsedRequestIdIsRefusedForOtherContentWhicheverPartitionsThatGoesTo) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 4);
  ASSERT_TRUE(harness.Produce(WithKeys("id", {"k"})).ok());
  std::vector<std::string> keys;
  for (int i = 0; i < 12; ++i) keys.push_back("k" + std::to_string(i));
  for (const bool restart : {false, true}) {
    if (restart) {
      harness.LosePower();
      harness.Start();
    }
    std::vector<ProduceRecords> others = {WithKeys("id", keys), Keyless("id", "k")};
    for (const std::string& key : keys) others.push_back(WithKeys("id", {key}));
    for (int i = 0; i < 4; ++i) {  // also the partition where it went: it was not named then
      others.push_back(WithKeys("id", {"k"}));
      others.back().partition = PartitionIndex{i};
    }
    for (const ProduceRecords& other : others) {
      const auto refused = harness.Produce(other);
      ASSERT_FALSE(refused.ok());
      EXPECT_EQ(refused.error().reason, Reason::kInvalidArgument);
      EXPECT_EQ(refused.error().details.at(0).second, "NOT_APPLIED");
    }
    const auto again = harness.Produce(WithKeys("id", {"k"}));
    ASSERT_TRUE(again.ok()) << again.error();
    EXPECT_TRUE(again->batches[0].duplicate);
  }
  EXPECT_EQ(CountOf(harness, 4), 1u);
}

TEST(RequestId, ARequestOfSeveralPartitionsIsRepeatedWithoutTraceAndItsRecordsHaveAnOrder) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 4);
  const auto first = harness.Produce(WithKeys("id", {"a", "b", "c", "d", "e", "f"}));
  ASSERT_TRUE(first.ok()) << first.error();
  ASSERT_GT(first->batches.size(), 1u);
  const auto again = harness.Produce(WithKeys("id", {"a", "b", "c", "d", "e", "f"}));
  ASSERT_TRUE(again.ok()) << again.error();
  ASSERT_EQ(again->ranges.size(), first->ranges.size());
  for (size_t i = 0; i < first->ranges.size(); ++i)
    EXPECT_EQ(again->ranges[i].base_offset, first->ranges[i].base_offset);
  // Each partition would get what it has.
  const auto swapped = harness.Produce(WithKeys("id", {"b", "a", "c", "d", "e", "f"}));
  EXPECT_EQ(swapped.error().reason, Reason::kInvalidArgument);
  EXPECT_EQ(CountOf(harness, 4), 6u);
}

TEST(RequestId, OfTwoCallsWithOneRequestIdAtATimeOnlyTheFirstIsTaken) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 8);
  std::vector<std::optional<Result<ProducedRecords>>> results(5);
  const std::vector<std::string> keys = {"a", "a", "b", "c", "d"};
  for (size_t i = 0; i < keys.size(); ++i) {
    harness.broker().Produce(WithKeys("id", {keys[i]}), [&results, i](auto produced) {
      results[i].emplace(std::move(produced));
    });
  }
  ASSERT_TRUE(harness.scheduler().RunUntil(
      [&] {
        return std::all_of(results.begin(), results.end(), [](auto& r) { return r.has_value(); });
      },
      std::chrono::minutes(1)));
  for (size_t i = 0; i < 2; ++i) ASSERT_TRUE((*results[i]).ok()) << (*results[i]).error();
  EXPECT_NE((**results[0]).batches[0].duplicate, (**results[1]).batches[0].duplicate);
  for (size_t i = 2; i < 5; ++i) EXPECT_EQ((*results[i]).error().reason, Reason::kInvalidArgument);
  EXPECT_EQ(CountOf(harness, 8), 1u);
  // The id of a call that failed is free: nothing was stored under it.
  harness.SetReplicaCount("orders", 2);
  EXPECT_EQ(harness.Produce(WithKeys("id-2", {"a"})).error().reason, Reason::kNotEnoughReplicas);
  harness.SetReplicaCount("orders", 1);
  EXPECT_TRUE(harness.Produce(WithKeys("id-2", {"b"})).ok());
}

TEST(RequestId, ARequestIsRecognisedAfterPartitionsWereAdded) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  const std::vector<std::string> keys = {"a", "b", "c", "d", "e", "f"};
  ASSERT_TRUE(harness.Produce(Keyless("plain", "v")).ok());
  ASSERT_TRUE(harness.Produce(WithKeys("one", {"a"})).ok());
  ASSERT_TRUE(harness.Produce(WithKeys("many", keys)).ok());
  harness.AddPartitions("orders", 16);
  for (const auto& repeated : {Keyless("plain", "v"), WithKeys("one", {"a"})}) {
    const auto again = harness.Produce(repeated);
    ASSERT_TRUE(again.ok()) << again.error();
    EXPECT_TRUE(again->batches[0].duplicate);
    EXPECT_EQ(again->batches[0].partition, PartitionIndex{0});
  }
  // Where each of its records went is not known any more.
  EXPECT_EQ(harness.Produce(WithKeys("many", keys)).error().reason, Reason::kInvalidArgument);
  EXPECT_EQ(CountOf(harness, 16), 8u);
}

}  // namespace
}  // namespace gregor
