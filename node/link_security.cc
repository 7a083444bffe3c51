#include "node/link_security.h"

#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include "base/event_loop.h"
#include "rpc/node_credentials.h"

namespace gregor {
namespace {

constexpr Duration kLookInterval = std::chrono::seconds(5);
constexpr Duration kWarnInterval = std::chrono::hours(12);
constexpr std::chrono::hours kWarnBefore = std::chrono::hours(30 * 24);
// More than a certificate takes; a file of another kind is not read to its end.
constexpr std::streamsize kFileBytesMax = 1 << 20;

Result<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes(static_cast<size_t>(kFileBytesMax), '\0');
  file.read(bytes.data(), kFileBytesMax);
  if (!file.eof() || file.bad()) {
    return Error(Reason::kInvalidConfig,
                 path +
                     ": cannot be read: is it there, is it a file of certificates, and may this "
                     "user read it?");
  }
  bytes.resize(static_cast<size_t>(file.gcount()));
  return bytes;
}

class NoSecurity final : public LinkSecurity {
 public:
  std::shared_ptr<NodeCredentials> credentials() override { return NodeCredentials::Insecure(); }
};

class TlsSecurity final : public LinkSecurity {
 public:
  TlsSecurity(const Settings& settings, const NodeName& self, Metrics& metrics)
      : files_(settings.internal_tls),
        self_(self),
        clock_(SystemClock()),
        expires_(metrics.AddGauge("gregor_internal_certificate_expires_seconds",
                                  "When the node's certificate for other nodes ends to be valid, "
                                  "in seconds since the epoch.")),
        is_bad_(metrics.AddGauge(
            "gregor_internal_certificate_files_bad",
            "1 while the files of internal_tls have changed to what is of no use.")) {}

  Result<void> Open() {
    NodeCertificates certificates;
    ASSIGN_OR_RETURN(const CertificateInfo info, Load(certificates));
    ASSIGN_OR_RETURN(credentials_, TlsNodeCredentials::Create(self_, certificates));
    Use(std::move(certificates), info);
    loop_ = NewThreadLoop("certificates");
    LookLater();
    return {};
  }

  std::shared_ptr<NodeCredentials> credentials() override { return credentials_; }

 private:
  // Reads all files into `certificates`.
  Result<CertificateInfo> Load(NodeCertificates& certificates) const {
    ASSIGN_OR_RETURN(certificates.authorities, ReadFile(files_.ca));
    ASSIGN_OR_RETURN(certificates.certificate, ReadFile(files_.certificate));
    ASSIGN_OR_RETURN(certificates.key, ReadFile(files_.key));
    auto checked = CheckNodeCertificates(certificates, self_, clock_.WallNow());
    if (checked.ok()) return checked;
    const std::string& part = checked.error().details.front().second;
    const std::string& path = part == "ca"    ? files_.ca
                              : part == "key" ? files_.key
                                              : files_.certificate;
    return Error(Reason::kInvalidConfig,
                 path + " (internal_tls." + part + "): " + checked.error().message);
  }

  void Use(NodeCertificates certificates, const CertificateInfo& info) {
    used_ = std::move(certificates);
    info_ = info;
    expires_.Set(info.not_after.value / 1000);
    is_bad_.Set(0);
    LOG(INFO) << "Nodes are known by their certificates; this one's is " << info.uris.front()
              << ", valid until " << ShowTime(info.not_after);
    warned_ = {};
    WarnOfExpiry();
  }

  void WarnOfExpiry() {
    const auto left = std::chrono::milliseconds(info_.not_after - clock_.WallNow());
    if (left > kWarnBefore) return;
    const MonotonicTime now = clock_.Now();
    if (warned_.has_value() && now - *warned_ < kWarnInterval) return;
    warned_ = now;
    const auto days = std::chrono::duration_cast<std::chrono::hours>(left).count() / 24;
    LOG(WARNING) << files_.certificate << ": the certificate "
                 << (left.count() <= 0 ? "has expired"
                                       : "expires in " + std::to_string(days) + " days")
                 << " (" << ShowTime(info_.not_after)
                 << "): issue a new one and put it in its place, the node takes it without a "
                    "restart. Without it the node loses the others";
  }

  void LookLater() {
    loop_->After(kLookInterval, "certificates.look", [this] {
      Look();
      LookLater();
    });
  }

  void Look() {
    NodeCertificates certificates;
    const auto loaded = Load(certificates);
    const bool is_other = certificates.authorities != used_.authorities ||
                          certificates.certificate != used_.certificate ||
                          certificates.key != used_.key;
    if (!is_other) {
      is_bad_.Set(0);
    } else if (!loaded.ok()) {
      is_bad_.Set(1);
      LOG_EVERY_T(WARNING, 60) << "Certificates have changed to what is of no use; what was read "
                                  "before is used on: "
                               << loaded.error().message;
    } else if (const auto replaced = credentials_->Replace(certificates); !replaced.ok()) {
      is_bad_.Set(1);
      LOG_EVERY_T(WARNING, 60) << "New certificates cannot be used: " << replaced.error().message;
    } else {
      Use(std::move(certificates), *loaded);
    }
    WarnOfExpiry();
  }

  const InternalTls files_;
  const NodeName self_;
  const Clock& clock_;
  Gauge& expires_;
  Gauge& is_bad_;
  std::shared_ptr<TlsNodeCredentials> credentials_;
  // Of the loop once that runs.
  NodeCertificates used_;
  CertificateInfo info_;
  std::optional<MonotonicTime> warned_;
  std::unique_ptr<EventLoop> loop_;  // last: goes first
};

}  // namespace

Result<std::unique_ptr<LinkSecurity>> LinkSecurity::Start(const Settings& settings,
                                                          const NodeIdentity& identity,
                                                          Metrics& metrics) {
  if (!settings.internal_tls.IsSet()) return std::unique_ptr<LinkSecurity>(new NoSecurity);
  auto security = std::make_unique<TlsSecurity>(
      settings, NodeName{identity.cluster_id, identity.node_id}, metrics);
  RETURN_IF_ERROR(security->Open());
  return std::unique_ptr<LinkSecurity>(std::move(security));
}

}  // namespace gregor
