#include "tests/sim/storage_scenario.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "tests/sim/sim_damage.h"
#include "tests/sim/swarm.h"

namespace gregor {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kPlenty = uint64_t{1} << 40;
constexpr Duration kSettleLimit = std::chrono::minutes(5);

}  // namespace

StorageSwarm::StorageSwarm(Random& random, Random& more) {
  op_weights = {20, 20, 8, 20, 4, 4, 3, 1, 3, 3, 2, 3, 1};
  CHECK_EQ(op_weights.size(), size_t{kOpCount});
  for (size_t op = kAppend + 1; op < op_weights.size(); ++op) {
    if (random.Chance(0.3)) op_weights[op] = 0;
  }
  fault_weights = {3, 4, 6, 2, 2, 1, 1, 1, 1, 2, 1, 1, 1};
  const bool damages = random.Chance(0.3);
  for (size_t fault = 0; fault < fault_weights.size(); ++fault) {
    const bool damaging = fault == kFlipBit || fault == kFlipWrites || fault == kMisdirectWrites;
    if (damaging ? !damages || random.Chance(0.3) : random.Chance(0.5)) fault_weights[fault] = 0;
  }
  if (fault_weights[kKill] + fault_weights[kPowerLoss] + fault_weights[kPowerLossInside] == 0)
    fault_weights[kPowerLossInside] = 6;
  if (random.Chance(0.15)) DrawTears(random);
  fault_weights.push_back(more.Chance(0.15) ? 2 : 0);
  CHECK_EQ(fault_weights.size(), size_t{kFaultCount});
  keeps_tombstones = more.Chance(0.3);
  step_count = random.Between(50, 400);
  step_interval = microseconds(LogUniform(random, 50, 20'000));
  fault_interval = step_interval * LogUniform(random, tears ? 2 : 4, tears ? 10 : 100);
  log_count = random.Between(1, 5);
  if (tears || random.Chance(0.3)) uniform_bytes = Pick<size_t>(random, {100, 450, 1000});
  node.loop_count = random.Between(1, 2);
  node.directory_count = random.Chance(0.3) ? 2 : 1;
  LogDirectory::Options& directory = node.directory;
  directory.cluster_id = random.NewUuid<ClusterId>();
  directory.node_id = NodeId{1};
  directory.open_files_max = random.Between(2, 64);
  directory.flush_bytes_max = LogUniform(random, 1000, 1 << 20);
  directory.flush_interval = milliseconds(LogUniform(random, 2, 1000));
  directory.marks_trail = MarksTrailFor(directory.flush_interval);
  directory.notes_marks = directory.cluster_id.bytes[0] % 2 == 0;
  directory.file_step_bytes_max = LogUniform(random, 4096, 1 << 20);
  if (random.Chance(0.7)) directory.checkpoint_bytes = LogUniform(random, 300, 30'000);
  directory.compaction.memory_bytes = LogUniform(random, 200, 1 << 20);
  if (random.Chance(0.3))
    directory.compaction.bytes_per_second = LogUniform(random, 10'000, 1 << 20);
  compacts = !tears && random.Chance(0.4);
  if (tears) directory.flush_interval = seconds(1);
  if (random.Chance(0.7)) directory.journal_bytes_min = LogUniform(random, 64, 8192);
}

// Nothing but appends that are not synced, and stops that tear them, one soon after another.
void StorageSwarm::DrawTears(Random& random) {
  tears = true;
  for (size_t op = 0; op < op_weights.size(); ++op) op_weights[op] = op == kAppend ? 20 : 0;
  op_weights[kRead] = 1;
  for (size_t fault = 0; fault < fault_weights.size(); ++fault) {
    const bool stops = fault == kKill || fault == kPowerLoss || fault == kPowerLossInside;
    fault_weights[fault] = stops ? 1 : 0;
  }
}

StorageScenario::StorageScenario(const SimRun& run)
    : scheduler_(run.seed),
      random_(scheduler_.random().Fork()),
      more_random_(~run.seed),
      swarm_(random_, more_random_),
      files_(run.seed, &scheduler_.trace()),
      node_(scheduler_, files_,
            [&] {
              StorageNode::Options options = swarm_.node;
              options.mutant = run.mutant;
              return options;
            }()),
      mutant_(run.mutant) {
  scheduler_.trace().Keep(run.trace_kept);
  for (size_t fault = 0; fault < swarm_.fault_weights.size(); ++fault) {
    if (run.LeavesOut(fault)) swarm_.fault_weights[fault] = 0;
  }
}

StorageScenario::~StorageScenario() {
  for (const auto& log : logs_) log->log.reset();
}

SimReport StorageScenario::Run() {
  for (size_t i = 0; i < swarm_.log_count; ++i) AddLog();
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
  const SimFaultCounts& faults = files_.counts();
  report_.counts["io errors"] = faults.io_errors;
  report_.counts["full disk"] = faults.full;
  report_.counts["flipped bits"] = faults.flipped;
  report_.counts["misdirected writes"] = faults.misdirected;
  CountCompactions();
  for (const auto& log : logs_) {
    report_.counts["tolerated losses"] += log->checker.tolerated_losses();
    report_.counts["lost appends"] += log->checker.lost_appends();
  }
  return std::move(report_);
}

void StorageScenario::Note(const char* what, uint64_t a, uint64_t b, const std::string& detail) {
  scheduler_.trace().Note(what, a, b, detail);
}

bool StorageScenario::MayFail(uint64_t io_errors_before) const {
  return files_.counts().io_errors > io_errors_before || files_.is_powerless();
}

bool StorageScenario::MayFailWith(const Error& error, uint64_t io_errors_before) const {
  return MayFail(io_errors_before) || (full_seen_ && error.reason == Reason::kDiskFull);
}

LogConfig StorageScenario::DrawConfig() {
  LogConfig config;
  config.segment_bytes = Pick<int64_t>(random_, {300, 1000, 4000, 20'000, 100'000});
  config.index_interval_bytes = Pick<int64_t>(random_, {0, 200, 4096});
  if (random_.Chance(0.3)) config.durability = Durability::kReplicated;
  if (random_.Chance(0.3)) config.flush_messages = random_.Between(1, 20);
  if (random_.Chance(0.3)) config.flush_ms = random_.Between(1, 50);
  if (random_.Chance(0.3)) config.retention_bytes = config.segment_bytes * random_.Between(1, 4);
  if (random_.Chance(0.3)) config.retention_ms = LogUniform(random_, 50, 5000);
  if (random_.Chance(0.3)) config.segment_ms = LogUniform(random_, 10, 2000);
  config.file_delete_delay_ms = Pick<int64_t>(random_, {0, 5, 500});
  if (swarm_.compacts && random_.Chance(0.7)) {
    config.cleanup_compact = true;
    config.cleanup_delete = random_.Chance(0.3);
    config.segment_bytes = Pick<int64_t>(random_, {300, 1000, 4000});
    config.min_cleanable_dirty_ratio = Pick<double>(random_, {0, 0.2, 0.6});
    config.delete_retention_ms = random_.Chance(0.5) ? 0 : LogConfig::kNever / 2;
    if (config.delete_retention_ms > 0 && !swarm_.keeps_tombstones)
      config.delete_retention_ms = LogUniform(more_random_, 20, 3000);
    if (random_.Chance(0.2)) config.min_compaction_lag_ms = LogUniform(random_, 1, 1000);
    if (random_.Chance(0.2)) config.max_compaction_lag_ms = LogUniform(random_, 1, 1000);
  }
  if (swarm_.tears) {
    config.durability = Durability::kReplicated;
    config.segment_bytes = 100'000;
    config.flush_messages = LogConfig::kNever;
    config.flush_ms = LogConfig::kNever;
  }
  return config;
}

LogConfig StorageScenario::ConfigOf(const SimLog& log) const {
  LogConfig config = log.config;
  if (mutant_ == Mutant::kTombstonesDropped) config.delete_retention_ms = 0;
  return config;
}

void StorageScenario::AddLog() {
  const TopicIdPartition id{random_.NewUuid<TopicId>(),
                            PartitionIndex{static_cast<int32_t>(random_.Below(3))}};
  logs_.push_back(std::make_unique<SimLog>(logs_.size(), id, DrawConfig(), verdict_));
  SimLog& log = *logs_.back();
  if (log.config.cleanup_compact) {
    log.checker.SetCompacted(log.config.delete_retention_ms,
                             [this] { return scheduler_.clock().WallNow(); });
  }
  log.checker.SetMarksTrail(swarm_.node.directory.marks_trail,
                            [this] { return scheduler_.clock().Now(); });
  log.directory = random_.Below(node_.directory_count());
  log.loop = random_.Below(node_.loop_count());
  for (int64_t i = random_.Between(1, 3); i > 0; --i) {
    Producer producer;
    producer.id = ProducerId{++last_producer_};
    log.producers.push_back(std::move(producer));
  }
}

void StorageScenario::Start() {
  life_errors_ = files_.counts().io_errors;
  full_seen_ = files_.faults().capacity_bytes < kPlenty;
  stopping_ = false;
  ++life_;
  Note("start", life_, 0);
  if (const Result<void> started = node_.Start(); !started.ok()) {
    Note("no start", 0, 0, started.error().ToString());
    if (!MayFailWith(started.error(), life_errors_))
      verdict_.Fail("the node does not start: ", started.error());
    Crash(files_.is_powerless() ? StopKind::kPowerLoss : StopKind::kKill);
    return;
  }
  OpenAll();
}

void StorageScenario::OpenAll() {
  for (size_t i = 0; i < node_.directory_count(); ++i) {
    for (const TopicIdPartition& id : node_.directory(i).found()) {
      const bool known = std::any_of(logs_.begin(), logs_.end(), [&](const auto& log) {
        return log->id == id && log->state != State::kGone;
      });
      if (known) continue;
      Count("set aside");
      const Result<void> aside = node_.directory(i).SetAside(id);
      if (!aside.ok() && !MayFailWith(aside.error(), life_errors_))
        verdict_.Fail("a stray folder cannot be set aside: ", aside.error());
    }
  }
  for (const auto& log : logs_) {
    if (log->state == State::kDown && node_.is_running()) Open(*log);
  }
}

void StorageScenario::Open(SimLog& log) {
  log.state = State::kOpening;
  if (mutant_ != Mutant::kEpochKept || log.epoch.value == 0) log.epoch.value += 1;
  log.refused_files.reset();
  if (log.checker.is_damaged()) log.refused_files = HashOfLogFiles(log);
  Log::Options options;
  options.id = log.id;
  options.config = ConfigOf(log);
  options.recovery_batch_bytes_max = 1 << 20;
  options.epoch_max = log.epoch;
  options.stable_end = [&log] { return log.checker.visible_end(); };
  const uint64_t errors = files_.counts().io_errors;
  node_.loop(log.loop).Run([&] {
    Log::Open(node_.directory(log.directory), node_.loop(log.loop), std::move(options),
              [this, &log, errors](Result<std::unique_ptr<Log>> opened) {
                OnOpened(log, errors, std::move(opened));
              });
  });
}

void StorageScenario::OnOpened(SimLog& log, uint64_t io_errors,
                               Result<std::unique_ptr<Log>> opened) {
  if (!opened.ok()) return OnRefused(log, io_errors, opened.error());
  log.log = std::move(*opened);
  log.state = State::kOpen;
  Count("opened");
  const LogEnds ends = log.log->ends();
  if (log.checker.IsBeyondTelling(ends)) {
    log.log.reset();
    log.state = State::kRefused;
    return;
  }
  Note("opened", log.number, static_cast<uint64_t>(ends.log_end.value),
       "from " + std::to_string(ends.log_start.value));
  const auto journaled = node_.MarkOf(log.directory, log.id).value_or(SyncedMark());
  const bool first = std::exchange(log.opened_in, life_) != life_;
  log.checker.OnOpened(ends, first ? &journaled : nullptr);
  if (mutant_ == Mutant::kProducersForgotten) log.log->producers().Clear();
  for (Producer& producer : log.producers) {
    for (Pending& pending : producer.pending) pending.sent = false;
  }
  ReadWhole(log, [] {});
}

void StorageScenario::OnRefused(SimLog& log, uint64_t io_errors, const Error& error) {
  Note("refused", log.number, 0, error.ToString());
  NoteDamage();
  if (MayFailWith(error, io_errors) || node_.directory(log.directory).failure().has_value()) {
    log.state = State::kDown;
    scheduler_.After(About(random_, milliseconds(10)), "open again", [this, &log, life = life_] {
      if (life == life_ && node_.is_running() && log.state == State::kDown && !stopping_) Open(log);
    });
    return;
  }
  Count("refused");
  log.state = State::kRefused;
  log.checker.OnRefused(error);
  if (log.refused_files.has_value() && *log.refused_files != HashOfLogFiles(log))
    verdict_.Fail("log ", log.number, " was refused, and its files were changed: ", error);
}

uint64_t StorageScenario::HashOfLogFiles(const SimLog& log) const {
  const std::string folder = node_.PathOf(log.directory) + "/" + log.id.ToString() + "/";
  uint64_t hash = 0;
  for (const auto& [path, inode] : files_.tree().Files()) {
    if (!path.starts_with(folder) || !path.ends_with(".log")) continue;
    std::string text(inode->content.seen().size(), '\0');
    inode->content.seen().Read(0, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
    hash = hash * 31 + (HashOf(path) ^ HashOf(text));
  }
  return hash;
}

void StorageScenario::Crash(StopKind stop) {
  Note("stop", static_cast<uint64_t>(stop), 0);
  Count(stop == StopKind::kPowerLoss ? "power losses"
        : stop == StopKind::kKill    ? "kills"
                                     : "clean stops");
  NoteDamage();
  CountCompactions();
  const bool is_noted = stop == StopKind::kKill && swarm_.node.directory.notes_marks &&
                        !full_seen_ && !MayFail(life_errors_);
  for (const auto& log : logs_) {
    if (is_noted && log->state == State::kOpen) log->checker.OnMarksNoted();
    if (log->state == State::kRemoving) log->state = State::kGone;
    // What goes may have had batches for which there was no space.
    if (log->state != State::kGone) {
      log->checker.OnStopped(stop);
      log->state = State::kDown;
    }
    log->log.reset();
  }
  node_.Stop(stop);
  scheduler_.After(About(random_, milliseconds(5)), "start", [this] {
    if (!node_.is_running()) Start();
  });
}

void StorageScenario::CountCompactions() {
  for (size_t i = 0; node_.is_running() && i < node_.directory_count(); ++i)
    report_.counts["compactions"] += node_.directory(i).compactor().stats().rounds;
}

void StorageScenario::RestartCleanly() {
  stopping_ = true;
  for (const auto& log : logs_) {
    if (log->state == State::kOpen) Close(*log, false);
  }
}

void StorageScenario::FinishCleanStop() {
  for (const auto& log : logs_) {
    if (log->state != State::kDown && log->state != State::kRefused && log->state != State::kGone)
      return;
  }
  bool clean = true;
  for (size_t i = 0; i < node_.directory_count() && clean; ++i) {
    const Result<void> closed = node_.directory(i).CloseCleanly();
    clean = closed.ok();
    const bool excused = MayFail(life_errors_) || full_seen_ || damage_seen_;
    if (!clean && !excused) verdict_.Fail("does not stop cleanly: ", closed.error());
  }
  Crash(clean ? StopKind::kClean : files_.is_powerless() ? StopKind::kPowerLoss : StopKind::kKill);
}

void StorageScenario::ScheduleFault() {
  scheduler_.After(About(random_, swarm_.fault_interval), "fault", [this] {
    if (!chaos_ || !HasWeight(swarm_.fault_weights)) return;
    if (node_.is_running() && !stopping_)
      Inject(static_cast<StorageSwarm::Fault>(PickWeighted(random_, swarm_.fault_weights)));
    ScheduleFault();
  });
}

void StorageScenario::Inject(StorageSwarm::Fault fault) {
  Note("fault", fault, 0);
  switch (fault) {
    case StorageSwarm::kKill:
      return Crash(StopKind::kKill);
    case StorageSwarm::kPowerLoss:
      return Crash(StopKind::kPowerLoss);
    case StorageSwarm::kPowerLossInside:
      Count("power losses inside of a job");
      return files_.FailPowerAt(files_.mutation_count() + 1 + random_.Below(12));
    case StorageSwarm::kCleanRestart:
      return RestartCleanly();
    case StorageSwarm::kFailCall:
      return ArmFailure();
    case StorageSwarm::kFlipBit:
      return FlipSomeBit();
    case StorageSwarm::kWallClock:
      return JumpWallClock();
    case StorageSwarm::kLoseMarks:
      return LoseMarks();
    default:
      return InjectDisk(fault);
  }
}

void StorageScenario::JumpWallClock() {
  Count("clock jumps");  // by less than the window of request ids
  const Timestamp before = scheduler_.clock().WallNow();
  scheduler_.set_wall_offset(std::chrono::hours(24 * 365 * 56) +
                             seconds(random_.Between(-300, 300)));
  for (const auto& log : logs_) log->checker.OnClockJump(before, scheduler_.clock().WallNow());
}

// The journal is gone or damaged at the next start, and perhaps a log towards its end, too.
void StorageScenario::LoseMarks() {
  Crash(StopKind::kKill);
  Count("lost marks");
  Random& random = more_random_;
  const std::string folder = node_.PathOf(random.Below(node_.directory_count()));
  const std::string journal = folder + "/synced-marks";
  const auto size_of = [](const SimInodePtr& inode) {
    const auto& seen = inode->content.seen();
    std::string text(seen.size(), '\0');
    seen.Read(0, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
    return text.find_last_not_of('\0') + 1;
  };
  const bool removes = random.Chance(0.5);
  std::vector<std::pair<std::string, uint64_t>> logs;
  for (const auto& [path, inode] : files_.tree().Files()) {
    const uint64_t size = size_of(inode);
    if (path == journal && !removes && size > 0) FlipAnyBit(files_, path, 0, size, random);
    if (path.starts_with(folder) && path.ends_with(".log") && size > 0)
      logs.emplace_back(path, size);
  }
  if (removes) {
    // Calls may fail, and what they did may be there all the same.
    (void)files_.Remove(journal);
    (void)files_.SyncDirectory(folder);
    damaged_journals_.insert(folder);
  }
  if (!logs.empty() && random.Chance(0.7)) {
    const auto& [path, size] = Pick(random, logs);
    const uint64_t back = random.Below(std::min<uint64_t>(size, 2000));
    files_.FlipBit(path, size - 1 - back, static_cast<int>(random.Below(8)));
  }
  NoteDamage();
}

// Faults of the disk that last for a while.
void StorageScenario::InjectDisk(StorageSwarm::Fault fault) {
  SimFaults& faults = files_.faults();
  SimDisk& disk = node_.disk(random_.Below(node_.directory_count()));
  switch (fault) {
    case StorageSwarm::kFailCalls:
      faults.read_error = random_.Chance(0.5) ? 0.05 : 0;
      faults.write_error = random_.Chance(0.5) ? 0.02 : 0;
      faults.sync_error = random_.Chance(0.5) ? 0.05 : 0;
      break;
    case StorageSwarm::kFullDisk:
      full_seen_ = true;
      faults.capacity_bytes = files_.tree().UsedBytes() + random_.Below(5000);
      break;
    case StorageSwarm::kSlowDisk:
      Count("slow disks");
      disk.set_latency({.min = milliseconds(1), .max = milliseconds(random_.Between(2, 3000))});
      break;
    case StorageSwarm::kHangingDisk:
      Count("hanging disks");
      disk.Hang();
      break;
    case StorageSwarm::kFlipWrites:
      faults.bit_flip = 0.03;
      break;
    case StorageSwarm::kMisdirectWrites:
      faults.misdirect = 0.3;
      break;
    default:
      LOG(FATAL) << "no fault " << fault;
  }
  scheduler_.After(About(random_, swarm_.fault_interval), "fault ends", [this] {
    if (chaos_) Heal();
  });
}

void StorageScenario::Heal() {
  const double cached = files_.faults().cached;
  files_.faults() = SimFaults();
  files_.faults().cached = cached;
  if (!chaos_) files_.Disarm();
  if (!node_.is_running()) return;
  for (size_t i = 0; i < node_.directory_count(); ++i) {
    node_.disk(i).Resume();
    node_.disk(i).set_latency({});
  }
}

void StorageScenario::ArmFailure() {
  static const std::vector<std::pair<SimOperation, const char*>> kCalls = {
      {SimOperation::kSync, ".log"},
      {SimOperation::kSync, "synced-marks"},
      {SimOperation::kWrite, ".log"},
      {SimOperation::kWrite, "synced-marks"},
      {SimOperation::kRead, ".log"},
      {SimOperation::kSyncFolder, ""},
      {SimOperation::kName, ""},
      {SimOperation::kResize, ".log"},
      {SimOperation::kWrite, "checkpoint"},
      {SimOperation::kSync, "checkpoint"},
      {SimOperation::kWrite, ".index"},
      {SimOperation::kRead, ".index"},
      {SimOperation::kRead, "synced-marks"},
      {SimOperation::kOpen, ""},
  };
  const auto& [operation, path] = Pick(random_, kCalls);
  files_.FailNext(operation, path);
}

void StorageScenario::FlipSomeBit() {
  std::vector<std::pair<std::string, SimInodePtr>> files = files_.tree().Files();
  std::erase_if(files, [](const auto& file) {
    const std::string& path = file.first;
    const bool takes_part = path.ends_with(".log") || path.ends_with(".index") ||
                            path.ends_with("/checkpoint") || path.ends_with("/synced-marks");
    return !takes_part || path.find(".stray") != std::string::npos ||
           file.second->content.seen().UsedPages().empty();
  });
  if (files.empty()) return;
  const auto& [path, inode] = Pick(random_, files);
  const std::vector<uint64_t> pages = inode->content.seen().UsedPages();
  const uint64_t begin = Pick(random_, pages) * kSimPageBytes;
  const uint64_t end = std::min(begin + kSimPageBytes, inode->content.seen().size());
  FlipAnyBit(files_, path, begin, end, random_);
}

void StorageScenario::NoteDamage() {
  for (const std::string& path : files_.TakeDamaged()) {
    damage_seen_ = true;
    Note("damage", HashOf(path), 0, path);
    for (const auto& log : logs_) {
      if (path.find(log->id.ToString()) != std::string::npos) {
        const bool is_bounded = swarm_.fault_weights[StorageSwarm::kMisdirectWrites] == 0;
        const uint64_t batches = path.find(".log") == std::string::npos ? 0 : 1;
        log->checker.OnDamaged(is_bounded ? batches : UINT64_MAX);
        if (path.ends_with(".producers")) log->checker.OnProducersDamaged();
        log->refused_files.reset();
      }
    }
    if (path.find("synced-marks") != std::string::npos) damaged_journals_.insert(ParentPath(path));
  }
  for (const auto& log : logs_) {
    if (full_seen_) log->checker.OnMarksLost();
    if (damaged_journals_.contains(node_.PathOf(log->directory))) log->checker.OnJournalDamaged();
  }
}

void StorageScenario::AfterEvent() {
  if (files_.is_powerless()) return Crash(StopKind::kPowerLoss);
  NoteDamage();
  for (const auto& log : logs_) {
    if (log->log == nullptr) continue;
    log->checker.OnEnds(log->log->ends());
    CheckFailure(*log);
  }
  if (stopping_ && node_.is_running()) FinishCleanStop();
}

// A log that has failed, or its directory, stays so until the next start.
void StorageScenario::CheckFailure(SimLog& log) {
  const auto failure = log.log->failure();
  if (!failure.has_value()) return;
  if (!MayFail(life_errors_) && !full_seen_ && !damage_seen_)
    verdict_.Fail("log ", log.number, " failed, and nothing is wrong: ", *failure);
  if (log.state == State::kClosing || log.state == State::kRemoving) return;
  Count("failed logs");
  log.state = State::kClosing;  // no more calls
  scheduler_.After(About(random_, swarm_.fault_interval / 4 + milliseconds(1)), "end of a failed",
                   [this, life = life_] {
                     if (life == life_ && node_.is_running())
                       Crash(random_.Chance(0.5) ? StopKind::kKill : StopKind::kPowerLoss);
                   });
}

bool StorageScenario::RunUntil(const std::function<bool()>& done, Duration limit) {
  const MonotonicTime end = scheduler_.clock().Now() + limit;
  while (!verdict_.failed() && !done()) {
    if (scheduler_.clock().Now() > end || !scheduler_.Step()) return false;
    AfterEvent();
  }
  return !verdict_.failed();
}

// All faults are over: what is whole opens, takes records, syncs them and gives them back; and all
// of it again after a clean stop.
void StorageScenario::CheckLiveness() {
  Note("healed", 0, 0);
  chaos_ = false;
  Heal();
  if (node_.is_running()) Crash(random_.Chance(0.5) ? StopKind::kKill : StopKind::kPowerLoss);
  const auto settled = [&] {
    return node_.is_running() && std::all_of(logs_.begin(), logs_.end(), [](const auto& log) {
             return log->state == State::kOpen || log->state == State::kRefused ||
                    log->state == State::kGone;
           });
  };
  if (!RunUntil(settled, kSettleLimit)) return verdict_.Fail("does not come up after all faults");
  WriteAndReadAll();
  if (verdict_.failed()) return;
  RestartCleanly();
  const auto stopped = [&] { return !node_.is_running(); };
  if (!RunUntil(stopped, kSettleLimit)) return verdict_.Fail("does not stop");
  if (!RunUntil(settled, kSettleLimit)) return verdict_.Fail("does not come up after a clean stop");
  for (size_t i = 0; i < node_.directory_count(); ++i) {
    if (!node_.directory(i).was_clean() && !damage_seen_)
      verdict_.Fail("directory ", i, " does not know of its clean stop");
  }
  WriteAndReadAll();
}

void StorageScenario::WriteAndReadAll() {
  size_t reading = 0;
  std::vector<SimLog*> open;
  for (const auto& log : logs_) {
    if (log->state == State::kOpen) open.push_back(log.get());
  }
  for (SimLog* log : open) {
    node_.loop(log->loop).Run([&] {
      AppendIdempotent(*log);
      AppendPlain(*log);
      log->log->RequestSync();
    });
  }
  const auto synced = [&] {
    return std::all_of(open.begin(), open.end(), [](const SimLog* log) {
      return log->log != nullptr && log->checker.ends().synced_end == log->log->ends().log_end;
    });
  };
  if (!RunUntil(synced, kSettleLimit)) return verdict_.Fail("appends are not synced any more");
  for (SimLog* log : open) {
    ++reading;
    node_.loop(log->loop).Run([&] { ReadWhole(*log, [&reading] { --reading; }); });
  }
  if (!RunUntil([&] { return reading == 0; }, kSettleLimit))
    verdict_.Fail("reads have no answer any more");
}

SimReport RunStorageScenario(const SimRun& run) { return StorageScenario(run).Run(); }

}  // namespace gregor
