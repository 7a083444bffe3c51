// LogImpl: when it is compacted, and how what was compacted takes its place.
#include <algorithm>
#include <utility>

#include "base/random.h"
#include "storage/log_files.h"
#include "storage/log_impl.h"

namespace gregor {

Offset LogImpl::CleanEnd() const { return std::clamp(clean_end_, ends_.log_start, ends_.log_end); }

// Complete segments, committed as a whole, synced, in front of every mark that may come, and old
// enough.
LogImpl::Dirt LogImpl::DirtNow() {
  const LogConfig& config = options_.config;
  const Timestamp now = Now();
  Offset limit = ends_.synced_end;
  if (options_.stable_end) limit = std::min(limit, options_.stable_end());
  Dirt dirt;
  dirt.end = segments_.empty() ? ends_.log_start : segments_.front().base();
  for (size_t i = 0; i + 1 < segments_.size(); ++i) {
    const Segment& segment = segments_[i];
    const Offset end = segments_[i + 1].base();
    if (end > limit || segment.base() >= synced_mark_.segment_base) break;
    if (config.min_compaction_lag_ms > 0 &&
        segment.max_timestamp > now - config.min_compaction_lag_ms)
      break;
    dirt.end = end;
    if (end <= CleanEnd()) {
      dirt.clean_bytes += segment.size;
      continue;
    }
    dirt.dirty_bytes += segment.size;
    const bool is_late = config.max_compaction_lag_ms != LogConfig::kNever &&
                         segment.first_timestamp != kNoTimestamp &&
                         now - segment.first_timestamp > config.max_compaction_lag_ms;
    dirt.is_late = dirt.is_late || is_late;
  }
  return dirt;
}

bool LogImpl::CompactionIsDue(const Dirt& dirt) const {
  if (dirt.dirty_bytes == 0) return false;
  return dirt.is_late || dirt.ratio() > options_.config.min_cleanable_dirty_ratio;
}

void LogImpl::ConsiderCompaction() {
  if (!options_.config.cleanup_compact || compaction_ != nullptr || compaction_failed_ ||
      closing_ || segments_.size() < 2 || !directory_.CheckWritable().ok() || failure().has_value())
    return;
  const Dirt dirt = DirtNow();
  if (!CompactionIsDue(dirt)) return;
  directory_.compactor().Offer(options_.id, dirt.is_late ? 1 + dirt.ratio() : dirt.ratio(), loop_,
                               [this, alive = alive_](CompactionTurn turn) {
                                 if (*alive) StartCompaction(std::move(turn));
                               });
}

void LogImpl::SetConfig(const LogConfig& config) {
  options_.config = config;
  if (!config.cleanup_compact) EndCompaction(std::nullopt);
  ConsiderCompaction();
}

void LogImpl::StartCompaction(CompactionTurn turn) {
  const Dirt dirt = DirtNow();
  if (!options_.config.cleanup_compact || compaction_ != nullptr || compaction_failed_ ||
      closing_ || quiet_running_ || !quiet_work_.empty() || failure().has_value() ||
      !CompactionIsDue(dirt))
    return;
  CompactionJob job;
  job.id = options_.id;
  for (size_t i = 0; i + 1 < segments_.size() && segments_[i + 1].base() <= dirt.end; ++i)
    job.segments.push_back(segments_[i]);
  job.dirty_start = CleanEnd();
  job.end = dirt.end;
  job.needed_ends = producers_.RememberedEnds();
  std::sort(job.needed_ends.begin(), job.needed_ends.end());
  for (const EpochCache::Entry& entry : epochs_.entries()) job.needed_bases.push_back(entry.start);
  job.config = options_.config;
  job.now = Now();
  job.batch_bytes_max = options_.recovery_batch_bytes_max;
  job.memory_bytes = turn.memory_bytes();
  Random random = Random::FromSystem();
  for (KeyMap::HashKey& key : job.hash_keys) key = random.NewUuid<TopicId>().bytes;
  compaction_ = std::make_unique<CompactionRun>();
  compaction_->work.reset(
      new CompactionRun::Work{std::move(turn), Compaction(directory_, std::move(job))});
  ContinueCompaction();
}

void LogImpl::ContinueCompaction() {
  const Duration pause = compaction_->work->turn.PauseAt(loop_.clock().Now());
  if (pause == Duration(0)) return StepCompaction();
  loop_.After(pause, "log.compact_on", [this, alive = alive_, work = compaction_->work] {
    if (*alive && compaction_ != nullptr && compaction_->work == work) StepCompaction();
  });
}

void LogImpl::StepCompaction() {
  compaction_->is_stepping = true;
  directory_.disk().Submit(
      Lane::kBackground, "log.compact", loop_,
      [work = compaction_->work] { return work->compaction.Step(); },
      [this, alive = alive_, work = compaction_->work](Result<CompactionStep> step) {
        if (!*alive) return;
        if (compaction_ == nullptr || compaction_->work != work) {
          // It was ended meanwhile.
          return directory_.disk().Submit(Lane::kBackground, "log.discard",
                                          [work] { work->compaction.Discard(); });
        }
        compaction_->is_stepping = false;
        OnCompactionStep(std::move(step));
      });
}

void LogImpl::OnCompactionStep(Result<CompactionStep> step) {
  CompactionTurn& turn = compaction_->work->turn;
  if (!step.ok()) {
    if (compaction_->is_outrun) return EndCompaction(std::nullopt);
    const bool is_full = IsShortage(step.error());
    LOG_IF(ERROR, !is_full) << "Compaction of " << Folder() << " failed: " << step.error()
                            << "; it is not compacted again before the next start";
    const bool is_known = is_full && std::exchange(compaction_lacks_space_, true);
    LOG_IF(WARNING, is_full && !is_known)
        << "Compaction of " << Folder() << " waits for space: " << step.error();
    compaction_failed_ = !is_full;
    turn.CountRound(false);
    return EndCompaction(std::nullopt);
  }
  turn.Moved(step->bytes, loop_.clock().Now());
  if (step->clean_end.has_value()) {
    compaction_lacks_space_ = false;
    turn.CountRound(true);
    return EndCompaction(step->clean_end);
  }
  if (step->group.has_value()) return SwapIn(std::move(*step->group));
  ContinueCompaction();
}

// What was compacted gets its name, which is all it takes: a file of a higher generation stands for
// all older ones within its offsets. Those stay until a checkpoint that does not name them any more
// is durable, so a crash at any moment finds the old ones or the new one, whole.
void LogImpl::SwapIn(CompactedGroup group) {
  const auto is_there = [this](const SegmentName& name) { return FindSegment(name) != nullptr; };
  const bool unchanged = std::all_of(group.sources.begin(), group.sources.end(), is_there) &&
                         group.sources.back().base < synced_mark_.segment_base;
  if (!unchanged || quiet_running_ || !quiet_work_.empty()) return EndCompaction(std::nullopt);
  // A mark must not lie in a file that goes.
  if (group.sources.back().base >= journaled_.segment_base) {
    SyncedMark mark = synced_mark_;
    mark.log_start = ends_.log_start;
    return JournalMark(mark, false,
                       [this, alive = alive_, work = compaction_->work, mark,
                        group = std::move(group)](Result<void> result) mutable {
                         if (!*alive || compaction_ == nullptr || compaction_->work != work) return;
                         if (!result.ok()) return EndCompaction(std::nullopt);
                         NoteJournaled(mark);
                         SwapIn(std::move(group));
                       });
  }
  compaction_->is_swapping = true;
  BeginFileJob();
  directory_.disk().Submit(
      Lane::kBackground, "log.swap", loop_,
      [&files = directory_.disk().files(), folder = Folder(),
       name = group.segment.name.FileName("log")]() -> Result<void> {
        const std::string path = JoinPath(folder, name);
        RETURN_IF_ERROR(files.Rename(path + std::string(kUnfinishedSuffix), path));
        // Whether it has its name must be known from here on.
        auto synced = files.SyncDirectory(folder);
        if (!synced.ok()) return Lasting(synced.error());
        return {};
      },
      [this, alive = alive_, group = std::move(group)](Result<void> named) {
        if (!*alive) return;
        compaction_->is_swapping = false;
        const bool is_ending = compaction_->is_ending;
        if (named.ok()) {
          compaction_->work->compaction.NoteAdopted();
          AdoptCompacted(group);
        }
        if (!named.ok() && !IsShortage(named.error())) {
          Fail(named.error());
        } else if (is_ending || !named.ok()) {
          EndCompaction(std::nullopt);
        } else {
          ContinueCompaction();
        }
        EndFileJob();
      });
}

void LogImpl::AdoptCompacted(const CompactedGroup& group) {
  const auto first = std::find_if(segments_.begin(), segments_.end(), [&](const Segment& segment) {
    return segment.name == group.sources.front();
  });
  CHECK(first != segments_.end());
  *first = group.segment;
  segments_.erase(first + 1, first + static_cast<ptrdiff_t>(group.sources.size()));
  hints_ = {};
  ++replacements_;
  replaced_.insert(replaced_.end(), group.sources.begin(), group.sources.end());
  checkpoint_wanted_ = true;
  changed_ = true;
}

// `clean_end`: it went through.
void LogImpl::EndCompaction(std::optional<Offset> clean_end) {
  directory_.compactor().Withdraw(options_.id);
  if (compaction_ == nullptr) return;
  if (compaction_->is_swapping) {
    compaction_->is_ending = true;
    return;
  }
  const std::unique_ptr<CompactionRun> run = std::move(compaction_);
  if (clean_end.has_value()) {
    clean_end_ = *clean_end;
    checkpoint_wanted_ = true;
    changed_ = true;
    MaybeCheckpoint();
    ConsiderCompaction();
  } else if (!run->is_stepping) {
    directory_.disk().Submit(Lane::kBackground, "log.discard",
                             [work = run->work] { work->compaction.Discard(); });
  }
}

}  // namespace gregor
