#ifndef GREGOR_TESTS_BROKER_GRPC_CONTROL_HARNESS_H_
#define GREGOR_TESTS_BROKER_GRPC_CONTROL_HARNESS_H_

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "broker/grpc/server.h"
#include "client/channel.h"
#include "tests/broker_grpc/control_fake.h"

namespace gregor {

// The control services over a real connection, with a broker that is made up.
class ControlTest : public testing::Test {
 protected:
  ~ControlTest() override { StopServer(); }

  void StartServer(GrpcServer::Options options = {}) {
    Listen(options);
    server_->Serve();
  }
  void Listen(GrpcServer::Options options = {}) {
    options.port = 0;
    options.metrics = metrics_.get();
    auto server = GrpcServer::Start(broker_, options);
    ASSERT_TRUE(server.ok()) << server.error();
    server_ = std::move(*server);
    address_ = "127.0.0.1:" + std::to_string(server_->port());
    channel_ = grpc::CreateChannel(address_, grpc::InsecureChannelCredentials());
  }
  void StopServer() { server_ = nullptr; }

  // A context that gives up by itself, so that no test hangs.
  static std::unique_ptr<grpc::ClientContext> NewContext(
      std::chrono::milliseconds timeout = std::chrono::seconds(20)) {
    auto context = std::make_unique<grpc::ClientContext>();
    const auto ms = static_cast<int64_t>(timeout.count());
    context->set_deadline(
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN)));
    return context;
  }
  static std::string Trailer(const grpc::ClientContext& context, const std::string& key) {
    const auto& trailers = context.GetServerTrailingMetadata();
    const auto found = trailers.find(key);
    return found == trailers.end() ? "" : std::string(found->second.data(), found->second.size());
  }
  // What the service said, as its clients understand it.
  static Reason ReasonOf(const grpc::Status& status) {
    return status.ok() ? Reason::kUnspecified : ErrorOfStatusBytes(status.error_details()).reason;
  }

  // Calls are counted a little after their clients have the answer.
  void WaitForMetric(const std::string& line) const {
    while (metrics_->Render().find(line + "\n") == std::string::npos) std::this_thread::yield();
  }

  const std::unique_ptr<Metrics> metrics_ = Metrics::Create();
  FakeBroker broker_;
  std::unique_ptr<GrpcServer> server_;
  std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_BROKER_GRPC_CONTROL_HARNESS_H_
