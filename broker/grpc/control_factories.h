#ifndef GREGOR_BROKER_GRPC_CONTROL_FACTORIES_H_
#define GREGOR_BROKER_GRPC_CONTROL_FACTORIES_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>

#include "broker/grpc/call_metrics.h"
#include "broker/grpc/control_services.h"
#include "broker/grpc/unary_call.h"

namespace gregor {

// The services of MakeControlServices(), one file each. REQUIRES: as there.
std::unique_ptr<grpc::Service> NewTopicService(BrokerApi& broker, const ControlOptions& options);
std::unique_ptr<grpc::Service> NewConfigService(BrokerApi& broker, const ControlOptions& options);
std::unique_ptr<grpc::Service> NewClusterService(BrokerApi& broker,
                                                 std::shared_ptr<DrainSignal> drain,
                                                 const ControlOptions& options);

// What holds for all calls of one of their methods.
class ControlMethod {
 public:
  // `name`: "gregor.v1.TopicService/GetTopic".
  ControlMethod(const ControlOptions& options, const std::string& name, bool writes) {
    if (options.metrics != nullptr) metrics_.emplace(*options.metrics, name);
    rules_ = {.metrics = metrics_.has_value() ? &*metrics_ : nullptr,
              .timeout = options.call_timeout,
              .writes = writes};
  }
  ControlMethod(const ControlMethod&) = delete;
  ControlMethod& operator=(const ControlMethod&) = delete;

  const CallRules& rules() const { return rules_; }

 private:
  std::optional<MethodMetrics> metrics_;
  CallRules rules_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_CONTROL_FACTORIES_H_
