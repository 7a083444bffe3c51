#include <gmock/gmock.h>

#include <thread>

#include "gregor/v1/produce.grpc.pb.h"
#include "tests/base/log_lines.h"
#include "tests/broker_grpc/door_harness.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ProduceStreamTest : public DoorTest {
 protected:
  ProduceStreamTest() { broker_.AddTopic("orders", 3); }

  void StartStream(GrpcServer::Options options = {}, v1::ProduceOpen open = {}) {
    if (server_ == nullptr) StartServer(options);
    stub_ = v1::ProduceService::NewStub(channel_);
    context_ = NewContext();
    stream_ = stub_->ProduceStream(context_.get());
    v1::ProduceStreamRequest request;
    *request.mutable_open() = std::move(open);
    ASSERT_TRUE(stream_->Write(request));
    opened_ = Read().opened();
  }
  // The next message that is no heartbeat.
  v1::ProduceStreamResponse Read() {
    v1::ProduceStreamResponse response;
    do {
      if (!stream_->Read(&response)) return {};
    } while (response.has_heartbeat());
    return response;
  }
  v1::ProduceFrame NewFrame(const std::string& value, int32_t partition = 1, int32_t attempt = 0) {
    v1::ProduceFrame frame;
    frame.set_frame_id(++last_id_);
    frame.set_topic("orders");
    frame.set_partition(partition);
    frame.set_attempt(attempt);
    frame.set_record_batch(BatchOf({value}).bytes.ToString());
    return frame;
  }
  bool Send(const v1::ProduceFrame& frame) {
    v1::ProduceStreamRequest request;
    *request.mutable_frame() = frame;
    return stream_->Write(request);
  }
  grpc::Status Finish() {
    stream_->WritesDone();
    v1::ProduceStreamResponse response;
    while (stream_->Read(&response)) {
    }
    return stream_->Finish();
  }
  void WaitForHeld(size_t count) {
    while (broker_.held_count() < count) std::this_thread::yield();
  }
  static Reason ReasonOf(const v1::ProduceError& error) {
    return ErrorOfStatus(error.status()).reason;
  }

  std::unique_ptr<v1::ProduceService::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ProduceStreamRequest, v1::ProduceStreamResponse>>
      stream_;
  v1::ProduceOpened opened_;
  int64_t last_id_ = 0;
};

TEST_F(ProduceStreamTest, FramesAreAcknowledgedInOrder) {
  StartStream();
  EXPECT_EQ(opened_.broker_id(), 7);
  EXPECT_FALSE(opened_.stream_id().empty());
  EXPECT_GT(opened_.window().max_in_flight_bytes(), 0);
  EXPECT_GT(opened_.window().max_in_flight_frames(), 0);
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(Send(NewFrame(std::to_string(i))));
  for (int i = 0; i < 200; ++i) {
    const auto ack = Read().ack();
    EXPECT_EQ(ack.frame_id(), i + 1);
    EXPECT_EQ(ack.base_offset(), i);
    EXPECT_EQ(ack.partition(), 1);
    EXPECT_EQ(ack.leader_epoch(), 3);
  }
  EXPECT_TRUE(Finish().ok());
  EXPECT_EQ(broker_.LogEnd("orders", 1), Offset{200});
}

TEST_F(ProduceStreamTest, TheTimeOfAppendingIsSaidWhereTheBrokerGaveIt) {
  StartStream();
  ASSERT_TRUE(Send(NewFrame("x")));
  EXPECT_EQ(Read().ack().log_append_time_ms(), 0);
  broker_.SetLogAppendTime(Timestamp{1700000000123});
  ASSERT_TRUE(Send(NewFrame("y")));
  EXPECT_EQ(Read().ack().log_append_time_ms(), 1700000000123);
}

TEST_F(ProduceStreamTest, LargeFramesArriveWhole) {
  StartStream();
  std::vector<std::string> values;
  for (int i = 0; i < 20; ++i) values.emplace_back(400'000, static_cast<char>('a' + i));
  for (const std::string& value : values) ASSERT_TRUE(Send(NewFrame(value)));
  EXPECT_TRUE(Finish().ok());
  EXPECT_EQ(broker_.Values("orders", 1), values);
}

TEST_F(ProduceStreamTest, PlainRecordsWithoutAPartitionSayWhereTheyWent) {
  StartStream();
  v1::ProduceFrame frame;
  frame.set_frame_id(5);
  frame.set_topic("orders");
  for (const char* key : {"k2", "k0"}) frame.add_records()->set_key(key);
  ASSERT_TRUE(Send(frame));
  const auto ack = Read().ack();
  EXPECT_EQ(ack.frame_id(), 5);
  EXPECT_EQ(ack.partition(), 2);
  ASSERT_EQ(ack.ranges_size(), 2);
  EXPECT_EQ(ack.ranges(1).first_index(), 1);
  EXPECT_EQ(ack.ranges(1).partition(), 0);
}

TEST_F(ProduceStreamTest, NothingOvertakesAFrameWithoutAPartition) {
  StartStream();
  broker_.HoldWrites(true);
  v1::ProduceFrame frame;
  frame.set_topic("orders");
  for (int i = 0; i < 3; ++i) {
    frame.set_frame_id(++last_id_);
    frame.clear_records();
    frame.add_records()->set_key("k1");
    ASSERT_TRUE(Send(frame));
  }
  WaitForHeld(1);
  EXPECT_EQ(broker_.held_count(), 1u);
  broker_.HoldWrites(false);
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(Read().ack().frame_id(), i);
}

TEST_F(ProduceStreamTest, ReceiptsComeWithTheAcks) {
  v1::ProduceOpen open;
  open.set_receipt(true);
  StartStream({}, open);
  ASSERT_TRUE(Send(NewFrame("x")));
  const auto ack = Read().ack();
  EXPECT_THAT(ack.receipt().synced(), ElementsAre(7, 300));
  EXPECT_THAT(ack.receipt().held(), ElementsAre(8));
}

TEST_F(ProduceStreamTest, AfterAFailureLaterFramesOfThePartitionAreRefusedUntilSentAgain) {
  StartStream();
  broker_.FailWrites("orders", 1, 1, Error(Reason::kDiskFull, "the disk is full"));
  for (const char* value : {"a", "b", "c"}) ASSERT_TRUE(Send(NewFrame(value)));
  ASSERT_TRUE(Send(NewFrame("other", 2)));
  std::vector<Reason> reasons;
  int acks = 0;
  for (int i = 0; i < 4; ++i) {
    const auto response = Read();
    if (response.has_error()) reasons.push_back(ReasonOf(response.error()));
    if (response.has_ack()) ++acks;
  }
  EXPECT_THAT(reasons, ElementsAre(Reason::kDiskFull, Reason::kPriorRequestFailed,
                                   Reason::kPriorRequestFailed));
  EXPECT_EQ(acks, 1);
  // The same attempt stays refused, a higher one is taken.
  ASSERT_TRUE(Send(NewFrame("b", 1, 0)));
  EXPECT_EQ(ReasonOf(Read().error()), Reason::kPriorRequestFailed);
  for (const char* value : {"a", "b", "c"}) ASSERT_TRUE(Send(NewFrame(value, 1, 1)));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Read().has_ack());
  EXPECT_THAT(broker_.Values("orders", 1), ElementsAre("a", "b", "c"));
}

// Such as where the memory for writes is in use: that is said before the partition's turn comes.
TEST_F(ProduceStreamTest, AFrameIsWrittenAlsoWhereALaterOneIsRefusedBefore) {
  int count = 0;
  broker_.on_batch = [&](const ProduceBatch&) -> std::optional<Error> {
    if (++count != 2) return std::nullopt;
    return Error(Reason::kQuotaExceeded, "more slowly").With("outcome", "NOT_APPLIED");
  };
  StartStream();
  std::promise<void> go;
  broker_.StandStill(go.get_future().share());
  for (const char* value : {"a", "b", "c"}) ASSERT_TRUE(Send(NewFrame(value)));
  while (broker_.refused.Of(Reason::kPriorRequestFailed) == 0) std::this_thread::yield();  // "c"
  go.set_value();
  EXPECT_TRUE(Read().has_ack());
  EXPECT_EQ(ReasonOf(Read().error()), Reason::kQuotaExceeded);
  EXPECT_EQ(ReasonOf(Read().error()), Reason::kPriorRequestFailed);
  for (const char* value : {"b", "c"}) ASSERT_TRUE(Send(NewFrame(value, 1, 1)));
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(Read().has_ack());
  EXPECT_THAT(broker_.Values("orders", 1), ElementsAre("a", "b", "c"));
}

TEST_F(ProduceStreamTest, AFrameThatCannotBeReadFailsThePartitionToo) {
  StartStream();
  auto frame = NewFrame("x");
  frame.add_records();  // and a batch
  ASSERT_TRUE(Send(frame));
  ASSERT_TRUE(Send(NewFrame("y")));
  EXPECT_EQ(ReasonOf(Read().error()), Reason::kInvalidArgument);
  EXPECT_EQ(ReasonOf(Read().error()), Reason::kPriorRequestFailed);
  EXPECT_TRUE(Finish().ok());
  EXPECT_EQ(broker_.LogEnd("orders", 1), Offset{0});
  EXPECT_EQ(broker_.refused.Of(Reason::kInvalidArgument), 1u);
  EXPECT_EQ(broker_.refused.Of(Reason::kPriorRequestFailed), 1u);
}

TEST_F(ProduceStreamTest, ErrorsComeAfterTheAcksOfEarlierFrames) {
  StartStream();
  broker_.HoldWrites(true);
  ASSERT_TRUE(Send(NewFrame("a")));
  WaitForHeld(1);
  auto damaged = NewFrame("b");
  damaged.mutable_record_batch()->back() ^= 1;
  ASSERT_TRUE(Send(damaged));
  ASSERT_TRUE(Send(NewFrame("c", 2)));
  WaitForHeld(2);
  broker_.HoldWrites(false);
  std::vector<int64_t> ids;
  for (int i = 0; i < 3; ++i) {
    const auto response = Read();
    const int64_t id = response.has_ack() ? response.ack().frame_id() : response.error().frame_id();
    if (id != 3) ids.push_back(id);
  }
  EXPECT_THAT(ids, ElementsAre(1, 2));
}

TEST_F(ProduceStreamTest, TheWindowOfFramesIsKept) {
  v1::ProduceOpen open;
  open.set_max_in_flight_frames(4);
  StartStream({}, open);
  EXPECT_EQ(opened_.window().max_in_flight_frames(), 4);
  broker_.HoldWrites(true);
  std::thread writer([&] {
    for (int i = 0; i < 20; ++i) Send(NewFrame("x"));
  });
  WaitForHeld(4);
  writer.join();
  broker_.Run([] {});
  EXPECT_EQ(broker_.held_count(), 4u);
  broker_.ReleaseSome(2);
  WaitForHeld(4);
  EXPECT_EQ(broker_.held_count(), 4u);
  broker_.HoldWrites(false);
  for (int i = 1; i <= 20; ++i) EXPECT_EQ(Read().ack().frame_id(), i);
}

TEST_F(ProduceStreamTest, TheWindowOfBytesIsKept) {
  v1::ProduceOpen open;
  open.set_max_in_flight_bytes(100'000);
  StartStream({}, open);
  EXPECT_EQ(opened_.window().max_in_flight_bytes(), 100'000);
  broker_.HoldWrites(true);
  std::thread writer([&] {
    for (int i = 0; i < 10; ++i) Send(NewFrame(std::string(30'000, 'v')));
  });
  WaitForHeld(4);  // the one that fills the window is taken as a whole
  writer.join();
  broker_.Run([] {});
  EXPECT_EQ(broker_.held_count(), 4u);
  broker_.HoldWrites(false);
  for (int i = 1; i <= 10; ++i) EXPECT_EQ(Read().ack().frame_id(), i);
}

TEST_F(ProduceStreamTest, StreamsWaitForTheMemoryThatTheyShare) {
  StartStream({.produce_bytes_max = 250'000});
  const auto context = NewContext();
  const auto other = stub_->ProduceStream(context.get());
  v1::ProduceStreamRequest request;
  request.mutable_open();
  other->Write(request);
  broker_.HoldWrites(true);
  ASSERT_TRUE(Send(NewFrame(std::string(200'000, 'v'))));
  WaitForHeld(1);
  *request.mutable_frame() = NewFrame(std::string(100'000, 'v'), 2);
  other->Write(request);
  broker_.Run([] {});
  EXPECT_EQ(broker_.held_count(), 1u);
  broker_.HoldWrites(false);
  EXPECT_TRUE(Read().has_ack());
  v1::ProduceStreamResponse response;
  ASSERT_TRUE(other->Read(&response));
  EXPECT_TRUE(response.has_opened());
  ASSERT_TRUE(other->Read(&response));
  EXPECT_TRUE(response.has_ack());
}

TEST_F(ProduceStreamTest, TheFirstMessageHasToBeOpen) {
  StartServer();
  stub_ = v1::ProduceService::NewStub(channel_);
  context_ = NewContext();
  stream_ = stub_->ProduceStream(context_.get());
  ASSERT_TRUE(Send(NewFrame("x")));
  const grpc::Status status = Finish();
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(broker_.LogEnd("orders", 1), Offset{0});
}

TEST_F(ProduceStreamTest, BadOpeningsEndTheStream) {
  StartServer();
  stub_ = v1::ProduceService::NewStub(channel_);
  std::vector<v1::ProduceOpen> opens(5);
  opens[0].set_acks(static_cast<v1::Acks>(99));
  opens[1].set_max_in_flight_bytes(-1);
  opens[2].mutable_producer()->set_producer_epoch(-1);
  opens[3].set_compression(static_cast<v1::Compression>(99));
  opens[4].mutable_producer()->set_producer_id(-1);
  for (const auto& open : opens) {
    context_ = NewContext();
    stream_ = stub_->ProduceStream(context_.get());
    v1::ProduceStreamRequest request;
    *request.mutable_open() = open;
    ASSERT_TRUE(stream_->Write(request));
    EXPECT_EQ(Finish().error_code(), grpc::INVALID_ARGUMENT) << open.ShortDebugString();
    EXPECT_EQ(Trailer(*context_, "x-gregor-reason"), "INVALID_ARGUMENT");
  }
}

TEST_F(ProduceStreamTest, FrameIdsHaveToRise) {
  StartStream();
  auto frame = NewFrame("x");
  ASSERT_TRUE(Send(frame));
  ASSERT_TRUE(Send(frame));
  const grpc::Status status = Finish();
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("frame_id 1"));
}

TEST_F(ProduceStreamTest, TheLogNamesTheClientOfAStreamThatEndsWithAnError) {
  LogLines log;
  v1::ProduceOpen open;
  open.set_client_id("orders \033[1mapp");
  std::string line;
  // One line a second at most is written: other streams may have been first.
  for (; line.empty(); line = log.With("app")) {
    StartStream({}, open);
    last_id_ = 0;
    ASSERT_TRUE(Send(NewFrame("x")));
    last_id_ = 0;
    ASSERT_TRUE(Send(NewFrame("y")));
    EXPECT_EQ(Finish().error_code(), grpc::INVALID_ARGUMENT);
  }
  EXPECT_THAT(line, HasSubstr(" of \"orders \\x1b[1mapp\" at ipv4:127.0.0.1:"));
  EXPECT_THAT(line, HasSubstr("frame_id 1 comes after 1"));
  EXPECT_THAT(line, HasSubstr("Stream 7-p"));
}

TEST_F(ProduceStreamTest, SilentStreamsGetHeartbeats) {
  StartStream({.heartbeat_interval = std::chrono::milliseconds(40)});
  v1::ProduceStreamResponse response;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(stream_->Read(&response));
    EXPECT_TRUE(response.has_heartbeat());
  }
}

TEST_F(ProduceStreamTest, DrainingStreamsAreToldAndEndWell) {
  StartStream();
  broker_.HoldWrites(true);
  ASSERT_TRUE(Send(NewFrame("x")));
  WaitForHeld(1);
  server_->Drain();
  EXPECT_GT(Read().draining().close_in_ms(), 0);
  broker_.HoldWrites(false);
  EXPECT_TRUE(Read().has_ack());
  EXPECT_TRUE(stream_->Finish().ok());  // the server ends it
}

TEST_F(ProduceStreamTest, ACancelledStreamLeavesNothingBehind) {
  StartStream();
  broker_.HoldWrites(true);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Send(NewFrame(std::string(100'000, 'v'))));
  WaitForHeld(10);
  context_->TryCancel();
  EXPECT_EQ(stream_->Finish().error_code(), grpc::CANCELLED);
  broker_.HoldWrites(false);
  WaitForMetric("gregor_grpc_streams_open{method=\"gregor.v1.ProduceService/ProduceStream\"} 0");
}

TEST_F(ProduceStreamTest, TheEndsOfStreamsAreCountedByHowTheyEnded) {
  const std::string method = "\",method=\"gregor.v1.ProduceService/ProduceStream\"} ";
  const std::string calls = "gregor_grpc_calls_total{code=\"";
  StartStream();
  ASSERT_TRUE(Send(NewFrame("x")));
  EXPECT_TRUE(Finish().ok());
  WaitForMetric(calls + "OK" + method + "1");
  // With the answer still to come.
  StartStream();
  broker_.HoldWrites(true);
  ASSERT_TRUE(Send(NewFrame("y")));
  stream_->WritesDone();
  WaitForHeld(1);
  broker_.HoldWrites(false);
  EXPECT_EQ(Read().ack().frame_id(), 2);
  EXPECT_TRUE(stream_->Finish().ok());
  WaitForMetric(calls + "OK" + method + "2");
  StartStream();
  context_->TryCancel();
  EXPECT_EQ(Finish().error_code(), grpc::CANCELLED);
  WaitForMetric(calls + "CANCELLED" + method + "1");
}

TEST_F(ProduceStreamTest, AClientThatDoesNotReadItsAnswersStopsBeingRead) {
  v1::ProduceOpen open;
  open.set_receipt(true);
  StartStream({}, open);
  // Far more frames than answers may wait; the client reads none.
  constexpr int kFrames = 400'000;
  std::atomic<int> sent{0};
  std::thread writer([&] {
    const auto frame = NewFrame("x");
    for (int i = 0; i < kFrames; ++i) {
      auto next = frame;
      next.set_frame_id(1 + i);
      if (!Send(next)) break;
      sent.fetch_add(1);
    }
  });
  // The writer comes to a stop, or would end: then the number of frames in the broker is all of
  // them.
  std::promise<void> stuck;
  const auto loop = NewThreadLoop("watch");
  std::function<void(int)> look = [&](int before) {
    const int now = sent.load();
    if (now == before || now == kFrames) return stuck.set_value();
    loop->After(std::chrono::milliseconds(200), "look", [&look, now] { look(now); });
  };
  loop->Post("look", [&] { look(-1); });
  stuck.get_future().get();
  EXPECT_LT(sent.load(), kFrames);
  context_->TryCancel();
  writer.join();
  stream_->Finish();
}

TEST_F(ProduceStreamTest, ManyFailedPartitionsEndTheStream) {
  StartStream();
  std::thread reader([&] {
    v1::ProduceStreamResponse response;
    while (stream_->Read(&response)) {
    }
  });
  auto frame = NewFrame("x");
  for (int i = 0; i < 5000; ++i) {
    frame.set_frame_id(1 + i);
    frame.set_topic("nothing-" + std::to_string(i));
    if (!Send(frame)) break;
  }
  reader.join();
  EXPECT_EQ(stream_->Finish().error_code(), grpc::RESOURCE_EXHAUSTED);
}

TEST_F(ProduceStreamTest, ServerEndsWithFramesThatTheBrokerNeverAnswers) {
  StartStream();
  broker_.DropEverything();
  ASSERT_TRUE(Send(NewFrame("x")));
  broker_.Run([] {});
  server_->Shutdown(std::chrono::seconds(1));
  server_.reset();
  const grpc::Status status = stream_->Finish();
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(DoorTest::ReasonOf(status), Reason::kServerDraining);
}

}  // namespace
}  // namespace gregor
