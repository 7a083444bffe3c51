#ifndef GREGOR_RPC_NODE_NAME_H_
#define GREGOR_RPC_NODE_NAME_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/certificate.h"
#include "base/result.h"
#include "base/types.h"

namespace grpc {
class ServerContextBase;
}

namespace gregor {

// A node as its certificate names it, in a subject alternative name (URI):
// gregor://CLUSTER-ID/node/ID. Thread: any.
struct NodeName {
  ClusterId cluster;
  NodeId node;

  std::string ToString() const;
  // Takes what ToString() gives; nullopt for anything else.
  static std::optional<NodeName> Parse(std::string_view uri);
  friend bool operator==(const NodeName&, const NodeName&) = default;
};

// The one node of `cluster` that a certificate with these URIs stands for. Fails with
// kInconsistentClusterId (it is of other clusters) or kInvalidArgument (none, or several).
Result<NodeId> NodeOf(const std::vector<std::string>& uris, const ClusterId& cluster);

// Whose certificate the caller has shown; nullopt on a connection without TLS. Fails as NodeOf().
Result<std::optional<NodeId>> CertifiedCaller(const grpc::ServerContextBase& context,
                                              const ClusterId& cluster);

// What a node needs to show others who it is, and to know them: PEM.
struct NodeCertificates {
  std::string authorities;  // whose signatures count
  std::string certificate;  // with those between it and the authority
  std::string key;
};
// What the node's certificate says, where all three fit each other and are of use to this node at
// `now`. Fails with kInvalidConfig, saying what does not fit; detail "part": which of the three
// ("ca", "certificate", "key").
Result<CertificateInfo> CheckNodeCertificates(const NodeCertificates& certificates,
                                              const NodeName& self, Timestamp now);

}  // namespace gregor

#endif  // GREGOR_RPC_NODE_NAME_H_
