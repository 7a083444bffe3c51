#include "rpc/node_name.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/grpcpp.h>

#include <charconv>
#include <utility>

namespace gregor {
namespace {

constexpr std::string_view kScheme = "gregor://";
constexpr std::string_view kNode = "/node/";

Error At(const std::string& part, Error error) {
  return Error(Reason::kInvalidConfig, std::move(error.message)).With("part", part);
}

}  // namespace

std::string NodeName::ToString() const {
  return std::string(kScheme) + cluster.ToString() + std::string(kNode) +
         std::to_string(node.value);
}

std::optional<NodeName> NodeName::Parse(std::string_view uri) {
  const size_t slash = uri.find('/', kScheme.size());
  if (!uri.starts_with(kScheme) || slash == std::string_view::npos) return std::nullopt;
  const auto cluster = ClusterId::Parse(uri.substr(kScheme.size(), slash - kScheme.size()));
  std::string_view rest = uri.substr(slash);
  if (!cluster.has_value() || !rest.starts_with(kNode)) return std::nullopt;
  rest.remove_prefix(kNode.size());
  NodeName name{*cluster, NodeId{-1}};
  std::from_chars(rest.data(), rest.data() + rest.size(), name.node.value);
  // One way to write a name: neither signs nor leading zeros, nor anything behind it.
  if (name.node.value < 0 || name.ToString() != uri) return std::nullopt;
  return name;
}

Result<NodeId> NodeOf(const std::vector<std::string>& uris, const ClusterId& cluster) {
  std::optional<NodeId> node;
  std::optional<NodeName> stranger;
  for (const std::string& uri : uris) {
    const auto name = NodeName::Parse(uri);
    if (!name.has_value()) continue;
    if (name->cluster != cluster) {
      stranger = name;
    } else if (node.has_value() && *node != name->node) {
      return Error(Reason::kInvalidArgument, "the certificate is of several nodes: each has one");
    } else {
      node = name->node;
    }
  }
  if (node.has_value()) return *node;
  if (stranger.has_value()) {
    return Error(Reason::kInconsistentClusterId, "the certificate is of node " +
                                                     std::to_string(stranger->node.value) +
                                                     " of cluster " + stranger->cluster.ToString() +
                                                     ", and this is cluster " + cluster.ToString());
  }
  return Error(Reason::kInvalidArgument,
               "the certificate is none of a node: it has no URI gregor://CLUSTER-ID/node/ID");
}

Result<std::optional<NodeId>> CertifiedCaller(const grpc::ServerContextBase& context,
                                              const ClusterId& cluster) {
  const auto security = context.auth_context();
  std::string kind;
  if (security != nullptr) {
    for (const grpc::string_ref& value :
         security->FindPropertyValues(GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME))
      kind.assign(value.data(), value.size());
  }
  if (kind.empty() || kind == "insecure") return std::optional<NodeId>();
  std::vector<std::string> uris;
  for (const grpc::string_ref& uri : security->FindPropertyValues(GRPC_PEER_URI_PROPERTY_NAME))
    uris.emplace_back(uri.data(), uri.size());
  ASSIGN_OR_RETURN(const NodeId node, NodeOf(uris, cluster));
  return std::optional(node);
}

Result<CertificateInfo> CheckNodeCertificates(const NodeCertificates& certificates,
                                              const NodeName& self, Timestamp now) {
  const auto authorities = ReadCertificates(certificates.authorities);
  if (!authorities.ok()) return At("ca", authorities.error());
  auto own = ReadCertificates(certificates.certificate);
  if (!own.ok()) return At("certificate", own.error());
  const auto node = NodeOf(own->front().uris, self.cluster);
  if (!node.ok()) return At("certificate", node.error());
  if (*node != self.node) {
    return At("certificate", Error(Reason::kInvalidConfig,
                                   "the certificate is of node " + std::to_string(node->value) +
                                       ", and this is node " + std::to_string(self.node.value)));
  }
  if (const auto key = CheckKey(certificates.certificate, certificates.key); !key.ok())
    return At("key", key.error());
  const auto trust = CheckTrust(certificates.certificate, certificates.authorities, now);
  if (!trust.ok()) return At("certificate", trust.error());
  return std::move(own->front());
}

}  // namespace gregor
