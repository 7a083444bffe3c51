#ifndef GREGOR_RPC_NODE_CHANNEL_H_
#define GREGOR_RPC_NODE_CHANNEL_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "base/time.h"
#include "rpc/node_credentials.h"

namespace gregor {

struct NodeChannelOptions {
  int receive_bytes_max = 4 << 20;  // of one message
  // How long a connection may stay silent when it is asked for a sign of life, which it is every
  // 10 s. Then it is lost, with the calls on it.
  Duration keepalive_timeout = std::chrono::seconds(5);
};

// A connection of its own to the internal listener of a node, made when it is first needed: no
// other channel shares it, although they go to one address. An attempt may take a second. Thread:
// any.
//
// gRPC remembers where a name led, for half a minute at least, and looks up one that it could not
// find less and less often, every two minutes in the end. Where nodes come back at other addresses,
// as containers do, whoever is not connected makes a new channel for its next attempt: that looks
// anew.
std::shared_ptr<grpc::Channel> CreateNodeChannel(const std::string& address, NodeId node,
                                                 NodeCredentials& credentials,
                                                 const NodeChannelOptions& options);

}  // namespace gregor

#endif  // GREGOR_RPC_NODE_CHANNEL_H_
