// Opening a RaftLog, and what its users ask of it.
#include "raft/host/raft_log.h"

#include <algorithm>
#include <set>
#include <utility>

#include "raft/host/control_records.h"
#include "raft/host/log_repair.h"
#include "raft/host/log_rewrite.h"
#include "raft/host/raft_log_impl.h"
#include "storage/epoch_cache.h"
#include "storage/group_sync.h"

namespace gregor {
namespace {

// So much of a segment is kept in memory (LogStore::Options::recent_bytes_max).
constexpr int64_t kRecentPerSegment = 16;

Error Refused(const RaftLogOptions& options, const std::string& what) {
  return Error(Reason::kStorageError, "metadata directory " + options.path + ": " + what)
      .With("path", options.path);
}

}  // namespace

std::string MetadataLogPath(const std::string& metadata_path) {
  return JoinPath(metadata_path, "log");
}

std::string VotePath(const std::string& metadata_path) { return JoinPath(metadata_path, "vote"); }

std::string LogBasePath(const std::string& metadata_path) {
  return JoinPath(metadata_path, "log-base");
}

TopicIdPartition MetadataLogId() {
  TopicId id;
  id.bytes.back() = 1;
  return {id, PartitionIndex{0}};
}

Result<FoundRaftFiles> FindRaftFiles(const RaftLogOptions& options) {
  LogDirectory::Options directory;
  directory.path = MetadataLogPath(options.path);
  directory.cluster_id = options.cluster_id;
  directory.node_id = options.raft.self.node;
  directory.format_if_empty = false;
  directory.open_files_max = 16;
  directory.file_step_bytes_max = 1u << 20;
  directory.notes_marks = true;
  FoundRaftFiles found;
  if (options.metrics != nullptr) {
    directory.on_synced = [&time = QuorumMetrics::SyncTime(*options.metrics)](
                              Duration took, size_t) { time.Observe(took); };
  }
  ASSIGN_OR_RETURN(found.directory,
                   LogDirectory::Open(*options.disk, *options.loop, std::move(directory)));
  if (found.directory->id() != options.raft.self.directory)
    return Refused(options,
                   "it is not the one that this node was formatted with. Restore both "
                   "meta.properties from a backup, or replace the controller by an empty one "
                   "(docs/operations.md)");
  FileSystem& files = options.disk->files();
  ASSIGN_OR_RETURN(found.vote, ReadVote(files, VotePath(options.path)));
  if (found.vote.has_value() &&
      (found.vote->cluster != options.cluster_id || found.vote->self != options.raft.self))
    return Refused(options, "its vote file belongs to another voter");
  if (!found.vote.has_value() && !options.may_be_empty) {
    return Refused(options,
                   "its vote file is missing. Of several controllers, replace this one by an "
                   "empty one (docs/operations.md): with an earlier vote, or none, it could vote "
                   "twice in one term. Of a node that is alone, restore the directory from a "
                   "backup");
  }
  ASSIGN_OR_RETURN(found.base, ReadLogBase(files, LogBasePath(options.path)));
  const std::string log = found.directory->PathOf(MetadataLogId());
  RETURN_IF_ERROR(FinishExchange(files, log, RepairedLogPath(options.path)));
  ASSIGN_OR_RETURN(found.log, InspectLog(files, log, found.directory->MarkOf(MetadataLogId()),
                                         options.batch_bytes_max));
  return found;
}

RaftLog::RaftLog(RaftLogOptions options, FoundRaftFiles found)
    : options_(std::move(options)),
      metrics_(options_.metrics == nullptr ? nullptr
                                           : std::make_unique<QuorumMetrics>(*options_.metrics)),
      directory_(std::move(found.directory)),
      vote_(std::move(found.vote)),
      base_(std::move(found.base)) {}

RaftLog::~RaftLog() {
  *alive_ = false;
  if (core_ != nullptr && options_.transport != nullptr) EndTransport();
}

void RaftLog::EndTransport() {
  options_.transport->SetReceiver(nullptr);
  options_.transport->SetRangeReader({});
}

// Those of the settings, and the voters, whom the settings may not know (any more). The last set
// may not be committed: then the one before is in force.
std::vector<NodeId> RaftLog::NodesForRepair(const LogInspection& found) {
  std::vector<VoterSet> sets;
  const auto add = [&](const std::optional<raft::VotersAt>& set) {
    if (set.has_value()) sets.push_back(set->voters);
  };
  if (base_.has_value()) add(base_->former_voters);
  if (base_.has_value()) add(base_->voters);
  for (size_t i = found.voters.size() - std::min<size_t>(2, found.voters.size());
       i < found.voters.size(); ++i)
    add(found.voters[i]);
  // All at once: who is in one of them only is asked, too.
  VoterSet all;
  for (const VoterSet& set : sets)
    all.voters.insert(all.voters.end(), set.voters.begin(), set.voters.end());
  if (options_.transport != nullptr && !sets.empty()) options_.transport->SetVoters(all);
  sets.push_back({options_.raft.configured});
  std::set<NodeId> nodes;
  for (const VoterSet& set : sets) {
    for (const Voter& voter : set.voters) nodes.insert(voter.key.node);
  }
  nodes.erase(options_.raft.self.node);
  return {nodes.begin(), nodes.end()};
}

void RaftLog::Repair(LogInspection found, UniqueFunction<void(Result<void>)> ended) {
  if (found.holes.empty()) return ended({});
  LogRepairOptions repair;
  repair.nodes = NodesForRepair(found);
  if (options_.transport == nullptr || repair.nodes.empty()) {
    return ended(Refused(options_, "the log is damaged: " + HolesText(found) +
                                       ". Restore the directory from a backup; starting without "
                                       "them would forget what was done"));
  }
  repair.loop = options_.loop;
  repair.disk = options_.disk;
  repair.directory = directory_.get();
  repair.transport = options_.transport;
  repair.path = options_.path;
  if (vote_.has_value()) repair.term = vote_->term;
  repair.segment_bytes = options_.segment_bytes;
  repair.batch_bytes_max = options_.batch_bytes_max;
  options_.transport->SetRangeReader(
      ReadRangesOf(*options_.loop, *options_.disk, directory_->PathOf(MetadataLogId()),
                   options_.batch_bytes_max, [] { return std::optional<Offset>(); }));
  RepairLog(std::move(repair), std::move(found), std::move(ended));
}

Log::Options MetadataLogOptions(const RaftLogOptions& options) {
  Log::Options log;
  log.id = MetadataLogId();
  log.config.segment_bytes = options.segment_bytes;
  log.config.segment_ms = LogConfig::kNever;
  log.config.cleanup_delete = false;
  log.recovery_batch_bytes_max = options.batch_bytes_max;
  log.way_out = "replace the controller (docs/operations.md)";
  return log;
}

Log::Options RaftLog::LogOptions() {
  Log::Options log = MetadataLogOptions(options_);
  log.on_progress = [this, alive = alive_] {
    if (*alive && store_ != nullptr) store_->OnProgress();
  };
  return log;
}

Result<void> RaftLog::Adopt(std::unique_ptr<Log> log) {
  const LogEnds ends = log->ends();
  LogStore::Options store;
  store.recent_bytes_max = static_cast<size_t>(options_.segment_bytes / kRecentPerSegment);
  store.batch_bytes_max = options_.batch_bytes_max;
  store.on_progress = [this] { OnLogProgress(); };
  store.on_cut = [this] { Step([this](MonotonicTime now) { core_->OnTruncated(now); }); };
  store.on_failure = [this](const Error& error) { Fail(error); };
  store_ = std::make_unique<LogStore>(std::move(log), std::move(store));
  if (ends.log_end > Offset{0} || options_.may_be_empty) return {};
  return Refused(options_,
                 "the log is empty, though this node has served before. Restore the directory "
                 "from a backup; starting without it would forget every topic");
}

bool RaftLog::MayStartAt(Offset from) const {
  const bool is_within = from >= start_offset() && from <= end_offset();
  return is_within || IsInstalledAt(from);
}

void RaftLog::Start(Offset from, Listener& listener) {
  CHECK(listener_ == nullptr);
  CHECK(MayStartAt(from)) << from;
  listener_ = &listener;
  from_ = from;
  directory_->OnFailure(*options_.loop, [this, alive = alive_](const Error& error) {
    if (*alive) Fail(error);
  });
  if (!IsInstalledAt(from)) return AwaitMark();
  store_->ResetTo(from, [this] {
    if (is_running()) ScanVoters(start_offset());
  });
}

void RaftLog::DeliverAgain(Offset from) {
  if (!is_running() || installing_) return;
  CHECK(from >= start_offset() && from <= core_->log().commit()) << from;
  delivery_->SkipTo(from);
  delivery_->UpTo(core_->log().commit());
}

// What was recovered has its mark, too, before anything of it is acknowledged: it came with a group
// before this one at the latest (ADR 0018).
void RaftLog::AwaitMark() {
  GroupSync::Part part;
  part.partition = MetadataLogId();
  part.reply = options_.loop;
  part.done = [this, alive = alive_](Result<void>) {  // the directory says what failed
    if (*alive && is_running()) ScanVoters(start_offset());
  };
  directory_->group_sync().Add(std::move(part));
}

void RaftLog::ScanVoters(Offset from) {
  if (from >= end_offset()) return Begin();
  constexpr size_t kReadBytes = 1u << 20;
  store_->ReadFrom(from, end_offset(), kReadBytes, [this, alive = alive_](auto read) {
    if (!*alive || !is_running()) return;
    if (!read.ok()) return Fail(read.error());
    const auto batches = DescribeBatches(read->bytes, options_.batch_bytes_max);
    if (!batches.ok()) return Fail(batches.error());
    if (batches->empty()) return Fail(Refused(options_, "the log ends in the middle of a batch"));
    for (const raft::BatchInfo& batch : *batches) {
      if (batch.voters.has_value()) found_voters_.push_back({batch.next, *batch.voters});
    }
    // Posted, so that a long log neither nests nor holds up the loop.
    options_.loop->Post("raft.scan", [this, alive, next = batches->back().next] {
      if (*alive && is_running()) ScanVoters(next);
    });
  });
}

raft::RestoredLog RaftLog::Restored() const {
  raft::RestoredLog log;
  log.start = start_offset();
  log.end = end_offset();
  log.commit = from_;
  if (log.start > Offset{0}) log.term_before_start.reset();
  if (base_.has_value() && log.start > Offset{0})
    log.term_before_start = base_->TermBefore(log.start);
  for (const EpochCache::Entry& entry : store_->log().epochs().entries())
    log.terms.push_back({Term{entry.epoch.value}, entry.start});
  auto before = base_.has_value() ? base_->VotersOf(log.start) : std::nullopt;
  const bool is_in_log = std::any_of(
      found_voters_.begin(), found_voters_.end(),
      [&](const raft::VotersAt& each) { return before.has_value() && each.end == before->end; });
  if (before.has_value() && !is_in_log) {
    // It is there before the log, whatever is cut of that.
    before->end = std::min(before->end, log.start);
    log.voters.push_back(*std::move(before));
  }
  log.voters.insert(log.voters.end(), found_voters_.begin(), found_voters_.end());
  return log;
}

void RaftLog::Begin() {
  std::optional<raft::HardState> hard;
  if (vote_.has_value()) hard = {vote_->term, vote_->voted_for};
  votes_ = std::make_unique<VoteWriter>(*options_.loop, *options_.disk, VotePath(options_.path),
                                        [this](Result<void> saved) { OnSaved(std::move(saved)); });
  Delivery::Options delivery;
  delivery.batch_bytes_max = options_.batch_bytes_max;
  delivery.on_batches = [this](std::vector<CommittedRecords> batches) {
    if (is_running()) listener_->OnCommitted(std::move(batches));
  };
  delivery.on_caught_up = [this] { TellLeader(); };
  delivery.on_failure = [this](const Error& error) { Fail(error); };
  delivery_ = std::make_unique<Delivery>(*options_.loop, *store_, from_, std::move(delivery));
  raft::RestoredLog restored = Restored();
  if (const auto reachable = CheckReachable(restored.voters); !reachable.ok())
    return Fail(reachable.error());
  const bool is_cluster = options_.transport != nullptr;
  if (is_cluster && restored.start > Offset{0} && !base_.has_value() && restored.voters.empty()) {
    return Fail(Refused(options_,
                        "its log-base file is missing, which says who votes. Restore it "
                        "from a backup, or replace the controller by an empty one "
                        "(docs/operations.md)"));
  }
  // Its vote would go to logs that lack what this one had.
  if (restored.start == restored.end && !restored.term_before_start.has_value()) {
    return Fail(Refused(options_, "the log is empty from offset " +
                                      std::to_string(restored.start.value) +
                                      " on, and log-base does not say what came before. Restore "
                                      "the directory from a backup, or replace the controller"));
  }
  core_ = std::make_unique<raft::Raft>(options_.raft, hard, std::move(restored), options_.random);
  if (core_->log().voters() != nullptr) OnVoters(core_->log().voters()->voters);
  if (options_.transport != nullptr) {
    options_.transport->SetReceiver(this);
    options_.transport->SetRangeReader(ReadRangesOf(
        *options_.loop, *options_.disk, directory_->PathOf(MetadataLogId()),
        options_.batch_bytes_max, [this] { return std::optional(core_->log().commit()); }));
  }
  if (snapshot_.has_value()) core_->OnSnapshotTaken(*snapshot_);
  Step([this](MonotonicTime now) { core_->Start(now); });
}

Result<void> RaftLog::CheckReachable(const std::vector<raft::VotersAt>& voters) const {
  if (options_.transport != nullptr || voters.empty()) return {};
  const std::vector<Voter>& last = voters.back().voters.voters;
  if (last.size() == 1 && last[0].key == options_.raft.self) return {};
  std::string names;
  for (const Voter& voter : last)
    names += (names.empty() ? "" : ", ") + std::to_string(voter.key.node.value);
  return Refused(options_, "its log names other voters than this node alone (nodes " + names +
                               "), and the settings do not say how to reach them: set "
                               "`controllers` as it is on the other nodes");
}

Term RaftLog::TermAt(Offset offset) const {
  // The files may have yet what is about to be cut.
  if (core_ != nullptr) return core_->log().TermBefore(offset + 1).value_or(Term{-1});
  const auto epoch = store_->log().epochs().EpochAt(offset);
  return Term{epoch.has_value() ? epoch->value : -1};
}

Result<AppendedRecords> RaftLog::Append(Term term, std::vector<std::string> records) {
  CHECK(!records.empty());
  const bool leads = told_.leader == options_.raft.self.node && told_.term == term;
  if (failed_ || !leads || !core_->MayPropose(term)) {
    return Error(Reason::kNotController, "this node does not lead the metadata quorum in term " +
                                             std::to_string(term.value))
        .With("outcome", "NOT_APPLIED");
  }
  const Timestamp now = options_.loop->clock().WallNow();
  BatchBuilder builder;
  for (const std::string& record : records) {
    NewRecord added;
    added.value = record;
    added.timestamp = now;
    builder.Add(added);
  }
  if (builder.size() > options_.batch_bytes_max) {
    return Error(Reason::kBatchTooLarge, "the operation makes " + std::to_string(builder.size()) +
                                             " bytes of metadata, more than the " +
                                             std::to_string(options_.batch_bytes_max) +
                                             " of one step: split it");
  }
  RecordBatch batch = builder.Build();
  StampBatch(batch, end_offset(), LeaderEpoch{term.value}, TimestampType::kCreateTime, now);
  RETURN_IF_ERROR(store_->Append(std::move(batch)));
  const auto base = core_->Propose(Now(), term, static_cast<int64_t>(records.size()));
  CHECK(base.ok()) << base.error();
  const Offset next = *base + static_cast<int64_t>(records.size());
  if (metrics_ != nullptr) metrics_->OnAppended(next, Now());
  Step([](MonotonicTime) {});
  return AppendedRecords{next, now};
}

void RaftLog::Close(UniqueFunction<void(Result<void>)> done) {
  listener_ = nullptr;
  told_ = {};
  FailVoters(Error(Reason::kNotController, "the node stops; look whether the voters have changed")
                 .With("outcome", "UNKNOWN"));
  if (metrics_ != nullptr) metrics_->OnEnd();
  if (options_.transport != nullptr) EndTransport();
  if (core_ != nullptr) core_->Stop();
  store_->Close([this, done = std::move(done)](Result<void> closed) mutable {
    // In both cases not inside of a call of the log, which `done` may destroy.
    options_.disk->Submit(
        Lane::kSync, "raft.close", *options_.loop,
        [directory = directory_.get(), closed = std::move(closed)] {
          return closed.ok() ? directory->CloseCleanly() : closed;
        },
        std::move(done));
  });
}

namespace {

using RaftLogOpened = UniqueFunction<void(Result<std::unique_ptr<MetadataLog>>)>;

void OpenFiles(EventLoop& loop, std::unique_ptr<RaftLog> log, RaftLogOpened opened) {
  LogDirectory& directory = log->directory();
  Log::Options options = log->LogOptions();
  Log::Open(directory, loop, std::move(options),
            [log = std::move(log),
             opened = std::move(opened)](Result<std::unique_ptr<Log>> files) mutable {
              if (!files.ok()) return opened(std::move(files).error());
              auto adopted = log->Adopt(std::move(*files));
              if (adopted.ok()) return opened(std::unique_ptr<MetadataLog>(std::move(log)));
              // What the recovery still has at the disk needs it.
              RaftLog& refused = *log;
              refused.Close([log = std::move(log), opened = std::move(opened),
                             error = adopted.error()](Result<void>) mutable { opened(error); });
            });
}

}  // namespace

void OpenRaftLog(RaftLogOptions options, RaftLogOpened opened) {
  Disk& disk = *options.disk;
  EventLoop& loop = *options.loop;
  disk.Submit(
      Lane::kBackground, "raft.open", loop, [options] { return FindRaftFiles(options); },
      [&loop, options, opened = std::move(opened)](Result<FoundRaftFiles> found) mutable {
        if (!found.ok()) return opened(std::move(found).error());
        LogInspection inspection = std::move(found->log);
        auto log = std::make_unique<RaftLog>(std::move(options), *std::move(found));
        RaftLog& repaired = *log;
        repaired.Repair(
            std::move(inspection),
            [&loop, log = std::move(log), opened = std::move(opened)](Result<void> whole) mutable {
              if (!whole.ok()) return opened(whole.error());
              OpenFiles(loop, std::move(log), std::move(opened));
            });
      });
}

}  // namespace gregor
