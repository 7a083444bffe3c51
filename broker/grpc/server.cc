#include "broker/grpc/server.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/channelz_service_plugin.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/listening.h"
#include "broker/grpc/control_services.h"
#include "broker/grpc/door.h"
#include "broker/grpc/drain_signal.h"
#include "broker/grpc/fetch_service.h"
#include "broker/grpc/health.h"
#include "broker/grpc/produce_service.h"
#include "broker/grpc/unknown_methods.h"
#include "gregor/v1/cluster.grpc.pb.h"
#include "gregor/v1/config.grpc.pb.h"
#include "gregor/v1/security.grpc.pb.h"
#include "gregor/v1/topic.grpc.pb.h"
#include "rpc/queue/acceptor.h"
#include "rpc/queue/grpc_log.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;

constexpr size_t kReceiveBytesMin = 8u << 20;
constexpr int kConcurrentStreamsMax = 1000;  // per connection
// Streams end by themselves before the node breaks them off.
constexpr Duration kCloseIn = milliseconds(300);
constexpr Duration kKeepaliveTimeout = std::chrono::seconds(20);

void SetLimits(grpc::ServerBuilder& builder, const BrokerApi& broker,
               const GrpcServer::Options& options) {
  const size_t receive_max =
      std::max(kReceiveBytesMin, broker.message_bytes_limit() + kEnvelopeBytes);
  builder.SetMaxReceiveMessageSize(static_cast<int>(std::min<size_t>(receive_max, INT32_MAX)));
  builder.SetMaxSendMessageSize(-1);
  grpc::ResourceQuota quota("gregor");
  quota.Resize(options.memory_bytes_max);
  builder.SetResourceQuota(quota);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kConcurrentStreamsMax);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeout / milliseconds(1));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // gRPC's five minutes would take the keepalives of ordinary clients for an attack.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
}

// Reflection and channelz are synchronous services. Those have a queue and a thread of their own,
// which do not poll sockets beside the door's.
void AddSyncServices() {
  // gRPC knows them as plug-ins of the process, of which a builder takes those that it finds when
  // it is made.
  static const bool kAdded = [] {
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::channelz::experimental::InitChannelzService();
    return true;
  }();
  CHECK(kAdded);
}

class RunningServer final : public GrpcServer {
 public:
  RunningServer(BrokerApi& broker, Options options)
      : broker_(broker), options_(std::move(options)), drain_(std::make_shared<DrainSignal>()) {}

  ~RunningServer() override { Shutdown(Duration(0)); }

  Result<void> Listen() {
    SendGrpcLogToGlog();
    const ListenAddress address{options_.host, options_.port, "gRPC", "--grpc-listen"};
    AddSyncServices();
    ASSIGN_OR_RETURN(acceptor_, Acceptor::Listen({.address = address,
                                                  .files_max = options_.files_max,
                                                  .unconfirmed_max = kKeepaliveTimeout}));
    grpc::ServerBuilder builder;
    acceptor_->AddTo(builder, grpc::InsecureServerCredentials());
    SetLimits(builder, broker_, options_);
    door_ = std::make_shared<Door>(broker_, options_, drain_, builder.AddCompletionQueue());
    AddServices();
    for (const auto& service : door_->services) builder.RegisterService(service->service());
    builder.RegisterAsyncGenericService(unknown_methods_.service());
    server_ = builder.BuildAndStart();
    CHECK(server_ != nullptr);  // what can fail is to listen, which was done
    acceptor_->Serve();
    return {};
  }

  uint16_t port() const override { return acceptor_->port(); }

  void Serve() override {
    for (const auto& service : door_->services) service->Serve(door_);
    unknown_methods_.Serve(door_);
    door_->Watch();
    health_->SetServing(true);
  }

  void Drain() override {
    health_->SetServing(false);
    drain_->Begin(kCloseIn);
  }

  void Shutdown(Duration grace) override {
    if (server_ == nullptr || std::exchange(shut_down_, true)) return;
    acceptor_->Stop();
    health_->Shutdown();
    // Early enough for the clients to hear of it.
    door_->queue.After(3 * grace / 4, [door = door_.get()] { door->BreakOff(); });
    server_->Shutdown(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                   gpr_time_from_nanos(grace.count(), GPR_TIMESPAN)));
    door_->queue.Close();
    server_.reset();
    door_->StopLoops();
  }

 private:
  void AddServices() {
    auto& services = door_->services;
    services.push_back(std::make_unique<ProduceService>(*door_));
    services.push_back(std::make_unique<FetchService>(*door_));
    services.push_back(NewTopicService(*door_));
    services.push_back(NewConfigService(*door_));
    services.push_back(NewClusterService(*door_));
    services.push_back(NewSecurityService(*door_));
    auto health = std::make_unique<HealthService>(
        *door_,
        std::vector<std::string>{
            v1::ProduceService::service_full_name(), v1::FetchService::service_full_name(),
            v1::TopicService::service_full_name(), v1::ConfigService::service_full_name(),
            v1::ClusterService::service_full_name(), v1::SecurityService::service_full_name()});
    health_ = health.get();
    services.push_back(std::move(health));
  }

  BrokerApi& broker_;
  const Options options_;
  const std::shared_ptr<DrainSignal> drain_;
  std::shared_ptr<Door> door_;
  HealthService* health_ = nullptr;  // of the door
  UnknownMethods unknown_methods_;
  std::unique_ptr<Acceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
  bool shut_down_ = false;
};

}  // namespace

Result<std::unique_ptr<GrpcServer>> GrpcServer::Start(BrokerApi& broker, Options options) {
  // The library stays until the process ends: where the last user of it goes it waits for its own
  // threads, which may take seconds while clients that do not read hold connections.
  static const bool kept = (grpc_init(), true);
  CHECK(kept);
  auto server = std::make_unique<RunningServer>(broker, std::move(options));
  RETURN_IF_ERROR(server->Listen());
  return std::unique_ptr<GrpcServer>(std::move(server));
}

}  // namespace gregor
