#include "tests/sim/cluster_scenario.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "base/check.h"
#include "tests/sim/sim_content.h"
#include "tests/sim/swarm.h"

namespace gregor {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Duration kSettleLimit = std::chrono::minutes(2);
constexpr Duration kQuietTime = std::chrono::minutes(1);
constexpr Duration kQuietLimit = std::chrono::minutes(15);
constexpr size_t kVersionsKept = 20'000;  // of a soak, so that the checker stays small, too

}  // namespace

ClusterSwarm::ClusterSwarm(Random& random, const SimRun& run) {
  voter_count = Pick<int>(random, {1, 3, 3, 3, 5});
  follower_count = static_cast<int>(random.Below(4));
  fault_weights = {4, 4, 1, 3, 3, 3, 4, 2, 2, 2, 1, 2};
  for (uint64_t& weight : fault_weights) {
    if (random.Chance(0.5)) weight = 0;
  }
  fault_weights[kHeal] = 4;
  duration = seconds(random.Between(10, 60));
  operation_interval = milliseconds(LogUniform(random, 20, 1000));
  fault_interval = milliseconds(LogUniform(random, 300, 10'000));
  if (random.Chance(0.4)) network.loss = random.Fraction() * 0.1;
  if (random.Chance(0.4)) network.duplicate = random.Fraction() * 0.1;
  if (random.Chance(0.2)) network.late = random.Fraction() * 0.02;
  network.delay_max = microseconds(LogUniform(random, 200, 20'000));
  segment_bytes = LogUniform(random, 5000, 1 << 20);
  snapshot_record_bytes = static_cast<size_t>(LogUniform(random, 2000, 1 << 20));
  sessions.heartbeat_interval = milliseconds(LogUniform(random, 100, 1000));
  sessions.timeout = sessions.heartbeat_interval * random.Between(4, 12);
  balance_interval = seconds(LogUniform(random, 1, 20));
  for (const uint64_t weight : {2, 2}) fault_weights.push_back(random.Chance(0.4) ? weight : 0);
  CHECK_EQ(fault_weights.size(), size_t{kFaultCount});
  if (random.Chance(0.8))
    transaction_batch_bytes = static_cast<size_t>(LogUniform(random, 300, 10'000));
  is_newer = run.seed % 4 == 3;
  LeaveOut(run);
}

ClusterSwarm ClusterSwarm::Soak(Random& random, const SimRun& run) {
  ClusterSwarm swarm(random, {});
  swarm.voter_count = Pick<int>(random, {3, 3, 3, 5});
  swarm.follower_count = static_cast<int>(random.Below(3));
  swarm.fault_weights = {4, 4, 1, 4, 4, 2, 0, 4, 4, 4, 2, 2, 2, 2};
  swarm.duration = std::chrono::hours(24);
  swarm.operation_interval = milliseconds(random.Between(1000, 6000));
  swarm.fault_interval = minutes(random.Between(15, 60));
  swarm.heal_after = minutes(1);
  swarm.network = {.delay_max = microseconds(LogUniform(random, 200, 5000)),
                   .loss = random.Chance(0.5) ? 0.001 : 0};
  swarm.segment_bytes = LogUniform(random, 1 << 16, 1 << 20);
  swarm.snapshot_record_bytes = static_cast<size_t>(LogUniform(random, 1 << 16, 1 << 20));
  swarm.sessions.heartbeat_interval = milliseconds(random.Between(1000, 2000));
  swarm.sessions.timeout = swarm.sessions.heartbeat_interval * random.Between(6, 12);
  swarm.balance_interval = seconds(20);
  swarm.is_newer = true;
  swarm.LeaveOut(run);
  return swarm;
}

void ClusterSwarm::LeaveOut(const SimRun& run) {
  for (size_t fault = 0; fault < kFaultCount; ++fault) {
    if (run.LeavesOut(fault)) fault_weights[fault] = 0;
  }
  if (run.LeavesOut(kFaultCount)) network.loss = 0;
  if (run.LeavesOut(kFaultCount + 1)) network.duplicate = 0;
  if (run.LeavesOut(kFaultCount + 2)) network.late = 0;
}

ClusterScenario::ClusterScenario(const SimRun& run, Kind kind)
    : run_(run),
      scheduler_(run.seed),
      random_(scheduler_.random().Fork()),
      more_random_(~run.seed),
      swarm_(kind == Kind::kSoak ? ClusterSwarm::Soak(random_, run) : ClusterSwarm(random_, run)),
      network_(scheduler_),
      checker_(verdict_) {
  scheduler_.trace().Keep(run.trace_kept);
  if (kind == Kind::kSoak) {
    soak_.emplace(verdict_, SoakLimits{.segment_bytes = swarm_.segment_bytes,
                                       .snapshot_record_bytes = swarm_.snapshot_record_bytes});
    checker_.SetVersionsKept(kVersionsKept);
  }
  network_.faults() = swarm_.network;
  Node::Options options;
  options.cluster = random_.NewUuid<ClusterId>();
  options.request_id_key = random_.NewUuid<DirectoryId>().bytes;
  options.segment_bytes = swarm_.segment_bytes;
  options.snapshot_record_bytes = swarm_.snapshot_record_bytes;
  options.behavior.broker_sessions = swarm_.sessions;
  options.behavior.transaction_batch_bytes = swarm_.transaction_batch_bytes;
  options.raft.append_bytes_max = swarm_.transaction_batch_bytes;
  options.behavior.default_partitions = 3;
  options.behavior.static_configs["leader.imbalance.check.interval.seconds"] =
      std::to_string(swarm_.balance_interval.count());
  options.behavior.static_configs["leader.imbalance.per.broker.percentage"] = "0";
  options.peer = [this](NodeId id) -> Node& { return *nodes_[static_cast<size_t>(id.value - 1)]; };
  for (int id = 1; id <= swarm_.voter_count; ++id)
    options.raft.configured.push_back({{NodeId{id}, DirectoryId{}}, {}});
  for (int id = 1; id <= swarm_.voter_count + swarm_.follower_count; ++id) {
    options.node = NodeId{id};
    options.on_image = [this, id](const MetadataDelta& delta, Offset commit) {
      checker_.OnImage(NodeId{id}, delta, commit);
    };
    nodes_.push_back(std::make_unique<Node>(scheduler_, network_, options,
                                            run.seed * 100 + static_cast<uint64_t>(id)));
  }
}

SimReport ClusterScenario::Run() {
  for (auto& node : nodes_) Start(*node);
  ScheduleOperation();
  ScheduleFault();
  if (soak_.has_value()) ScheduleSoakCheck();
  const MonotonicTime end = scheduler_.clock().Now() + run_.ChaosOf(swarm_.duration);
  while (!verdict_.failed() && scheduler_.clock().Now() < end && scheduler_.Step()) AfterEvent();
  chaos_ = false;
  if (!verdict_.failed()) CheckSettles("after the faults");
  // What administrators still wait for comes to its end first.
  RunUntil([] { return false; }, seconds(35));
  if (!verdict_.failed()) CheckSettles("after the last operation");
  if (!verdict_.failed()) CheckDeadIsFenced();
  if (!verdict_.failed()) CheckQuiet();
  report_.failure = verdict_.what();
  report_.trace_hash = scheduler_.trace().hash();
  report_.event_count = scheduler_.trace().event_count();
  report_.trace = scheduler_.trace().kept();
  report_.counts["images"] = checker_.version_count();
  report_.counts["topics"] = checker_.topic_count();
  report_.counts["simulated seconds"] =
      static_cast<uint64_t>((scheduler_.clock().Now() - MonotonicTime()) / seconds(1));
  return std::move(report_);
}

void ClusterScenario::Start(Node& node) {
  known_errors_[node.id()] = node.files().counts().io_errors;
  checker_.OnStart(node.id());
  node.Start();
  if (chaos_ && random_.Chance(0.2)) {
    node.SetLatency({.min = microseconds(20),
                     .max = microseconds(random_.Between(100, 20'000)),
                     .outlier_chance = random_.Fraction() * 0.1,
                     .outlier = milliseconds(random_.Between(10, 1000))});
  }
}

void ClusterScenario::Stop(Node& node, StopKind stop) {
  node.Stop(stop);
  checker_.OnStart(node.id());
}

// A failed disk ends the process, as a supervisor sees it, and it is started again.
void ClusterScenario::AfterEvent() {
  for (auto& node : nodes_) {
    const auto failure = node->failure();
    if (!failure.has_value()) continue;
    SimFileSystem& files = node->files();
    // Where it could not register, something is wrong with whom it asked.
    const bool gave_up = node->has_given_up() && failure->reason != Reason::kInvalidArgument;
    const bool is_explained =
        files.counts().io_errors > known_errors_[node->id()] || files.is_powerless() || gave_up;
    if (!is_explained)
      return verdict_.Fail("node ", node->id(), " fails, and nothing is wrong: ", *failure);
    ++report_.counts["processes that ended"];
    Stop(*node, files.is_powerless() ? StopKind::kPowerLoss : StopKind::kKill);
    files.Disarm();
    Start(*node);
  }
}

ClusterNode* ClusterScenario::Leader() {
  Node* leader = nullptr;
  for (auto& node : nodes_) {
    if (node->leads() && (leader == nullptr || node->leader().term > leader->leader().term))
      leader = node.get();
  }
  return leader;
}

ClusterNode* ClusterScenario::AnyReady() {
  std::vector<Node*> ready;
  for (auto& node : nodes_) {
    if (node->is_ready() && !node->is_paused()) ready.push_back(node.get());
  }
  return ready.empty() ? nullptr : Pick(random_, ready);
}

ImagePtr ClusterScenario::NewestImage() const {
  ImagePtr newest;
  for (const auto& node : nodes_) {
    const ImagePtr image = node->image();
    if (image != nullptr && (newest == nullptr || image->version > newest->version)) newest = image;
  }
  return newest;
}

// --- a day ---

void ClusterScenario::ScheduleSoakCheck() {
  scheduler_.After(minutes(1), "soak.check", [this] {
    if (!chaos_) return;
    if (!wiped_.empty() && is_well_) ReplaceVoters();
    CheckSoak();
    ScheduleSoakCheck();
  });
}

void ClusterScenario::CheckSoak() {
  const MonotonicTime now = scheduler_.clock().Now();
  const ImagePtr image = NewestImage();
  if (image != nullptr) checker_.ForgetGone(*image, now);
  if (!is_well_ || now - well_since_ < kSettleLimit) return;
  ++report_.counts["soak checks"];
  Node* const leader = Leader();
  if (leader == nullptr || image == nullptr)
    return verdict_.Fail("L1: there is no leader though all is well: ", Describe());
  for (auto& node : nodes_) {
    if (!node->is_ready() || node->leader() != leader->leader())
      return verdict_.Fail("L4: node ", node->id(),
                           " does not serve though all is well: ", Describe());
    soak_->OnNode(ViewOf(*node));
  }
  // What is on the disks is looked at file by file.
  soak_->OnProcess(now, AllocatedBytes() - SimContent::AllBytes(), scheduler_.waiting_count());
}

SoakView ClusterScenario::ViewOf(Node& node) const {
  SoakView view;
  view.node = node.id();
  view.now = scheduler_.clock().Now();
  view.version = node.image()->version;
  view.image_bytes = checker_.ImageBytes(node.id());
  for (const auto& [path, inode] : node.files().tree().Files())
    view.AddFile(path, inode->content.seen().size());
  return view;
}

// --- the end ---

bool ClusterScenario::RunUntil(const std::function<bool()>& done, Duration limit) {
  return scheduler_.RunUntil(
      [&] {
        AfterEvent();
        return verdict_.failed() || done();
      },
      limit);
}

// One leader, one image, and nobody fenced but by hand.
bool ClusterScenario::IsSettled() const {
  const ImagePtr first = nodes_.front()->image();
  if (first == nullptr) return false;
  for (const auto& node : nodes_) {
    if (!node->is_ready() || node->leader() != nodes_.front()->leader() ||
        node->image()->version != first->version)
      return false;
    const BrokerImage* const broker = first->Broker(node->id());
    if (broker == nullptr || broker->fenced != broker->fenced_by_hand) return false;
  }
  return nodes_.front()->leader().leader.value >= 0;
}

std::string ClusterScenario::Describe() const {
  std::ostringstream text;
  for (const auto& node : nodes_) {
    const ImagePtr image = node->image();
    text << "node " << node->id() << (node->is_ready() ? "" : " (not ready)") << " image "
         << (image == nullptr ? Offset{-1} : image->version) << ", leader " << node->leader().leader
         << " of term " << node->leader().term;
    const BrokerImage* const broker = image == nullptr ? nullptr : image->Broker(node->id());
    text << (broker == nullptr ? " unregistered" : broker->fenced ? " fenced" : "") << "; ";
  }
  return text.str();
}

// The voters are those of the settings again, and all agree on that.
bool ClusterScenario::ReplaceAllVoters() {
  while (!wiped_.empty()) {
    ReplaceVoters();
    const MonotonicTime next = scheduler_.clock().Now() + milliseconds(500);
    RunUntil([&] { return scheduler_.clock().Now() >= next; }, milliseconds(501));
    if (verdict_.failed() || scheduler_.clock().Now() - well_since_ > kSettleLimit) return false;
  }
  return RunUntil([&] { return IsSettled(); }, kSettleLimit);
}

void ClusterScenario::CheckSettles(const char* when) {
  network_.faults() = NetworkFaults();
  for (auto& node : nodes_) node->files().Disarm();
  Heal();
  for (auto& node : nodes_) node->SetLatency({});
  const bool settled = RunUntil([&] { return IsSettled(); }, kSettleLimit) && ReplaceAllVoters();
  if (!settled && !verdict_.failed())
    return verdict_.Fail("L4: the cluster does not settle ", when, ": ", Describe());
  if (verdict_.failed()) return;
  checker_.CheckTopics(*nodes_.front()->image());
  std::optional<Result<ProducerIdBlock>> answer;
  // One that finds only now that it was replaced ends, and with it what it was asked.
  for (int turn = 0; turn < 3 && !answer.has_value() && !verdict_.failed(); ++turn) {
    RunUntil([&] { return IsSettled(); }, kSettleLimit);
    Node* const node = AnyReady();
    const uint64_t life = node->life();
    node->operations().Run(AllocateProducerIds{1},
                           [&](Result<ProducerIdBlock> block) { answer = std::move(block); });
    RunUntil([&] { return answer.has_value() || node->life() != life; }, seconds(30));
    if (node->life() == life) break;
  }
  if (verdict_.failed()) return;
  if (!answer.has_value() || !answer->ok())
    verdict_.Fail("L4: an operation is not done ", when, ": ",
                  answer.has_value() ? answer->error().message : "no answer");
}

// C12, also where the broker goes together with the active controller.
void ClusterScenario::CheckDeadIsFenced() {
  std::vector<Node*> may_go;
  for (auto& node : nodes_) {
    if (swarm_.voter_count >= 3 || node->id().value > swarm_.voter_count)
      may_go.push_back(node.get());
  }
  if (may_go.empty()) return;
  Node* gone = Pick(random_, may_go);
  if (Node* const leader = Leader(); swarm_.voter_count >= 3 && random_.Chance(0.5)) gone = leader;
  Stop(*gone, random_.Chance(0.5) ? StopKind::kKill : StopKind::kPowerLoss);
  std::vector<NodeId> alive = NodeIds();
  std::erase(alive, gone->id());
  const bool fenced = RunUntil(
      [&] {
        const ImagePtr image = NewestImage();
        if (image == nullptr) return false;
        // Whoever leads now has not heard of the others yet, and waits for them.
        checker_.CheckAlive(*image, alive);
        return image->Broker(gone->id())->fenced;
      },
      swarm_.sessions.timeout + seconds(6));
  if (!fenced && !verdict_.failed())
    return verdict_.Fail("C12: broker ", gone->id(), " is gone, and not fenced: ", Describe());
  ++report_.counts["dead brokers fenced"];
  Start(*gone);
  CheckSettles("after a broker came back");
}

// Where nothing is wrong nothing happens, once leaders are where they belong again.
void ClusterScenario::CheckQuiet() {
  const QuorumLeader leader = nodes_.front()->leader();
  Offset version{-1};
  MonotonicTime since;
  const bool is_quiet = RunUntil(
      [&] {
        const ImagePtr image = NewestImage();
        const MonotonicTime now = scheduler_.clock().Now();
        if (image->version != std::exchange(version, image->version)) since = now;
        return now - since >= kQuietTime;
      },
      kQuietLimit);
  if (verdict_.failed()) return;
  if (!is_quiet) return verdict_.Fail("L6: the metadata change though nothing is wrong: ", version);
  if (nodes_.front()->leader() != leader)
    return verdict_.Fail("L6: leaders change though nothing is wrong");
  CheckPreferredLead(*NewestImage());
}

// The clock has brought leaders back to where they belong.
void ClusterScenario::CheckPreferredLead(const MetadataImage& image) {
  image.topics.VisitAll([&](const std::string& name, const TopicPtr& topic) {
    topic->partitions.VisitAll([&](PartitionIndex index, const PartitionPtr& partition) {
      const NodeId preferred = partition->replicas.front();
      const BrokerImage* const broker = image.Broker(preferred);
      const bool may_lead = partition->isr.Contains(preferred) && broker != nullptr &&
                            broker->IsActive() && !broker->drained;
      if (may_lead && partition->leader != preferred) {
        verdict_.Fail("L7: partition ", index, " of ", name, " is led by broker ",
                      partition->leader, ", though ", preferred, " is in sync");
      }
    });
  });
}

SimReport RunClusterScenario(const SimRun& run) {
  return ClusterScenario(run, ClusterScenario::Kind::kChaos).Run();
}

SimReport RunSoakScenario(const SimRun& run) {
  return ClusterScenario(run, ClusterScenario::Kind::kSoak).Run();
}

}  // namespace gregor
