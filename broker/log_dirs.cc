#include "broker/log_dirs.h"

#include <algorithm>
#include <map>
#include <utility>

namespace gregor {
namespace {

// Calls visit(topic, id, directory) for each replica of `node`.
template <typename Visit>
void VisitReplicas(const MetadataImage& image, NodeId node, Visit visit) {
  image.topics.VisitAll([&](const std::string& name, const TopicPtr& topic) {
    topic->partitions.VisitAll(
        [&](PartitionIndex index, const std::shared_ptr<const PartitionImage>& partition) {
          const DirectoryId* const directory = DirectoryIdOf(*partition, node);
          if (directory != nullptr) visit(name, TopicIdPartition{topic->id, index}, *directory);
        });
  });
}

}  // namespace

LogDirs::LogDirs(NodeId node, std::vector<LogDirectory*> open, std::vector<Failed> failed)
    : node_(node), open_(std::move(open)), failed_(std::move(failed)) {}

void LogDirs::FindMissing(const MetadataImage& image) {
  std::map<DirectoryId, int64_t> missing;
  VisitReplicas(
      image, node_, [&](const std::string&, const TopicIdPartition&, const DirectoryId& directory) {
        const bool is_open = std::any_of(open_.begin(), open_.end(), [&](const LogDirectory* each) {
          return each->id() == directory;
        });
        if (!is_open) ++missing[directory];
      });
  std::map<DirectoryId, int64_t> unclaimed = missing;
  Failed* nameless = nullptr;
  int nameless_count = 0;
  for (Failed& failed : failed_) {
    unclaimed.erase(failed.id);
    if (!failed.id.IsZero()) continue;
    nameless = &failed;
    ++nameless_count;
  }
  if (unclaimed.size() == 1 && nameless_count == 1) {
    nameless->id = unclaimed.begin()->first;
    unclaimed.clear();
  }
  for (const auto& [id, count] : unclaimed) {
    failed_.push_back(
        {"", id,
         Error(Reason::kStorageError, "log directory " + id.ToString() +
                                          " is not among those that this node has: add its disk to "
                                          "log_dirs, or replace it")});
  }
  for (const Failed& failed : failed_) {
    const auto found = missing.find(failed.id);
    LOG(ERROR) << "Log directory " << (failed.path.empty() ? failed.id.ToString() : failed.path)
               << " is offline until the next start, and with it "
               << (found == missing.end() ? 0 : found->second)
               << " partition(s) as far as is known: " << failed.error;
  }
  has_missing_.store(!missing.empty());
}

bool LogDirs::AllWork() const {
  return !has_missing_.load() &&
         std::none_of(open_.begin(), open_.end(), [](const LogDirectory* directory) {
           return directory->failure().has_value();
         });
}

OfflineReplicas LogDirs::Offline(const RefusedLogs& refused) const {
  std::set<DirectoryId> online;
  for (const LogDirectory* directory : open_) {
    if (!directory->failure().has_value()) online.insert(directory->id());
  }
  const bool all_work = !has_missing_.load() && online.size() == open_.size();
  return {node_, refused.All(), all_work ? std::nullopt : std::optional(std::move(online))};
}

int64_t LogDirs::CountOffline(const MetadataImage& image, const RefusedLogs& refused) const {
  const OfflineReplicas offline = Offline(refused);
  if (offline.all_directories_work()) return static_cast<int64_t>(offline.refused().size());
  int64_t count = 0;
  image.topics.VisitAll([&](const std::string&, const TopicPtr& topic) {
    topic->partitions.VisitAll([&](PartitionIndex index, const auto& partition) {
      if (offline.Has({topic->id, index}, *partition, node_)) ++count;
    });
  });
  return count;
}

int64_t LogDirs::stray_folders() const {
  int64_t count = 0;
  for (const LogDirectory* directory : open_) count += directory->stray_folders();
  return count;
}

std::vector<LogDirUsage> LogDirs::Describe(const MetadataImage& image,
                                           const std::set<std::string>& topics) const {
  std::vector<LogDirUsage> result;
  for (const LogDirectory* directory : open_) {
    const DiskSpace space = directory->space();
    result.push_back({.broker_id = node_,
                      .id = directory->id(),
                      .path = directory->options().path,
                      .total_bytes = space.total_bytes,
                      .usable_bytes = space.free_bytes,
                      .replicas = {},
                      .error = directory->failure()});
  }
  const auto first_failed = static_cast<ptrdiff_t>(result.size());
  for (const Failed& failed : failed_) {
    result.push_back({.broker_id = node_,
                      .id = failed.id,
                      .path = failed.path,
                      .replicas = {},
                      .error = failed.error});
  }
  if (!has_missing_.load()) return result;
  VisitReplicas(image, node_,
                [&](const std::string& topic, const TopicIdPartition& id, const DirectoryId& of) {
                  if (!topics.empty() && topics.count(topic) == 0) return;
                  const auto found =
                      std::find_if(result.begin() + first_failed, result.end(),
                                   [&](const LogDirUsage& usage) { return usage.id == of; });
                  if (found != result.end()) found->replicas.push_back({.topic = topic, .id = id});
                });
  return result;
}

}  // namespace gregor
