// Replay: brokers.
#include <utility>

#include "controller/image/replay.h"

namespace gregor {

Result<BrokerImage> RegisteredBroker(Offset offset, const pb::RegisterBrokerRecord& record) {
  BrokerImage broker;
  broker.id = NodeId{record.node_id()};
  // A snapshot says when it was registered, the log does by where it is.
  broker.epoch = BrokerEpoch{record.broker_epoch() != 0 ? record.broker_epoch() : offset.value};
  broker.changed_at = Offset{record.changed_at() != 0 ? record.changed_at() : offset.value};
  DirectoryId incarnation;
  if (record.node_id() < 0 || broker.epoch.value < 0 || !ReadId(record.incarnation(), &incarnation))
    return Contradiction("a broker without a valid id, epoch and incarnation");
  broker.incarnation = incarnation.bytes;
  broker.rack = record.rack();
  broker.version = record.version();
  if (!IsSortedByName(record.listeners())) return Contradiction("listeners that are not in order");
  for (const auto& listener : record.listeners()) {
    if (listener.port() < 0 || listener.port() > UINT16_MAX)
      return Contradiction("a listener's port is " + std::to_string(listener.port()));
    broker.listeners[listener.name()] = {listener.host(), static_cast<uint16_t>(listener.port())};
  }
  ASSIGN_OR_RETURN(broker.directories, ToList<DirectoryId>(record.directories()));
  broker.fenced = record.fenced();
  broker.fenced_by_hand = record.fenced_by_hand();
  broker.drained = record.drained();
  broker.in_controlled_shutdown = record.in_controlled_shutdown();
  broker.feature_level_min = record.feature_level_min();
  broker.feature_level_max = record.feature_level_max();
  if (broker.feature_level_min < 1 || broker.feature_level_max < broker.feature_level_min)
    return Contradiction("a broker that supports no feature level");
  return broker;
}

Result<void> Replay::Apply(Offset offset, const pb::RegisterBrokerRecord& record) {
  ASSIGN_OR_RETURN(BrokerImage broker, RegisteredBroker(offset, record));
  if (!broker.SupportsLevel(now_.feature_level))
    return Contradiction("a broker that does not support the cluster's feature level");
  now_.brokers.Set(broker.id, std::make_shared<const BrokerImage>(broker));
  brokers_changed_ = true;
  return {};
}

namespace {

// The partition after a restart of its leader.
std::optional<PartitionImage> Restarted(const BrokerImage& broker, const PartitionImage& before) {
  if (before.leader != broker.id) return std::nullopt;
  return before;
}

// The partition as it is with its only replica on this broker.
std::optional<PartitionImage> OnlyReplica(const BrokerImage& broker, const PartitionImage& before) {
  if (before.replicas.size() != 1 || before.replicas.front() != broker.id) return std::nullopt;
  const bool is_led = before.leader == broker.id;
  const bool is_in_sync = !before.isr.empty();
  const bool can_serve = broker.IsActive() && broker.HasDirectory(before.directories.front());
  if (can_serve ? is_led : !is_in_sync) return std::nullopt;
  // It never had everything: that takes more than a broker's start.
  if (!is_in_sync && before.eligible.empty()) return std::nullopt;
  PartitionImage after = before;
  after.leader = can_serve ? broker.id : NodeId{-1};
  after.isr = can_serve ? before.replicas : SharedList<NodeId>();
  after.eligible = can_serve ? SharedList<NodeId>() : before.replicas;
  return after;
}

}  // namespace

Result<void> Replay::Apply(const pb::BrokerRestartedRecord& record) {
  EndRun();
  ASSIGN_OR_RETURN(const auto broker, Registered(record.node_id()));
  bool exhausted = false;
  const auto change = [&](PartitionIndex,
                          const PartitionPtr& before) -> std::optional<PartitionPtr> {
    auto after =
        record.only_replica() ? OnlyReplica(*broker, *before) : Restarted(*broker, *before);
    if (!after.has_value()) return std::nullopt;
    const bool raised = Raise(after->leader_epoch.value) && Raise(after->partition_epoch.value);
    exhausted = exhausted || !raised;
    return std::make_shared<const PartitionImage>(*std::move(after));
  };
  for (auto& [id, topic] : changed_) {
    if (topic != nullptr) topic->partitions.Transform(change);
  }
  base_->topics.VisitAll([&](const std::string&, const TopicPtr& topic) {
    if (changed_.count(topic->id) != 0) return;
    auto partitions = topic->partitions;
    if (!partitions.Transform(change)) return;
    auto after = std::make_shared<TopicImage>(*topic);
    after->partitions = std::move(partitions);
    changed_[topic->id] = std::move(after);
  });
  if (exhausted) return Contradiction("no leader epoch is left");
  return {};
}

Result<void> Replay::Apply(Offset offset, const pb::BrokerChangeRecord& record) {
  ASSIGN_OR_RETURN(BrokerImage broker, Registered(record.node_id(), record.broker_epoch()));
  if (record.has_fenced()) broker.fenced = record.fenced();
  if (record.has_fenced_by_hand()) broker.fenced_by_hand = record.fenced_by_hand();
  if (record.has_drained()) broker.drained = record.drained();
  if (record.has_in_controlled_shutdown())
    broker.in_controlled_shutdown = record.in_controlled_shutdown();
  broker.changed_at = offset;
  now_.brokers.Set(broker.id, std::make_shared<const BrokerImage>(broker));
  brokers_changed_ = true;
  return {};
}

Result<void> Replay::Apply(const pb::UnregisterBrokerRecord& record) {
  ASSIGN_OR_RETURN(const BrokerImage broker, Registered(record.node_id(), record.broker_epoch()));
  now_.brokers.Erase(broker.id);
  brokers_changed_ = true;
  return {};
}

Result<std::shared_ptr<const BrokerImage>> Replay::Registered(int32_t node_id) const {
  const auto* const broker = now_.brokers.Find(NodeId{node_id});
  if (broker != nullptr) return *broker;
  return Contradiction("broker " + std::to_string(node_id) + " is not registered");
}

Result<BrokerImage> Replay::Registered(int32_t node_id, int64_t broker_epoch) const {
  ASSIGN_OR_RETURN(const auto broker, Registered(node_id));
  if (broker->epoch.value == broker_epoch) return *broker;
  return Contradiction("broker " + std::to_string(node_id) + " is registered with epoch " +
                       std::to_string(broker->epoch.value) + ", not " +
                       std::to_string(broker_epoch));
}

}  // namespace gregor
