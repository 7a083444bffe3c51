#ifndef GREGOR_BROKER_GRPC_PRODUCE_SERVICE_H_
#define GREGOR_BROKER_GRPC_PRODUCE_SERVICE_H_

#include <memory>

#include "broker/api.h"
#include "broker/grpc/call_metrics.h"
#include "broker/grpc/door.h"
#include "broker/grpc/hot_call.h"
#include "broker/grpc/hot_stream.h"
#include "broker/grpc/service_stack.h"
#include "gregor/v1/produce.grpc.pb.h"

namespace gregor {

using ProduceApi = v1::ProduceService;
using ProduceMethods =
    Stack<ProduceApi::Service, ProduceApi::WithRawMethod_Produce,
          ProduceApi::WithRawMethod_ProduceStream, ProduceApi::WithRawCallbackMethod_InitProducer>;

// ProduceService, with raw messages: Produce and ProduceStream on the hot queue, InitProducer on
// gRPC's threads. Thread: main.
class ProduceService final : public ProduceMethods {
 public:
  // REQUIRES: both outlive the server that it is registered with.
  ProduceService(BrokerApi& broker, Metrics& metrics, Duration call_timeout);

  // Begins to take calls. Once, when the server runs.
  void Serve(const std::shared_ptr<Door>& door);

  grpc::ServerUnaryReactor* InitProducer(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* bytes,
                                         grpc::ByteBuffer* response) override;

 private:
  BrokerApi& broker_;
  const Duration call_timeout_;
  UnaryMetrics produce_metrics_;
  StreamMetrics stream_metrics_;
  MethodMetrics init_metrics_;
  LatencyHistogram& frame_latency_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_PRODUCE_SERVICE_H_
