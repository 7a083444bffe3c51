// Draining brokers of what they lead.
#include <string>
#include <utility>

#include "controller/image/topic_configs.h"
#include "controller/operations.h"
#include "controller/partition_change.h"

namespace gregor {
namespace {

std::string Name(NodeId broker) { return "broker " + std::to_string(broker.value); }

// Why nobody else leads the partition.
Error Stays(const PartitionImage& partition) {
  std::string why = "no other replica is in sync";
  if (partition.replicas.size() == 1) why = "it has no other replica";
  if (partition.isr.size() > 1) why = "all other replicas in sync are on drained brokers";
  return Error(Reason::kEligibleLeadersNotAvailable, why);
}

// Moves what the broker leads, as far as possible.
class Drain {
 public:
  // `after`: the broker, drained.
  Drain(const PlanContext& context, const BrokerImage& after,
        std::vector<pb::MetadataRecord>& records)
      : context_(context), broker_(after.id), live_(context.image, &after), records_(records) {}

  std::vector<ElectedLeader> Run() {
    context_.image.topics.VisitAll([&](const std::string&, const TopicPtr& topic) {
      min_insync_replicas_.reset();
      topic->partitions.VisitAll([&](PartitionIndex, const PartitionPtr& partition) {
        if (partition->leader == broker_) Visit(*topic, *partition);
      });
    });
    return std::move(led_);
  }

 private:
  void Visit(const TopicImage& topic, const PartitionImage& before) {
    if (!min_insync_replicas_.has_value()) {
      min_insync_replicas_ =
          ResolveMinInsyncReplicas(topic, context_.image, context_.options.static_configs);
    }
    const PartitionImage after =
        ChangePartition(before, {.partition = before, .lost = {}}, live_, *min_insync_replicas_);
    ElectedLeader& led =
        led_.emplace_back(ElectedLeader{{topic.name, before.index}, Result<void>(), after.leader});
    // One whose log directory has failed is read where it is.
    if (after.leader == broker_) {
      led.result = Stays(before);
      led.leader = broker_;
      return;
    }
    records_.push_back(*MakePartitionChange(topic.id, before, after));
  }

  const PlanContext& context_;
  const NodeId broker_;
  const LiveBrokers live_;
  std::vector<pb::MetadataRecord>& records_;
  std::optional<int32_t> min_insync_replicas_;  // of the topic that is visited
  std::vector<ElectedLeader> led_;
};

}  // namespace

Result<Planned> Plan(const DrainBroker& operation, const PlanContext& context) {
  const BrokerImage* const before = context.image.Broker(operation.broker);
  if (before == nullptr) {
    return Error(Reason::kBrokerIdNotRegistered, Name(operation.broker) + " is not registered");
  }
  Planned planned;
  BrokerImage after = *before;
  after.drained = !operation.undo;
  if (after.drained != before->drained) {
    auto& change = *planned.records.emplace_back().mutable_broker_change();
    change.set_node_id(after.id.value);
    change.set_broker_epoch(after.epoch.value);
    change.set_drained(after.drained);
  }
  std::vector<ElectedLeader> led;
  if (after.drained) led = Drain(context, after, planned.records).Run();
  planned.answer = [led = std::move(led)](const MetadataImage&, Offset) { return led; };
  return planned;
}

}  // namespace gregor
