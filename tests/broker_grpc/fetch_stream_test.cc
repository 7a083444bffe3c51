#include <gmock/gmock.h>

#include <map>

#include "gregor/v1/fetch.grpc.pb.h"
#include "tests/base/log_lines.h"
#include "tests/broker_grpc/door_harness.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class FetchStreamTest : public DoorTest {
 protected:
  FetchStreamTest() { broker_.AddTopic("orders", 4); }

  void Start(GrpcServer::Options options = {}, v1::FetchOpen open = BatchesOpen()) {
    if (server_ == nullptr) StartServer(options);
    stub_ = v1::FetchService::NewStub(channel_);
    context_ = NewContext();
    stream_ = stub_->FetchStream(context_.get());
    v1::FetchStreamRequest request;
    *request.mutable_open() = std::move(open);
    ASSERT_TRUE(stream_->Write(request));
    ASSERT_TRUE(Next().has_opened());
  }
  static v1::FetchOpen BatchesOpen() {
    v1::FetchOpen open;
    open.set_format(v1::RECORD_FORMAT_BATCHES);
    return open;
  }
  void Append(int32_t partition, const std::vector<std::string>& values) {
    broker_.Append("orders", partition, BatchOf(values));
  }
  void Credit(int64_t bytes) {
    v1::FetchStreamRequest request;
    request.set_credit_bytes(bytes);
    ASSERT_TRUE(stream_->Write(request));
  }
  void Add(int32_t slot, int32_t partition, int64_t offset = 0,
           const std::string& topic = "orders") {
    v1::FetchStreamRequest request;
    request.mutable_add()->set_slot(slot);
    request.mutable_add()->mutable_partition()->set_topic(topic);
    request.mutable_add()->mutable_partition()->set_partition(partition);
    request.mutable_add()->mutable_position()->set_offset(offset);
    ASSERT_TRUE(stream_->Write(request));
  }
  void Remove(int32_t slot) {
    v1::FetchStreamRequest request;
    request.mutable_remove()->set_slot(slot);
    ASSERT_TRUE(stream_->Write(request));
  }
  // The next message that is no heartbeat.
  v1::FetchStreamResponse Next() {
    v1::FetchStreamResponse response;
    do {
      if (!stream_->Read(&response)) return {};
    } while (response.has_heartbeat());
    return response;
  }
  static std::vector<std::string> ValuesOf(const std::string& batches) {
    std::vector<std::string> values;
    Bytes rest = Slice::Copy(batches);
    while (!rest.empty()) {
      const auto header = PeekHeader(rest, rest.size());
      if (!header.ok()) break;
      const auto batch = CheckBatch(rest.Sub(0, header->size()));
      auto reader = RecordReader::Open(*batch, 64 << 20);
      while (true) {
        const auto record = reader->Next();
        if (!record.ok() || !record->has_value()) break;
        values.emplace_back(*(*record)->value);
      }
      rest = rest.Sub(header->size(), rest.size() - header->size());
    }
    return values;
  }
  void WaitForWaiting(size_t count) {
    while (broker_.waiting_fetches() < count) std::this_thread::yield();
  }

  std::unique_ptr<v1::FetchService::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::FetchStreamRequest, v1::FetchStreamResponse>>
      stream_;
};

TEST_F(FetchStreamTest, PartitionsAreReadAndFollowed) {
  Append(1, {"a", "b"});
  Start();
  Credit(1 << 20);
  Add(5, 1);
  auto response = Next();
  EXPECT_EQ(response.data().slot(), 5);
  EXPECT_EQ(response.data().next_offset(), 2);
  EXPECT_EQ(response.data().high_watermark(), 2);
  EXPECT_EQ(response.data().leader_epoch(), 3);
  EXPECT_THAT(ValuesOf(response.data().record_batches()), ElementsAre("a", "b"));
  EXPECT_EQ(response.data().charged_bytes(),
            static_cast<int32_t>(response.data().record_batches().size()));
  for (int i = 0; i < 50; ++i) {
    Append(1, {std::to_string(i)});
    response = Next();
    EXPECT_THAT(ValuesOf(response.data().record_batches()), ElementsAre(std::to_string(i)));
  }
}

TEST_F(FetchStreamTest, RecordsAreDecodedWhereAskedFor) {
  Append(1, {"a", "b"});
  Start({}, v1::FetchOpen());
  Credit(1 << 20);
  Add(5, 1, 1);
  const auto data = Next().data();
  ASSERT_EQ(data.records_size(), 1);
  EXPECT_EQ(data.records(0).value(), "b");
  EXPECT_EQ(data.records(0).offset(), 1);
  EXPECT_EQ(data.next_offset(), 2);
  EXPECT_GT(data.charged_bytes(), 0);
}

TEST_F(FetchStreamTest, SlotsAtTheEndSaySo) {
  Append(2, {"x"});
  Start();
  Credit(1 << 20);
  Add(1, 1);
  auto response = Next();
  EXPECT_EQ(response.event().slot(), 1);
  EXPECT_EQ(response.event().event_case(), v1::FetchEvent::kCaughtUpAt);
  EXPECT_EQ(response.event().caught_up_at(), 0);
  Add(2, 2, 1);
  response = Next();
  EXPECT_EQ(response.event().slot(), 2);
  EXPECT_EQ(response.event().caught_up_at(), 1);
}

TEST_F(FetchStreamTest, ATopicIsReadByItsIdWhereOneIsGiven) {
  const TopicId old_id = broker_.AddTopic("logs", 1);
  const TopicId id = broker_.AddTopic("logs", 1);  // in its place
  broker_.Append("logs", 0, BatchOf({"new"}));
  Start();
  Credit(1 << 20);
  const auto add = [&](int32_t slot, const std::string& id) {
    v1::FetchStreamRequest request;
    request.mutable_add()->set_slot(slot);
    request.mutable_add()->mutable_partition()->set_topic("logs");
    request.mutable_add()->set_topic_id(id);
    ASSERT_TRUE(stream_->Write(request));
  };
  const auto text = [](const TopicId& id) { return std::string(id.bytes.begin(), id.bytes.end()); };
  add(1, text(old_id));
  auto response = Next();
  EXPECT_EQ(response.event().slot(), 1);
  EXPECT_EQ(ErrorOfStatus(response.event().error()).reason, Reason::kUnknownTopicId);
  add(2, text(id));
  response = Next();
  EXPECT_EQ(response.data().slot(), 2);
  EXPECT_THAT(ValuesOf(response.data().record_batches()), ElementsAre("new"));
  add(3, "short");
  response = Next();
  EXPECT_EQ(response.event().slot(), 3);
  EXPECT_EQ(ErrorOfStatus(response.event().error()).reason, Reason::kInvalidArgument);
}

TEST_F(FetchStreamTest, NothingIsSentWithoutCredit) {
  Append(1, {"a"});
  Start();
  Add(1, 1);
  Add(2, 2);
  broker_.Run([] {});
  EXPECT_EQ(broker_.reads(), 0);
  Credit(1);
  const auto data = Next().data();
  EXPECT_EQ(data.slot(), 1);
  EXPECT_GT(data.charged_bytes(), 1);  // one batch may overdraw it
}

TEST_F(FetchStreamTest, CreditIsOverdrawnByOneBatchOnly) {
  for (int i = 0; i < 10; ++i) Append(1, {std::string(1000, 'v')});
  Start();
  Add(1, 1);
  Credit(2500);
  auto data = Next().data();
  EXPECT_EQ(data.next_offset(), 2);
  int64_t credit = 2500 - data.charged_bytes();
  data = Next().data();
  EXPECT_EQ(data.next_offset(), 3);
  credit -= data.charged_bytes();
  EXPECT_LT(credit, 0);
  broker_.Run([] {});
  const int64_t reads = broker_.reads();
  Credit(-credit);  // back to nothing: still none
  Add(2, 2);
  Credit(1 << 20);
  data = Next().data();
  EXPECT_EQ(data.slot(), 1);
  EXPECT_GT(broker_.reads(), reads);
}

TEST_F(FetchStreamTest, TurnsAreTaken) {
  for (int32_t partition = 0; partition < 4; ++partition) {
    for (int i = 0; i < 20; ++i) Append(partition, {std::string(500'000, 'v')});
  }
  Start();
  for (int32_t partition = 0; partition < 4; ++partition) Add(10 + partition, partition);
  Credit(1 << 30);
  std::map<int32_t, int64_t> next;
  for (int i = 0; i < 40; ++i) {
    const auto data = Next().data();
    next[data.slot()] = data.next_offset();
    int64_t least = INT64_MAX, most = 0;
    for (int32_t slot = 10; slot < 14; ++slot) {
      least = std::min(least, next[slot]);
      most = std::max(most, next[slot]);
    }
    EXPECT_LE(most - least, 8) << "a partition is ahead of the others";
  }
}

TEST_F(FetchStreamTest, MessagesAreAsLargeAsTheClientAllows) {
  for (int i = 0; i < 10; ++i) Append(1, {std::string(100'000, 'v')});
  auto open = BatchesOpen();
  open.set_max_batch_bytes(250'000);
  Start({}, open);
  Add(1, 1);
  Credit(1 << 30);
  for (int i = 2; i <= 10; i += 2) {
    const auto data = Next().data();
    EXPECT_EQ(data.next_offset(), i);
    EXPECT_LE(data.record_batches().size(), 250'000u);
  }
}

TEST_F(FetchStreamTest, ABatchAboveWhatTheClientTakesClosesItsSlotOnly) {
  Append(1, {std::string(100'000, 'v')});
  Append(2, {"small"});
  for (const int64_t credit : {int64_t{1} << 30, int64_t{10}}) {
    auto open = BatchesOpen();
    open.set_max_batch_bytes(50'000);
    Start({}, open);
    Credit(credit);
    Add(1, 1);
    const auto event = Next().event();
    EXPECT_EQ(event.slot(), 1);
    const Error error = ErrorOfStatus(event.error());
    EXPECT_EQ(error.reason, Reason::kFetchTooSmall);
    EXPECT_GT(std::stoi(DetailOf(error, "needed_bytes")), 100'000);
    if (credit == 10) {
      EXPECT_EQ(DetailOf(error, "topic"), "orders");
      EXPECT_EQ(DetailOf(error, "partition"), "1");
      EXPECT_EQ(DetailOf(error, "offset"), "0");
    }
    Add(2, 2);
    EXPECT_EQ(Next().data().slot(), 2);
    context_->TryCancel();
  }
}

TEST_F(FetchStreamTest, ARecordThatIsNeverSentClosesItsSlotAndSaysWhereToGoOn) {
  broker_.message_bytes_limit_ = 4 << 20;
  broker_.Append("orders", 1, BatchOf({std::string(6'000'000, 'b'), "behind"}, Codec::kZstd));
  v1::FetchOpen open;
  open.set_max_batch_bytes(INT32_MAX);
  Start({}, open);
  Credit(1 << 30);
  Add(1, 1);
  const Error error = ErrorOfStatus(Next().event().error());
  EXPECT_EQ(error.reason, Reason::kFetchTooSmall);
  EXPECT_EQ(DetailOf(error, "topic"), "orders");
  EXPECT_EQ(DetailOf(error, "partition"), "1");
  Add(2, 1, std::stoi(DetailOf(error, "next_offset")));
  EXPECT_EQ(Next().data().records(0).value(), "behind");
}

TEST_F(FetchStreamTest, RemovedSlotsAreSilent) {
  Start();
  Credit(1 << 20);
  Add(1, 1);
  EXPECT_TRUE(Next().has_event());
  WaitForWaiting(1);
  Remove(1);
  Add(2, 2);
  EXPECT_EQ(Next().event().slot(), 2);
  WaitForWaiting(2);
  Append(1, {"unseen"});
  Append(2, {"seen"});
  EXPECT_EQ(Next().data().slot(), 2);
}

TEST_F(FetchStreamTest, SeekingIsANewSlot) {
  Append(1, {"a", "b", "c"});
  Start();
  Credit(1 << 20);
  Add(1, 1, 3);
  EXPECT_TRUE(Next().has_event());
  Remove(1);
  Add(2, 1, 0);
  const auto data = Next().data();
  EXPECT_EQ(data.slot(), 2);
  EXPECT_THAT(ValuesOf(data.record_batches()), ElementsAre("a", "b", "c"));
}

TEST_F(FetchStreamTest, ErrorsCloseTheirSlotOnly) {
  Append(2, {"x"});
  Start();
  Credit(1 << 20);
  Add(1, 1, 99);
  auto event = Next().event();
  EXPECT_EQ(event.slot(), 1);
  EXPECT_EQ(ErrorOfStatus(event.error()).reason, Reason::kOffsetOutOfRange);
  Add(1, 1, 0);  // closed, so it is free
  EXPECT_EQ(Next().event().caught_up_at(), 0);
  Add(3, 0, 0, "nothing");
  event = Next().event();
  EXPECT_EQ(event.slot(), 3);
  EXPECT_EQ(ErrorOfStatus(event.error()).reason, Reason::kTopicNotFound);
  Add(4, 0, -5);
  EXPECT_EQ(ErrorOfStatus(Next().event().error()).reason, Reason::kInvalidArgument);
  Add(5, 2);
  EXPECT_EQ(Next().data().slot(), 5);
}

TEST_F(FetchStreamTest, ManyBadSlotsAreAllAnswered) {
  Start();
  Credit(1 << 20);
  constexpr int kSlots = 20'000;
  std::thread writer([&] {
    for (int i = 0; i < kSlots; ++i) Add(i, i, 0, "nothing");
  });
  for (int i = 0; i < kSlots; ++i) ASSERT_TRUE(Next().event().has_error());
  writer.join();
}

TEST_F(FetchStreamTest, TheLogNamesTheClientOfAStreamThatEndsWithAnError) {
  LogLines log;
  v1::FetchOpen open = BatchesOpen();
  open.set_client_id("reader-1");
  std::string line;
  // One line a second at most is written: other streams may have been first.
  for (; line.empty(); line = log.With("reader-1")) {
    Start({}, open);
    Credit(0);
    v1::FetchStreamResponse response;
    while (stream_->Read(&response)) {
    }
    EXPECT_EQ(stream_->Finish().error_code(), grpc::INVALID_ARGUMENT);
  }
  EXPECT_THAT(line, HasSubstr("Stream 7-f"));
  EXPECT_THAT(line, HasSubstr(" of \"reader-1\" at ipv4:127.0.0.1:"));
  EXPECT_THAT(line, HasSubstr("credit_bytes has to be positive"));
}

TEST_F(FetchStreamTest, ASlotThatIsTakenEndsTheStream) {
  Start();
  Add(1, 1);
  Add(1, 2);
  v1::FetchStreamResponse response;
  while (stream_->Read(&response)) {
  }
  const grpc::Status status = stream_->Finish();
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("slot 1 is taken"));
}

TEST_F(FetchStreamTest, BadRequestsEndTheStream) {
  StartServer();
  stub_ = v1::FetchService::NewStub(channel_);
  std::vector<v1::FetchStreamRequest> requests(5);
  requests[0].set_credit_bytes(5);  // before open
  requests[1].mutable_open()->set_format(static_cast<v1::RecordFormat>(9));
  requests[2].mutable_open()->set_max_batch_bytes(-1);
  requests[3].mutable_open()->set_isolation(static_cast<v1::Isolation>(9));
  requests[4].mutable_remove()->set_slot(1);
  for (const auto& request : requests) {
    context_ = NewContext();
    stream_ = stub_->FetchStream(context_.get());
    ASSERT_TRUE(stream_->Write(request));
    v1::FetchStreamResponse response;
    EXPECT_FALSE(stream_->Read(&response));
    EXPECT_EQ(stream_->Finish().error_code(), grpc::INVALID_ARGUMENT) << request.ShortDebugString();
  }
  Start();
  Credit(0);
  EXPECT_FALSE(Next().has_data());
  EXPECT_EQ(stream_->Finish().error_code(), grpc::INVALID_ARGUMENT);
}

TEST_F(FetchStreamTest, MinBytesAreWaitedForAtTheEnd) {
  auto open = BatchesOpen();
  open.set_min_bytes(300);
  open.set_max_wait_ms(10'000);
  Start({}, open);
  Credit(1 << 20);
  Add(1, 1);
  EXPECT_TRUE(Next().has_event());
  WaitForWaiting(1);
  Append(1, {std::string(100, 'a')});
  Append(1, {std::string(100, 'b')});
  EXPECT_EQ(Next().data().next_offset(), 2);
}

TEST_F(FetchStreamTest, AClientThatDoesNotReadHoldsLittle) {
  for (int i = 0; i < 200; ++i) Append(1, {std::string(900'000, 'v')});
  Start();
  Add(1, 1);
  Credit(int64_t{1} << 40);
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
  EXPECT_LT(broker_.reads(), 100);
  for (int i = 1; i <= 200; ++i) EXPECT_EQ(Next().data().next_offset(), i);
}

TEST_F(FetchStreamTest, HalfClosedStreamsEnd) {
  Append(1, {"a"});
  Start();
  Credit(1 << 20);
  Add(1, 1);
  EXPECT_TRUE(Next().has_data());
  stream_->WritesDone();
  EXPECT_FALSE(Next().has_data());
  EXPECT_TRUE(stream_->Finish().ok());
}

TEST_F(FetchStreamTest, SilentStreamsGetHeartbeats) {
  Start({.heartbeat_interval = std::chrono::milliseconds(40)});
  v1::FetchStreamResponse response;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(stream_->Read(&response));
    EXPECT_TRUE(response.has_heartbeat());
  }
}

TEST_F(FetchStreamTest, DrainingStreamsAreToldAndEndWell) {
  Start();
  Credit(1 << 20);
  Add(1, 1);
  EXPECT_TRUE(Next().has_event());
  server_->Drain();
  EXPECT_GT(Next().draining().close_in_ms(), 0);
  EXPECT_FALSE(Next().has_data());
  EXPECT_TRUE(stream_->Finish().ok());
}

TEST_F(FetchStreamTest, ACancelledStreamLeavesNothingBehind) {
  Append(1, {std::string(100'000, 'v')});
  Start();
  Credit(1 << 20);
  for (int32_t i = 0; i < 4; ++i) Add(i, i);
  EXPECT_TRUE(stream_->Read(std::make_unique<v1::FetchStreamResponse>().get()));
  context_->TryCancel();
  EXPECT_EQ(stream_->Finish().error_code(), grpc::CANCELLED);
  WaitForMetric("gregor_grpc_streams_open{method=\"gregor.v1.FetchService/FetchStream\"} 0");
}

TEST_F(FetchStreamTest, ServerEndsWithReadsThatTheBrokerNeverAnswers) {
  Start();
  broker_.DropEverything();
  Credit(1 << 20);
  Add(1, 1);
  while (broker_.reads() == 0) std::this_thread::yield();
  server_->Shutdown(std::chrono::seconds(1));
  server_.reset();
  const grpc::Status status = stream_->Finish();
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(status), Reason::kServerDraining);
}

}  // namespace
}  // namespace gregor
