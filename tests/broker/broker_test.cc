#include "broker/broker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/request_id.h"
#include "tests/broker/broker_harness.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using Values = std::vector<std::string>;

bool HasDetail(const Error& error, const std::string& name, const std::string& value) {
  for (const auto& [key, text] : error.details) {
    if (key == name && text == value) return true;
  }
  return false;
}

TEST(Broker, WhatIsProducedCanBeFetched) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 3);
  const auto first = harness.Produce("orders", 1, {"a", "b"});
  ASSERT_TRUE(first.ok()) << first.error();
  EXPECT_EQ(first->base_offset, Offset{0});
  EXPECT_EQ(first->record_count, 2);
  const auto second = harness.Produce("orders", 1, {"c"});
  EXPECT_EQ(second->base_offset, Offset{2});
  EXPECT_THAT(harness.Values("orders", 1), ElementsAre("a", "b", "c"));
  EXPECT_THAT(harness.Values("orders", 1, 1), ElementsAre("b", "c"));
  EXPECT_THAT(harness.Values("orders", 0), IsEmpty());
}

TEST(Broker, AnAcknowledgedBatchSurvivesAPowerLossAndEpochsRise) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  LeaderEpoch epoch{-1};
  Values all;
  for (int round = 0; round < 4; ++round) {
    const std::string value = "value" + std::to_string(round);
    const auto produced = harness.Produce("orders", 0, {value});
    ASSERT_TRUE(produced.ok()) << produced.error();
    EXPECT_GT(produced->leader_epoch, epoch);
    epoch = produced->leader_epoch;
    all.push_back(value);
    harness.LosePower();
    harness.Start();
    EXPECT_EQ(harness.Values("orders", 0), all);
  }
}

TEST(Broker, UnknownTopicsPartitionsAndIdsAreNamedInTheError) {
  BrokerHarness harness;
  harness.Start();
  const TopicId id = harness.CreateTopic("orders", 2);
  EXPECT_EQ(harness.Produce("missing", 0, {"x"}).error().reason, Reason::kTopicNotFound);
  // What a terminal acts on is shown, not done.
  EXPECT_EQ(harness.Produce("mis\nsing", 0, {"x"}).error().message,
            "topic \"mis\\x0asing\" does not exist: it was deleted, or has to be created first");
  const auto partition = harness.Produce("orders", 2, {"x"});
  EXPECT_EQ(partition.error().reason, Reason::kPartitionNotFound);
  EXPECT_THAT(partition.error().message, HasSubstr("0 to 1"));
  Fetch fetch = harness.FetchFrom("other", 0, 0);
  fetch.topic.id = id;
  EXPECT_EQ(harness.Read(fetch).error().reason, Reason::kInconsistentTopicId);
  fetch.topic = {"other", TopicId{}};
  EXPECT_EQ(harness.Read(fetch).error().reason, Reason::kUnknownTopicId);
  EXPECT_TRUE(HasDetail(harness.Read(fetch).error(), "topic", "other"));
  fetch.topic = {"", TopicId{}};
  EXPECT_EQ(harness.Read(fetch).error().reason, Reason::kUnknownTopicId);
}

TEST(Broker, RecordsOfOneCallAreSpreadByKeyAndTheirOffsetsToldByIndex) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 8);
  ProduceRecords request;
  request.topic.name = "orders";
  const Values keys = {"a", "b", "a", "c", "b", "a"};
  for (const std::string& key : keys) request.records.push_back({key, key, {}, kNoTimestamp});
  const auto produced = harness.Produce(request);
  ASSERT_TRUE(produced.ok()) << produced.error();
  EXPECT_FALSE(produced->error.has_value());
  int32_t next = 0;
  for (const ProducedRange& range : produced->ranges) {
    EXPECT_EQ(range.first_index, next);
    const Produced& batch = produced->batches[range.batch];
    for (int i = 0; i < range.count; ++i) {
      const auto values = harness.Values("orders", batch.partition.value, range.base_offset.value);
      ASSERT_FALSE(values.empty());
      EXPECT_EQ(values[static_cast<size_t>(i)], keys[static_cast<size_t>(next + i)]);
    }
    next += range.count;
  }
  EXPECT_EQ(next, 6);
}

// Neither where it has no key, nor where it is too large.
TEST(Broker, NothingOfARequestIsStoredWhereOneRecordMayNotBe) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("users", 6, {{"cleanup.policy", "compact"}});
  harness.CreateTopic("orders", 6);
  const std::string large(1'100'000, 'x');
  for (const std::string topic : {"users", "orders"}) {
    ProduceRecords request;
    request.topic.name = topic;
    for (const char* key : {"k1", "k2", "k3", "k4"})
      request.records.push_back({key, "v", {}, kNoTimestamp});
    if (topic == "users") request.records.push_back({std::nullopt, "keyless", {}, kNoTimestamp});
    if (topic == "orders") request.records.push_back({"k5", large, {}, kNoTimestamp});
    const auto refused = harness.Produce(request);
    ASSERT_FALSE(refused.ok()) << topic;
    EXPECT_EQ(refused.error().reason,
              topic == "users" ? Reason::kInvalidRecord : Reason::kBatchTooLarge);
    for (int partition = 0; partition < 6; ++partition)
      EXPECT_THAT(harness.Values(topic, partition), IsEmpty());
    request.records.pop_back();
    EXPECT_TRUE(harness.Produce(request).ok());
  }
}

TEST(Broker, ARecordThatIsRefusedIsNamedByItsPlaceInTheRequest) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("users", 6, {{"cleanup.policy", "compact"}});
  ProduceRecords request;
  request.topic.name = "users";
  for (const char* key : {"k1", "k2"}) request.records.push_back({key, "v", {}, kNoTimestamp});
  request.records.push_back({std::nullopt, "keyless", {}, kNoTimestamp});
  const auto produced = harness.Produce(request);
  const Error error = produced.ok() ? produced->error.value() : produced.error();
  EXPECT_EQ(error.reason, Reason::kInvalidRecord);
  EXPECT_THAT(error.message, testing::StartsWith("record 2 has no key"));
  EXPECT_THAT(error.details, testing::Contains(testing::Pair("record_index", "2")));
}

ProduceRecords WithRequestId(const std::string& id, std::string_view value) {
  ProduceRecords request;
  request.topic.name = "orders";
  request.request_id = id;
  request.records.push_back({std::nullopt, value, {}, kNoTimestamp});
  return request;
}

TEST(Broker, ARepeatedRequestIdIsAnsweredWithTheOriginalAlsoAfterARestart) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 4);
  const auto first = harness.Produce(WithRequestId("id-1", "v"));
  ASSERT_TRUE(first.ok()) << first.error();
  EXPECT_FALSE(first->batches[0].duplicate);
  for (const bool restart : {false, true}) {
    if (restart) {
      harness.LosePower();
      harness.Start();
    }
    const auto again = harness.Produce(WithRequestId("id-1", "v"));
    ASSERT_TRUE(again.ok()) << again.error();
    EXPECT_TRUE(again->batches[0].duplicate);
    EXPECT_EQ(again->batches[0].partition, first->batches[0].partition);
    EXPECT_EQ(again->ranges[0].base_offset, first->ranges[0].base_offset);
    const auto other = harness.Produce(WithRequestId("id-1", "something else"));
    EXPECT_EQ(other.error().reason, Reason::kInvalidArgument);
  }
  EXPECT_THAT(harness.Values("orders", first->batches[0].partition.value), ElementsAre("v"));
}

TEST(Broker, ProducerIdsOfRequestsAreRefusedFromClients) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  BatchBuilder::Options options;
  options.producer_id = ProducerId{kRequestIdRange + 5};
  options.producer_epoch = ProducerEpoch{0};
  options.base_sequence = Sequence{0};
  const auto refused =
      harness.Produce(harness.Request("orders", 0, BrokerHarness::Batch({"x"}, options)));
  EXPECT_EQ(refused.error().reason, Reason::kInvalidArgument);
  EXPECT_THAT(harness.Values("orders", 0), IsEmpty());
}

TEST(Broker, ProducerIdsThatNobodyWasGivenAreRefused) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  const auto produce = [&](int64_t id) {
    BatchBuilder::Options options;
    options.producer_id = ProducerId{id};
    options.producer_epoch = ProducerEpoch{0};
    options.base_sequence = Sequence{0};
    return harness.Produce(harness.Request("orders", 0, BrokerHarness::Batch({"x"}, options)));
  };
  // The metadata say 5000.
  EXPECT_EQ(produce(5000).error().reason, Reason::kUnknownProducerId);
  EXPECT_EQ(produce(kRequestIdRange - 1).error().reason, Reason::kUnknownProducerId);
  EXPECT_TRUE(produce(4999).ok());
  harness.GiveProducerIds(6000);
  EXPECT_TRUE(produce(5000).ok());
  EXPECT_EQ(produce(6000).error().reason, Reason::kUnknownProducerId);
  EXPECT_THAT(harness.Values("orders", 0), SizeIs(2));
}

TEST(Broker, AnIdempotentRetryIsRecognisedAndAGapRefused) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  const auto producer = harness.Await<InitializedProducer>(
      [&](auto done) { harness.broker().Init({}, std::move(done)); });
  ASSERT_TRUE(producer.ok());
  const auto batch = [&](int32_t sequence, std::string value) {
    BatchBuilder::Options options;
    options.producer_id = producer->producer_id;
    options.producer_epoch = producer->producer_epoch;
    options.base_sequence = Sequence{sequence};
    return harness.Request("orders", 0, BrokerHarness::Batch({std::move(value)}, options));
  };
  ASSERT_TRUE(harness.Produce(batch(0, "a")).ok());
  ASSERT_TRUE(harness.Produce(batch(1, "b")).ok());
  const auto again = harness.Produce(batch(0, "a"));
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->duplicate);
  EXPECT_EQ(again->base_offset, Offset{0});
  EXPECT_EQ(harness.Produce(batch(5, "f")).error().reason, Reason::kOutOfOrderSequence);
  harness.Kill();
  harness.Start();
  EXPECT_TRUE(harness.Produce(batch(1, "b"))->duplicate);
  ASSERT_TRUE(harness.Produce(batch(2, "c")).ok());
  EXPECT_THAT(harness.Values("orders", 0), ElementsAre("a", "b", "c"));
}

TEST(Broker, AProducerThatIsInitializedAgainSharesItsSessionWithNobody) {
  BrokerHarness harness;
  harness.Start();
  const auto init = [&](InitProducer request) {
    return harness.Await<InitializedProducer>(
        [&](auto done) { harness.broker().Init(request, std::move(done)); });
  };
  const auto first = init({});
  const auto again = init({first->producer_id, first->producer_epoch});
  const auto other = init({first->producer_id, first->producer_epoch});
  EXPECT_NE(again->producer_id, first->producer_id);
  EXPECT_NE(other->producer_id, first->producer_id);
  EXPECT_NE(other->producer_id, again->producer_id);
  EXPECT_EQ(again->producer_epoch, ProducerEpoch{0});
  EXPECT_EQ(init({ProducerId{999999999}, ProducerEpoch{0}}).error().reason,
            Reason::kInvalidArgument);
}

// Pipelined writes of a producer that the partition does not know yet: the first is refused, for
// whatever reason, and those behind it must not overtake it.
TEST(Broker, ABatchBehindARefusedFirstOneIsRefusedToo) {
  BrokerHarness harness;
  harness.produce_memory_bytes = 4000;
  harness.Start();
  harness.CreateTopic("orders", 1);
  const auto producer = harness.Await<InitializedProducer>(
      [&](auto done) { harness.broker().Init({}, std::move(done)); });
  const auto batch = [&](int32_t sequence, std::string value) {
    BatchBuilder::Options options;
    options.producer_id = producer->producer_id;
    options.producer_epoch = producer->producer_epoch;
    options.base_sequence = Sequence{sequence};
    return harness.Request("orders", 0, BrokerHarness::Batch({std::move(value)}, options));
  };
  EXPECT_EQ(harness.Produce(batch(0, std::string(5000, 'x'))).error().reason,
            Reason::kQuotaExceeded);
  const auto second = harness.Produce(batch(1, "b"));
  EXPECT_EQ(second.error().reason, Reason::kUnknownProducerId);
  EXPECT_TRUE(HasDetail(second.error(), "expected_sequence", "0"));
  harness.Kill();
  harness.Start();
  EXPECT_FALSE(harness.Produce(batch(1, "b")).ok());
  ASSERT_TRUE(harness.Produce(batch(0, "a")).ok());
  ASSERT_TRUE(harness.Produce(batch(1, "b")).ok());
  EXPECT_THAT(harness.Values("orders", 0), ElementsAre("a", "b"));
}

TEST(Broker, ProducerIdsAreAskedForAgainAfterTheControllerWasAway) {
  BrokerHarness harness;
  harness.Start();
  harness.controller.fails = true;
  const auto init = [&] {
    return harness.Await<InitializedProducer>(
        [&](auto done) { harness.broker().Init({}, std::move(done)); });
  };
  EXPECT_EQ(init().error().reason, Reason::kNotController);
  harness.controller.fails = false;
  const auto first = init();
  ASSERT_TRUE(first.ok());
  EXPECT_NE(init()->producer_id, first->producer_id);
}

TEST(Broker, ADeletedTopicAndItsSuccessorNeverMix) {
  BrokerHarness harness;
  harness.Start();
  const TopicId old_id = harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {"old"}).ok());
  harness.DeleteTopic("orders");
  EXPECT_EQ(harness.Produce("orders", 0, {"x"}).error().reason, Reason::kTopicNotFound);
  harness.CreateTopic("orders", 1);
  EXPECT_THAT(harness.Values("orders", 0), IsEmpty());
  ProduceBatch late = harness.Request("orders", 0, BrokerHarness::Batch({"late"}));
  late.topic.id = old_id;
  EXPECT_EQ(harness.Produce(std::move(late)).error().reason, Reason::kUnknownTopicId);
  ASSERT_TRUE(harness.Produce("orders", 0, {"new"}).ok());
  Fetch fetch = harness.FetchFrom("orders", 0, 0);
  fetch.topic.id = old_id;
  const Error error = harness.Read(fetch).error();
  EXPECT_EQ(error.reason, Reason::kUnknownTopicId);
  EXPECT_THAT(error.message, HasSubstr("topic \"orders\" was deleted and created anew"));
  EXPECT_THAT(harness.Values("orders", 0), ElementsAre("new"));
  harness.scheduler().RunFor(std::chrono::minutes(5));
  EXPECT_FALSE(*harness.files().Exists("/data/" + old_id.ToString() + "-0"));
}

TEST(Broker, WritesThatWereOnTheirWayWhenTheTopicWentAreAnswered) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {"a"}).ok());
  harness.disk().Hang();
  std::optional<Result<Produced>> result;
  harness.broker().Produce(harness.Request("orders", 0, BrokerHarness::Batch({"b"})),
                           [&](Result<Produced> got) { result.emplace(std::move(got)); });
  harness.scheduler().RunFor(std::chrono::seconds(1));
  EXPECT_FALSE(result.has_value());
  harness.DeleteTopic("orders");
  harness.disk().Resume();
  harness.scheduler().RunFor(std::chrono::seconds(5));
  ASSERT_TRUE(result.has_value());
  EXPECT_TRUE(result->ok() || result->error().reason == Reason::kUnknownTopicId);
}

TEST(Broker, AFolderThatNoTopicClaimsIsSetAsideAndNotDeleted) {
  BrokerHarness harness;
  harness.Start();
  const TopicId id = harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {"a"}).ok());
  harness.Kill();
  harness.ForgetMetadata();
  harness.Start();
  harness.scheduler().RunFor(std::chrono::seconds(1));
  EXPECT_TRUE(*harness.files().Exists("/data/" + id.ToString() + "-0.stray"));
  const auto usage = harness.Await<std::vector<LogDirUsage>>(
      [&](auto done) { harness.broker().DescribeLogDirs({}, std::move(done)); });
  ASSERT_THAT(*usage, SizeIs(1));
  ASSERT_THAT((*usage)[0].replicas, SizeIs(1));
  EXPECT_EQ((*usage)[0].replicas[0].topic, "");
}

TEST(Broker, AFetchWaitsForBytesAndIsAnsweredWhenTheyCome) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  Fetch fetch = harness.FetchFrom("orders", 0, 0);
  fetch.wait_max = std::chrono::seconds(30);
  std::optional<Result<Fetched>> result;
  harness.broker().Read(fetch, [&](Result<Fetched> got) { result.emplace(std::move(got)); });
  harness.scheduler().RunFor(std::chrono::seconds(5));
  EXPECT_FALSE(result.has_value());
  ASSERT_TRUE(harness.Produce("orders", 0, {"a"}).ok());
  harness.scheduler().RunFor(std::chrono::milliseconds(100));
  ASSERT_TRUE(result.has_value());
  ASSERT_TRUE(result->ok());
  Values values;
  BrokerHarness::AddValues((*result)->batches, Offset{0}, values);
  EXPECT_THAT(values, ElementsAre("a"));
}

TEST(Broker, AFetchIsAnsweredEmptyWhenItsTimeIsOver) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {"a"}).ok());
  Fetch fetch = harness.FetchFrom("orders", 0, 1);
  fetch.wait_max = std::chrono::seconds(2);
  const MonotonicTime began = harness.scheduler().clock().Now();
  const auto fetched = harness.Read(fetch);
  ASSERT_TRUE(fetched.ok());
  EXPECT_TRUE(fetched->batches.empty());
  EXPECT_EQ(fetched->next_offset, Offset{1});
  EXPECT_EQ(fetched->high_watermark, Offset{1});
  EXPECT_GE(harness.scheduler().clock().Now() - began, std::chrono::seconds(2));
}

TEST(Broker, FetchesOutsideOfTheLogAreRefusedWithItsBounds) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {"a", "b", "c"}).ok());
  const auto beyond = harness.Read(harness.FetchFrom("orders", 0, 4));
  EXPECT_EQ(beyond.error().reason, Reason::kOffsetOutOfRange);
  EXPECT_TRUE(HasDetail(beyond.error(), "high_watermark", "3"));
  EXPECT_EQ(beyond.error().message,
            "offset 4 is outside of partition 0 of topic \"orders\", which has [0, 3)");
  EXPECT_EQ(harness.Read(harness.FetchFrom("orders", 0, -1)).error().reason,
            Reason::kOffsetOutOfRange);
}

TEST(Broker, ABatchAboveTheLimitIsNotSplitUnlessItMayExceed) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {std::string(5000, 'x')}).ok());
  Fetch fetch = harness.FetchFrom("orders", 0, 0);
  fetch.bytes_max = 1000;
  const auto refused = harness.Read(fetch);
  EXPECT_EQ(refused.error().reason, Reason::kFetchTooSmall);
  EXPECT_TRUE(HasDetail(refused.error(), "topic", "orders"));
  EXPECT_TRUE(HasDetail(refused.error(), "partition", "0"));
  EXPECT_TRUE(HasDetail(refused.error(), "offset", "0"));
  fetch.first_batch_may_exceed = true;
  EXPECT_GT(harness.Read(fetch)->batches.size(), 5000u);
}

TEST(Broker, AFetchThatIsFullDoesNotWaitForWhatDoesNotFit) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  for (int i = 0; i < 4; ++i)
    ASSERT_TRUE(harness.Produce("orders", 0, {std::string(700, 'x')}).ok());
  Fetch fetch = harness.FetchFrom("orders", 0, 0);
  fetch.bytes_max = 2000;
  fetch.bytes_min = 2000;  // two batches fit, and have less
  fetch.wait_max = std::chrono::seconds(30);
  const MonotonicTime began = harness.scheduler().clock().Now();
  const auto fetched = harness.Read(fetch);
  ASSERT_TRUE(fetched.ok());
  EXPECT_EQ(fetched->next_offset, Offset{2});
  EXPECT_LT(harness.scheduler().clock().Now() - began, std::chrono::seconds(1));
}

TEST(Broker, EpochsOfTheRequestAreCompared) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  harness.Kill();
  harness.Start();  // now at epoch 1
  const auto with = [&](int32_t epoch) {
    ProduceBatch request = harness.Request("orders", 0, BrokerHarness::Batch({"a"}));
    request.current_leader_epoch = LeaderEpoch{epoch};
    return harness.Produce(std::move(request));
  };
  EXPECT_EQ(with(0).error().reason, Reason::kFencedLeaderEpoch);
  EXPECT_EQ(with(2).error().reason, Reason::kUnknownLeaderEpoch);
  EXPECT_TRUE(with(1).ok());
}

TEST(Broker, AnEpochEndsWhereTheNextBeganAndNothingIsKnownOfLaterOnes) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);  // epoch 0
  ASSERT_TRUE(harness.Produce("orders", 0, {"a", "b"}).ok());
  for (int start = 0; start < 2; ++start) {  // epoch 2, of which there is no record
    harness.LosePower();
    harness.Start();
  }
  const auto end_of = [&](int epoch) {
    const auto end = harness.Await<EpochEnd>([&](BrokerApi::Done<EpochEnd> done) {
      harness.broker().FindEpochEnd({.name = "orders", .id = {}}, PartitionIndex{0},
                                    LeaderEpoch{epoch}, {}, std::move(done));
    });
    EXPECT_TRUE(end.ok()) << end.error();
    return std::pair(end->epoch.value, end->end.value);
  };
  EXPECT_EQ(end_of(0), std::pair(0, int64_t{2}));
  EXPECT_EQ(end_of(1), std::pair(0, int64_t{2}));
  EXPECT_EQ(end_of(2), std::pair(2, int64_t{2}));
  for (const int later : {3, 99, -1}) EXPECT_EQ(end_of(later), std::pair(-1, int64_t{-1}));
  ASSERT_TRUE(harness.Produce("orders", 0, {"c"}).ok());
  EXPECT_EQ(end_of(1), std::pair(0, int64_t{2}));
  EXPECT_EQ(end_of(2), std::pair(2, int64_t{3}));
  // Once the records of epochs are deleted they ended where the log begins.
  const auto deleted = harness.Await<Offset>([&](BrokerApi::Done<Offset> done) {
    harness.broker().Delete(
        {{.topic = {.name = "orders", .id = {}},
          .partition = PartitionIndex{0},
          .before = Offset{2}}},
        [done = std::move(done)](auto results) mutable { done(std::move(results[0])); });
  });
  ASSERT_TRUE(deleted.ok()) << deleted.error();
  EXPECT_EQ(end_of(1), std::pair(1, int64_t{2}));
}

TEST(Broker, AcksThatCannotBeHadAreRefusedBeforeTheAppend) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  harness.CreateTopic("strict", 1, {{"min.insync.replicas", "2"}});
  ProduceBatch request = harness.Request("orders", 0, BrokerHarness::Batch({"a"}));
  request.ack = {Acks::kCount, 2, false};
  EXPECT_EQ(harness.Produce(std::move(request)).error().reason, Reason::kInvalidRequiredAcks);
  EXPECT_THAT(harness.Values("orders", 0), IsEmpty());
  // More than there are replicas can never be in sync.
  EXPECT_TRUE(harness.Produce("strict", 0, {"a"}).ok());
}

TEST(Broker, APartitionThatIsToHaveMoreReplicasIsNotWrittenToWhileNobodyReplicates) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  harness.SetReplicaCount("orders", 2);
  for (const Acks acks : {Acks::kAll, Acks::kLeader, Acks::kNone}) {
    ProduceBatch request = harness.Request("orders", 0, BrokerHarness::Batch({"a"}));
    request.ack = {acks, 0, false};
    const auto produced = harness.Produce(std::move(request));
    ASSERT_FALSE(produced.ok());
    EXPECT_EQ(produced.error().reason, Reason::kNotEnoughReplicas);
  }
  EXPECT_THAT(harness.Values("orders", 0), IsEmpty());
  harness.SetReplicaCount("orders", 1);
  EXPECT_TRUE(harness.Produce("orders", 0, {"a"}).ok());
}

TEST(Broker, AReceiptSaysWhoHoldsTheBatchAndHow) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("synced", 1);
  harness.CreateTopic("cached", 1, {{"durability", "replicated"}});
  for (const std::string topic : {"synced", "cached"}) {
    ProduceBatch request = harness.Request(topic, 0, BrokerHarness::Batch({"a"}));
    request.ack.receipt = true;
    const auto produced = harness.Produce(std::move(request));
    ASSERT_TRUE(produced.ok()) << produced.error();
    ASSERT_TRUE(produced->receipt.has_value());
    EXPECT_EQ(produced->receipt->synced.size(), topic == "synced" ? 1u : 0u);
    EXPECT_EQ(produced->receipt->held.size(), topic == "synced" ? 0u : 1u);
  }
}

TEST(Broker, AfterAFailedSyncWritesAreRefusedAndReadsGoOn) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 2);
  ASSERT_TRUE(harness.Produce("orders", 0, {"a"}).ok());
  harness.files().FailNext(SimOperation::kSync, ".log");
  const auto failed = harness.Produce("orders", 0, {"b"});
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().reason, Reason::kStorageError);
  EXPECT_TRUE(HasDetail(failed.error(), "outcome", "UNKNOWN"));
  for (const int partition : {0, 1}) {
    EXPECT_EQ(harness.Produce("orders", partition, {"c"}).error().reason, Reason::kStorageError);
  }
  EXPECT_THAT(harness.Values("orders", 0), ElementsAre("a"));
}

TEST(Broker, BelowTheReserveWritesAreRefusedAndReadsGoOn) {
  BrokerHarness harness;
  harness.reserve_bytes = 1 << 20;
  harness.files().faults().capacity_bytes = 4 << 20;
  harness.Start();
  harness.CreateTopic("orders", 1);
  std::optional<Error> refused;
  int64_t acknowledged = 0;
  for (int i = 0; i < 5000 && !refused.has_value(); ++i) {
    const auto produced = harness.Produce("orders", 0, {std::string(8000, 'x')});
    if (produced.ok()) ++acknowledged;
    if (!produced.ok()) refused = produced.error();
    harness.scheduler().RunFor(std::chrono::milliseconds(100));
  }
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->reason, Reason::kDiskFull);
  EXPECT_THAT(harness.Values("orders", 0), SizeIs(acknowledged));
  harness.files().faults().capacity_bytes = 64 << 20;
  harness.scheduler().RunFor(std::chrono::minutes(1));
  EXPECT_TRUE(harness.Produce("orders", 0, {"again"}).ok());
}

TEST(Broker, WritesBeyondTheirMemoryAreRefusedAndTakenAgainLater) {
  BrokerHarness harness;
  harness.produce_memory_bytes = 3000;
  harness.Start();
  harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {"a"}).ok());
  harness.disk().Hang();
  int refused = 0, done = 0;
  for (int i = 0; i < 4; ++i) {
    harness.broker().Produce(
        harness.Request("orders", 0, BrokerHarness::Batch({std::string(1200, 'x')})),
        [&](Result<Produced> produced) {
          ++done;
          if (produced.ok()) return;
          ++refused;
          EXPECT_EQ(produced.error().reason, Reason::kQuotaExceeded);
          EXPECT_TRUE(HasDetail(produced.error(), "outcome", "NOT_APPLIED"));
        });
  }
  EXPECT_EQ(refused, 2);
  harness.disk().Resume();
  harness.scheduler().RunFor(std::chrono::seconds(5));
  EXPECT_EQ(done, 4);
  EXPECT_TRUE(harness.Produce("orders", 0, {"b"}).ok());
  EXPECT_EQ(harness.broker().produce_memory().used(), 0u);
}

// Writes that nobody waits for are answered at once, and yet nothing grows without a bound.
TEST(Broker, WritesWithoutAcksHoldTheirMemoryUntilTheyAreWritten) {
  for (const bool plain : {false, true}) {
    BrokerHarness harness;
    harness.produce_memory_bytes = 30000;
    harness.Start();
    harness.CreateTopic("orders", 2);
    ASSERT_TRUE(harness.Produce("orders", 0, {"first"}).ok());
    harness.disk().Hang();
    const std::string value(1000, 'x');
    int accepted = 0;
    std::optional<Error> refused;
    while (accepted < 100 && !refused.has_value()) {
      const auto count = [&](const auto& result) {
        result.ok() ? void(++accepted) : void(refused = result.error());
      };
      if (plain) {
        ProduceRecords request;
        request.topic.name = "orders";
        request.partition = PartitionIndex{0};
        request.records.push_back({std::nullopt, value, {}, kNoTimestamp});
        request.ack.acks = Acks::kNone;
        count(harness.Produce(std::move(request)));
      } else {
        ProduceBatch request = harness.Request("orders", 0, BrokerHarness::Batch({value}));
        request.ack.acks = Acks::kNone;
        count(harness.Produce(std::move(request)));
      }
    }
    ASSERT_TRUE(refused.has_value());
    EXPECT_EQ(refused->reason, Reason::kQuotaExceeded);
    EXPECT_TRUE(HasDetail(*refused, "outcome", "NOT_APPLIED"));
    EXPECT_GT(accepted, 15);
    EXPECT_LT(accepted, 30);
    EXPECT_LE(harness.broker().produce_memory().used(), 30000u);
    harness.disk().Resume();
    harness.scheduler().RunFor(std::chrono::seconds(5));
    EXPECT_EQ(harness.broker().produce_memory().used(), 0u);
    EXPECT_THAT(harness.Values("orders", 0), SizeIs(accepted + 1));
  }
}

TEST(Broker, WritesOfADeletedTopicHoldTheirMemoryUntilItsLogIsGone) {
  BrokerHarness harness;
  harness.produce_memory_bytes = 3000;
  harness.Start();
  harness.CreateTopic("orders", 1);
  harness.CreateTopic("other", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {"first"}).ok());
  harness.disk().Hang();
  for (int i = 0; i < 2; ++i) {
    ProduceBatch request =
        harness.Request("orders", 0, BrokerHarness::Batch({std::string(1200, 'x')}));
    request.ack.acks = Acks::kNone;
    ASSERT_TRUE(harness.Produce(std::move(request)).ok());
  }
  harness.DeleteTopic("orders");
  harness.scheduler().RunFor(std::chrono::seconds(1));
  EXPECT_EQ(harness.Produce("other", 0, {std::string(1200, 'x')}).error().reason,
            Reason::kQuotaExceeded);
  harness.disk().Resume();
  harness.scheduler().RunFor(std::chrono::seconds(5));
  EXPECT_EQ(harness.broker().produce_memory().used(), 0u);
}

TEST(Broker, AnAbandonedWriteIsNotAppended) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  const auto first_failed = std::make_shared<std::atomic<uint64_t>>(7);
  const auto produce = [&](uint64_t number, const std::string& value) {
    ProduceBatch request = harness.Request("orders", 0, BrokerHarness::Batch({value}));
    request.abandoned = {first_failed, number};
    return harness.Produce(std::move(request));
  };
  EXPECT_EQ(produce(8, "behind it").error().reason, Reason::kPriorRequestFailed);
  EXPECT_TRUE(produce(6, "before it").ok());
  EXPECT_THAT(harness.Values("orders", 0), ElementsAre("before it"));
}

TEST(Broker, OffsetsAreFoundByEveryKindOfPosition) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  for (int i = 0; i < 5; ++i) {
    BatchBuilder builder;
    NewRecord record;
    record.value = "x";
    record.timestamp = Timestamp{1000 + 100 * (i == 3 ? 9 : i)};
    builder.Add(record);
    ASSERT_TRUE(harness.Produce(harness.Request("orders", 0, builder.Build())).ok());
  }
  const auto find = [&](Position position) {
    OffsetQuery query;
    query.topic.name = "orders";
    query.position = position;
    auto found = harness.Await<std::vector<Result<FoundOffset>>>(
        [&](auto done) { harness.broker().FindOffsets({query}, std::move(done)); });
    return std::move((*found)[0]);
  };
  EXPECT_EQ(find({Position::Kind::kEarliest, 0})->offset, Offset{0});
  EXPECT_EQ(find({Position::Kind::kLatest, 0})->offset, Offset{5});
  EXPECT_EQ(find({Position::Kind::kTail, 2})->offset, Offset{3});
  EXPECT_EQ(find({Position::Kind::kTail, 200})->offset, Offset{0});
  EXPECT_EQ(find({Position::Kind::kTimestamp, 1150})->offset, Offset{2});
  EXPECT_EQ(find({Position::Kind::kTimestamp, 99999})->offset, Offset{-1});
  EXPECT_EQ(find({Position::Kind::kMaxTimestamp, 0})->offset, Offset{3});
  EXPECT_EQ(find({Position::Kind::kOffset, 9}).error().reason, Reason::kOffsetOutOfRange);
}

TEST(Broker, DeletedRecordsStayDeleted) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  harness.CreateTopic("users", 1, {{"cleanup.policy", "compact"}});
  ASSERT_TRUE(harness.Produce("orders", 0, {"a", "b", "c"}).ok());
  const auto remove = [&](const std::string& topic, int64_t before) {
    DeleteRecords item;
    item.topic.name = topic;
    item.before = Offset{before};
    auto all = harness.Await<std::vector<Result<Offset>>>(
        [&](auto done) { harness.broker().Delete({item}, std::move(done)); });
    return std::move((*all)[0]);
  };
  EXPECT_EQ(remove("orders", 9).error().reason, Reason::kOffsetOutOfRange);
  EXPECT_EQ(remove("users", 0).error().reason, Reason::kPolicyViolation);
  EXPECT_EQ(*remove("orders", 2), Offset{2});
  harness.LosePower();
  harness.Start();
  EXPECT_EQ(harness.Read(harness.FetchFrom("orders", 0, 1)).error().reason,
            Reason::kOffsetOutOfRange);
  EXPECT_THAT(harness.Values("orders", 0, 2), ElementsAre("c"));
}

TEST(Broker, ChangedConfigsTakeEffect) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1, {{"max.message.bytes", "500"}});
  EXPECT_EQ(harness.Produce("orders", 0, {std::string(1000, 'x')}).error().reason,
            Reason::kBatchTooLarge);
  harness.SetConfigs("orders", {{"max.message.bytes", "5000"}});
  EXPECT_TRUE(harness.Produce("orders", 0, {std::string(1000, 'x')}).ok());
}

TEST(Broker, RefusesCallsWhileItStopsAndClosesItsLogs) {
  BrokerHarness harness;
  harness.Start();
  harness.CreateTopic("orders", 1);
  ASSERT_TRUE(harness.Produce("orders", 0, {"a"}).ok());
  Fetch fetch = harness.FetchFrom("orders", 0, 1);
  fetch.wait_max = std::chrono::hours(1);
  std::optional<Result<Fetched>> waiting;
  harness.broker().Read(fetch, [&](Result<Fetched> got) { waiting.emplace(std::move(got)); });
  harness.scheduler().RunFor(std::chrono::seconds(1));
  EXPECT_EQ(harness.Close(), 0);
  EXPECT_TRUE(waiting.has_value());
  EXPECT_EQ(harness.Produce("orders", 0, {"b"}).error().reason, Reason::kServerDraining);
}

}  // namespace
}  // namespace gregor
