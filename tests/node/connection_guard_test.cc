#include "node/connection_guard.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"

namespace gregor {
namespace {

// Both ends of connections to a listener of this process.
class ConnectionGuardTest : public testing::Test {
 protected:
  ConnectionGuardTest() {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    auto* const address = reinterpret_cast<sockaddr*>(&address_);
    CHECK_EQ(bind(listener_, address, size), 0);
    CHECK_EQ(listen(listener_, 10), 0);
    CHECK_EQ(getsockname(listener_, address, &size), 0);
  }
  ~ConnectionGuardTest() override { close(listener_); }

  struct Connection {
    ~Connection() {
      close(client);
      close(server);
    }
    // Which the peer takes before this returns.
    static void Send(int from, int to, size_t size) {
      std::string bytes(size, 'x');
      CHECK_EQ(write(from, bytes.data(), size), static_cast<ssize_t>(size));
      for (size_t taken = 0; taken < size;) {
        const ssize_t some = read(to, bytes.data(), size - taken);
        CHECK_GT(some, 0);
        taken += static_cast<size_t>(some);
      }
    }
    void Ask(size_t size) const { Send(client, server, size); }
    void Answer() const { Send(server, client, 1); }
    bool is_cut() const {
      char byte;
      return recv(client, &byte, 1, MSG_DONTWAIT) == 0;
    }
    int client = socket(AF_INET, SOCK_STREAM, 0);
    int server = -1;
  };
  void Connect(Connection& connection) {
    CHECK_EQ(connect(connection.client, reinterpret_cast<sockaddr*>(&address_), sizeof address_),
             0);
    connection.server = accept(listener_, nullptr, nullptr);
    CHECK_GE(connection.server, 0);
  }
  ConnectionGuard::Options Limit(uint64_t bytes) const {
    return {.port = ntohs(address_.sin_port), .unanswered_bytes_max = bytes};
  }

  const int listener_ = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address_{};
};

TEST_F(ConnectionGuardTest, CutsWhoSendsMuchThatIsNeverAnswered) {
  ConnectionGuard guard(Limit(100'000));
  Connection flood, served, quiet;
  for (Connection* const each : {&flood, &served, &quiet}) Connect(*each);
  EXPECT_EQ(guard.Look(), 0);
  for (int i = 0; i < 5; ++i) {
    flood.Ask(30'000);
    served.Ask(30'000);
    served.Answer();
    EXPECT_EQ(guard.Look(), i == 3 ? 1 : 0) << i;
    if (i == 3) break;
  }
  EXPECT_TRUE(flood.is_cut());
  EXPECT_FALSE(served.is_cut());
  EXPECT_FALSE(quiet.is_cut());
}

TEST_F(ConnectionGuardTest, WhatCameBeforeItLookedCountsForNothing) {
  ConnectionGuard guard(Limit(100'000));
  Connection old;
  Connect(old);
  for (int i = 0; i < 5; ++i) old.Ask(30'000);
  EXPECT_EQ(guard.Look(), 0);
  old.Ask(30'000);
  EXPECT_EQ(guard.Look(), 0);
}

TEST_F(ConnectionGuardTest, LeavesConnectionsOfOthersAlone) {
  ConnectionGuard::Options other = Limit(1000);
  other.port = 1;
  ConnectionGuard guard(other);
  Connection connection;
  Connect(connection);
  EXPECT_EQ(guard.Look(), 0);
  connection.Ask(30'000);
  EXPECT_EQ(guard.Look(), 0);
  EXPECT_FALSE(connection.is_cut());
}

TEST_F(ConnectionGuardTest, LooksOnlyWhereTheProcessHasGrown) {
  ConnectionGuard::Options options = Limit(10'000);
  options.growth_bytes = 1u << 30;
  ConnectionGuard guard(options);
  Connection flood;
  Connect(flood);
  EXPECT_EQ(guard.Look(), 0);
  flood.Ask(30'000);
  EXPECT_EQ(guard.LookIfGrown(), 0);
  EXPECT_EQ(guard.Look(), 1);
}

TEST_F(ConnectionGuardTest, WhereFewOpenFilesAreLeftThoseGoThatHaveSentLeast) {
  std::vector<std::unique_ptr<Connection>> connections;
  for (size_t i = 0; i < 40; ++i) {
    connections.push_back(std::make_unique<Connection>());
    Connect(*connections.back());
    connections.back()->Ask(1000 + i);
  }
  const auto cut = [&] {
    return std::count_if(connections.begin(), connections.end(),
                         [](const auto& connection) { return connection->is_cut(); });
  };
  const int next = dup(0);  // a new file gets the lowest number that is free
  close(next);
  ConnectionGuard::Options options = Limit(1 << 20);
  options.files_max = static_cast<uint64_t>(next) + 100;
  EXPECT_EQ(ConnectionGuard(options).CutExcess(), 0);
  options.files_max = static_cast<uint64_t>(next) - 10;
  const int excess = ConnectionGuard(options).CutExcess();
  EXPECT_GE(excess, 10);
  EXPECT_LE(excess, 14);
  ASSERT_EQ(cut(), excess);
  for (int i = 0; i < excess; ++i) EXPECT_TRUE(connections[static_cast<size_t>(i)]->is_cut()) << i;
  // Where others have the files some connections stay.
  options.files_max = 40;
  EXPECT_GT(ConnectionGuard(options).CutExcess(), 0);
  EXPECT_GT(cut(), excess);
  EXPECT_LT(cut(), 32);
}

}  // namespace
}  // namespace gregor
