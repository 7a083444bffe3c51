#ifndef GREGOR_BROKER_GRPC_CONVERT_H_
#define GREGOR_BROKER_GRPC_CONVERT_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "broker/api.h"
#include "controller/image/controller_api.h"
#include "controller/image/image.h"
#include "gregor/v1/cluster.pb.h"
#include "gregor/v1/topic.pb.h"

namespace gregor {

struct Door;

// Between the structs of the broker and the messages of the API: what several services need.
// Thread: any.

// Answers that are not asked for in pages list a topic's partitions up to so many.
inline constexpr int32_t kListedPartitionsMax = 1000;
// A page is cut where it would become larger.
inline constexpr size_t kPageBytesMax = 1u << 20;
// The most items that one call may have where each has a result of its own.
inline constexpr int kItemsMax = 1000;
// For more: kInvalidArgument. `items`: what a call takes at most so many of.
Error TooManyItems(const std::string& items);

// The node's image. Fails with kLeaderNotAvailable where there is none yet.
Result<ImagePtr> ImageOf(const BrokerApi& broker);

// Fails with kInvalidArgument unless `bytes` is 16 bytes long.
Result<TopicId> ParseTopicId(std::string_view bytes);
std::string ToBytes(const std::array<uint8_t, 16>& id);

// The topic that GetTopic or DeleteTopic names. Fails with kInvalidArgument where none is named.
template <typename Request>
Result<TopicKey> ToTopicKey(const Request& request) {
  TopicKey key;
  if (request.key_case() == Request::kTopicId) {
    ASSIGN_OR_RETURN(key.id, ParseTopicId(request.topic_id()));
  } else if (!request.topic().empty()) {
    key.name = request.topic();
  } else {
    return Error(Reason::kInvalidArgument, "the request names no topic: set topic or topic_id");
  }
  return key;
}
// Fails with kTopicNotFound, kUnknownTopicId.
Result<TopicPtr> FindTopic(const MetadataImage& image, const TopicKey& key);

// Everything but the partitions.
void FillTopic(const TopicImage& topic, v1::TopicMetadata& out);
// What describes partitions.
struct PartitionView {
  const MetadataImage& image;
  const OfflineReplicas& offline;  // of this node
};
// REQUIRES: `partition` is one of the topic `topic`.
void FillPartition(const TopicId& topic, const PartitionImage& partition, const PartitionView& view,
                   v1::PartitionMetadata& out);
// With its partitions where there are at most kListedPartitionsMax.
v1::TopicMetadata ToTopicMetadata(const TopicImage& topic, const PartitionView& view);

// An address on all interfaces is shown with an empty host: clients take the one that they used.
void FillBroker(const BrokerImage& broker, v1::Broker& out);
// The brokers that serve, by id: those that are not fenced.
void FillBrokers(const MetadataImage& image, google::protobuf::RepeatedPtrField<v1::Broker>& out);

// Where the active controller is; -1: not known.
int32_t ControllerIdOf(const Door& door);
// What GetMetadata and WatchMetadata say of the cluster as a whole, beside id, version and brokers.
void FillCluster(const Door& door, bool with_capabilities, v1::GetMetadataResponse& out);

// The broker that an id of a config resource names: nullopt for "" (all brokers). Fails with
// kInvalidArgument.
Result<std::optional<NodeId>> ParseBrokerId(std::string_view text);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_CONVERT_H_
