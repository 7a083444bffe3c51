#include "node/quorum_links.h"

#include <grpcpp/grpcpp.h>

#include <map>
#include <utility>

#include "controller/image/feature_level.h"
#include "controller/operation_server.h"
#include "node/connection_guard.h"
#include "node/link_security.h"
#include "node/process.h"
#include "node/waiting.h"
#include "rpc/controller_client.h"
#include "rpc/controller_service.h"
#include "rpc/internal_server.h"
#include "rpc/quorum_service.h"
#include "rpc/raft_transport.h"
#include "rpc/twin.h"

namespace gregor {
namespace {

// To hear from another process that runs under this node's id. Where the address is this process's
// own, or nobody's, the answer comes at once.
constexpr Duration kTwinWait = std::chrono::seconds(1);

// Where others reach this node: as it says, or as the settings of all nodes say of it.
HostPort AdvertisedInternal(const Settings& settings, const HostPort& listens) {
  if (settings.advertise_internal.has_value()) return *settings.advertise_internal;
  for (const ControllerAddress& controller : settings.controllers) {
    if (controller.node == settings.node_id) return controller.address;
  }
  return listens;
}

class RunningLinks final : public QuorumLinks {
 public:
  ~RunningLinks() override { Shutdown(); }

  Result<void> Listen(EventLoop& loop, const Settings& settings, const NodeIdentity& identity,
                      const DirectoryId& incarnation, Metrics& metrics) {
    loop_ = &loop;
    ASSIGN_OR_RETURN(security_, LinkSecurity::Start(settings, identity, metrics));
    const auto credentials = security_->credentials();
    GrpcRaftTransport::Options transport;
    transport.loop = &loop;
    transport.queue = &server_.queue();
    transport.cluster = identity.cluster_id;
    transport.self = {identity.node_id, identity.directory_id};
    transport.incarnation = incarnation;
    std::map<NodeId, std::string> addresses;
    for (const ControllerAddress& controller : settings.controllers)
      addresses[controller.node] = controller.address.ToString();
    transport.addresses = addresses;
    identity_ = identity;
    transport.credentials = credentials;
    transport.on_addresses = [this](const auto& known) { client_->SetAddresses(known); };
    transport_ = GrpcRaftTransport::Create(std::move(transport));
    InternalServer::Options server;
    server.host = settings.listen_internal.host;
    server.port = settings.listen_internal.port;
    server.files_max = ConnectionGuard::AcceptedFromNodesFilesMaxOf(OpenFileLimit());
    server.credentials = credentials->ForServer();
    client_ = std::make_unique<ControllerClient>(credentials, server_.queue());
    client_->SetAddresses(addresses);
    service_ = std::make_unique<ControllerService>(identity.cluster_id);
    quorum_service_ = std::make_unique<QuorumService>(identity.cluster_id);
    server.services = {&transport_->service(), service_.get(), quorum_service_.get()};
    RETURN_IF_ERROR(server_.Start(server));
    listens_ = {settings.listen_internal.host, server_.port()};
    const HostPort shown = AdvertisedInternal(settings, listens_);
    transport_->SetIntroduction({.endpoints = {{"internal", shown.host, shown.port}},
                                 .may_vote = settings.roles.controller,
                                 .feature_level_min = kFeatureLevelMin,
                                 .feature_level_max = kFeatureLevel});
    return CheckAlone(settings, incarnation, *credentials);
  }

  HostPort listens() const override { return listens_; }
  RaftTransport& transport() override { return *transport_; }
  SnapshotSource& snapshots() override { return transport_->snapshots(); }
  RemoteController& controllers() override { return *client_; }
  RemoteQuorum& quorum() override { return *client_; }
  void Serve(Controller& controller) override {
    operations_ = std::make_unique<OperationServer>(controller, identity_.cluster_id);
    service_->Serve(*operations_);
    quorum_service_->Serve(
        std::make_shared<QuorumServer>(*loop_, controller, identity_.cluster_id));
  }
  void StopServing() override {
    if (operations_ == nullptr) return;
    service_->Stop();
    quorum_service_->Stop();
  }
  void Shutdown() override {
    server_.Shutdown();
    if (transport_ != nullptr) transport_->Shutdown();
    if (client_ != nullptr) client_->Shutdown();
    // What these have ended is told by the queue's thread.
    server_.EndCalls();
  }

 private:
  // Two processes under one id: the second one would follow the metadata for ever, without a vote.
  Result<void> CheckAlone(const Settings& settings, const DirectoryId& incarnation,
                          NodeCredentials& credentials) const {
    const RaftSelf self{
        identity_.cluster_id, {identity_.node_id, identity_.directory_id}, {}, incarnation};
    for (const ControllerAddress& controller : settings.controllers) {
      if (controller.node != settings.node_id || controller.address == listens_) continue;
      auto twin = FindTwin(controller.address.ToString(), credentials, self, kTwinWait);
      if (twin.has_value()) return *std::move(twin);
    }
    return {};
  }

  EventLoop* loop_ = nullptr;
  std::unique_ptr<LinkSecurity> security_;  // outlives all connections
  InternalServer server_;                   // its queue outlives whoever calls by it
  NodeIdentity identity_;
  HostPort listens_;
  std::unique_ptr<GrpcRaftTransport> transport_;
  std::unique_ptr<OperationServer> operations_;
  std::unique_ptr<ControllerService> service_;
  std::unique_ptr<QuorumService> quorum_service_;
  std::unique_ptr<ControllerClient> client_;
};

}  // namespace

Result<std::unique_ptr<QuorumLinks>> QuorumLinks::Start(EventLoop& loop, const Settings& settings,
                                                        const NodeIdentity& identity,
                                                        const DirectoryId& incarnation,
                                                        Metrics& metrics) {
  auto links = std::make_unique<RunningLinks>();
  RETURN_IF_ERROR(links->Listen(loop, settings, identity, incarnation, metrics));
  return std::unique_ptr<QuorumLinks>(std::move(links));
}

raft::Options QuorumOptions(const Settings& settings) {
  raft::Options options;
  for (const ControllerAddress& controller : settings.controllers) {
    options.configured.push_back(
        {{controller.node, DirectoryId{}},
         {{"internal", controller.address.host, controller.address.port}}});
  }
  options.heartbeat_interval = settings.quorum_heartbeat;
  options.election_timeout_min = settings.quorum_election_timeout;
  options.election_timeout_max = 2 * settings.quorum_election_timeout;
  options.quick_jitter = settings.quorum_election_jitter;
  return options;
}

}  // namespace gregor
