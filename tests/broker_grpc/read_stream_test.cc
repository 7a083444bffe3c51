#include <gmock/gmock.h>

#include <map>

#include "gregor/v1/fetch.grpc.pb.h"
#include "tests/broker_grpc/door_harness.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

class ReadStreamTest : public DoorTest {
 protected:
  ReadStreamTest() { broker_.AddTopic("orders", 3); }

  void Start(GrpcServer::Options options = {}) {
    StartServer(options);
    stub_ = v1::FetchService::NewStub(channel_);
  }
  void Append(int32_t partition, const std::vector<std::string>& values,
              Codec codec = Codec::kNone) {
    broker_.Append("orders", partition, BatchOf(values, codec));
  }
  static v1::ReadRequest RequestOf(const std::vector<int32_t>& partitions) {
    v1::ReadRequest request;
    request.set_topic("orders");
    for (const int32_t partition : partitions) request.add_partitions(partition);
    return request;
  }
  void Open(const v1::ReadRequest& request) {
    context_ = NewContext();
    reader_ = stub_->Read(context_.get(), request);
  }
  // All values to the end of the stream.
  std::vector<std::string> ReadAll() {
    std::vector<std::string> values;
    v1::ReadResponse response;
    while (reader_->Read(&response)) {
      for (const auto& record : response.records()) values.push_back(record.value());
    }
    status_ = reader_->Finish();
    return values;
  }
  v1::ReadResponse Next() {
    v1::ReadResponse response;
    EXPECT_TRUE(reader_->Read(&response));
    return response;
  }

  std::unique_ptr<v1::FetchService::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReader<v1::ReadResponse>> reader_;
  grpc::Status status_;
};

TEST_F(ReadStreamTest, ATopicIsReadToItsEnd) {
  Start();
  Append(0, {"a", "b"});
  Append(2, {"c"}, Codec::kGzip);
  auto request = RequestOf({});
  request.set_stop_at_end(true);
  Open(request);
  EXPECT_THAT(ReadAll(), UnorderedElementsAre("a", "b", "c"));
  EXPECT_TRUE(status_.ok()) << status_.error_message();
}

TEST_F(ReadStreamTest, CompressedBatchesWaitForTheMemoryThatTheyAreDecodedIn) {
  Start();
  Append(1, {"a"}, Codec::kGzip);
  Budget& memory = broker_.decode_memory();
  auto others = memory.TryAcquire(memory.max());
  auto request = RequestOf({1});
  request.set_stop_at_end(true);
  Open(request);
  while (broker_.reads() < 3) std::this_thread::yield();
  others.Release();
  EXPECT_THAT(ReadAll(), ElementsAre("a"));
  EXPECT_TRUE(status_.ok()) << status_.error_message();
}

TEST_F(ReadStreamTest, AnEmptyTopicEndsAtOnce) {
  Start();
  auto request = RequestOf({});
  request.set_stop_at_end(true);
  Open(request);
  EXPECT_TRUE(ReadAll().empty());
  EXPECT_TRUE(status_.ok());
}

TEST_F(ReadStreamTest, WhatComesAfterTheCallIsNotPartOfTheEnd) {
  Start();
  Append(1, {"a", "b"});
  auto request = RequestOf({1});
  request.set_stop_at_end(true);
  // The end is inside of a batch that was written before.
  broker_.Run([] {});
  Open(request);
  EXPECT_THAT(ReadAll(), ElementsAre("a", "b"));
  EXPECT_TRUE(status_.ok());
}

TEST_F(ReadStreamTest, ResponsesSayWhereToGoOn) {
  Start();
  Append(1, {"a", "b", "c"});
  auto request = RequestOf({1});
  request.mutable_start()->set_offset(1);
  Open(request);
  const auto response = Next();
  EXPECT_EQ(response.partition(), 1);
  EXPECT_EQ(response.records_size(), 2);
  EXPECT_EQ(response.records(0).offset(), 1);
  EXPECT_EQ(response.next_offset(), 3);
  EXPECT_EQ(response.high_watermark(), 3);
}

TEST_F(ReadStreamTest, ATopicIsReadByItsIdWhereOneIsGiven) {
  Start();
  const TopicId old_id = broker_.AddTopic("logs", 1);
  const TopicId id = broker_.AddTopic("logs", 1);  // in its place
  broker_.Append("logs", 0, BatchOf({"new"}));
  const auto text = [](const TopicId& id) { return std::string(id.bytes.begin(), id.bytes.end()); };
  v1::ReadRequest request;
  request.set_topic("logs");
  Open(request);
  EXPECT_EQ(Next().topic_id(), text(id));
  request.set_stop_at_end(true);
  request.set_topic_id(text(old_id));
  Open(request);
  EXPECT_TRUE(ReadAll().empty());
  EXPECT_EQ(ReasonOf(status_), Reason::kUnknownTopicId);
  EXPECT_NE(status_.error_message().find("created anew"), std::string::npos);
  request.set_topic_id(text(id));
  Open(request);
  EXPECT_THAT(ReadAll(), ElementsAre("new"));
  request.clear_topic();
  Open(request);
  EXPECT_THAT(ReadAll(), ElementsAre("new"));
  request.set_topic("orders");
  Open(request);
  EXPECT_TRUE(ReadAll().empty());
  EXPECT_EQ(ReasonOf(status_), Reason::kInconsistentTopicId);
}

TEST_F(ReadStreamTest, NewRecordsAreFollowed) {
  Start();
  auto request = RequestOf({});
  request.mutable_start()->set_anchor(v1::Position::ANCHOR_LATEST);
  Append(1, {"before"});
  Open(request);
  while (broker_.waiting_fetches() < 3) std::this_thread::yield();
  for (int i = 0; i < 20; ++i) {
    Append(i % 3, {std::to_string(i)});
    const auto response = Next();
    ASSERT_EQ(response.records_size(), 1);
    EXPECT_EQ(response.records(0).value(), std::to_string(i));
    EXPECT_EQ(response.partition(), i % 3);
  }
}

TEST_F(ReadStreamTest, MaxRecordsCountsOverAllPartitions) {
  Start();
  for (int32_t i = 0; i < 3; ++i) Append(i, {"a", "b", "c", "d"});
  auto request = RequestOf({});
  request.set_max_records(7);
  Open(request);
  EXPECT_EQ(ReadAll().size(), 7u);
  EXPECT_TRUE(status_.ok());
}

TEST_F(ReadStreamTest, ALargeTopicComesWholeAndInOrder) {
  Start();
  std::vector<std::string> values;
  for (int i = 0; i < 200; ++i) {
    values.push_back(std::to_string(i) + std::string(50'000, 'v'));
    Append(1, {values.back()}, i % 3 == 0 ? Codec::kZstd : Codec::kNone);
  }
  auto request = RequestOf({1});
  request.set_stop_at_end(true);
  Open(request);
  std::vector<std::string> read;
  v1::ReadResponse response;
  while (reader_->Read(&response)) {
    EXPECT_LT(response.ByteSizeLong(), (1u << 20) + 100);
    for (const auto& record : response.records()) read.push_back(record.value());
  }
  EXPECT_TRUE(reader_->Finish().ok());
  EXPECT_EQ(read, values);
}

TEST_F(ReadStreamTest, LargeRecordsComeWhereTheClientTakesThem) {
  Start();
  Append(1, {"small", std::string(2'500'000, 'a'), "small too"});
  Append(1, {std::string(6'000'000, 'b')}, Codec::kZstd);
  auto request = RequestOf({1});
  request.set_stop_at_end(true);
  Open(request);
  EXPECT_EQ(ReadAll().size(), 3u);
  EXPECT_EQ(ReasonOf(status_), Reason::kFetchTooSmall);
  EXPECT_GT(std::stoi(DetailOf(status_, "needed_bytes")), 6'000'000);
  request.set_max_bytes(std::stoi(DetailOf(status_, "needed_bytes")));
  Open(request);
  EXPECT_EQ(ReadAll().size(), 4u);
  EXPECT_TRUE(status_.ok());
  request.set_max_bytes(2'000'000);
  Open(request);
  EXPECT_EQ(ReadAll().size(), 1u);
  EXPECT_EQ(ReasonOf(status_), Reason::kFetchTooSmall);
}

TEST_F(ReadStreamTest, ARecordThatIsNeverSentIsSkippedWithWhatTheErrorSays) {
  broker_.message_bytes_limit_ = 4 << 20;
  Start();
  Append(1, {"before", std::string(6'000'000, 'b'), "behind"}, Codec::kZstd);
  auto request = RequestOf({1});
  request.set_stop_at_end(true);
  request.set_max_bytes(INT32_MAX);
  Open(request);
  EXPECT_THAT(ReadAll(), ElementsAre("before"));
  EXPECT_EQ(ReasonOf(status_), Reason::kFetchTooSmall);
  EXPECT_NE(status_.error_message().find("message_limit"), std::string::npos);
  EXPECT_EQ(DetailOf(status_, "topic"), "orders");
  EXPECT_EQ(DetailOf(status_, "partition"), "1");
  EXPECT_EQ(DetailOf(status_, "offset"), "1");
  EXPECT_EQ(DetailOf(status_, "limit_bytes"), std::to_string(4 << 20));
  EXPECT_GT(std::stoi(DetailOf(status_, "needed_bytes")), 6'000'000);
  request.mutable_start()->set_offset(std::stoi(DetailOf(status_, "next_offset")));
  Open(request);
  EXPECT_THAT(ReadAll(), ElementsAre("behind"));
  EXPECT_TRUE(status_.ok());
}

TEST_F(ReadStreamTest, LessThanTheLeastThatIsSentCountsAsThat) {
  Start();
  Append(1, {std::string(3000, 'a'), std::string(5000, 'b')});
  auto request = RequestOf({1});
  request.set_stop_at_end(true);
  request.set_max_bytes(5);
  Open(request);
  EXPECT_EQ(ReadAll().size(), 1u);
  EXPECT_EQ(ReasonOf(status_), Reason::kFetchTooSmall);
}

TEST_F(ReadStreamTest, AClientThatDoesNotReadHoldsLittle) {
  Start();
  for (int i = 0; i < 100; ++i) Append(1, {std::string(900'000, 'v')});
  auto request = RequestOf({1});
  Open(request);
  // What is not read stays in the log: the broker is asked for some of it only.
  int64_t before = -1;
  const auto loop = NewThreadLoop("watch");
  std::promise<void> quiet;
  std::function<void()> look = [&] {
    const int64_t now = broker_.reads();
    if (now == before && now > 0) return quiet.set_value();
    before = now;
    loop->After(std::chrono::milliseconds(200), "look", look);
  };
  loop->Post("look", look);
  quiet.get_future().get();
  EXPECT_LT(broker_.reads(), 60);
  request.set_stop_at_end(true);
  int count = 0;
  v1::ReadResponse response;
  while (count < 100 && reader_->Read(&response)) count += response.records_size();
  EXPECT_EQ(count, 100);
}

TEST_F(ReadStreamTest, SilentStreamsGetEmptyResponses) {
  Start({.heartbeat_interval = std::chrono::milliseconds(40)});
  Open(RequestOf({1}));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Next().records_size(), 0);
}

TEST_F(ReadStreamTest, BadRequestsAreRefused) {
  Start();
  std::vector<std::pair<v1::ReadRequest, grpc::StatusCode>> requests;
  auto request = RequestOf({});
  request.set_topic("nothing");
  requests.emplace_back(request, grpc::NOT_FOUND);
  request.set_topic("");
  requests.emplace_back(request, grpc::INVALID_ARGUMENT);
  requests.emplace_back(RequestOf({1, 5}), grpc::NOT_FOUND);
  Open(RequestOf({1, 5}));
  EXPECT_TRUE(ReadAll().empty());
  EXPECT_EQ(DetailOf(status_, "partition"), "5");
  request = RequestOf({});
  request.set_max_records(-1);
  requests.emplace_back(request, grpc::INVALID_ARGUMENT);
  request = RequestOf({});
  request.set_heartbeat_ms(-1);
  requests.emplace_back(request, grpc::INVALID_ARGUMENT);
  request = RequestOf({});
  request.mutable_start()->set_offset(17);
  requests.emplace_back(request, grpc::OUT_OF_RANGE);
  for (const auto& [bad, code] : requests) {
    Open(bad);
    EXPECT_TRUE(ReadAll().empty());
    EXPECT_EQ(status_.error_code(), code) << bad.ShortDebugString();
    EXPECT_FALSE(Trailer(*context_, "x-gregor-reason").empty());
  }
}

TEST_F(ReadStreamTest, ACancelledReadLeavesNothingBehind) {
  Start();
  Append(1, {"a"});
  Open(RequestOf({1}));
  EXPECT_EQ(Next().records_size(), 1);
  context_->TryCancel();
  EXPECT_TRUE(ReadAll().empty());
  EXPECT_EQ(status_.error_code(), grpc::CANCELLED);
  WaitForMetric("gregor_grpc_streams_open{method=\"gregor.v1.FetchService/Read\"} 0");
}

TEST_F(ReadStreamTest, ADrainingServerSendsReadersElsewhere) {
  Start();
  Open(RequestOf({1}));
  while (broker_.waiting_fetches() == 0) std::this_thread::yield();
  server_->Drain();
  EXPECT_TRUE(ReadAll().empty());
  EXPECT_EQ(status_.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(status_), Reason::kServerDraining);
}

TEST_F(ReadStreamTest, ServerEndsWithReadsThatTheBrokerNeverAnswers) {
  Start();
  broker_.DropEverything();
  Open(RequestOf({}));
  while (broker_.reads() == 0) std::this_thread::yield();
  server_->Shutdown(std::chrono::seconds(1));
  server_.reset();
  EXPECT_TRUE(ReadAll().empty());
  EXPECT_EQ(status_.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(status_), Reason::kServerDraining);
}

}  // namespace
}  // namespace gregor
