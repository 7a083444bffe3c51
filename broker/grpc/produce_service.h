#ifndef GREGOR_BROKER_GRPC_PRODUCE_SERVICE_H_
#define GREGOR_BROKER_GRPC_PRODUCE_SERVICE_H_

#include <memory>

#include "broker/api.h"
#include "broker/grpc/call_metrics.h"
#include "broker/grpc/door.h"
#include "broker/grpc/hot_call.h"
#include "broker/grpc/hot_stream.h"
#include "gregor/v1/produce.grpc.pb.h"

namespace gregor {

// ProduceService: Produce and ProduceStream on the hot queue, as raw messages; InitProducer on
// gRPC's threads. Thread: main.
class ProduceService final
    : public v1::ProduceService::WithRawMethod_Produce<
          v1::ProduceService::WithRawMethod_ProduceStream<
              v1::ProduceService::WithCallbackMethod_InitProducer<v1::ProduceService::Service>>> {
 public:
  // REQUIRES: both outlive the server that it is registered with.
  ProduceService(BrokerApi& broker, Metrics& metrics, Duration call_timeout);

  // Begins to take calls. Once, when the server runs.
  void Serve(const std::shared_ptr<Door>& door);

  grpc::ServerUnaryReactor* InitProducer(grpc::CallbackServerContext* context,
                                         const v1::InitProducerRequest* request,
                                         v1::InitProducerResponse* response) override;

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
