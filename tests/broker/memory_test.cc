// What a broker holds in memory for its callers, and that it is bounded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/broker/broker_harness.h"

namespace gregor {
namespace {

using testing::SizeIs;

// Compressed, with keys, of records with some bytes each that repeat themselves.
RecordBatch Packed(int records, size_t bytes, Timestamp time = Timestamp{1000}) {
  BatchBuilder builder({.codec = Codec::kZstd});
  const std::string value(bytes, 'v');
  for (int i = 0; i < records; ++i) {
    const std::string key = "key" + std::to_string(i);
    NewRecord record;
    record.key = key;
    record.value = value;
    record.timestamp = time;
    builder.Add(record);
  }
  return builder.Build();
}

TEST(BrokerMemory, CompressedBatchesThatAreLookedIntoDrawOnTheBudgetOfWrites) {
  BrokerHarness harness;
  harness.produce_memory_bytes = 1 << 20;
  harness.Start();
  harness.CreateTopic("users", 1, {{"cleanup.policy", "compact"}});
  harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce(harness.Request("users", 0, Packed(4, 100000))).ok());
  EXPECT_EQ(harness.broker().produce_memory().used(), 0u);
  ASSERT_TRUE(harness.Produce("orders", 0, {"first"}).ok());
  // What could never be had is told from what cannot be had now.
  EXPECT_EQ(harness.Produce(harness.Request("users", 0, Packed(4, 400000))).error().reason,
            Reason::kBatchTooLarge);
  harness.disk().Hang();
  ProduceBatch large =
      harness.Request("orders", 0, BrokerHarness::Batch({std::string(800000, 'x')}));
  large.ack.acks = Acks::kNone;
  ASSERT_TRUE(harness.Produce(std::move(large)).ok());
  EXPECT_EQ(harness.Produce(harness.Request("users", 0, Packed(4, 100000))).error().reason,
            Reason::kQuotaExceeded);
  harness.disk().Resume();
  harness.scheduler().RunFor(std::chrono::seconds(5));
  EXPECT_TRUE(harness.Produce(harness.Request("users", 0, Packed(4, 100000))).ok());
  EXPECT_EQ(harness.broker().produce_memory().used(), 0u);
}

TEST(BrokerMemory, SearchesByTimeDrawOnTheBudgetOfReads) {
  BrokerHarness harness;
  harness.fetch_memory_bytes = 1300000;
  harness.Start();
  harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce(harness.Request("orders", 0, Packed(4, 100000))).ok());
  ASSERT_TRUE(
      harness.Produce("orders", 0, {std::string(500000, 'x'), std::string(500000, 'y')}).ok());
  const auto find = [&] {
    OffsetQuery query;
    query.topic.name = "orders";
    query.position = {Position::Kind::kTimestamp, 900};
    auto found = harness.Await<std::vector<Result<FoundOffset>>>(
        [&](auto done) { harness.broker().FindOffsets({query}, std::move(done)); });
    return std::move((*found)[0]);
  };
  ASSERT_TRUE(find().ok());
  EXPECT_EQ(find()->offset, Offset{0});
  EXPECT_EQ(harness.broker().fetch_memory().used(), 0u);
  {
    // An answer that nobody has sent yet.
    Fetch fetch = harness.FetchFrom("orders", 0, 4);
    fetch.bytes_max = 1100000;
    const auto fetched = harness.Read(fetch);
    ASSERT_TRUE(fetched.ok()) << fetched.error();
    EXPECT_EQ(find().error().reason, Reason::kQuotaExceeded);
  }
  EXPECT_EQ(find()->offset, Offset{0});
  EXPECT_EQ(harness.broker().fetch_memory().used(), 0u);
}

TEST(BrokerMemory, ASearchByTimeThatMayWaitWaitsForMemory) {
  BrokerHarness harness;
  harness.fetch_memory_bytes = 1300000;
  harness.Start();
  harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce(harness.Request("orders", 0, Packed(4, 100000))).ok());
  ASSERT_TRUE(
      harness.Produce("orders", 0, {std::string(500000, 'x'), std::string(500000, 'y')}).ok());
  Fetch large = harness.FetchFrom("orders", 0, 4);
  large.bytes_max = 1100000;
  std::optional<Result<Fetched>> held;
  OffsetQuery query;
  query.topic.name = "orders";
  query.position = {Position::Kind::kTimestamp, 900};
  query.wait_max = std::chrono::seconds(2);
  std::optional<Result<FoundOffset>> found;
  const auto search = [&] {
    found.reset();
    held.reset();
    held = harness.Read(large);
    ASSERT_TRUE(held->ok());
    harness.broker().FindOffsets({query}, [&](auto all) { found.emplace(std::move(all[0])); });
    harness.scheduler().RunFor(std::chrono::seconds(1));
    EXPECT_FALSE(found.has_value());
    EXPECT_EQ(harness.broker().waiting_fetches(), 1);
  };
  search();
  held.reset();
  harness.scheduler().RunFor(std::chrono::milliseconds(100));
  ASSERT_TRUE(found.has_value());
  ASSERT_TRUE(found->ok()) << found->error();
  EXPECT_EQ((*found)->offset, Offset{0});
  EXPECT_EQ(harness.broker().waiting_fetches(), 0);
  // Not for longer than it may.
  search();
  harness.scheduler().RunFor(std::chrono::milliseconds(1100));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->error().reason, Reason::kQuotaExceeded);
  // A fetch that begins at a time waits, too.
  Fetch fetch = harness.FetchFrom("orders", 0, 0);
  fetch.position = query.position;
  fetch.bytes_max = 100000;
  fetch.wait_max = std::chrono::seconds(2);
  std::optional<Result<Fetched>> answer;
  harness.broker().Read(fetch, [&](Result<Fetched> got) { answer.emplace(std::move(got)); });
  harness.scheduler().RunFor(std::chrono::seconds(1));
  EXPECT_FALSE(answer.has_value());
  held.reset();
  harness.scheduler().RunFor(std::chrono::milliseconds(100));
  ASSERT_TRUE(answer.has_value());
  ASSERT_TRUE(answer->ok()) << answer->error();
  EXPECT_EQ((*answer)->from, Offset{0});
  // Nothing is left behind where the topic goes.
  search();
  harness.DeleteTopic("orders");
  harness.scheduler().RunFor(std::chrono::milliseconds(10));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->error().reason, Reason::kUnknownTopicId);
  EXPECT_EQ(harness.broker().waiting_fetches(), 0);
}

TEST(BrokerMemory, AFirstBatchThatExceedsTheRequestIsAccountedFor) {
  BrokerHarness harness;
  harness.fetch_memory_bytes = 1 << 20;
  harness.Start();
  harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {std::string(600000, 'x')}).ok());
  Fetch fetch = harness.FetchFrom("orders", 0, 0);
  fetch.bytes_max = 1000;
  fetch.first_batch_may_exceed = true;
  {
    const auto fetched = harness.Read(fetch);
    ASSERT_TRUE(fetched.ok()) << fetched.error();
    EXPECT_GT(fetched->batches.size(), 600000u);
    EXPECT_GE(harness.broker().fetch_memory().used(), 600000u);
    const auto second = harness.Read(fetch);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().reason, Reason::kQuotaExceeded);
  }
  EXPECT_EQ(harness.broker().fetch_memory().used(), 0u);
  EXPECT_TRUE(harness.Read(fetch).ok());
}

TEST(BrokerMemory, AFetchThatMayWaitWaitsForMemory) {
  BrokerHarness harness;
  harness.fetch_memory_bytes = 1 << 20;
  harness.Start();
  harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {std::string(600000, 'x')}).ok());
  Fetch fetch = harness.FetchFrom("orders", 0, 0);
  fetch.bytes_max = 700000;
  std::optional<Result<Fetched>> held = harness.Read(fetch);
  ASSERT_TRUE(held->ok());
  fetch.wait_max = std::chrono::seconds(2);
  std::optional<Result<Fetched>> answer;
  const auto read = [&] {
    answer.reset();
    harness.broker().Read(fetch, [&](Result<Fetched> got) { answer.emplace(std::move(got)); });
  };
  read();
  harness.scheduler().RunFor(std::chrono::seconds(1));
  EXPECT_FALSE(answer.has_value());
  EXPECT_EQ(harness.broker().waiting_fetches(), 1);
  held.reset();
  harness.scheduler().RunFor(std::chrono::milliseconds(100));
  ASSERT_TRUE(answer.has_value());
  ASSERT_TRUE(answer->ok()) << answer->error();
  EXPECT_GT((*answer)->batches.size(), 600000u);
  EXPECT_EQ(harness.broker().waiting_fetches(), 0);
  // Not for longer than it may, and not for nobody.
  held = std::move(answer);
  read();
  harness.scheduler().RunFor(std::chrono::milliseconds(1900));
  EXPECT_FALSE(answer.has_value());
  harness.scheduler().RunFor(std::chrono::milliseconds(200));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->error().reason, Reason::kQuotaExceeded);
  const auto cancelled = std::make_shared<std::atomic<bool>>(false);
  fetch.cancelled = cancelled;
  read();
  harness.scheduler().RunFor(std::chrono::milliseconds(100));
  EXPECT_FALSE(answer.has_value());
  cancelled->store(true);
  harness.scheduler().RunFor(std::chrono::milliseconds(100));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(harness.broker().waiting_fetches(), 0);
}

TEST(BrokerMemory, AFetchThatWaitsForMemoryIsAnsweredWhenTheBrokerStops) {
  BrokerHarness harness;
  harness.fetch_memory_bytes = 1 << 20;
  harness.Start();
  harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {std::string(600000, 'x')}).ok());
  Fetch fetch = harness.FetchFrom("orders", 0, 0);
  fetch.bytes_max = 700000;
  const auto held = harness.Read(fetch);
  ASSERT_TRUE(held.ok());
  fetch.wait_max = std::chrono::seconds(60);
  std::optional<Result<Fetched>> answer;
  harness.broker().Read(fetch, [&](Result<Fetched> got) { answer.emplace(std::move(got)); });
  harness.scheduler().RunFor(std::chrono::milliseconds(200));
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(harness.Close(), 0);
  ASSERT_TRUE(answer.has_value());
  EXPECT_FALSE(answer->ok());
  EXPECT_EQ(harness.broker().waiting_fetches(), 0);
}

TEST(BrokerMemory, ASmallAnswerDoesNotKeepALargeBuffer) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {"small"}).ok());
  ASSERT_TRUE(harness.Produce("orders", 0, {std::string(900000, 'x')}).ok());
  Fetch fetch = harness.FetchFrom("orders", 0, 0);
  fetch.bytes_max = 800000;
  const auto fetched = harness.Read(fetch);
  ASSERT_TRUE(fetched.ok()) << fetched.error();
  EXPECT_LT(fetched->batches.size(), 1000u);
  EXPECT_EQ(harness.broker().fetch_memory().used(), fetched->batches.size());
}

TEST(BrokerMemory, ProducersThatAreForgottenAreCounted) {
  BrokerHarness harness;
  harness.producer_ids_max = 2;
  harness.Start();
  harness.CreateTopic("orders", 1);
  for (int i = 0; i < 5; ++i) {
    BatchBuilder::Options options;
    options.producer_id = ProducerId{1000 + i};
    options.producer_epoch = ProducerEpoch{0};
    options.base_sequence = Sequence{0};
    ASSERT_TRUE(
        harness.Produce(harness.Request("orders", 0, BrokerHarness::Batch({"x"}, options))).ok());
  }
  EXPECT_EQ(harness.broker().producer_budget().evicted_count(), 3u);
}

// A batch larger than all of the budget is not refused for ever.
TEST(BrokerMemory, ABatchThatExceedsTheBudgetAloneHasItToItself) {
  BrokerHarness harness;
  harness.fetch_memory_bytes = 300000;
  harness.Start();
  harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {std::string(600000, 'x')}).ok());
  EXPECT_THAT(harness.Values("orders", 0), SizeIs(1));
}

}  // namespace
}  // namespace gregor
