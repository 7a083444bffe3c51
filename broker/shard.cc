#include "broker/shard.h"

#include <utility>

#include "broker/leader_hint.h"
#include "broker/log_dirs.h"

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
          .leading_broker = BrokerOf(partition.leader),
          .leader_epoch = partition.leader_epoch,
          .replica_count = static_cast<int32_t>(partition.replicas.size()),
          .isr_count = static_cast<int32_t>(partition.isr.size())};
}

std::shared_ptr<const BrokerImage> Shard::BrokerOf(NodeId node) const {
  const auto* const broker = image_->brokers.Find(node);
  return broker == nullptr ? nullptr : *broker;
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
  if (delta.brokers_changed) RefreshLeaders();
}

// Leaders may be reached elsewhere.
void Shard::RefreshLeaders() {
  for (const auto& [id, partition] : partitions_) {
    if (partition->metadata().leading_broker == BrokerOf(partition->metadata().leader)) continue;
    const TopicPtr topic = image_->Topic(id.topic_id);
    const PartitionImage* const image = topic == nullptr ? nullptr : topic->Partition(id.partition);
    if (image != nullptr) partition->SetMetadata(MetadataOf(*topic, *image));
  }
}

void Shard::Drop(const TopicImage& topic) {
  settings_.erase(topic.id);
  if (closing_) return;
  topic.partitions.VisitAll(
      [&](PartitionIndex index, const std::shared_ptr<const PartitionImage>& image) {
        const TopicIdPartition id{topic.id, index};
        if (IndexOf(id, options_.count) != options_.index) return;
        const auto found = partitions_.find(id);
        if (found == partitions_.end()) {
          // Its turn to be opened has not come, or it was never used.
          LogDirectory* const directory = DirectoryOf(*image);
          if (directory != nullptr) DropUnopened(*directory, id);
          return;
        }
        // It goes once its files are gone; until then it answers that the topic was deleted.
        removing_.insert(id);
        ++removals_running_;
        found->second->Remove([this, id](Result<void> removed) {
          LOG_IF(ERROR, !removed.ok()) << "Files of deleted partition " << id
                                       << " could not be removed: " << removed.error();
          loop_.Post("partition.drop", [this, id] {
            partitions_.erase(id);
            removing_.erase(id);
            EndRemoval();
          });
        });
      });
}

void Shard::DropUnopened(LogDirectory& directory, const TopicIdPartition& id) {
  ++removals_running_;
  directory.Discard(id, loop_, [this, id](Result<void> removed) {
    LOG_IF(ERROR, !removed.ok()) << "Files of deleted partition " << id
                                 << " could not be removed: " << removed.error();
    EndRemoval();
  });
}

void Shard::EndRemoval() {
  if (--removals_running_ > 0) return;
  for (Task& task : std::exchange(when_removed_, {})) task();
}

Error Shard::NotHere(const TopicImage& topic, PartitionIndex index,
                     const PartitionImage& partition) const {
  Error error(Reason::kNotLeader, "this broker has no replica of partition " +
                                      std::to_string(index.value) + " of topic \"" + topic.name +
                                      "\": broker " + std::to_string(partition.leader.value) +
                                      " leads it");
  return WithLeader(std::move(error), partition.leader, partition.leader_epoch,
                    image_->Broker(partition.leader));
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
    return Error(Reason::kPartitionNotFound, "topic \"" + topic->name + "\" has no partition " +
                                                 std::to_string(id.partition.value));
  }
  if (DirectoryIdOf(*image, options_.context->node_id) == nullptr)
    return NotHere(*topic, id.partition, *image);
  auto partition =
      std::make_unique<Partition>(loop_, *options_.context, id, MetadataOf(*topic, *image));
  Partition* const result = partition.get();
  partitions_.emplace(id, std::move(partition));
  OpenOrSetOffline(*result, *image);
  return result;
}

void Shard::OpenOrSetOffline(Partition& partition, const PartitionImage& image) {
  if (LogDirectory* const directory = DirectoryOf(image)) return partition.Open(*directory);
  const DirectoryId* const id = DirectoryIdOf(image, options_.context->node_id);
  partition.SetOffline(Error(Reason::kStorageError,
                             "its log directory " +
                                 (id == nullptr ? DirectoryId() : *id).ToString() +
                                 " could not be opened at start (the server's log says why), or "
                                 "is not in log_dirs"));
}

LogDirectory* Shard::DirectoryOf(const PartitionImage& image) const {
  const DirectoryId* const id = DirectoryIdOf(image, options_.context->node_id);
  const auto found = id == nullptr ? options_.directories.end() : options_.directories.find(*id);
  return found == options_.directories.end() ? nullptr : found->second;
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

void Shard::FindRequest(const TopicImage& topic, ProducerId id,
                        UniqueFunction<void(std::vector<KnownRequest>)> done) {
  for (const TopicIdPartition& waiting : opening_.waiting) {
    if (waiting.topic_id == topic.id) (void)Get(waiting);
  }
  struct Search {
    size_t left;
    std::vector<KnownRequest> known;
    UniqueFunction<void(std::vector<KnownRequest>)> done;
  };
  // One more than are asked, so that it cannot end while they are still being asked.
  const auto search = std::make_shared<Search>(Search{1, {}, std::move(done)});
  const auto answered = [search] {
    if (--search->left == 0) search->done(std::move(search->known));
  };
  for (int32_t i = 0; i < topic.partition_count(); ++i) {
    const auto found = partitions_.find({topic.id, PartitionIndex{i}});
    if (found == partitions_.end()) continue;  // another loop's, or never written to
    ++search->left;
    Partition* const partition = found->second.get();
    partition->WhenOpen([partition, id, search, answered] {
      if (const auto content = partition->ContentOf(id); content.has_value())
        search->known.push_back({partition->id().partition, *content});
      answered();
    });
  }
  answered();
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
  auto rest = std::make_shared<Rest>(Rest{partitions_.size() - removing_.size() + 1, 0, {}});
  rest->done = [this, done = std::move(done)](int64_t failures) mutable {
    if (removals_running_ == 0) return done(failures);
    when_removed_.push_back([failures, done = std::move(done)]() mutable { done(failures); });
  };
  const auto closed = [rest](Result<void> result) {
    // What a log that waits for space has in memory was not acknowledged. With
    // durability=replicated what it has written may not be synced.
    const bool is_full = !result.ok() && IsShortage(result.error());
    LOG_IF(WARNING, is_full) << "Stopped while writes waited for space: " << result.error();
    if (!result.ok() && !is_full) ++rest->failures;
    if (--rest->left == 0) rest->done(rest->failures);
  };
  for (const auto& [id, partition] : partitions_) {
    if (removing_.count(id) == 0) partition->Close(closed);
  }
  closed({});
}

}  // namespace gregor
