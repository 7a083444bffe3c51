#include "rpc/queue/acceptor.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "base/clock.h"

namespace gregor {
namespace {

ListenAddress AddressOf(const std::string& host, uint16_t port) {
  return {host, port, "gRPC", "--grpc-listen"};
}

// A server without methods, and what connects to it.
class AcceptorTest : public testing::Test {
 protected:
  ~AcceptorTest() override {
    for (const int each : sockets_) close(each);
    if (server_ != nullptr) {
      acceptor_->Stop();
      server_->Shutdown(std::chrono::system_clock::time_point());
      queue_->Shutdown();
      poller_.join();
    }
  }
  void Start(Acceptor::Options options) {
    auto acceptor = Acceptor::Listen(std::move(options));
    ASSERT_TRUE(acceptor.ok()) << acceptor.error();
    acceptor_ = std::move(*acceptor);
    grpc::ServerBuilder builder;
    queue_ = builder.AddCompletionQueue();
    acceptor_->AddTo(builder, grpc::InsecureServerCredentials());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    // By it connections are read and written.
    poller_ = std::thread([this] {
      void* tag = nullptr;
      bool ok = false;
      while (queue_->Next(&tag, &ok)) {
      }
    });
    acceptor_->Serve();
  }
  int NewSocket() {
    sockets_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_GE(sockets_.back(), 0);
    const timeval timeout{20, 0};
    EXPECT_EQ(setsockopt(sockets_.back(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout), 0);
    return sockets_.back();
  }
  int Connect() { return Connect(NewSocket()); }
  int Connect(int number) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(acceptor_->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(number, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return number;
  }
  // What the server sends first (its HTTP/2 settings): some bytes, or 0 where it closes.
  static ssize_t ReadFirst(int connection) {
    char bytes[256];
    return recv(connection, bytes, sizeof bytes, 0);
  }
  static bool IsSilent(int connection, int timeout_ms) {
    pollfd file{connection, POLLIN, 0};
    return poll(&file, 1, timeout_ms) == 0;
  }

  std::unique_ptr<Acceptor> acceptor_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::vector<int> sockets_;
  std::thread poller_;
};

TEST_F(AcceptorTest, WhatConnectsIsServed) {
  Start({.address = AddressOf("localhost", 0)});
  EXPECT_NE(acceptor_->port(), 0);
  EXPECT_GT(ReadFirst(Connect()), 0);
  const auto channel = grpc::CreateChannel("127.0.0.1:" + std::to_string(acceptor_->port()),
                                           grpc::InsecureChannelCredentials());
  EXPECT_TRUE(channel->WaitForConnected(
      gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_seconds(20, GPR_TIMESPAN))));
}

TEST_F(AcceptorTest, WithoutOpenFilesItWaitsForSome) {
  Start({.address = AddressOf("127.0.0.1", 0)});
  EXPECT_GT(ReadFirst(Connect()), 0);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit few{200, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  std::vector<int> others;
  int waiting = -1;
  // What gRPC closes meanwhile, of tests before this one, is free again: then that comes in.
  for (int i = 0; i < 100 && waiting < 0; ++i) {
    const int connection = NewSocket();
    for (int other; (other = dup(connection)) >= 0;) others.push_back(other);
    ASSERT_FALSE(others.empty());
    Connect(connection);
    if (IsSilent(connection, 300)) waiting = connection;
    close(others.back());
    others.pop_back();
  }
  EXPECT_GE(waiting, 0);
  for (const int each : others) close(each);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_GT(ReadFirst(waiting), 0);
  EXPECT_GT(ReadFirst(Connect()), 0);
}

TEST_F(AcceptorTest, WhatExceedsTheBoundIsClosedAtOnce) {
  const int lowest = dup(0);
  close(lowest);
  Start({.address = AddressOf("127.0.0.1", 0), .files_max = static_cast<uint64_t>(lowest) + 40});
  std::vector<int> served;
  int refused = -1;
  while (refused < 0 && served.size() < 400) {
    const int connection = Connect();
    if (ReadFirst(connection) > 0)
      served.push_back(connection);
    else
      refused = connection;
  }
  EXPECT_GE(refused, 0);
  ASSERT_FALSE(served.empty());
  char byte;
  // It stays open.
  EXPECT_TRUE(recv(served.front(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0 || errno == EAGAIN);
  for (const int each : sockets_) close(each);
  sockets_.clear();
  // gRPC closes its own ends once it sees that.
  const MonotonicTime give_up = SystemClock().Now() + std::chrono::seconds(20);
  bool is_served = false;
  while (!is_served && SystemClock().Now() < give_up) {
    is_served = ReadFirst(Connect()) > 0;
    close(sockets_.back());
    sockets_.pop_back();
  }
  EXPECT_TRUE(is_served);
}

TEST_F(AcceptorTest, APortThatIsTakenIsRefused) {
  Start({.address = AddressOf("127.0.0.1", 0)});
  const auto other = Acceptor::Listen({.address = AddressOf("127.0.0.1", acceptor_->port())});
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().reason, Reason::kInvalidConfig);
  EXPECT_NE(other.error().message.find("another process listens there"), std::string::npos)
      << other.error().message;
}

TEST_F(AcceptorTest, ANameWithoutAnAddressIsNamed) {
  const auto unknown = Acceptor::Listen({.address = AddressOf("nosuch.invalid", 0)});
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().message.find("is not known"), std::string::npos)
      << unknown.error().message;
  const auto foreign = Acceptor::Listen({.address = AddressOf("192.0.2.1", 0)});
  ASSERT_FALSE(foreign.ok());
  EXPECT_NE(foreign.error().message.find("not an address of this machine"), std::string::npos)
      << foreign.error().message;
}

}  // namespace
}  // namespace gregor
