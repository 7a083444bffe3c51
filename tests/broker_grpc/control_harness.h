#ifndef GREGOR_TESTS_BROKER_GRPC_CONTROL_HARNESS_H_
#define GREGOR_TESTS_BROKER_GRPC_CONTROL_HARNESS_H_

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/service_type.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "broker/grpc/control_services.h"
#include "broker/grpc/unknown_methods.h"
#include "client/channel.h"
#include "tests/broker_grpc/control_fake.h"

namespace gregor {

// The control services over a real connection, with a broker that is made up.
class ControlTest : public testing::Test {
 protected:
  ~ControlTest() override { StopServer(); }

  void StartServer(ControlOptions options = {}) {
    services_ = MakeControlServices(broker_, drain_, options);
    EnableStandardServices();
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    for (const auto& service : services_) builder.RegisterService(service.get());
    builder.RegisterCallbackGenericService(&unknown_methods_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    address_ = "127.0.0.1:" + std::to_string(port);
    channel_ = grpc::CreateChannel(address_, grpc::InsecureChannelCredentials());
  }
  void StopServer() {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::time_point());
    server_->Wait();
    server_ = nullptr;
    services_.clear();
  }

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

  FakeBroker broker_;
  std::shared_ptr<DrainSignal> drain_ = std::make_shared<DrainSignal>();
  UnknownMethods unknown_methods_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_BROKER_GRPC_CONTROL_HARNESS_H_
