#ifndef GREGOR_TESTS_RAFT_SCENARIO_H_
#define GREGOR_TESTS_RAFT_SCENARIO_H_

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/raft/raft_cluster.h"

namespace gregor::raft {

// One line of a scenario: words, and NAME=VALUE options among them.
struct Command {
  std::string name;
  std::vector<std::string> words;
  std::map<std::string, std::string> options;

  static Command Parse(const std::string& line);
  bool Has(const std::string& word) const;
  std::string Option(const std::string& name, std::string otherwise) const;
  int Number(const std::string& name, int otherwise) const;
};

// A cluster that is led by commands, one step at a time; what happens is told as text. The commands
// are described in testdata/README.md. Time passes only where a command lets it.
class Scenario {
 public:
  Scenario();

  // What happened. Fails the test for a command that there is not.
  std::string Run(const std::vector<std::string>& lines);
  // A rule of Raft was violated, and the scenario had not said that it would.
  bool IsViolated() const { return !checks_.violations().empty() && !may_violate_; }

 private:
  // What was told of a node.
  struct Told {
    Role role = Role::kFollower;
    Term term{0};
    Leader leader;
    std::optional<HardState> hard;
    std::vector<std::pair<Offset, uint64_t>> log;
    Offset commit{0};
    std::vector<VoterKey> voters;
    std::optional<SnapshotId> wanted;
    bool transfer_failed = false;
    bool is_stopped = false;
  };
  struct Instance {
    std::string name;
    std::unique_ptr<RaftNode> node;
    bool has_slow_disk = false;
    bool is_paused = false;
    Told told;
  };
  struct Link {
    std::string from, to;  // "*": any
  };
  using Handler = void (Scenario::*)(const Command&);

  // --- commands (scenario_commands.cc) ---
  void Cluster(const Command& command);
  void SetLog(const Command& command);
  void Boot(const Command& command);
  void Crash(const Command& command);
  void Lose(const Command& command);
  void Wipe(const Command& command);
  void Clone(const Command& command);
  void Stop(const Command& command);
  void Pass(const Command& command);
  void CampaignOf(const Command& command);
  void Elect(const Command& command);
  void Stabilize(const Command& command);
  void DeliverSome(const Command& command);
  void Drop(const Command& command);
  void Keep(const Command& command);
  void Inject(const Command& command);
  void Disks(const Command& command);
  void LogReads(const Command& command);
  void Save(const Command& command);
  void Sync(const Command& command);
  void Isolate(const Command& command);
  void CutLinks(const Command& command);
  void Bridge(const Command& command);
  void Ring(const Command& command);
  void Heal(const Command& command);
  void Connection(const Command& command);
  void Pause(const Command& command);
  void Propose(const Command& command);
  void TransferTo(const Command& command);
  void ChangeVoters(const Command& command);
  void ReadAt(const Command& command);
  void Snapshot(const Command& command);
  void Fetch(const Command& command);
  void State(const Command& command);
  void Logs(const Command& command);
  void Messages(const Command& command);
  void ExpectViolations(const Command& command);

  // --- what they are made of (scenario.cc) ---
  Instance& Find(const std::string& name);
  std::vector<Instance*> Named(const Command& command);
  void AddInstance(const std::string& name, VoterKey key);
  void BootOne(Instance& instance, Offset applied);
  void Drain(Instance& instance);
  void WriteDisk(Instance& instance);
  void Receive(Instance& instance, Message message);
  void DeliverTo(const Message& message);
  void Settle();
  void Tick(Instance& instance);
  std::vector<Message> Take(const Command& command, bool remove);
  bool Matches(const Link& link, const Message& message) const;
  bool IsCut(const Message& message) const;
  void CutLink(NodeId from, NodeId to) { cuts_.insert({from, to}); }

  // --- text (scenario_text.cc) ---
  void Say(const std::string& line);
  void TellChanges(Instance& instance);
  void TellCut(Instance& instance);
  void TellReads(Instance& instance);
  void TellCommits();
  void TellViolations();
  std::string Name(NodeId node) const { return std::to_string(node.value); }
  std::string Name(const VoterKey& key) const;
  std::string Names(const std::vector<VoterKey>& keys) const;
  std::string StateOf(const Instance& instance) const;
  std::string LogOf(const Instance& instance) const;

  static const std::map<std::string, Handler>& Handlers();

  RaftChecks checks_;
  Options options_;
  std::map<std::string, Instance> instances_;
  std::deque<Message> flying_;
  std::map<std::string, Message> kept_;
  std::set<std::pair<NodeId, NodeId>> cuts_;
  MonotonicTime now_{std::chrono::seconds(100)};
  std::map<NodeId, int> wipes_;
  std::string text_;
  bool is_quiet_ = false;
  bool may_violate_ = false;
  size_t violations_told_ = 0;
  uint64_t proposals_ = 1;
  uint64_t reads_ = 1;
};

}  // namespace gregor::raft

#endif  // GREGOR_TESTS_RAFT_SCENARIO_H_
