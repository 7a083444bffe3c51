#ifndef GREGOR_BROKER_GRPC_CONTROL_FACTORIES_H_
#define GREGOR_BROKER_GRPC_CONTROL_FACTORIES_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "broker/grpc/control_services.h"

namespace gregor {

// The services of MakeControlServices(), one file each. REQUIRES: as there.
std::unique_ptr<grpc::Service> NewTopicService(BrokerApi& broker, const ControlOptions& options);
std::unique_ptr<grpc::Service> NewConfigService(BrokerApi& broker, const ControlOptions& options);
std::unique_ptr<grpc::Service> NewClusterService(BrokerApi& broker,
                                                 std::shared_ptr<DrainSignal> drain,
                                                 const ControlOptions& options);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_CONTROL_FACTORIES_H_
