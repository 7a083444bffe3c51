#include "rpc/raft_stream.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

#include "base/time.h"
#include "rpc/internal_server.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// What rpc/raft_stream.cc lets come before it is handled.
constexpr size_t kBytesMax = size_t{16} << 20;
constexpr size_t kCountMax = 1024;

RaftSelf Self(int32_t node) {
  RaftSelf self;
  self.cluster.bytes[0] = 1;
  self.key.node = NodeId{node};
  self.key.directory.bytes[0] = static_cast<uint8_t>(node);
  self.incarnation.bytes[0] = static_cast<uint8_t>(node);
  return self;
}

// One end, which keeps what comes. Thread: any.
class End final : public RaftStreamEvents {
 public:
  struct Received {
    uint64_t round;
    RaftMessageRoom room;
  };

  bool Wait(const std::function<bool(const End&)>& done, Duration at_most = seconds(20)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, at_most, [&] { return done(*this); });
  }
  bool WaitForMessages(size_t count, Duration at_most = seconds(20)) {
    return Wait([&](const End& self) { return self.count >= count; }, at_most);
  }
  // Handles what is there.
  void Handle() {
    std::deque<Received> handled;
    {
      const std::lock_guard lock(mutex_);
      handled.swap(unhandled);
    }
  }

  // Under the lock of Wait().
  std::shared_ptr<RaftStream> stream;
  bool is_down = false;
  std::optional<RaftPeer> down;  // who it was
  grpc::Status status;
  size_t count = 0;  // of all messages that came
  std::deque<Received> unhandled;
  bool is_in_order = true;

 private:
  template <typename Change>
  void Note(Change change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  void OnUp(const std::shared_ptr<RaftStream>& up, const RaftPeer&) override {
    Note([&] { stream = up; });
  }
  void OnMessage(const RaftPeer&, internal::v1::RaftMessage message,
                 RaftMessageRoom room) override {
    Note([&] {
      const auto round = static_cast<uint64_t>(message.append_request().base());
      is_in_order = is_in_order && round == count;
      ++count;
      unhandled.push_back({round, std::move(room)});
    });
  }
  void OnDown(const RaftStream*, const std::optional<RaftPeer>& peer,
              const grpc::Status& why) override {
    Note([&] {
      is_down = true;
      down = peer;
      status = why;
    });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
};

// Two nodes, the first of which has called the second.
class RaftStreamTest : public testing::Test {
 protected:
  RaftStreamTest() {
    const auto started = server_.Start({.host = "127.0.0.1",
                                        .port = 0,
                                        .credentials = grpc::InsecureServerCredentials(),
                                        .services = {&service_}});
    CHECK(started.ok()) << started.error();
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    stub_ = internal::v1::RaftService::NewStub(
        grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(server_.port()),
                                  grpc::InsecureChannelCredentials(), arguments));
    call_ = CallRaftPeer(*stub_, server_.queue(), caller_, Self(1), NodeId{2}, /*is_bulk=*/true);
    CHECK(caller_.Wait([](const End& end) { return end.stream != nullptr; }));
    CHECK(answerer_.Wait([](const End& end) { return end.stream != nullptr; }));
  }
  ~RaftStreamTest() override {
    call_->Cancel();
    EXPECT_TRUE(caller_.Wait([](const End& end) { return end.is_down; }));
    server_.Shutdown();
    EXPECT_TRUE(answerer_.Wait([](const End& end) { return end.is_down; }));
    // What was held is let go of behind the end of both.
    caller_.Handle();
    answerer_.Handle();
  }

  // Sends until that is refused, as the receiver does not handle anything. Returns how many went.
  static size_t Fill(RaftStream& from, size_t bytes, size_t count_max) {
    size_t sent = 0;
    while (sent < count_max) {
      internal::v1::RaftMessage message;
      message.mutable_append_request()->set_base(static_cast<int64_t>(sent));
      message.mutable_append_request()->set_batches(std::string(bytes, 'x'));
      if (!from.Send(std::move(message))) break;
      ++sent;
    }
    return sent;
  }
  // `to` gets so many at most before it has handled anything, and all in the end.
  void ExpectBound(RaftStream& from, End& to, size_t bytes, size_t bound) {
    const size_t sent = Fill(from, bytes, 2 * bound);
    ASSERT_GT(sent, bound) << "the test sends too little";
    EXPECT_TRUE(to.WaitForMessages(bound));
    EXPECT_FALSE(to.WaitForMessages(bound + 1, milliseconds(500)));
    while (!to.WaitForMessages(sent, milliseconds(10))) to.Handle();
    EXPECT_TRUE(to.Wait([](const End& end) { return end.is_in_order; }));
  }

  class Service final : public InternalService {
   public:
    explicit Service(End& end) : end_(end) {}
    grpc::Service& service() override { return methods_; }
    void Listen(CallQueue& queue) override {
      AnswerRaftPeers(methods_, queue, end_, [] { return Self(2); });
    }

   private:
    End& end_;
    internal::v1::RaftService::AsyncService methods_;
  };

  End caller_;
  End answerer_;
  Service service_{answerer_};
  InternalServer server_;
  std::unique_ptr<internal::v1::RaftService::Stub> stub_;
  std::shared_ptr<RaftStream> call_;
};

// The last one of them comes while there is a little room left.
constexpr size_t kLargeBytes = size_t{1} << 20;
constexpr size_t kLargeMax = kBytesMax / kLargeBytes;

TEST_F(RaftStreamTest, WhoIsCalledReadsNoMoreThanItHasRoomFor) {
  ExpectBound(*call_, answerer_, kLargeBytes, kLargeMax);
}

TEST_F(RaftStreamTest, TheCallerReadsNoMoreThanItHasRoomFor) {
  ExpectBound(*answerer_.stream, caller_, kLargeBytes, kLargeMax);
}

TEST_F(RaftStreamTest, SmallMessagesAreCounted) { ExpectBound(*call_, answerer_, 10, kCountMax); }

TEST_F(RaftStreamTest, AStreamEndsAlsoWhileItWaitsForRoom) {
  Fill(*answerer_.stream, kLargeBytes, 2 * kLargeMax);
  Fill(*call_, kLargeBytes, 2 * kLargeMax);
  EXPECT_TRUE(caller_.WaitForMessages(kLargeMax));
  EXPECT_TRUE(answerer_.WaitForMessages(kLargeMax));
}  // as the end of the test waits for

// One batch may have more than what may wait.
TEST_F(RaftStreamTest, AnEmptyStreamTakesAMessageOfAnySize) {
  EXPECT_EQ(Fill(*call_, size_t{33} << 20, 1), 1u);
  EXPECT_TRUE(answerer_.WaitForMessages(1));
}

// Answers as another node than the one that was called.
class Liar final : public internal::v1::RaftService::Service {
  grpc::Status Exchange(grpc::ServerContext*,
                        grpc::ServerReaderWriter<internal::v1::RaftMessage,
                                                 internal::v1::RaftMessage>* stream) override {
    internal::v1::RaftMessage message;
    stream->Read(&message);
    stream->Write(RaftHello(Self(3), NodeId{1}, /*is_bulk=*/false));
    while (stream->Read(&message)) continue;
    return grpc::Status::OK;
  }
};

TEST(RaftStream, WhoAnswersAsAnotherNodeWasNeverUpAndIsNotLost) {
  Liar liar;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&liar);
  const auto server = builder.BuildAndStart();
  const auto stub = internal::v1::RaftService::NewStub(
      grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
  End caller;
  InternalServer queue;
  CallRaftPeer(*stub, queue.queue(), caller, Self(1), NodeId{2}, /*is_bulk=*/false);
  ASSERT_TRUE(caller.Wait([](const End& end) { return end.is_down; }));
  EXPECT_EQ(caller.stream, nullptr);
  EXPECT_FALSE(caller.down.has_value());
  server->Shutdown();
}

// A service that takes no calls any more.
class Closed final : public InternalService {
 public:
  explicit Closed(End& end) : end_(end) {}
  grpc::Service& service() override { return methods_; }
  void Listen(CallQueue& queue) override {
    AnswerRaftPeers(methods_, queue, end_, [] { return std::nullopt; });
  }

 private:
  End& end_;
  internal::v1::RaftService::AsyncService methods_;
};

TEST(RaftStream, OfCallsThatAreNotTakenNothingIsHeard) {
  End answerer;
  End caller;
  Closed service(answerer);
  InternalServer server;
  ASSERT_TRUE(server
                  .Start({.host = "127.0.0.1",
                          .port = 0,
                          .credentials = grpc::InsecureServerCredentials(),
                          .services = {&service}})
                  .ok());
  const auto stub = internal::v1::RaftService::NewStub(grpc::CreateChannel(
      "127.0.0.1:" + std::to_string(server.port()), grpc::InsecureChannelCredentials()));
  CallRaftPeer(*stub, server.queue(), caller, Self(1), NodeId{2}, /*is_bulk=*/false);
  ASSERT_TRUE(caller.Wait([](const End& end) { return end.is_down; }));
  EXPECT_EQ(caller.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  server.EndCalls();
  EXPECT_EQ(answerer.stream, nullptr);
  EXPECT_FALSE(answerer.is_down);
}

TEST(RaftHello, OfAnEndpointThatNoVoterMayHaveNothingIsKnown) {
  RaftSelf self = Self(1);
  const VoterEndpoint good{"internal", "host-1", 9093};
  self.introduction.endpoints = {{"internal", std::string(70'000, 'h'), 9093},
                                 good,
                                 {"internal", "a b", 9093},
                                 {std::string(256, 'l'), "host", 9093},
                                 {"internal", "", 9093}};
  const auto peer = ReadRaftHello(RaftHello(self, NodeId{2}, /*is_bulk=*/false), Self(2));
  ASSERT_TRUE(peer.ok()) << peer.error();
  EXPECT_EQ(peer->introduction.endpoints, std::vector<VoterEndpoint>{good});
}

TEST(RaftHello, ANodeHasANumberFromZeroOn) {
  EXPECT_TRUE(ReadRaftHello(RaftHello(Self(0), NodeId{2}, /*is_bulk=*/false), Self(2)).ok());
  const auto peer = ReadRaftHello(RaftHello(Self(-1), NodeId{2}, /*is_bulk=*/false), Self(2));
  ASSERT_FALSE(peer.ok());
  EXPECT_EQ(peer.error().reason, Reason::kInvalidArgument);
}

}  // namespace
}  // namespace gregor
