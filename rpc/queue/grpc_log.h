#ifndef GREGOR_RPC_QUEUE_GRPC_LOG_H_
#define GREGOR_RPC_QUEUE_GRPC_LOG_H_

#include <string>

namespace gregor {

// gRPC's own log lines go to the log of this process, as warnings. Thread: any.
void SendGrpcLogToGlog();

// Keeps what gRPC logs while it lives: it says nowhere else why it could not listen. One at a time.
class GrpcLogCapture {
 public:
  GrpcLogCapture();
  ~GrpcLogCapture();
  std::string text() const;
};

}  // namespace gregor

#endif  // GREGOR_RPC_QUEUE_GRPC_LOG_H_
