#include "broker/leader_hint.h"

#include <string>
#include <utility>

namespace gregor {

Error WithLeader(Error error, NodeId leader_id, LeaderEpoch epoch, const BrokerImage* leader) {
  error.With("leader_id", std::to_string(leader_id.value));
  error.With("leader_epoch", std::to_string(epoch.value));
  if (leader == nullptr) return error;
  const auto listener = leader->listeners.find("grpc");
  if (listener == leader->listeners.end()) return error;
  error.With("leader_host", listener->second.host);
  error.With("leader_port", std::to_string(listener->second.port));
  return error;
}

}  // namespace gregor
