// Broker: start and stop, log directories, the broker's configs.
#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "broker/broker.h"
#include "broker/routing.h"
#include "storage/group_sync.h"

namespace gregor {
namespace {

const PartitionImage* FindPartition(const MetadataImage& image, const TopicIdPartition& id) {
  const TopicPtr topic = image.Topic(id.topic_id);
  return topic == nullptr ? nullptr : topic->Partition(id.partition);
}

}  // namespace

// What is to be opened, by shard: partitions that have a folder or a synced mark. A mark without
// folder is a log that was lost: opening it says so now, and not only once somebody asks for it.
// Folders that the metadata do not know, or place elsewhere, are set aside, never deleted.
std::vector<std::vector<TopicIdPartition>> Broker::SortFolders(const MetadataImage& image) {
  std::vector<std::vector<TopicIdPartition>> by_shard(shards_.size());
  const auto open = [&](const TopicIdPartition& id) {
    by_shard[Shard::IndexOf(id, shards_.size())].push_back(id);
  };
  for (LogDirectory* directory : options_.directories) {
    const auto belongs_here = [&](const TopicIdPartition& id) {
      const PartitionImage* partition = FindPartition(image, id);
      const DirectoryId* claimed =
          partition == nullptr ? nullptr : DirectoryIdOf(*partition, options_.node_id);
      return claimed != nullptr && *claimed == directory->id();
    };
    const auto& found = directory->found();
    for (const TopicIdPartition& id : found) {
      if (belongs_here(id)) {
        open(id);
      } else {
        SetAside(*directory, id);
      }
    }
    for (const TopicIdPartition& id : directory->marked()) {
      if (std::binary_search(found.begin(), found.end(), id)) continue;
      const auto& strays = directory->found_strays();
      if (belongs_here(id)) {
        open(id);
      } else if (!std::binary_search(strays.begin(), strays.end(), id)) {
        // Of a deleted topic. The marks of strays stay: somebody may put their folders back.
        directory->group_sync().Forget(id);
      }
    }
  }
  return by_shard;
}

void Broker::SetAside(LogDirectory& directory, const TopicIdPartition& id) {
  strays_.push_back(id);
  LOG(WARNING) << "Folder " << directory.PathOf(id)
               << " belongs to no partition that the metadata place here; it is kept as "
               << directory.PathOf(id)
               << ".stray (delete it once you are sure that nobody misses its records)";
  directory.disk().Submit(Lane::kBackground, "stray.set_aside", [&directory, id] {
    const auto result = directory.SetAside(id);
    LOG_IF(ERROR, !result.ok()) << "Stray folder of " << id
                                << " could not be set aside: " << result.error();
  });
}

void Broker::Start(Task done) {
  const ImagePtr image = this->image();
  CHECK(image != nullptr);
  log_dirs_.FindMissing(*image);
  auto by_shard = SortFolders(*image);
  int64_t total = 0;
  for (const auto& ids : by_shard) total += static_cast<int64_t>(ids.size());
  recovery_.total.store(total);
  struct Rest {
    std::atomic<size_t> left;
    Task done;
  };
  auto rest = std::make_shared<Rest>();
  rest->left = shards_.size();
  rest->done = std::move(done);
  for (size_t i = 0; i < shards_.size(); ++i) {
    Shard* const shard = shards_[i].get();
    shard->loop().Post("shard.open_all",
                       [this, shard, rest, ids = std::move(by_shard[i])]() mutable {
                         shard->OpenAll(std::move(ids), recovery_, [rest] {
                           if (rest->left.fetch_sub(1) == 1) rest->done();
                         });
                       });
  }
  ScheduleRetention();
}

void Broker::ScheduleRetention() {
  for (const auto& shard : shards_) {
    shard->loop().After(options_.retention_check_interval, "shard.retention",
                        [this, shard = shard.get()] { RetentionTick(*shard); });
  }
}

void Broker::RetentionTick(Shard& shard) {
  if (draining_.load()) return;
  shard.ApplyRetention();
  shard.loop().After(options_.retention_check_interval, "shard.retention",
                     [this, &shard] { RetentionTick(shard); });
}

void Broker::Close(UniqueFunction<void(int64_t)> done) {
  draining_.store(true);
  for (LogDirectory* directory : options_.directories) directory->HurryRemovals();
  auto gather = Gather<int64_t>::Make(
      shards_.size(), [done = std::move(done)](std::vector<Result<int64_t>> all) mutable {
        int64_t failures = 0;
        for (const auto& each : all) failures += *each;
        done(failures);
      });
  for (size_t i = 0; i < shards_.size(); ++i) {
    Shard* const shard = shards_[i].get();
    shard->loop().Post("shard.close", [shard, gather, i] {
      shard->Close([gather, i](int64_t failures) { gather->Set(i, failures); });
    });
  }
}

Result<DescribedConfigs> Broker::DescribeBrokerConfigs(NodeId broker) const {
  const ImagePtr image = this->image();
  if (image == nullptr || (broker.value >= 0 && image->Broker(broker) == nullptr)) {
    return Error(Reason::kBrokerIdNotRegistered,
                 "no broker has the id " + std::to_string(broker.value));
  }
  static const auto kNone = std::make_shared<const ConfigMap>();
  const auto set_for = [&](NodeId node) {
    const auto* found = image->broker_configs.Find(node);
    return found == nullptr ? kNone : *found;
  };
  const auto own = broker.value < 0 ? kNone : set_for(broker);
  const auto cluster = set_for(NodeId{-1});
  DescribedConfigs described;
  for (const ConfigSpec& spec : BrokerConfigSpecs()) {
    EffectiveConfig entry{&spec, std::string(spec.default_value), ConfigSource::kDefault};
    const auto take = [&](const ConfigMap& from, ConfigSource source) {
      const auto found = from.find(spec.name);
      if (entry.source != ConfigSource::kDefault || found == from.end()) return;
      entry.value = found->second;
      entry.source = source;
    };
    take(*own, ConfigSource::kBrokerDynamic);
    take(*cluster, ConfigSource::kClusterDynamic);
    take(options_.static_configs, ConfigSource::kBrokerStatic);
    described.entries.push_back(std::move(entry));
  }
  return described;
}

OfflineReplicas Broker::offline_replicas() const { return log_dirs_.Offline(refused_); }

int64_t Broker::CountOffline() const {
  const ImagePtr image = this->image();
  return image == nullptr ? 0 : log_dirs_.CountOffline(*image, refused_);
}

namespace {

using Usages = std::vector<std::pair<DirectoryId, ReplicaUsage>>;

void AddReplicas(const std::vector<Result<Usages>>& of_shards, LogDirUsage& usage) {
  for (const auto& shard : of_shards) {
    for (const auto& [id, replica] : *shard) {
      if (id == usage.id) usage.replicas.push_back(replica);
    }
  }
}

}  // namespace

void Broker::AddStrays(const LogDirectory& directory, LogDirUsage& usage) const {
  for (const TopicIdPartition& id : directory.found()) {
    if (std::find(strays_.begin(), strays_.end(), id) != strays_.end())
      usage.replicas.push_back({.topic = "", .id = id, .size_bytes = 0});
  }
}

void Broker::DescribeLogDirs(std::vector<std::string> topics,
                             UniqueFunction<void(std::vector<LogDirUsage>)> done) {
  const ImagePtr image = this->image();
  auto wanted = std::make_shared<const std::set<std::string>>(topics.begin(), topics.end());
  auto gather = Gather<Usages>::Make(shards_.size(), [this, wanted, image, done = std::move(done)](
                                                         std::vector<Result<Usages>> all) mutable {
    std::vector<LogDirUsage> result = log_dirs_.Describe(*image, *wanted);
    for (size_t i = 0; i < result.size(); ++i) {
      LogDirUsage& usage = result[i];
      if (i < log_dirs_.open().size()) {
        AddReplicas(all, usage);
        if (wanted->empty()) AddStrays(*log_dirs_.open()[i], usage);
      }
      std::sort(usage.replicas.begin(), usage.replicas.end(),
                [](const ReplicaUsage& a, const ReplicaUsage& b) {
                  return std::tie(a.topic, a.id) < std::tie(b.topic, b.id);
                });
    }
    done(std::move(result));
  });
  for (size_t i = 0; i < shards_.size(); ++i) {
    Shard* const shard = shards_[i].get();
    shard->loop().Post("shard.describe", [this, shard, gather, wanted, image, i] {
      Usages usages;
      shard->VisitAll([&](const Partition& partition) {
        const std::string& topic = partition.metadata().topic;
        if (!wanted->empty() && wanted->count(topic) == 0) return;
        const PartitionImage* described = FindPartition(*image, partition.id());
        const DirectoryId* directory =
            described == nullptr ? nullptr : DirectoryIdOf(*described, options_.node_id);
        if (directory == nullptr) return;
        usages.emplace_back(*directory, ReplicaUsage{.topic = topic,
                                                     .id = partition.id(),
                                                     .size_bytes = partition.size_bytes(),
                                                     .error = partition.failure()});
      });
      gather->Set(i, std::move(usages));
    });
  }
}

}  // namespace gregor
