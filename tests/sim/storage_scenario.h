#ifndef GREGOR_TESTS_SIM_STORAGE_SCENARIO_H_
#define GREGOR_TESTS_SIM_STORAGE_SCENARIO_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "storage/log.h"
#include "tests/sim/checkers.h"
#include "tests/sim/sim_run.h"
#include "tests/sim/storage_node.h"

namespace gregor {

// What a run does and suffers, drawn from its seed (swarm testing: most runs leave most of it out).
struct StorageSwarm {
  enum Op {
    kAppend,
    kAppendIdempotent,
    kAppendRequest,
    kRead,
    kFindByTime,
    kSync,
    kTruncate,
    kReset,
    kDelete,
    kRetention,
    kSetConfig,
    kReopen,
    kRemove,
    kOpCount,
  };
  enum Fault {
    kKill,
    kPowerLoss,
    kPowerLossInside,  // in the middle of a job
    kCleanRestart,
    kFailCall,   // one call fails with EIO
    kFailCalls,  // calls fail with EIO at some rate for a while
    kFullDisk,
    kSlowDisk,
    kHangingDisk,
    kFlipBit,     // of what is on the disk
    kFlipWrites,  // of what is written
    kMisdirectWrites,
    kWallClock,  // jumps
    kLoseMarks,  // a kill, and the journal of marks is not whole
    kFaultCount,
  };

  // `more`: what was added later draws from it, and shifts nothing else.
  StorageSwarm(Random& random, Random& more);
  void DrawTears(Random& random);

  std::vector<uint64_t> op_weights;
  std::vector<uint64_t> fault_weights;
  size_t step_count = 0;
  Duration step_interval{0};   // mean
  Duration fault_interval{0};  // mean
  size_t log_count = 1;
  bool compacts = false;         // most logs are compacted
  bool tears = false;            // the run is about torn tails alone
  bool keeps_tombstones = true;  // for ever, or for a while
  StorageNode::Options node;
  // All values of this size, one a batch, so that stale batches fit where others were; 0: any.
  size_t uniform_bytes = 0;
};

// One run. The callers' part is in storage_clients.cc.
class StorageScenario {
 public:
  explicit StorageScenario(const SimRun& run);
  ~StorageScenario();
  SimReport Run();

 private:
  struct Pending {
    RecordBatch batch;  // as the producer sends it
    std::vector<KnownRecord> records;
    bool sent = false;  // in this life of the log
    Offset end{0};      // where it lies, if so
  };
  struct Producer {
    ProducerId id;
    ProducerEpoch epoch{0};
    Sequence next{0};
    std::deque<Pending> pending;  // not acknowledged yet
  };
  enum class State { kDown, kOpening, kOpen, kCutting, kClosing, kRemoving, kRefused, kGone };
  struct SimLog {
    SimLog(size_t number, TopicIdPartition id, const LogConfig& config, Verdict& verdict)
        : number(number),
          id(id),
          config(config),
          checker("log " + std::to_string(number), config.durability, verdict) {}
    const size_t number;
    const TopicIdPartition id;
    LogConfig config;
    LogChecker checker;
    size_t directory = 0;
    size_t loop = 0;
    LeaderEpoch epoch{0};
    State state = State::kDown;
    std::unique_ptr<Log> log;
    std::vector<Producer> producers;
    std::vector<Pending> requests;
    uint64_t opened_in = 0;                 // life
    std::optional<uint64_t> refused_files;  // hash of its files when it was refused
  };

  // --- storage_scenario.cc: the process, faults, the end
  void AddLog();
  LogConfig DrawConfig();
  LogConfig ConfigOf(const SimLog& log) const;  // as the mutant makes it
  void Start();
  void OpenAll();
  void Open(SimLog& log);
  void OnOpened(SimLog& log, uint64_t io_errors, Result<std::unique_ptr<Log>> opened);
  void OnRefused(SimLog& log, uint64_t io_errors, const Error& error);
  void Crash(StopKind stop);
  void CountCompactions();  // of this life
  void RestartCleanly();
  void FinishCleanStop();
  void ScheduleFault();
  void Inject(StorageSwarm::Fault fault);
  void InjectDisk(StorageSwarm::Fault fault);
  void FlipSomeBit();
  void LoseMarks();
  void JumpWallClock();
  void ArmFailure();
  void Heal();
  void AfterEvent();
  void CheckFailure(SimLog& log);
  void NoteDamage();
  bool RunUntil(const std::function<bool()>& done, Duration limit);
  void CheckLiveness();
  void WriteAndReadAll();
  void CheckCleanRestart();
  uint64_t HashOfLogFiles(const SimLog& log) const;
  bool MayFail(uint64_t io_errors_before) const;
  bool MayFailWith(const Error& error, uint64_t io_errors_before) const;
  void Note(const char* what, uint64_t a, uint64_t b, const std::string& detail = {});
  void Count(const char* what) { ++report_.counts[what]; }

  // --- storage_clients.cc: what callers do
  void ScheduleStep();
  void Step();
  void Do(StorageSwarm::Op op, SimLog& log);
  SimLog* PickOpen();
  Pending MakeBatch(SimLog& log, ProducerId id, ProducerEpoch epoch, Sequence sequence);
  std::optional<Offset> Append(SimLog& log, const Pending& pending);
  bool Send(SimLog& log, Pending& pending);
  void AppendPlain(SimLog& log);
  void AppendIdempotent(SimLog& log);
  void AppendRequest(SimLog& log);
  void ForgetAcknowledged(SimLog& log);
  void Read(SimLog& log);
  void ReadFrom(SimLog& log, Offset from, size_t bytes_max, std::function<void(Offset)> then);
  void ReadWhole(SimLog& log, std::function<void()> then);
  void FindByTime(SimLog& log);
  void Truncate(SimLog& log);
  void Reset(SimLog& log);
  void Cut(SimLog& log, std::function<void(Log::Done)> cut);
  void Delete(SimLog& log);
  void SetConfig(SimLog& log);
  void Close(SimLog& log, bool reopen);
  void Remove(SimLog& log);

  Scheduler scheduler_;
  SimReport report_;
  Verdict verdict_;
  Random random_;
  Random more_random_;
  StorageSwarm swarm_;
  SimFileSystem files_;
  StorageNode node_;
  std::vector<std::unique_ptr<SimLog>> logs_;  // gone ones too
  const Mutant mutant_;
  size_t steps_done_ = 0;
  bool chaos_ = true;       // faults are injected
  bool stopping_ = false;   // a clean stop is under way
  bool full_seen_ = false;  // the disk was full in this life
  bool damage_seen_ = false;
  std::set<std::string> damaged_journals_;  // directories
  uint64_t life_ = 0;                       // counts starts
  uint64_t life_errors_ = 0;                // EIO before this life
  uint64_t last_nonce_ = 0;
  int64_t last_producer_ = 0;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_STORAGE_SCENARIO_H_
