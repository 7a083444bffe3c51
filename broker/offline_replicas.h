#ifndef GREGOR_BROKER_OFFLINE_REPLICAS_H_
#define GREGOR_BROKER_OFFLINE_REPLICAS_H_

#include <optional>
#include <set>
#include <unordered_set>
#include <utility>

#include "base/types.h"
#include "controller/image/image.h"

namespace gregor {

// The directory that the metadata name for the replica of `node`; nullptr if it has none.
inline const DirectoryId* DirectoryIdOf(const PartitionImage& partition, NodeId node) {
  for (size_t i = 0; i < partition.replicas.size() && i < partition.directories.size(); ++i) {
    if (partition.replicas[i] == node) return &partition.directories[i];
  }
  return nullptr;
}

// Which replicas of one node cannot be served: those in a log directory that failed or is missing,
// and those whose log was refused. As it was when this was made; by default it knows of none.
// Thread: any.
class OfflineReplicas {
 public:
  OfflineReplicas() = default;
  // `online`: the directories that work; unset: all that the metadata name.
  OfflineReplicas(NodeId node, std::unordered_set<TopicIdPartition> refused,
                  std::optional<std::set<DirectoryId>> online)
      : node_(node), refused_(std::move(refused)), online_(std::move(online)) {}

  const std::unordered_set<TopicIdPartition>& refused() const { return refused_; }
  bool all_directories_work() const { return !online_.has_value(); }

  bool Has(const TopicIdPartition& id, const PartitionImage& partition, NodeId replica) const {
    if (replica != node_ || (refused_.empty() && !online_.has_value())) return false;
    const DirectoryId* const directory = DirectoryIdOf(partition, node_);
    if (directory == nullptr) return false;
    return refused_.count(id) != 0 || (online_.has_value() && online_->count(*directory) == 0);
  }

 private:
  NodeId node_{-1};
  std::unordered_set<TopicIdPartition> refused_;
  std::optional<std::set<DirectoryId>> online_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_OFFLINE_REPLICAS_H_
