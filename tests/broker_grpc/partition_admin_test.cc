#include <vector>

#include "gregor/v1/cluster.grpc.pb.h"
#include "tests/broker_grpc/control_harness.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class PartitionAdminTest : public ControlTest {
 protected:
  void SetUp() override {
    StartServer();
    stub_ = v1::ClusterService::NewStub(channel_);
  }
  grpc::Status Elect() {
    const auto context = NewContext();
    return stub_->ElectLeaders(context.get(), elect_, &elected_);
  }
  grpc::Status Reassign() {
    const auto context = NewContext();
    return stub_->ReassignPartitions(context.get(), reassign_, &reassigned_);
  }
  grpc::Status List() {
    const auto context = NewContext();
    return stub_->ListReassignments(context.get(), list_, &listed_);
  }
  // Moves a partition from broker 1 to broker 2.
  void Move(const std::string& topic, int32_t index) {
    auto partition = std::make_shared<PartitionImage>(
        *broker_.image()->Topic(topic)->Partition(PartitionIndex{index}));
    partition->replicas = {NodeId{2}, NodeId{1}};
    partition->adding = {NodeId{2}};
    partition->removing = {NodeId{1}};
    broker_.SetPartition(topic, partition);
  }

  std::unique_ptr<v1::ClusterService::Stub> stub_;
  v1::ElectLeadersRequest elect_;
  v1::ElectLeadersResponse elected_;
  v1::ReassignPartitionsRequest reassign_;
  v1::ReassignPartitionsResponse reassigned_;
  v1::ListReassignmentsRequest list_;
  v1::ListReassignmentsResponse listed_;
};

TEST_F(PartitionAdminTest, ElectionsComeToTheControllerAndBack) {
  elect_.set_type(v1::ELECTION_TYPE_TRANSFER);
  elect_.set_target_broker_id(3);
  elect_.add_partitions()->set_topic("orders");
  elect_.mutable_partitions(0)->set_partition(7);
  broker_.elected = {{{"orders", PartitionIndex{7}}, Error(Reason::kElectionNotNeeded, "leads")}};
  ASSERT_TRUE(Elect().ok());
  ASSERT_EQ(broker_.elections.size(), 1u);
  EXPECT_EQ(broker_.elections[0].kind, ElectionKind::kTransfer);
  EXPECT_EQ(broker_.elections[0].target, NodeId{3});
  EXPECT_THAT(broker_.elections[0].partitions,
              ElementsAre(PartitionKey{"orders", PartitionIndex{7}}));
  ASSERT_EQ(elected_.results_size(), 1);
  EXPECT_EQ(elected_.results(0).partition().partition(), 7);
  EXPECT_EQ(ErrorOfStatus(elected_.results(0).status()).reason, Reason::kElectionNotNeeded);
}

TEST_F(PartitionAdminTest, ElectionsArePreferredUnlessSaidOtherwise) {
  ASSERT_TRUE(Elect().ok());
  EXPECT_EQ(broker_.elections[0].kind, ElectionKind::kPreferred);
  EXPECT_THAT(broker_.elections[0].partitions, IsEmpty());
  elect_.set_type(v1::ELECTION_TYPE_UNCLEAN);
  ASSERT_TRUE(Elect().ok());
  EXPECT_EQ(broker_.elections[1].kind, ElectionKind::kUnclean);
  elect_.set_type(static_cast<v1::ElectionType>(9));
  EXPECT_EQ(ReasonOf(Elect()), Reason::kInvalidArgument);
  elect_.clear_type();
  for (int i = 0; i < 1001; ++i) elect_.add_partitions();
  EXPECT_EQ(ReasonOf(Elect()), Reason::kInvalidArgument);
}

TEST_F(PartitionAdminTest, ADrainTellsWhatStaysAndWhatMoved) {
  v1::DrainBrokerRequest request;
  v1::DrainBrokerResponse response;
  request.set_broker_id(3);
  broker_.elected = {{{"orders", PartitionIndex{0}}, Result<void>(), NodeId{1}},
                     {{"orders", PartitionIndex{1}},
                      Error(Reason::kEligibleLeadersNotAvailable, "why"),
                      NodeId{3}},
                     {{"orders", PartitionIndex{2}}, Result<void>(), NodeId{2}}};
  ASSERT_TRUE(stub_->DrainBroker(NewContext().get(), request, &response).ok());
  EXPECT_EQ(broker_.drains.back().broker, NodeId{3});
  EXPECT_FALSE(broker_.drains.back().undo);
  EXPECT_EQ(response.moved(), 2);
  EXPECT_EQ(response.kept(), 1);
  ASSERT_EQ(response.partitions_size(), 3);
  EXPECT_EQ(response.partitions(0).partition().partition(), 1);
  EXPECT_EQ(response.partitions(0).leader_id(), 3);
  EXPECT_EQ(ErrorOfStatus(response.partitions(0).status()).reason,
            Reason::kEligibleLeadersNotAvailable);
  EXPECT_EQ(response.partitions(1).leader_id(), 1);
  EXPECT_EQ(response.partitions(1).status().code(), 0);
  EXPECT_EQ(response.partitions(2).leader_id(), 2);
  // A broker may have led very many.
  broker_.elected.assign(6000, {{"orders", PartitionIndex{0}}, Result<void>(), NodeId{1}});
  ASSERT_TRUE(stub_->DrainBroker(NewContext().get(), request, &response).ok());
  EXPECT_EQ(response.moved(), 6000);
  EXPECT_EQ(response.partitions_size(), 5000);
  request.set_cancel(true);
  broker_.elected = {};
  ASSERT_TRUE(stub_->DrainBroker(NewContext().get(), request, &response).ok());
  EXPECT_TRUE(broker_.drains.back().undo);
  broker_.error = Error(Reason::kBrokerIdNotRegistered, "broker 3 is not registered");
  EXPECT_EQ(ReasonOf(stub_->DrainBroker(NewContext().get(), request, &response)),
            Reason::kBrokerIdNotRegistered);
}

TEST_F(PartitionAdminTest, ReassignmentsAreAcceptedOneByOne) {
  for (int32_t i = 0; i < 2; ++i) {
    auto& item = *reassign_.add_reassignments();
    item.mutable_partition()->set_topic("orders");
    item.mutable_partition()->set_partition(i);
    for (int32_t broker = 1; broker <= i; ++broker) item.add_replicas(broker);
  }
  reassign_.set_validate_only(true);
  broker_.altered = {Error(Reason::kInvalidArgument, "nothing runs"), Result<void>()};
  ASSERT_TRUE(Reassign().ok());
  EXPECT_TRUE(broker_.reassignments[0].validate_only);
  EXPECT_THAT(broker_.reassignments[0].items[0].replicas, IsEmpty());
  EXPECT_THAT(broker_.reassignments[0].items[1].replicas, ElementsAre(NodeId{1}));
  ASSERT_EQ(reassigned_.results_size(), 2);
  EXPECT_EQ(ErrorOfStatus(reassigned_.results(0)).reason, Reason::kInvalidArgument);
  EXPECT_EQ(reassigned_.results(1).code(), 0);
  broker_.error = Error(Reason::kNotController, "no leader");
  EXPECT_EQ(ReasonOf(Reassign()), Reason::kNotController);
}

TEST_F(PartitionAdminTest, RunningReassignmentsAreListedInPages) {
  broker_.AddTopic("a", 4);
  broker_.AddTopic("b", 2);
  ASSERT_TRUE(List().ok());
  EXPECT_EQ(listed_.reassignments_size(), 0);
  for (const int32_t index : {1, 3}) Move("a", index);
  Move("b", 0);
  std::vector<std::string> seen;
  list_.mutable_page()->set_page_size(2);
  do {
    ASSERT_TRUE(List().ok());
    for (const auto& each : listed_.reassignments()) {
      seen.push_back(each.partition().topic() + std::to_string(each.partition().partition()));
      EXPECT_THAT(each.replicas(), ElementsAre(2, 1));
      EXPECT_THAT(each.adding(), ElementsAre(2));
      EXPECT_THAT(each.removing(), ElementsAre(1));
    }
    list_.mutable_page()->set_page_token(listed_.next_page_token());
  } while (!listed_.next_page_token().empty());
  EXPECT_THAT(seen, ElementsAre("a1", "a3", "b0"));
  // Only those that are named.
  list_.Clear();
  list_.add_partitions()->set_topic("a");
  list_.mutable_partitions(0)->set_partition(3);
  list_.add_partitions()->set_topic("none");
  ASSERT_TRUE(List().ok());
  ASSERT_EQ(listed_.reassignments_size(), 1);
  EXPECT_EQ(listed_.reassignments(0).partition().partition(), 3);
}

}  // namespace
}  // namespace gregor
