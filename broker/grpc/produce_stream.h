#ifndef GREGOR_BROKER_GRPC_PRODUCE_STREAM_H_
#define GREGOR_BROKER_GRPC_PRODUCE_STREAM_H_

#include <memory>

#include "broker/grpc/door.h"
#include "broker/grpc/hot_stream.h"

namespace gregor {

class ProduceService;

// A ProduceStream that waits for its call. REQUIRES: all outlive the server.
std::shared_ptr<HotStream> MakeProduceStream(std::shared_ptr<Door> door, ProduceService& service,
                                             StreamMetrics& metrics, LatencyHistogram& latency);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_PRODUCE_STREAM_H_
