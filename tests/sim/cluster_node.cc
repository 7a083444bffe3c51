#include "tests/sim/cluster_node.h"

#include <utility>

#include "base/check.h"
#include "controller/format.h"

namespace gregor {
namespace {

constexpr char kDataDir[] = "/node";

Error NotReached(const char* outcome) {
  return Error(Reason::kNotController, "the connection was lost").With("outcome", outcome);
}

}  // namespace

ClusterNode::ClusterNode(Scheduler& scheduler, SimNetwork& network, Options options, uint64_t seed)
    : scheduler_(scheduler), network_(network), options_(std::move(options)), random_(seed) {
  files_ = std::make_unique<SimFileSystem>(seed, &scheduler.trace());
  Format();
}

void ClusterNode::Format() {
  log_directory_ = random_.NewUuid<DirectoryId>();
  FormatOptions format;
  format.node_id = id();
  format.cluster_id = options_.cluster;
  format.request_id_key = options_.request_id_key;
  const auto formatted = FormatDirectory(*files_, kDataDir, format, random_);
  CHECK(formatted.ok()) << formatted.error();
  directory_ = formatted->directory_id;
}

void ClusterNode::Wipe() {
  CHECK(process_ == nullptr);
  files_ = std::make_unique<SimFileSystem>(random_.Next(), &scheduler_.trace());
  Format();
}

std::vector<VoterKey> ClusterNode::CommittedVoters() {
  std::vector<VoterKey> voters;
  process_->loop.Run([&] {
    const QuorumStatus quorum = process_->controller->quorum();
    if (quorum.commit < quorum.end) return;
    for (const QuorumMember& voter : quorum.voters) voters.push_back(voter.key);
  });
  return voters;
}

void ClusterNode::AddVoter(NodeId node) {
  process_->loop.Run([&] {
    process_->controller->AddVoter({{node, DirectoryId{}}, {{"internal", "node", 9093}}},
                                   [](const Result<void>&) {});
  });
}

void ClusterNode::RemoveVoter(const VoterKey& voter) {
  process_->loop.Run([&] { process_->controller->RemoveVoter(voter, [](const Result<void>&) {}); });
}

void ClusterNode::Start() {
  CHECK(process_ == nullptr);
  ++life_;
  is_paused_ = false;
  process_ = std::make_unique<Process>(scheduler_, *files_, "node-" + std::to_string(id().value));
  process_->transport = network_.Attach(id(), process_->loop);
  Controller::Options controller;
  controller.loop = &process_->loop;
  controller.disk = &process_->disk;
  controller.data_dir = kDataDir;
  controller.behavior = options_.behavior;
  controller.behavior.node_id = id();
  controller.raft = options_.raft;
  controller.transport = process_->transport.get();
  controller.snapshots = this;
  controller.random = random_.Fork();
  controller.persistent_image = false;
  controller.snapshot_record_bytes = options_.snapshot_record_bytes;
  controller.segment_bytes = options_.segment_bytes;
  Controller::Open(std::move(controller), [this](auto opened) { OnOpened(std::move(opened)); });
}

void ClusterNode::OnOpened(Result<std::unique_ptr<Controller>> opened) {
  if (!opened.ok()) {
    process_->failure = opened.error();
    return;
  }
  Process& process = *process_;
  process.controller = *std::move(opened);
  process.watch = process.controller->Watch([this](const MetadataDelta& delta) {
    options_.on_image(delta, process_->controller->quorum().commit);
  });
  process.server = std::make_unique<OperationServer>(*process.controller, options_.cluster);
  OperationRouter::Options router;
  router.loop = &process.loop;
  router.controller = process.controller.get();
  router.remote = this;
  router.node_id = id();
  router.cluster = options_.cluster;
  router.metrics = process.metrics.get();
  process.router = std::make_unique<OperationRouter>(std::move(router));
  ControllerSession::Options session;
  session.loop = &process.loop;
  session.controller = process.router.get();
  session.image = [controller = process.controller.get()] { return controller->image(); };
  session.broker = Broker();
  session.heartbeat_interval = options_.behavior.broker_sessions.heartbeat_interval;
  session.session_timeout = options_.behavior.broker_sessions.timeout;
  session.on_replaced = [this](const Error& error) { process_->failure = error; };
  process.session = std::make_unique<ControllerSession>(std::move(session));
  process.session->Start([this](Result<BrokerEpoch> registered) {
    if (registered.ok()) {
      process_->is_registered = true;
    } else {
      process_->failure = registered.error();
    }
  });
}

BrokerImage ClusterNode::Broker() {
  BrokerImage broker;
  broker.id = id();
  broker.incarnation = random_.NewUuid<DirectoryId>().bytes;
  broker.directories = {log_directory_};
  broker.listeners["grpc"] = {"node-" + std::to_string(id().value), 9094};
  return broker;
}

void ClusterNode::Stop(StopKind stop) {
  if (process_ == nullptr) return;
  process_->disk.Kill();
  process_->loop.Kill();
  process_->session.reset();
  process_->router.reset();
  process_->server.reset();
  process_->watch.reset();
  process_->controller.reset();
  process_->transport.reset();
  process_.reset();
  if (stop == StopKind::kPowerLoss) {
    files_->LosePower();
  } else {
    files_->KillProcess();
  }
}

void ClusterNode::Pause() {
  is_paused_ = true;
  process_->loop.Pause();
}

void ClusterNode::Resume() {
  is_paused_ = false;
  process_->loop.Resume();
}

std::optional<Error> ClusterNode::failure() const {
  if (process_ == nullptr) return std::nullopt;
  if (process_->failure.has_value()) return process_->failure;
  return process_->controller == nullptr ? std::nullopt : process_->controller->failure();
}

Duration ClusterNode::Delay() {
  const NetworkFaults& faults = network_.faults();
  return Duration(random_.Between(faults.delay_min.count(), faults.delay_max.count()));
}

void ClusterNode::Fetch(NodeId from, Offset end_min, Fetched fetched) {
  ClusterNode& peer = options_.peer(from);
  const bool is_cut = network_.IsCut(id(), from) || network_.IsCut(from, id());
  if (!peer.is_running() || is_cut)
    return fetched(Error(Reason::kLeaderNotAvailable, "it is not there"));
  const auto call = std::make_shared<Fetched>(std::move(fetched));
  const auto answer = [this, call, life = life_](Result<TravellingSnapshot> snapshot) {
    if (!Lives(life) || !*call) return;
    process_->loop.Post("snapshot.fetched", [fetched = std::exchange(*call, Fetched()),
                                             snapshot = std::move(snapshot)]() mutable {
      fetched(std::move(snapshot));
    });
  };
  scheduler_.After(std::chrono::seconds(5), "snapshot.timeout", [answer] {
    answer(Error(Reason::kLeaderNotAvailable, "it did not come in time"));
  });
  peer.process_->loop.Post("snapshot.read", [this, &peer, end_min, answer] {
    if (!peer.process_->reader) return;
    ReadWhole(peer.process_->reader, end_min,
              [this, answer](Result<TravellingSnapshot> snapshot) mutable {
                scheduler_.After(Delay(), "snapshot.arrives",
                                 [answer, snapshot = std::move(snapshot)]() mutable {
                                   answer(std::move(snapshot));
                                 });
              });
  });
}

void ClusterNode::Serve(const pb::OperationRequest& request,
                        std::function<void(Result<pb::OperationResponse>)> answer) {
  if (process_ == nullptr) return answer(NotReached("UNKNOWN"));
  if (process_->server == nullptr) return answer(OperationServer::NotServing());
  process_->server->Execute(
      request, [answer](pb::OperationResponse response) { answer(std::move(response)); });
}

// Requests and answers are lost where the wire is cut, and with their sender's process; a wire that
// is cut already is mostly noticed.
void ClusterNode::Execute(NodeId node, const pb::OperationRequest& request, Duration timeout,
                          Done done) {
  const auto call = std::make_shared<Done>(std::move(done));
  const auto answer = [this, call, life = life_](Result<pb::OperationResponse> response) {
    if (!Lives(life) || !*call) return;
    std::exchange(*call, Done())(std::move(response));
  };
  const bool is_cut = network_.IsCut(id(), node) || network_.IsCut(node, id());
  ClusterNode& peer = options_.peer(node);
  if (!peer.is_running() || (is_cut && random_.Chance(0.7))) {
    scheduler_.After(Delay(), "rpc.refused", [answer] { answer(NotReached("NOT_APPLIED")); });
    return;
  }
  scheduler_.After(timeout, "rpc.timeout", [answer] {
    answer(Error(Reason::kCommitTimedOut, "no answer in time").With("outcome", "UNKNOWN"));
  });
  pb::OperationRequest sent = request;
  sent.set_timeout_ms(std::max<int64_t>(1, timeout / std::chrono::milliseconds(1)));
  scheduler_.After(Delay(), "rpc.request", [this, node, &peer, answer, sent = std::move(sent)] {
    if (network_.IsCut(id(), node)) return;
    peer.Serve(sent, [this, node, answer](Result<pb::OperationResponse> response) {
      scheduler_.After(Delay(), "rpc.answer",
                       [this, node, answer, response = std::move(response)]() mutable {
                         if (!network_.IsCut(node, id())) answer(std::move(response));
                       });
    });
  });
}

}  // namespace gregor
