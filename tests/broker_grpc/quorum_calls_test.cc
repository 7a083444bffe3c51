// ClusterService: the calls about the metadata quorum.
#include <optional>
#include <string>
#include <vector>

#include "gregor/v1/cluster.grpc.pb.h"
#include "tests/broker_grpc/control_harness.h"

namespace gregor {
namespace {

// A quorum that says what a test wants, and keeps what it was asked.
class FakeQuorum final : public QuorumApi {
 public:
  DescribedQuorum quorum;
  std::optional<Error> refusal;
  std::vector<ChangeVoter> added, removed;
  std::vector<std::optional<NodeId>> transferred;

  NodeId leader() const override { return quorum.leader; }
  void Describe(Done<DescribedQuorum> done, const OperationContext&) override { done(quorum); }
  void AddVoter(ChangeVoter change, Done<void> done, const OperationContext&) override {
    added.push_back(std::move(change));
    Answer(std::move(done));
  }
  void RemoveVoter(ChangeVoter change, Done<void> done, const OperationContext&) override {
    removed.push_back(std::move(change));
    Answer(std::move(done));
  }
  void Transfer(std::optional<NodeId> to, Done<NodeId> done, const OperationContext&) override {
    transferred.push_back(to);
    if (refusal.has_value()) return done(*refusal);
    done(to.value_or(NodeId{9}));
  }

 private:
  void Answer(Done<void> done) {
    done(refusal.has_value() ? Result<void>(*refusal) : Result<void>());
  }
};

class QuorumCallsTest : public ControlTest {
 protected:
  QuorumCallsTest() {
    GrpcServer::Options options;
    options.quorum = &quorum_;
    StartServer(options);
    stub_ = v1::ClusterService::NewStub(channel_);
  }
  ~QuorumCallsTest() override { StopServer(); }

  static std::string Directory(char fill) { return std::string(16, fill); }

  FakeQuorum quorum_;
  std::unique_ptr<v1::ClusterService::Stub> stub_;
};

TEST_F(QuorumCallsTest, TheQuorumIsDescribedAsTheLeaderKnowsIt) {
  quorum_.quorum.leader = NodeId{2};
  quorum_.quorum.term = 7;
  quorum_.quorum.commit = Offset{90};
  quorum_.quorum.end = Offset{100};
  DescribedMember voter;
  voter.node = NodeId{2};
  voter.directory.bytes.fill('d');
  voter.endpoint = Endpoint{"host", 9093};
  voter.match = Offset{95};
  voter.heard_ago = std::chrono::milliseconds(30);
  voter.caught_up_ago = std::chrono::seconds(1);
  DescribedMember observer;
  observer.node = NodeId{11};
  quorum_.quorum.voters = {voter};
  quorum_.quorum.observers = {observer};
  v1::DescribeQuorumResponse response;
  ASSERT_TRUE(stub_->DescribeQuorum(NewContext().get(), {}, &response).ok());
  EXPECT_EQ(response.leader_id(), 2);
  EXPECT_EQ(response.term(), 7);
  EXPECT_EQ(response.commit_index(), 90);
  EXPECT_EQ(response.end_index(), 100);
  ASSERT_EQ(response.voters_size(), 1);
  EXPECT_EQ(response.voters(0).directory_id(), Directory('d'));
  EXPECT_EQ(response.voters(0).endpoint().host(), "host");
  EXPECT_EQ(response.voters(0).endpoint().port(), 9093);
  EXPECT_EQ(response.voters(0).match_index(), 95);
  EXPECT_EQ(response.voters(0).last_contact_ms_ago(), 30);
  EXPECT_EQ(response.voters(0).last_caught_up_ms_ago(), 1000);
  ASSERT_EQ(response.learners_size(), 1);
  EXPECT_EQ(response.learners(0).broker_id(), 11);
  EXPECT_FALSE(response.learners(0).has_endpoint());
  EXPECT_EQ(response.learners(0).match_index(), -1);
  EXPECT_EQ(response.learners(0).last_contact_ms_ago(), -1);
  v1::DescribeQuorumRequest of_partition;
  of_partition.mutable_partition()->set_topic("orders");
  EXPECT_EQ(ReasonOf(stub_->DescribeQuorum(NewContext().get(), of_partition, &response)),
            Reason::kInvalidArgument);
}

TEST_F(QuorumCallsTest, TheActiveControllerIsTheQuorumsLeader) {
  for (const int32_t leader : {5, -1}) {
    quorum_.quorum.leader = NodeId{leader};
    v1::DescribeClusterResponse cluster;
    ASSERT_TRUE(stub_->DescribeCluster(NewContext().get(), {}, &cluster).ok());
    EXPECT_EQ(cluster.controller_id(), leader);
    v1::GetMetadataResponse metadata;
    ASSERT_TRUE(stub_->GetMetadata(NewContext().get(), {}, &metadata).ok());
    EXPECT_EQ(metadata.controller_id(), leader);
  }
}

TEST_F(QuorumCallsTest, VotersAreAddedAndRemovedAsAsked) {
  v1::AddVoterRequest add;
  v1::AddVoterResponse added;
  add.set_node_id(4);
  ASSERT_TRUE(stub_->AddVoter(NewContext().get(), add, &added).ok());
  EXPECT_EQ(quorum_.added.back().node, NodeId{4});
  EXPECT_EQ(quorum_.added.back().directory, DirectoryId{});
  EXPECT_FALSE(quorum_.added.back().endpoint.has_value());
  add.set_directory_id(Directory('x'));
  add.mutable_endpoint()->set_host("h");
  add.mutable_endpoint()->set_port(9093);
  ASSERT_TRUE(stub_->AddVoter(NewContext().get(), add, &added).ok());
  EXPECT_EQ(quorum_.added.back().directory.bytes[15], 'x');
  EXPECT_EQ(quorum_.added.back().endpoint, (Endpoint{"h", 9093}));
  v1::RemoveVoterRequest remove;
  v1::RemoveVoterResponse removed;
  remove.set_node_id(4);
  remove.set_directory_id(Directory('x'));
  ASSERT_TRUE(stub_->RemoveVoter(NewContext().get(), remove, &removed).ok());
  EXPECT_EQ(quorum_.removed.back().directory.bytes[0], 'x');
  v1::TransferQuorumLeadershipRequest transfer;
  v1::TransferQuorumLeadershipResponse transferred;
  ASSERT_TRUE(stub_->TransferQuorumLeadership(NewContext().get(), transfer, &transferred).ok());
  EXPECT_EQ(transferred.leader_id(), 9);
  transfer.set_node_id(0);
  ASSERT_TRUE(stub_->TransferQuorumLeadership(NewContext().get(), transfer, &transferred).ok());
  EXPECT_EQ(quorum_.transferred.back(), NodeId{0});
}

TEST_F(QuorumCallsTest, WhatMakesNoSenseIsRefusedBeforeTheQuorumIsAsked) {
  v1::AddVoterResponse added;
  v1::AddVoterRequest add;
  add.set_node_id(-1);
  EXPECT_EQ(ReasonOf(stub_->AddVoter(NewContext().get(), add, &added)), Reason::kInvalidArgument);
  add.set_node_id(1);
  add.set_directory_id("short");
  EXPECT_EQ(ReasonOf(stub_->AddVoter(NewContext().get(), add, &added)), Reason::kInvalidArgument);
  add.clear_directory_id();
  add.mutable_endpoint()->set_host("h");
  EXPECT_EQ(ReasonOf(stub_->AddVoter(NewContext().get(), add, &added)), Reason::kInvalidArgument);
  EXPECT_TRUE(quorum_.added.empty());
  quorum_.refusal =
      Error(Reason::kVoterNotFound, "node 4 is no voter").With("outcome", "NOT_APPLIED");
  v1::RemoveVoterRequest remove;
  remove.set_node_id(4);
  v1::RemoveVoterResponse removed;
  const auto context = NewContext();
  const grpc::Status status = stub_->RemoveVoter(context.get(), remove, &removed);
  EXPECT_EQ(ReasonOf(status), Reason::kVoterNotFound);
  EXPECT_EQ(Trailer(*context, "x-gregor-outcome"), "NOT_APPLIED");
}

}  // namespace
}  // namespace gregor
