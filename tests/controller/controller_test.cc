#include "controller/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/controller/controller_harness.h"

namespace gregor {
namespace {

using testing::HasSubstr;

TEST(Controller, ANewClusterHasItsIdAndKey) {
  ControllerHarness node(1);
  ASSERT_TRUE(node.Open()) << *node.error();
  const auto identity = ReadIdentity(node.files(), ControllerHarness::kDataDir);
  EXPECT_EQ(node.image()->cluster_id, (*identity)->cluster_id);
  EXPECT_EQ(node.image()->request_id_key[0], 7);
  EXPECT_EQ(node.image()->feature_level, kFeatureLevel);
}

TEST(Controller, ATopicIsThereWhenItsCreationIsAnswered) {
  ControllerHarness node(2);
  ASSERT_TRUE(node.Start());
  const auto topic = node.Create("orders", 3, {{"retention.ms", "1000"}});
  ASSERT_TRUE(topic.ok()) << topic.error();
  EXPECT_EQ(node.image()->Topic("orders"), *topic);
  EXPECT_EQ((*topic)->partition_count(), 3);
  EXPECT_EQ((*topic)->configs->at("retention.ms"), "1000");
  const PartitionImage* partition = (*topic)->Partition(PartitionIndex{1});
  EXPECT_EQ(partition->leader, NodeId{1});
  EXPECT_FALSE(partition->directories[0].IsZero());
}

TEST(Controller, ARestartHasEverythingThatWasAnswered) {
  for (const bool has_store : {false, true}) {
    ControllerHarness node(3);
    node.has_store = has_store;
    ASSERT_TRUE(node.Start());
    ASSERT_TRUE(node.Create("orders", 3).ok());
    ASSERT_TRUE(node.Create("old", 3).ok());
    ASSERT_TRUE(node.Delete("old").ok());
    ASSERT_TRUE(node.SetConfig("orders", "retention.ms", "5").ok());
    ASSERT_TRUE(node.ProducerIds(1000).ok());
    const ImagePtr before = node.image();
    ASSERT_TRUE(node.Close().ok());
    ASSERT_TRUE(node.Open()) << *node.error();
    EXPECT_EQ(RowsOf(*node.image()), RowsOf(*before));
    node.Kill();
    ASSERT_TRUE(node.Open());
    EXPECT_EQ(RowsOf(*node.image()), RowsOf(*before));
  }
}

TEST(Controller, ARestartRaisesTheEpochsOfAllPartitions) {
  ControllerHarness node(4);
  ASSERT_TRUE(node.Start());
  const auto topic = node.Create("orders", 300);
  const auto first = node.image()->Broker(NodeId{1})->epoch;
  EXPECT_EQ((*topic)->Partition(PartitionIndex{299})->leader_epoch, LeaderEpoch{0});
  node.Kill();
  ASSERT_TRUE(node.Start());
  node.image()->Topic("orders")->partitions.VisitAll([](PartitionIndex, const auto& partition) {
    EXPECT_EQ(partition->leader_epoch, LeaderEpoch{1});
  });
  EXPECT_GT(node.image()->Broker(NodeId{1})->epoch, first);
}

TEST(Controller, DeletedAndCreatedAgainIsAnotherTopic) {
  ControllerHarness node(5);
  ASSERT_TRUE(node.Start());
  const TopicId first = (*node.Create("orders"))->id;
  ASSERT_TRUE(node.Delete("orders").ok());
  EXPECT_EQ(node.image()->Topic("orders"), nullptr);
  const TopicId second = (*node.Create("orders"))->id;
  EXPECT_NE(first, second);
  const auto gone = node.Await<void>([&](auto done) {
    node.controller().Run(DeleteTopic{{"", first}}, std::move(done));
  });
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().reason, Reason::kUnknownTopicId);
}

TEST(Controller, ObserversSeeEveryChangeInOrderBeforeItIsAnswered) {
  ControllerHarness node(6);
  ASSERT_TRUE(node.Start());
  ASSERT_TRUE(node.Create("first").ok());
  std::vector<std::string> seen;
  ImagePtr last;
  const auto handle = node.controller().Watch([&](const MetadataDelta& delta) {
    EXPECT_EQ(delta.before, last);
    last = delta.after;
    for (const auto& topic : delta.created) seen.push_back("+" + topic->name);
    for (const auto& topic : delta.deleted) seen.push_back("-" + topic->name);
    for (const auto& topic : delta.changed) seen.push_back("~" + topic->name);
  });
  ASSERT_TRUE(node.Create("second").ok());
  EXPECT_EQ(seen, (std::vector<std::string>{"+first", "+second"}));
  ASSERT_TRUE(node.SetConfig("first", "segment.ms", "100").ok());
  ASSERT_TRUE(node.Delete("second").ok());
  EXPECT_EQ(seen, (std::vector<std::string>{"+first", "+second", "~first", "-second"}));
}

TEST(Controller, AnObserverWhoseHandleWentIsNotCalled) {
  ControllerHarness node(7);
  ASSERT_TRUE(node.Start());
  int calls = 0;
  auto handle = node.controller().Watch([&](const MetadataDelta&) { ++calls; });
  ASSERT_TRUE(node.Create("first").ok());
  EXPECT_EQ(calls, 2);
  handle.reset();
  ASSERT_TRUE(node.Create("second").ok());
  EXPECT_EQ(calls, 2);
}

TEST(Controller, OperationsAreAnsweredInTheirOrderErrorsIncluded) {
  ControllerHarness node(8);
  ASSERT_TRUE(node.Start());
  std::vector<std::string> answers;
  node.loop().RunUntil(
      [&] {
        for (int i = 0; i < 3; ++i) {
          CreateTopic operation;
          operation.name = "orders";
          node.controller().Run(operation, [&](Result<TopicPtr> topic) {
            answers.emplace_back(topic.ok() ? "made" : ReasonName(topic.error().reason));
            // What the error says is already to be seen.
            EXPECT_NE(node.image()->Topic("orders"), nullptr);
          });
        }
        node.controller().Run(DeleteTopic{{"orders", std::nullopt}}, [&](Result<void> deleted) {
          answers.emplace_back(deleted.ok() ? "deleted" : "not deleted");
        });
      },
      [&] { return answers.size() == 4; }, std::chrono::minutes(1));
  EXPECT_EQ(answers, (std::vector<std::string>{"made", "TOPIC_ALREADY_EXISTS",
                                               "TOPIC_ALREADY_EXISTS", "deleted"}));
}

TEST(Controller, TheQueueIsBounded) {
  ControllerHarness node(9);
  node.behavior.operations_queued_max = 5;
  ASSERT_TRUE(node.Start());
  int made = 0, refused = 0;
  node.loop().RunUntil(
      [&] {
        for (int i = 0; i < 20; ++i) {
          CreateTopic operation;
          operation.name = "topic-" + std::to_string(i);
          node.controller().Run(operation, [&](Result<TopicPtr> topic) {
            if (topic.ok()) {
              ++made;
            } else {
              EXPECT_EQ(topic.error().reason, Reason::kQuotaExceeded);
              ++refused;
            }
          });
        }
      },
      [&] { return made + refused == 20; }, std::chrono::minutes(1));
  EXPECT_EQ(made, 5);
  EXPECT_EQ(refused, 15);
  EXPECT_TRUE(node.Create("after").ok());
}

TEST(Controller, BrokersAreHeardHoweverManyOperationsWait) {
  ControllerHarness node(9);
  node.behavior.operations_queued_max = 2;
  ASSERT_TRUE(node.Open());
  const auto epoch = node.Register(1);
  ASSERT_TRUE(epoch.ok());
  int made = 0, refused = 0;
  std::optional<Result<BrokerStatus>> heard;
  std::optional<Result<BrokerEpoch>> registered;
  node.loop().RunUntil(
      [&] {
        for (int i = 0; i < 5; ++i) {
          CreateTopic operation;
          operation.name = "topic-" + std::to_string(i);
          node.controller().Run(operation,
                                [&](Result<TopicPtr> topic) { ++(topic.ok() ? made : refused); });
        }
        node.controller().Run(BrokerHeartbeat{NodeId{1}, *epoch, node.image()->version},
                              [&](auto status) { heard = std::move(status); });
        node.controller().Run(RegisterBroker{node.Broker(2)},
                              [&](auto answer) { registered = std::move(answer); });
      },
      [&] { return made + refused == 5 && heard.has_value() && registered.has_value(); },
      std::chrono::minutes(1));
  EXPECT_EQ(made, 2);
  EXPECT_EQ(refused, 3);
  ASSERT_TRUE(heard.has_value() && registered.has_value());
  EXPECT_TRUE(heard->ok()) << heard->error();
  EXPECT_TRUE(registered->ok()) << registered->error();
}

TEST(Controller, ARepeatedRequestIdGetsTheSameTopic) {
  ControllerHarness node(10);
  ASSERT_TRUE(node.Start());
  CreateTopic operation;
  operation.name = "orders";
  operation.partitions = 2;
  operation.request_id = "request-1";
  const auto first = node.Create(operation);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ((*node.Create(operation))->id, (*first)->id);
  node.Kill();
  ASSERT_TRUE(node.Start());
  EXPECT_EQ((*node.Create(operation))->id, (*first)->id);
  operation.partitions = 3;
  auto other = node.Create(operation);
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().reason, Reason::kInvalidArgument);
  operation.partitions = 2;
  operation.request_id = "request-2";
  other = node.Create(operation);
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().reason, Reason::kTopicAlreadyExists);
}

TEST(Controller, ValidateOnlyChangesNothing) {
  ControllerHarness node(11);
  ASSERT_TRUE(node.Start());
  CreateTopic operation;
  operation.name = "orders";
  operation.partitions = 2;
  operation.validate_only = true;
  const Offset version = node.image()->version;
  const auto topic = node.Create(operation);
  ASSERT_TRUE(topic.ok());
  EXPECT_TRUE((*topic)->id.IsZero());
  EXPECT_EQ((*topic)->partition_count(), 2);
  EXPECT_EQ(node.image()->version, version);
  EXPECT_EQ(node.image()->Topic("orders"), nullptr);
}

TEST(Controller, ProducerIdBlocksNeverOverlap) {
  ControllerHarness node(12);
  ASSERT_TRUE(node.Start());
  std::set<int64_t> firsts;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 3; ++i) {
      const auto block = node.ProducerIds(1000);
      ASSERT_TRUE(block.ok());
      EXPECT_EQ(block->count, 1000);
      EXPECT_TRUE(firsts.insert(block->first).second);
      EXPECT_EQ(block->first % 1000, 0);
    }
    node.LosePower();
    ASSERT_TRUE(node.Start());
  }
}

TEST(Controller, MetadataThatWereRestoredGiveOtherProducerIdsThanBefore) {
  std::set<int64_t> firsts;
  // The same metadata, in processes of other randomness: what each gives is not in the other's log.
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    ControllerHarness node(seed);
    ASSERT_TRUE(node.Start());
    const auto first = node.ProducerIds(1000);
    const auto second = node.ProducerIds(1000);
    ASSERT_TRUE(first.ok() && second.ok());
    EXPECT_EQ(second->first, first->first + 1000);
    EXPECT_TRUE(firsts.insert(first->first).second);
  }
}

TEST(Controller, AFailedDiskIsReportedAndEndsOperations) {
  ControllerHarness node(13);
  ASSERT_TRUE(node.Start());
  node.files().FailNext(SimOperation::kSync, ".log");
  const auto topic = node.Create("orders");
  ASSERT_FALSE(topic.ok());
  EXPECT_EQ(topic.error().reason, Reason::kStorageError);
  ASSERT_TRUE(node.controller().failure().has_value());
  EXPECT_FALSE(node.Create("other").ok());
  EXPECT_EQ(node.image()->Topic("other"), nullptr);
  ASSERT_EQ(node.failures.size(), 1u);
  EXPECT_EQ(node.failures[0].message, node.controller().failure()->message);
}

TEST(Controller, AFailureOfItsOpeningIsItsAnswerAlone) {
  ControllerHarness node(13);
  node.files().FailNext(SimOperation::kSync, ".log");
  EXPECT_FALSE(node.Open());
  EXPECT_TRUE(node.failures.empty());
}

TEST(Controller, ClosingAnswersWhatWaits) {
  ControllerHarness node(14);
  ASSERT_TRUE(node.Start());
  std::optional<Result<TopicPtr>> answer;
  std::optional<Result<void>> closed;
  node.loop().RunUntil(
      [&] {
        CreateTopic operation;
        operation.name = "orders";
        node.controller().Run(operation, [&](Result<TopicPtr> topic) { answer = topic; });
        node.controller().Close([&](Result<void> result) { closed = std::move(result); });
      },
      [&] { return answer.has_value() && closed.has_value(); }, std::chrono::minutes(1));
  ASSERT_TRUE(answer.has_value() && closed.has_value());
  ASSERT_FALSE(answer->ok());
  EXPECT_EQ(answer->error().reason, Reason::kNotController);
  EXPECT_TRUE(closed->ok());
}

TEST(Controller, WhatNobodyWaitsForAnyMoreIsNotDone) {
  ControllerHarness node(15);
  ASSERT_TRUE(node.Start());
  CreateTopic operation;
  operation.name = "late";
  OperationContext context;
  context.timeout = Duration(0);
  const auto answer = node.Await<OperationAnswer>(
      [&](auto done) { node.controller().Execute(operation, context, std::move(done)); });
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().reason, Reason::kCommitTimedOut);
  EXPECT_EQ(node.image()->Topic("late"), nullptr);
}

TEST(Controller, AnotherNodesDirectoryIsRefused) {
  ControllerHarness node(15);
  node.behavior.node_id = NodeId{2};
  EXPECT_FALSE(node.Open());
  EXPECT_THAT(node.error()->message, HasSubstr("belongs to node 1, and this is node 2"));
}

TEST(Controller, ALostLogIsNotANewCluster) {
  ControllerHarness node(16);
  ASSERT_TRUE(node.Start());
  ASSERT_TRUE(node.Create("orders").ok());
  node.scheduler().RunFor(std::chrono::seconds(5));
  node.Kill();
  ASSERT_FALSE(*node.files().Exists(BootstrapPath(ControllerHarness::kDataDir)));
  ASSERT_TRUE(RemoveTree(node.files(), "/data/metadata/log/AAAAAAAAAAAAAAAAAAAAAQ-0").ok());
  EXPECT_FALSE(node.Open());
  ASSERT_TRUE(node.files().Remove("/data/metadata/log/synced-marks").ok());
  EXPECT_FALSE(node.Open());
  EXPECT_THAT(node.error()->message, HasSubstr("the log is empty"));
}

// Operations at random, crashes at random: what was answered is there, whatever else is there was
// asked for, and the image is that of the log.
TEST(Controller, AnsweredOperationsSurviveCrashes) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    ControllerHarness node(1000 + seed);
    node.has_store = seed % 3 != 0;
    node.snapshot_record_bytes = 2000;
    Random random(seed);
    std::set<std::string> there;  // by answered operations
    for (int round = 0; round < 5; ++round) {
      ASSERT_TRUE(node.Start()) << "seed " << seed << ": " << *node.error();
      for (const std::string& name : there)
        ASSERT_NE(node.image()->Topic(name), nullptr) << "seed " << seed << ", topic " << name;
      const auto count = random.Below(12);
      for (uint64_t i = 0; i < count; ++i) {
        const std::string name = "topic-" + std::to_string(random.Below(8));
        if (there.count(name) != 0 && random.Chance(0.4)) {
          ASSERT_TRUE(node.Delete(name).ok());
          there.erase(name);
        } else if (there.count(name) != 0) {
          ASSERT_TRUE(
              node.SetConfig(name, "retention.ms", std::to_string(random.Below(1000))).ok());
        } else if (node.image()->Topic(name) == nullptr) {
          ASSERT_TRUE(node.Create(name, static_cast<int32_t>(1 + random.Below(20))).ok());
          there.insert(name);
        }
        if (random.Chance(0.3)) node.scheduler().RunFor(std::chrono::seconds(2));
      }
      // One whose answer nobody waits for.
      node.loop().Run([&] {
        CreateTopic operation;
        operation.name = "unanswered-" + std::to_string(round);
        node.controller().Run(operation, [](Result<TopicPtr>) {});
      });
      node.scheduler().RunFor(std::chrono::microseconds(random.Below(3000)));
      if (random.Chance(0.5)) {
        node.LosePower();
      } else {
        node.Kill();
      }
    }
  }
}

}  // namespace
}  // namespace gregor
