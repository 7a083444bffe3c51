#include "broker/broker.h"

#include <algorithm>
#include <utility>

#include "broker/resolve.h"
#include "broker/routing.h"

namespace gregor {

Broker::Broker(Options options)
    : options_(std::move(options)),
      produce_memory_(options_.produce_memory_bytes),
      fetch_memory_(options_.fetch_memory_bytes),
      log_dirs_(options_.node_id, options_.directories, options_.failed_directories),
      producer_budget_(options_.producer_state_bytes),
      context_{.node_id = options_.node_id,
               .produce_memory = produce_memory_,
               .fetch_memory = fetch_memory_,
               .refused = refused_,
               .producer_ids_end = producer_ids_end_,
               .message_bytes_limit = options_.message_bytes_limit,
               .producer_id_expiration_ms = options_.producer_id_expiration_ms,
               .producer_ids_max = options_.producer_ids_max,
               .producer_budget = producer_budget_,
               .on_appended = options_.on_appended,
               .produce_errors = produce_errors_,
               .waiting_fetches = waiting_fetches_,
               .traffic = nullptr},
      producer_ids_(*options_.controller) {
  if (options_.counted_topics_max > 0)
    context_.traffic = &traffic_.emplace(options_.counted_topics_max);
  CHECK(!options_.loops.empty());
  std::map<DirectoryId, LogDirectory*> directories;
  for (LogDirectory* directory : options_.directories) directories[directory->id()] = directory;
  for (EventLoop* loop : options_.loops) {
    shards_.push_back(
        std::make_unique<Shard>(*loop, Shard::Options{.context = &context_,
                                                      .directories = directories,
                                                      .static_configs = options_.static_configs,
                                                      .opening_max = options_.opening_max,
                                                      .index = shards_.size(),
                                                      .count = options_.loops.size()}));
  }
}

Broker::~Broker() = default;

Shard& Broker::ShardOf(const TopicIdPartition& id) const {
  return *shards_[Shard::IndexOf(id, shards_.size())];
}

void Broker::OnMetadata(const MetadataDelta& delta) {
  producer_ids_end_.store(delta.after->next_producer_id);
  const auto shared = std::make_shared<const MetadataDelta>(delta);
  // The shards hear of it before anybody can route by it.
  for (const auto& shard : shards_) {
    shard->loop().Post("shard.metadata",
                       [shard = shard.get(), shared] { shard->OnMetadata(*shared); });
  }
  std::atomic_store(&image_, delta.after);
  std::vector<std::shared_ptr<Observer>> observers;
  {
    const MutexLock lock(observers_mutex_);
    std::erase_if(observers_, [](const auto& observer) { return observer.expired(); });
    for (const auto& observer : observers_) {
      if (auto alive = observer.lock()) observers.push_back(std::move(alive));
    }
  }
  for (const auto& observer : observers) observer->call(delta);
}

std::shared_ptr<void> Broker::Watch(UniqueFunction<void(const MetadataDelta&)> observer) {
  auto shared = std::make_shared<Observer>(Observer{std::move(observer)});
  const MutexLock lock(observers_mutex_);
  observers_.push_back(shared);
  return shared;
}

Result<TopicPtr> Broker::Resolve(const TopicRef& ref) const {
  if (draining_.load(std::memory_order_relaxed)) {
    return Error(Reason::kServerDraining, "the broker stops: try another one")
        .With("outcome", "NOT_APPLIED");
  }
  const ImagePtr image = this->image();
  if (image == nullptr)
    return Error(Reason::kLeaderNotAvailable, "the broker has no metadata yet: retry");
  return ResolveTopic(*image, ref);
}

Result<Broker::Route> Broker::Find(const TopicRef& ref, PartitionIndex partition) const {
  ASSIGN_OR_RETURN(TopicPtr topic, Resolve(ref));
  if (topic->Partition(partition) == nullptr) {
    return Error(Reason::kPartitionNotFound, "topic \"" + topic->name + "\" has no partition " +
                                                 std::to_string(partition.value) +
                                                 ": it has 0 to " +
                                                 std::to_string(topic->partition_count() - 1))
        .With("topic", topic->name)
        .With("partition", std::to_string(partition.value))
        .With("partition_count", std::to_string(topic->partition_count()));
  }
  const TopicIdPartition id{topic->id, partition};
  return Route{std::move(topic), id, &ShardOf(id)};
}

Result<Budget::Share> Broker::TakeProduceMemory(size_t bytes) {
  Budget::Share memory = produce_memory_.TryAcquire(bytes);
  if (memory) return memory;
  return Error(Reason::kQuotaExceeded, "the memory for writes in flight (" +
                                           std::to_string(produce_memory_.max()) +
                                           " bytes) is in use: retry more slowly")
      .With("outcome", "NOT_APPLIED");
}

Error Broker::Refused(Error error) {
  produce_errors_.Add(error.reason);
  return error;
}

void Broker::Produce(ProduceBatch request, Done<Produced> done) {
  auto route = Find(request.topic, request.partition);
  if (!route.ok()) return done(Refused(std::move(route).error()));
  auto memory = TakeProduceMemory(request.batch.size());
  if (!memory.ok()) return done(Refused(std::move(memory).error()));
  Partition::Append append{.batch = std::move(request.batch),
                           .ack = request.ack,
                           .current_leader_epoch = request.current_leader_epoch,
                           .memory = std::move(*memory),
                           .abandoned = std::move(request.abandoned)};
  OnPartition<Produced>(
      *route->shard, route->id, "partition.produce",
      [append = std::move(append)](Partition& partition, Done<Produced> done) mutable {
        partition.Produce(std::move(append), std::move(done));
      },
      std::move(done), &produce_errors_);
}

void Broker::Init(InitProducer request, Done<InitializedProducer> done) {
  if (draining_.load())
    return done(Error(Reason::kServerDraining, "the broker stops: try another one"));
  if (request.producer_id.has_value()) {
    const ImagePtr image = this->image();
    const int64_t id = request.producer_id->value;
    if (id < 0 || image == nullptr || id >= image->next_producer_id ||
        request.producer_epoch.value < 0) {
      return done(Error(Reason::kInvalidArgument,
                        "producer id " + std::to_string(id) + " with epoch " +
                            std::to_string(request.producer_epoch.value) +
                            " was not given by this cluster: leave both out for a new one"));
    }
  }
  // As Kafka does without a transactional id: nobody counts epochs, so a higher one of the same id
  // could be given to two callers, and batches of one would pass for those of the other.
  producer_ids_.Next([done = std::move(done)](Result<ProducerId> id) mutable {
    if (!id.ok()) return done(std::move(id).error());
    done(InitializedProducer{*id, ProducerEpoch{0}});
  });
}

void Broker::Read(Fetch request, Done<Fetched> done) {
  Done<Fetched> counted = [this, done = std::move(done)](Result<Fetched> fetched) mutable {
    if (!fetched.ok()) {
      fetch_errors_.Add(fetched.error().reason);
    } else if (options_.on_fetched) {
      options_.on_fetched(fetched->batches.size());
    }
    done(std::move(fetched));
  };
  auto route = Find(request.topic, request.partition);
  if (!route.ok()) return counted(std::move(route).error());
  OnPartition<Fetched>(
      *route->shard, route->id, "partition.read",
      [request = std::move(request)](Partition& partition, Done<Fetched> done) mutable {
        partition.Read(std::move(request), std::move(done));
      },
      std::move(counted));
}

void Broker::FindOffsets(std::vector<OffsetQuery> queries,
                         UniqueFunction<void(std::vector<Result<FoundOffset>>)> done) {
  auto gather = Gather<FoundOffset>::Make(queries.size(), std::move(done));
  for (size_t i = 0; i < queries.size(); ++i) {
    auto route = Find(queries[i].topic, queries[i].partition);
    if (!route.ok()) {
      gather->Set(i, std::move(route).error());
      continue;
    }
    OnPartition<FoundOffset>(
        *route->shard, route->id, "partition.find_offset",
        [query = std::move(queries[i])](Partition& partition, Done<FoundOffset> done) mutable {
          partition.FindOffset(std::move(query), std::move(done));
        },
        Done<FoundOffset>(
            [gather, i](Result<FoundOffset> found) { gather->Set(i, std::move(found)); }));
  }
}

void Broker::FindEpochEnd(TopicRef topic, PartitionIndex partition, LeaderEpoch epoch,
                          std::optional<LeaderEpoch> current_leader_epoch, Done<EpochEnd> done) {
  auto route = Find(topic, partition);
  if (!route.ok()) return done(std::move(route).error());
  OnPartition<EpochEnd>(
      *route->shard, route->id, "partition.find_epoch_end",
      [epoch, current_leader_epoch](Partition& found, Done<EpochEnd> done) {
        done(found.FindEpochEnd(epoch, current_leader_epoch));
      },
      std::move(done));
}

void Broker::Delete(std::vector<gregor::DeleteRecords> items,
                    UniqueFunction<void(std::vector<Result<Offset>>)> done) {
  auto gather = Gather<Offset>::Make(items.size(), std::move(done));
  for (size_t i = 0; i < items.size(); ++i) {
    auto route = Find(items[i].topic, items[i].partition);
    if (!route.ok()) {
      gather->Set(i, std::move(route).error());
      continue;
    }
    OnPartition<Offset>(
        *route->shard, route->id, "partition.delete_records",
        [before = items[i].before](Partition& partition, Done<Offset> done) {
          partition.DeleteRecords(before, std::move(done));
        },
        Done<Offset>([gather, i](Result<Offset> start) { gather->Set(i, std::move(start)); }));
  }
}

Result<DescribedConfigs> Broker::DescribeTopicConfigs(const std::string& name) const {
  const ImagePtr image = this->image();
  const TopicPtr topic = image == nullptr ? nullptr : image->Topic(name);
  if (image == nullptr || (topic == nullptr && !name.empty())) return NoSuchTopic(name);
  static const ConfigMap kNothingSet;
  const ConfigMap& configs = topic == nullptr ? kNothingSet : *topic->configs;
  DescribedConfigs described;
  for (const ConfigSpec& spec : TopicConfigSpecs()) {
    described.entries.push_back(
        ResolveTopicConfig(spec, configs, *image, options_.node_id, options_.static_configs));
  }
  return described;
}

}  // namespace gregor
