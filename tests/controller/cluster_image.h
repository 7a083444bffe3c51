#ifndef GREGOR_TESTS_CONTROLLER_CLUSTER_IMAGE_H_
#define GREGOR_TESTS_CONTROLLER_CLUSTER_IMAGE_H_

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "controller/image/replay.h"
#include "controller/image/rows.h"
#include "controller/leadership.h"
#include "controller/operations.h"
#include "controller/placement.h"

namespace gregor {

inline std::vector<NodeId> Nodes(const std::vector<int32_t>& ids) {
  std::vector<NodeId> nodes;
  for (const int32_t id : ids) nodes.push_back(NodeId{id});
  return nodes;
}

// The metadata of a cluster of several brokers, changed as an active controller changes them, but
// without a log.
class ClusterImage {
 public:
  explicit ClusterImage(uint64_t seed = 1) : random_(seed) {
    pb::MetadataRecord level, cluster;
    level.mutable_feature_level()->set_level(kFeatureLevel);
    cluster.mutable_cluster()->set_cluster_id(ToBytes(random_.NewUuid<ClusterId>().bytes));
    cluster.mutable_cluster()->set_request_id_key(std::string(16, 0x11));
    Commit({level, cluster});
  }

  ControllerOptions options;
  std::function<QuorumStatus()> quorum;
  const ImagePtr& image() const { return image_; }
  Random& random() { return random_; }

  void Commit(const std::vector<pb::MetadataRecord>& records) {
    Replay replay(image_);
    Offset offset = image_ == nullptr ? Offset{0} : image_->version;
    for (const auto& record : records) {
      const auto applied = replay.Apply(offset, SerializeRecord(record));
      ASSERT_TRUE(applied.ok()) << applied.error();
      offset = offset + 1;
    }
    image_ = replay.Finish({offset, LeaderEpoch{1}, Timestamp{offset.value}}).after;
  }

  // Plans and commits an operation.
  template <typename Op>
  Result<typename Op::Answer> Run(const Op& operation) {
    const PlanContext context{*image_, options, random_, sessions_, MonotonicTime{}, 0, quorum};
    auto planned = Plan(operation, context);
    if (!planned.ok()) return std::move(planned).error();
    const Offset base = image_->version;
    if (!IsValidateOnly(operation)) Commit(planned->records);
    last_records = planned->records;
    if constexpr (std::is_void_v<typename Op::Answer>) {
      return {};
    } else {
      return std::get<typename Op::Answer>(planned->answer(*image_, base));
    }
  }

  // A broker's log directories, always the same ones.
  static DirectoryId Directory(int32_t node, uint8_t number = 0) {
    DirectoryId id;
    id.bytes[0] = static_cast<uint8_t>(node);
    id.bytes[1] = number;
    id.bytes[15] = 1;
    return id;
  }
  // A start of a broker's process.
  BrokerImage NewBroker(int32_t node, const std::string& rack = "") {
    BrokerImage broker;
    broker.id = NodeId{node};
    broker.incarnation = random_.NewUuid<DirectoryId>().bytes;
    broker.rack = rack;
    broker.directories = {Directory(node), Directory(node, 1)};
    return broker;
  }
  void Start(const BrokerImage& broker, BrokerStart start) {
    std::vector<pb::MetadataRecord> records = {MakeBrokerRecord(broker, false)};
    PlanBrokerChange(*image_, broker, start, options.static_configs, records);
    last_records = {records.begin() + 1, records.end()};
    Commit(records);
  }
  void StartAll(int32_t count) {
    for (int32_t node = 1; node <= count; ++node) Start(NewBroker(node), BrokerStart::kClean);
  }
  // A change of a running broker.
  void Change(const BrokerImage& broker) {
    std::vector<pb::MetadataRecord> records(1);
    auto& change = *records.front().mutable_broker_change();
    change.set_node_id(broker.id.value);
    change.set_broker_epoch(broker.epoch.value);
    change.set_fenced(broker.fenced);
    change.set_in_controlled_shutdown(broker.in_controlled_shutdown);
    PlanBrokerChange(*image_, broker, BrokerStart::kGoesOn, options.static_configs, records);
    last_records = {records.begin() + 1, records.end()};
    Commit(records);
  }
  void Fence(int32_t node, bool fenced = true) {
    BrokerImage broker = *image_->Broker(NodeId{node});
    broker.fenced = fenced;
    if (fenced) broker.in_controlled_shutdown = false;
    Change(broker);
  }
  void Unfence(int32_t node) { Fence(node, false); }
  void ShutDown(int32_t node) {
    BrokerImage broker = *image_->Broker(NodeId{node});
    broker.in_controlled_shutdown = true;
    Change(broker);
  }
  // Stops as it may, and starts again: fenced, then not.
  void Restart(int32_t node, BrokerStart start) {
    BrokerImage broker = NewBroker(node, image_->Broker(NodeId{node})->rack);
    broker.fenced = true;
    Start(broker, start);
    Unfence(node);
  }

  // A topic with one partition for each list of replicas.
  TopicPtr Create(const std::string& name, const std::vector<std::vector<int32_t>>& assignment,
                  const ConfigMap& configs = {}) {
    const auto id = random_.NewUuid<TopicId>();
    std::vector<pb::MetadataRecord> records(3);
    auto& topic = *records[0].mutable_topic();
    topic.set_name(name);
    topic.set_topic_id(ToBytes(id.bytes));
    records[1].mutable_partitions()->set_topic_id(ToBytes(id.bytes));
    std::vector<std::vector<NodeId>> nodes;
    for (const auto& replicas : assignment) nodes.push_back(Nodes(replicas));
    for (const auto& each : PlacePartitions(*image_, 0, nodes, random_))
      AddPartition(each, *records[1].mutable_partitions());
    auto& config = *records[2].mutable_config();
    config.set_topic_id(ToBytes(id.bytes));
    for (const auto& [key, value] : configs) {
      auto& entry = *config.add_set();
      entry.set_name(key);
      entry.set_value(value);
    }
    if (configs.empty()) records.pop_back();
    Commit(records);
    return image_->Topic(id);
  }
  const PartitionImage& Partition(const std::string& topic, int32_t index = 0) const {
    return *image_->Topic(topic)->Partition(PartitionIndex{index});
  }
  // "leader 1, isr 1 2, eligible 3"
  std::string Show(const std::string& topic, int32_t index = 0) const {
    const PartitionImage& partition = Partition(topic, index);
    std::string text = "leader " + std::to_string(partition.leader.value);
    const auto add = [&](const char* what, const SharedList<NodeId>& nodes) {
      if (nodes.empty()) return;
      text += std::string(", ") + what;
      for (const NodeId node : nodes) text += " " + std::to_string(node.value);
    };
    add("isr", partition.isr);
    add("eligible", partition.eligible);
    add("adding", partition.adding);
    add("removing", partition.removing);
    return text + (partition.recovering ? ", recovering" : "");
  }

  // Of the last change, without the broker's own.
  std::vector<pb::MetadataRecord> last_records;

 private:
  Random random_;
  BrokerSessions sessions_{BrokerSessions::Options()};
  ImagePtr image_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_CONTROLLER_CLUSTER_IMAGE_H_
