#ifndef GREGOR_NODE_STATUS_PAGES_H_
#define GREGOR_NODE_STATUS_PAGES_H_

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "base/metrics.h"
#include "broker/http/http_server.h"
#include "broker/shard.h"

namespace gregor {

// How far a node has come. Thread: any.
class NodeStatus {
 public:
  enum class State { kStarting, kLoadingMetadata, kRecovering, kReady, kStopping };

  // A node that stops stays so, whatever ends meanwhile.
  void Set(State state);
  State Get() const { return state_.load(); }
  // `count_offline` tells how many partitions cannot be served, for whatever reason. Once.
  // REQUIRES: what both need outlives every reader.
  void SetPartitions(const RecoveryProgress* recovery, std::function<int64_t()> count_offline) {
    count_offline_ = std::move(count_offline);
    recovery_.store(recovery);
  }

  // {"status": ..., "logs_recovered": n, "logs_total": n, "logs_failed": n, "partitions_offline":
  // n}
  std::string ToJson() const;

 private:
  std::atomic<State> state_{State::kStarting};
  std::function<int64_t()> count_offline_;  // of who has seen recovery_
  std::atomic<const RecoveryProgress*> recovery_{nullptr};
};

// /live: 200 as long as the process answers. /ready: 200 once every log is open, 503 with the
// progress before, and while it stops. /metrics, /version. REQUIRES: both outlive the server.
std::map<std::string, HttpServer::Handler> StatusPages(const NodeStatus& status,
                                                       const Metrics& metrics);

}  // namespace gregor

#endif  // GREGOR_NODE_STATUS_PAGES_H_
