#ifndef GREGOR_BROKER_GRPC_FETCH_CALL_H_
#define GREGOR_BROKER_GRPC_FETCH_CALL_H_

#include <memory>

#include "broker/grpc/door.h"
#include "broker/grpc/hot_call.h"
#include "broker/grpc/hot_stream.h"

namespace gregor {

class FetchService;

// Calls of FetchService that wait for their call. REQUIRES: all outlive the server.
std::shared_ptr<HotUnary> MakeFetchCall(std::shared_ptr<Door> door, FetchService& service,
                                        UnaryMetrics& metrics);
std::shared_ptr<HotStream> MakeReadStream(std::shared_ptr<Door> door, FetchService& service,
                                          StreamMetrics& metrics);
std::shared_ptr<HotStream> MakeFetchStream(std::shared_ptr<Door> door, FetchService& service,
                                           StreamMetrics& metrics);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_FETCH_CALL_H_
