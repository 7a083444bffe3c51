#include "raft/host/single_voter_log.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "raft/host/vote_file.h"
#include "storage/epoch_cache.h"
#include "storage/log.h"
#include "storage/log_directory.h"

namespace gregor {
namespace {

constexpr size_t kReadBytes = 1u << 20;

// What the disk has, before the log is opened.
struct FoundFiles {
  std::unique_ptr<LogDirectory> directory;
  std::optional<Vote> vote;
};

Error Refused(const SingleVoterLogOptions& options, const std::string& what) {
  return Error(Reason::kStorageError, "metadata directory " + options.path + ": " + what)
      .With("path", options.path);
}

Result<FoundFiles> FindFiles(const SingleVoterLogOptions& options) {
  LogDirectory::Options directory;
  directory.path = MetadataLogPath(options.path);
  directory.cluster_id = options.cluster_id;
  directory.node_id = options.self.node;
  directory.format_if_empty = false;
  directory.open_files_max = 16;
  directory.file_step_bytes_max = 1u << 20;
  FoundFiles found;
  ASSIGN_OR_RETURN(found.directory,
                   LogDirectory::Open(*options.disk, *options.loop, std::move(directory)));
  if (found.directory->id() != options.self.directory)
    return Refused(options, "it is not the one that this node was formatted with");
  ASSIGN_OR_RETURN(found.vote, ReadVote(options.disk->files(), VotePath(options.path)));
  if (found.vote.has_value() &&
      (found.vote->cluster != options.cluster_id || found.vote->self != options.self))
    return Refused(options, "its vote file belongs to another voter");
  if (!found.vote.has_value() && !options.may_be_empty) {
    return Refused(options,
                   "its vote file is missing. Restore the directory from a backup; a node "
                   "that forgot its vote must not take part");
  }
  return found;
}

class SingleVoterLog final : public MetadataLog {
 public:
  SingleVoterLog(SingleVoterLogOptions options, FoundFiles found)
      : options_(std::move(options)), directory_(std::move(found.directory)) {
    if (found.vote.has_value()) term_ = found.vote->term;
  }
  ~SingleVoterLog() override {
    if (*alive_) *alive_ = false;
  }

  Log::Options LogOptions() {
    Log::Options log;
    log.id = MetadataLogId();
    log.config.segment_bytes = options_.segment_bytes;
    log.config.segment_ms = LogConfig::kNever;
    log.config.cleanup_delete = false;
    log.on_progress = [this, alive = alive_] {
      if (*alive) OnProgress();
    };
    log.recovery_batch_bytes_max = options_.batch_bytes_max;
    return log;
  }
  LogDirectory& directory() { return *directory_; }

  Result<void> Adopt(std::unique_ptr<Log> log) {
    log_ = std::move(log);
    recovered_end_ = log_->ends().log_end;
    // The log may be ahead of a vote file that was restored; terms must rise all the same.
    term_ = Term{std::max(term_.value, log_->last_epoch().value)};
    if (recovered_end_ > Offset{0} || options_.may_be_empty) return {};
    return Refused(options_,
                   "the log is empty, though this node has served before. Restore the directory "
                   "from a backup; starting without it would forget every topic");
  }

  void Start(Offset from, Listener& listener) override {
    CHECK(listener_ == nullptr);
    CHECK(from >= start_offset() && from <= end_offset()) << from;
    listener_ = &listener;
    directory_->OnFailure(*options_.loop, [this, alive = alive_](const Error& error) {
      if (*alive) Fail(error);
    });
    ++term_.value;
    // Beside the first records of the term: it leads once both are durable. A term that only the
    // log remembers is raised above all the same, and nobody else votes.
    options_.disk->Submit(
        Lane::kBackground, "raft.vote", *options_.loop,
        [files = &options_.disk->files(), path = VotePath(options_.path),
         vote = Vote{options_.cluster_id, options_.self, term_, options_.self}] {
          return SaveVote(*files, path, vote);
        },
        [this, alive = alive_](Result<void> saved) {
          if (!*alive) return;
          // The log has the term, too, and nobody else votes: a full disk is no reason to stay
          // away.
          const bool is_full = !saved.ok() && saved.error().reason == Reason::kDiskFull;
          LOG_IF(WARNING, is_full) << "The vote of this term is not saved: " << saved.error();
          if (!saved.ok() && !is_full) return Fail(saved.error());
          is_voted_ = true;
          OnProgress();
        });
    ReadOn(from);
  }

  Offset start_offset() const override { return log_->ends().log_start; }
  Offset end_offset() const override { return log_->ends().log_end; }
  Term TermAt(Offset offset) const override {
    const auto epoch = log_->epochs().EpochAt(offset);
    return Term{epoch.has_value() ? epoch->value : -1};
  }
  QuorumLeader leader() const override {
    return is_leading_ ? QuorumLeader{options_.self.node, term_} : QuorumLeader{};
  }

  Result<AppendedRecords> Append(Term term, std::vector<std::string> records) override {
    CHECK(!records.empty());
    if (!is_leading_ || term != term_) {
      return Error(Reason::kNotController, "this node does not lead the metadata quorum in term " +
                                               std::to_string(term.value));
    }
    CommittedRecords pending{end_offset(), term_, options_.loop->clock().WallNow(), {}};
    BatchBuilder builder;
    for (const std::string& record : records) {
      NewRecord added;
      added.value = record;
      added.timestamp = pending.appended;
      builder.Add(added);
    }
    if (builder.size() > options_.batch_bytes_max) {
      return Error(Reason::kBatchTooLarge, "the operation makes " + std::to_string(builder.size()) +
                                               " bytes of metadata, more than the " +
                                               std::to_string(options_.batch_bytes_max) +
                                               " of one step: split it");
    }
    RETURN_IF_ERROR(AppendBatch(builder.Build(), pending.appended));
    pending.records = std::move(records);
    pending_.push_back(std::move(pending));
    return AppendedRecords{pending_.back().next_offset(), pending_.back().appended};
  }

  void TrimBefore(Offset offset) override {
    if (offset <= start_offset() || failed_) return;
    log_->DeleteBefore(std::min(offset, log_->ends().synced_end), [path = options_.path,
                                                                   offset](Result<void> trimmed) {
      LOG_IF(ERROR, !trimmed.ok()) << path << ": the log could not be trimmed: " << trimmed.error();
      LOG_IF(INFO, trimmed.ok()) << path << ": the log begins at offset " << offset << " now";
    });
  }

  void Close(UniqueFunction<void(Result<void>)> done) override {
    is_leading_ = false;
    listener_ = nullptr;
    log_->Close([this, done = std::move(done)](Result<void> closed) mutable {
      // In both cases not inside of a call of the log, which `done` may destroy.
      options_.disk->Submit(
          Lane::kSync, "raft.close", *options_.loop,
          [directory = directory_.get(), closed = std::move(closed)] {
            return closed.ok() ? directory->CloseCleanly() : closed;
          },
          std::move(done));
    });
  }

 private:
  Result<void> AppendBatch(RecordBatch batch, Timestamp now) {
    StampBatch(batch, end_offset(), LeaderEpoch{term_.value}, TimestampType::kCreateTime, now);
    return log_->Append(std::move(batch));
  }

  void Fail(const Error& error) {
    if (failed_) return;
    failed_ = true;
    is_leading_ = false;
    if (listener_ != nullptr) listener_->OnFailure(error);
  }

  // Delivers what was there at the start, from `from` on. All of it was synced by the recovery, and
  // so is committed.
  void ReadOn(Offset from) {
    if (from >= recovered_end_) return Lead();
    ReadSpec spec;
    spec.from = from;
    spec.limit = recovered_end_;
    spec.bytes_max = kReadBytes;
    log_->Read(spec, [this, alive = alive_, from](Result<LogRead> read) {
      if (!*alive || failed_ || listener_ == nullptr) return;
      if (!read.ok()) return Fail(read.error());
      const auto delivered = DeliverBatches(from, *read);
      if (!delivered.ok()) return Fail(delivered.error());
      // Posted, so that a long log neither nests nor holds up the loop.
      options_.loop->Post("raft.read", [this, alive, next = read->next_offset] {
        if (*alive && !failed_ && listener_ != nullptr) ReadOn(next);
      });
    });
  }

  Result<void> DeliverBatches(Offset from, const LogRead& read) {
    for (size_t at = 0; at < read.batches.size();) {
      const Bytes rest = read.batches.Sub(at, read.batches.size() - at);
      ASSIGN_OR_RETURN(const BatchHeader header, PeekHeader(rest, rest.size()));
      const RecordBatch batch{header, rest.Sub(0, header.size())};
      at += header.size();
      if (header.is_control()) {
        RETURN_IF_ERROR(ReadControl(batch));
      } else {
        RETURN_IF_ERROR(DeliverBatch(from, batch));
      }
    }
    return {};
  }

  Result<void> DeliverBatch(Offset from, const RecordBatch& batch) {
    CommittedRecords committed;
    committed.base_offset = std::max(from, batch.header.base_offset);
    committed.term = Term{batch.header.leader_epoch.value};
    committed.appended = batch.header.max_timestamp;
    ASSIGN_OR_RETURN(RecordReader reader, RecordReader::Open(batch, options_.batch_bytes_max));
    while (true) {
      ASSIGN_OR_RETURN(const std::optional<RecordView> record, reader.Next());
      if (!record.has_value()) break;
      if (record->offset >= from) committed.records.emplace_back(record->value.value_or(""));
    }
    if (!committed.records.empty() && listener_ != nullptr)
      listener_->OnCommitted(std::move(committed));
    return {};
  }

  Result<void> ReadControl(const RecordBatch& batch) {
    ASSIGN_OR_RETURN(const ControlRecord control, DecodeControl(batch));
    const auto* const set = std::get_if<VoterSet>(&control);
    if (set == nullptr || (set->voters.size() == 1 && set->voters[0].key == options_.self))
      return {};
    return Refused(options_,
                   "its log names other voters than this node alone, and this release "
                   "runs a quorum of one");
  }

  // Begins the term, now that all before it is delivered.
  void Lead() {
    const Timestamp now = options_.loop->clock().WallNow();
    const LeaderChange change{options_.self, {options_.self}};
    const VoterSet voters{{Voter{options_.self, {}}}};
    auto appended = AppendBatch(EncodeControl(change, now), now);
    if (appended.ok()) appended = AppendBatch(EncodeControl(voters, now), now);
    if (!appended.ok()) return Fail(appended.error());
    term_start_end_ = end_offset();
  }

  void OnProgress() {
    if (log_ == nullptr || failed_ || listener_ == nullptr) return;
    if (const auto failure = log_->failure()) return Fail(*failure);
    const Offset committed = log_->ends().synced_end;
    if (is_voted_ && term_start_end_.has_value() && committed >= *term_start_end_) {
      term_start_end_.reset();
      is_leading_ = true;
      listener_->OnLeader({options_.self.node, term_});
    }
    while (!pending_.empty() && pending_.front().next_offset() <= committed && !failed_ &&
           listener_ != nullptr) {
      CommittedRecords batch = std::move(pending_.front());
      pending_.pop_front();
      listener_->OnCommitted(std::move(batch));
    }
  }

  const SingleVoterLogOptions options_;
  const std::unique_ptr<LogDirectory> directory_;
  std::unique_ptr<Log> log_;
  Offset recovered_end_{0};
  Term term_{0};
  Listener* listener_ = nullptr;
  bool is_voted_ = false;
  std::optional<Offset> term_start_end_;  // end of the records that begin the term
  bool is_leading_ = false;
  bool failed_ = false;
  std::deque<CommittedRecords> pending_;  // appended, not committed
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

std::string MetadataLogPath(const std::string& metadata_path) {
  return JoinPath(metadata_path, "log");
}

std::string VotePath(const std::string& metadata_path) { return JoinPath(metadata_path, "vote"); }

TopicIdPartition MetadataLogId() {
  TopicId id;
  id.bytes.back() = 1;
  return {id, PartitionIndex{0}};
}

void OpenSingleVoterLog(SingleVoterLogOptions options,
                        UniqueFunction<void(Result<std::unique_ptr<MetadataLog>>)> opened) {
  Disk& disk = *options.disk;
  EventLoop& loop = *options.loop;
  disk.Submit(
      Lane::kBackground, "raft.open", loop, [options] { return FindFiles(options); },
      [&loop, options, opened = std::move(opened)](Result<FoundFiles> found) mutable {
        if (!found.ok()) return opened(std::move(found).error());
        auto log = std::make_unique<SingleVoterLog>(std::move(options), std::move(*found));
        LogDirectory& directory = log->directory();
        Log::Options log_options = log->LogOptions();
        Log::Open(
            directory, loop, std::move(log_options),
            [log = std::move(log),
             opened = std::move(opened)](Result<std::unique_ptr<Log>> files) mutable {
              if (!files.ok()) return opened(std::move(files).error());
              auto adopted = log->Adopt(std::move(*files));
              if (adopted.ok()) return opened(std::unique_ptr<MetadataLog>(std::move(log)));
              // What the recovery still has at the disk needs it.
              SingleVoterLog& refused = *log;
              refused.Close([log = std::move(log), opened = std::move(opened),
                             error = adopted.error()](Result<void>) mutable { opened(error); });
            });
      });
}

}  // namespace gregor
