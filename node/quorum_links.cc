#include "node/quorum_links.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "node/waiting.h"
#include "rpc/internal_server.h"
#include "rpc/raft_transport.h"

namespace gregor {
namespace {

class RunningLinks final : public QuorumLinks {
 public:
  ~RunningLinks() override { Shutdown(); }

  Result<void> Listen(EventLoop& loop, const Settings& settings, const NodeIdentity& identity) {
    loop_ = &loop;
    GrpcRaftTransport::Options transport;
    transport.loop = &loop;
    transport.cluster = identity.cluster_id;
    transport.self = {identity.node_id, identity.directory_id};
    for (const ControllerAddress& controller : settings.controllers)
      transport.addresses[controller.node] = controller.address.ToString();
    transport.credentials = grpc::InsecureChannelCredentials();
    transport_ = GrpcRaftTransport::Create(std::move(transport));
    InternalServer::Options server;
    server.host = settings.listen_internal.host;
    server.port = settings.listen_internal.port;
    server.credentials = grpc::InsecureServerCredentials();
    server.services = {&transport_->service()};
    ASSIGN_OR_RETURN(server_, InternalServer::Start(server));
    listens_ = {settings.listen_internal.host, server_->port()};
    return {};
  }

  HostPort listens() const override { return listens_; }
  RaftTransport& transport() override { return *transport_; }
  SnapshotSource& snapshots() override { return transport_->snapshots(); }
  void Serve(Controller* controller) override {
    ReadSnapshot read;
    if (controller != nullptr) {
      read = [controller](Offset end_min, SnapshotSource::Fetched fetched) {
        controller->ReadSnapshot(end_min, std::move(fetched));
      };
    }
    WaitFor<bool>([&](auto done) {
      loop_->Post("node.serve_snapshots",
                  [this, read = std::move(read), done = std::move(done)]() mutable {
                    transport_->SetSnapshotReader(std::move(read));
                    done(true);
                  });
    });
  }
  void Shutdown() override {
    if (server_ != nullptr) server_->Shutdown();
    if (transport_ != nullptr) transport_->Shutdown();
  }

 private:
  EventLoop* loop_ = nullptr;
  HostPort listens_;
  std::unique_ptr<GrpcRaftTransport> transport_;
  std::unique_ptr<InternalServer> server_;
};

}  // namespace

Result<std::unique_ptr<QuorumLinks>> QuorumLinks::Start(EventLoop& loop, const Settings& settings,
                                                        const NodeIdentity& identity) {
  auto links = std::make_unique<RunningLinks>();
  RETURN_IF_ERROR(links->Listen(loop, settings, identity));
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
  return options;
}

}  // namespace gregor
