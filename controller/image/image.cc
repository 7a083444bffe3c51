#include "controller/image/image.h"

#include <algorithm>

namespace gregor {

bool BrokerImage::HasDirectory(const DirectoryId& directory) const {
  if (directory.IsZero()) return !directories.empty();
  return std::find(directories.begin(), directories.end(), directory) != directories.end();
}

const PartitionImage* TopicImage::Partition(PartitionIndex index) const {
  const auto* found = partitions.Find(index);
  return found == nullptr ? nullptr : found->get();
}

bool IsInternalTopic(std::string_view name) {
  return name == "__consumer_offsets" || name == "__transaction_state" ||
         name == "__cluster_metadata";
}

TopicPtr MetadataImage::Topic(std::string_view name) const {
  const TopicPtr* found = topics.Find(name);
  return found == nullptr ? nullptr : *found;
}

TopicPtr MetadataImage::Topic(const TopicId& id) const {
  const std::string* name = topic_names.Find(id);
  return name == nullptr ? nullptr : Topic(*name);
}

const BrokerImage* MetadataImage::Broker(NodeId id) const {
  const auto* found = brokers.Find(id);
  return found == nullptr ? nullptr : found->get();
}

}  // namespace gregor
