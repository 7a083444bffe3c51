// The part of RaftLog that lets the log begin behind a snapshot: its own, or one of the leader's.
#include <utility>

#include "raft/host/raft_log_impl.h"

namespace gregor {

// The own records up to there may be others than those in the snapshot: the term tells (Raft §5.3).
bool RaftLog::IsInstalledAt(Offset from) const {
  if (!base_.has_value() || base_->place.start != from) return false;
  return from > end_offset() || (from > start_offset() && TermAt(from - 1) != base_->place.term);
}

void RaftLog::TrimBefore(Offset offset) {
  if (offset <= start_offset() || !is_running() || core_ == nullptr || installing_) return;
  const raft::LogView& log = core_->log();
  const auto term = log.TermBefore(offset);
  if (offset > log.commit() || offset > log.durable() || !term.has_value()) return;
  LogBase base;
  base.place = {offset, *term};
  if (const auto now = log.TermBefore(log.start())) base.before = {log.start(), *now};
  if (const auto* const voters = log.VotersBefore(offset)) base.voters = *voters;
  SaveBase(base, [this, offset](Result<void> saved) {
    // The log is whole without: what could not be saved is tried again with the next snapshot.
    LOG_IF(ERROR, !saved.ok()) << options_.path << ": the log is not trimmed: " << saved.error();
    // A snapshot that comes meanwhile takes the log's place as a whole.
    if (!saved.ok() || installing_ || offset <= start_offset()) return;
    core_->OnTrimmed(offset);
    store_->log().DeleteBefore(offset, [path = options_.path, offset](Result<void> trimmed) {
      LOG_IF(ERROR, !trimmed.ok()) << path << ": the log could not be trimmed: " << trimmed.error();
      LOG_IF(INFO, trimmed.ok()) << path << ": the log begins at offset " << offset << " now";
    });
  });
}

// `saved` only while it runs.
void RaftLog::SaveBase(const LogBase& base, UniqueFunction<void(Result<void>)> saved) {
  options_.disk->Submit(
      Lane::kSync, "raft.log_base", *options_.loop,
      [files = &options_.disk->files(), path = LogBasePath(options_.path), base] {
        return SaveLogBase(*files, path, base);
      },
      [this, alive = alive_, saved = std::move(saved)](Result<void> result) mutable {
        if (*alive && is_running()) saved(std::move(result));
      });
}

void RaftLog::NoteSnapshot(const raft::SnapshotId& snapshot) {
  snapshot_ = snapshot;
  Step([this, snapshot](MonotonicTime) { core_->OnSnapshotTaken(snapshot); });
}

std::optional<raft::VotersAt> RaftLog::VotersBefore(Offset offset) const {
  const auto* const voters = core_ == nullptr ? nullptr : core_->log().VotersBefore(offset);
  return voters == nullptr ? std::nullopt : std::optional(*voters);
}

void RaftLog::Install(const raft::SnapshotId& snapshot, std::optional<raft::VotersAt> voters,
                      UniqueFunction<void(Kept)> keep, UniqueFunction<void(Result<bool>)> done) {
  if (!is_running() || core_ == nullptr)
    return done(Error(Reason::kNotController, "the node stops"));
  if (!core_->BeginInstall(snapshot)) return done(false);
  installing_ = true;
  LogBase base;
  base.place = {snapshot.end, snapshot.term};
  const raft::LogView& log = core_->log();
  if (const auto now = log.TermBefore(log.start())) base.before = {log.start(), *now};
  if (const auto* const now = log.VotersBefore(log.start())) base.former_voters = *now;
  base.voters = voters;
  // Nothing else is taken until this is done: what cannot be saved ends it.
  auto next = [this, alive = alive_, snapshot, voters = std::move(voters),
               done = std::move(done)](Result<void> kept) mutable {
    if (!*alive || !is_running()) return;
    if (kept.ok())
      return FinishInstall(snapshot, voters.has_value() ? voters->voters : VoterSet(),
                           std::move(done));
    done(kept.error());
    Fail(kept.error());
  };
  SaveBase(base, [keep = std::move(keep), next = std::move(next)](Result<void> saved) mutable {
    if (!saved.ok()) return next(std::move(saved));
    keep(std::move(next));
  });
}

void RaftLog::FinishInstall(const raft::SnapshotId& snapshot, const VoterSet& voters,
                            UniqueFunction<void(Result<bool>)> done) {
  // What is to be delivered next is gone with the old log.
  delivery_->SkipTo(snapshot.end);
  store_->ResetTo(snapshot.end, [this, snapshot, voters, done = std::move(done)]() mutable {
    if (!is_running()) return;
    installing_ = false;
    LOG(INFO) << options_.path << ": a snapshot up to offset " << snapshot.end
              << " took the place of the log";
    done(true);
    Step([this, snapshot, voters](MonotonicTime now) {
      core_->OnSnapshotInstalled(now, snapshot, voters);
    });
  });
}

}  // namespace gregor
