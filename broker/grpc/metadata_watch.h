#ifndef GREGOR_BROKER_GRPC_METADATA_WATCH_H_
#define GREGOR_BROKER_GRPC_METADATA_WATCH_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <optional>

#include "broker/grpc/call_metrics.h"
#include "broker/grpc/control_services.h"

namespace gregor {

// How many streams there are, and how they ended. Thread: any.
class WatchNumbers {
 public:
  // `metrics`: nullptr, or outlives this.
  explicit WatchNumbers(Metrics* metrics);
  // False if there are `max` streams already.
  bool Begin(int max);
  void Ended(grpc::StatusCode code);
  void Gone();

 private:
  std::atomic<int> open_{0};
  std::optional<MethodMetrics> metrics_;
  Gauge* gauge_ = nullptr;
};

// The streams of WatchMetadata. A stream holds the image that its client was told last and the
// names of at most a thousand topics that changed since; where more changed it compares all. So a
// client that lags costs no more than one that does not: it is told the latest state, not each
// step. Thread: any.
class MetadataWatches {
 public:
  // REQUIRES: `broker` outlives the server that serves the streams.
  MetadataWatches(BrokerApi& broker, std::shared_ptr<DrainSignal> drain,
                  const ControlOptions& options);

  // What the raw method of the callback API returns.
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Start(grpc::CallbackServerContext& context,
                                                    const grpc::ByteBuffer& request);

 private:
  BrokerApi& broker_;
  const std::shared_ptr<DrainSignal> drain_;
  const ControlOptions options_;
  const std::shared_ptr<WatchNumbers> numbers_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_METADATA_WATCH_H_
