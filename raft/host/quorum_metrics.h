#ifndef GREGOR_RAFT_HOST_QUORUM_METRICS_H_
#define GREGOR_RAFT_HOST_QUORUM_METRICS_H_

#include <deque>
#include <map>
#include <utility>

#include "base/metrics.h"
#include "raft/core/raft.h"

namespace gregor {

// What a node shows of the metadata quorum (docs/operations.md). Thread: its owner's.
class QuorumMetrics {
 public:
  // REQUIRES: `metrics` outlives it.
  explicit QuorumMetrics(Metrics& metrics);

  // After each input of the algorithm.
  void OnStep(const raft::Raft& core, MonotonicTime now);
  // Every now and then: how far the others are.
  void OnTick(const raft::Raft& core);
  // This node appended, as the leader, up to `end`.
  void OnAppended(Offset end, MonotonicTime now) { appended_.emplace_back(end, now); }
  // The node takes no part any more.
  void OnEnd();
  // Of the log's syncs. Lives as long as `metrics`. Thread: any.
  static LatencyHistogram& SyncTime(Metrics& metrics);

 private:
  void CountElections(const raft::Raft& core);

  Metrics& metrics_;
  Gauge& term_;
  Gauge& leader_;
  Gauge& is_leader_;
  Gauge& is_voter_;
  Gauge& voters_;
  Gauge& observers_;
  Gauge& commit_;
  Gauge& end_;
  Gauge& durable_;
  Counter& elections_;
  Counter& elections_won_;
  LatencyHistogram& commit_time_;
  std::map<NodeId, Gauge*> lags_;                          // of all that were ever voters
  std::deque<std::pair<Offset, MonotonicTime>> appended_;  // and not committed
  Term counted_{-1};                                       // the last term that it stood for
  Term won_{-1};
};

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_QUORUM_METRICS_H_
