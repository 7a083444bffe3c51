#include <gmock/gmock.h>

#include "gregor/v1/fetch.grpc.pb.h"
#include "tests/broker_grpc/door_harness.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class FetchCallTest : public DoorTest {
 protected:
  FetchCallTest() { broker_.AddTopic("orders", 3); }

  void Start(GrpcServer::Options options = {}) {
    StartServer(options);
    stub_ = v1::FetchService::NewStub(channel_);
  }
  void Append(const std::vector<std::string>& values, Codec codec = Codec::kNone) {
    broker_.Append("orders", 1, BatchOf(values, codec));
  }
  static v1::FetchRequest RequestAt(int64_t offset) {
    v1::FetchRequest request;
    request.set_topic("orders");
    request.set_partition(1);
    request.mutable_position()->set_offset(offset);
    return request;
  }
  grpc::Status Fetch(const v1::FetchRequest& request,
                     std::chrono::milliseconds timeout = std::chrono::seconds(20)) {
    context_ = NewContext(timeout);
    response_.Clear();
    return stub_->Fetch(context_.get(), request, &response_);
  }
  std::vector<std::string> Values() const {
    std::vector<std::string> values;
    for (const auto& record : response_.records()) values.push_back(record.value());
    return values;
  }

  std::unique_ptr<v1::FetchService::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
  v1::FetchResponse response_;
};

TEST_F(FetchCallTest, RecordsAreDecoded) {
  Start();
  Append({"a", "b"});
  Append({"c"}, Codec::kZstd);
  ASSERT_TRUE(Fetch(RequestAt(1)).ok());
  EXPECT_THAT(Values(), ElementsAre("b", "c"));
  EXPECT_EQ(response_.records(0).offset(), 1);
  EXPECT_EQ(response_.records(0).timestamp_ms(), 1'700'000'000'000);
  EXPECT_EQ(response_.next_offset(), 3);
  EXPECT_EQ(response_.high_watermark(), 3);
  EXPECT_EQ(response_.last_stable_offset(), 3);
  EXPECT_EQ(response_.leader_epoch(), 3);
  EXPECT_TRUE(response_.record_batches().empty());
}

TEST_F(FetchCallTest, BatchesComeAsTheyAreStored) {
  Start();
  Append({"a", "b"});
  Append({std::string(200'000, 'c')}, Codec::kNone);
  auto request = RequestAt(1);
  request.set_format(v1::RECORD_FORMAT_BATCHES);
  ASSERT_TRUE(Fetch(request).ok());
  EXPECT_EQ(response_.records_size(), 0);
  EXPECT_EQ(response_.next_offset(), 3);
  const Bytes bytes = Slice::Copy(response_.record_batches());
  const auto first = PeekHeader(bytes, bytes.size());
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->base_offset, Offset{0});  // begins before the offset
  const auto second = CheckBatch(bytes.Sub(first->size(), bytes.size() - first->size()));
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->header.base_offset, Offset{2});
}

TEST_F(FetchCallTest, WithoutAPositionItBeginsAtTheEarliestRecord) {
  Start();
  Append({"a"});
  auto request = RequestAt(0);
  request.clear_position();
  ASSERT_TRUE(Fetch(request).ok());
  EXPECT_THAT(Values(), ElementsAre("a"));
  request.mutable_position()->set_tail(1);
  Append({"b"});
  ASSERT_TRUE(Fetch(request).ok());
  EXPECT_THAT(Values(), ElementsAre("b"));
}

TEST_F(FetchCallTest, AnEmptyAnswerComesAtOnceUnlessAskedToWait) {
  Start();
  Append({"a"});
  ASSERT_TRUE(Fetch(RequestAt(1)).ok());
  EXPECT_EQ(response_.records_size(), 0);
  EXPECT_EQ(response_.next_offset(), 1);
}

TEST_F(FetchCallTest, AWaitingFetchIsAnsweredWhenSomethingComes) {
  Start();
  auto request = RequestAt(0);
  request.set_max_wait_ms(15'000);
  std::thread producer([&] {
    while (broker_.waiting_fetches() == 0) std::this_thread::yield();
    Append({"now"});
  });
  ASSERT_TRUE(Fetch(request).ok());
  producer.join();
  EXPECT_THAT(Values(), ElementsAre("now"));
}

TEST_F(FetchCallTest, AWaitEndsWithItsTimeAndBeforeTheDeadline) {
  Start();
  auto request = RequestAt(0);
  request.set_max_wait_ms(60);
  ASSERT_TRUE(Fetch(request).ok());
  request.set_max_wait_ms(60'000);
  ASSERT_TRUE(Fetch(request, std::chrono::milliseconds(400)).ok());
  EXPECT_EQ(response_.next_offset(), 0);
}

TEST_F(FetchCallTest, ABatchThatDoesNotFitSaysWhatItNeeds) {
  Start();
  Append({std::string(50'000, 'v')});
  auto request = RequestAt(0);
  request.set_max_bytes(10'000);
  request.set_format(v1::RECORD_FORMAT_BATCHES);
  grpc::Status status = Fetch(request);
  EXPECT_EQ(status.error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(ReasonOf(status), Reason::kFetchTooSmall);
  request.set_max_bytes(std::stoi(DetailOf(status, "needed_bytes")));
  EXPECT_TRUE(Fetch(request).ok());
  // Decoded, it is the record that does not fit.
  request.set_format(v1::RECORD_FORMAT_RECORDS);
  request.set_max_bytes(10'000);
  status = Fetch(request);
  EXPECT_EQ(ReasonOf(status), Reason::kFetchTooSmall);
  request.set_max_bytes(std::stoi(DetailOf(status, "needed_bytes")));
  EXPECT_TRUE(Fetch(request).ok());
}

TEST_F(FetchCallTest, ARecordThatIsNeverSentNamesItsPlaceAndWhereToGoOn) {
  broker_.message_bytes_limit_ = 4 << 20;
  Start();
  Append({std::string(6'000'000, 'b'), "behind"}, Codec::kZstd);
  auto request = RequestAt(0);
  request.set_max_bytes(INT32_MAX);
  const grpc::Status status = Fetch(request);
  EXPECT_EQ(ReasonOf(status), Reason::kFetchTooSmall);
  EXPECT_EQ(DetailOf(status, "topic"), "orders");
  EXPECT_EQ(DetailOf(status, "partition"), "1");
  EXPECT_EQ(DetailOf(status, "next_offset"), "1");
  ASSERT_TRUE(Fetch(RequestAt(1)).ok());
  EXPECT_THAT(Values(), ElementsAre("behind"));
  request.set_format(v1::RECORD_FORMAT_BATCHES);
  ASSERT_TRUE(Fetch(request).ok());
  EXPECT_EQ(response_.next_offset(), 2);
}

TEST_F(FetchCallTest, AnswersStayBelowTheDefaultLimitOfClientsUnlessMoreIsAsked) {
  Start();
  for (int i = 0; i < 6; ++i) Append({std::string(900'000, 'v')});
  for (const auto format : {v1::RECORD_FORMAT_RECORDS, v1::RECORD_FORMAT_BATCHES}) {
    auto request = RequestAt(0);
    request.set_format(format);
    ASSERT_TRUE(Fetch(request).ok());
    EXPECT_LE(response_.ByteSizeLong(), 1u << 20);
    request.set_max_bytes(5 << 20);
    ASSERT_TRUE(Fetch(request).ok());
    EXPECT_GT(response_.ByteSizeLong(), 4u << 20);
    EXPECT_LT(response_.ByteSizeLong(), 5u << 20);
  }
}

TEST_F(FetchCallTest, ACompressedBatchIsReadInSeveralAnswers) {
  Start();
  std::vector<std::string> values;
  for (int i = 0; i < 100; ++i) values.emplace_back(10'000, static_cast<char>('a' + i % 26));
  Append(values, Codec::kZstd);
  auto request = RequestAt(0);
  request.set_max_bytes(128 << 10);
  std::vector<std::string> read;
  while (read.size() < values.size()) {
    ASSERT_TRUE(Fetch(request).ok());
    ASSERT_GT(response_.records_size(), 0);
    EXPECT_LE(response_.ByteSizeLong(), (128u << 10) + 100);
    for (const auto& value : Values()) read.push_back(value);
    request.mutable_position()->set_offset(response_.next_offset());
  }
  EXPECT_EQ(read, values);
}

TEST_F(FetchCallTest, OffsetsOutOfRangeSayWhatIsThere) {
  Start();
  Append({"a"});
  const grpc::Status status = Fetch(RequestAt(9));
  EXPECT_EQ(status.error_code(), grpc::OUT_OF_RANGE);
  EXPECT_EQ(ReasonOf(status), Reason::kOffsetOutOfRange);
  EXPECT_EQ(DetailOf(status, "log_start_offset"), "0");
  EXPECT_EQ(DetailOf(status, "high_watermark"), "1");
}

TEST_F(FetchCallTest, BadRequestsAreRefused) {
  Start();
  std::vector<v1::FetchRequest> requests(9, RequestAt(0));
  requests[0].set_topic("");
  requests[1].set_max_bytes(-1);
  requests[2].set_max_wait_ms(-1);
  requests[3].set_format(static_cast<v1::RecordFormat>(7));
  requests[4].set_isolation(static_cast<v1::Isolation>(7));
  requests[5].set_routing(static_cast<v1::Routing>(7));
  requests[6].mutable_position()->set_offset(-1);
  requests[7].mutable_position()->set_anchor(v1::Position::ANCHOR_COMMITTED);
  requests[8].set_topic_id("x");
  for (const auto& request : requests) {
    EXPECT_EQ(Fetch(request).error_code(), grpc::INVALID_ARGUMENT) << request.ShortDebugString();
  }
}

TEST_F(FetchCallTest, UnknownTopicsAndPartitionsAreNotFound) {
  Start();
  auto request = RequestAt(0);
  request.set_partition(9);
  EXPECT_EQ(ReasonOf(Fetch(request)), Reason::kPartitionNotFound);
  request.set_topic("nothing");
  EXPECT_EQ(ReasonOf(Fetch(request)), Reason::kTopicNotFound);
}

TEST_F(FetchCallTest, ACancelledFetchEndsInTheBrokerToo) {
  Start();
  auto request = RequestAt(0);
  request.set_max_wait_ms(300);
  context_ = NewContext();
  std::promise<grpc::Status> ended;
  stub_->async()->Fetch(context_.get(), &request, &response_,
                        [&](grpc::Status status) { ended.set_value(status); });
  while (broker_.waiting_fetches() == 0) std::this_thread::yield();
  context_->TryCancel();
  EXPECT_EQ(ended.get_future().get().error_code(), grpc::CANCELLED);
  while (broker_.waiting_fetches() > 0) std::this_thread::yield();
  WaitForMetric(
      "gregor_grpc_calls_total{code=\"CANCELLED\",method=\"gregor.v1.FetchService/Fetch\"} 1");
}

TEST_F(FetchCallTest, MoreThanAConnectionMayHoldIsReadWhenThereIsRoom) {
  Start({.connection_unsent_bytes_max = 1'500'000});
  Append({std::string(900'000, 'v')});
  auto request = RequestAt(0);
  request.set_format(v1::RECORD_FORMAT_BATCHES);
  struct Call {
    std::unique_ptr<grpc::ClientContext> context = NewContext();
    v1::FetchResponse response;
    std::promise<grpc::Status> status;
  };
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 40; ++i) {
    calls.push_back(std::make_unique<Call>());
    Call& call = *calls.back();
    stub_->async()->Fetch(call.context.get(), &request, &call.response,
                          [&call](grpc::Status status) { call.status.set_value(status); });
  }
  for (const auto& call : calls) {
    EXPECT_TRUE(call->status.get_future().get().ok());
    EXPECT_GT(call->response.record_batches().size(), 900'000u);
  }
}

TEST_F(FetchCallTest, ACompressedBatchWaitsForTheMemoryThatItIsDecodedIn) {
  Start();
  broker_.Append("orders", 1, BatchOf({"a", "b"}, Codec::kZstd));
  Budget& memory = broker_.decode_memory();
  auto others = memory.TryAcquire(memory.max());
  const auto refused = Fetch(RequestAt(0));
  EXPECT_EQ(ReasonOf(refused), Reason::kQuotaExceeded);
  EXPECT_EQ(DetailOf(refused, "topic"), "orders");
  auto request = RequestAt(1);
  request.set_max_wait_ms(15'000);
  context_ = NewContext();
  std::promise<grpc::Status> ended;
  stub_->async()->Fetch(context_.get(), &request, &response_,
                        [&](grpc::Status status) { ended.set_value(status); });
  const int64_t reads = broker_.reads();
  while (broker_.reads() < reads + 2) std::this_thread::yield();
  others.Release();
  const auto status = ended.get_future().get();
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response_.records_size(), 1);
  EXPECT_EQ(response_.records(0).value(), "b");
  EXPECT_EQ(memory.used(), 0u);
}

TEST_F(FetchCallTest, OffsetsAreListed) {
  Start();
  Append({"a", "b"});
  v1::ListOffsetsRequest request;
  const auto add = [&](const std::string& topic, v1::Position::Anchor anchor) {
    auto& query = *request.add_queries();
    query.mutable_partition()->set_topic(topic);
    query.mutable_partition()->set_partition(1);
    query.mutable_position()->set_anchor(anchor);
  };
  add("orders", v1::Position::ANCHOR_EARLIEST);
  add("nothing", v1::Position::ANCHOR_EARLIEST);
  add("orders", v1::Position::ANCHOR_LATEST);
  v1::ListOffsetsResponse response;
  auto context = NewContext();
  ASSERT_TRUE(stub_->ListOffsets(context.get(), request, &response).ok());
  ASSERT_EQ(response.results_size(), 3);
  EXPECT_EQ(response.results(0).offset(), 0);
  EXPECT_EQ(ErrorOfStatus(response.results(1).error()).reason, Reason::kTopicNotFound);
  EXPECT_EQ(response.results(2).offset(), 2);
  EXPECT_EQ(response.results(2).leader_epoch(), 3);
  EXPECT_FALSE(response.results(2).has_error());
  // Each has an answer of its own, also one that cannot be understood.
  request.mutable_queries(0)->mutable_position()->set_anchor(static_cast<v1::Position::Anchor>(99));
  add("orders", v1::Position::ANCHOR_COMMITTED);
  add("", v1::Position::ANCHOR_LATEST);
  add("orders", v1::Position::ANCHOR_EARLIEST);
  context = NewContext();
  ASSERT_TRUE(stub_->ListOffsets(context.get(), request, &response).ok());
  ASSERT_EQ(response.results_size(), 6);
  for (const int bad : {0, 3, 4})
    EXPECT_EQ(ErrorOfStatus(response.results(bad).error()).reason, Reason::kInvalidArgument) << bad;
  EXPECT_EQ(ErrorOfStatus(response.results(1).error()).reason, Reason::kTopicNotFound);
  EXPECT_EQ(response.results(2).offset(), 2);
  EXPECT_EQ(response.results(5).offset(), 0);
  EXPECT_FALSE(response.results(5).has_error());
}

TEST_F(FetchCallTest, OffsetsAreOfTheTopicWhoseIdIsGiven) {
  Start();
  const TopicId old_id = broker_.AddTopic("logs", 1);
  const TopicId id = broker_.AddTopic("logs", 1);  // in its place
  const auto text = [](const TopicId& id) { return std::string(id.bytes.begin(), id.bytes.end()); };
  v1::ListOffsetsRequest request;
  for (const std::string& topic_id : {text(old_id), text(id), std::string(), std::string("x")}) {
    auto& query = *request.add_queries();
    query.mutable_partition()->set_topic("logs");
    query.mutable_position()->set_anchor(v1::Position::ANCHOR_LATEST);
    query.set_topic_id(topic_id);
  }
  v1::ListOffsetsResponse response;
  const auto context = NewContext();
  ASSERT_TRUE(stub_->ListOffsets(context.get(), request, &response).ok());
  ASSERT_EQ(response.results_size(), 4);
  EXPECT_EQ(ErrorOfStatus(response.results(0).error()).reason, Reason::kUnknownTopicId);
  for (const int good : {1, 2}) {
    EXPECT_FALSE(response.results(good).has_error());
    EXPECT_EQ(response.results(good).topic_id(), text(id));
  }
  EXPECT_EQ(ErrorOfStatus(response.results(3).error()).reason, Reason::kInvalidArgument);
}

TEST_F(FetchCallTest, EndsOfEpochsAreFound) {
  Start();
  Append({"a", "b"});
  v1::GetEpochEndOffsetRequest request;
  request.mutable_partition()->set_topic("orders");
  request.mutable_partition()->set_partition(1);
  request.set_leader_epoch(3);
  v1::GetEpochEndOffsetResponse response;
  auto context = NewContext();
  ASSERT_TRUE(stub_->GetEpochEndOffset(context.get(), request, &response).ok());
  EXPECT_EQ(response.end().leader_epoch(), 3);
  EXPECT_EQ(response.end().end_offset(), 2);
  request.mutable_partition()->set_topic("nothing");
  context = NewContext();
  EXPECT_EQ(stub_->GetEpochEndOffset(context.get(), request, &response).error_code(),
            grpc::NOT_FOUND);
}

}  // namespace
}  // namespace gregor
