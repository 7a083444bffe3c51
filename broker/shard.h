#ifndef GREGOR_BROKER_SHARD_H_
#define GREGOR_BROKER_SHARD_H_

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "broker/partition.h"

namespace gregor {

// How far a node is with opening the logs that it found. Thread: any.
struct RecoveryProgress {
  std::atomic<int64_t> total{0};
  std::atomic<int64_t> done{0};
  std::atomic<int64_t> failed{0};
};

// Where a request id is remembered, with the content that it had.
struct KnownRequest {
  PartitionIndex partition;
  Sequence content;
};

// The partitions of one event loop. A partition's log is opened when it is first used, or at start
// if its folder exists. Thread: the loop, unless said otherwise.
class Shard {
 public:
  struct Options {
    const PartitionContext* context = nullptr;
    std::map<DirectoryId, LogDirectory*> directories;
    ConfigMap static_configs;
    int opening_max = 32;  // logs that are recovered at the same time at start
    size_t index = 0;      // of this shard, among so many
    size_t count = 1;
  };

  // Which of `count` shards has the partition.
  static size_t IndexOf(const TopicIdPartition& id, size_t count) {
    return std::hash<TopicIdPartition>()(id) % count;
  }

  Shard(EventLoop& loop, Options options);

  EventLoop& loop() { return loop_; }

  // The image moved on. REQUIRES: called in the order of the images, before any call that was
  // routed by `delta.after`.
  void OnMetadata(const MetadataDelta& delta);

  // The partition, opened or being opened; offline ones too. Fails with kUnknownTopicId,
  // kPartitionNotFound where the metadata (of this moment) do not have it, kNotLeader where this
  // broker has no replica of it, kServerDraining.
  Result<Partition*> Get(const TopicIdPartition& id);

  // Opens `ids` a few at a time, counting in `progress`, which must outlive it; then runs `done`.
  void OpenAll(std::vector<TopicIdPartition> ids, RecoveryProgress& progress, Task done);

  // The partitions of `topic` here that remember the request id `id`, and its content there. Waits
  // for logs that are being opened, or would be at start; those that cannot be are left out.
  void FindRequest(const TopicImage& topic, ProducerId id,
                   UniqueFunction<void(std::vector<KnownRequest>)> done);

  void ApplyRetention();
  // Closes all logs, and waits for those that are being removed; `done` gets how many could not be
  // closed cleanly. Topics that are deleted later are left as they are: nobody removes under a
  // stop.
  void Close(UniqueFunction<void(int64_t failures)> done);

  // Calls visit(partition) for those that are in use.
  template <typename Visit>
  void VisitAll(Visit visit) const {
    for (const auto& [id, partition] : partitions_) visit(*partition);
  }
  size_t partition_count() const { return partitions_.size(); }

 private:
  Partition::Metadata MetadataOf(const TopicImage& topic, const PartitionImage& partition);
  // nullptr: it is not registered.
  std::shared_ptr<const BrokerImage> BrokerOf(NodeId node) const;
  void RefreshLeaders();
  Error NotHere(const TopicImage& topic, PartitionIndex index,
                const PartitionImage& partition) const;
  void OpenOrSetOffline(Partition& partition, const PartitionImage& image);
  void OpenNext();
  LogDirectory* DirectoryOf(const PartitionImage& image) const;
  void Drop(const TopicImage& topic);
  void DropUnopened(LogDirectory& directory, const TopicIdPartition& id);
  void EndRemoval();

  EventLoop& loop_;
  Options options_;
  ImagePtr image_;
  bool closing_ = false;
  std::unordered_set<TopicIdPartition> removing_;  // of `partitions_`: their topic was deleted
  int removals_running_ = 0;                       // those, and of partitions not in use
  std::vector<Task> when_removed_;
  std::unordered_map<TopicIdPartition, std::unique_ptr<Partition>> partitions_;
  // Settings of the topics of `partitions_`, shared by their partitions.
  std::unordered_map<TopicId, std::shared_ptr<const TopicSettings>> settings_;
  struct Opening {
    std::deque<TopicIdPartition> waiting;
    int64_t running = 0;
    RecoveryProgress* progress = nullptr;
    Task done;
  } opening_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_SHARD_H_
