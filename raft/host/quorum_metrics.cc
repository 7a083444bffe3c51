#include "raft/host/quorum_metrics.h"

#include <algorithm>
#include <string>

namespace gregor {

QuorumMetrics::QuorumMetrics(Metrics& metrics)
    : metrics_(metrics),
      term_(metrics.AddGauge("gregor_quorum_term", "Term of the metadata quorum.")),
      leader_(
          metrics.AddGauge("gregor_quorum_leader",
                           "Node that leads the metadata quorum, as this one knows; -1: none.")),
      is_leader_(metrics.AddGauge("gregor_quorum_is_leader",
                                  "1 while this node leads the metadata quorum.")),
      is_voter_(metrics.AddGauge("gregor_quorum_is_voter",
                                 "1 where this node votes in the metadata quorum.")),
      voters_(metrics.AddGauge("gregor_quorum_voters", "Voters of the metadata quorum.")),
      observers_(metrics.AddGauge(
          "gregor_quorum_observers",
          "Nodes that follow the metadata log without a vote; 0 where this node does not lead.")),
      commit_(metrics.AddGauge("gregor_quorum_commit_offset",
                               "The metadata log is committed up to here.")),
      end_(metrics.AddGauge("gregor_quorum_end_offset", "End of this node's metadata log.")),
      durable_(metrics.AddGauge("gregor_quorum_durable_offset",
                                "This node's metadata log is durable up to here.")),
      elections_(metrics.AddCounter("gregor_quorum_elections_total",
                                    "Elections of the metadata quorum that this node stood in.")),
      elections_won_(
          metrics.AddCounter("gregor_quorum_elections_won_total", "... of them, those it won.")),
      commit_time_(metrics.AddLatency(
          "gregor_quorum_commit_seconds",
          "From the append of metadata records on the leader until they were committed.")) {
  OnEnd();
}

LatencyHistogram& QuorumMetrics::SyncTime(Metrics& metrics) {
  return metrics.AddLatency("gregor_quorum_sync_seconds",
                            "Time that a sync of the metadata log took.");
}

void QuorumMetrics::OnStep(const raft::Raft& core, MonotonicTime now) {
  CountElections(core);
  const bool leads = core.role() == raft::Role::kLeader;
  term_.Set(core.hard_state().term.value);
  leader_.Set(core.leader().node.value);
  is_leader_.Set(leads ? 1 : 0);
  commit_.Set(core.log().commit().value);
  end_.Set(core.log().end().value);
  durable_.Set(core.log().durable().value);
  if (!leads) return appended_.clear();
  while (!appended_.empty() && appended_.front().first <= core.log().commit()) {
    commit_time_.Observe(now - appended_.front().second);
    appended_.pop_front();
  }
}

// A candidate stays one until its own vote is durable, a leader until it hears of another: so
// neither is missed between two inputs.
void QuorumMetrics::CountElections(const raft::Raft& core) {
  const Term term = core.hard_state().term;
  const bool leads = core.role() == raft::Role::kLeader;
  if ((leads || core.role() == raft::Role::kCandidate) && term != counted_) {
    counted_ = term;
    elections_.Add();
  }
  if (leads && term != won_) {
    won_ = term;
    elections_won_.Add();
  }
}

void QuorumMetrics::OnTick(const raft::Raft& core) {
  is_voter_.Set(core.is_voter() ? 1 : 0);
  for (auto& [node, lag] : lags_) lag->Set(0);
  const auto* const set = core.log().voters();
  if (set == nullptr) return;
  voters_.Set(static_cast<int64_t>(set->voters.voters.size()));
  const raft::Leadership* const leadership = core.leadership();
  if (leadership == nullptr) return observers_.Set(0);
  observers_.Set(std::count_if(leadership->peers().begin(), leadership->peers().end(),
                               [](const auto& peer) { return !peer.second.votes(); }));
  for (const Voter& voter : set->voters.voters) {
    Gauge*& lag = lags_[voter.key.node];
    if (lag == nullptr) {
      lag = &metrics_.AddGauge(
          "gregor_quorum_voter_lag",
          "How many records of the metadata log a voter does not have durably; 0 where this node "
          "does not lead.",
          {{"voter", std::to_string(voter.key.node.value)}});
    }
    const auto peer = leadership->peers().find(voter.key);
    const Offset match =
        peer == leadership->peers().end() ? core.log().durable() : peer->second.match();
    lag->Set(core.log().end() - match);
  }
}

void QuorumMetrics::OnEnd() {
  leader_.Set(-1);
  is_leader_.Set(0);
  is_voter_.Set(0);
  observers_.Set(0);
  appended_.clear();
  for (auto& [node, lag] : lags_) lag->Set(0);
}

}  // namespace gregor
