#ifndef GREGOR_BROKER_GRPC_METADATA_WATCH_H_
#define GREGOR_BROKER_GRPC_METADATA_WATCH_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/async_stream.h>

#include <atomic>
#include <functional>
#include <memory>

#include "broker/grpc/door.h"
#include "broker/grpc/hot_stream.h"

namespace gregor {

// The streams of WatchMetadata. A stream holds the image that its client was told last and the
// names of at most a thousand topics that changed since; where more changed it compares all. So a
// client that lags costs no more than one that does not: it is told the latest state, not each
// step. Thread: main.
class MetadataWatches {
 public:
  // Asks the service for a call.
  using Ask = std::function<void(grpc::ServerContext*, grpc::ByteBuffer* request,
                                 grpc::ServerAsyncWriter<grpc::ByteBuffer>*,
                                 grpc::ServerCompletionQueue*, void* tag)>;

  MetadataWatches(Metrics& metrics, Ask ask)
      : shared_{std::move(ask), StreamMetrics(metrics, "gregor.v1.ClusterService/WatchMetadata")} {}

  // Begins to take calls. Once, when the server runs. REQUIRES: this lives as long as the door.
  void Serve(const std::shared_ptr<Door>& door);

  // What the streams share.
  struct Shared {
    const Ask ask;
    StreamMetrics metrics;
    std::atomic<int> open{0};  // that were not refused
  };

 private:
  Shared shared_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_METADATA_WATCH_H_
