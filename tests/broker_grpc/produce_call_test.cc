#include <gmock/gmock.h>

#include "gregor/v1/produce.grpc.pb.h"
#include "tests/broker_grpc/door_harness.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ProduceCallTest : public DoorTest {
 protected:
  ProduceCallTest() {
    broker_.AddTopic("orders", 3);
    StartServer();
    stub_ = v1::ProduceService::NewStub(channel_);
  }

  grpc::Status Produce(const v1::ProduceRequest& request) {
    context_ = NewContext();
    response_.Clear();
    return stub_->Produce(context_.get(), request, &response_);
  }
  static v1::ProduceRequest PlainRequest(const std::vector<std::string>& values) {
    v1::ProduceRequest request;
    request.set_topic("orders");
    request.set_partition(1);
    for (const std::string& value : values) request.add_records()->set_value(value);
    return request;
  }
  static v1::ProduceRequest BatchRequest(const std::vector<std::string>& values) {
    v1::ProduceRequest request;
    request.set_topic("orders");
    request.set_partition(1);
    request.set_record_batch(BatchOf(values).bytes.ToString());
    return request;
  }

  std::unique_ptr<v1::ProduceService::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
  v1::ProduceResponse response_;
};

TEST_F(ProduceCallTest, PlainRecordsAreWrittenInOrder) {
  const grpc::Status status = Produce(PlainRequest({"a", "b", "c"}));
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(broker_.Values("orders", 1), ElementsAre("a", "b", "c"));
  ASSERT_EQ(response_.ranges_size(), 3);  // the broker of this test makes a batch of each
  EXPECT_EQ(response_.ranges(2).first_index(), 2);
  EXPECT_EQ(response_.ranges(2).count(), 1);
  EXPECT_EQ(response_.ranges(2).partition(), 1);
  EXPECT_EQ(response_.ranges(2).base_offset(), 2);
  EXPECT_EQ(response_.ranges(2).leader_epoch(), 3);
  EXPECT_EQ(response_.ranges(2).log_append_time_ms(), 0);  // the topic keeps what clients say
}

TEST_F(ProduceCallTest, TheTimeOfAppendingIsSaidWhereTheBrokerGaveIt) {
  broker_.SetLogAppendTime(Timestamp{1700000000123});
  ASSERT_TRUE(Produce(PlainRequest({"a"})).ok());
  EXPECT_EQ(response_.ranges(0).log_append_time_ms(), 1700000000123);
  ASSERT_TRUE(Produce(BatchRequest({"x"})).ok());
  EXPECT_EQ(response_.ranges(0).log_append_time_ms(), 1700000000123);
}

TEST_F(ProduceCallTest, ABatchIsPassedOnAsItCame) {
  const auto request = BatchRequest({"x", "y"});
  ASSERT_TRUE(Produce(request).ok());
  EXPECT_EQ(broker_.last_batch().batch.ToString(), request.record_batch());
  ASSERT_EQ(response_.ranges_size(), 1);
  EXPECT_EQ(response_.ranges(0).count(), 2);
  EXPECT_EQ(response_.ranges(0).base_offset(), 0);
}

TEST_F(ProduceCallTest, ALargeBatchIsPassedOnInThePiecesItCameIn) {
  const auto request = BatchRequest({std::string(3'000'000, 'v')});
  ASSERT_TRUE(Produce(request).ok());
  const Bytes batch = broker_.last_batch().batch;
  EXPECT_GT(batch.slices().size(), 1u);
  EXPECT_EQ(batch.ToString(), request.record_batch());
}

TEST_F(ProduceCallTest, LargePlainRecordsArriveWhole) {
  std::vector<std::string> values;
  for (int i = 0; i < 50; ++i) values.emplace_back(20'000, static_cast<char>('A' + i));
  ASSERT_TRUE(Produce(PlainRequest(values)).ok());
  EXPECT_EQ(broker_.Values("orders", 1), values);
}

TEST_F(ProduceCallTest, ReceiptsSayWhichReplicasHaveIt) {
  auto request = BatchRequest({"x"});
  request.set_receipt(true);
  request.set_acks(v1::ACKS_COUNT);
  request.set_acks_count(2);
  ASSERT_TRUE(Produce(request).ok());
  EXPECT_THAT(response_.ranges(0).receipt().synced(), ElementsAre(7, 300));
  EXPECT_THAT(response_.ranges(0).receipt().held(), ElementsAre(8));
  EXPECT_EQ(broker_.last_ack().acks, Acks::kCount);
  EXPECT_EQ(broker_.last_ack().count, 2);
}

TEST_F(ProduceCallTest, EveryKindOfAcksIsPassedOn) {
  const std::vector<std::pair<v1::Acks, Acks>> kinds = {{v1::ACKS_UNSPECIFIED, Acks::kAll},
                                                        {v1::ACKS_ALL, Acks::kAll},
                                                        {v1::ACKS_LEADER, Acks::kLeader},
                                                        {v1::ACKS_NONE, Acks::kNone}};
  for (const auto& [sent, taken] : kinds) {
    auto request = PlainRequest({"x"});
    request.set_acks(sent);
    ASSERT_TRUE(Produce(request).ok());
    EXPECT_EQ(broker_.last_ack().acks, taken);
  }
}

TEST_F(ProduceCallTest, RequestIdsReachTheBroker) {
  auto request = PlainRequest({"x"});
  request.set_request_id("8d3c5b1e");
  ASSERT_TRUE(Produce(request).ok());
  EXPECT_EQ(broker_.last_request_id(), "8d3c5b1e");
}

TEST_F(ProduceCallTest, ErrorsOfTheBrokerBecomeStatuses) {
  auto request = PlainRequest({"x"});
  request.set_topic("nothing");
  const grpc::Status status = Produce(request);
  EXPECT_EQ(status.error_code(), grpc::NOT_FOUND);
  EXPECT_EQ(ReasonOf(status), Reason::kTopicNotFound);
  EXPECT_EQ(Trailer(*context_, "x-gregor-reason"), "TOPIC_NOT_FOUND");
}

TEST_F(ProduceCallTest, ADamagedBatchIsRefused) {
  auto request = BatchRequest({"x"});
  request.mutable_record_batch()->back() ^= 1;
  const grpc::Status status = Produce(request);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonOf(status), Reason::kCorruptBatch);
  EXPECT_EQ(broker_.LogEnd("orders", 1), Offset{0});
}

TEST_F(ProduceCallTest, WhatOnePartitionTookIsListedWhenAnotherDidNot) {
  broker_.FailWrites("orders", 2, 9, Error(Reason::kDiskFull, "the disk is full"));
  v1::ProduceRequest request;
  request.set_topic("orders");
  for (const char* key : {"k0", "k2", "k1"}) request.add_records()->set_key(key);
  const grpc::Status status = Produce(request);
  EXPECT_EQ(status.error_code(), grpc::ABORTED);
  EXPECT_EQ(ReasonOf(status), Reason::kPartialFailure);
  EXPECT_EQ(DetailOf(status, "cause"), "DISK_FULL");
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  v1::PartialProduce partial;
  for (const auto& detail : details.details()) detail.UnpackTo(&partial);
  ASSERT_EQ(partial.appended_size(), 2);
  EXPECT_EQ(partial.appended(0).first_index(), 0);
  EXPECT_EQ(partial.appended(1).first_index(), 2);
  EXPECT_EQ(partial.appended(1).partition(), 1);
}

TEST_F(ProduceCallTest, AnErrorThatARepetitionWouldMeetAgainIsNoPartialFailure) {
  broker_.FailWrites("orders", 2, 9, Error(Reason::kInvalidRecord, "record 1 has no key"));
  v1::ProduceRequest request;
  request.set_topic("orders");
  for (const char* key : {"k0", "k2", "k1"}) request.add_records()->set_key(key);
  const grpc::Status status = Produce(request);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonOf(status), Reason::kInvalidRecord);
  EXPECT_EQ(status.error_message(), "record 1 has no key; other partitions took their records");
  EXPECT_EQ(Trailer(*context_, "x-gregor-reason"), "INVALID_RECORD");
  EXPECT_EQ(Trailer(*context_, "x-gregor-outcome"), "");
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  v1::PartialProduce partial;
  for (const auto& detail : details.details()) detail.UnpackTo(&partial);
  EXPECT_EQ(partial.appended_size(), 2);
}

TEST_F(ProduceCallTest, RequestsThatContradictThemselvesAreRefused) {
  std::vector<std::pair<v1::ProduceRequest, std::string>> requests;
  const auto add = [&](v1::ProduceRequest request, const std::string& message) {
    requests.emplace_back(std::move(request), message);
  };
  auto request = BatchRequest({"x"});
  request.add_records()->set_value("y");
  add(request, "exclude each other");
  request = BatchRequest({"x"});
  request.clear_partition();
  add(request, "needs a partition");
  request = BatchRequest({"x"});
  request.set_request_id("id");
  add(request, "request_id goes with plain records");
  add(PlainRequest({}), "nothing to write");
  request = PlainRequest({"x"});
  request.clear_topic();
  add(request, "topic is missing");
  request = PlainRequest({"x"});
  request.set_topic_id("short");
  add(request, "an id has 16");
  request = PlainRequest({"x"});
  request.set_acks(static_cast<v1::Acks>(17));
  add(request, "acks 17");
  request = PlainRequest({"x"});
  request.set_compression(static_cast<v1::Compression>(-1));
  add(request, "compression -1");
  request = PlainRequest({"x"});
  request.set_routing(static_cast<v1::Routing>(9));
  add(request, "routing 9");
  request = PlainRequest({"x"});
  request.mutable_producer()->set_producer_id(1);
  request.mutable_producer()->set_producer_epoch(1 << 20);
  add(request, "producer_epoch");
  request = PlainRequest({"x"});
  request.mutable_producer()->set_producer_id(-1);
  add(request, "producer_id -1 was not given");
  request = BatchRequest({"x"});
  request.mutable_producer()->set_producer_id(9);
  add(request, "producer is 9 with epoch 0, the record_batch has -1 with epoch -1");
  for (const auto& [bad, message] : requests) {
    const grpc::Status status = Produce(bad);
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << message;
    EXPECT_THAT(status.error_message(), HasSubstr(message));
    EXPECT_EQ(Trailer(*context_, "x-gregor-outcome"), "NOT_APPLIED") << message;
  }
  EXPECT_EQ(broker_.LogEnd("orders", 1), Offset{0});
  EXPECT_EQ(broker_.refused.Of(Reason::kInvalidArgument), requests.size());
}

TEST_F(ProduceCallTest, TransactionsAreNotSupportedYet) {
  auto request = PlainRequest({"x"});
  request.mutable_producer()->set_transactional_id("tx");
  EXPECT_EQ(Produce(request).error_code(), grpc::UNIMPLEMENTED);
}

TEST_F(ProduceCallTest, ACallWhoseDeadlineHasPassedWritesNothing) {
  v1::ProduceResponse response;
  const auto context = NewContext(std::chrono::milliseconds(-1000));
  const grpc::Status status = stub_->Produce(context.get(), PlainRequest({"x"}), &response);
  EXPECT_EQ(status.error_code(), grpc::DEADLINE_EXCEEDED);
}

TEST_F(ProduceCallTest, ACallWithoutDeadlineIsAnsweredInTheEnd) {
  StartServer({.call_timeout = std::chrono::milliseconds(100)});
  broker_.DropEverything();
  grpc::ClientContext context;
  v1::ProduceResponse response;
  const grpc::Status status =
      v1::ProduceService::NewStub(channel_)->Produce(&context, PlainRequest({"x"}), &response);
  EXPECT_EQ(status.error_code(), grpc::DEADLINE_EXCEEDED);
  EXPECT_EQ(ReasonOf(status), Reason::kCommitTimedOut);
  EXPECT_EQ(Trailer(context, "x-gregor-outcome"), "UNKNOWN");
}

TEST_F(ProduceCallTest, ConcurrentCallsAreAllAnswered) {
  broker_.HoldWrites(true);
  struct Call {
    std::unique_ptr<grpc::ClientContext> context = NewContext();
    v1::ProduceResponse response;
    std::promise<grpc::Status> status;
  };
  std::vector<std::unique_ptr<Call>> calls;
  const auto request = PlainRequest({"x"});
  for (int i = 0; i < 500; ++i) {
    calls.push_back(std::make_unique<Call>());
    Call& call = *calls.back();
    stub_->async()->Produce(call.context.get(), &request, &call.response,
                            [&call](grpc::Status status) { call.status.set_value(status); });
  }
  while (broker_.held_count() < 500) std::this_thread::yield();
  broker_.HoldWrites(false);
  for (const auto& call : calls) {
    const grpc::Status status = call->status.get_future().get();
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_EQ(broker_.LogEnd("orders", 1), Offset{500});
  WaitForMetric(
      "gregor_grpc_calls_total{code=\"OK\",method=\"gregor.v1.ProduceService/Produce\"} 500");
}

TEST_F(ProduceCallTest, ServerEndsWithCallsThatTheBrokerNeverAnswers) {
  broker_.DropEverything();
  grpc::Status status;
  v1::ProduceResponse response;
  const auto request = PlainRequest({"x"});
  std::promise<void> ended;
  context_ = NewContext();
  stub_->async()->Produce(context_.get(), &request, &response, [&](grpc::Status result) {
    status = result;
    ended.set_value();
  });
  broker_.Run([] {});
  server_->Shutdown(std::chrono::milliseconds(10));
  server_.reset();
  ended.get_future().get();
  EXPECT_FALSE(status.ok());
}

TEST_F(ProduceCallTest, MessagesAboveTheLimitAreRefused) {
  const grpc::Status status = Produce(PlainRequest({std::string(33u << 20, 'v')}));
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(broker_.LogEnd("orders", 1), Offset{0});
}

TEST_F(ProduceCallTest, ProducersGetTheirIds) {
  v1::InitProducerResponse response;
  auto context = NewContext();
  ASSERT_TRUE(stub_->InitProducer(context.get(), v1::InitProducerRequest(), &response).ok());
  EXPECT_EQ(response.producer_id(), 4000);
  EXPECT_EQ(response.producer_epoch(), 0);
  v1::InitProducerRequest again;
  again.set_producer_id(4000);
  again.set_producer_epoch(0);
  context = NewContext();
  ASSERT_TRUE(stub_->InitProducer(context.get(), again, &response).ok());
  EXPECT_EQ(response.producer_epoch(), 1);
  again.clear_producer_epoch();
  context = NewContext();
  EXPECT_EQ(stub_->InitProducer(context.get(), again, &response).error_code(),
            grpc::INVALID_ARGUMENT);
  again.set_transactional_id("tx");
  context = NewContext();
  EXPECT_EQ(stub_->InitProducer(context.get(), again, &response).error_code(), grpc::UNIMPLEMENTED);
}

TEST(GrpcServer, APortThatIsTakenIsNamed) {
  MemoryBroker broker;
  auto first = GrpcServer::Start(broker, {.port = 0});
  ASSERT_TRUE(first.ok());
  const auto second = GrpcServer::Start(broker, {.port = (*first)->port()});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().reason, Reason::kInvalidConfig);
  EXPECT_THAT(second.error().message, HasSubstr("another process listens there"));
  EXPECT_THAT(second.error().message, HasSubstr(std::to_string((*first)->port())));
}

}  // namespace
}  // namespace gregor
