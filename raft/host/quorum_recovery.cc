#include "raft/host/quorum_recovery.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "raft/host/control_records.h"
#include "raft/host/log_repair.h"
#include "raft/host/raft_log_impl.h"
#include "storage/epoch_cache.h"
#include "storage/log_files.h"
#include "storage/segment_cursor.h"

namespace gregor {
namespace {

// The voters that are lost may have seen later terms than this node: nothing that is still on its
// way from them must count.
constexpr int32_t kTermsAhead = 1000;

struct FoundQuorum {
  FoundRaftFiles files;
  QuorumOnDisk quorum;
  std::optional<Term> term_before_base;  // of the log's record before the place of the base file
  // Whether the node ended while a snapshot took the log's place: it starts from that snapshot if
  // that was kept, else from its log.
  bool MayStartFromSnapshot() const {
    if (!files.base.has_value() || files.log.runs.empty()) return false;
    const LogBase::Place& place = files.base->place;
    return place.start > files.log.start && term_before_base != place.term;
  }
};

// Walks the log's batches, and takes the last voter set.
Result<void> ReadRun(FileSystem& files, const std::string& folder, const SoundRun& run,
                     size_t batch_bytes_max, FoundQuorum& found) {
  QuorumOnDisk& quorum = found.quorum;
  const Offset base =
      found.files.base.has_value() ? found.files.base->place.start : Offset{INT64_MAX};
  ASSIGN_OR_RETURN(const FilePtr file,
                   files.Open(JoinPath(folder, run.file.FileName(kLogSuffix)), OpenMode::kRead));
  SegmentCursor cursor(*file, {.position = run.position,
                               .end = run.position + run.size,
                               .next_offset = run.begin,
                               .batch_bytes_max = batch_bytes_max});
  while (true) {
    ASSIGN_OR_RETURN(const auto next, cursor.Next());
    if (!next.has_value()) return {};
    quorum.last_term = Term{next->header.leader_epoch.value};
    quorum.end = next->header.next_offset();
    if (next->header.base_offset < base && base <= quorum.end)
      found.term_before_base = quorum.last_term;
    if (!next->header.is_control()) continue;
    const std::string_view bytes(reinterpret_cast<const char*>(next->bytes.data()),
                                 next->bytes.size());
    ASSIGN_OR_RETURN(auto voters, ReadVoters(bytes));
    if (voters.has_value()) quorum.voters = *std::move(voters);
  }
}

Result<FoundQuorum> FindQuorum(const RaftLogOptions& options) {
  FoundQuorum found;
  ASSIGN_OR_RETURN(found.files, FindRaftFiles(options));
  const LogInspection& log = found.files.log;
  if (!log.holes.empty()) {
    return Error(Reason::kStorageError,
                 "metadata directory " + options.path + ": the log is damaged: " + HolesText(log) +
                     ". Take a controller whose log is whole; or restore this one from a backup, "
                     "or start it once while another one that has them runs")
        .With("path", options.path);
  }
  if (log.runs.empty() && !found.files.base.has_value()) {
    return Error(Reason::kStorageError, "metadata directory " + options.path +
                                            ": the log is empty: there is nothing to "
                                            "go on from")
        .With("path", options.path);
  }
  QuorumOnDisk& quorum = found.quorum;
  if (found.files.base.has_value()) {
    quorum.end = found.files.base->place.start;
    quorum.last_term = found.files.base->place.term;
    const Offset start = log.runs.empty() ? quorum.end : log.start;
    if (const auto& voters = found.files.base->VotersOf(start)) quorum.voters = voters->voters;
  }
  FileSystem& files = options.disk->files();
  const std::string folder = found.files.directory->PathOf(MetadataLogId());
  for (const SoundRun& run : log.runs)
    RETURN_IF_ERROR(ReadRun(files, folder, run, options.batch_bytes_max, found));
  const Term voted = found.files.vote.has_value() ? found.files.vote->term : Term{0};
  quorum.term = std::max(voted, quorum.last_term);
  return found;
}

Result<Voter> OnlyVoter(const RaftLogOptions& options, const QuorumOnDisk& quorum) {
  const std::string node = "node " + std::to_string(options.raft.self.node.value);
  if (!quorum.voters.has_value())
    return Error(Reason::kInvalidArgument, "the files of " + node + " do not say who votes");
  const Voter* const self = quorum.voters->Find(options.raft.self);
  if (self == nullptr)
    return Error(Reason::kInvalidArgument, node + " with this directory is not a voter");
  if (quorum.voters->voters.size() == 1) {
    return Error(Reason::kInvalidArgument,
                 node + " is the only voter already: there is nothing to recover");
  }
  return *self;
}

// Owns what is open, step by step.
class Recovery : public std::enable_shared_from_this<Recovery> {
 public:
  using Done = UniqueFunction<void(Result<QuorumOnDisk>)>;
  Recovery(RaftLogOptions options, Done done)
      : options_(std::move(options)), done_(std::move(done)) {}

  void Begin(bool only_reads) {
    options_.disk->Submit(
        Lane::kBackground, "quorum.find", *options_.loop,
        [options = options_] { return FindQuorum(options); },
        [self = shared_from_this(), only_reads](Result<FoundQuorum> found) {
          if (!found.ok()) return self->done_(std::move(found).error());
          self->found_ = *std::move(found);
          const auto voter = OnlyVoter(self->options_, self->found_.quorum);
          if (!voter.ok()) return self->CloseDirectory(voter.error());
          if (only_reads) return self->CloseDirectory({});
          self->found_.quorum.voters = VoterSet{{*voter}};
          self->found_.quorum.term = Term{self->found_.quorum.term.value + kTermsAhead};
          self->SaveNewVote();
        });
  }

 private:
  // As if it had been elected.
  void SaveNewVote() {
    const Vote vote{options_.cluster_id, options_.raft.self, found_.quorum.term,
                    options_.raft.self};
    options_.disk->Submit(
        Lane::kSync, "quorum.vote", *options_.loop,
        [files = &options_.disk->files(), path = options_.path, vote,
         base = NewBase()]() -> Result<void> {
          RETURN_IF_ERROR(SaveVote(*files, VotePath(path), vote));
          return base.has_value() ? SaveLogBase(*files, LogBasePath(path), *base) : Result<void>();
        },
        [self = shared_from_this()](Result<void> saved) {
          if (!saved.ok()) return self->CloseDirectory(saved.error());
          self->OpenLog();
        });
  }
  // Where the log may be exchanged for a snapshot with the next start, the same is said of that.
  std::optional<LogBase> NewBase() const {
    if (!found_.MayStartFromSnapshot()) return std::nullopt;
    LogBase base = *found_.files.base;
    base.voters = raft::VotersAt{base.place.start, *found_.quorum.voters};
    return base;
  }
  void OpenLog() {
    Log::Options log = MetadataLogOptions(options_);
    log.on_progress = [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->OnProgress();
    };
    Log::Open(*found_.files.directory, *options_.loop, std::move(log),
              [self = shared_from_this()](Result<std::unique_ptr<Log>> opened) {
                if (!opened.ok()) return self->CloseDirectory(opened.error());
                self->log_ = *std::move(opened);
                self->AppendVoters();
              });
  }
  void AppendVoters() {
    const Timestamp now = options_.loop->clock().WallNow();
    RecordBatch batch = EncodeControl(*found_.quorum.voters, now);
    StampBatch(batch, log_->ends().log_end, LeaderEpoch{found_.quorum.term.value},
               TimestampType::kCreateTime, now);
    const Offset next = batch.header.next_offset();
    const auto appended = log_->Append(std::move(batch));
    if (!appended.ok()) return CloseLog(appended.error());
    found_.quorum.end = next;
    found_.quorum.last_term = found_.quorum.term;
    CloseLog({});
  }
  void OnProgress() {
    if (log_ != nullptr && log_->failure().has_value() && result_.ok()) result_ = *log_->failure();
  }
  // Which syncs what was appended.
  void CloseLog(Result<void> result) {
    if (!result.ok()) result_ = std::move(result);
    log_->Close([self = shared_from_this()](Result<void> closed) {
      if (!closed.ok()) self->result_ = std::move(closed);
      self->CloseDirectory(self->result_);
    });
  }
  void CloseDirectory(Result<void> result) {
    options_.disk->Submit(
        Lane::kSync, "quorum.close", *options_.loop,
        [self = shared_from_this(), result = std::move(result)]() -> Result<void> {
          auto closed = self->found_.files.directory->CloseCleanly();
          return result.ok() ? std::move(closed) : result;
        },
        [self = shared_from_this()](Result<void> closed) {
          self->log_.reset();
          self->found_.files.directory.reset();
          if (!closed.ok()) return self->done_(closed.error());
          self->done_(self->found_.quorum);
        });
  }

  const RaftLogOptions options_;
  Done done_;
  FoundQuorum found_;
  std::unique_ptr<Log> log_;
  Result<void> result_;
};

}  // namespace

void ReadQuorum(RaftLogOptions options, UniqueFunction<void(Result<QuorumOnDisk>)> read) {
  std::make_shared<Recovery>(std::move(options), std::move(read))->Begin(true);
}

void MakeOnlyVoter(RaftLogOptions options, UniqueFunction<void(Result<QuorumOnDisk>)> done) {
  std::make_shared<Recovery>(std::move(options), std::move(done))->Begin(false);
}

}  // namespace gregor
