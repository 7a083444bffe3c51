#ifndef GREGOR_RPC_INTERNAL_SERVER_H_
#define GREGOR_RPC_INTERNAL_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "rpc/queue/acceptor.h"
#include "rpc/queue/call_queue.h"

namespace gregor {

// What a message between nodes may have: a batch of the metadata log (controller's
// record_batch_bytes_max, or one of operations), and what stands around it.
inline constexpr int kInternalMessageBytesMax = 64 << 20;

// A service of the internal listener. Outlives it.
class InternalService {
 public:
  virtual ~InternalService() = default;
  // What has its methods.
  virtual grpc::Service& service() = 0;
  // Takes calls from now on, by `queue`. Once the server runs.
  virtual void Listen(CallQueue& queue) = 0;
};

// The listener that only the cluster's own nodes call, and the queue of its calls, by which those
// to other nodes go, too. Thread: main.
class InternalServer {
 public:
  struct Options {
    std::string host = "127.0.0.1";
    uint16_t port = 9093;  // 0: a free one
    // Connections that come while so many files are open are closed; 0: no bound.
    uint64_t files_max = 0;
    std::shared_ptr<grpc::ServerCredentials> credentials;
    std::vector<InternalService*> services;
  };
  // Its queue runs; nothing is listened to yet.
  InternalServer();
  // As EndCalls().
  ~InternalServer();

  CallQueue& queue() { return *queue_; }
  // Listens and serves. Once. Fails with kInvalidConfig where the address cannot be listened on.
  Result<void> Start(const Options& options);
  // REQUIRES: it has started.
  uint16_t port() const { return acceptor_->port(); }
  // Breaks calls to this node off; returns when the last one has. What the queue's thread has not
  // handled of them yet it still does.
  void Shutdown();
  // As Shutdown(); no call begins by the queue any more, and its thread, by which all that comes is
  // told, has ended when this returns. Waits for calls to other nodes, which their owners break
  // off. Once is enough.
  void EndCalls();

 private:
  grpc::ServerBuilder builder_;
  const std::shared_ptr<CallQueue> queue_;
  std::unique_ptr<Acceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;  // until no call of it begins anything any more
  bool is_shut_down_ = false;
  bool is_queue_closed_ = false;
};

}  // namespace gregor

#endif  // GREGOR_RPC_INTERNAL_SERVER_H_
