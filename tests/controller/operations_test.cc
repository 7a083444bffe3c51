#include "controller/operations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/topic_names.h"
#include "tests/controller/controller_harness.h"

namespace gregor {
namespace {

using testing::HasSubstr;

// What is refused, and why, by a cluster of brokers 1 to 3.
class OperationsTest : public testing::Test {
 protected:
  OperationsTest() : node_(1) {
    node_.behavior.partitions_per_operation_max = 1000;
    node_.behavior.partitions_max = 2000;
    node_.behavior.message_bytes_limit = 2'000'000;
    EXPECT_TRUE(node_.Open());
    for (int32_t id = 1; id <= 3; ++id) EXPECT_TRUE(node_.Register(id).ok());
  }

  template <typename T>
  static void ExpectRefused(const Result<T>& result, Reason reason, const std::string& part) {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().reason, reason) << result.error();
    EXPECT_THAT(result.error().message, HasSubstr(part));
  }
  Result<TopicPtr> CreateAssigned(std::vector<std::vector<NodeId>> assignment) {
    CreateTopic operation;
    operation.name = "assigned";
    operation.assignment = std::move(assignment);
    return node_.Create(std::move(operation));
  }
  Result<void> AlterTopic(const ConfigOp& op) {
    return node_.Alter({ConfigResourceType::kTopic, "orders", {op}});
  }
  const ConfigMap& Configs() { return *node_.image()->Topic("orders")->configs; }

  ControllerHarness node_;
};

TEST_F(OperationsTest, TopicNamesAreThoseOfKafka) {
  const std::string nul("a\0b", 3);
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("a b"),
        nul, std::string("\x1b[31mred"), std::string("f\xc3\xbc"), std::string(250, 'a'),
        std::string("a\nb"), std::string("../../etc"), std::string(1 << 20, 'x')}) {
    const auto refused = node_.Create(name);
    ASSERT_FALSE(refused.ok()) << name.substr(0, 20);
    EXPECT_EQ(refused.error().reason, Reason::kInvalidTopic);
    EXPECT_LT(refused.error().message.size(), 300u);
    ASSERT_EQ(refused.error().details.at(0).first, "topic");
    EXPECT_LT(refused.error().details.at(0).second.size(), 300u);
    if (name == "a/b") {
      EXPECT_EQ(refused.error().details.at(0).second, name);
    }
    for (const char letter : refused.error().ToString())
      EXPECT_GE(static_cast<unsigned char>(letter), ' ');
  }
  for (const std::string& name : {std::string(249, 'a'), std::string("a"), std::string("-"),
                                  std::string("A.b_c-9"), std::string("...")})
    EXPECT_TRUE(node_.Create(name).ok()) << name;
}

TEST_F(OperationsTest, TopicsOfTheClusterAreMadeByItselfOnly) {
  for (const char* name : {"__consumer_offsets", "__transaction_state", "__cluster_metadata"}) {
    ExpectRefused(node_.Create(name), Reason::kInvalidTopic, "the cluster makes by itself");
    CreateTopic operation;
    operation.name = name;
    operation.internal = true;
    EXPECT_TRUE(node_.Create(operation).ok()) << name;
  }
  EXPECT_TRUE(node_.Create("__mine").ok());
}

TEST_F(OperationsTest, NamesThatDifferInDotsOnlyCollide) {
  ASSERT_TRUE(node_.Create("a.b_c").ok());
  ExpectRefused(node_.Create("a_b.c"), Reason::kInvalidTopic, "collides with topic \"a.b_c\"");
  ExpectRefused(node_.Create("a.b_c"), Reason::kTopicAlreadyExists, "exists already");
  EXPECT_TRUE(node_.Create("a-b-c").ok());
  // With so many that all topics are looked at instead.
  const std::string dots(40, '.');
  ASSERT_TRUE(node_.Create("x" + dots).ok());
  ExpectRefused(node_.Create("x_" + dots.substr(1)), Reason::kInvalidTopic, "collides");
  EXPECT_TRUE(node_.Create("x_" + dots).ok());
}

TEST_F(OperationsTest, CountsHaveBounds) {
  ExpectRefused(node_.Create("t", -1), Reason::kInvalidPartitions, "at least one partition");
  ExpectRefused(node_.Create("t", 1001), Reason::kInvalidPartitions,
                "more than the 1000 that one operation may make");
  CreateTopic operation;
  operation.name = "t";
  operation.replication_factor = 4;
  ExpectRefused(node_.Create(operation), Reason::kInvalidReplicationFactor,
                "replication factor 4 needs 4 brokers; there are 3");
  operation.replication_factor = -1;
  ExpectRefused(node_.Create(operation), Reason::kInvalidReplicationFactor, "at least one replica");
  ASSERT_TRUE(node_.Create("a", 1000).ok());
  ASSERT_TRUE(node_.Create("b", 1000).ok());
  ExpectRefused(node_.Create("c", 1), Reason::kInvalidPartitions, "limit of 2000");
}

TEST_F(OperationsTest, ReplicasAreSpreadEvenly) {
  CreateTopic operation;
  operation.name = "spread";
  operation.partitions = 30;
  operation.replication_factor = 2;
  const auto topic = node_.Create(operation);
  ASSERT_TRUE(topic.ok());
  std::map<NodeId, int> leaders, replicas;
  (*topic)->partitions.VisitAll([&](PartitionIndex, const PartitionPtr& partition) {
    ++leaders[partition->leader];
    EXPECT_EQ(partition->leader, partition->replicas[0]);
    EXPECT_NE(partition->replicas[0], partition->replicas[1]);
    EXPECT_EQ(partition->isr, partition->replicas);
    for (const NodeId node : partition->replicas) ++replicas[node];
  });
  for (int32_t id = 1; id <= 3; ++id) {
    EXPECT_EQ(leaders[NodeId{id}], 10);
    EXPECT_EQ(replicas[NodeId{id}], 20);
  }
}

TEST_F(OperationsTest, AssignmentsAreChecked) {
  const NodeId one{1}, two{2}, nobody{9};
  ExpectRefused(CreateAssigned({{one, one}}), Reason::kInvalidReplicaAssignment, "twice");
  ExpectRefused(CreateAssigned({{nobody}}), Reason::kInvalidReplicaAssignment, "not running");
  ExpectRefused(CreateAssigned({{}}), Reason::kInvalidReplicaAssignment, "no brokers");
  ExpectRefused(CreateAssigned({{one}, {one, two}}), Reason::kInvalidReplicaAssignment,
                "every partition needs 1");
  CreateTopic both;
  both.name = "assigned";
  both.partitions = 1;
  both.assignment = {{one}};
  ExpectRefused(node_.Create(both), Reason::kInvalidArgument, "either an assignment");
  const auto topic = CreateAssigned({{two, one}, {one, two}});
  ASSERT_TRUE(topic.ok());
  EXPECT_EQ((*topic)->Partition(PartitionIndex{0})->leader, two);
}

TEST_F(OperationsTest, PartitionsAreOnlyAdded) {
  ASSERT_TRUE(node_.Create("orders", 2).ok());
  const auto fewer = node_.Add({"orders", 2, {}, false});
  ExpectRefused(fewer, Reason::kInvalidPartitions, "adds none");
  EXPECT_EQ(fewer.error().details.at(0),
            std::make_pair(std::string("topic"), std::string("orders")));
  EXPECT_EQ(fewer.error().details.at(1).first, "partition_count");
  ExpectRefused(node_.Add({"orders", -5, {}, false}), Reason::kInvalidPartitions, "adds none");
  ExpectRefused(node_.Add({"other", 3, {}, false}), Reason::kTopicNotFound, "does not exist");
  ExpectRefused(node_.Add({"orders", INT32_MAX, {}, false}), Reason::kInvalidPartitions,
                "more than the 1000");
  ExpectRefused(node_.Add({"orders", 4, {{NodeId{1}}}, false}), Reason::kInvalidReplicaAssignment,
                "is for 1 partitions, and 2 are added");
  const auto topic = node_.Add({"orders", 5, {}, false});
  ASSERT_TRUE(topic.ok());
  EXPECT_EQ((*topic)->partition_count(), 5);
  EXPECT_EQ((*topic)->Partition(PartitionIndex{4})->leader_epoch, LeaderEpoch{0});
}

TEST_F(OperationsTest, ConfigsOfTopicsAreChecked) {
  ExpectRefused(node_.Create("t", 1, {{"retention", "1"}}), Reason::kInvalidConfig,
                "no topic config");
  ExpectRefused(node_.Create("t", 1, {{"retention.ms", "x"}}), Reason::kInvalidConfig,
                "cannot be \"x\"");
  ExpectRefused(node_.Create("t", 1, {{"max.message.bytes", "2000001"}}), Reason::kInvalidConfig,
                "at most 2000000");
  ASSERT_TRUE(node_.Create("orders").ok());
  ExpectRefused(AlterTopic({"retention.ms", ConfigOpKind::kAppend, "1"}), Reason::kInvalidConfig,
                "is no list");
  ExpectRefused(AlterTopic({"nonsense", ConfigOpKind::kDelete, ""}), Reason::kInvalidConfig,
                "no topic config");
  ExpectRefused(node_.Alter({ConfigResourceType::kTopic, "other", {}}), Reason::kTopicNotFound,
                "does not exist");
  ExpectRefused(node_.Alter({ConfigResourceType::kTopic,
                             "orders",
                             {{"segment.ms", ConfigOpKind::kSet, "5"},
                              {"segment.ms", ConfigOpKind::kSet, "6"}}}),
                Reason::kInvalidArgument, "twice");
  EXPECT_TRUE(Configs().empty());
}

TEST_F(OperationsTest, ConfigsAreSetDeletedAppendedAndSubtracted) {
  ASSERT_TRUE(node_.Create("orders").ok());
  ASSERT_TRUE(AlterTopic({"cleanup.policy", ConfigOpKind::kAppend, "compact"}).ok());
  EXPECT_EQ(Configs().at("cleanup.policy"), "delete,compact");
  ASSERT_TRUE(AlterTopic({"cleanup.policy", ConfigOpKind::kSubtract, "delete"}).ok());
  EXPECT_EQ(Configs().at("cleanup.policy"), "compact");
  ASSERT_TRUE(AlterTopic({"cleanup.policy", ConfigOpKind::kDelete, ""}).ok());
  EXPECT_TRUE(Configs().empty());
  const Offset version = node_.image()->version;
  ASSERT_TRUE(AlterTopic({"cleanup.policy", ConfigOpKind::kDelete, ""}).ok());
  EXPECT_EQ(node_.image()->version, version) << "what changes nothing writes nothing";
}

TEST_F(OperationsTest, AnAlterationIsAllOrNothingByItself) {
  ASSERT_TRUE(node_.Create("orders").ok());
  ASSERT_TRUE(node_.Create("other").ok());
  const auto results = node_.Await<std::vector<Result<void>>>([&](auto done) {
    node_.controller().Run(
        AlterConfigs{
            {{ConfigResourceType::kTopic,
              "orders",
              {{"segment.ms", ConfigOpKind::kSet, "5"},
               {"retention.ms", ConfigOpKind::kSet, "bad"}}},
             {ConfigResourceType::kTopic, "other", {{"segment.ms", ConfigOpKind::kSet, "6"}}}}},
        std::move(done));
  });
  ASSERT_EQ(results->size(), 2u);
  EXPECT_FALSE((*results)[0].ok());
  EXPECT_TRUE((*results)[1].ok());
  EXPECT_TRUE(Configs().empty());
  EXPECT_EQ(node_.image()->Topic("other")->configs->at("segment.ms"), "6");
}

TEST_F(OperationsTest, ConfigsOfBrokersAreChecked) {
  const auto alter = [&](const std::string& broker, const std::string& name,
                         const std::string& value) {
    return node_.Alter({ConfigResourceType::kBroker, broker, {{name, ConfigOpKind::kSet, value}}});
  };
  ExpectRefused(alter("x", "log.retention.ms", "1"), Reason::kInvalidArgument, "no broker id");
  ExpectRefused(alter("9", "log.retention.ms", "1"), Reason::kBrokerIdNotRegistered,
                "no broker has the id 9");
  ExpectRefused(alter("", "retention.ms", "1"), Reason::kInvalidConfig,
                "dynamic broker config: the default of all topics is log.retention.ms;");
  ExpectRefused(alter("", "num.partitions", "3"), Reason::kInvalidConfig,
                "dynamic broker config: a topic has 1 partition where its creation says nothing");
  ExpectRefused(alter("", "log.retention.hours", "3"), Reason::kInvalidConfig,
                "in the settings file it is one, here log.retention.ms is");
  ExpectRefused(alter("", "num.io.threads", "4"), Reason::kInvalidConfig, "has no effect");
  ExpectRefused(alter("", "message.max.bytes", "2000001"), Reason::kInvalidConfig,
                "at most 2000000");
  EXPECT_TRUE(alter("", "log.retention.ms", "1").ok());
  EXPECT_TRUE(alter("2", "log.retention.ms", "2").ok());
  EXPECT_EQ((*node_.image()->broker_configs.Find(NodeId{-1}))->at("log.retention.ms"), "1");
  EXPECT_EQ((*node_.image()->broker_configs.Find(NodeId{2}))->at("log.retention.ms"), "2");
}

TEST_F(OperationsTest, WhatIsTheClustersIsNotSetForOneBroker) {
  const auto alter = [&](const std::string& broker, ConfigOp op) {
    return node_.Alter({ConfigResourceType::kBroker, broker, {std::move(op)}});
  };
  for (const char* name : {"min.insync.replicas", "leader.imbalance.check.interval.seconds",
                           "leader.imbalance.per.broker.percentage"}) {
    ExpectRefused(alter("2", {name, ConfigOpKind::kSet, "3"}), Reason::kInvalidConfig,
                  "is the cluster's");
    EXPECT_TRUE(alter("", {name, ConfigOpKind::kSet, "3"}).ok()) << name;
    // One that an earlier version took can go.
    EXPECT_TRUE(alter("2", {name, ConfigOpKind::kDelete, ""}).ok()) << name;
  }
  ExpectRefused(alter("2", {"log.durability", ConfigOpKind::kSet, "replicated"}),
                Reason::kInvalidConfig, "is the cluster's");
  EXPECT_TRUE(alter("", {"log.durability", ConfigOpKind::kSet, "replicated"}).ok());
  for (const char* name : {"unclean.leader.election.enable", "auto.leader.rebalance.enable"}) {
    ExpectRefused(alter("2", {name, ConfigOpKind::kSet, "true"}), Reason::kInvalidConfig,
                  "is the cluster's");
  }
  EXPECT_EQ(node_.image()->broker_configs.Find(NodeId{2}), nullptr);
}

TEST_F(OperationsTest, ADirectoryBelongsToOneBroker) {
  BrokerImage copy = node_.Broker(1);
  copy.id = NodeId{4};
  ExpectRefused(node_.Await<BrokerEpoch>([&](auto done) {
    node_.controller().Run(RegisterBroker{copy}, std::move(done));
  }),
                Reason::kInvalidArgument, "belongs to broker 1 (was it copied?)");
  copy.directories = {DirectoryId{}};
  ExpectRefused(node_.Await<BrokerEpoch>([&](auto done) {
    node_.controller().Run(RegisterBroker{copy}, std::move(done));
  }),
                Reason::kInvalidArgument, "no ids of their own");
}

TEST_F(OperationsTest, TextThatCouldNotBeReadAgainIsRefused) {
  BrokerImage broker = node_.Broker(4);
  broker.rack = "\xff\xfe";
  const auto registered = node_.Await<BrokerEpoch>(
      [&](auto done) { node_.controller().Run(RegisterBroker{broker}, std::move(done)); });
  ExpectRefused(registered, Reason::kInvalidArgument, "not UTF-8");
  broker.rack = "r\xc3\xbc";
  broker.feature_level_min = 0;
  ExpectRefused(node_.Await<BrokerEpoch>([&](auto done) {
    node_.controller().Run(RegisterBroker{broker}, std::move(done));
  }),
                Reason::kInvalidArgument, "supports feature levels 0 to 2");
  EXPECT_TRUE(node_.Create("after").ok());
  node_.Kill();
  EXPECT_TRUE(node_.Open());
}

TEST_F(OperationsTest, ProducerIdsEndBelowThoseOfRequests) {
  ExpectRefused(node_.ProducerIds(0), Reason::kInvalidArgument, "needs a size");
  ASSERT_TRUE(node_.ProducerIds((int64_t{1} << 62) - 10).ok());
  EXPECT_EQ(node_.ProducerIds(10)->count, 10);
  ExpectRefused(node_.ProducerIds(1), Reason::kQuotaExceeded, "no producer ids are left");
}

TEST_F(OperationsTest, AnOperationThatIsTooLargeForOneStepIsRefused) {
  ControllerHarness small(2);
  small.behavior.record_batch_bytes_max = 20'000;
  ASSERT_TRUE(small.Start());
  ExpectRefused(small.Create("wide", 5000), Reason::kBatchTooLarge, "split it");
  EXPECT_TRUE(small.Create("narrow", 50).ok());
}

TEST(Placement, LogDirectoriesThatABrokerNamesNoMoreGetNothing) {
  ControllerHarness node(3);
  node.behavior.broker_sessions.timeout = std::chrono::seconds(6);
  ASSERT_TRUE(node.Open());
  BrokerImage broker = node.Broker(1);
  const DirectoryId first = broker.directories[0];
  const DirectoryId second = node.random().NewUuid<DirectoryId>();
  broker.directories = {first, second};
  const auto registered = [&] {
    return node.Await<BrokerEpoch>(
        [&](auto done) { node.controller().Run(RegisterBroker{broker}, std::move(done)); });
  };
  ASSERT_TRUE(registered().ok());
  ASSERT_TRUE(node.Create("before", 4).ok());
  // Its process goes on: no leader epoch rises.
  broker.directories = {second};
  ASSERT_TRUE(registered().ok());
  EXPECT_EQ(node.image()->Topic("before")->Partition(PartitionIndex{0})->leader_epoch,
            LeaderEpoch{0});
  (*node.Create("after", 4))->partitions.VisitAll([&](PartitionIndex, const PartitionPtr& each) {
    EXPECT_EQ(each->directories[0], second);
  });
  broker.directories.clear();
  ASSERT_TRUE(registered().ok());
  const auto nowhere = node.Create("nowhere");
  EXPECT_EQ(nowhere.error().reason, Reason::kStorageError);
  EXPECT_THAT(nowhere.error().message, HasSubstr("no log directory that takes writes"));
  CreateTopic asked;
  asked.name = "nowhere";
  asked.assignment = {{NodeId{1}}};
  EXPECT_THAT(node.Create(asked).error().message,
              HasSubstr("none of whose log directories takes writes"));
  // Fencing the silent one began a new epoch, and so does another process of it.
  node.scheduler().RunFor(std::chrono::seconds(7));
  broker.incarnation[0] ^= 1;
  broker.directories = {first, second};
  ASSERT_TRUE(registered().ok());
  EXPECT_EQ(node.image()->Topic("before")->Partition(PartitionIndex{0})->leader_epoch,
            LeaderEpoch{2});
}

TEST(Placement, LogDirectoriesOfABrokerAreUsedInTurn) {
  ControllerHarness node(3);
  ASSERT_TRUE(node.Open());
  BrokerImage broker = node.Broker(1);
  broker.directories = {node.random().NewUuid<DirectoryId>(), node.random().NewUuid<DirectoryId>(),
                        node.random().NewUuid<DirectoryId>()};
  ASSERT_TRUE(node.Await<BrokerEpoch>([&](auto done) {
                    node.controller().Run(RegisterBroker{broker}, std::move(done));
                  })
                  .ok());
  std::map<DirectoryId, int> used;
  (*node.Create("spread", 30))->partitions.VisitAll([&](PartitionIndex, const PartitionPtr& each) {
    ++used[each->directories[0]];
  });
  ASSERT_EQ(used.size(), 3u);
  for (const auto& [id, count] : used) EXPECT_EQ(count, 10);
}

}  // namespace
}  // namespace gregor
