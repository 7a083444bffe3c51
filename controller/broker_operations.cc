// Operations on brokers: registration, heartbeats, fencing.
#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "controller/broker_news.h"
#include "controller/image/rows.h"
#include "controller/leadership.h"
#include "controller/operations.h"

namespace gregor {
namespace {

std::string Name(NodeId broker) { return "broker " + std::to_string(broker.value); }

Result<const BrokerImage*> FindBroker(NodeId id, const MetadataImage& image) {
  if (const BrokerImage* const broker = image.Broker(id)) return broker;
  return Error(Reason::kBrokerIdNotRegistered, Name(id) + " is not registered");
}

// Why the broker cannot be so in this cluster, or nothing.
Result<void> CheckBroker(const BrokerImage& broker, const MetadataImage& image) {
  const auto refuse = [&](const std::string& what) {
    return Error(Reason::kInvalidArgument, Name(broker.id) + " cannot register: " + what);
  };
  if (broker.id.value < 0) return refuse("node ids begin at 0");
  const std::set<DirectoryId> directories(broker.directories.begin(), broker.directories.end());
  if (directories.size() != broker.directories.size() || directories.count(DirectoryId{}) != 0)
    return refuse("its log directories have no ids of their own");
  std::optional<Error> taken;
  image.brokers.VisitAll([&](NodeId node, const auto& other) {
    if (node == broker.id || taken.has_value()) return;
    for (const DirectoryId& id : other->directories) {
      if (directories.count(id) != 0)
        taken = refuse("log directory " + id.ToString() + " belongs to " + Name(node) +
                       " (was it copied?)");
    }
  });
  if (taken.has_value()) return *taken;
  if (broker.feature_level_min < 1 || !broker.SupportsLevel(image.feature_level)) {
    return refuse("it supports feature levels " + std::to_string(broker.feature_level_min) +
                  " to " + std::to_string(broker.feature_level_max) + ", and the cluster is at " +
                  std::to_string(image.feature_level) +
                  ": run a version that supports it, or change the level with `gregor cluster "
                  "features`");
  }
  return {};
}

bool HasLostDirectories(const BrokerImage& before, const BrokerImage& after) {
  return std::any_of(before.directories.begin(), before.directories.end(),
                     [&](const DirectoryId& id) { return !after.HasDirectory(id); });
}

// The change of a broker's state, and what it means for partitions.
void AddChange(const MetadataImage& image, const ControllerOptions& options,
               const BrokerImage& after, std::vector<pb::MetadataRecord>& records) {
  const BrokerImage& before = *image.Broker(after.id);
  auto& change = *records.emplace_back().mutable_broker_change();
  change.set_node_id(after.id.value);
  change.set_broker_epoch(after.epoch.value);
  if (after.fenced != before.fenced) change.set_fenced(after.fenced);
  if (after.in_controlled_shutdown != before.in_controlled_shutdown)
    change.set_in_controlled_shutdown(after.in_controlled_shutdown);
  if (after.fenced_by_hand != before.fenced_by_hand)
    change.set_fenced_by_hand(after.fenced_by_hand);
  if (after.drained != before.drained) change.set_drained(after.drained);
  PlanBrokerChange(image, after, BrokerStart::kGoesOn, options.static_configs, records);
}

bool CanOtherLead(const PartitionImage& partition, NodeId broker, const MetadataImage& image) {
  const auto is_other = [&](NodeId node) {
    const BrokerImage* const other = image.Broker(node);
    return node != broker && other != nullptr && other->IsActive();
  };
  return std::any_of(partition.isr.begin(), partition.isr.end(), is_other) ||
         std::any_of(partition.eligible.begin(), partition.eligible.end(), is_other);
}

// Whether there is something that others could take over from the broker.
bool HasToHandOver(NodeId broker, const MetadataImage& image) {
  bool found = false;
  image.topics.VisitAll([&](const std::string&, const TopicPtr& topic) {
    if (found) return;
    topic->partitions.VisitAll([&](PartitionIndex, const PartitionPtr& partition) {
      if (found || !partition->isr.Contains(broker)) return;
      found = CanOtherLead(*partition, broker, image);
    });
  });
  return found;
}

bool HasOthers(NodeId broker, const MetadataImage& image) {
  bool found = false;
  image.brokers.VisitAll([&](NodeId node, const auto&) { found = found || node != broker; });
  return found;
}

// Whether every other broker that may be alive knows that the broker is not to be asked any more:
// also those that a new controller has yet to hear of.
bool IsKnownToOthers(const BrokerImage& broker, const PlanContext& context) {
  bool known = true;
  context.image.brokers.VisitAll([&](NodeId node, const auto& other) {
    if (node == broker.id || other->fenced || context.sessions.IsGone(node, context.now)) return;
    known = known && context.sessions.MetadataOffset(node) > broker.changed_at;
  });
  return known;
}

Planned AnswerStatus(const BrokerStatus& status) {
  Planned planned;
  planned.answer = [status](const MetadataImage&, Offset) { return status; };
  return planned;
}

// A broker that is about to stop hands over what others can lead, and may go once they know. From
// then on nothing new is placed on it.
Planned PlanStop(const BrokerImage& broker, const PlanContext& context) {
  if (broker.in_controlled_shutdown)
    return AnswerStatus({broker.fenced, IsKnownToOthers(broker, context)});
  if (broker.fenced || !HasOthers(broker.id, context.image))
    return AnswerStatus({broker.fenced, true});
  Planned planned = AnswerStatus({false, !HasToHandOver(broker.id, context.image)});
  BrokerImage after = broker;
  after.in_controlled_shutdown = true;
  AddChange(context.image, context.options, after, planned.records);
  return planned;
}

// Whether none of the log directories that the broker had is there.
bool HasOtherDirectories(const BrokerImage& before, const BrokerImage& after) {
  return !before.directories.empty() &&
         std::none_of(before.directories.begin(), before.directories.end(),
                      [&](const DirectoryId& id) { return after.HasDirectory(id); });
}

// Whether the cluster is this controller's node and nobody else: its only broker is of the process
// that holds the lock on the metadata log, so that no other one can run.
bool IsAlone(NodeId broker, const PlanContext& context) {
  if (!context.quorum || broker != context.options.node_id || HasOthers(broker, context.image))
    return false;
  const std::vector<QuorumMember> voters = context.quorum().voters;
  return voters.size() == 1 && voters.front().key.node == broker;
}

std::string Seconds(Duration duration) {
  return std::to_string(std::chrono::ceil<std::chrono::seconds>(duration).count()) + " s";
}

// Fails where `broker`, which registers, may be another one than the one of its id that runs. A
// controller that leads since a moment ago has yet to hear of that one; who has its log
// directories, of which a process has the lock, comes after it all the same.
Result<void> CheckRival(const BrokerImage& before, const BrokerImage& broker,
                        const PlanContext& context) {
  if (before.incarnation == broker.incarnation) return {};
  if (context.sessions.IsAlive(broker.id, context.now)) {
    return Error(Reason::kDuplicateBrokerRegistration,
                 "another process runs as " + Name(broker.id) + PlaceOf(before) +
                     ": give this one a node_id of its own, or stop the other one");
  }
  if (before.fenced || context.sessions.IsGone(broker.id, context.now) ||
      !HasOtherDirectories(before, broker) || IsAlone(broker.id, context))
    return {};
  return Error(Reason::kDuplicateBrokerRegistration,
               Name(broker.id) + " was running a moment ago" + PlaceOf(before) +
                   ", with other log directories; waiting up to " +
                   Seconds(context.options.broker_sessions.timeout) +
                   " until it is known to be gone");
}

}  // namespace

Result<Planned> Plan(const RegisterBroker& operation, const PlanContext& context) {
  const MetadataImage& image = context.image;
  BrokerImage broker = operation.broker;
  RETURN_IF_ERROR(CheckBroker(broker, image));
  const BrokerImage* const before = image.Broker(broker.id);
  const bool goes_on = before != nullptr && before->incarnation == broker.incarnation;
  if (before != nullptr) RETURN_IF_ERROR(CheckRival(*before, broker, context));
  broker.fenced_by_hand = before != nullptr && before->fenced_by_hand;
  broker.drained = before != nullptr && before->drained;
  broker.fenced = goes_on ? before->fenced : broker.fenced_by_hand;
  broker.in_controlled_shutdown = goes_on && before->in_controlled_shutdown;
  context.sessions.OnHeard(broker.id, Offset{0}, context.now);
  Planned planned;
  planned.records.push_back(MakeBrokerRecord(broker, false));
  const BrokerStart start = goes_on && HasLostDirectories(*before, broker)
                                ? BrokerStart::kLostDirectories
                            : goes_on                   ? BrokerStart::kGoesOn
                            : operation.stopped_cleanly ? BrokerStart::kClean
                                                        : BrokerStart::kUnclean;
  if (start != BrokerStart::kGoesOn)
    PlanBrokerChange(image, broker, start, context.options.static_configs, planned.records);
  planned.answer = [](const MetadataImage&, Offset base) { return BrokerEpoch{base.value}; };
  return planned;
}

Result<Planned> Plan(const BrokerHeartbeat& operation, const PlanContext& context) {
  ASSIGN_OR_RETURN(const BrokerImage* broker, FindBroker(operation.broker, context.image));
  if (broker->epoch != operation.epoch) {
    return Error(Reason::kStaleBrokerEpoch,
                 Name(broker->id) + " was registered again since, with epoch " +
                     std::to_string(broker->epoch.value) + ": another process has its node_id");
  }
  context.sessions.OnHeard(broker->id, operation.metadata_offset, context.now);
  if (operation.wants_to_stop) return PlanStop(*broker, context);
  // It must know that it was fenced before it leads again.
  const bool may_come_back =
      broker->fenced && !broker->fenced_by_hand && operation.metadata_offset > broker->changed_at;
  if (!may_come_back) return AnswerStatus({broker->fenced, false});
  Planned planned = AnswerStatus({false, false});
  BrokerImage after = *broker;
  after.fenced = false;
  AddChange(context.image, context.options, after, planned.records);
  return planned;
}

Result<Planned> Plan(const SetBrokerFence& operation, const PlanContext& context) {
  ASSIGN_OR_RETURN(const BrokerImage* broker, FindBroker(operation.broker, context.image));
  Planned planned;
  planned.answer = [](const MetadataImage&, Offset) { return std::monostate(); };
  if (broker->fenced_by_hand == operation.fenced) return planned;
  BrokerImage after = *broker;
  after.fenced_by_hand = operation.fenced;
  // It comes back with a heartbeat, as after any fence: once it knows.
  if (operation.fenced) after.fenced = true;
  AddChange(context.image, context.options, after, planned.records);
  return planned;
}

Result<Planned> Plan(const UnregisterBroker& operation, const PlanContext& context) {
  ASSIGN_OR_RETURN(const BrokerImage* broker, FindBroker(operation.broker, context.image));
  if (!broker->fenced || context.sessions.IsAlive(broker->id, context.now)) {
    return Error(Reason::kPolicyViolation,
                 Name(broker->id) + " is running, or stopped less than " +
                     Seconds(context.options.broker_sessions.timeout) +
                     " ago: stop it first, and try again when it is fenced");
  }
  int64_t replicas = 0;
  context.image.topics.VisitAll([&](const std::string&, const TopicPtr& topic) {
    topic->partitions.VisitAll([&](PartitionIndex, const PartitionPtr& partition) {
      if (partition->replicas.Contains(operation.broker)) ++replicas;
    });
  });
  if (replicas > 0) {
    return Error(Reason::kPolicyViolation,
                 Name(broker->id) + " has " + std::to_string(replicas) +
                     " replicas, which would be lost: move them away, or delete their topics");
  }
  context.sessions.Forget(broker->id);
  Planned planned;
  auto& record = *planned.records.emplace_back().mutable_unregister_broker();
  record.set_node_id(broker->id.value);
  record.set_broker_epoch(broker->epoch.value);
  planned.answer = [](const MetadataImage&, Offset) { return std::monostate(); };
  return planned;
}

std::vector<pb::MetadataRecord> PlanFence(NodeId broker, const MetadataImage& image,
                                          const ControllerOptions& options) {
  std::vector<pb::MetadataRecord> records;
  const BrokerImage* const before = image.Broker(broker);
  if (before == nullptr || before->fenced) return records;
  BrokerImage after = *before;
  after.fenced = true;
  after.in_controlled_shutdown = false;
  AddChange(image, options, after, records);
  return records;
}

}  // namespace gregor
