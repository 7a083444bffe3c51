#ifndef GREGOR_TESTS_RPC_NODE_CERTIFICATES_H_
#define GREGOR_TESTS_RPC_NODE_CERTIFICATES_H_

#include <memory>
#include <vector>

#include "base/certificate_authority.h"
#include "base/check.h"
#include "base/clock.h"
#include "rpc/node_credentials.h"

namespace gregor {

// Two authorities for tests, 1 and 2, which are the same in the whole process.
inline const KeyAndCertificate& TestAuthority(int number = 1) {
  static const auto made = [] {
    std::vector<KeyAndCertificate> all;
    for (const char* const name : {"first", "second"})
      all.push_back(*MakeAuthority(name, SystemClock().WallNow(), std::chrono::hours(24)));
    return all;
  }();
  return made.at(static_cast<size_t>(number - 1));
}

// What a node of that name has, valid for an hour from `age` ago on.
inline NodeCertificates TestCertificates(const NodeName& name,
                                         const KeyAndCertificate& authority = TestAuthority(),
                                         Duration age = Duration(0)) {
  CertificateRequest request;
  request.name = "node-" + std::to_string(name.node.value);
  request.uris = {name.ToString()};
  request.now =
      SystemClock().WallNow() - std::chrono::duration_cast<std::chrono::milliseconds>(age).count();
  request.lifetime = std::chrono::hours(1);
  const auto made = IssueCertificate(authority, request);
  CHECK(made.ok()) << made.error();
  return {authority.certificate, made->certificate, made->key};
}

inline std::shared_ptr<TlsNodeCredentials> TestTls(const NodeName& name,
                                                   const NodeCertificates& certificates) {
  auto made = TlsNodeCredentials::Create(name, certificates);
  CHECK(made.ok()) << made.error();
  return *made;
}

}  // namespace gregor

#endif  // GREGOR_TESTS_RPC_NODE_CERTIFICATES_H_
