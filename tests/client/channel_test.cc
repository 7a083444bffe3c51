#include "client/channel.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <thread>

#include "client/admin.h"
#include "client/grpc_adapter.h"
#include "tests/client/fake_server.h"
#include "tests/client/slow_link.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Channel, AServerThatIsFarAwayIsReached) {
  FakeServer server;
  SlowLink link(server.address(), milliseconds(300));
  const auto pinged = Admin(link.address()).Ping();
  EXPECT_TRUE(pinged.ok()) << pinged.error();
}

TEST(Channel, ARefusedConnectionFailsTheCallSoon) {
  FakeServer server;
  server.Stop();
  const MonotonicTime begin = SystemClock().Now();
  const auto pinged = Admin(server.address()).Ping();
  EXPECT_LT(SystemClock().Now() - begin, seconds(4));
  ASSERT_FALSE(pinged.ok());
  EXPECT_TRUE(IsUnreachable(pinged.error()));
  EXPECT_EQ(pinged.error().message,
            "no server answers at " + server.address() + " (Connection refused)");
}

TEST(Channel, AServerThatSaysNothingFailsTheCallInTime) {
  FakeServer server;
  SlowLink link(server.address(), std::nullopt);
  const MonotonicTime begin = SystemClock().Now();
  const auto router = Router::Create(link.address(), {.connect_timeout = milliseconds(500)});
  const auto pinged = Admin(router).Ping();
  EXPECT_LT(SystemClock().Now() - begin, seconds(20));  // the call itself may take 30 s
  ASSERT_FALSE(pinged.ok());
  EXPECT_TRUE(IsUnreachable(pinged.error()));
  EXPECT_EQ(pinged.error().message, "no server answers at " + link.address() +
                                        " (a connection is made, but nothing comes of it in time)");
}

TEST(Channel, AServerThatComesBackIsReachedSoon) {
  FakeServer server;
  const Admin admin(server.address());
  ASSERT_TRUE(admin.Ping().ok());
  server.Stop();
  ASSERT_FALSE(admin.Ping().ok());
  server.Start();
  const MonotonicTime begin = SystemClock().Now();
  while (!admin.Ping().ok() && SystemClock().Now() - begin < seconds(20)) std::this_thread::yield();
  EXPECT_LT(SystemClock().Now() - begin, seconds(4));
}

// gRPC has one code for a message that no server takes, and for a server that has no room for any.
TEST(Channel, AServerWithoutRoomDoesNotMakeMessagesTooLarge) {
  const Error large =
      ErrorOfCall("h:9094", grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                                         "Received message larger than max (5242880 vs. 4194304)"));
  EXPECT_EQ(large.reason, Reason::kBatchTooLarge);
  EXPECT_TRUE(IsNotApplied(large));
  for (const char* const text :
       {"", "Received RST_STREAM with error code 11", "too many requests"}) {
    const Error full =
        ErrorOfCall("h:9094", grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, text));
    EXPECT_EQ(full.reason, Reason::kQuotaExceeded);
    EXPECT_TRUE(IsRetriable(full));
    EXPECT_FALSE(IsNotApplied(full));
  }
}

TEST(Channel, AnotherListenersPortIsSaid) {
  // The internal listener has other services; gRPC gives no text then.
  EXPECT_EQ(ErrorOfCall("h:9095", grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "")).message,
            "the server at h:9095 does not know this call: is this its internal listener? Clients "
            "use listen.grpc (9094)");
  const Error http = ErrorOfCall(
      "h:9096", grpc::Status(grpc::StatusCode::UNAVAILABLE,
                             "failed to connect to all addresses; last error: UNKNOWN: "
                             "ipv4:127.0.0.1:9096: Trying to connect an http1.x server"));
  EXPECT_EQ(http.message, "h:9096 is an HTTP port: clients use listen.grpc (9094)");
  EXPECT_TRUE(IsUnreachable(http));
  EXPECT_TRUE(IsNotApplied(http));
}

}  // namespace
}  // namespace gregor
