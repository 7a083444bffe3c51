#ifndef GREGOR_RPC_INTERNAL_SERVER_H_
#define GREGOR_RPC_INTERNAL_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace gregor {

// The listener that only the cluster's own nodes call. Thread: main.
class InternalServer {
 public:
  struct Options {
    std::string host = "127.0.0.1";
    uint16_t port = 9093;  // 0: a free one
    std::shared_ptr<grpc::ServerCredentials> credentials;
    std::vector<grpc::Service*> services;  // outlive the server
  };
  // Listens and serves. Fails with kInvalidConfig where the address cannot be listened on.
  static Result<std::unique_ptr<InternalServer>> Start(const Options& options);
  // As Shutdown().
  ~InternalServer();

  uint16_t port() const { return port_; }
  // Breaks calls off; returns when none is left.
  void Shutdown();

 private:
  InternalServer(std::unique_ptr<grpc::Server> server, uint16_t port)
      : server_(std::move(server)), port_(port) {}

  std::unique_ptr<grpc::Server> server_;
  uint16_t port_;
};

}  // namespace gregor

#endif  // GREGOR_RPC_INTERNAL_SERVER_H_
