#ifndef GREGOR_TESTS_SIM_BROKER_SCENARIO_H_
#define GREGOR_TESTS_SIM_BROKER_SCENARIO_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/broker_checkers.h"
#include "tests/sim/broker_node.h"
#include "tests/sim/sim_run.h"

namespace gregor {

// What a run does and suffers, drawn from its seed.
struct BrokerSwarm {
  enum Op {
    kProducePlain,
    kProduceIdempotent,
    kProduceRequest,
    kFetch,
    kFindOffsets,
    kDeleteRecords,
    kCreate,
    kDelete,
    kAddPartitions,
    kAlter,
    kInit,
    kAskDeleted,  // of a topic that is gone (C12)
    kOpCount,
  };
  enum Fault {
    kKill,
    kPowerLoss,
    kPowerLossInside,
    kCleanRestart,
    kFailCall,
    kFullDisk,
    kSlowDisk,
    kHangingDisk,
    kFaultCount,
  };

  explicit BrokerSwarm(Random& random);

  std::vector<uint64_t> op_weights;
  std::vector<uint64_t> fault_weights;
  size_t step_count = 0;
  Duration step_interval{0};   // mean
  Duration fault_interval{0};  // mean
  int64_t topic_count = 1;     // names
  int64_t producer_count = 1;
  BrokerNode::Options node;
};

// A node, its clients and its administrator; crashes and faults. The clients' part is in
// broker_clients.cc.
class BrokerScenario {
 public:
  explicit BrokerScenario(const SimRun& run);
  SimReport Run();

 private:
  // A batch of an idempotent producer, until it is acknowledged.
  struct Pending {
    Bytes batch;
    std::vector<uint64_t> values;
    bool in_flight = false;
  };
  // One producer's batches for one partition, in order.
  struct Stream {
    Sequence next{0};
    std::deque<Pending> pending;
    int in_flight = 0;
  };
  struct Producer {
    ProducerId id = kNoProducerId;
    ProducerEpoch epoch{0};
    bool asking = false;
    std::map<TopicIdPartition, Stream> streams;
    // Changes when the streams are given up: answers from before count for nothing then.
    uint64_t generation = 0;
  };
  // A request with an id, which is repeated until it has an answer.
  struct Request {
    TopicId topic;
    int32_t partitions = 0;  // that the topic had
    std::string id;
    std::vector<std::string> texts;
    std::vector<uint64_t> values;
    bool in_flight = false;
    bool done = false;
  };
  struct Call {
    const char* name;
    MonotonicTime since;
  };

  // --- broker_scenario.cc
  void Start();
  void OnServing();
  void OnStarted(Result<void> result);
  void Crash(StopKind stop);
  void CrashSoon();
  void RestartCleanly();
  void ScheduleFault();
  void Inject(BrokerSwarm::Fault fault);
  void ArmFailure();
  void Heal();
  void AfterEvent();
  bool RunUntil(const std::function<bool()>& done, Duration limit);
  void CheckLiveness();
  void CheckAllPartitions();
  bool MayFail() const;  // in this life
  void Note(const char* what, uint64_t a, uint64_t b, const std::string& detail = {});
  void Count(const char* what) { ++report_.counts[what]; }
  // A callback for `name` that is to be called exactly once, unless the process ends.
  template <typename T, typename Answer>
  UniqueFunction<void(T)> Expect(const char* name, Answer answer);
  // An answer that nothing explains.
  void Unexpected(const char* what, const Error& error);
  // Whether the node may refuse so now: its disk fails, it stops.
  bool IsExcused(const Error& error) const;
  // ... or the topic has gone, or goes.
  bool IsGone(const TopicId& topic, const Error& error) const;
  PartitionChecker& CheckerOf(const TopicIdPartition& id);
  void AddCheckers(const TopicImage& topic, int32_t partitions);

  // --- broker_clients.cc
  void ScheduleStep();
  void Step();
  std::optional<std::string> PickName(bool exists);
  std::optional<TopicIdPartition> PickPartition();
  std::string NewValue(std::vector<uint64_t>* values);
  void ProducePlain();
  void ProduceIdempotent();
  void SendPending(size_t producer, const TopicIdPartition& id);
  void OnProduced(size_t producer, const TopicIdPartition& id, uint64_t generation,
                  uint64_t first_value, Result<Produced> produced);
  void Begin(Producer& producer);
  void GiveUp(Producer& producer);
  int32_t PartitionsOf(const TopicId& topic) const;
  void ProduceRequest();
  void SendRequest(const std::shared_ptr<Request>& request);
  void OnRequest(const std::shared_ptr<Request>& request, Result<ProducedRecords> produced);
  void DoFetch();
  void FetchFrom(const TopicIdPartition& id, Position position, Duration wait,
                 std::function<void(std::optional<Offset>)> then);
  // All that the partition has, from `position` on.
  void ReadAll(const TopicIdPartition& id, Position position, std::function<void()> then);
  void FindOffsets();
  void DeleteSome();
  void Create();
  void DeleteTopic();
  void AddPartitions();
  void Alter();
  void InitOne();
  void AskDeleted();
  ConfigMap DrawConfigs(bool with_durability);
  void EndOperation(const std::string& name, const char* what, const std::optional<Error>& error);

  Scheduler scheduler_;
  SimReport report_;
  Verdict verdict_;
  Random random_;
  BrokerSwarm swarm_;
  SimFileSystem files_;
  BrokerNode node_;
  TopicsChecker topics_;
  std::map<TopicIdPartition, std::unique_ptr<PartitionChecker>> checkers_;
  std::map<TopicId, PartitionChecker::Places> places_;
  std::vector<Producer> producers_;
  std::vector<std::shared_ptr<Request>> requests_;
  std::map<uint64_t, Call> calls_;  // without an answer yet
  uint64_t last_call_ = 0;
  uint64_t life_ = 0;
  size_t steps_done_ = 0;
  bool chaos_ = true;
  bool stopping_ = false;
  bool ready_ = false;         // all logs are open
  bool disk_trouble_ = false;  // full, slow or hanging in this life
  bool crash_due_ = false;
  uint64_t life_errors_ = 0;
  uint64_t last_value_ = 0;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_BROKER_SCENARIO_H_
