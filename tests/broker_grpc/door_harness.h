#ifndef GREGOR_TESTS_BROKER_GRPC_DOOR_HARNESS_H_
#define GREGOR_TESTS_BROKER_GRPC_DOOR_HARNESS_H_

#include <glog/logging.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "broker/grpc/server.h"
#include "client/channel.h"
#include "tests/broker_grpc/memory_broker.h"

namespace gregor {

// The data plane over a real connection, with a broker in memory.
class DoorTest : public testing::Test {
 protected:
  ~DoorTest() override { server_.reset(); }

  void StartServer(GrpcServer::Options options = {}) {
    options.port = 0;
    options.metrics = metrics_.get();
    auto server = GrpcServer::Start(broker_, options);
    ASSERT_TRUE(server.ok()) << server.error();
    server_ = std::move(*server);
    server_->Serve();
    channel_ = NewChannel();
  }
  // A connection of its own.
  std::shared_ptr<grpc::Channel> NewChannel() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(-1);
    // Windows stay as small as at first: what a client does not read waits in the server.
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    return grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(server_->port()),
                                     grpc::InsecureChannelCredentials(), arguments);
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
  // What the server said, as its clients understand it.
  static Reason ReasonOf(const grpc::Status& status) {
    return status.ok() ? Reason::kUnspecified : ErrorOfStatusBytes(status.error_details()).reason;
  }
  static std::string DetailOf(const Error& error, const std::string& key) {
    for (const auto& [name, value] : error.details) {
      if (name == key) return value;
    }
    return "";
  }
  static std::string DetailOf(const grpc::Status& status, const std::string& key) {
    return DetailOf(ErrorOfStatusBytes(status.error_details()), key);
  }
  // Calls are counted a little after their clients have the answer.
  void WaitForMetric(const std::string& line) const {
    while (metrics_->Render().find(line + "\n") == std::string::npos) std::this_thread::yield();
  }
  static RecordBatch BatchOf(const std::vector<std::string>& values, Codec codec = Codec::kNone) {
    BatchBuilder builder({.codec = codec});
    for (const std::string& value : values) {
      NewRecord record;
      record.value = value;
      record.timestamp = Timestamp{1'700'000'000'000};
      builder.Add(record);
    }
    return builder.Build();
  }

  std::unique_ptr<Metrics> metrics_ = Metrics::Create();
  MemoryBroker broker_;
  std::unique_ptr<GrpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_BROKER_GRPC_DOOR_HARNESS_H_
