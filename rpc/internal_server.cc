#include "rpc/internal_server.h"

#include <grpcpp/resource_quota.h>

#include <utility>

#include "base/listening.h"
#include "rpc/queue/grpc_log.h"

namespace gregor {
namespace {

// What gRPC may hold of messages that are read or written.
constexpr size_t kMemoryBytesMax = 512u << 20;
constexpr int kConcurrentStreamsMax = 1000;  // per connection
// Who has not shown in this time who he is goes.
constexpr int kHandshakeMs = 10'000;
constexpr Duration kKeepaliveTimeout = std::chrono::seconds(5);

}  // namespace

InternalServer::InternalServer()
    : queue_(std::make_shared<CallQueue>(builder_.AddCompletionQueue(), "grpc-internal")) {}

InternalServer::~InternalServer() { EndCalls(); }

Result<void> InternalServer::Start(const Options& options) {
  SendGrpcLogToGlog();
  const ListenAddress address{options.host, options.port, "the cluster's other nodes",
                              "--internal-listen",
                              "the setting listen.internal; where `controllers` names this node, "
                              "change it there on every node"};
  ASSIGN_OR_RETURN(acceptor_, Acceptor::Listen({.address = address,
                                                .files_max = options.files_max,
                                                .unconfirmed_max = kKeepaliveTimeout}));
  acceptor_->AddTo(builder_, options.credentials);
  for (InternalService* const each : options.services) builder_.RegisterService(&each->service());
  builder_.SetMaxReceiveMessageSize(kInternalMessageBytesMax);
  builder_.SetMaxSendMessageSize(-1);
  grpc::ResourceQuota quota("gregor-internal");
  quota.Resize(kMemoryBytesMax);
  builder_.SetResourceQuota(quota);
  builder_.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kConcurrentStreamsMax);
  builder_.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
  // Nodes of a cluster find a lost one by its silence; this is for connections of half a network.
  builder_.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  builder_.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                              kKeepaliveTimeout / std::chrono::milliseconds(1));
  builder_.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder_.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  server_ = builder_.BuildAndStart();
  CHECK(server_ != nullptr);  // what can fail is to listen, which was done
  for (InternalService* const each : options.services) each->Listen(*queue_);
  acceptor_->Serve();
  return {};
}

void InternalServer::Shutdown() {
  if (server_ == nullptr || std::exchange(is_shut_down_, true)) return;
  acceptor_->Stop();
  server_->Shutdown(gpr_now(GPR_CLOCK_MONOTONIC));
  server_->Wait();
}

void InternalServer::EndCalls() {
  Shutdown();
  if (!std::exchange(is_queue_closed_, true)) queue_->Close();
}

}  // namespace gregor
