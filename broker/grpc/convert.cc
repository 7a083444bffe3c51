#include "broker/grpc/convert.h"

#include <algorithm>
#include <charconv>

#include "broker/grpc/door.h"
#include "broker/grpc/status.h"
#include "broker/resolve.h"

namespace gregor {
namespace {

void FillEndpoint(const Endpoint& endpoint, v1::Endpoint& out) {
  const bool everywhere = endpoint.host == "0.0.0.0" || endpoint.host == "::";
  out.set_host(everywhere ? "" : endpoint.host);
  out.set_port(endpoint.port);
}

}  // namespace

Result<ImagePtr> ImageOf(const BrokerApi& broker) {
  ImagePtr image = broker.image();
  if (image == nullptr)
    return Error(Reason::kLeaderNotAvailable, "the broker has no metadata yet: retry");
  return image;
}

Error TooManyItems(const std::string& items) {
  const std::string most = std::to_string(kItemsMax);
  return Error(Reason::kInvalidArgument, "a call takes at most " + most + " " + items)
      .With("limit_items", most);
}

Result<TopicId> ParseTopicId(std::string_view bytes) {
  TopicId id;
  if (bytes.size() != id.bytes.size()) {
    return Error(Reason::kInvalidArgument,
                 "topic_id has " + std::to_string(bytes.size()) + " bytes; an id has 16");
  }
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return id;
}

std::string ToBytes(const std::array<uint8_t, 16>& id) { return std::string(id.begin(), id.end()); }

Result<TopicPtr> FindTopic(const MetadataImage& image, const TopicKey& key) {
  return ResolveTopic(image, {.name = key.name, .id = key.id});
}

void FillTopic(const TopicImage& topic, v1::TopicMetadata& out) {
  out.set_topic(topic.name);
  if (!topic.id.IsZero()) out.set_topic_id(ToBytes(topic.id.bytes));
  out.set_internal(IsInternalTopic(topic.name));
  out.set_partition_count(topic.partition_count());
  if (const PartitionImage* const first = topic.Partition(PartitionIndex{0}))
    out.set_replication_factor(static_cast<int32_t>(first->replicas.size()));
}

void FillPartition(const TopicId& topic, const PartitionImage& partition, const PartitionView& view,
                   v1::PartitionMetadata& out) {
  out.set_partition(partition.index.value);
  if (partition.leader.value >= 0) out.set_leader_id(partition.leader.value);
  out.set_leader_epoch(partition.leader_epoch.value);
  for (size_t i = 0; i < partition.replicas.size(); ++i) {
    const NodeId replica = partition.replicas[i];
    out.add_replicas(replica.value);
    const BrokerImage* const broker = view.image.Broker(replica);
    const bool is_there = broker != nullptr && !broker->fenced &&
                          broker->HasDirectory(partition.directories[i]) &&
                          !view.offline.Has({topic, partition.index}, partition, replica);
    if (!is_there) out.add_offline(replica.value);
  }
  for (const NodeId replica : partition.isr) out.add_in_sync(replica.value);
  for (const NodeId replica : partition.eligible) out.add_eligible(replica.value);
  out.set_recovering(partition.recovering);
}

v1::TopicMetadata ToTopicMetadata(const TopicImage& topic, const PartitionView& view) {
  v1::TopicMetadata out;
  FillTopic(topic, out);
  if (topic.partition_count() > kListedPartitionsMax) return out;
  topic.partitions.VisitAll([&](PartitionIndex, const auto& each) {
    FillPartition(topic.id, *each, view, *out.add_partitions());
  });
  return out;
}

void FillBroker(const BrokerImage& broker, v1::Broker& out) {
  out.set_broker_id(broker.id.value);
  out.set_rack(broker.rack);
  out.set_version(broker.version);
  out.set_fenced(broker.fenced);
  for (const auto& [name, endpoint] : broker.listeners) {
    FillEndpoint(endpoint, (*out.mutable_listeners())[name]);
    if (name == "grpc") FillEndpoint(endpoint, *out.mutable_endpoint());
  }
}

void FillBrokers(const MetadataImage& image, google::protobuf::RepeatedPtrField<v1::Broker>& out) {
  image.brokers.VisitAll([&](NodeId, const auto& broker) {
    if (!broker->fenced) FillBroker(*broker, *out.Add());
  });
}

int32_t ControllerIdOf(const Door& door) {
  const QuorumApi* const quorum = door.options.quorum;
  return quorum == nullptr ? door.broker.node_id().value : quorum->leader().value;
}

void FillCluster(const Door& door, bool with_capabilities, v1::GetMetadataResponse& out) {
  out.set_controller_id(ControllerIdOf(door));
  if (!with_capabilities) return;
  for (const char* const capability : {"request-id-dedup", "produce-receipt", "acks-count"})
    out.add_capabilities(capability);
}

Result<std::optional<NodeId>> ParseBrokerId(std::string_view text) {
  if (text.empty()) return std::optional<NodeId>();
  int32_t id = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), id);
  const bool whole = failure == std::errc() && end == text.data() + text.size();
  if (!whole || id < 0 || std::to_string(id) != text) {
    return Error(Reason::kInvalidArgument, "\"" + std::string(text) +
                                               "\" is no broker id: a number from 0 on, or empty "
                                               "for all brokers");
  }
  return std::optional<NodeId>(NodeId{id});
}

}  // namespace gregor
