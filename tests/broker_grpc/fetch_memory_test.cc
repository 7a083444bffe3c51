#include <gmock/gmock.h>

#include <charconv>

#include "gregor/v1/fetch.grpc.pb.h"
#include "tests/broker_grpc/door_harness.h"

namespace gregor {
namespace {

constexpr size_t kRecordBytes = 900'000;
constexpr int kRecords = 12;

// Answers to fetches, of which all clients of a node together may hold so much.
class FetchMemoryTest : public DoorTest {
 protected:
  using Stub = v1::FetchService::Stub;
  using ReadCall = grpc::ClientReader<v1::ReadResponse>;
  using StreamCall = grpc::ClientReaderWriter<v1::FetchStreamRequest, v1::FetchStreamResponse>;

  // A client with a connection of its own.
  struct Client {
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<Stub> stub;
    std::unique_ptr<grpc::ClientContext> context;
    std::unique_ptr<ReadCall> read;
    std::unique_ptr<StreamCall> stream;
  };

  FetchMemoryTest() { broker_.AddTopic("orders", 1); }

  void Start(size_t memory_bytes, Codec codec = Codec::kNone, GrpcServer::Options options = {}) {
    broker_.SetFetchMemory(memory_bytes);
    StartServer(std::move(options));
    for (int i = 0; i < kRecords; ++i)
      broker_.Append("orders", 0, BatchOf({std::string(kRecordBytes, 'v')}, codec));
  }
  std::unique_ptr<Client> Connect() const {
    auto client = std::make_unique<Client>();
    client->channel = NewChannel();
    client->stub = v1::FetchService::NewStub(client->channel);
    client->context = NewContext(std::chrono::seconds(60));
    return client;
  }
  std::unique_ptr<Client> OpenRead(bool stop_at_end) const {
    auto client = Connect();
    v1::ReadRequest request;
    request.set_topic("orders");
    request.set_stop_at_end(stop_at_end);
    client->read = client->stub->Read(client->context.get(), request);
    return client;
  }
  std::unique_ptr<Client> OpenStream(v1::RecordFormat format) const {
    auto client = Connect();
    client->stream = client->stub->FetchStream(client->context.get());
    v1::FetchStreamRequest request;
    request.mutable_open()->set_format(format);
    client->stream->Write(request);
    request.set_credit_bytes(1 << 30);
    client->stream->Write(request);
    request.mutable_add()->mutable_partition()->set_topic("orders");
    client->stream->Write(request);
    return client;
  }
  // Records that `client` gets to the end of the topic.
  static int Count(Client& client) {
    int count = 0;
    v1::ReadResponse response;
    while (client.read->Read(&response)) count += response.records_size();
    EXPECT_TRUE(client.read->Finish().ok());
    return count;
  }
  static void Leave(Client& client) {
    client.context->TryCancel();
    if (client.read != nullptr) client.read->Finish();
    if (client.stream != nullptr) client.stream->Finish();
  }
  size_t SentBytes(const std::string& method) const {
    const std::string name =
        "gregor_grpc_sent_bytes_total{method=\"gregor.v1.FetchService/" + method + "\"} ";
    const std::string text = metrics_->Render();
    const size_t at = text.find(name);
    double value = 0;
    if (at != std::string::npos)
      std::from_chars(text.data() + at + name.size(), text.data() + text.size(), value);
    return static_cast<size_t>(value);
  }
  template <typename Condition>
  static bool WaitFor(Condition condition) {
    const MonotonicTime give_up = SystemClock().Now() + std::chrono::seconds(20);
    while (!condition() && SystemClock().Now() < give_up) std::this_thread::yield();
    return condition();
  }
  // Those that wait for memory read again and again.
  void WaitForSomeReads() {
    const int64_t reads = broker_.reads();
    EXPECT_TRUE(WaitFor([&] { return broker_.reads() > reads + 100; }));
  }
  void WaitUntilAllIsGivenBack() {
    EXPECT_TRUE(WaitFor([&] { return broker_.fetch_memory().used() == 0; }));
  }
};

class FetchMemoryCodecTest : public FetchMemoryTest, public testing::WithParamInterface<Codec> {};

INSTANTIATE_TEST_SUITE_P(Codecs, FetchMemoryCodecTest, testing::Values(Codec::kNone, Codec::kZstd),
                         [](const auto& codec) {
                           return codec.param == Codec::kNone ? "None" : "Zstd";
                         });

TEST_P(FetchMemoryCodecTest, ReadersThatTakeNothingHoldNoMoreThanTheNodeAllows) {
  Start(4 << 20, GetParam());
  Budget& memory = broker_.fetch_memory();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(OpenRead(false));
    clients.push_back(OpenStream(v1::RECORD_FORMAT_RECORDS));
  }
  EXPECT_TRUE(WaitFor([&] { return memory.used() >= 4 * kRecordBytes; }));
  WaitForSomeReads();
  EXPECT_GE(memory.used(), 4 * kRecordBytes);
  // What gRPC was given it still has, but for heads of messages, and what was sent before the
  // clients' windows were full.
  EXPECT_LE(SentBytes("Read") + SentBytes("FetchStream"),
            memory.max() + clients.size() * (64u << 10));
  for (const auto& client : clients) Leave(*client);
  WaitUntilAllIsGivenBack();
  EXPECT_EQ(Count(*OpenRead(true)), kRecords);
  WaitUntilAllIsGivenBack();
}

GrpcServer::Options Impatient() {
  GrpcServer::Options options;
  options.heartbeat_interval = std::chrono::milliseconds(200);
  options.call_timeout = std::chrono::seconds(1);
  options.fetch_stalled_after = std::chrono::milliseconds(1500);
  return options;
}

TEST_F(FetchMemoryTest, StreamsThatTakeNothingAreCutOffWhereOthersNeedTheMemory) {
  Start(6 << 20, Codec::kNone, Impatient());
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(OpenRead(false));
    clients.push_back(OpenStream(v1::RECORD_FORMAT_BATCHES));
  }
  EXPECT_TRUE(WaitFor([&] { return broker_.fetch_memory().used() >= 5 * kRecordBytes; }));
  EXPECT_EQ(Count(*OpenRead(true)), kRecords);
  for (const auto& client : clients) Leave(*client);
  WaitUntilAllIsGivenBack();
}

TEST_F(FetchMemoryTest, AnswersThatAreNotTakenAreCutOffWhereOthersNeedTheMemory) {
  Start(4 << 20, Codec::kNone, Impatient());
  v1::FetchRequest request;
  request.set_topic("orders");
  request.set_max_bytes(kRecordBytes * 3 / 2);
  grpc::CompletionQueue queue;
  std::vector<std::unique_ptr<Client>> clients;
  std::vector<std::unique_ptr<grpc::ClientAsyncResponseReader<v1::FetchResponse>>> calls;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(Connect());
    Client& client = *clients.back();
    // Those without a deadline have the server's, for the broker to answer.
    if (i % 2 == 0) client.context = std::make_unique<grpc::ClientContext>();
    // Not more than a window of it is sent to who does not ask for it.
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 65'536);
    client.channel = grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(server_->port()),
                                               grpc::InsecureChannelCredentials(), arguments);
    client.stub = v1::FetchService::NewStub(client.channel);
    calls.push_back(client.stub->AsyncFetch(client.context.get(), request, &queue));
    // Sends the request, and does not ask for the answer.
    calls.back()->ReadInitialMetadata(nullptr);
  }
  void* tag = nullptr;
  bool ok = false;
  // All begin to be answered.
  for (size_t i = 0; i < calls.size(); ++i) ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
  // The largest batch that there may be would wait for any of them.
  WaitUntilAllIsGivenBack();
  for (auto& call : calls) {
    v1::FetchResponse response;
    grpc::Status status;
    call->Finish(&response, &status, nullptr);
    ASSERT_TRUE(queue.Next(&tag, &ok));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  }
  queue.Shutdown();
}

// Each of them waits for memory that others have.
TEST_P(FetchMemoryCodecTest, ReadersGoOnWhereThereIsMemoryForOneAnswerOnly) {
  Start(1 << 20, GetParam());
  std::vector<std::thread> readers;
  std::atomic<int> count = 0;
  for (int i = 0; i < 3; ++i) readers.emplace_back([&] { count += Count(*OpenRead(true)); });
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(count, 3 * kRecords);
  WaitUntilAllIsGivenBack();
}

TEST_F(FetchMemoryTest, AnAnswerThatExceedsAllOfTheMemoryHasItToItself) {
  Start(kRecordBytes / 2, Codec::kZstd);
  EXPECT_EQ(Count(*OpenRead(true)), kRecords);
  WaitUntilAllIsGivenBack();
}

TEST_F(FetchMemoryTest, AFetchWaitsForTheMemoryThatItsRecordsTake) {
  Start(2 << 20, Codec::kZstd);
  Budget& memory = broker_.fetch_memory();
  auto others = memory.TryAcquire(memory.max() - kRecordBytes / 2);
  auto client = Connect();
  v1::FetchRequest request;
  request.set_topic("orders");
  v1::FetchResponse response;
  auto status = client->stub->Fetch(client->context.get(), request, &response);
  EXPECT_EQ(ReasonOf(status), Reason::kQuotaExceeded);
  EXPECT_EQ(DetailOf(status, "topic"), "orders");
  request.set_max_wait_ms(15'000);
  client->context = NewContext();
  std::promise<grpc::Status> ended;
  client->stub->async()->Fetch(client->context.get(), &request, &response,
                               [&](grpc::Status status) { ended.set_value(status); });
  const int64_t reads = broker_.reads();
  EXPECT_TRUE(WaitFor([&] { return broker_.reads() >= reads + 2; }));
  others.Release();
  status = ended.get_future().get();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.records_size(), 1);
  WaitUntilAllIsGivenBack();
}

}  // namespace
}  // namespace gregor
