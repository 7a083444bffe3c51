#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/operation_codec.h"
#include "tests/controller/cluster_image.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// What leaders and operators ask of partitions, in a cluster of brokers 1 to 5.
class PartitionOperationsTest : public testing::Test {
 protected:
  PartitionOperationsTest() { cluster_.StartAll(5); }

  // As the leader of the partition asks, with the epochs that it knows.
  AlterPartitions AskFor(const std::vector<int32_t>& isr, int32_t index = 0) {
    const PartitionImage& partition = cluster_.Partition("t", index);
    AlterPartitions operation;
    operation.broker = partition.leader;
    operation.broker_epoch = cluster_.image()->Broker(partition.leader)->epoch;
    AlterPartitions::Item item;
    item.topic = cluster_.image()->Topic("t")->id;
    item.partition = partition.index;
    item.leader_epoch = partition.leader_epoch;
    item.partition_epoch = partition.partition_epoch;
    for (const int32_t node : isr) {
      const BrokerImage* const broker = cluster_.image()->Broker(NodeId{node});
      item.isr.push_back({NodeId{node}, broker == nullptr ? BrokerEpoch{-1} : broker->epoch});
    }
    operation.items.push_back(item);
    return operation;
  }
  AlteredPartition Alter(const AlterPartitions& operation) {
    const auto answer = cluster_.Run(operation);
    EXPECT_TRUE(answer.ok()) << answer.error();
    return answer->front();
  }
  AlterOutcome Outcome(const AlterPartitions& operation) { return Alter(operation).outcome; }

  Result<void> Elect(ElectionKind kind, int32_t target = -1, int32_t index = 0) {
    ElectLeaders operation;
    operation.kind = kind;
    operation.target = NodeId{target};
    operation.partitions = {{"t", PartitionIndex{index}}};
    auto answer = cluster_.Run(operation);
    if (!answer.ok()) return std::move(answer).error();
    return answer->front().result;
  }
  Result<void> Reassign(const std::vector<int32_t>& replicas, int32_t index = 0) {
    ReassignPartitions operation;
    operation.items = {{{"t", PartitionIndex{index}}, Nodes(replicas)}};
    return cluster_.Run(operation)->front();
  }
  static void ExpectRefused(const Result<void>& result, Reason reason, const std::string& part) {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().reason, reason) << result.error();
    EXPECT_THAT(result.error().message, HasSubstr(part));
  }

  ClusterImage cluster_;
};

TEST_F(PartitionOperationsTest, ALeaderSaysWhoIsInSync) {
  cluster_.Create("t", {{1, 2, 3}});
  const AlteredPartition shrunk = Alter(AskFor({1, 2}));
  EXPECT_EQ(shrunk.outcome, AlterOutcome::kDone);
  EXPECT_THAT(shrunk.isr, ElementsAre(NodeId{1}, NodeId{2}));
  EXPECT_EQ(shrunk.partition_epoch, PartitionEpoch{1});
  EXPECT_EQ(shrunk.leader_epoch, LeaderEpoch{0});
  EXPECT_EQ(Outcome(AskFor({1, 2, 3})), AlterOutcome::kDone);
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1 2 3");
  // What is so already takes no record.
  EXPECT_EQ(Outcome(AskFor({1, 2, 3})), AlterOutcome::kDone);
  EXPECT_TRUE(cluster_.last_records.empty());
}

TEST_F(PartitionOperationsTest, WhoFallsBehindTooFewStaysEligible) {
  cluster_.Create("t", {{1, 2, 3}}, {{"min.insync.replicas", "2"}});
  EXPECT_EQ(Outcome(AskFor({1})), AlterOutcome::kDone);
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1, eligible 2 3");
  EXPECT_EQ(Outcome(AskFor({1, 3})), AlterOutcome::kDone);
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1 3");
}

TEST_F(PartitionOperationsTest, EpochsTellWhoIsStale) {
  cluster_.Create("t", {{1, 2, 3}});
  AlterPartitions old = AskFor({1, 2});
  AlterPartitions ahead = old;
  ahead.items[0].partition_epoch = PartitionEpoch{7};
  EXPECT_EQ(Outcome(ahead), AlterOutcome::kNotController);
  ahead.items[0].leader_epoch = LeaderEpoch{7};
  EXPECT_EQ(Outcome(ahead), AlterOutcome::kNotController);
  ASSERT_EQ(Outcome(AskFor({1, 2})), AlterOutcome::kDone);
  // The answer says what is so instead.
  const AlteredPartition stale = Alter(old);
  EXPECT_EQ(stale.outcome, AlterOutcome::kStalePartition);
  EXPECT_EQ(stale.partition_epoch, PartitionEpoch{1});
  cluster_.Fence(1);
  cluster_.Unfence(1);
  EXPECT_EQ(Outcome(old), AlterOutcome::kFencedLeaderEpoch);
  AlterPartitions other = AskFor({2});
  other.broker = NodeId{3};
  other.broker_epoch = cluster_.image()->Broker(NodeId{3})->epoch;
  EXPECT_EQ(Outcome(other), AlterOutcome::kInvalidRequest);
}

TEST_F(PartitionOperationsTest, ABrokerThatStartedAgainIsNotTheOneThatAsked) {
  cluster_.Create("t", {{1, 2, 3}});
  const AlterPartitions old = AskFor({1, 2});
  cluster_.Start(cluster_.NewBroker(1), BrokerStart::kClean);
  EXPECT_EQ(cluster_.Run(old).error().reason, Reason::kStaleBrokerEpoch);
  AlterPartitions nobody = old;
  nobody.broker = NodeId{9};
  EXPECT_EQ(cluster_.Run(nobody).error().reason, Reason::kBrokerIdNotRegistered);
}

TEST_F(PartitionOperationsTest, WhatIsGoneIsNotFound) {
  cluster_.Create("t", {{1, 2, 3}});
  AlterPartitions operation = AskFor({1, 2});
  operation.items[0].partition = PartitionIndex{9};
  EXPECT_EQ(Outcome(operation), AlterOutcome::kUnknownPartition);
  operation = AskFor({1, 2});
  ASSERT_TRUE(cluster_.Run(DeleteTopic{{"t", {}}}).ok());
  cluster_.Create("t", {{1, 2, 3}});
  EXPECT_EQ(Outcome(operation), AlterOutcome::kUnknownPartition);
}

TEST_F(PartitionOperationsTest, InSyncAreReplicasOnceEachWithTheLeader) {
  cluster_.Create("t", {{1, 2, 3}});
  EXPECT_EQ(Outcome(AskFor({1, 4})), AlterOutcome::kInvalidRequest);
  EXPECT_EQ(Outcome(AskFor({1, 2, 2})), AlterOutcome::kInvalidRequest);
  EXPECT_EQ(Outcome(AskFor({2, 3})), AlterOutcome::kInvalidRequest);
  AlterPartitions twice = AskFor({1, 2});
  twice.items.push_back(twice.items.front());
  const auto answer = cluster_.Run(twice);
  EXPECT_EQ((*answer)[0].outcome, AlterOutcome::kDone);
  EXPECT_EQ((*answer)[1].outcome, AlterOutcome::kInvalidRequest);
}

TEST_F(PartitionOperationsTest, WhoIsFencedOrStartedAgainDoesNotJoin) {
  cluster_.Create("t", {{1, 2, 3}});
  cluster_.Fence(3);
  EXPECT_EQ(Outcome(AskFor({1, 2, 3})), AlterOutcome::kIneligibleReplica);
  cluster_.Unfence(3);
  // Caught up, stopped uncleanly, and only then the request came.
  const AlterPartitions late = AskFor({1, 2, 3});
  cluster_.Restart(3, BrokerStart::kUnclean);
  EXPECT_EQ(Outcome(late), AlterOutcome::kIneligibleReplica);
  AlterPartitions unknown = late;
  for (auto& member : unknown.items[0].isr) member.epoch = BrokerEpoch{-1};
  EXPECT_EQ(Outcome(unknown), AlterOutcome::kDone);
  cluster_.ShutDown(2);
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1 3");
  EXPECT_EQ(Outcome(AskFor({1, 2, 3})), AlterOutcome::kIneligibleReplica);
}

TEST_F(PartitionOperationsTest, PreferredLeadersLeadWhereTheyAreInSync) {
  cluster_.Create("t", {{1, 2}, {3, 4}});
  ExpectRefused(Elect(ElectionKind::kPreferred), Reason::kElectionNotNeeded, "leads already");
  cluster_.Fence(1);
  cluster_.Unfence(1);
  ExpectRefused(Elect(ElectionKind::kPreferred), Reason::kPreferredLeaderNotAvailable,
                "broker 1 is not in sync");
  ASSERT_EQ(Outcome(AskFor({2, 1})), AlterOutcome::kDone);
  // All partitions: only those in which somebody else leads.
  const auto answer = cluster_.Run(ElectLeaders());
  ASSERT_EQ(answer->size(), 1u);
  EXPECT_EQ(answer->front().partition, (PartitionKey{"t", PartitionIndex{0}}));
  EXPECT_TRUE(answer->front().result.ok());
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 2 1");
}

TEST_F(PartitionOperationsTest, LeadershipIsTransferredToWhoIsInSync) {
  cluster_.Create("t", {{1, 2, 3}});
  EXPECT_TRUE(Elect(ElectionKind::kTransfer, 3).ok());
  EXPECT_EQ(cluster_.Show("t"), "leader 3, isr 1 2 3");
  EXPECT_EQ(cluster_.Partition("t").leader_epoch, LeaderEpoch{1});
  ExpectRefused(Elect(ElectionKind::kTransfer, 4), Reason::kEligibleLeadersNotAvailable,
                "broker 4 is not in sync");
  ExpectRefused(Elect(ElectionKind::kTransfer, 9), Reason::kBrokerIdNotRegistered, "id 9");
  ElectLeaders all;
  all.kind = ElectionKind::kTransfer;
  EXPECT_EQ(cluster_.Run(all).error().reason, Reason::kInvalidArgument);
  ExpectRefused(Elect(ElectionKind::kTransfer, 1, 7), Reason::kPartitionNotFound, "partition 7");
}

TEST_F(PartitionOperationsTest, AnUncleanElectionIsOneThatWasAskedFor) {
  cluster_.Create("t", {{1, 2, 3}});
  ExpectRefused(Elect(ElectionKind::kUnclean), Reason::kElectionNotNeeded, "has a leader");
  for (const int32_t node : {2, 3, 1}) cluster_.Fence(node);
  ExpectRefused(Elect(ElectionKind::kUnclean), Reason::kEligibleLeadersNotAvailable,
                "on a running broker");
  cluster_.Unfence(2);
  EXPECT_EQ(cluster_.Show("t"), "leader -1, eligible 1");
  EXPECT_TRUE(Elect(ElectionKind::kUnclean).ok());
  EXPECT_EQ(cluster_.Show("t"), "leader 2, isr 2, recovering");
  // Until it has taken its log as it is, nobody follows it.
  AlterPartitions operation = AskFor({2});
  operation.items[0].recovering = true;
  EXPECT_EQ(Outcome(operation), AlterOutcome::kDone);
  cluster_.Unfence(3);
  operation = AskFor({2, 3});
  operation.items[0].recovering = true;
  EXPECT_EQ(Outcome(operation), AlterOutcome::kInvalidRequest);
  EXPECT_EQ(Outcome(AskFor({2})), AlterOutcome::kDone);
  EXPECT_EQ(cluster_.Show("t"), "leader 2, isr 2");
  operation = AskFor({2});
  operation.items[0].recovering = true;
  EXPECT_EQ(Outcome(operation), AlterOutcome::kInvalidRequest);
}

TEST_F(PartitionOperationsTest, ATopicMayAllowUncleanElections) {
  cluster_.Create("t", {{1, 2}});
  cluster_.Fence(2);
  cluster_.Fence(1);
  cluster_.Unfence(2);
  EXPECT_EQ(cluster_.Show("t"), "leader -1, eligible 1");
  const auto set = [&](const std::string& name, const std::string& value) {
    AlterConfigs operation;
    operation.alterations = {
        {ConfigResourceType::kTopic, "t", {{name, ConfigOpKind::kSet, value}}}};
    EXPECT_TRUE(cluster_.Run(operation)->front().ok());
  };
  set("unclean.leader.election.enable", "true");
  EXPECT_EQ(cluster_.Show("t"), "leader 2, isr 2, recovering");
  // From here on it happens by itself.
  cluster_.Fence(2);
  cluster_.Unfence(1);
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1, recovering");
}

TEST_F(PartitionOperationsTest, UncleanElectionsAreTriedAgainByTheClock) {
  cluster_.Create("t", {{1, 2}, {1, 2}});
  cluster_.Create("never", {{1, 2}}, {{"unclean.leader.election.enable", "false"}});
  for (const int32_t node : {2, 1}) cluster_.Fence(node);
  cluster_.Unfence(2);
  std::vector<pb::MetadataRecord> records;
  PlanUncleanElections(*cluster_.image(), {}, 10, records);
  EXPECT_TRUE(records.empty());
  const ConfigMap allowed = {{"unclean.leader.election.enable", "true"}};
  PlanUncleanElections(*cluster_.image(), allowed, 1, records);
  EXPECT_EQ(records.size(), 1u);
  records.clear();
  PlanUncleanElections(*cluster_.image(), allowed, 10, records);
  cluster_.Commit(records);
  EXPECT_EQ(cluster_.Show("t", 1), "leader 2, isr 2, recovering");
  EXPECT_EQ(cluster_.Show("never"), "leader -1, eligible 1");
}

TEST_F(PartitionOperationsTest, WithFewerNeededForACommitNobodyElseIsEligible) {
  cluster_.Create("t", {{1, 2}}, {{"min.insync.replicas", "2"}});
  cluster_.Fence(2);
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1, eligible 2");
  AlterConfigs operation;
  operation.alterations = {
      {ConfigResourceType::kTopic, "t", {{"min.insync.replicas", ConfigOpKind::kDelete, ""}}}};
  EXPECT_TRUE(cluster_.Run(operation)->front().ok());
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1");
}

TEST_F(PartitionOperationsTest, LeadersAreBalancedByTheClock) {
  cluster_.Create("t", {{1, 2}, {1, 2}, {3, 4}});
  for (const int32_t index : {0, 1}) EXPECT_TRUE(Elect(ElectionKind::kTransfer, 2, index).ok());
  std::vector<pb::MetadataRecord> records;
  PlanLeaderBalance(*cluster_.image(), {}, 10, 1, records);
  EXPECT_EQ(records.size(), 1u);
  records.clear();
  PlanLeaderBalance(*cluster_.image(), {}, 10, 10, records);
  cluster_.Commit(records);
  for (const int32_t index : {0, 1}) EXPECT_EQ(cluster_.Show("t", index), "leader 1, isr 1 2");
}

TEST_F(PartitionOperationsTest, AReassignmentIsDoneOnceTheNewReplicasAreInSync) {
  cluster_.Create("t", {{1, 2}});
  ASSERT_TRUE(Reassign({3, 4}).ok());
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1 2, adding 3 4, removing 1 2");
  EXPECT_EQ(Outcome(AskFor({1, 2, 3})), AlterOutcome::kDone);
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1 2 3, adding 3 4, removing 1 2");
  // With the last one the old ones go, and with them the leader that asked.
  const AlteredPartition last = Alter(AskFor({1, 2, 3, 4}));
  EXPECT_EQ(last.outcome, AlterOutcome::kNewLeaderElected);
  EXPECT_EQ(last.leader, NodeId{3});
  EXPECT_EQ(cluster_.Show("t"), "leader 3, isr 3 4");
  const PartitionImage& partition = cluster_.Partition("t");
  EXPECT_EQ(partition.replicas, (SharedList<NodeId>{NodeId{3}, NodeId{4}}));
  EXPECT_EQ(partition.directories[0].bytes[0], 3);
  EXPECT_EQ(partition.directories[1].bytes[0], 4);
}

TEST_F(PartitionOperationsTest, WhoOnlyLosesReplicasGetsALeaderEpoch) {
  cluster_.Create("t", {{1, 2, 3}});
  ASSERT_TRUE(Reassign({1, 2}).ok());
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1 2");
  // The replica that has gone must not go on following.
  EXPECT_EQ(cluster_.Partition("t").leader_epoch, LeaderEpoch{1});
  ASSERT_TRUE(Reassign({2, 1}).ok());
  EXPECT_EQ(cluster_.Partition("t").replicas, (SharedList<NodeId>{NodeId{2}, NodeId{1}}));
  EXPECT_EQ(cluster_.Partition("t").leader_epoch, LeaderEpoch{1});
}

TEST_F(PartitionOperationsTest, AReassignmentIsReplacedOrCancelled) {
  cluster_.Create("t", {{1, 2}});
  ExpectRefused(Reassign({}), Reason::kNoReassignmentInProgress, "no reassignment");
  ASSERT_TRUE(Reassign({3, 4}).ok());
  ASSERT_EQ(Outcome(AskFor({1, 2, 3})), AlterOutcome::kDone);
  ASSERT_TRUE(Reassign({2, 5}).ok());
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1 2, adding 5, removing 1");
  ASSERT_TRUE(Reassign({}).ok());
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1 2");
  EXPECT_EQ(cluster_.Partition("t").replicas, (SharedList<NodeId>{NodeId{2}, NodeId{1}}));
}

TEST_F(PartitionOperationsTest, WhatIsCommittedDoesNotGoWithAReassignment) {
  cluster_.Create("t", {{1, 2}}, {{"min.insync.replicas", "2"}});
  ASSERT_TRUE(Reassign({3, 4}).ok());
  ASSERT_EQ(Outcome(AskFor({1, 2, 3})), AlterOutcome::kDone);
  cluster_.Fence(2);
  EXPECT_EQ(cluster_.Show("t"), "leader 1, isr 1 3, adding 3 4, removing 1 2");
  ExpectRefused(Reassign({}), Reason::kInvalidReplicaAssignment, "1 would be in sync");
  // Enough of those that stay have to be in sync before others go.
  cluster_.Unfence(2);
  cluster_.Create("u", {{1, 2, 3}}, {{"min.insync.replicas", "2"}});
  cluster_.Fence(3);
  ReassignPartitions shrink;
  shrink.items = {{{"u", PartitionIndex{0}}, Nodes({2, 3})}};
  ASSERT_TRUE(cluster_.Run(shrink)->front().ok());
  EXPECT_EQ(cluster_.Show("u"), "leader 1, isr 1 2, removing 1");
}

TEST_F(PartitionOperationsTest, TargetsAreRunningBrokersOnceEach) {
  cluster_.Create("t", {{1, 2}});
  ExpectRefused(Reassign({3, 3}), Reason::kInvalidReplicaAssignment, "twice");
  ExpectRefused(Reassign({9}), Reason::kInvalidReplicaAssignment, "not running");
  cluster_.Fence(3);
  ExpectRefused(Reassign({3}), Reason::kInvalidReplicaAssignment, "not running");
  // Those that hold it already may be away.
  cluster_.Fence(2);
  EXPECT_TRUE(Reassign({2, 1, 4}).ok());
  ReassignPartitions twice;
  twice.items = {{{"t", PartitionIndex{0}}, Nodes({1})}, {{"t", PartitionIndex{0}}, Nodes({1})}};
  EXPECT_EQ((*cluster_.Run(twice))[1].error().reason, Reason::kInvalidArgument);
  ReassignPartitions shown;
  shown.items = {{{"t", PartitionIndex{0}}, Nodes({1, 5})}};
  shown.validate_only = true;
  const std::string before = cluster_.Show("t");
  EXPECT_TRUE(cluster_.Run(shown)->front().ok());
  EXPECT_EQ(cluster_.Show("t"), before);
}

// To another node and back.
template <typename Op>
Op Sent(const Op& operation) {
  pb::OperationRequest request;
  EXPECT_TRUE(EncodeOperation(operation, request).ok());
  const auto decoded = DecodeOperation(request);
  EXPECT_TRUE(decoded.ok()) << decoded.error();
  return std::get<Op>(*decoded);
}
template <typename Op>
typename Op::Answer Answered(const Op& operation, const typename Op::Answer& answer) {
  pb::OperationResponse response;
  EncodeAnswer(OperationAnswer(answer), response);
  const auto decoded = DecodeAnswer(operation, response, MetadataImage());
  EXPECT_TRUE(decoded.ok()) << decoded.error();
  return std::get<typename Op::Answer>(*decoded);
}

TEST_F(PartitionOperationsTest, OperationsAndAnswersComeToOtherNodesAsTheyAre) {
  cluster_.Create("t", {{1, 2, 3}});
  const AlterPartitions alter = AskFor({1, 2});
  const AlterPartitions sent = Sent(alter);
  EXPECT_EQ(sent.broker, alter.broker);
  EXPECT_EQ(sent.broker_epoch, alter.broker_epoch);
  EXPECT_EQ(sent.items, alter.items);
  AlteredPartition altered = Alter(alter);
  altered.outcome = AlterOutcome::kIneligibleReplica;
  altered.message = "why";
  EXPECT_THAT(Answered(alter, {altered}), ElementsAre(altered));
  ElectLeaders elect;
  elect.kind = ElectionKind::kTransfer;
  elect.target = NodeId{3};
  elect.partitions = {{"t", PartitionIndex{7}}};
  EXPECT_EQ(Sent(elect).kind, elect.kind);
  EXPECT_EQ(Sent(elect).target, elect.target);
  EXPECT_EQ(Sent(elect).partitions, elect.partitions);
  const auto elected =
      Answered(elect, {{elect.partitions[0], Error(Reason::kElectionNotNeeded, "it leads")}});
  EXPECT_EQ(elected[0].partition, elect.partitions[0]);
  EXPECT_EQ(elected[0].result.error().message, "it leads");
  ReassignPartitions move;
  move.items = {{{"t", PartitionIndex{7}}, Nodes({1, 5})}};
  move.validate_only = true;
  EXPECT_EQ(Sent(move).items[0].replicas, move.items[0].replicas);
  EXPECT_EQ(Sent(move).items[0].partition, move.items[0].partition);
  EXPECT_TRUE(Sent(move).validate_only);
  EXPECT_TRUE(Answered(move, {Result<void>()})[0].ok());
}

}  // namespace
}  // namespace gregor
