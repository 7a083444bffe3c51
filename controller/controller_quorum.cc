// ControllerImpl: what it passes on to the metadata log's quorum, and shows of its snapshots.
#include <utility>

#include "controller/controller_impl.h"

namespace gregor {
namespace {

Error NotHere() {
  return Error(Reason::kNotController, "the node starts, stops or has failed: try another one")
      .With("outcome", "NOT_APPLIED");
}

}  // namespace

QuorumStatus ControllerImpl::quorum() const {
  QuorumStatus status = log_ == nullptr ? QuorumStatus() : log_->quorum();
  for (auto* const members : {&status.voters, &status.observers}) {
    for (QuorumMember& member : *members) {
      if (member.key.node != options_.behavior.node_id ||
          member.key.directory != found_->identity.directory_id)
        continue;
      member.feature_level_min = kFeatureLevelMin;
      member.feature_level_max = kFeatureLevel;
    }
  }
  return status;
}

void ControllerImpl::DescribeQuorum(Done<QuorumStatus> done) {
  MetadataLog* const log = UsableLog();
  if (log == nullptr || log->leader().leader != options_.behavior.node_id) return done(quorum());
  log->ConfirmLeadership([this, done = std::move(done)](Result<Offset> confirmed) mutable {
    if (!confirmed.ok()) return done(std::move(confirmed).error());
    done(quorum());
  });
}

void ControllerImpl::AddVoter(Voter voter, MetadataLog::Changed changed) {
  if (MetadataLog* const log = UsableLog()) {
    const auto supports = CheckVoterLevel(voter.key.node);
    if (!supports.ok()) return changed(supports);
    return log->AddVoter(std::move(voter), std::move(changed));
  }
  changed(NotHere());
}

// A voter that cannot read the metadata could not keep them.
Result<void> ControllerImpl::CheckVoterLevel(NodeId node) const {
  const int32_t level = speculative_ != nullptr ? speculative_->feature_level : 0;
  const auto status = quorum();
  for (const QuorumMember& observer : status.observers) {
    const int32_t min = observer.feature_level_min, max = observer.feature_level_max;
    if (observer.key.node != node || level == 0 || max == 0 || (min <= level && level <= max))
      continue;
    return Error(Reason::kUnsupportedVersion,
                 "node " + std::to_string(node.value) + " supports feature levels " +
                     std::to_string(min) + " to " + std::to_string(max) +
                     ", and the cluster is at " + std::to_string(level) +
                     ": run a version there that supports it")
        .With("outcome", "NOT_APPLIED");
  }
  return {};
}

void ControllerImpl::RemoveVoter(VoterKey voter, MetadataLog::Changed changed) {
  if (MetadataLog* const log = UsableLog()) return log->RemoveVoter(voter, std::move(changed));
  changed(NotHere());
}

void ControllerImpl::Transfer(std::optional<NodeId> to, Done<NodeId> done) {
  if (MetadataLog* const log = UsableLog()) return log->Transfer(to, std::move(done));
  done(NotHere());
}

void ControllerImpl::NoteSnapshot(Offset end, uint64_t size_bytes) {
  snapshot_->end = end.value;
  snapshot_->bytes = static_cast<int64_t>(size_bytes);
  snapshot_->timestamp = options_.loop->clock().WallNow().value;
}

void ControllerImpl::ExportSnapshots() {
  if (options_.metrics == nullptr) return;
  for (const char* const outcome : {"written", "aborted"}) CountTransactions(outcome, 0);
  const auto gauge = [&](const char* name, const char* help, auto value) {
    options_.metrics->AddCallback(Metrics::Kind::kGauge, name, help, {}, std::move(value));
  };
  gauge("gregor_metadata_snapshot_offset",
        "The node's newest metadata snapshot has everything before this offset; 0: there is none.",
        [numbers = snapshot_] { return static_cast<double>(numbers->end.load()); });
  gauge("gregor_metadata_snapshot_bytes", "Size of the newest metadata snapshot.",
        [numbers = snapshot_] { return static_cast<double>(numbers->bytes.load()); });
  gauge("gregor_metadata_snapshot_age_seconds",
        "Since the newest metadata snapshot was written, or found at the start; 0: there is none.",
        [numbers = snapshot_, clock = &options_.loop->clock()] {
          const int64_t at = numbers->timestamp.load();
          return at < 0 ? 0 : static_cast<double>(clock->WallNow().value - at) / 1000;
        });
}

}  // namespace gregor
