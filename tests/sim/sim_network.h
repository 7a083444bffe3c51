#ifndef GREGOR_TESTS_SIM_SIM_NETWORK_H_
#define GREGOR_TESTS_SIM_SIM_NETWORK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "base/random.h"
#include "raft/host/transport.h"
#include "tests/sim/scheduler.h"

namespace gregor {

// How messages fare.
struct NetworkFaults {
  Duration delay_min = std::chrono::microseconds(50);
  Duration delay_max = std::chrono::milliseconds(2);
  double loss = 0;
  double duplicate = 0;
  double late = 0;  // arrives up to `late_max` after it was sent
  Duration late_max = std::chrono::seconds(30);
};

// The wires between nodes: each direction of each pair is cut by itself. A connection is up while
// both nodes are there and neither direction is cut; a cut is noticed at once or never, as it
// comes. Thread: the simulation's.
class SimNetwork {
 public:
  // Sees what is said, before it may be lost, and what comes.
  class Observer {
   public:
    virtual ~Observer() = default;
    virtual void OnSent(const raft::Message& message) = 0;
    virtual void OnReceived(const raft::Message& message) = 0;
  };

  explicit SimNetwork(Scheduler& scheduler)
      : scheduler_(scheduler), random_(scheduler.random().Fork()) {}

  NetworkFaults& faults() { return faults_; }
  // REQUIRES: it outlives the network, or is taken away (nullptr).
  void SetObserver(Observer* observer) { observer_ = observer; }

  // A node's end of all its wires; it goes with the node's process, and what is under way to it
  // then is lost.
  std::unique_ptr<RaftTransport> Attach(NodeId node, EventLoop& loop);

  bool IsCut(NodeId from, NodeId to) const { return cuts_.count({from, to}) != 0; }
  // Whether both nodes are there, and can talk to each other.
  bool IsConnected(NodeId one, NodeId other) const {
    return ends_.count(one) != 0 && ends_.count(other) != 0 && !IsCut(one, other) &&
           !IsCut(other, one);
  }
  // `noticed`: the nodes learn that the connection is gone.
  void Cut(NodeId from, NodeId to, bool noticed);
  // Cuts a node off from all others, both ways or one, as `random` has it.
  void Isolate(NodeId node, const std::vector<NodeId>& nodes, Random& random);
  // Cuts some wires between them: bridges, rings and halves, one-way or not, whatever comes.
  void CutSome(const std::vector<NodeId>& nodes, Random& random);
  void HealAll();

 private:
  class End;

  // Calls `call` with the node's receiver on its loop, unless its process has ended.
  template <typename Call>
  void After(Duration delay, NodeId node, Call call);
  // The same, with its end, whether it has a receiver or not.
  template <typename Call>
  void AtEnd(Duration delay, NodeId node, Call call);
  // ... if it is still in this life then.
  template <typename Call>
  void AtEndOf(uint64_t life, Duration delay, NodeId node, Call call);
  void FetchRange(NodeId from, NodeId to, Offset offset, LogRangeRead fetched);
  void Send(raft::Message message);
  void Tell(NodeId node, NodeId of, bool connected);
  void OnAttached(NodeId node);
  void OnDetached(NodeId node, const End* end);

  Scheduler& scheduler_;
  Random random_;
  NetworkFaults faults_;
  Observer* observer_ = nullptr;
  std::map<NodeId, End*> ends_;
  std::set<std::pair<NodeId, NodeId>> cuts_;
  uint64_t last_life_ = 0;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_SIM_NETWORK_H_
