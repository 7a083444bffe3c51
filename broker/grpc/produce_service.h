#ifndef GREGOR_BROKER_GRPC_PRODUCE_SERVICE_H_
#define GREGOR_BROKER_GRPC_PRODUCE_SERVICE_H_

#include <memory>

#include "broker/api.h"
#include "broker/grpc/call_metrics.h"
#include "broker/grpc/control_call.h"
#include "broker/grpc/door.h"
#include "broker/grpc/hot_call.h"
#include "broker/grpc/hot_stream.h"
#include "broker/grpc/service_stack.h"
#include "gregor/v1/produce.grpc.pb.h"

namespace gregor {

using ProduceApi = v1::ProduceService;
using ProduceMethods =
    Stack<ProduceApi::Service, ProduceApi::WithRawMethod_Produce,
          ProduceApi::WithRawMethod_ProduceStream, ProduceApi::WithRawMethod_InitProducer>;

// ProduceService, with raw messages: Produce and ProduceStream on the hot queue's thread,
// InitProducer on the control loop. Thread: main.
class ProduceService final : public ProduceMethods, public DoorService {
 public:
  // REQUIRES: `door` outlives this.
  explicit ProduceService(Door& door);

  grpc::Service* service() override { return this; }
  void Serve(const std::shared_ptr<Door>& door) override;

 private:
  void Init(const v1::InitProducerRequest& request, Reply<v1::InitProducerResponse> reply);

  BrokerApi& broker_;
  UnaryMetrics produce_metrics_;
  StreamMetrics stream_metrics_;
  LatencyHistogram& frame_latency_;
  ControlMethods methods_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_PRODUCE_SERVICE_H_
