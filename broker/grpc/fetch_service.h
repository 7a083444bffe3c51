#ifndef GREGOR_BROKER_GRPC_FETCH_SERVICE_H_
#define GREGOR_BROKER_GRPC_FETCH_SERVICE_H_

#include <memory>

#include "broker/api.h"
#include "broker/grpc/call_metrics.h"
#include "broker/grpc/door.h"
#include "broker/grpc/hot_call.h"
#include "broker/grpc/hot_stream.h"
#include "broker/grpc/service_stack.h"
#include "gregor/v1/fetch.grpc.pb.h"

namespace gregor {

using FetchApi = v1::FetchService;
using FetchMethods =
    Stack<FetchApi::Service, FetchApi::WithRawMethod_Fetch, FetchApi::WithRawMethod_Read,
          FetchApi::WithRawMethod_FetchStream, FetchApi::WithRawCallbackMethod_ListOffsets,
          FetchApi::WithRawCallbackMethod_GetEpochEndOffset>;

// FetchService, with raw messages: Fetch, Read and FetchStream on the hot queue, the others on
// gRPC's threads. Thread: main.
class FetchService final : public FetchMethods {
 public:
  // REQUIRES: both outlive the server that it is registered with.
  FetchService(BrokerApi& broker, Metrics& metrics, Duration call_timeout);

  // Begins to take calls. Once, when the server runs.
  void Serve(const std::shared_ptr<Door>& door);

  grpc::ServerUnaryReactor* ListOffsets(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* bytes,
                                        grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetEpochEndOffset(grpc::CallbackServerContext* context,
                                              const grpc::ByteBuffer* bytes,
                                              grpc::ByteBuffer* response) override;

 private:
  BrokerApi& broker_;
  const Duration call_timeout_;
  UnaryMetrics fetch_metrics_;
  StreamMetrics read_metrics_;
  StreamMetrics stream_metrics_;
  MethodMetrics list_offsets_metrics_;
  MethodMetrics epoch_end_metrics_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_FETCH_SERVICE_H_
