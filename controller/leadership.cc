#include "controller/leadership.h"

#include <optional>
#include <utility>

#include "controller/image/topic_configs.h"
#include "controller/partition_change.h"

namespace gregor {
namespace {

// Goes through the partitions that a changed broker holds.
class BrokerChange {
 public:
  BrokerChange(const MetadataImage& image, const BrokerImage& after, BrokerStart start,
               const ConfigMap& static_configs, std::vector<pb::MetadataRecord>& records)
      : image_(image),
        broker_(after),
        start_(start),
        static_configs_(static_configs),
        live_(image, &after),
        records_(records) {}

  void Run() {
    image_.topics.VisitAll([&](const std::string&, const TopicPtr& topic) { Visit(*topic); });
    if (only_replica_changes_) Add(true);
    const bool is_new = start_ == BrokerStart::kClean || start_ == BrokerStart::kUnclean;
    if (is_new && leads_) Add(false);
  }

 private:
  void Visit(const TopicImage& topic) {
    configs_.reset();
    topic.partitions.VisitAll([&](PartitionIndex, const PartitionPtr& partition) {
      if (!partition->replicas.Contains(broker_.id)) return;
      if (partition->replicas.size() == 1) {
        // Nobody else could lead it.
        if (start_ != BrokerStart::kLostDirectories) VisitOnlyReplica(*partition);
        return;
      }
      VisitOneOfMany(topic, *partition);
    });
  }

  void VisitOnlyReplica(const PartitionImage& partition) {
    const bool can_serve = live_.CanServe(partition, broker_.id);
    const bool leads = partition.leader == broker_.id;
    only_replica_changes_ |= can_serve ? !leads : !partition.isr.empty();
    leads_ |= leads && can_serve;
  }

  void VisitOneOfMany(const TopicImage& topic, const PartitionImage& before) {
    const bool can_serve = live_.CanServe(before, broker_.id);
    const bool is_in_sync = before.isr.Contains(broker_.id);
    const bool may_have_lost = start_ == BrokerStart::kUnclean &&
                               (is_in_sync || before.eligible.Contains(broker_.id)) &&
                               ConfigsOf(topic).durability == Durability::kReplicated;
    const bool has_no_leader = !live_.CanServe(before, before.leader);
    if (can_serve ? has_no_leader || may_have_lost : is_in_sync || may_have_lost) {
      PartitionWish wish{.partition = before, .lost = {}};
      if (may_have_lost) wish.lost = broker_.id;
      wish.leader_restarts = start_ != BrokerStart::kLostDirectories && before.leader == broker_.id;
      if (ConfigsOf(topic).unclean_election) wish.election = Election::kUnclean;
      const PartitionImage after =
          ChangePartition(before, std::move(wish), live_, ConfigsOf(topic).min_insync_replicas);
      leads_ |= after.leader == broker_.id;
      auto record = MakePartitionChange(topic.id, before, after);
      if (record.has_value()) records_.push_back(*std::move(record));
    } else {
      leads_ |= before.leader == broker_.id;
    }
  }

  struct Configs {
    int32_t min_insync_replicas;
    bool unclean_election;
    Durability durability;  // on the broker; no other than here, as it is the cluster's
  };
  const Configs& ConfigsOf(const TopicImage& topic) {
    if (!configs_.has_value()) {
      configs_ = {ResolveMinInsyncReplicas(topic, image_, static_configs_),
                  ResolveUncleanElection(topic, image_, static_configs_),
                  ResolveDurability(topic, image_, broker_.id, static_configs_)};
    }
    return *configs_;
  }

  void Add(bool only_replica) {
    auto& record = *records_.emplace_back().mutable_broker_restarted();
    record.set_node_id(broker_.id.value);
    record.set_only_replica(only_replica);
  }

  const MetadataImage& image_;
  const BrokerImage& broker_;
  const BrokerStart start_;
  const ConfigMap& static_configs_;
  const LiveBrokers live_;
  std::vector<pb::MetadataRecord>& records_;
  std::optional<Configs> configs_;  // of the topic that is visited
  bool only_replica_changes_ = false;
  bool leads_ = false;  // anything, after the change
};

}  // namespace

void PlanBrokerChange(const MetadataImage& image, const BrokerImage& after, BrokerStart start,
                      const ConfigMap& static_configs, std::vector<pb::MetadataRecord>& records) {
  BrokerChange(image, after, start, static_configs, records).Run();
}

}  // namespace gregor
