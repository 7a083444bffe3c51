#include "node/node.h"

#include <algorithm>
#include <cstdlib>
#include <thread>
#include <utility>
#include <vector>

#include "base/compression.h"
#include "base/event_loop.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/thread_annotations.h"
#include "broker/broker.h"
#include "broker/controller_session.h"
#include "broker/grpc/server.h"
#include "broker/http/http_server.h"
#include "controller/controller.h"
#include "controller/format.h"
#include "controller/operation_router.h"
#include "controller/quorum_router.h"
#include "node/build_info.h"
#include "node/connection_guard.h"
#include "node/directories.h"
#include "node/node_metrics.h"
#include "node/process.h"
#include "node/process_metrics.h"
#include "node/quorum_links.h"
#include "node/status_pages.h"
#include "node/waiting.h"
#include "rpc/queue/grpc_log.h"
#include "storage/disk.h"
#include "storage/log_directory.h"

namespace gregor {
namespace {

int EventLoopCount(const Settings& settings) {
  if (settings.event_loops > 0) return static_cast<int>(settings.event_loops);
  if (!settings.roles.broker) return 1;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) - 1);
}

void WarnIfOpen(const HostPort& listen, const std::string& name, const std::string& what) {
  LOG_IF(WARNING, !listen.IsLoopback())
      << name << " listens on " << listen.ToString()
      << ", which other machines can reach, and there is no authentication: whoever gets there can "
      << what;
}

Endpoint Advertised(const std::optional<HostPort>& advertise, const HostPort& bound) {
  const HostPort& shown = advertise.value_or(bound);
  return {shown.host, shown.port};
}

[[noreturn]] void QuitAtOnce(const Error& error) {
  LOG(ERROR) << "Not stopped cleanly: " << error;
  google::FlushLogFiles(google::GLOG_INFO);
  std::_Exit(1);
}

ConnectionGuard::Options GuardOptions(uint16_t port) {
  return {.port = port, .files_max = ConnectionGuard::FilesMaxOf(OpenFileLimit())};
}

class RunningNode final : public Node {
 public:
  RunningNode(Settings settings, std::function<bool()> is_stopping)
      : settings_(std::move(settings)),
        is_stopping_(std::move(is_stopping)),
        random_(Random::FromSystem()),
        incarnation_(random_.NewUuid<DirectoryId>()) {}

  // The doors first, then what they call; the disks before the loops that their answers go to.
  ~RunningNode() override {
    guard_.reset();
    internal_guard_.reset();
    grpc_.reset();
    http_.reset();
    if (!stopped_) {
      const auto stopped = StopCore(settings_.shutdown_timeout);
      // Something hangs, and would hang whoever waits for its thread.
      if (!stopped.ok()) QuitAtOnce(stopped.error());
    }
    if (links_ != nullptr) links_->Shutdown();
    disks_.clear();
    metadata_disk_.reset();
    loops_.clear();
    controller_loop_.reset();
  }

  Result<void> Start() {
    auto started = StartParts();
    if (started.ok() || started.error().reason != Reason::kServerDraining) return started;
    // It was not told to stop, but stopped itself.
    const MutexLock lock(failure_mutex_);
    return early_failure_.has_value() ? Result<void>(*early_failure_) : started;
  }

  HostPort grpc() const override { return {settings_.listen_grpc.host, grpc_->port()}; }
  HostPort http() const override { return {settings_.listen_http.host, http_->port()}; }
  std::optional<HostPort> internal() const override {
    return links_ == nullptr ? std::nullopt : std::optional(links_->listens());
  }

  std::optional<Error> failure() const override {
    return settings_.HasOthers() ? controller_->failure() : std::nullopt;
  }

  void Stop(Duration timeout) override {
    status_.Set(NodeStatus::State::kStopping);
    grpc_->Drain();
    auto stopped = StopCore(timeout);
    grpc_->Shutdown(std::chrono::milliseconds(500));
    if (!stopped.ok()) QuitAtOnce(stopped.error());
  }

 private:
  Result<void> StartParts() {
    RETURN_IF_ERROR(CheckCodecs());
    SendGrpcLogToGlog();
    metrics_ = Metrics::Create();
    ExportProcess(*metrics_);
    files_ = NewPosixFileSystem(static_cast<int>(settings_.sync_threads));
    ASSIGN_OR_RETURN(lock_, LockDataDirectory(*files_, settings_));
    RETURN_IF_ERROR(StartHttp());
    StartLoops();
    RETURN_IF_ERROR(StartController());
    RETURN_IF_ERROR(OpenLogDirectories());
    RETURN_IF_ERROR(StartBroker());
    return StartGrpc();
  }

  // Thread: the controller loop.
  void OnEarlyFailure(const Error& error) {
    {
      const MutexLock lock(failure_mutex_);
      early_failure_ = error;
    }
    RequestStop();
  }

  Result<void> StartHttp() {
    HttpServer::Options options;
    options.host = settings_.listen_http.host;
    options.port = settings_.listen_http.port;
    options.handlers = StatusPages(status_, *metrics_);
    ASSIGN_OR_RETURN(http_, HttpServer::Start(std::move(options)));
    WarnIfOpen(http(), "HTTP", "read metrics and health");
    return {};
  }

  void StartLoops() {
    controller_loop_ = NewMeasuredLoop(*metrics_, "controller");
    for (int i = 0; i < EventLoopCount(settings_); ++i)
      loops_.push_back(NewMeasuredLoop(*metrics_, "loop-" + std::to_string(i)));
  }

  Result<void> StartController() {
    status_.Set(NodeStatus::State::kLoadingMetadata);
    ASSIGN_OR_RETURN(const auto known, ReadIdentity(*files_, settings_.data_dir));
    is_new_ = !known.has_value();
    ASSIGN_OR_RETURN(identity_, OpenIdentity(*files_, settings_, random_));
    metadata_files_ = std::make_unique<ReservedFiles>(*files_, MetadataReserve(settings_));
    const auto filled = metadata_files_->Fill();
    LOG_IF(WARNING, !filled.ok()) << "The metadata have no reserve: " << filled.error();
    metadata_disk_ = NewThreadDisk(*metadata_files_,
                                   {.name = "meta", .read_threads = 1, .background_threads = 1});
    Controller::Options options;
    options.loop = controller_loop_.get();
    options.disk = metadata_disk_.get();
    options.data_dir = settings_.data_dir;
    options.behavior.node_id = settings_.node_id;
    options.behavior.message_bytes_limit = settings_.message_bytes_limit;
    options.behavior.static_configs = settings_.configs;
    options.snapshot_record_bytes = settings_.quorum_snapshot_bytes;
    options.behavior.hash_interval = settings_.quorum_hash_interval;
    options.segment_bytes = static_cast<int64_t>(settings_.quorum_segment_bytes);
    options.behavior.broker_sessions.timeout = settings_.broker_session_timeout;
    options.behavior.broker_sessions.heartbeat_interval = settings_.broker_heartbeat;
    options.random = random_.Fork();
    options.metrics = metrics_.get();
    if (settings_.IsCluster()) {
      ASSIGN_OR_RETURN(links_, QuorumLinks::Start(*controller_loop_, settings_, identity_,
                                                  incarnation_, *metrics_));
      internal_guard_ = ConnectionGuard::Start(*controller_loop_,
                                               GuardOptions(links_->listens().port), *metrics_);
      options.raft = QuorumOptions(settings_);
      options.transport = &links_->transport();
      options.snapshots = &links_->snapshots();
      if (settings_.HasOthers())
        options.on_failure = [this](const Error& error) { OnEarlyFailure(error); };
      LOG(INFO) << "Waiting for the controllers: for all of them the first time, later for a "
                   "majority; they connect to "
                << links_->listens().ToString();
    }
    ASSIGN_OR_RETURN(controller_, Controller::OpenAndWait(std::move(options), is_stopping_));
    operations_ = controller_.get();
    QuorumRouter::Options quorum;
    quorum.loop = controller_loop_.get();
    quorum.controller = controller_.get();
    quorum.remote = links_ == nullptr ? nullptr : &links_->quorum();
    quorum.node_id = settings_.node_id;
    quorum.cluster = identity_.cluster_id;
    quorum_ = std::make_unique<QuorumRouter>(quorum);
    if (links_ == nullptr) return {};
    links_->Serve(*controller_);
    OperationRouter::Options router;
    router.loop = controller_loop_.get();
    router.controller = controller_.get();
    router.remote = &links_->controllers();
    router.node_id = settings_.node_id;
    router.cluster = identity_.cluster_id;
    router.metrics = metrics_.get();
    router_ = std::make_unique<OperationRouter>(std::move(router));
    operations_ = router_.get();
    return {};
  }

  // One that its disk keeps from being opened is left out, and what lies in it is offline.
  Result<void> OpenLogDirectories() {
    const auto paths = settings_.LogDirs();
    for (size_t i = 0; i < paths.size(); ++i) {
      disks_.push_back(NewThreadDisk(
          *files_, {.name = "disk" + std::to_string(i),
                    .read_threads = static_cast<int>(settings_.disk_read_threads),
                    .background_threads = static_cast<int>(settings_.disk_background_threads)}));
      auto opened = OpenLogDirectory(paths[i]);
      if (opened.ok()) {
        directories_.push_back(*std::move(opened));
        continue;
      }
      Error error = std::move(opened).error();
      if (!LogDirectory::IsDiskFailure(error)) return error;
      failed_directories_.push_back(
          {paths[i], LogDirectory::IdOf(*files_, paths[i]), std::move(error)});
    }
    if (!directories_.empty() || paths.empty()) return {};
    return Error(Reason::kStorageError, "none of the log directories can be used: " +
                                            failed_directories_.front().error.message);
  }

  Result<std::unique_ptr<LogDirectory>> OpenLogDirectory(const std::string& path) {
    ASSIGN_OR_RETURN(auto options, LogDirectoryOptions(*files_, settings_, identity_, path));
    CountStorage(*metrics_, options);
    const bool was_empty = LogDirectory::IdOf(*files_, path).IsZero();
    auto opened = LogDirectory::Open(*disks_.back(), *controller_loop_, options);
    LOG_IF(WARNING, opened.ok() && was_empty && !is_new_)
        << "Log directory " << path
        << " was empty: it was made anew. What was in it, if anything, is offline until its disk "
           "is back.";
    return opened;
  }

  Result<void> StartBroker() {
    Broker::Options options;
    options.node_id = settings_.node_id;
    for (const auto& loop : loops_) options.loops.push_back(loop.get());
    for (const auto& directory : directories_) options.directories.push_back(directory.get());
    options.failed_directories = failed_directories_;
    options.controller = operations_;
    options.static_configs = settings_.configs;
    options.produce_memory_bytes = settings_.produce_memory_bytes;
    options.fetch_memory_bytes = settings_.fetch_memory_bytes;
    options.message_bytes_limit = settings_.message_bytes_limit;
    options.producer_id_expiration_ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(settings_.producer_id_expiration)
            .count();
    options.producer_ids_max = static_cast<size_t>(settings_.producer_ids_max);
    options.producer_state_bytes = settings_.producer_state_bytes;
    options.retention_check_interval = settings_.retention_check_interval;
    options.opening_max = static_cast<int>(settings_.recovery_parallelism);
    options.counted_topics_max =
        settings_.topic_metrics ? static_cast<size_t>(settings_.topic_metrics_max) : 0;
    CountTraffic(*metrics_, options);
    broker_ = std::make_unique<Broker>(std::move(options));
    return {};
  }

  // The ports must be known before the broker registers, and the broker be registered before
  // anybody calls.
  Result<void> StartGrpc() {
    GrpcServer::Options options;
    options.host = settings_.listen_grpc.host;
    options.port = settings_.listen_grpc.port;
    options.files_max = ConnectionGuard::AcceptedFilesMaxOf(OpenFileLimit());
    options.memory_bytes_max = settings_.grpc_memory_bytes;
    // Streams wait before the broker would refuse; the rest is for single calls.
    options.produce_bytes_max = settings_.produce_memory_bytes / 2;
    options.metrics = metrics_.get();
    options.quorum = quorum_.get();
    ASSIGN_OR_RETURN(grpc_, GrpcServer::Start(*broker_, std::move(options)));
    WarnIfOpen(grpc(), "The gRPC API", "read and write everything");
    if (settings_.roles.broker) RETURN_IF_ERROR(Register());
    FollowMetadata();
    FollowDirectories();
    status_.SetPartitions(&broker_->recovery(), [this] { return broker_->CountOffline(); });
    status_.Set(NodeStatus::State::kRecovering);
    ExportNode(*metrics_, *broker_, *controller_, directories_, failed_directories_);
    ExportBrokers(*metrics_, *broker_, session_.get());
    broker_->Start([this] { status_.Set(NodeStatus::State::kReady); });
    guard_ = ConnectionGuard::Start(*controller_loop_, GuardOptions(grpc_->port()), *metrics_);
    grpc_->Serve();
    return {};
  }

  Result<void> Register() {
    BrokerImage image;
    image.id = settings_.node_id;
    image.incarnation = incarnation_.bytes;
    image.rack = settings_.rack;
    image.version = std::string(GetBuildInfo().version);
    image.listeners["grpc"] = Advertised(settings_.advertise_grpc, grpc());
    image.listeners["http"] = Advertised(settings_.advertise_http, http());
    if (links_ != nullptr)
      image.listeners["internal"] = Advertised(settings_.advertise_internal, links_->listens());
    for (const auto& directory : directories_) image.directories.push_back(directory->id());
    ControllerSession::Options session;
    session.loop = controller_loop_.get();
    session.controller = operations_;
    session.image = [this] { return controller_->image(); };
    session.broker = std::move(image);
    session.stopped_cleanly =
        failed_directories_.empty() &&
        std::all_of(directories_.begin(), directories_.end(),
                    [](const auto& directory) { return directory->was_clean(); });
    session.heartbeat_interval = settings_.broker_heartbeat;
    session.session_timeout = settings_.broker_session_timeout;
    session.on_replaced = [](const Error&) { RequestStop(); };
    session_ = std::make_unique<ControllerSession>(std::move(session));
    const auto registered = WaitUnless<Result<BrokerEpoch>>(
        is_stopping_, [&](auto done) { session_->Start(std::move(done)); });
    if (!registered.has_value())
      return Error(Reason::kServerDraining, "stopped while it waited for its registration");
    if (!registered->ok()) return registered->error();
    return {};
  }

  // New partitions are not placed where nothing can be written.
  void FollowDirectories() {
    for (const auto& directory : directories_) {
      directory->OnFailure(*controller_loop_, [this, id = directory->id()](const Error&) {
        session_->RemoveDirectory(id);
      });
    }
  }

  // Returns when the broker has its first image.
  void FollowMetadata() {
    watch_ = controller_->Watch([this](const MetadataDelta& delta) { broker_->OnMetadata(delta); });
    WaitFor<bool>([&](auto done) {
      controller_loop_->Post("node.watched", [done = std::move(done)]() mutable { done(true); });
    });
  }

  // Broker, directories, controller; each only if it was started.
  Result<void> StopCore(Duration timeout) {
    stopped_ = true;
    Result<void> result;
    const auto fail = [&](Error error) {
      if (result.ok()) result = std::move(error);
    };
    const Deadline deadline(timeout);
    const auto step = [&](auto start) {
      return deadline.WaitFor<bool>(
          [&](auto done) { start(Task([done = std::move(done)]() mutable { done(true); })); });
    };
    // Others take over first.
    if (session_ != nullptr) {
      step([&](Task done) { session_->PrepareStop(timeout / 2, std::move(done)); });
      step([&](Task done) { session_->Close(std::move(done)); });
    }
    bool logs_closed = broker_ == nullptr;
    if (broker_ != nullptr) {
      const auto failures =
          deadline.WaitFor<int64_t>([&](auto done) { broker_->Close(std::move(done)); });
      logs_closed = failures.has_value() && *failures == 0;
      if (!logs_closed)
        fail(Error(Reason::kStorageError,
                   "not all logs could be closed in time; the next start recovers them"));
    }
    watch_.reset();
    if (links_ != nullptr) links_->StopServing();
    if (router_ != nullptr && !step([&](Task done) { router_->Close(std::move(done)); }))
      fail(Error(Reason::kStorageError, "operations on their way did not end in time"));
    if (quorum_ != nullptr && !step([&](Task done) { quorum_->Close(std::move(done)); }))
      fail(Error(Reason::kStorageError, "changes of the quorum did not end in time"));
    if (controller_ != nullptr) {
      const auto closed =
          deadline.WaitFor<Result<void>>([&](auto done) { controller_->Close(std::move(done)); });
      if (!closed.has_value())
        fail(Error(Reason::kStorageError, "the metadata log could not be closed in time"));
      // What a log of the metadata that failed before could not write, others have.
      if (closed.has_value() && !closed->ok() && !failure().has_value()) fail(closed->error());
    }
    for (const auto& directory : directories_) {
      if (!logs_closed) break;
      const auto closed = deadline.WaitFor<Result<void>>([&](auto done) {
        directory->disk().Submit(Lane::kSync, "node.close_directory",
                                 [directory = directory.get(), done = std::move(done)]() mutable {
                                   done(directory->CloseCleanly());
                                 });
      });
      if (!closed.has_value())
        fail(Error(Reason::kStorageError,
                   "log directory " + directory->options().path + " could not be closed in time"));
      if (!closed.has_value() || closed->ok()) continue;
      // The next start recovers what the marks do not say.
      const bool is_full = IsShortage(closed->error());
      LOG_IF(WARNING, is_full) << "Stopped on a full disk: " << closed->error();
      if (!is_full) fail(closed->error());
    }
    return result;
  }

  const Settings settings_;
  const std::function<bool()> is_stopping_;
  Random random_;
  const DirectoryId incarnation_;  // of this process
  NodeIdentity identity_;
  bool is_new_ = false;  // formatted by this process
  NodeStatus status_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<FileSystem> files_;
  std::unique_ptr<DirectoryLock> lock_;  // of data_dir
  std::unique_ptr<ReservedFiles> metadata_files_;
  std::unique_ptr<Disk> metadata_disk_;
  std::vector<std::unique_ptr<Disk>> disks_;
  std::unique_ptr<EventLoop> controller_loop_;
  std::vector<std::unique_ptr<EventLoop>> loops_;
  std::unique_ptr<QuorumLinks> links_;  // in a cluster
  std::unique_ptr<Controller> controller_;
  std::unique_ptr<OperationRouter> router_;  // in a cluster
  std::unique_ptr<QuorumRouter> quorum_;
  ControllerApi* operations_ = nullptr;  // of the router, or of the controller
  std::vector<std::unique_ptr<LogDirectory>> directories_;
  std::vector<LogDirs::Failed> failed_directories_;
  std::unique_ptr<ControllerSession> session_;
  std::unique_ptr<Broker> broker_;
  std::shared_ptr<void> watch_;
  std::unique_ptr<HttpServer> http_;
  std::unique_ptr<GrpcServer> grpc_;
  std::shared_ptr<void> guard_;           // of the gRPC API
  std::shared_ptr<void> internal_guard_;  // of the internal listener
  bool stopped_ = false;
  Mutex failure_mutex_;
  // Of the metadata, before the node was open.
  std::optional<Error> early_failure_ TS_GUARDED_BY(failure_mutex_);
};

}  // namespace

Result<std::unique_ptr<Node>> Node::Start(Settings settings, std::function<bool()> is_stopping) {
  auto node = std::make_unique<RunningNode>(std::move(settings), std::move(is_stopping));
  RETURN_IF_ERROR(node->Start());
  return std::unique_ptr<Node>(std::move(node));
}

}  // namespace gregor
