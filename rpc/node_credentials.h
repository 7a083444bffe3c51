#ifndef GREGOR_RPC_NODE_CREDENTIALS_H_
#define GREGOR_RPC_NODE_CREDENTIALS_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "base/result.h"
#include "rpc/node_name.h"

namespace gregor {

// How nodes know each other on the internal listener: what both ends of their connections take.
// Thread: any.
class NodeCredentials {
 public:
  virtual ~NodeCredentials() = default;

  virtual std::shared_ptr<grpc::ServerCredentials> ForServer() = 0;
  // For connections to this node, and no other.
  virtual std::shared_ptr<grpc::ChannelCredentials> ForChannelTo(NodeId node) = 0;

  // They do not: anybody is whoever he says.
  static std::shared_ptr<NodeCredentials> Insecure();
};

// By certificates (rpc/node_name.h), with TLS 1.2 or later. The caller shows one of a node of this
// cluster, who is called that of the very node that is meant; else there is no connection, and
// nobody is answered anything.
class TlsNodeCredentials : public NodeCredentials {
 public:
  // Fails with kStorageError (no memory). REQUIRES: CheckNodeCertificates() holds.
  static Result<std::shared_ptr<TlsNodeCredentials>> Create(const NodeName& self,
                                                            const NodeCertificates& certificates);
  // New connections take these, some seconds later; those that stand go on. Fails with
  // kStorageError: then the old ones stay. REQUIRES: CheckNodeCertificates() holds. One at a time.
  virtual Result<void> Replace(const NodeCertificates& certificates) = 0;
};

}  // namespace gregor

#endif  // GREGOR_RPC_NODE_CREDENTIALS_H_
