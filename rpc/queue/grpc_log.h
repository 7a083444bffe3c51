#ifndef GREGOR_RPC_QUEUE_GRPC_LOG_H_
#define GREGOR_RPC_QUEUE_GRPC_LOG_H_

namespace gregor {

// gRPC's own log lines go to the log of this process, as warnings. Thread: any.
void SendGrpcLogToGlog();

}  // namespace gregor

#endif  // GREGOR_RPC_QUEUE_GRPC_LOG_H_
