#ifndef GREGOR_TESTS_RAFT_CHAOS_RUN_H_
#define GREGOR_TESTS_RAFT_CHAOS_RUN_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/raft/raft_cluster.h"

namespace gregor::raft {

// One random run of the algorithm alone, on a network, disks and clocks that do what they like.
// Which faults there are, and how many, is drawn from the seed.
class ChaosRun {
 public:
  struct Setup {
    uint64_t seed = 1;
    uint64_t left_out = 0;                         // kinds of faults: bit 0 is the first name's
    std::function<void(const std::string&)> note;  // is told what happens, where it is set
  };
  explicit ChaosRun(uint64_t seed) : ChaosRun(Setup{.seed = seed, .note = {}}) {}
  explicit ChaosRun(Setup setup);
  // Kinds of faults that may be left out.
  static const std::vector<std::string_view>& FaultNames();

  void Run(int steps);
  // No more faults: there has to be a leader, and what is proposed gets committed everywhere;
  // after that a follower that was cut off for a while comes back, and disturbs nobody.
  bool Settle();

  const RaftChecks& checks() const { return checks_; }
  MonotonicTime now() const { return now_; }
  std::string Describe() const;

 private:
  // In the order of their names.
  enum class Fault {
    kCrash,
    kCut,
    kCutLeader,
    kChangeVoters,
    kTransfer,
    kWipe,
    kPause,
    kStall,
    kDisconnect,
    kLoss,
    kDuplicate,
    kLate,
    kSlowDisk
  };
  static constexpr MonotonicTime kBegin{std::chrono::seconds(100)};
  struct Flying {
    MonotonicTime due;
    uint64_t order;
    Message message;
  };
  // A node's clock, and when it was reached by whom.
  struct Around {
    Duration lag{0};              // its clock is so late
    MonotonicTime stalled_until;  // its clock stands
    MonotonicTime paused_until;   // it does nothing
    MonotonicTime leads_since;    // R16 counts from here
    Offset voters_end{-1};
    std::map<NodeId, MonotonicTime> heard;
  };

  void ChooseFaults();
  bool LeavesOut(Fault fault) const {
    return (setup_.left_out >> static_cast<int>(fault) & 1) != 0;
  }
  template <typename... Parts>
  void Note(const Parts&... parts);
  void Boot(RaftNode& node);
  void Drain(RaftNode& node);
  void Send(Message message);
  MonotonicTime Now(const RaftNode& node);
  bool IsPaused(const RaftNode& node) { return Of(node).paused_until > now_; }
  bool IsCut(NodeId from, NodeId to) const { return cut_off_.count({from, to}) != 0; }
  Around& Of(const RaftNode& node) { return around_[node.key().node]; }
  void Advance(Duration by);
  void Deliver(Flying flying);
  void CheckLeader(RaftNode& node);
  RaftNode* Find(NodeId id);
  RaftNode& Any() { return *nodes_[random_.Below(nodes_.size())]; }
  RaftNode* leader();
  void Connect();
  void FetchSnapshot(RaftNode& node);
  void Step();
  void StepNode(RaftNode& node);
  void Work(RaftNode& node);
  void DoFault();
  void CrashOrBoot(RaftNode& node);
  void Cut(RaftNode& node);
  void CutLeader();
  void Heal();
  void ChangeVoters();
  bool IsAlive(const VoterSet& set, const RaftNode* without) const;
  bool MayWipe(const RaftNode& node) const;
  void Wipe(RaftNode& node);
  bool GetOn(Duration within);
  void CheckReturnOfFollower();

  const Setup setup_;
  Random random_;
  Options options_;
  RaftChecks checks_;
  std::vector<std::unique_ptr<RaftNode>> nodes_;
  std::map<NodeId, Around> around_;
  MonotonicTime now_ = kBegin;
  std::vector<Flying> flying_;
  uint64_t order_ = 0;
  uint64_t proposals_ = 1;
  int wipes_ = 0;
  std::map<uint64_t, Offset> reads_;
  std::set<std::pair<NodeId, NodeId>> cut_off_;
  std::vector<Fault> faults_;
  double loss_ = 0, duplicates_ = 0, fault_rate_ = 0, slow_disk_ = 0, late_ = 0, snapshots_ = 0.01,
         changes_ = 0;
};

}  // namespace gregor::raft

#endif  // GREGOR_TESTS_RAFT_CHAOS_RUN_H_
