#ifndef GREGOR_NODE_LINK_SECURITY_H_
#define GREGOR_NODE_LINK_SECURITY_H_

#include <memory>

#include "base/metrics.h"
#include "base/result.h"
#include "controller/format.h"
#include "node/settings.h"

namespace gregor {

class NodeCredentials;

// How the cluster's nodes know each other (settings internal_tls.*): reads the files at start, and
// again whenever they have changed, on a thread of its own. Files that are no good then change
// nothing; the log says what is wrong with them, and that a certificate is about to expire.
// Thread: main.
class LinkSecurity {
 public:
  // Without internal_tls there is none. Fails with kInvalidConfig, naming the file and what is
  // wrong with it.
  static Result<std::unique_ptr<LinkSecurity>> Start(const Settings& settings,
                                                     const NodeIdentity& identity,
                                                     Metrics& metrics);
  virtual ~LinkSecurity() = default;

  virtual std::shared_ptr<NodeCredentials> credentials() = 0;
};

}  // namespace gregor

#endif  // GREGOR_NODE_LINK_SECURITY_H_
