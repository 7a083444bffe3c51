#ifndef GREGOR_CONTROLLER_BROKER_SESSIONS_H_
#define GREGOR_CONTROLLER_BROKER_SESSIONS_H_

#include <map>
#include <vector>

#include "base/time.h"
#include "base/types.h"

namespace gregor {

// Which brokers the active controller has heard of lately: soft state, which every active
// controller gathers anew (it gives all brokers their whole time at first, whatever its
// predecessor knew). Decisions only: the time comes from outside, and only ever grows. Thread: the
// controller loop.
class BrokerSessions {
 public:
  struct Options {
    // A broker that is not heard of for so long is fenced.
    Duration timeout = std::chrono::seconds(6);
    // Brokers speak so often. One whose connection was lost has one and a half of that to be
    // heard of in another way: a process that was killed is not waited for.
    Duration heartbeat_interval = std::chrono::milliseconds(500);
  };

  explicit BrokerSessions(Options options) : options_(options) {}

  // This node leads from now on, and these brokers are registered and not fenced.
  void Begin(const std::vector<NodeId>& brokers, MonotonicTime now);
  // The broker said something; its image is at `metadata_offset`.
  void OnHeard(NodeId broker, Offset metadata_offset, MonotonicTime now);
  // A connection to the broker's node was lost.
  void OnLost(NodeId broker, MonotonicTime now);
  void Forget(NodeId broker) { sessions_.erase(broker); }

  // Whether the broker itself was heard of in time, by this controller, and its connection not
  // lost since.
  bool IsAlive(NodeId broker, MonotonicTime now) const;
  // Whether nobody waits for the broker any more: its connection was lost, its time is up, or it
  // was never there. One of which this controller has yet to hear is not gone.
  bool IsGone(NodeId broker, MonotonicTime now) const;
  // How far the broker's image is, as it last said; 0 if it did not.
  Offset MetadataOffset(NodeId broker) const;

  // Those whose time is up. To be asked at least each half heartbeat interval: what comes later
  // than that is taken for a pause of this controller itself, which is nobody's fault.
  std::vector<NodeId> Expired(MonotonicTime now);

 private:
  struct Session {
    MonotonicTime deadline;
    bool heard = false;  // of itself
    bool lost = false;   // its connection, since then
    Offset metadata_offset{0};
  };

  const Options options_;
  std::map<NodeId, Session> sessions_;
  MonotonicTime asked_;  // Expired()
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_BROKER_SESSIONS_H_
