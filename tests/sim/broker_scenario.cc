#include "tests/sim/broker_scenario.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "tests/sim/broker_expect.h"
#include "tests/sim/swarm.h"

namespace gregor {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kPlenty = uint64_t{1} << 40;
constexpr Duration kSettleLimit = std::chrono::minutes(5);

}  // namespace

BrokerSwarm::BrokerSwarm(Random& random) {
  op_weights = {15, 25, 12, 25, 6, 3, 3, 1, 1, 2, 1, 2};
  CHECK_EQ(op_weights.size(), size_t{kOpCount});
  for (size_t op = 0; op < op_weights.size(); ++op) {
    if (op != kCreate && random.Chance(0.25)) op_weights[op] = 0;
  }
  fault_weights = {4, 4, 6, 3, 2, 1, 1, 1};
  CHECK_EQ(fault_weights.size(), size_t{kFaultCount});
  for (uint64_t& weight : fault_weights) {
    if (random.Chance(0.5)) weight = 0;
  }
  if (fault_weights[kKill] + fault_weights[kPowerLoss] + fault_weights[kPowerLossInside] == 0)
    fault_weights[kPowerLossInside] = 6;
  step_count = random.Between(60, 400);
  step_interval = microseconds(LogUniform(random, 50, 20'000));
  fault_interval = step_interval * LogUniform(random, 8, 100);
  topic_count = random.Between(1, 4);
  producer_count = random.Between(1, 3);
  node.storage.loop_count = random.Between(1, 3);
  node.storage.directory_count = random.Chance(0.3) ? 2 : 1;
  LogDirectory::Options& directory = node.storage.directory;
  directory.cluster_id = random.NewUuid<ClusterId>();
  directory.node_id = NodeId{1};
  directory.open_files_max = random.Between(4, 64);
  directory.flush_bytes_max = LogUniform(random, 1000, 1 << 20);
  directory.flush_interval = milliseconds(LogUniform(random, 2, 1000));
  directory.marks_trail = MarksTrailFor(directory.flush_interval);
  if (random.Chance(0.7)) directory.checkpoint_bytes = LogUniform(random, 300, 30'000);
  if (random.Chance(0.7)) directory.journal_bytes_min = LogUniform(random, 64, 8192);
  // The settings file may say what a topic may not.
  if (random.Chance(0.7))
    node.static_configs["log.segment.bytes"] = std::to_string(LogUniform(random, 500, 100'000));
  node.retention_check_interval = milliseconds(LogUniform(random, 10, 10'000));
  node.metadata_segment_bytes = LogUniform(random, 500, 1 << 20);
  node.snapshot_record_bytes = LogUniform(random, 200, 1 << 20);
}

BrokerScenario::BrokerScenario(const SimRun& run)
    : scheduler_(run.seed),
      random_(scheduler_.random().Fork()),
      swarm_(random_),
      files_(run.seed, &scheduler_.trace()),
      node_(scheduler_, files_,
            [&] {
              BrokerNode::Options options = swarm_.node;
              options.storage.mutant = run.mutant;
              return options;
            }()),
      topics_(verdict_),
      producers_(static_cast<size_t>(swarm_.producer_count)) {
  scheduler_.trace().Keep(run.trace_kept);
  for (size_t fault = 0; fault < swarm_.fault_weights.size(); ++fault) {
    if (run.LeavesOut(fault)) swarm_.fault_weights[fault] = 0;
  }
}

SimReport BrokerScenario::Run() {
  Start();
  ScheduleStep();
  ScheduleFault();
  while (!verdict_.failed() && steps_done_ < swarm_.step_count && scheduler_.Step()) AfterEvent();
  if (!verdict_.failed()) CheckLiveness();
  report_.failure = verdict_.what();
  report_.trace_hash = scheduler_.trace().hash();
  report_.event_count = scheduler_.trace().event_count();
  report_.trace = scheduler_.trace().kept();
  report_.counts["simulated seconds"] =
      static_cast<uint64_t>((scheduler_.clock().Now() - MonotonicTime()) / std::chrono::seconds(1));
  report_.counts["io errors"] = files_.counts().io_errors;
  report_.counts["full disk"] = files_.counts().full;
  return std::move(report_);
}

void BrokerScenario::Note(const char* what, uint64_t a, uint64_t b, const std::string& detail) {
  scheduler_.trace().Note(what, a, b, detail);
}

bool BrokerScenario::MayFail() const {
  return files_.counts().io_errors > life_errors_ || files_.is_powerless() || disk_trouble_;
}

bool BrokerScenario::IsExcused(const Error& error) const {
  if (stopping_ &&
      (error.reason == Reason::kServerDraining || error.reason == Reason::kNotController))
    return true;
  return MayFail();
}

bool BrokerScenario::IsGone(const TopicId& topic, const Error& error) const {
  if (error.reason != Reason::kUnknownTopicId && error.reason != Reason::kTopicNotFound)
    return false;
  for (const auto& [name, known] : topics_.topics()) {
    if (known.id == topic) return known.may_be_absent;
  }
  return true;
}

void BrokerScenario::Unexpected(const char* what, const Error& error) {
  if (!IsExcused(error)) verdict_.Fail(what, " fails, and nothing is wrong: ", error);
}

void BrokerScenario::AddCheckers(const TopicImage& topic, int32_t partitions) {
  const auto durability = topic.configs->find("durability");
  const bool synced = durability == topic.configs->end() || durability->second == "synced";
  const bool retention =
      topic.configs->contains("retention.ms") || topic.configs->contains("retention.bytes");
  for (int32_t i = 0; i < partitions; ++i) {
    auto& checker = checkers_[{topic.id, PartitionIndex{i}}];
    if (checker == nullptr) {
      checker = std::make_unique<PartitionChecker>(
          topic.name + " (" + topic.id.ToString() + ") partition " + std::to_string(i), i, synced,
          places_[topic.id], verdict_);
    }
    // Also where it is there already: an addition that failed left it, and it missed what came
    // since.
    if (retention) checker->OnRetention();
  }
}

PartitionChecker& BrokerScenario::CheckerOf(const TopicIdPartition& id) {
  return *checkers_.at(id);
}

void BrokerScenario::Start() {
  ++life_;
  life_errors_ = files_.counts().io_errors;
  disk_trouble_ = files_.faults().capacity_bytes < kPlenty;
  stopping_ = ready_ = crash_due_ = false;
  Note("start", life_, 0);
  node_.Start([this] { OnServing(); }, [this](Result<void> result) { OnStarted(result); });
}

void BrokerScenario::OnServing() {
  Note("serving", life_, 0);
  const ImagePtr image = node_.broker().image();
  topics_.Compare(*image);
  image->topics.VisitAll([&](const std::string&, const TopicPtr& topic) {
    AddCheckers(*topic, topic->partition_count());
  });
}

void BrokerScenario::OnStarted(Result<void> result) {
  Note("started", life_, result.ok() ? 1 : 0, result.ok() ? "" : result.error().ToString());
  ready_ = result.ok();
  if (result.ok()) return Count("starts");
  if (!MayFail()) verdict_.Fail("the node does not start: ", result.error());
  CrashSoon();
}

// A process that is of no use any more is ended by whoever watches over it.
void BrokerScenario::CrashSoon() {
  if (std::exchange(crash_due_, true)) return;
  scheduler_.After(About(random_, swarm_.fault_interval / 4 + milliseconds(1)), "end of a failed",
                   [this, life = life_] {
                     if (life != life_ || !node_.is_running()) return;
                     Crash(random_.Chance(0.5) ? StopKind::kKill : StopKind::kPowerLoss);
                   });
}

void BrokerScenario::Crash(StopKind stop) {
  Note("stop", static_cast<uint64_t>(stop), 0);
  Count(stop == StopKind::kPowerLoss ? "power losses"
        : stop == StopKind::kKill    ? "kills"
                                     : "clean stops");
  node_.Stop(stop);
  ready_ = false;
  ++life_;
  report_.counts["calls without answer"] += calls_.size();
  calls_.clear();
  for (const auto& [id, checker] : checkers_) checker->OnStopped(stop);
  for (Producer& producer : producers_) {
    producer.asking = false;
    ++producer.generation;
    for (auto& [id, stream] : producer.streams) {
      stream.in_flight = 0;
      for (Pending& pending : stream.pending) pending.in_flight = false;
    }
  }
  for (const auto& request : requests_) request->in_flight = false;
  scheduler_.After(About(random_, milliseconds(5)), "start", [this] {
    if (!node_.is_running()) Start();
  });
}

void BrokerScenario::RestartCleanly() {
  if (!ready_) return;
  stopping_ = true;
  node_.Close(Expect<Result<void>>("close", [this](Result<void> closed) {
    Note("closed", life_, closed.ok() ? 1 : 0, closed.ok() ? "" : closed.error().ToString());
    if (!closed.ok() && !MayFail()) verdict_.Fail("does not stop cleanly: ", closed.error());
    const StopKind stop = closed.ok() ? StopKind::kClean : StopKind::kKill;
    scheduler_.After(microseconds(10), "closed", [this, stop, life = life_] {
      if (life == life_ && node_.is_running()) Crash(stop);
    });
  }));
}

void BrokerScenario::ScheduleFault() {
  scheduler_.After(About(random_, swarm_.fault_interval), "fault", [this] {
    if (!chaos_ || !HasWeight(swarm_.fault_weights)) return;
    if (node_.is_running() && !stopping_)
      Inject(static_cast<BrokerSwarm::Fault>(PickWeighted(random_, swarm_.fault_weights)));
    ScheduleFault();
  });
}

void BrokerScenario::Inject(BrokerSwarm::Fault fault) {
  Note("fault", fault, 0);
  switch (fault) {
    case BrokerSwarm::kKill:
      return Crash(StopKind::kKill);
    case BrokerSwarm::kPowerLoss:
      return Crash(StopKind::kPowerLoss);
    case BrokerSwarm::kPowerLossInside:
      return files_.FailPowerAt(files_.mutation_count() + 1 + random_.Below(20));
    case BrokerSwarm::kCleanRestart:
      return RestartCleanly();
    case BrokerSwarm::kFailCall:
      return ArmFailure();
    case BrokerSwarm::kFullDisk:
      files_.faults().capacity_bytes = files_.tree().UsedBytes() + random_.Below(20'000);
      break;
    case BrokerSwarm::kSlowDisk:
      Count("slow disks");
      node_.SetLatency({.min = milliseconds(1), .max = milliseconds(random_.Between(2, 2000))});
      break;
    case BrokerSwarm::kHangingDisk:
      Count("hanging disks");
      node_.Hang();
      break;
    case BrokerSwarm::kFaultCount:
      break;
  }
  disk_trouble_ = true;
  scheduler_.After(About(random_, swarm_.fault_interval), "fault ends", [this] {
    if (chaos_) Heal();
  });
}

void BrokerScenario::ArmFailure() {
  static const std::vector<std::pair<SimOperation, const char*>> kCalls = {
      {SimOperation::kSync, ".log"},        {SimOperation::kSync, "synced-marks"},
      {SimOperation::kWrite, ".log"},       {SimOperation::kSync, "/metadata/"},
      {SimOperation::kWrite, "/metadata/"}, {SimOperation::kRead, ".log"},
      {SimOperation::kSyncFolder, ""},      {SimOperation::kName, ""},
  };
  const auto& [operation, path] = Pick(random_, kCalls);
  files_.FailNext(operation, path);
}

void BrokerScenario::Heal() {
  const double cached = files_.faults().cached;
  files_.faults() = SimFaults();
  files_.faults().cached = cached;
  node_.Resume();
  node_.SetLatency({});
}

void BrokerScenario::AfterEvent() {
  if (files_.is_powerless()) return Crash(StopKind::kPowerLoss);
  if (!node_.is_running() || crash_due_) return;
  const auto failure = node_.failure();
  if (!failure.has_value()) return;
  if (!MayFail()) verdict_.Fail("the node failed, and nothing is wrong: ", *failure);
  Count("failed nodes");
  CrashSoon();
}

bool BrokerScenario::RunUntil(const std::function<bool()>& done, Duration limit) {
  const MonotonicTime end = scheduler_.clock().Now() + limit;
  while (!verdict_.failed() && !done()) {
    if (scheduler_.clock().Now() > end || !scheduler_.Step()) return false;
    AfterEvent();
  }
  return !verdict_.failed();
}

// All faults are over: the node starts, answers everything, takes and gives back records in every
// partition; and again after a clean stop.
void BrokerScenario::CheckLiveness() {
  Note("healed", 0, 0);
  chaos_ = false;
  Heal();
  if (node_.is_running()) Crash(random_.Chance(0.5) ? StopKind::kKill : StopKind::kPowerLoss);
  const auto up = [this] { return ready_; };
  if (!RunUntil(up, kSettleLimit)) return verdict_.Fail("does not come up after all faults");
  CheckAllPartitions();
  if (verdict_.failed()) return;
  RestartCleanly();
  const auto down = [this] { return !node_.is_running(); };
  if (!RunUntil(down, kSettleLimit)) return verdict_.Fail("does not stop");
  if (!RunUntil(up, kSettleLimit)) return verdict_.Fail("does not come up after a clean stop");
  CheckAllPartitions();
}

void BrokerScenario::CheckAllPartitions() {
  size_t open = 0;
  for (const auto& [name, topic] : topics_.topics()) {
    for (int32_t i = 0; topic.id.has_value() && i < topic.partitions; ++i) {
      const TopicIdPartition id{*topic.id, PartitionIndex{i}};
      ++open;
      std::vector<uint64_t> values;
      const std::string text = NewValue(&values);
      CheckerOf(id).OnSent(values[0]);
      BatchBuilder builder;
      NewRecord record;
      record.value = text;
      record.timestamp = scheduler_.clock().WallNow();
      builder.Add(record);
      ProduceBatch request;
      request.topic.id = *topic.id;
      request.partition = id.partition;
      request.batch = builder.Build().bytes;
      node_.broker().Produce(
          std::move(request),
          Expect<Result<Produced>>(
              "last produce", [this, id, values, &open](Result<Produced> produced) {
                if (!produced.ok())
                  return verdict_.Fail("a partition takes nothing any more: ", produced.error());
                CheckerOf(id).OnAcknowledged(*produced, values);
                ReadAll(id, {Position::Kind::kEarliest, 0}, [&open] { --open; });
              }));
    }
  }
  const auto done = [&] { return open == 0 && calls_.empty(); };
  if (!RunUntil(done, kSettleLimit) && !verdict_.failed())
    verdict_.Fail(calls_.size(), " calls have no answer, such as ",
                  calls_.empty() ? "none" : calls_.begin()->second.name);
}

SimReport RunBrokerScenario(const SimRun& run) { return BrokerScenario(run).Run(); }

}  // namespace gregor
