// ControllerImpl: opening and closing, and who leads.
#include <future>
#include <utility>

#include "controller/controller_impl.h"
#include "controller/node_stops.h"
#include "raft/host/raft_log.h"

namespace gregor {
namespace {

// Each term hands out producer ids from a place of its own: metadata that were restored do not
// know which ones they gave since, and logs remember them.
constexpr uint64_t kProducerIdBlocksSkippedMax = uint64_t{1} << 30;
constexpr int64_t kProducerIdBlock = 1000;
constexpr char kImageFolder[] = "image";
constexpr char kSnapshotFolder[] = "snapshots";

// The records that a snapshot's rows are.
Result<std::vector<std::string>> ReadFirstRecords(FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(const ImagePtr image, ReadSnapshot(files, path));
  std::vector<std::string> records;
  RETURN_IF_ERROR(VisitRows(*image, [&](std::string_view, const std::string& record) {
    records.push_back(record);
    return Result<void>();
  }));
  return records;
}

}  // namespace

Error ControllerImpl::Refused(const std::string& data_dir, const std::string& what) {
  return Error(Reason::kStorageError, "metadata of " + data_dir + ": " + what)
      .With("path", data_dir);
}

void Controller::Open(Options options, Opened opened) {
  EventLoop& loop = *options.loop;
  loop.Post("controller.open",
            [options = std::move(options), opened = std::move(opened)]() mutable {
              auto controller = std::make_unique<ControllerImpl>(std::move(options));
              ControllerImpl& started = *controller;
              started.Start(std::move(controller), std::move(opened));
            });
}

Result<std::unique_ptr<Controller>> Controller::OpenAndWait(Options options,
                                                            std::function<bool()> is_stopping) {
  using Answer = Result<std::unique_ptr<Controller>>;
  constexpr std::chrono::milliseconds kAskEvery(50);
  CHECK(!options.loop->InLoop());
  // Shared: who has given up is not there any more when the answer comes.
  const auto promise = std::make_shared<std::promise<Answer>>();
  auto opened = promise->get_future();
  Open(std::move(options), [promise](Answer answer) { promise->set_value(std::move(answer)); });
  while (opened.wait_for(kAskEvery) != std::future_status::ready) {
    if (is_stopping && is_stopping())
      return Error(Reason::kServerDraining, "stopped while it waited for the metadata quorum");
  }
  return opened.get();
}

ControllerImpl::ControllerImpl(Options options)
    : options_(std::move(options)),
      image_(std::make_shared<const MetadataImage>()),
      turns_(*options_.loop),
      sessions_(options_.behavior.broker_sessions) {}

ControllerImpl::~ControllerImpl() {
  if (*alive_) *alive_ = false;
}

void ControllerImpl::Start(std::unique_ptr<ControllerImpl> self, Opened opened) {
  self_ = std::move(self);
  opened_ = std::move(opened);
  options_.disk->Submit(
      Lane::kRead, "controller.find", *options_.loop,
      [files = &options_.disk->files(), data_dir = options_.data_dir,
       node_id = options_.behavior.node_id] { return FindFiles(*files, data_dir, node_id); },
      [this, alive = alive_](Result<Found> found) {
        if (!*alive) return;
        if (!found.ok()) return EndOpening(found.error());
        OpenLog(*std::move(found));
      });
}

Result<ControllerImpl::Found> ControllerImpl::FindFiles(FileSystem& files,
                                                        const std::string& data_dir,
                                                        NodeId node_id) {
  ASSIGN_OR_RETURN(const auto identity, ReadIdentity(files, data_dir));
  if (!identity.has_value()) return Refused(data_dir, "the directory is not formatted");
  RETURN_IF_ERROR(CheckIdentity(*identity, data_dir, node_id, ClusterId{}));
  Found found{*identity, {}};
  ASSIGN_OR_RETURN(const bool is_new, files.Exists(BootstrapPath(data_dir)));
  if (is_new) {
    ASSIGN_OR_RETURN(found.first_records, ReadFirstRecords(files, BootstrapPath(data_dir)));
  }
  return found;
}

void ControllerImpl::OpenLog(Found found) {
  found_ = std::move(found);
  RaftLogOptions log;
  log.loop = options_.loop;
  log.disk = options_.disk;
  log.path = MetadataPath(options_.data_dir);
  log.cluster_id = found_->identity.cluster_id;
  log.raft = options_.raft;
  log.raft.self = {found_->identity.node_id, found_->identity.directory_id};
  if (log.raft.configured.empty())
    log.raft.configured = {{{found_->identity.node_id, DirectoryId{}}, {}}};
  log.transport = options_.transport;
  log.random = options_.random.Fork();
  log.may_be_empty = !found_->first_records.empty();
  log.batch_bytes_max = options_.behavior.record_batch_bytes_max;
  log.segment_bytes = options_.segment_bytes;
  log.metrics = options_.metrics;
  OpenRaftLog(std::move(log), [this, alive = alive_](Result<std::unique_ptr<MetadataLog>> opened) {
    if (!*alive) return;
    if (!opened.ok()) return EndOpening(opened.error());
    log_ = *std::move(opened);
    LoadImage();
  });
}

void ControllerImpl::LoadImage() {
  ImageKeeper::Options keeper;
  keeper.loop = options_.loop;
  keeper.disk = options_.disk;
  const std::string folder = MetadataPath(options_.data_dir);
  keeper.snapshot_folder = JoinPath(folder, kSnapshotFolder);
  keeper.store = std::move(options_.image_store);
  if (keeper.store == nullptr && options_.persistent_image) {
    keeper.store = NewRocksDbStore(options_.disk->files(), JoinPath(folder, kImageFolder));
  }
  keeper.snapshot_record_bytes = options_.snapshot_record_bytes;
  keeper.durable_end = [this] { return log_->durable_offset(); };
  keeper.on_snapshot = [this](const SnapshotFile& file) {
    log_->NoteSnapshot({file.end_offset, Term{file.term.value}});
    NoteSnapshot(file.end_offset, file.size_bytes);
  };
  ExportSnapshots();
  keeper.on_damaged = [this](const ImagePtr& image, uint64_t actual) {
    OnDamagedImage(image, actual);
  };
  ExportState();
  keeper.on_trimmable = [this](Offset offset) { log_->TrimBefore(offset); };
  keeper_ = std::make_unique<ImageKeeper>(std::move(keeper));
  keeper_->Load([this](const ImagePosition& position) { return FitsLog(position); },
                [this, alive = alive_](Result<ImagePtr> loaded) {
                  if (!*alive) return;
                  const auto following =
                      loaded.ok() ? FollowLog(*std::move(loaded)) : Result<void>(loaded.error());
                  if (!following.ok()) EndOpening(following);
                });
}

Result<bool> ControllerImpl::FitsLog(const ImagePosition& position) const {
  // A snapshot whose install was cut off begins behind the log.
  if (position.version > log_->end_offset() && log_->MayStartAt(position.version)) return true;
  if (position.version > log_->end_offset()) {
    return Refused(options_.data_dir,
                   "the log ends at offset " + std::to_string(log_->end_offset().value) +
                       ", though records up to " + std::to_string(position.version.value) +
                       " were committed. Restore the directory from a backup");
  }
  if (position.version < log_->start_offset()) return false;
  if (position.version == Offset{0}) return true;
  const Term term = log_->TermAt(position.version - 1);
  return term.value < 0 || position.version == log_->start_offset() ||
         term.value == position.term.value;
}

Result<void> ControllerImpl::FollowLog(ImagePtr loaded) {
  if (loaded == nullptr && log_->start_offset() > Offset{0}) {
    const bool is_alone = options_.raft.configured.size() <= 1;
    return Refused(options_.data_dir,
                   "no snapshot is left that can be read, and the log begins at offset " +
                       std::to_string(log_->start_offset().value) +
                       ". Restore the directory from a backup" +
                       (is_alone ? ""
                                 : ", or replace this controller by an empty one "
                                   "(docs/operations.md, \"A damaged controller\")"));
  }
  if (loaded != nullptr) std::atomic_store(&image_, std::move(loaded));
  state_->hash = image_->state_hash;
  state_->bytes = image_->state_bytes;
  committed_ = image_->version;
  if (options_.snapshots != nullptr) {
    options_.snapshots->SetReader([this, alive = alive_](const SnapshotWish& wish, auto read) {
      if (*alive) return ReadSnapshot(wish, std::move(read));
      read(Error(Reason::kLeaderNotAvailable, "the node stops"));
    });
  }
  log_->Start(committed_, *this);
  return {};
}

void ControllerImpl::OnLeader(const QuorumLeader& leader) {
  if (failure()) return;
  LogLeader(leader);
  leading_.reset();
  elected_.reset();
  if (!raft::IsMutant(19)) speculative_ = nullptr;
  const Error lost = Error(Reason::kNotController,
                           "this node no longer leads the metadata quorum; whether the operation "
                           "took place is not known: look, then retry")
                         .With("outcome", "UNKNOWN");
  leader_ = leader;
  waiting_.FailAll(lost);
  if (const auto followed = FollowLed(); !followed.ok()) OnContradiction(followed.error());
  // Whoever leads says what is right: another one, from which it may be had, or this node.
  const bool is_there = leader.leader.value >= 0;
  if (is_there && state_->differs && !healing_.has_value() && healed_in_ != leader.term)
    HealFromOwn(committed_);
  if (leader.leader != options_.behavior.node_id) return EndFollowing();
  if (healing_.has_value()) return LeadOnceHealed(leader.term);
  Lead(leader.term);
}

void ControllerImpl::Lead(Term term) {
  leading_ = term;
  if (!raft::IsMutant(19) || speculative_ == nullptr) speculative_ = image_;
  is_in_transaction_ = following_.has_value();
  if (const auto aborted = AbortTransaction(); !aborted.ok())
    LOG(ERROR) << "What the last active controller left undone is not aborted: " << aborted.error();
  WatchBrokers();
  WatchLeaders();
  WatchHash();
  producer_ids_from_ =
      image_->next_producer_id +
      kProducerIdBlock * static_cast<int64_t>(options_.random.Below(kProducerIdBlocksSkippedMax));
  if (opened_) {
    const auto first = AppendFirstRecords();
    if (!first.ok()) EndLeading(first.error());
  }
}

// One that no longer leads before its cluster had its first records follows who does.
void ControllerImpl::EndLeading(const Error& error) {
  if (error.reason != Reason::kNotController) EndOpening(error);
}

void ControllerImpl::LogLeader(const QuorumLeader& leader) const {
  const NodeId self = options_.behavior.node_id;
  const QuorumLeader before = leader_;
  LOG_IF(INFO, before.leader == self && leader.leader != self)
      << "This node is not the active controller any more";
  if (leader.leader.value < 0) {
    LOG_IF(INFO, before.leader.value >= 0) << "The metadata quorum has no leader, after node "
                                           << before.leader << " in term " << before.term;
    return;
  }
  LOG(INFO) << (leader.leader == self
                    ? "This node is the active controller"
                    : "Node " + std::to_string(leader.leader.value) + " is the active controller")
            << ", in term " << leader.term;
}

// A node that does not lead is open once it has a leader, and a cluster's records.
void ControllerImpl::EndFollowing() {
  const bool is_behind = healing_.has_value() && healing_->behind.has_value();
  if (opened_ && leader().leader.value >= 0 && image_->feature_level != 0 && !is_behind)
    EndOpening({});
}

Result<void> ControllerImpl::AppendFirstRecords() {
  if (image_->feature_level != 0) {
    EndOpening({});
    return {};
  }
  if (found_->first_records.empty())
    return Refused(options_.data_dir, "the cluster's first records are missing");
  std::vector<pb::MetadataRecord> records;
  for (const std::string& bytes : found_->first_records) {
    ASSIGN_OR_RETURN(records.emplace_back(), ParseRecord(bytes));
  }
  ASSIGN_OR_RETURN(Appended first, Append("new_cluster", records));
  const Offset end = first.delta.after->version;
  AnswerWhenCommitted(end, std::move(first.delta), [this](const Error* failed) {
    if (failed != nullptr) return EndLeading(*failed);
    EndOpening({});
  });
  return {};
}

// They are in the log now. With the file gone an empty log means that it was lost: so it stays
// until a later start where only others have them durably yet.
void ControllerImpl::RemoveBootstrap() {
  if (found_->first_records.empty() || log_->durable_offset() == Offset{0}) return;
  options_.disk->Submit(Lane::kBackground, "controller.remove_bootstrap",
                        [files = &options_.disk->files(), path = BootstrapPath(options_.data_dir)] {
                          auto removed = files->Remove(path);
                          if (removed.ok()) removed = files->SyncDirectory(ParentPath(path));
                          LOG_IF(WARNING, !removed.ok()) << removed.error();
                        });
}

void ControllerImpl::EndOpening(const Result<void>& result) {
  if (!opened_) return;
  Result<void> outcome = result;
  if (outcome.ok() && image_->cluster_id != found_->identity.cluster_id) {
    outcome = Error(Reason::kInconsistentClusterId,
                    "the metadata in " + options_.data_dir + " are of cluster " +
                        image_->cluster_id.ToString() + ", and the directory belongs to " +
                        found_->identity.cluster_id.ToString());
  }
  if (outcome.ok()) {
    RemoveBootstrap();
    return std::exchange(opened_, {})(std::unique_ptr<Controller>(std::move(self_)));
  }
  Close([opened = std::exchange(opened_, {}), self = std::move(self_),
         error = outcome.error()](Result<void>) mutable {
    self.reset();
    opened(error);
  });
}

void ControllerImpl::OnFailure(const Error& error) { Resign(error); }

void ControllerImpl::Resign(const Error& error) {
  {
    const MutexLock lock(mutex_);
    if (failure_.has_value()) return;
    failure_ = error;
  }
  LOG(ERROR) << "The metadata of this node cannot change any more: " << error;
  leading_.reset();
  elected_.reset();
  leader_ = QuorumLeader{};
  speculative_ = nullptr;
  waiting_.FailAll(Error(error).With("outcome", "UNKNOWN"));
  // Who cannot follow has no vote on what is right, and must not lead.
  if (log_ != nullptr) log_->GiveUp(error);
  if (!opened_ && options_.on_failure) options_.on_failure(error);
  EndOpening(error);
}

std::optional<Error> ControllerImpl::failure() const {
  const MutexLock lock(mutex_);
  return failure_;
}

std::shared_ptr<void> ControllerImpl::Watch(UniqueFunction<void(const MetadataDelta&)> observer) {
  auto shared = std::make_shared<Observer>(Observer{std::move(observer)});
  options_.loop->Post(
      "controller.watch", [this, alive = alive_, weak = std::weak_ptr<Observer>(shared)] {
        const auto observer = weak.lock();
        if (!*alive || observer == nullptr) return;
        MetadataDelta all;
        all.after = image_;
        image_->topics.VisitAll(
            [&](const std::string&, const TopicPtr& topic) { all.created.push_back(topic); });
        all.brokers_changed = all.broker_configs_changed = true;
        all.acls_changed = all.users_changed = all.quotas_changed = true;
        observers_.push_back(weak);
        observer->call(all);
      });
  return shared;
}

void ControllerImpl::Close(UniqueFunction<void(Result<void>)> done) {
  options_.loop->Post("controller.close", [this, done = std::move(done)]() mutable {
    MetadataLog* const log = UsableLog();
    closing_ = true;
    if (log == nullptr) return CloseNow(std::move(done));
    log->HandOver([this, done = std::move(done)]() mutable { CloseNow(std::move(done)); });
  });
}

void ControllerImpl::CloseNow(UniqueFunction<void(Result<void>)> done) {
  // Not inside of the log's call.
  options_.loop->Post("controller.close_now", [this, done = std::move(done)]() mutable {
    if (options_.snapshots != nullptr) options_.snapshots->SetReader({});
    leading_.reset();
    elected_.reset();
    leader_ = QuorumLeader{};
    waiting_.FailAll(NodeStops(true));
    turns_.RunAll();
    auto end = [this, done = std::move(done)](Result<void> closed) mutable {
      // Not inside of the log's call. What comes later finds nothing to do.
      options_.loop->Post("controller.closed",
                          [this, done = std::move(done), closed = std::move(closed)]() mutable {
                            *alive_ = false;
                            keeper_.reset();
                            log_.reset();
                            done(std::move(closed));
                          });
    };
    auto close_log = [this, end = std::move(end)]() mutable {
      if (log_ == nullptr) return end({});
      log_->Close(std::move(end));
    };
    if (keeper_ == nullptr) return close_log();
    keeper_->Close(std::move(close_log));
  });
}

}  // namespace gregor
