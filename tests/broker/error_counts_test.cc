#include "broker/error_counts.h"

#include <gtest/gtest.h>

#include "base/murmur2.h"
#include "broker/routing.h"
#include "tests/broker/broker_harness.h"

namespace gregor {
namespace {

uint64_t Sum(const ErrorCounts& counts) {
  uint64_t sum = 0;
  for (const ReasonSpec& spec : AllReasons()) sum += counts.Of(spec.reason);
  return sum;
}

// One record for each of two partitions.
ProduceRecords TwoParts(const std::string& topic) {
  ProduceRecords request;
  request.topic.name = topic;
  request.records.push_back({"a", "1", {}, kNoTimestamp});
  for (int i = 0;
       PartitionOfKey(*request.records[0].key, 2) == PartitionOfKey(*request.records.back().key, 2);
       ++i) {
    static constexpr std::string_view kKeys[] = {"b", "c", "d", "e", "f", "g", "h"};
    request.records.resize(1);
    request.records.push_back({kKeys[i], "2", {}, kNoTimestamp});
  }
  return request;
}

TEST(ErrorCounts, EveryReasonHasACountOfItsOwn) {
  ErrorCounts counts;
  for (const ReasonSpec& spec : AllReasons()) {
    EXPECT_EQ(counts.Of(spec.reason), 0u);
    counts.Add(spec.reason);
    EXPECT_EQ(counts.Of(spec.reason), 1u) << spec.name;
  }
}

TEST(ErrorCounts, RefusedWritesAreCountedByReason) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1, {{"max.message.bytes", "1000"}});
  const ErrorCounts& errors = harness.broker().produce_errors();
  ASSERT_TRUE(harness.Produce("orders", 0, {"a"}).ok());
  EXPECT_EQ(Sum(errors), 0u);
  EXPECT_FALSE(harness.Produce("none", 0, {"a"}).ok());
  EXPECT_EQ(errors.Of(Reason::kTopicNotFound), 1u);
  EXPECT_FALSE(harness.Produce("orders", 0, {std::string(2000, 'x')}).ok());
  EXPECT_EQ(errors.Of(Reason::kBatchTooLarge), 1u);
  ProduceBatch request = harness.Request("orders", 0, BrokerHarness::Batch({"a"}));
  request.abandoned = {std::make_shared<std::atomic<uint64_t>>(0), 1};
  EXPECT_FALSE(harness.Produce(std::move(request)).ok());
  EXPECT_EQ(errors.Of(Reason::kPriorRequestFailed), 1u);
  EXPECT_FALSE(harness.Produce(ProduceRecords()).ok());
  EXPECT_EQ(errors.Of(Reason::kInvalidArgument), 1u);
  EXPECT_EQ(Sum(errors), 4u);
  EXPECT_EQ(Sum(harness.broker().fetch_errors()), 0u);
}

// Between the moment in which a call was routed and its turn on the loop.
TEST(ErrorCounts, AWriteForAPartitionThatIsGoneMeanwhileIsCounted) {
  Scheduler scheduler(1);
  SimLoop loop(scheduler, "loop");
  Shard shard(loop, {});
  ErrorCounts errors;
  std::optional<Result<Produced>> result;
  OnPartition<Produced>(
      shard, {Random(1).NewUuid<TopicId>(), PartitionIndex{0}}, "test",
      [](Partition&, BrokerApi::Done<Produced>) { ADD_FAILURE(); },
      BrokerApi::Done<Produced>([&](Result<Produced> got) { result.emplace(std::move(got)); }),
      &errors);
  scheduler.RunFor(std::chrono::seconds(1));
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->error().reason, Reason::kUnknownTopicId);
  EXPECT_EQ(errors.Of(Reason::kUnknownTopicId), 1u);
}

TEST(ErrorCounts, EachBatchOfARequestIsCounted) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("strict", 2);
  harness.SetReplicaCount("strict", 2);
  EXPECT_FALSE(harness.Produce(TwoParts("strict")).ok());
  EXPECT_EQ(harness.broker().produce_errors().Of(Reason::kNotEnoughReplicas), 2u);
  EXPECT_EQ(Sum(harness.broker().produce_errors()), 2u);
}

TEST(ErrorCounts, AWriteWithoutAcksThatFailsLaterIsCounted) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {"a"}).ok());
  harness.files().FailNext(SimOperation::kSync, ".log");
  ProduceBatch request = harness.Request("orders", 0, BrokerHarness::Batch({"b"}));
  request.ack.acks = Acks::kNone;
  ASSERT_TRUE(harness.Produce(std::move(request)).ok());
  EXPECT_EQ(Sum(harness.broker().produce_errors()), 0u);
  harness.scheduler().RunFor(std::chrono::seconds(5));
  EXPECT_EQ(harness.broker().produce_errors().Of(Reason::kStorageError), 1u);
  EXPECT_EQ(Sum(harness.broker().produce_errors()), 1u);
}

TEST(ErrorCounts, RefusedReadsAreCountedByReason) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {"a"}).ok());
  ASSERT_TRUE(harness.Read(harness.FetchFrom("orders", 0, 0)).ok());
  const ErrorCounts& errors = harness.broker().fetch_errors();
  EXPECT_EQ(Sum(errors), 0u);
  EXPECT_FALSE(harness.Read(harness.FetchFrom("none", 0, 0)).ok());
  EXPECT_FALSE(harness.Read(harness.FetchFrom("orders", 0, 7)).ok());
  EXPECT_EQ(errors.Of(Reason::kTopicNotFound), 1u);
  EXPECT_EQ(errors.Of(Reason::kOffsetOutOfRange), 1u);
  EXPECT_EQ(Sum(errors), 2u);
  EXPECT_EQ(Sum(harness.broker().produce_errors()), 0u);
}

TEST(FetchPurgatory, WaitingReadsAreCountedUntilTheyAreAnswered) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 2);
  int answered = 0;
  for (const int partition : {0, 0, 1}) {
    Fetch fetch = harness.FetchFrom("orders", partition, 0);
    fetch.wait_max = std::chrono::seconds(partition == 0 ? 30 : 3);
    harness.broker().Read(fetch, [&](const Result<Fetched>&) { ++answered; });
  }
  harness.scheduler().RunFor(std::chrono::seconds(1));
  EXPECT_EQ(harness.broker().waiting_fetches(), 3);
  harness.scheduler().RunFor(std::chrono::seconds(3));
  EXPECT_EQ(answered, 1);
  EXPECT_EQ(harness.broker().waiting_fetches(), 2);
  ASSERT_TRUE(harness.Produce("orders", 0, {"a"}).ok());
  harness.scheduler().RunFor(std::chrono::milliseconds(100));
  EXPECT_EQ(answered, 3);
  EXPECT_EQ(harness.broker().waiting_fetches(), 0);
}

}  // namespace
}  // namespace gregor
