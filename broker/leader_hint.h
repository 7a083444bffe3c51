#ifndef GREGOR_BROKER_LEADER_HINT_H_
#define GREGOR_BROKER_LEADER_HINT_H_

#include "base/result.h"
#include "controller/image/image.h"

namespace gregor {

// `error` with who leads the partition, since which epoch, and, where the metadata know it, where
// clients reach it: what a door makes a hint of. `leader`: nullptr where it is not known. Thread:
// any.
Error WithLeader(Error error, NodeId leader_id, LeaderEpoch epoch, const BrokerImage* leader);

}  // namespace gregor

#endif  // GREGOR_BROKER_LEADER_HINT_H_
