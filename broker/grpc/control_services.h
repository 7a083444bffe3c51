#ifndef GREGOR_BROKER_GRPC_CONTROL_SERVICES_H_
#define GREGOR_BROKER_GRPC_CONTROL_SERVICES_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/service_type.h>

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "broker/api.h"
#include "broker/grpc/drain_signal.h"

namespace gregor {

struct ControlOptions {
  // A unary call without a deadline ends after this long (COMMIT_TIMED_OUT, outcome UNKNOWN).
  Duration call_timeout = std::chrono::seconds(60);
  // WatchMetadata: sends something at least this often; ends a stream whose client has not taken a
  // message for `stalled_after`; more streams than `watches_max` are refused (QUOTA_EXCEEDED).
  Duration heartbeat_interval = std::chrono::seconds(10);
  Duration stalled_after = std::chrono::seconds(60);
  int watches_max = 1000;
  // Outlives the services; nullptr: nobody looks.
  Metrics* metrics = nullptr;
};

// TopicService, ConfigService and ClusterService on the callback API, to be registered with the
// server, and UnknownMethods with them, to which they leave the methods that they do not serve.
// Their streams end when `drain` begins. REQUIRES: `broker` outlives the server; the services go
// after the server.
std::vector<std::unique_ptr<grpc::Service>> MakeControlServices(BrokerApi& broker,
                                                                std::shared_ptr<DrainSignal> drain,
                                                                ControlOptions options = {});

// Health (grpc.health.v1), reflection and channelz for every server whose ServerBuilder is made
// afterwards. Thread: main.
void EnableStandardServices();

// What grpc.health.v1 says of the server ("") and of each named service. Nothing is said to serve
// before SetServing(true). Thread: any.
class Health {
 public:
  // `services`: full names, such as "gregor.v1.TopicService". REQUIRES: `server` was built with
  // EnableStandardServices() and outlives this.
  Health(grpc::Server& server, std::vector<std::string> services);
  void SetServing(bool serving);
  // Nothing serves any more, for good.
  void Shutdown();

 private:
  grpc::HealthCheckServiceInterface& health_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_CONTROL_SERVICES_H_
