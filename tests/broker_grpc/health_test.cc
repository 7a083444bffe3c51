#include <thread>

#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/broker_grpc/control_harness.h"

namespace gregor {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

class HealthTest : public ControlTest {
 protected:
  void SetUp() override {
    StartServer();
    stub_ = grpc::health::v1::Health::NewStub(channel_);
  }
  grpc::Status Check(const std::string& service) {
    HealthCheckRequest request;
    request.set_service(service);
    const auto context = NewContext();
    return stub_->Check(context.get(), request, &response_);
  }
  auto Watch(grpc::ClientContext& context, const std::string& service) {
    HealthCheckRequest request;
    request.set_service(service);
    return stub_->Watch(&context, request);
  }

  std::unique_ptr<grpc::health::v1::Health::Stub> stub_;
  HealthCheckResponse response_;
};

TEST_F(HealthTest, TheServerAndItsServicesServeUntilItDrains) {
  for (const char* name :
       {"", "gregor.v1.ProduceService", "gregor.v1.FetchService", "gregor.v1.TopicService",
        "gregor.v1.ConfigService", "gregor.v1.ClusterService", "gregor.v1.SecurityService"}) {
    EXPECT_TRUE(Check(name).ok()) << name;
    EXPECT_EQ(response_.status(), HealthCheckResponse::SERVING) << name;
  }
  server_->Drain();
  EXPECT_TRUE(Check("").ok());
  EXPECT_EQ(response_.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_TRUE(Check("gregor.v1.FetchService").ok());
  EXPECT_EQ(response_.status(), HealthCheckResponse::NOT_SERVING);
}

TEST_F(HealthTest, AServiceThatIsNotThereIsNotFoundAndMayBeWatched) {
  EXPECT_EQ(Check("gregor.v1.GroupAdminService").error_code(), grpc::NOT_FOUND);
  const auto context = NewContext();
  const auto watch = Watch(*context, "gregor.v1.GroupAdminService");
  ASSERT_TRUE(watch->Read(&response_));
  EXPECT_EQ(response_.status(), HealthCheckResponse::SERVICE_UNKNOWN);
  // Nothing that happens to the others is said of it, and the stream stays.
  server_->Drain();
  const auto other_context = NewContext();
  const auto other = Watch(*other_context, "");
  ASSERT_TRUE(other->Read(&response_));
  server_->Shutdown(std::chrono::seconds(20));
  EXPECT_FALSE(watch->Read(&response_));
  EXPECT_TRUE(watch->Finish().ok());
}

TEST_F(HealthTest, AWatcherHearsOfTheDrainAndItsStreamEndsAtTheShutdown) {
  const auto context = NewContext();
  const auto watch = Watch(*context, "");
  ASSERT_TRUE(watch->Read(&response_));
  EXPECT_EQ(response_.status(), HealthCheckResponse::SERVING);
  server_->Drain();
  ASSERT_TRUE(watch->Read(&response_));
  EXPECT_EQ(response_.status(), HealthCheckResponse::NOT_SERVING);
  const auto late_context = NewContext();
  const auto late = Watch(*late_context, "gregor.v1.TopicService");
  ASSERT_TRUE(late->Read(&response_));
  EXPECT_EQ(response_.status(), HealthCheckResponse::NOT_SERVING);
  // Nothing is broken off: the grace need not pass.
  server_->Shutdown(std::chrono::seconds(20));
  EXPECT_FALSE(watch->Read(&response_));
  EXPECT_TRUE(watch->Finish().ok());
  EXPECT_FALSE(late->Read(&response_));
  EXPECT_TRUE(late->Finish().ok());
}

TEST_F(HealthTest, WatchersThatWentAreForgotten) {
  for (int i = 0; i < 20; ++i) {
    const auto context = NewContext();
    const auto watch = Watch(*context, "");
    ASSERT_TRUE(watch->Read(&response_));
    context->TryCancel();
    EXPECT_EQ(watch->Finish().error_code(), grpc::CANCELLED);
  }
  WaitForMetric("gregor_grpc_streams_open{method=\"grpc.health.v1.Health/Watch\"} 0");
  server_->Drain();
  EXPECT_TRUE(Check("").ok());
}

}  // namespace
}  // namespace gregor
