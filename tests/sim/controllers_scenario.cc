#include "tests/sim/controllers_scenario.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "controller/broker_sessions.h"
#include "controller/format.h"
#include "controller/image/image_store.h"
#include "controller/image/rows.h"
#include "controller/image/snapshot.h"
#include "raft/core/mutant.h"
#include "raft/host/log_inspection.h"
#include "raft/host/raft_log.h"
#include "tests/sim/mutants.h"
#include "tests/sim/security_client.h"
#include "tests/sim/sim_damage.h"
#include "tests/sim/snapshot_cut.h"
#include "tests/sim/swarm.h"

namespace gregor {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kDataDir[] = "/node";
constexpr int32_t kNodes = 3;
constexpr NodeId kNobody{77};
constexpr Duration kSettleLimit = std::chrono::minutes(2);
}  // namespace

// One node: its disk, and its process, which starts and ends any number of times.
class ControllersScenario::Node final : public SnapshotSource {
 public:
  Node(ControllersScenario& all, NodeId id) : all_(all), id_(id) { Format(all.random_); }

  // Gives it an empty disk. REQUIRES: stopped.
  void Format(Random& random) {
    files_ = std::make_unique<SimFileSystem>(random.Next(), &all_.scheduler_.trace());
    mutant_files_ = std::make_unique<MutantFileSystem>(*files_, all_.run_.mutant);
    FormatOptions format{.node_id = id_, .cluster_id = all_.cluster_, .request_id_key = {}};
    format.request_id_key.fill(1);  // zeros would be exchanged for something random
    const auto formatted = FormatDirectory(*files_, kDataDir, format, random);
    CHECK(formatted.ok()) << formatted.error();
    EmptyStore();
  }

  NodeId id() const { return id_; }
  bool is_running() const { return process_ != nullptr; }
  bool is_open() const { return is_running() && process_->controller != nullptr; }
  bool is_paused() const { return is_paused_; }
  bool leads() const { return is_open() && controller().leader().leader == id_; }
  Controller& controller() const { return *process_->controller; }
  SimDisk& disk() { return process_->disk; }
  SimFileSystem& files() { return *files_; }
  // Why it does not open.
  const std::optional<Error>& failure() const { return failure_; }

  void Start();
  void Stop(StopKind stop);
  void Pause() {
    is_paused_ = true;
    process_->loop.Pause();
  }
  void Resume() {
    if (std::exchange(is_paused_, false)) process_->loop.Resume();
  }
  void Fetch(NodeId from, Offset end_min, Fetched fetched) override;
  void SetReader(Reader reader) override { process_->reader = std::move(reader); }
  // Gives its snapshots another state, and that one's hash; its store is lost. False: it has none.
  // REQUIRES: stopped.
  bool AlterSnapshots();
  // Up to where its store would be loaded; nullopt: there is none, or what came with a snapshot
  // from another node in this life may be behind it.
  std::optional<Offset> Stored() const {
    if (!store_->has_position || has_fetched_) return std::nullopt;
    return store_->position.version;
  }

 private:
  // In some runs, so that the others stay what they were: two nodes in three have a store, and one
  // of these has only as long as its process lives what need not be durable.
  void EmptyStore() {
    *store_ = MemoryRows();
    store_->keeps_all = id_.value % 3 == 1;
  }
  bool HasStore() const { return all_.run_.seed % 4 == 2 && id_.value % 3 != 0; }

  struct Process {
    Process(Scheduler& scheduler, FileSystem& files)
        : loop(scheduler, "controller"), disk(scheduler, files) {}
    SimLoop loop;
    SimDisk disk;
    std::unique_ptr<RaftTransport> transport;
    Reader reader;
    std::unique_ptr<Controller> controller;
    std::shared_ptr<void> watch;
  };

  ControllersScenario& all_;
  const NodeId id_;
  std::unique_ptr<SimFileSystem> files_;
  std::unique_ptr<MutantFileSystem> mutant_files_;
  const std::shared_ptr<MemoryRows> store_ = std::make_shared<MemoryRows>();
  std::optional<Error> failure_;
  bool is_paused_ = false;
  int life_ = 0;              // counts starts
  bool has_fetched_ = false;  // a snapshot, in this life
  std::unique_ptr<Process> process_;
};

void ControllersScenario::Node::Start() {
  ++life_;
  has_fetched_ = false;
  failure_.reset();
  process_ = std::make_unique<Process>(all_.scheduler_, *mutant_files_);
  process_->transport = all_.network_.Attach(id_, process_->loop);
  Controller::Options options;
  options.loop = &process_->loop;
  options.disk = &process_->disk;
  options.data_dir = kDataDir;
  options.behavior.node_id = id_;
  for (int32_t i = 1; i <= kNodes; ++i)
    options.raft.configured.push_back({{NodeId{i}, DirectoryId{}}, {}});
  options.transport = process_->transport.get();
  options.snapshots = this;
  options.random = all_.random_.Fork();
  options.persistent_image = false;
  if (HasStore()) options.image_store = NewMemoryStore(store_);
  options.behavior.transaction_batch_bytes = all_.transaction_batch_bytes_;
  options.raft.append_bytes_max = 2 * all_.transaction_batch_bytes_;
  options.behavior.hash_interval = all_.hash_interval_;
  options.snapshot_record_bytes = all_.snapshot_record_bytes_;
  options.segment_bytes = all_.segment_bytes_;
  Controller::Open(std::move(options), [this](Result<std::unique_ptr<Controller>> opened) {
    if (!opened.ok()) {
      failure_ = opened.error();
      LOG(WARNING) << "Node " << id_ << " did not open: " << *failure_;
      return;
    }
    process_->controller = *std::move(opened);
    process_->watch = controller().Watch([this](const MetadataDelta& delta) {
      all_.checker_.OnImage(id_, *delta.after);
      // Who follows may see in one image what several have led to.
      const bool is_of_one_term =
          delta.before != nullptr && delta.before->last_term == delta.after->last_term;
      if (leads() || is_of_one_term) all_.checker_.OnChange(delta, all_.scheduler_.clock().Now());
    });
  });
}

void ControllersScenario::Node::Stop(StopKind stop) {
  is_paused_ = false;
  if (process_ != nullptr) {
    process_->disk.Kill();
    process_->loop.Kill();
    process_->watch.reset();
    process_->controller.reset();
    process_->transport.reset();
    process_.reset();
  }
  if (stop == StopKind::kPowerLoss) {
    files_->LosePower();
  } else {
    files_->KillProcess();
  }
  all_.CheckDisk(*this);
}

bool ControllersScenario::Node::AlterSnapshots() {
  const std::string folder = JoinPath(MetadataPath(kDataDir), "snapshots");
  const auto snapshots = ListSnapshots(*files_, folder);
  CHECK(snapshots.ok()) << snapshots.error();
  for (const SnapshotFile& file : *snapshots) {
    const std::string path = JoinPath(folder, file.name);
    const auto image = ReadSnapshot(*files_, path);
    if (!image.ok()) continue;  // damaged, and nobody has looked since
    MetadataImage altered = **image;
    const ConfigMap configs{{MetadataChecker::kSetting, "1"}};
    altered.broker_configs.Set(kNobody, std::make_shared<const ConfigMap>(configs));
    altered.state_hash = StateHashOf(altered);
    const auto written = WriteSnapshot(*files_, path, altered);
    CHECK(written.ok()) << written.error();
  }
  EmptyStore();  // which would have the right one
  return !snapshots->empty();
}

void ControllersScenario::Node::Fetch(NodeId from, Offset end_min, Fetched fetched) {
  Node& other = *all_.nodes_[static_cast<size_t>(from.value - 1)];
  if (!other.is_running() || all_.random_.Chance(0.2))
    return fetched(Error(Reason::kLeaderNotAvailable, "it is not there"));
  ++all_.report_.counts["snapshots fetched"];
  // Whoever is asked may end before it has answered.
  const auto waiting = std::make_shared<Fetched>(std::move(fetched));
  const auto answer = [waiting](Result<TravellingSnapshot> snapshot) {
    if (*waiting) std::exchange(*waiting, {})(std::move(snapshot));
  };
  process_->loop.After(seconds(2), "fetch.timeout", [answer] {
    answer(Error(Reason::kLeaderNotAvailable, "it does not answer"));
  });
  other.process_->loop.Post("fetch.read", [this, &other, end_min, answer, life = life_] {
    if (!other.is_running() || !other.process_->reader) return;
    ReadWhole(other.process_->reader, end_min,
              [this, answer, life](Result<TravellingSnapshot> snapshot) {
                if (!is_running() || life != life_) return;
                if (snapshot.ok()) all_.Cut(id_, *snapshot);
                has_fetched_ |= snapshot.ok();
                process_->loop.Post("fetched", [answer, snapshot = std::move(snapshot)]() mutable {
                  answer(std::move(snapshot));
                });
              });
  });
}

void ControllersScenario::Cut(NodeId receiver, TravellingSnapshot& snapshot) {
  if (!random_.Chance(cuts_)) return;
  checker_.OnCut(receiver);
  ++report_.counts["snapshots cut"];
  snapshot.bytes =
      WithoutRows(snapshot.bytes, static_cast<size_t>(random_.Between(1, 3)), raft::IsMutant(17));
}

// A snapshot that has its name is whole, whatever ended the process that wrote it.
void ControllersScenario::CheckDisk(Node& node) {
  if (hurt_.count(node.id()) != 0 || checker_.IsAltered(node.id())) return;
  const std::string folder = MetadataPath(kDataDir);
  const auto snapshots = ListSnapshots(node.files(), JoinPath(folder, "snapshots"));
  const auto segments =
      ListSegments(node.files(), JoinPath(MetadataLogPath(folder), MetadataLogId().ToString()));
  CHECK(snapshots.ok() && segments.ok());
  for (const SnapshotFile& file : *snapshots) {
    const auto image = ReadSnapshot(node.files(), JoinPath(folder, "snapshots/" + file.name));
    if (!image.ok())
      return verdict_.Fail("S4: node ", node.id(),
                           " keeps what is no whole snapshot: ", image.error());
    checker_.OnSnapshot(node.id(), **image);
  }
  const Offset start = segments->empty() ? Offset{0} : segments->front().name.base;
  const Offset end = snapshots->empty() ? Offset{0} : snapshots->back().end_offset;
  if (start > end)
    verdict_.Fail("S5: the log of node ", node.id(), " begins at ", start,
                  ", and its newest snapshot ends at ", end);
  if (const auto stored = node.Stored(); stored.has_value() && start > *stored)
    verdict_.Fail("S5: the log of node ", node.id(), " begins at ", start,
                  ", and its store has what comes before ", *stored);
}

ControllersScenario::ControllersScenario(const SimRun& run)
    : run_(run),
      scheduler_(run.seed),
      checker_(verdict_),
      random_(scheduler_.random().Fork()),
      disk_random_(~run.seed),
      network_(scheduler_),
      cluster_(random_.NewUuid<ClusterId>()) {
  scheduler_.trace().Keep(run.trace_kept);
  fault_weights_ = {3, 4, 2, 1, 4, 3, 2, 4};
  CHECK_EQ(fault_weights_.size(), size_t{kHeal} + 1);
  for (size_t fault = 0; fault < kHeal; ++fault) {
    if (random_.Chance(0.4)) fault_weights_[fault] = 0;
  }
  duration_ = seconds(random_.Between(5, 25));
  operation_interval_ = microseconds(LogUniform(random_, 5'000, 200'000));
  fault_interval_ = milliseconds(LogUniform(random_, 300, 6'000));
  snapshot_record_bytes_ = static_cast<size_t>(LogUniform(random_, 300, 20'000));
  segment_bytes_ = LogUniform(random_, 1000, 20'000);
  if (random_.Chance(0.4)) cuts_ = 0.5;
  // Nearly every operation is a transaction, or those that write much.
  transaction_batch_bytes_ = static_cast<size_t>(LogUniform(random_, 300, 1000));
  hash_interval_ = milliseconds(LogUniform(random_, 100, 10'000));
  NetworkFaults& network = network_.faults();
  if (random_.Chance(0.4)) network.loss = random_.Fraction() * 0.1;
  if (random_.Chance(0.4)) network.duplicate = random_.Fraction() * 0.2;
  network.delay_max = microseconds(LogUniform(random_, 200, 20'000));
  for (size_t fault = 0; fault < fault_weights_.size(); ++fault) {
    if (run.LeavesOut(fault)) fault_weights_[fault] = 0;
  }
  if (run.LeavesOut(kHeal + 1)) network.loss = 0;
  if (run.LeavesOut(kHeal + 2)) network.duplicate = 0;
  if (run.LeavesOut(kHeal + 3)) cuts_ = 0;
  damages_ = run.seed % 5 == 1 || run.seed % 5 == 3;
  fills_ = run.seed % 5 == 3 || run.seed % 5 == 4;
  damages_ &= !run.LeavesOut(kHeal + 4);
  fills_ &= !run.LeavesOut(kHeal + 5);
  for (int32_t id = 1; id <= kNodes; ++id)
    nodes_.push_back(std::make_unique<Node>(*this, NodeId{id}));
}

ControllersScenario::~ControllersScenario() {
  for (auto& node : nodes_) node->Stop(StopKind::kKill);
}

SimReport ControllersScenario::Run() {
  for (auto& node : nodes_) node->Start();
  ScheduleOperation();
  ScheduleFault();
  if (damages_ || fills_) ScheduleDiskFault();
  const MonotonicTime end = scheduler_.clock().Now() + run_.ChaosOf(duration_);
  while (!verdict_.failed() && scheduler_.clock().Now() < end && scheduler_.Step()) AfterEvent();
  chaos_ = false;
  if (!verdict_.failed()) CheckLiveness();
  if (!verdict_.failed()) CheckHealing();
  for (auto& node : nodes_) node->Stop(StopKind::kKill);  // which looks at their disks
  report_.failure = verdict_.what();
  report_.trace_hash = scheduler_.trace().hash();
  report_.event_count = scheduler_.trace().event_count();
  report_.trace = scheduler_.trace().kept();
  report_.counts["versions"] = checker_.version_count();
  report_.counts["simulated seconds"] =
      static_cast<uint64_t>((scheduler_.clock().Now() - MonotonicTime()) / seconds(1));
  return std::move(report_);
}

void ControllersScenario::AfterEvent() {
  for (auto& node : nodes_) {
    const auto failed = node->is_open() ? node->controller().failure() : node->failure();
    if (failed.has_value()) {
      const uint64_t full = node->files().counts().full;
      const bool is_full = full > std::exchange(known_full_[node->id()], full);
      if (!is_full && damaged_ != node.get())
        return verdict_.Fail("L1: node ", node->id(), " fails, and nothing is wrong: ", *failed);
      node->Stop(StopKind::kKill);
      // What others have trimmed, too, comes back to nobody: an administrator begins anew, once.
      if (damaged_ == node.get() && failed->message.find("replace this") != std::string::npos) {
        node->Format(disk_random_);
        hurt_.erase(node->id());
        known_full_[node->id()] = 0;
        damages_ = false;
        ++report_.counts["damaged nodes replaced"];
      }
      node->Start();
    }
    if (!node->is_open()) continue;
    if (damaged_ == node.get()) damaged_ = nullptr;
    if (node->leads()) checker_.OnLeads(node->controller().leader().term, scheduler_.clock().Now());
  }
}

ControllersScenario::Node* ControllersScenario::Leader() {
  Node* leader = nullptr;
  for (auto& node : nodes_) {
    if (node->leads() && (leader == nullptr ||
                          node->controller().leader().term > leader->controller().leader().term))
      leader = node.get();
  }
  return leader;
}

void ControllersScenario::ScheduleOperation() {
  scheduler_.After(About(random_, operation_interval_), "client", [this] {
    // Whoever takes itself for the leader may be asked.
    for (auto& node : nodes_) {
      if (node->leads() && !node->is_paused()) Ask(*node);
    }
    ScheduleOperation();
  });
}

void ControllersScenario::Ask(Node& node) {
  Controller& controller = node.controller();
  const uint64_t choice = random_.Below(11);
  if (choice == 10) {
    ChangeSecurity(controller, random_, [this] { ++report_.counts["security changes"]; });
  } else if (choice == 0) {
    controller.Run(AllocateProducerIds{10}, [this](Result<ProducerIdBlock> block) {
      if (block.ok()) checker_.OnProducerIds(*block);
    });
  } else if (choice == 1) {
    Register(controller);
  } else if (choice < 5) {
    Speak(controller);
  } else {
    const uint64_t value = ++last_value_;
    AlterConfig alteration;
    alteration.type = ConfigResourceType::kBroker;
    alteration.ops = {{MetadataChecker::kSetting, ConfigOpKind::kSet, std::to_string(value)}};
    AlterConfigs operation{{alteration}, false};
    std::vector<NodeId> brokers;
    for (const auto& [broker, epoch] : brokers_) {
      alteration.name = std::to_string(broker.value);
      operation.alterations.push_back(alteration);
      brokers.push_back(broker);
    }
    checker_.OnAsked(value, std::move(brokers));
    controller.Run(std::move(operation),
                   [this, &node, value](Result<std::vector<Result<void>>> altered) {
                     if (!altered.ok() || !altered->at(0).ok()) return;
                     ++report_.counts["operations"];
                     checker_.OnSet(node.id(), value, *node.controller().image());
                   });
  }
}

void ControllersScenario::Register(Controller& controller) {
  // Not those of the controllers, whose lost connections would be theirs.
  const NodeId id{static_cast<int32_t>(random_.Between(11, 15))};
  RegisterBroker registration;
  registration.broker.id = id;
  registration.broker.incarnation = random_.NewUuid<ClusterId>().bytes;
  registration.broker.directories = {random_.NewUuid<DirectoryId>()};
  controller.Run(std::move(registration), [this, id](Result<BrokerEpoch> epoch) {
    if (!epoch.ok()) return;
    checker_.OnBrokerEpoch(*epoch);
    brokers_[id] = std::max(brokers_[id], *epoch);
  });
}

// A broker says that it is alive.
void ControllersScenario::Speak(Controller& controller) {
  if (brokers_.empty()) return;
  const auto broker =
      std::next(brokers_.begin(), static_cast<ptrdiff_t>(random_.Below(brokers_.size())));
  controller.Run(BrokerHeartbeat{.broker = broker->first,
                                 .epoch = broker->second,
                                 .metadata_offset = controller.image()->version},
                 [this](Result<BrokerStatus> status) {
                   if (status.ok()) ++report_.counts["heartbeats"];
                 });
}

void ControllersScenario::ScheduleFault() {
  scheduler_.After(About(random_, fault_interval_), "fault", [this] {
    if (!chaos_ || !HasWeight(fault_weights_)) return;
    const auto fault = static_cast<Fault>(PickWeighted(random_, fault_weights_));
    scheduler_.trace().Note("fault", fault);
    Inject(fault);
    ScheduleFault();
  });
}

void ControllersScenario::Inject(Fault fault) {
  Node& any = *nodes_[random_.Below(nodes_.size())];
  Node* const leader = Leader();
  Node& node = leader != nullptr && (fault == kKillLeader || random_.Chance(0.5)) ? *leader : any;
  static constexpr const char* kNames[] = {
      "kill", "kill leader", "power loss", "power loss of all", "isolate", "pause", "slow", "heal"};
  ++report_.counts[kNames[fault]];
  switch (fault) {
    case kKill:
    case kKillLeader:
    case kPowerLoss:
      if (!node.is_running()) return node.Start();
      return node.Stop(fault == kPowerLoss ? StopKind::kPowerLoss : StopKind::kKill);
    case kPowerLossOfAll:
      for (auto& each : nodes_) each->Stop(StopKind::kPowerLoss);
      for (auto& each : nodes_) each->Start();
      return;
    case kIsolate:
      for (auto& other : nodes_) {
        if (other.get() == &node) continue;
        network_.Cut(node.id(), other->id(), random_.Chance(0.5));
        network_.Cut(other->id(), node.id(), random_.Chance(0.5));
      }
      return;
    case kPause:
      if (node.is_running()) node.Pause();
      return;
    case kSlow:
      if (!node.is_running()) return;
      node.disk().set_latency(
          {.min = milliseconds(1), .max = milliseconds(random_.Between(10, 1000))});
      return;
    case kHeal:
      return Heal();
  }
}

// Never more than one copy is damaged at a time.
void ControllersScenario::ScheduleDiskFault() {
  scheduler_.After(About(disk_random_, 2 * fault_interval_), "disk fault", [this] {
    if (!chaos_) return;
    Node& node = *nodes_[disk_random_.Below(nodes_.size())];
    if (fills_ && (!damages_ || disk_random_.Chance(0.5))) {
      ++report_.counts["full disk"];
      node.files().faults().capacity_bytes =
          node.files().tree().UsedBytes() + disk_random_.Below(10'000);
    } else if (damages_ && damaged_ == nullptr && node.is_open() && !node.is_paused()) {
      node.Stop(StopKind::kKill);
      const bool of_log = disk_random_.Chance(0.5);
      if (of_log ? FlipLogBit(node.files(), JoinPath(MetadataPath(kDataDir), "log"), disk_random_)
                 : FlipSnapshotBit(node.files(), disk_random_)) {
        ++report_.counts["damage"];
        damaged_ = &node;
        hurt_.insert(node.id());
      }
      node.Start();
    }
    ScheduleDiskFault();
  });
}

void ControllersScenario::Heal() {
  network_.HealAll();
  for (auto& node : nodes_) {
    node->files().faults() = SimFaults();
    if (!node->is_running()) node->Start();
    node->Resume();
    node->disk().set_latency({});
  }
}

bool ControllersScenario::RunUntil(const std::function<bool()>& done, Duration limit) {
  return scheduler_.RunUntil(
      [&] {
        AfterEvent();
        return verdict_.failed() || done();
      },
      limit);
}

// After the last fault: what is asked is done, and every node has all of it.
void ControllersScenario::CheckLiveness() {
  network_.faults() = NetworkFaults();
  cuts_ = 0;
  Heal();
  const uint64_t before = last_value_;
  if (!RunUntil([&] { return checker_.answered() > before; }, kSettleLimit))
    return verdict_.Fail("L2: nothing is done any more when all is well again");
  const uint64_t answered = checker_.answered();
  const auto have_all = [&] {
    return std::all_of(nodes_.begin(), nodes_.end(), [&](const auto& node) {
      return node->is_open() && MetadataChecker::ValueIn(*node->controller().image()) >= answered;
    });
  };
  if (!RunUntil(have_all, kSettleLimit))
    verdict_.Fail("L3: what was done does not come everywhere when all is well again");
}

// A node that starts with snapshots of another state finds that out, and has the right one again.
void ControllersScenario::CheckHealing() {
  Node* const leader = Leader();
  Node& node = *nodes_[random_.Below(nodes_.size())];
  if (leader == nullptr || leader == &node) return;  // whoever leads says what is right
  node.Stop(StopKind::kKill);
  if (node.AlterSnapshots()) checker_.OnAltered(node.id());
  hurt_.insert(node.id());
  node.Start();
  if (checker_.IsAltered(node.id())) ++report_.counts["states altered"];
  const auto is_right = [&] { return node.is_open() && !checker_.IsAltered(node.id()); };
  if (!RunUntil(is_right, kSettleLimit))
    verdict_.Fail("L4: node ", node.id(), " keeps a state that is not the one of the others");
}

SimReport RunControllersScenario(const SimRun& run) { return ControllersScenario(run).Run(); }

}  // namespace gregor
