#ifndef GREGOR_BROKER_GRPC_FETCH_SERVICE_H_
#define GREGOR_BROKER_GRPC_FETCH_SERVICE_H_

#include <memory>

#include "broker/api.h"
#include "broker/grpc/call_metrics.h"
#include "broker/grpc/control_call.h"
#include "broker/grpc/door.h"
#include "broker/grpc/hot_call.h"
#include "broker/grpc/hot_stream.h"
#include "broker/grpc/service_stack.h"
#include "gregor/v1/fetch.grpc.pb.h"

namespace gregor {

using FetchApi = v1::FetchService;
using FetchMethods =
    Stack<FetchApi::Service, FetchApi::WithRawMethod_Fetch, FetchApi::WithRawMethod_Read,
          FetchApi::WithRawMethod_FetchStream, FetchApi::WithRawMethod_ListOffsets,
          FetchApi::WithRawMethod_GetEpochEndOffset>;

// FetchService, with raw messages: Fetch, Read and FetchStream on the hot queue's thread, the
// others on the control loop. Thread: main.
class FetchService final : public FetchMethods, public DoorService {
 public:
  // REQUIRES: `door` outlives this.
  explicit FetchService(Door& door);

  grpc::Service* service() override { return this; }
  void Serve(const std::shared_ptr<Door>& door) override;

 private:
  void FindOffsets(const v1::ListOffsetsRequest& request, Reply<v1::ListOffsetsResponse> reply);
  void FindEpochEnd(const v1::GetEpochEndOffsetRequest& request,
                    Reply<v1::GetEpochEndOffsetResponse> reply);

  BrokerApi& broker_;
  UnaryMetrics fetch_metrics_;
  StreamMetrics read_metrics_;
  StreamMetrics stream_metrics_;
  ControlMethods methods_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_FETCH_SERVICE_H_
