#include "rpc/node_credentials.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <functional>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/memory_file.h"

namespace gregor {
namespace {

using grpc::experimental::ExternalCertificateVerifier;
using grpc::experimental::FileWatcherCertificateProvider;
using grpc::experimental::TlsCustomVerificationCheckRequest;

constexpr unsigned kRefreshSeconds = 1;

// Looks at whom a certificate stands for, once TLS has found that it is valid and signed.
class NameVerifier final : public ExternalCertificateVerifier {
 public:
  // `expected`: the node that is called; none: any of the cluster.
  NameVerifier(const ClusterId& cluster, std::optional<NodeId> expected)
      : cluster_(cluster), expected_(expected) {}

  bool Verify(TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* status) override {
    std::vector<std::string> uris;
    for (const grpc::string_ref& uri : request->uri_names())
      uris.emplace_back(uri.data(), uri.size());
    const auto node = NodeOf(uris, cluster_);
    std::string why;
    if (!node.ok()) {
      why = node.error().message;
    } else if (expected_.has_value() && *node != *expected_) {
      why = "node " + std::to_string(expected_->value) +
            " was called, and the certificate is of node " + std::to_string(node->value);
    }
    if (!why.empty()) *status = {grpc::StatusCode::UNAUTHENTICATED, why};
    if (!why.empty() && !expected_.has_value()) {
      const grpc::string_ref name = request->common_name();
      LOG_EVERY_T(WARNING, 1) << "A connection to the internal listener was refused: " << why
                              << " (its name is \"" << std::string(name.data(), name.size())
                              << "\")";
    }
    return true;  // at once
  }
  void Cancel(TlsCustomVerificationCheckRequest*) override {}

 private:
  const ClusterId cluster_;
  const std::optional<NodeId> expected_;
};

class InsecureNodeCredentials final : public NodeCredentials {
 public:
  std::shared_ptr<grpc::ServerCredentials> ForServer() override {
    return grpc::InsecureServerCredentials();
  }
  std::shared_ptr<grpc::ChannelCredentials> ForChannelTo(NodeId) override {
    return grpc::InsecureChannelCredentials();
  }
};

// gRPC takes certificates that change from files only, and whatever stands there, also half of a
// pair. So it gets files of its own, in memory, with what was found to be right.
class RunningTls final : public TlsNodeCredentials {
 public:
  RunningTls(const NodeName& self, std::unique_ptr<MemoryFile> authorities,
             std::unique_ptr<MemoryFile> identity)
      : self_(self), authorities_(std::move(authorities)), identity_(std::move(identity)) {
    provider_ = std::make_shared<FileWatcherCertificateProvider>(
        identity_->path(), identity_->path(), authorities_->path(), kRefreshSeconds);
  }

  // Key and certificate in one file: they change together.
  static std::string IdentityOf(const NodeCertificates& certificates) {
    return certificates.key + "\n" + certificates.certificate;
  }

  std::shared_ptr<grpc::ServerCredentials> ForServer() override {
    grpc::experimental::TlsServerCredentialsOptions options(provider_);
    SetUp(options, std::nullopt);
    options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    return grpc::experimental::TlsServerCredentials(options);
  }
  std::shared_ptr<grpc::ChannelCredentials> ForChannelTo(NodeId node) override {
    grpc::experimental::TlsChannelCredentialsOptions options;
    options.set_certificate_provider(provider_);
    SetUp(options, node);
    options.set_verify_server_certs(true);
    // A node is known by its number, wherever it is.
    options.set_check_call_host(false);
    return grpc::experimental::TlsCredentials(options);
  }

  Result<void> Replace(const NodeCertificates& certificates) override {
    RETURN_IF_ERROR(authorities_->Replace(certificates.authorities));
    return identity_->Replace(IdentityOf(certificates));
  }

 private:
  void SetUp(grpc::experimental::TlsCredentialsOptions& options, std::optional<NodeId> expected) {
    options.watch_root_certs();
    options.watch_identity_key_cert_pairs();
    options.set_certificate_verifier(
        ExternalCertificateVerifier::Create<NameVerifier>(self_.cluster, expected));
  }

  const NodeName self_;
  const std::unique_ptr<MemoryFile> authorities_;
  const std::unique_ptr<MemoryFile> identity_;
  std::shared_ptr<FileWatcherCertificateProvider> provider_;  // reads them on a thread of its own
};

}  // namespace

std::shared_ptr<NodeCredentials> NodeCredentials::Insecure() {
  return std::make_shared<InsecureNodeCredentials>();
}

Result<std::shared_ptr<TlsNodeCredentials>> TlsNodeCredentials::Create(
    const NodeName& self, const NodeCertificates& certificates) {
  ASSIGN_OR_RETURN(auto authorities, MemoryFile::Create(certificates.authorities));
  ASSIGN_OR_RETURN(auto identity, MemoryFile::Create(RunningTls::IdentityOf(certificates)));
  return std::shared_ptr<TlsNodeCredentials>(
      std::make_shared<RunningTls>(self, std::move(authorities), std::move(identity)));
}

}  // namespace gregor
