#include <algorithm>
#include <map>
#include <set>

#include "controller/image/records.h"
#include "gregor/v1/cluster.grpc.pb.h"
#include "tests/broker_grpc/control_harness.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ClusterServiceTest : public ControlTest {
 protected:
  void SetUp() override {
    StartServer();
    stub_ = v1::ClusterService::NewStub(channel_);
  }
  grpc::Status GetMetadata() {
    const auto context = NewContext();
    return stub_->GetMetadata(context.get(), request_, &response_);
  }
  grpc::Status DescribeLogDirs() {
    const auto context = NewContext();
    return stub_->DescribeLogDirs(context.get(), dirs_request_, &dirs_);
  }

  std::unique_ptr<v1::ClusterService::Stub> stub_;
  v1::GetMetadataRequest request_;
  v1::GetMetadataResponse response_;
  v1::DescribeLogDirsRequest dirs_request_;
  v1::DescribeLogDirsResponse dirs_;
};

TEST_F(ClusterServiceTest, TellsBrokersAndTheTopicsAskedFor) {
  broker_.AddBroker(2, /*fenced=*/true);
  broker_.AddTopic("orders", 2);
  broker_.AddTopic("other", 1);
  request_.add_topics("orders");
  request_.add_topics("none");
  ASSERT_TRUE(GetMetadata().ok());
  EXPECT_EQ(response_.cluster_id(), broker_.image()->cluster_id.ToString());
  EXPECT_EQ(response_.controller_id(), 1);
  EXPECT_EQ(response_.metadata_version(), broker_.image()->version.value);
  EXPECT_GT(response_.capabilities_size(), 0);
  // Clients have nothing to ask of one that is fenced.
  ASSERT_EQ(response_.brokers_size(), 1);
  const v1::Broker& self = response_.brokers(0);
  EXPECT_EQ(self.broker_id(), 1);
  EXPECT_EQ(self.endpoint().host(), "127.0.0.1");
  EXPECT_EQ(self.endpoint().port(), 9094);
  EXPECT_EQ(self.rack(), "a");
  EXPECT_EQ(self.version(), "0.1.0");
  // It listens everywhere: the client knows a name of it, the broker none.
  EXPECT_EQ(self.listeners().at("http").host(), "");
  EXPECT_EQ(self.listeners().at("http").port(), 9095);
  ASSERT_EQ(response_.topics_size(), 2);
  EXPECT_EQ(response_.topics(0).topic(), "orders");
  EXPECT_EQ(response_.topics(0).partitions_size(), 2);
  EXPECT_EQ(ErrorOfStatus(response_.topics(1).error()).reason, Reason::kTopicNotFound);
}

TEST_F(ClusterServiceTest, APartitionWithoutLeaderAndAReplicaThatIsGoneAreSaid) {
  broker_.AddTopic("orders", 1);
  auto partition = std::make_shared<PartitionImage>(*FakeBroker::MakePartition(0, -1, 6));
  partition->replicas = {NodeId{1}, NodeId{2}, NodeId{3}, NodeId{4}};
  // Broker 4 does not have the last one any more.
  DirectoryId lost;
  lost.bytes[0] = 1;
  partition->directories = {DirectoryId{}, DirectoryId{}, DirectoryId{}, lost};
  partition->isr = {};
  partition->eligible = {NodeId{2}, NodeId{3}};
  partition->recovering = true;
  broker_.AddBroker(2, /*fenced=*/true);
  broker_.AddBroker(4, /*fenced=*/false);
  broker_.SetPartition("orders", partition);
  request_.add_topics("orders");
  ASSERT_TRUE(GetMetadata().ok());
  const auto& told = response_.topics(0).partitions(0);
  EXPECT_FALSE(told.has_leader_id());
  EXPECT_EQ(told.leader_epoch(), 6);
  EXPECT_THAT(told.replicas(), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(told.in_sync(), IsEmpty());
  EXPECT_THAT(told.offline(), ElementsAre(2, 3, 4));
  EXPECT_THAT(told.eligible(), ElementsAre(2, 3));
  // Of what the broker itself cannot serve only it knows.
  broker_.offline = {NodeId{1}, {{broker_.image()->Topic("orders")->id, PartitionIndex{0}}}, {}};
  ASSERT_TRUE(GetMetadata().ok());
  EXPECT_THAT(response_.topics(0).partitions(0).offline(), ElementsAre(1, 2, 3, 4));
  const std::set<DirectoryId> others_work = {lost};
  broker_.offline = {NodeId{1}, {}, others_work};
  ASSERT_TRUE(GetMetadata().ok());
  EXPECT_THAT(response_.topics(0).partitions(0).offline(), ElementsAre(1, 2, 3, 4));
  EXPECT_TRUE(told.recovering());
}

TEST_F(ClusterServiceTest, PagesOverThePartitionsOfManyTopics) {
  const std::vector<std::pair<std::string, int32_t>> topics = {
      {"a", 3}, {"b", 12'000}, {"c", 1}, {"d", 4'999}, {"e", 2}};
  for (const auto& [name, partitions] : topics) {
    broker_.AddTopic(name, partitions);
    request_.add_topics(name);
  }
  request_.add_topics("none");
  std::map<std::string, std::set<int32_t>> seen;
  int pages = 0;
  bool missing = false;
  do {
    ASSERT_TRUE(GetMetadata().ok());
    ++pages;
    EXPECT_LE(response_.ByteSizeLong(), 1'100'000u);
    int partitions = 0;
    for (const auto& topic : response_.topics()) {
      missing |= topic.has_error();
      partitions += topic.partitions_size();
      for (const auto& each : topic.partitions())
        EXPECT_TRUE(seen[topic.topic()].insert(each.partition()).second);
    }
    EXPECT_LE(partitions, 5000);
    request_.mutable_page()->set_page_token(response_.next_page_token());
  } while (!request_.page().page_token().empty());
  EXPECT_EQ(pages, 4);
  EXPECT_TRUE(missing);
  for (const auto& [name, partitions] : topics)
    EXPECT_EQ(seen[name].size(), static_cast<size_t>(partitions)) << name;
}

TEST_F(ClusterServiceTest, AThousandMissingTopicsArePagedToo) {
  for (int i = 0; i < 20'000; ++i) request_.add_topics(std::string(100, 'x') + std::to_string(i));
  int topics = 0;
  do {
    ASSERT_TRUE(GetMetadata().ok());
    EXPECT_LE(response_.ByteSizeLong(), 1'100'000u);
    topics += response_.topics_size();
    request_.mutable_page()->set_page_token(response_.next_page_token());
  } while (!request_.page().page_token().empty());
  EXPECT_EQ(topics, 20'000);
}

TEST_F(ClusterServiceTest, DescribesTheClusterWithWhatAllBrokersCanRead) {
  broker_.AddBroker(2, /*fenced=*/false);
  broker_.AddBroker(3, /*fenced=*/true);
  v1::DescribeClusterRequest request;
  v1::DescribeClusterResponse response;
  ASSERT_TRUE(stub_->DescribeCluster(NewContext().get(), request, &response).ok());
  EXPECT_EQ(response.controller_id(), 1);
  EXPECT_EQ(response.brokers_size(), 2);
  ASSERT_EQ(response.features_size(), 1);
  EXPECT_EQ(response.features(0).name(), "metadata");
  EXPECT_EQ(response.features(0).min_supported(), 1);
  EXPECT_EQ(response.features(0).max_supported(), kFeatureLevel);
  EXPECT_EQ(response.features(0).finalized(), 1);
  request.set_include_fenced(true);
  ASSERT_TRUE(stub_->DescribeCluster(NewContext().get(), request, &response).ok());
  EXPECT_EQ(response.brokers_size(), 3);
}

TEST_F(ClusterServiceTest, DescribesWhatBrokersHoldAndInWhatStateTheyAre) {
  broker_.AddBroker(2, /*fenced=*/true);
  broker_.Change([](MetadataImage& image, MetadataDelta& delta) {
    BrokerImage broker;
    broker.id = NodeId{3};
    broker.epoch = BrokerEpoch{41};
    broker.fenced = broker.fenced_by_hand = broker.in_controlled_shutdown = true;
    broker.directories.resize(2);
    image.brokers.Set(broker.id, std::make_shared<const BrokerImage>(broker));
    delta.brokers_changed = true;
  });
  broker_.AddTopic("orders", 3);
  auto partition = std::make_shared<PartitionImage>(*FakeBroker::MakePartition(1, -1, 6));
  partition->replicas = {NodeId{1}, NodeId{3}};
  broker_.SetPartition("orders", partition);
  v1::DescribeClusterRequest request;
  request.set_include_fenced(true);
  v1::DescribeClusterResponse response;
  ASSERT_TRUE(stub_->DescribeCluster(NewContext().get(), request, &response).ok());
  ASSERT_EQ(response.brokers_size(), 3);
  EXPECT_EQ(response.states(0).replicas(), 3);
  EXPECT_EQ(response.states(0).leads(), 2);
  EXPECT_EQ(response.states(0).only_in_sync(), 3);
  EXPECT_FALSE(response.brokers(0).fenced());
  EXPECT_TRUE(response.brokers(1).fenced());
  EXPECT_FALSE(response.states(1).fenced_by_hand());
  EXPECT_TRUE(response.brokers(2).fenced());
  ASSERT_EQ(response.states_size(), 3);
  const auto& third = response.states(2);
  EXPECT_TRUE(third.fenced_by_hand());
  EXPECT_TRUE(third.stopping());
  EXPECT_EQ(third.broker_epoch(), 41);
  EXPECT_EQ(third.log_dirs(), 2);
  EXPECT_EQ(third.replicas(), 1);
  EXPECT_EQ(third.leads(), 0);
  EXPECT_EQ(response.sums().metadata_version(), broker_.image()->version.value);
  EXPECT_EQ(response.sums().metadata_hash(), StateHashText(broker_.image()->state_hash));
  EXPECT_EQ(response.sums().brokers(), 3);
  EXPECT_EQ(response.sums().brokers_fenced(), 2);
  EXPECT_EQ(response.sums().topics(), 1);
  EXPECT_EQ(response.sums().partitions_without_leader(), 1);
  EXPECT_EQ(response.sums().partitions_under_min_isr(), 0);
  EXPECT_EQ(response.sums().partitions_under_replicated(), 1);
}

TEST_F(ClusterServiceTest, DescribesManyBrokersInPages) {
  for (int32_t id = 2; id <= 700; ++id) broker_.AddBroker(id, /*fenced=*/id % 2 == 0);
  v1::DescribeClusterRequest request;
  v1::DescribeClusterResponse response;
  ASSERT_TRUE(stub_->DescribeCluster(NewContext().get(), request, &response).ok());
  EXPECT_EQ(response.brokers_size(), 350);
  EXPECT_EQ(response.next_page_token(), "");
  request.mutable_page()->set_page_size(200);
  std::vector<int32_t> seen;
  int pages = 0;
  do {
    ASSERT_TRUE(stub_->DescribeCluster(NewContext().get(), request, &response).ok());
    ++pages;
    for (const auto& broker : response.brokers()) seen.push_back(broker.broker_id());
    request.mutable_page()->set_page_token(response.next_page_token());
  } while (!response.next_page_token().empty());
  EXPECT_EQ(pages, 2);
  EXPECT_EQ(seen.size(), 350u);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST_F(ClusterServiceTest, DescribesTheBrokersThatAreNamed) {
  broker_.AddBroker(2, /*fenced=*/true);
  v1::DescribeClusterRequest request;
  request.add_broker_ids(2);
  v1::DescribeClusterResponse response;
  ASSERT_TRUE(stub_->DescribeCluster(NewContext().get(), request, &response).ok());
  ASSERT_EQ(response.brokers_size(), 1);
  EXPECT_EQ(response.brokers(0).broker_id(), 2);
  request.add_broker_ids(9);
  EXPECT_EQ(ReasonOf(stub_->DescribeCluster(NewContext().get(), request, &response)),
            Reason::kBrokerIdNotRegistered);
  request.clear_broker_ids();
  for (int i = 0; i < 1001; ++i) request.add_broker_ids(1);
  EXPECT_EQ(ReasonOf(stub_->DescribeCluster(NewContext().get(), request, &response)),
            Reason::kInvalidArgument);
}

TEST_F(ClusterServiceTest, FencesAndForgetsBrokers) {
  v1::SetBrokerFenceRequest fence;
  v1::SetBrokerFenceResponse fenced;
  fence.set_broker_id(2);
  fence.set_fenced(true);
  ASSERT_TRUE(stub_->SetBrokerFence(NewContext().get(), fence, &fenced).ok());
  fence.set_fenced(false);
  ASSERT_TRUE(stub_->SetBrokerFence(NewContext().get(), fence, &fenced).ok());
  ASSERT_EQ(broker_.fences.size(), 2u);
  EXPECT_EQ(broker_.fences[0].broker, NodeId{2});
  EXPECT_TRUE(broker_.fences[0].fenced);
  EXPECT_FALSE(broker_.fences[1].fenced);
  v1::UnregisterBrokerRequest unregister;
  v1::UnregisterBrokerResponse unregistered;
  unregister.set_broker_id(3);
  ASSERT_TRUE(stub_->UnregisterBroker(NewContext().get(), unregister, &unregistered).ok());
  ASSERT_EQ(broker_.unregisters.size(), 1u);
  EXPECT_EQ(broker_.unregisters[0].broker, NodeId{3});
  broker_.error = Error(Reason::kBrokerIdNotRegistered, "broker 3 is not registered");
  EXPECT_EQ(ReasonOf(stub_->SetBrokerFence(NewContext().get(), fence, &fenced)),
            Reason::kBrokerIdNotRegistered);
  EXPECT_EQ(ReasonOf(stub_->UnregisterBroker(NewContext().get(), unregister, &unregistered)),
            Reason::kBrokerIdNotRegistered);
}

TEST_F(ClusterServiceTest, DescribesLogDirectoriesInPagesOfReplicas) {
  std::set<std::string> expected;
  for (int d = 0; d < 2; ++d) {
    LogDirUsage dir{.broker_id = NodeId{1},
                    .id = {},
                    .path = "/disk" + std::to_string(d),
                    .total_bytes = 1000,
                    .usable_bytes = 600,
                    .replicas = {},
                    .error = std::nullopt};
    dir.id.bytes[0] = static_cast<uint8_t>(d + 1);
    for (int i = 0; i < 750; ++i) {
      ReplicaUsage replica{.topic = "t" + std::to_string(i % 7), .id = {}, .size_bytes = 2};
      replica.id.topic_id.bytes[1] = static_cast<uint8_t>(i % 7 + 1);
      replica.id.partition = PartitionIndex{i};
      expected.insert(dir.path + "/" + replica.topic + "/" + std::to_string(i));
      if (i == 3) replica.error = Error(Reason::kStorageError, "records are missing");
      dir.replicas.push_back(replica);
    }
    broker_.log_dirs.push_back(dir);
  }
  broker_.log_dirs[1].error = Error(Reason::kStorageError, "the disk failed");
  std::set<std::string> seen;
  int pages = 0;
  do {
    ASSERT_TRUE(DescribeLogDirs().ok());
    ++pages;
    ASSERT_EQ(dirs_.log_dirs_size(), 2);
    for (const auto& dir : dirs_.log_dirs()) {
      EXPECT_EQ(dir.broker_id(), 1);
      EXPECT_EQ(dir.total_bytes(), 1000);
      EXPECT_EQ(dir.usable_bytes(), 600);
      EXPECT_EQ(dir.replica_count(), 750);
      EXPECT_EQ(dir.log_bytes(), 1500);
      EXPECT_EQ(dir.offline_count(), dir.has_error() ? 750 : 1);
      EXPECT_EQ(dir.directory_id().size(), 16u);
      for (const auto& replica : dir.replicas()) {
        EXPECT_EQ(replica.topic_id().size(), 16u);
        EXPECT_EQ(replica.has_error(), replica.partition().partition() == 3);
        EXPECT_TRUE(seen.insert(dir.path() + "/" + replica.partition().topic() + "/" +
                                std::to_string(replica.partition().partition()))
                        .second);
      }
    }
    dirs_request_.mutable_page()->set_page_token(dirs_.next_page_token());
  } while (!dirs_request_.page().page_token().empty());
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(seen, expected);
  EXPECT_EQ(ErrorOfStatus(dirs_.log_dirs(1).error()).reason, Reason::kStorageError);

  dirs_request_.set_omit_replicas(true);
  dirs_request_.add_topics("t1");
  dirs_request_.clear_page();
  ASSERT_TRUE(DescribeLogDirs().ok());
  EXPECT_THAT(broker_.log_dir_topics, ElementsAre("t1"));
  EXPECT_EQ(dirs_.log_dirs(0).replicas_size(), 0);
  EXPECT_EQ(dirs_.log_dirs(0).log_bytes(), 1500);
  EXPECT_EQ(dirs_.next_page_token(), "");
}

TEST_F(ClusterServiceTest, SaysWhichBrokersDidNotAnswer) {
  broker_.AddBroker(2, /*fenced=*/false);
  broker_.log_dirs.emplace_back().broker_id = NodeId{1};
  ASSERT_TRUE(DescribeLogDirs().ok());
  EXPECT_EQ(dirs_.log_dirs_size(), 1);
  EXPECT_THAT(dirs_.unreachable(), ElementsAre(2));
  dirs_request_.add_broker_ids(1);
  ASSERT_TRUE(DescribeLogDirs().ok());
  EXPECT_EQ(dirs_.log_dirs_size(), 1);
  EXPECT_THAT(dirs_.unreachable(), IsEmpty());
  dirs_request_.set_broker_ids(0, 2);
  ASSERT_TRUE(DescribeLogDirs().ok());
  EXPECT_EQ(dirs_.log_dirs_size(), 0);
  EXPECT_THAT(dirs_.unreachable(), ElementsAre(2));
  dirs_request_.set_broker_ids(0, 3);
  EXPECT_EQ(ReasonOf(DescribeLogDirs()), Reason::kBrokerIdNotRegistered);
}

TEST_F(ClusterServiceTest, TheFeatureLevelIsChangedAndTold) {
  v1::UpdateFeaturesRequest request;
  v1::UpdateFeaturesResponse response;
  request.add_features()->set_name("metadata");
  request.mutable_features(0)->set_finalized(2);
  request.set_validate_only(true);
  ASSERT_TRUE(stub_->UpdateFeatures(NewContext().get(), request, &response).ok());
  ASSERT_EQ(broker_.updates.size(), 1u);
  EXPECT_EQ(broker_.updates[0].level, 2);
  EXPECT_TRUE(broker_.updates[0].validate_only);
  ASSERT_EQ(response.features_size(), 1);
  EXPECT_EQ(response.features(0).name(), "metadata");
  EXPECT_EQ(response.features(0).finalized(), 1);
  EXPECT_EQ(response.features(0).max_supported(), kFeatureLevel);
  broker_.error = Error(Reason::kFeatureUpdateFailed, "broker 2 supports 1");
  EXPECT_EQ(ReasonOf(stub_->UpdateFeatures(NewContext().get(), request, &response)),
            Reason::kFeatureUpdateFailed);
  broker_.error.reset();
  // There is one feature.
  request.mutable_features(0)->set_name("kraft.version");
  EXPECT_EQ(ReasonOf(stub_->UpdateFeatures(NewContext().get(), request, &response)),
            Reason::kInvalidArgument);
  request.clear_features();
  EXPECT_EQ(ReasonOf(stub_->UpdateFeatures(NewContext().get(), request, &response)),
            Reason::kInvalidArgument);
  EXPECT_EQ(broker_.updates.size(), 2u);
}

TEST_F(ClusterServiceTest, WhatIsNotServedYetIsUnimplemented) {
  v1::DecommissionBrokerResponse response;
  EXPECT_EQ(stub_->DecommissionBroker(NewContext().get(), {}, &response).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

}  // namespace
}  // namespace gregor
