#ifndef GREGOR_TESTS_CONTROLLER_LEADERSHIP_CHAOS_H_
#define GREGOR_TESTS_CONTROLLER_LEADERSHIP_CHAOS_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/controller/cluster_image.h"

namespace gregor {

// A cluster whose brokers come and go at random, while leaders change who is in sync, leaders are
// elected and partitions move: every step by the controller's plans. Beside it a model of the data:
// how many committed records each replica has. After each step the invariants are looked at:
// - C2: epochs only rise, the partition epoch with every change, the leader epoch with every leader
// - C3: the leader is in sync, and one of the replicas
// - C4: in sync are replicas that can serve; nobody is both in sync and eligible
// - C5: |ISR| + |ELR| >= min.insync.replicas once that was so, but for losses and unclean elections
// - L2, L3: a leader that lost its log directory leads on, alone, just as long as nobody else can
// - P1: who is in sync or eligible has every committed record (and with it C6: whoever caught up in
//   an earlier life of its broker may have lost it)
class LeadershipChaos {
 public:
  explicit LeadershipChaos(uint64_t seed);
  // Takes one step. False once an invariant is violated.
  bool Step();
  // The first violation, or empty.
  const std::string& violation() const { return violation_; }
  // How often each step was of effect, and how often somebody led: a run without those shows
  // nothing.
  const std::map<std::string, int>& counts() const { return counts_; }

 private:
  static constexpr int32_t kBrokers = 5;
  using Key = std::pair<TopicId, PartitionIndex>;
  // What a replica has: of the committed records the first `count`; -1: another history.
  struct Data {
    int64_t committed = 0;
    std::map<NodeId, int64_t> count;
  };

  void CreateTopic();
  void DeleteTopic();
  void ChangeBroker();
  void RestartBroker();
  void LoseDirectory();
  void Drain();
  void Produce();
  void Catch();
  void Deliver();
  void Elect();
  void Reassign();
  void ChangeConfig();

  void Look(const char* step);
  void LookAt(const TopicImage& topic, const PartitionImage* before, const PartitionImage& now,
              Data& data);
  void Fail(const std::string& invariant, const TopicImage& topic, const PartitionImage& now);
  bool CanServe(const PartitionImage& partition, NodeId node) const;
  bool CanOtherLead(const PartitionImage& partition) const;
  int32_t MinInsync(const TopicImage& topic, const PartitionImage& partition) const;
  std::pair<TopicPtr, const PartitionImage*> Any();
  NodeId AnyBroker() { return NodeId{static_cast<int32_t>(random_.Below(kBrokers)) + 1}; }
  std::vector<int32_t> AnyReplicas(size_t count);

  Random random_;
  ClusterImage cluster_;
  ImagePtr before_;
  std::map<Key, Data> data_;
  std::vector<AlterPartitions> pending_;  // changes that leaders asked for
  bool is_unclean_ = false;               // the step is an unclean election, or loses records
  int topic_number_ = 0;
  std::string violation_;
  std::map<std::string, int> counts_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_CONTROLLER_LEADERSHIP_CHAOS_H_
