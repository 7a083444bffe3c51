#include "broker/shard.h"

#include <utility>

namespace gregor {

Shard::Shard(EventLoop& loop, Options options) : loop_(loop), options_(std::move(options)) {}

Partition::Metadata Shard::MetadataOf(const TopicImage& topic, const PartitionImage& partition) {
  auto& settings = settings_[topic.id];
  if (settings == nullptr) {
    settings = std::make_shared<const TopicSettings>(
        ResolveTopicSettings(topic, *image_, options_.context->node_id, options_.static_configs));
  }
  return {.topic = topic.name,
          .settings = settings,
          .leader = partition.leader,
          .leader_epoch = partition.leader_epoch,
          .replica_count = static_cast<int32_t>(partition.replicas.size()),
          .isr_count = static_cast<int32_t>(partition.isr.size())};
}

void Shard::OnMetadata(const MetadataDelta& delta) {
  image_ = delta.after;
  for (const TopicPtr& topic : delta.deleted) Drop(*topic);
  std::vector<TopicPtr> changed = delta.changed;
  if (delta.broker_configs_changed) {
    settings_.clear();
    changed.clear();
    image_->topics.VisitAll(
        [&](const std::string&, const TopicPtr& topic) { changed.push_back(topic); });
  }
  for (const TopicPtr& topic : changed) {
    settings_.erase(topic->id);
    topic->partitions.VisitAll(
        [&](PartitionIndex index, const std::shared_ptr<const PartitionImage>& partition) {
          const auto found = partitions_.find({topic->id, index});
          if (found != partitions_.end())
            found->second->SetMetadata(MetadataOf(*topic, *partition));
        });
  }
}

void Shard::Drop(const TopicImage& topic) {
  settings_.erase(topic.id);
  topic.partitions.VisitAll(
      [&](PartitionIndex index, const std::shared_ptr<const PartitionImage>&) {
        const TopicIdPartition id{topic.id, index};
        const auto found = partitions_.find(id);
        if (found == partitions_.end()) return;
        // It goes once its files are gone; until then it answers that the topic was deleted.
        found->second->Remove([this, id](Result<void> removed) {
          LOG_IF(ERROR, !removed.ok()) << "Files of deleted partition " << id
                                       << " could not be removed: " << removed.error();
          loop_.Post("partition.drop", [this, id] { partitions_.erase(id); });
        });
      });
}

Result<Partition*> Shard::Get(const TopicIdPartition& id) {
  if (const auto found = partitions_.find(id); found != partitions_.end())
    return found->second.get();
  if (closing_) return Error(Reason::kServerDraining, "the broker stops: try another one");
  const TopicPtr topic = image_ == nullptr ? nullptr : image_->Topic(id.topic_id);
  if (topic == nullptr) {
    return Error(Reason::kUnknownTopicId,
                 "no topic has the id " + id.topic_id.ToString() + ": it may have been deleted");
  }
  const PartitionImage* image = topic->Partition(id.partition);
  if (image == nullptr) {
    return Error(Reason::kPartitionNotFound, "topic " + topic->name + " has no partition " +
                                                 std::to_string(id.partition.value));
  }
  auto partition =
      std::make_unique<Partition>(loop_, *options_.context, id, MetadataOf(*topic, *image));
  Partition* const result = partition.get();
  partitions_.emplace(id, std::move(partition));
  OpenOrSetOffline(*result, *image);
  return result;
}

void Shard::OpenOrSetOffline(Partition& partition, const PartitionImage& image) {
  DirectoryId directory;
  for (size_t i = 0; i < image.replicas.size() && i < image.directories.size(); ++i) {
    if (image.replicas[i] == options_.context->node_id) directory = image.directories[i];
  }
  const auto found = options_.directories.find(directory);
  if (found == options_.directories.end()) {
    partition.SetOffline(Error(Reason::kStorageError,
                               "its log directory " + directory.ToString() +
                                   " is not among this node's: add the missing disk to log_dirs"));
    return;
  }
  partition.Open(*found->second);
}

void Shard::OpenAll(std::vector<TopicIdPartition> ids, RecoveryProgress& progress, Task done) {
  CHECK(!opening_.done);
  opening_.waiting.assign(ids.begin(), ids.end());
  opening_.progress = &progress;
  opening_.done = std::move(done);
  OpenNext();
}

void Shard::OpenNext() {
  while (opening_.running < options_.opening_max && !opening_.waiting.empty()) {
    const TopicIdPartition id = opening_.waiting.front();
    opening_.waiting.pop_front();
    auto partition = Get(id);
    if (!partition.ok()) {  // deleted or stopping meanwhile
      opening_.progress->done.fetch_add(1);
      continue;
    }
    ++opening_.running;
    Partition* const opened = *partition;
    opened->WhenOpen([this, opened] {
      --opening_.running;
      if (opened->failure().has_value()) opening_.progress->failed.fetch_add(1);
      opening_.progress->done.fetch_add(1);
      loop_.Post("shard.open_next", [this] { OpenNext(); });
    });
  }
  if (opening_.running == 0 && opening_.waiting.empty() && opening_.done)
    std::exchange(opening_.done, {})();
}

void Shard::ApplyRetention() {
  for (const auto& [id, partition] : partitions_) partition->ApplyRetention();
}

void Shard::Close(UniqueFunction<void(int64_t)> done) {
  closing_ = true;
  opening_.waiting.clear();
  struct Rest {
    size_t left;
    int64_t failures = 0;
    UniqueFunction<void(int64_t)> done;
  };
  // One more than there are partitions, so that it cannot end while they are still being asked.
  auto rest = std::make_shared<Rest>(Rest{partitions_.size() + 1, 0, std::move(done)});
  const auto closed = [rest](Result<void> result) {
    if (!result.ok()) ++rest->failures;
    if (--rest->left == 0) rest->done(rest->failures);
  };
  for (const auto& [id, partition] : partitions_) partition->Close(closed);
  closed({});
}

}  // namespace gregor
