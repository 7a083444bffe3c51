#include "broker/grpc/control_services.h"

#include <grpcpp/ext/channelz_service_plugin.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>

#include "base/check.h"
#include "broker/grpc/control_factories.h"

namespace gregor {

std::vector<std::unique_ptr<grpc::Service>> MakeControlServices(BrokerApi& broker,
                                                                std::shared_ptr<DrainSignal> drain,
                                                                ControlOptions options) {
  std::vector<std::unique_ptr<grpc::Service>> services;
  services.push_back(NewTopicService(broker, options));
  services.push_back(NewConfigService(broker, options));
  services.push_back(NewClusterService(broker, std::move(drain), options));
  return services;
}

void EnableStandardServices() {
  // gRPC knows them as plug-ins of the process, of which a builder takes those that it finds when
  // it is made.
  static const bool kAdded = [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::channelz::experimental::InitChannelzService();
    return true;
  }();
  CHECK(kAdded);
}

Health::Health(grpc::Server& server, std::vector<std::string> services)
    : health_(*server.GetHealthCheckService()) {
  health_.SetServingStatus(false);
  for (const std::string& service : services) health_.SetServingStatus(service, false);
}

void Health::SetServing(bool serving) { health_.SetServingStatus(serving); }

void Health::Shutdown() { health_.Shutdown(); }

}  // namespace gregor
