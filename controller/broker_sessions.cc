#include "controller/broker_sessions.h"

#include <algorithm>

namespace gregor {

void BrokerSessions::Begin(const std::vector<NodeId>& brokers, MonotonicTime now) {
  sessions_.clear();
  for (const NodeId broker : brokers) sessions_[broker].deadline = now + options_.timeout;
  asked_ = now;
}

void BrokerSessions::OnHeard(NodeId broker, Offset metadata_offset, MonotonicTime now) {
  Session& session = sessions_[broker];
  session.deadline = now + options_.timeout;
  session.heard = true;
  session.lost = false;
  session.metadata_offset = std::max(session.metadata_offset, metadata_offset);
}

void BrokerSessions::OnLost(NodeId broker, MonotonicTime now) {
  const auto found = sessions_.find(broker);
  if (found == sessions_.end()) return;
  Session& session = found->second;
  session.lost = true;
  session.deadline = std::min(session.deadline, now + 3 * options_.heartbeat_interval / 2);
}

bool BrokerSessions::IsAlive(NodeId broker, MonotonicTime now) const {
  return !IsGone(broker, now) && sessions_.at(broker).heard;
}

bool BrokerSessions::IsGone(NodeId broker, MonotonicTime now) const {
  const auto found = sessions_.find(broker);
  return found == sessions_.end() || found->second.lost || now >= found->second.deadline;
}

Offset BrokerSessions::MetadataOffset(NodeId broker) const {
  const auto found = sessions_.find(broker);
  return found == sessions_.end() ? Offset{0} : found->second.metadata_offset;
}

std::vector<NodeId> BrokerSessions::Expired(MonotonicTime now) {
  const Duration late = now - asked_ - options_.heartbeat_interval;
  asked_ = now;
  std::vector<NodeId> expired;
  for (auto& [broker, session] : sessions_) {
    if (late > Duration::zero()) session.deadline += late;
    if (session.deadline <= now) expired.push_back(broker);
  }
  return expired;
}

}  // namespace gregor
