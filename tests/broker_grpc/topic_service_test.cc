#include <future>
#include <set>

#include "gregor/v1/topic.grpc.pb.h"
#include "tests/broker_grpc/control_harness.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class TopicServiceTest : public ControlTest {
 protected:
  void SetUp() override {
    StartServer();
    stub_ = v1::TopicService::NewStub(channel_);
  }

  // Calls `method` of the stub; the context is there afterwards.
  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (v1::TopicService::Stub::*method)(grpc::ClientContext*,
                                                                   const Request&, Response*),
                    const Request& request, Response& response) {
    context_ = NewContext();
    return (stub_.get()->*method)(context_.get(), request, &response);
  }
  grpc::Status Create(const v1::CreateTopicRequest& request) {
    return Call(&v1::TopicService::Stub::CreateTopic, request, created_);
  }
  grpc::Status Get(const v1::GetTopicRequest& request, v1::GetTopicResponse& response) {
    return Call(&v1::TopicService::Stub::GetTopic, request, response);
  }
  grpc::Status List(const v1::ListTopicsRequest& request, v1::ListTopicsResponse& response) {
    return Call(&v1::TopicService::Stub::ListTopics, request, response);
  }

  std::unique_ptr<v1::TopicService::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
  v1::CreateTopicResponse created_;
};

TEST_F(TopicServiceTest, CreatesATopicAsAsked) {
  v1::CreateTopicRequest request;
  request.set_topic("orders");
  request.set_partitions(3);
  request.set_replication_factor(1);
  request.set_request_id("r-1");
  (*request.mutable_configs())["retention.ms"] = "1000";
  const auto status = Create(request);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(broker_.creates.size(), 1u);
  const CreateTopic& asked = broker_.creates[0];
  EXPECT_EQ(asked.name, "orders");
  EXPECT_EQ(asked.partitions, 3);
  EXPECT_EQ(asked.replication_factor, 1);
  EXPECT_EQ(asked.request_id, "r-1");
  EXPECT_EQ(asked.configs, (ConfigMap{{"retention.ms", "1000"}}));
  EXPECT_FALSE(asked.validate_only);
  EXPECT_EQ(created_.topic().topic(), "orders");
  EXPECT_EQ(created_.topic().topic_id().size(), 16u);
  EXPECT_EQ(created_.topic().partition_count(), 3);
  EXPECT_EQ(created_.topic().replication_factor(), 1);
  ASSERT_EQ(created_.topic().partitions_size(), 3);
  const auto& partition = created_.topic().partitions(2);
  EXPECT_EQ(partition.partition(), 2);
  EXPECT_EQ(partition.leader_id(), 1);
  EXPECT_EQ(partition.leader_epoch(), 5);
  EXPECT_THAT(partition.replicas(), ElementsAre(1));
  EXPECT_THAT(partition.in_sync(), ElementsAre(1));
  EXPECT_THAT(partition.offline(), IsEmpty());
}

TEST_F(TopicServiceTest, AnOperationEndsALittleBeforeItsCall) {
  v1::CreateTopicRequest request;
  request.set_topic("orders");
  const auto context = NewContext(std::chrono::seconds(5));
  ASSERT_TRUE(stub_->CreateTopic(context.get(), request, &created_).ok());
  // On its way a deadline is rounded up: one of some seconds to 10 ms.
  EXPECT_LT(broker_.timeout, std::chrono::milliseconds(4'980));
  EXPECT_GT(broker_.timeout, std::chrono::seconds(1));
}

TEST_F(TopicServiceTest, ATopicThatWasOnlyCheckedHasNoId) {
  v1::CreateTopicRequest request;
  request.set_topic("orders");
  request.set_validate_only(true);
  ASSERT_TRUE(Create(request).ok());
  EXPECT_TRUE(broker_.creates[0].validate_only);
  EXPECT_EQ(created_.topic().topic_id(), "");
}

TEST_F(TopicServiceTest, PlacesReplicasInTheOrderOfThePartitions) {
  v1::CreateTopicRequest request;
  request.set_topic("orders");
  for (const int32_t partition : {1, 0, 2}) {
    auto& each = *request.add_assignment();
    each.set_partition(partition);
    each.add_broker_ids(partition + 10);
    each.add_broker_ids(9);
  }
  ASSERT_TRUE(Create(request).ok());
  EXPECT_THAT(broker_.creates[0].assignment,
              ElementsAre(ElementsAre(NodeId{10}, NodeId{9}), ElementsAre(NodeId{11}, NodeId{9}),
                          ElementsAre(NodeId{12}, NodeId{9})));
}

TEST_F(TopicServiceTest, RefusesAnAssignmentWithGapsOrRepetitions) {
  for (const auto& partitions : {std::vector<int32_t>{0, 2}, {0, 0}, {-1, 0}, {1}}) {
    v1::CreateTopicRequest request;
    request.set_topic("orders");
    for (const int32_t partition : partitions) request.add_assignment()->set_partition(partition);
    EXPECT_EQ(ReasonOf(Create(request)), Reason::kInvalidReplicaAssignment);
  }
  v1::CreateTopicRequest both;
  both.set_topic("orders");
  both.set_partitions(1);
  both.add_assignment()->add_broker_ids(1);
  EXPECT_EQ(ReasonOf(Create(both)), Reason::kInvalidArgument);
  EXPECT_THAT(broker_.creates, IsEmpty());
}

TEST_F(TopicServiceTest, AnErrorComesWithReasonMessageAndTrailers) {
  broker_.error = Error(Reason::kTopicAlreadyExists, "topic \"orders\" exists already");
  v1::CreateTopicRequest request;
  request.set_topic("orders");
  const auto status = Create(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(status.error_message(), "topic \"orders\" exists already");
  EXPECT_EQ(ReasonOf(status), Reason::kTopicAlreadyExists);
  EXPECT_EQ(Trailer(*context_, "x-gregor-reason"), "TOPIC_ALREADY_EXISTS");
  EXPECT_EQ(Trailer(*context_, "grpc-retry-pushback-ms"), "");

  broker_.error = Error(Reason::kDiskFull, "full").With("outcome", "NOT_APPLIED");
  EXPECT_EQ(Create(request).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Trailer(*context_, "x-gregor-reason"), "DISK_FULL");
  EXPECT_EQ(Trailer(*context_, "x-gregor-outcome"), "NOT_APPLIED");
  EXPECT_EQ(Trailer(*context_, "grpc-retry-pushback-ms"), "1000");
}

TEST_F(TopicServiceTest, FindsATopicByNameAndById) {
  const TopicPtr topic = broker_.AddTopic("orders", 2);
  v1::GetTopicRequest request;
  request.set_topic("orders");
  v1::GetTopicResponse response;
  ASSERT_TRUE(Get(request, response).ok());
  EXPECT_EQ(response.topic().topic(), "orders");
  EXPECT_EQ(response.topic().partitions_size(), 2);
  EXPECT_EQ(response.next_page_token(), "");
  request.set_topic_id(std::string(topic->id.bytes.begin(), topic->id.bytes.end()));
  ASSERT_TRUE(Get(request, response).ok());
  EXPECT_EQ(response.topic().topic(), "orders");

  request.set_topic_id(std::string(16, 'x'));
  EXPECT_EQ(ReasonOf(Get(request, response)), Reason::kUnknownTopicId);
  request.set_topic_id("short");
  EXPECT_EQ(ReasonOf(Get(request, response)), Reason::kInvalidArgument);
  request.clear_key();
  EXPECT_EQ(ReasonOf(Get(request, response)), Reason::kInvalidArgument);
  broker_.ForgetImage();
  request.set_topic("orders");
  EXPECT_EQ(ReasonOf(Get(request, response)), Reason::kLeaderNotAvailable);
}

TEST_F(TopicServiceTest, AHostileNameIsNotFoundAndEscaped) {
  v1::GetTopicRequest request;
  v1::GetTopicResponse response;
  for (const std::string& name :
       {std::string(".."), std::string("a\0b", 3), std::string("\x1b[31mred"),
        std::string(250, 'n'), std::string(1 << 20, 'n')}) {
    request.set_topic(name);
    const auto status = Get(request, response);
    EXPECT_EQ(ReasonOf(status), Reason::kTopicNotFound);
    EXPECT_EQ(status.error_message().find('\x1b'), std::string::npos);
    EXPECT_LT(status.error_message().size(), 600u);
    EXPECT_EQ(Trailer(*context_, "x-gregor-reason"), "TOPIC_NOT_FOUND");
  }
}

TEST_F(TopicServiceTest, PagesOverThePartitionsOfABigTopic) {
  broker_.AddTopic("big", 12'345);
  v1::GetTopicRequest request;
  request.set_topic("big");
  request.mutable_page()->set_page_size(1 << 30);
  std::vector<int32_t> sizes;
  std::set<int32_t> seen;
  do {
    v1::GetTopicResponse response;
    ASSERT_TRUE(Get(request, response).ok());
    EXPECT_EQ(response.topic().partition_count(), 12'345);
    sizes.push_back(response.topic().partitions_size());
    for (const auto& each : response.topic().partitions()) seen.insert(each.partition());
    request.mutable_page()->set_page_token(response.next_page_token());
  } while (!request.page().page_token().empty());
  EXPECT_THAT(sizes, ElementsAre(5000, 5000, 2345));
  EXPECT_EQ(seen.size(), 12'345u);
  // Without asking for more, a page has 500.
  request.clear_page();
  v1::GetTopicResponse first;
  ASSERT_TRUE(Get(request, first).ok());
  EXPECT_EQ(first.topic().partitions_size(), 500);
  // The next page of a topic that was created anew is refused, not mixed.
  broker_.AddTopic("big", 600);
  request.mutable_page()->set_page_token(first.next_page_token());
  EXPECT_EQ(ReasonOf(Get(request, first)), Reason::kInvalidArgument);
}

TEST_F(TopicServiceTest, PagesOverTopicsWhileTheyComeAndGo) {
  for (int i = 0; i < 1200; ++i) broker_.AddTopic("t" + std::to_string(10'000 + i), 1);
  v1::ListTopicsRequest request;
  std::vector<std::string> names;
  int pages = 0;
  do {
    v1::ListTopicsResponse response;
    ASSERT_TRUE(List(request, response).ok());
    EXPECT_LE(response.topics_size(), 500);
    for (const auto& topic : response.topics()) {
      EXPECT_EQ(topic.partition_count(), 1);
      EXPECT_EQ(topic.partitions_size(), 0);
      names.push_back(topic.topic());
    }
    if (++pages == 1) {
      // The one that the next page goes on after is deleted, one is added before it.
      broker_.RemoveTopic("t10499");
      broker_.AddTopic("a", 1);
      broker_.AddTopic("t10499a", 1);
    }
    request.mutable_page()->set_page_token(response.next_page_token());
  } while (!request.page().page_token().empty());
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(names.size(), 1201u);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
}

TEST_F(TopicServiceTest, ListsByPrefixWithoutWhatIsInternal) {
  for (const char* name : {"a", "ab", "abc", "b", "__consumer_offsets"}) broker_.AddTopic(name, 1);
  v1::ListTopicsRequest request;
  const auto names = [&] {
    v1::ListTopicsResponse response;
    EXPECT_TRUE(List(request, response).ok());
    std::vector<std::string> result;
    for (const auto& topic : response.topics()) result.push_back(topic.topic());
    return result;
  };
  EXPECT_THAT(names(), ElementsAre("a", "ab", "abc", "b"));
  request.set_include_internal(true);
  EXPECT_THAT(names(), ElementsAre("__consumer_offsets", "a", "ab", "abc", "b"));
  request.set_prefix("ab");
  EXPECT_THAT(names(), ElementsAre("ab", "abc"));
  request.set_prefix("zz");
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(TopicServiceTest, AListWithPartitionsStaysBelowAMebibyteAndLeavesOutThoseOfBigTopics) {
  for (int i = 0; i < 100; ++i) broker_.AddTopic("t" + std::to_string(100 + i), 1000);
  broker_.AddTopic("huge", 1001);
  v1::ListTopicsRequest request;
  request.set_include_partitions(true);
  int topics = 0;
  do {
    v1::ListTopicsResponse response;
    ASSERT_TRUE(List(request, response).ok());
    EXPECT_LE(response.ByteSizeLong(), 1'100'000u);
    for (const auto& topic : response.topics()) {
      ++topics;
      EXPECT_EQ(topic.partitions_size(), topic.topic() == "huge" ? 0 : 1000);
      EXPECT_EQ(topic.partition_count(), topic.topic() == "huge" ? 1001 : 1000);
    }
    request.mutable_page()->set_page_token(response.next_page_token());
  } while (!request.page().page_token().empty());
  EXPECT_EQ(topics, 101);
}

TEST_F(TopicServiceTest, RefusesTokensThatItDidNotGive) {
  for (int i = 0; i < 3; ++i) broker_.AddTopic("t" + std::to_string(i), 1);
  v1::ListTopicsRequest request;
  request.mutable_page()->set_page_size(1);
  v1::ListTopicsResponse response;
  ASSERT_TRUE(List(request, response).ok());
  const std::string token = response.next_page_token();
  const auto reason = [&](const std::string& given) {
    request.mutable_page()->set_page_token(given);
    return ReasonOf(List(request, response));
  };
  EXPECT_EQ(reason(token), Reason::kUnspecified);
  EXPECT_EQ(response.topics(0).topic(), "t1");
  for (size_t i = 0; i < token.size(); ++i) {
    std::string damaged = token;
    damaged[i] = damaged[i] == 'A' ? 'B' : 'A';
    const Reason damaged_reason = reason(damaged);
    EXPECT_TRUE(damaged_reason == Reason::kInvalidArgument ||
                damaged_reason == Reason::kPageTokenExpired)
        << i;
  }
  EXPECT_EQ(reason("!"), Reason::kInvalidArgument);
  EXPECT_EQ(reason(std::string(100'000, 'A')), Reason::kInvalidArgument);
  EXPECT_EQ(reason("AQ"), Reason::kInvalidArgument);
  EXPECT_EQ(reason("Ag"), Reason::kPageTokenExpired);
  request.set_prefix("t");
  EXPECT_EQ(reason(token), Reason::kInvalidArgument);
  request.clear_page();
  request.mutable_page()->set_page_size(-1);
  EXPECT_EQ(ReasonOf(List(request, response)), Reason::kInvalidArgument);
}

TEST_F(TopicServiceTest, DeletesByNameOrIdAndMayFindNothing) {
  v1::DeleteTopicRequest request;
  v1::DeleteTopicResponse response;
  const auto remove = [&] { return Call(&v1::TopicService::Stub::DeleteTopic, request, response); };
  request.set_topic("orders");
  ASSERT_TRUE(remove().ok());
  EXPECT_EQ(broker_.deletes[0].name, "orders");
  EXPECT_FALSE(broker_.deletes[0].id.has_value());
  request.set_topic_id(std::string(16, 'i'));
  ASSERT_TRUE(remove().ok());
  EXPECT_EQ(broker_.deletes[1].id->bytes[0], 'i');
  broker_.error = Error(Reason::kUnknownTopicId, "gone");
  EXPECT_EQ(ReasonOf(remove()), Reason::kUnknownTopicId);
  request.set_allow_missing(true);
  EXPECT_TRUE(remove().ok());
  broker_.error = Error(Reason::kTopicNotFound, "gone");
  EXPECT_TRUE(remove().ok());
  broker_.error = Error(Reason::kNotController, "no leader");
  EXPECT_EQ(ReasonOf(remove()), Reason::kNotController);
}

TEST_F(TopicServiceTest, AddsPartitionsAfterThoseThatAreThere) {
  broker_.AddTopic("orders", 2);
  v1::AddPartitionsRequest request;
  request.set_topic("orders");
  request.set_total_partitions(4);
  for (const int32_t partition : {3, 2}) {
    request.add_assignment()->set_partition(partition);
    request.mutable_assignment(request.assignment_size() - 1)->add_broker_ids(partition);
  }
  v1::AddPartitionsResponse response;
  const auto add = [&] { return Call(&v1::TopicService::Stub::AddPartitions, request, response); };
  ASSERT_TRUE(add().ok());
  EXPECT_EQ(response.topic().partition_count(), 4);
  EXPECT_EQ(broker_.adds[0].topic, "orders");
  EXPECT_EQ(broker_.adds[0].total_partitions, 4);
  EXPECT_THAT(broker_.adds[0].assignment,
              ElementsAre(ElementsAre(NodeId{2}), ElementsAre(NodeId{3})));
  // They are there now.
  EXPECT_EQ(ReasonOf(add()), Reason::kInvalidReplicaAssignment);
  request.set_topic("none");
  EXPECT_EQ(ReasonOf(add()), Reason::kTopicNotFound);
}

TEST_F(TopicServiceTest, DeletesRecordsItemByItem) {
  broker_.AddTopic("orders", 2);
  v1::DeleteRecordsRequest request;
  v1::DeleteRecordsResponse response;
  for (const char* topic : {"orders", "none", "orders"}) {
    auto& item = *request.add_items();
    item.mutable_partition()->set_topic(topic);
    item.mutable_partition()->set_partition(1);
    item.set_before_offset(request.items_size() * 10);
  }
  const auto remove = [&] {
    return Call(&v1::TopicService::Stub::DeleteRecords, request, response);
  };
  ASSERT_TRUE(remove().ok());
  EXPECT_EQ(broker_.record_deletes[2].partition, PartitionIndex{1});
  ASSERT_EQ(response.results_size(), 3);
  EXPECT_EQ(response.results(0).log_start_offset(), 10);
  EXPECT_FALSE(response.results(0).has_error());
  EXPECT_EQ(ErrorOfStatus(response.results(1).error()).reason, Reason::kTopicNotFound);
  EXPECT_EQ(response.results(2).log_start_offset(), 30);
  request.mutable_items(0)->set_before_offset(-2);
  request.mutable_items(2)->set_before_offset(-1);
  ASSERT_TRUE(remove().ok());
  EXPECT_EQ(broker_.record_deletes.size(), 2u);
  EXPECT_EQ(ErrorOfStatus(response.results(0).error()).reason, Reason::kInvalidArgument);
  EXPECT_EQ(ErrorOfStatus(response.results(1).error()).reason, Reason::kTopicNotFound);
  EXPECT_FALSE(response.results(2).has_error());
  for (int i = 0; i < 1000; ++i) *request.add_items() = request.items(0);
  EXPECT_EQ(ReasonOf(remove()), Reason::kInvalidArgument);
}

TEST_F(TopicServiceTest, ACallWhoseDeadlineHasPassedDoesNothing) {
  v1::CreateTopicRequest request;
  request.set_topic("orders");
  context_ = NewContext(std::chrono::milliseconds(-100));
  EXPECT_EQ(stub_->CreateTopic(context_.get(), request, &created_).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(broker_.creates, IsEmpty());
}

TEST_F(TopicServiceTest, AnAnswerThatComesAfterTheClientWentIsDropped) {
  broker_.hold = true;
  v1::CreateTopicRequest request;
  request.set_topic("orders");
  context_ = NewContext(std::chrono::milliseconds(100));
  EXPECT_EQ(stub_->CreateTopic(context_.get(), request, &created_).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  broker_.Release();
  broker_.hold = false;
  EXPECT_TRUE(Create(request).ok());
}

TEST_F(TopicServiceTest, CountsCallsByMethodAndCode) {
  broker_.AddTopic("orders", 1);
  v1::GetTopicRequest request;
  v1::GetTopicResponse response;
  request.set_topic("orders");
  EXPECT_TRUE(Get(request, response).ok());
  EXPECT_TRUE(Get(request, response).ok());
  request.set_topic("none");
  EXPECT_FALSE(Get(request, response).ok());
  const std::string method = "method=\"gregor.v1.TopicService/GetTopic\"} ";
  WaitForMetric("gregor_grpc_calls_total{code=\"OK\"," + method + "2");
  WaitForMetric("gregor_grpc_calls_total{code=\"NOT_FOUND\"," + method + "1");
  const std::string all = metrics_->Render();
  EXPECT_THAT(all, HasSubstr("gregor_grpc_call_seconds_count{" + method + "3"));
  EXPECT_THAT(all,
              HasSubstr("gregor_grpc_received_bytes_total{" + method + std::to_string(2 * 8 + 6)));
  EXPECT_THAT(all, testing::Not(testing::ContainsRegex("calls_total[^}]*CreateTopic")));
}

TEST_F(TopicServiceTest, ACallThatIsGivenUpEndsAtOnceAndIsCounted) {
  broker_.hold = true;
  v1::CreateTopicRequest request;
  request.set_topic("orders");
  context_ = NewContext(std::chrono::milliseconds(100));
  EXPECT_EQ(stub_->CreateTopic(context_.get(), request, &created_).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  // The broker has not answered yet.
  WaitForMetric(
      "gregor_grpc_calls_total{code=\"CANCELLED\",method=\"gregor.v1.TopicService/CreateTopic\"} "
      "1");
  broker_.Release();
}

TEST_F(TopicServiceTest, AStopTellsCallersWhatBecameOfTheirCalls) {
  broker_.hold = true;
  std::thread caller([this] {
    v1::CreateTopicRequest request;
    v1::CreateTopicResponse response;
    request.set_topic("orders");
    const auto context = NewContext();
    const auto status = stub_->CreateTopic(context.get(), request, &response);
    EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
    EXPECT_EQ(ReasonOf(status), Reason::kServerDraining);
    EXPECT_EQ(Trailer(*context, "x-gregor-outcome"), "UNKNOWN");
    EXPECT_THAT(status.error_message(), HasSubstr("whether it was done is not known"));
  });
  WaitForMetric(
      "gregor_grpc_received_bytes_total{method=\"gregor.v1.TopicService/CreateTopic\"} 8");
  v1::GetTopicRequest read;
  v1::GetTopicResponse topic;
  read.set_topic("none");
  EXPECT_EQ(Get(read, topic).error_code(), grpc::NOT_FOUND);
  ASSERT_EQ(broker_.creates.size(), 1u);
  server_->Drain();
  // What would change something goes elsewhere at once, what is only read is answered.
  v1::CreateTopicRequest late;
  late.set_topic("late");
  EXPECT_EQ(ReasonOf(Create(late)), Reason::kServerDraining);
  EXPECT_EQ(Trailer(*context_, "x-gregor-outcome"), "NOT_APPLIED");
  EXPECT_EQ(Get(read, topic).error_code(), grpc::NOT_FOUND);
  server_->Shutdown(std::chrono::seconds(2));
  caller.join();
  EXPECT_EQ(broker_.creates.size(), 1u);
  broker_.Release();
}

TEST_F(TopicServiceTest, CallsThatWaitForTheirAnswerKeepNoOthersWaiting) {
  broker_.hold = true;
  constexpr int kCalls = 30;
  std::vector<std::thread> callers;
  for (int i = 0; i < kCalls; ++i) {
    callers.emplace_back([this, i] {
      v1::CreateTopicRequest request;
      v1::CreateTopicResponse response;
      request.set_topic("orders" + std::to_string(10 + i));
      const auto context = NewContext();
      EXPECT_TRUE(stub_->CreateTopic(context.get(), request, &response).ok());
    });
  }
  WaitForMetric("gregor_grpc_received_bytes_total{method=\"gregor.v1.TopicService/CreateTopic\"} " +
                std::to_string(kCalls * 10));
  // One after the other: what is asked now is answered after all those were handled.
  v1::GetTopicRequest request;
  v1::GetTopicResponse response;
  request.set_topic("none");
  EXPECT_EQ(Get(request, response).error_code(), grpc::NOT_FOUND);
  EXPECT_EQ(broker_.creates.size(), static_cast<size_t>(kCalls));
  broker_.Release();
  for (std::thread& each : callers) each.join();
}

class ImpatientTopicServiceTest : public TopicServiceTest {
 protected:
  void SetUp() override {
    StartServer({.call_timeout = std::chrono::milliseconds(50)});
    stub_ = v1::TopicService::NewStub(channel_);
  }
};

TEST_F(ImpatientTopicServiceTest, ACallWithoutDeadlineEndsAllTheSame) {
  broker_.hold = true;
  v1::CreateTopicRequest request;
  request.set_topic("orders");
  grpc::ClientContext context;
  const auto status = stub_->CreateTopic(&context, request, &created_);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(ReasonOf(status), Reason::kCommitTimedOut);
  EXPECT_EQ(Trailer(context, "x-gregor-outcome"), "UNKNOWN");
  broker_.Release();
}

}  // namespace
}  // namespace gregor
