#include "broker/grpc/metadata_diff.h"

#include <re2/re2.h>

#include <algorithm>
#include <utility>

#include "broker/grpc/convert.h"
#include "broker/grpc/status.h"
#include "broker/resolve.h"

namespace gregor {
namespace {

constexpr int kPatternBytesMax = 1024;
constexpr int64_t kPatternMemoryBytes = 1 << 20;
// Names that a walk over all topics takes at a time.
constexpr size_t kNamesAtATime = 500;

class ParsedFilter final : public TopicFilter {
 public:
  std::set<std::string, std::less<>> wanted;
  std::unique_ptr<RE2> pattern;  // nullptr: none

  bool Takes(std::string_view topic) const override {
    if (wanted.empty() && pattern == nullptr) return true;
    if (wanted.count(topic) > 0) return true;
    return pattern != nullptr && RE2::FullMatch({topic.data(), topic.size()}, *pattern);
  }
  const std::set<std::string, std::less<>>& names() const override { return wanted; }
  bool names_only() const override { return !wanted.empty() && pattern == nullptr; }
};

// The next names of `image` after `after` (all of them where fewer than kNamesAtATime come).
std::vector<std::string> NamesAfter(const MetadataImage* image, const std::string& after) {
  std::vector<std::string> names;
  if (image == nullptr) return names;
  image->topics.VisitFrom(after, [&](const std::string& name, const TopicPtr&) {
    if (name != after) names.push_back(name);
    return names.size() < kNamesAtATime;
  });
  return names;
}

bool IsSame(const TopicImage& before, const std::shared_ptr<const PartitionImage>& partition) {
  const auto* const known = before.partitions.Find(partition->index);
  return known != nullptr && *known == partition;
}

}  // namespace

Result<std::unique_ptr<TopicFilter>> TopicFilter::Parse(const v1::WatchMetadataRequest& request) {
  if (request.topics_size() > kItemsMax) {
    return Error(Reason::kInvalidArgument,
                 "a watch takes at most " + std::to_string(kItemsMax) + " names: use topic_regex")
        .With("limit_items", std::to_string(kItemsMax));
  }
  auto filter = std::make_unique<ParsedFilter>();
  filter->wanted.insert(request.topics().begin(), request.topics().end());
  if (request.topic_regex().empty()) return std::unique_ptr<TopicFilter>(std::move(filter));
  if (request.topic_regex().size() > kPatternBytesMax) {
    return Error(Reason::kInvalidArgument,
                 "topic_regex is longer than " + std::to_string(kPatternBytesMax) + " characters");
  }
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kPatternMemoryBytes);
  filter->pattern = std::make_unique<RE2>(request.topic_regex(), options);
  if (!filter->pattern->ok()) {
    return Error(Reason::kInvalidArgument,
                 "topic_regex is no regular expression (RE2): " + filter->pattern->error());
  }
  return std::unique_ptr<TopicFilter>(std::move(filter));
}

MetadataDiff::MetadataDiff(Options options, const TopicFilter& filter)
    : options_(std::move(options)), filter_(filter) {
  if (options_.topics.has_value()) {
    names_ = std::move(*options_.topics);
    names_end_ = true;
  } else if (filter_.names_only()) {
    names_.assign(filter_.names().begin(), filter_.names().end());
    names_end_ = true;
  } else if (options_.before == nullptr) {
    // The walk meets only those that exist.
    for (const std::string& name : filter_.names()) {
      if (options_.after->Topic(name) == nullptr) names_.push_back(name);
    }
  }
  std::sort(names_.begin(), names_.end(), std::greater<>());
}

bool MetadataDiff::FillNames() {
  while (names_.empty() && !names_end_) {
    const auto old_names = NamesAfter(options_.before.get(), all_after_);
    const auto new_names = NamesAfter(options_.after.get(), all_after_);
    const bool more = old_names.size() == kNamesAtATime || new_names.size() == kNamesAtATime;
    std::set_union(old_names.begin(), old_names.end(), new_names.begin(), new_names.end(),
                   std::back_inserter(names_));
    if (more) {
      // Beyond the shorter of the full lists names may be missing.
      std::string last;
      for (const auto* list : {&old_names, &new_names}) {
        if (list->size() < kNamesAtATime) continue;
        if (last.empty() || list->back() < last) last = list->back();
      }
      names_.erase(std::upper_bound(names_.begin(), names_.end(), last), names_.end());
      all_after_ = last;
    }
    names_end_ = !more;
    names_.erase(std::remove_if(names_.begin(), names_.end(),
                                [&](const auto& name) { return !filter_.Takes(name); }),
                 names_.end());
    std::reverse(names_.begin(), names_.end());
  }
  return !names_.empty();
}

bool MetadataDiff::Differs(const std::string& name) const {
  const TopicPtr before = options_.before == nullptr ? nullptr : options_.before->Topic(name);
  const TopicPtr after = options_.after->Topic(name);
  if (before == after)
    return before == nullptr && options_.before == nullptr && filter_.names().count(name) > 0;
  if (before == nullptr || after == nullptr || before->id != after->id) return true;
  bool differs = false;
  after->partitions.VisitFrom(PartitionIndex{0}, [&](PartitionIndex, const auto& partition) {
    differs = !IsSame(*before, partition);
    return !differs;
  });
  return differs;
}

bool MetadataDiff::done() {
  if (options_.brokers && !told_brokers_) return false;
  while (FillNames()) {
    const bool partly_told = told_deleted_ || partition_.value > 0;
    if (partly_told || Differs(names_.back())) return false;
    names_.pop_back();
  }
  return true;
}

bool MetadataDiff::Next(v1::GetMetadataResponse& message) {
  if (done()) return false;
  message.Clear();
  bytes_ = 0;
  message.set_cluster_id(options_.after->cluster_id.ToString());
  message.set_metadata_version(options_.after->version.value);
  if (options_.brokers && !told_brokers_) {
    FillBrokers(*options_.after, *message.mutable_brokers());
    told_brokers_ = true;
    bytes_ = message.SpaceUsedLong();
  }
  while (bytes_ < options_.message_bytes_max && !done()) Tell(names_.back(), message);
  return true;
}

void MetadataDiff::Tell(const std::string& name, v1::GetMetadataResponse& message) {
  TopicPtr before = options_.before == nullptr ? nullptr : options_.before->Topic(name);
  const TopicPtr after = options_.after->Topic(name);
  if (before == nullptr && after == nullptr) TellMissing(name, message);
  if (before != nullptr && (after == nullptr || before->id != after->id)) {
    if (!told_deleted_) TellDeleted(*before, message);
    told_deleted_ = true;
    before = nullptr;
  }
  if (after != nullptr) {
    TellChanged(before.get(), *after, message);
    if (partition_.value > 0) return;  // the message is full
  }
  told_deleted_ = false;
  names_.pop_back();
}

void MetadataDiff::TellMissing(const std::string& name, v1::GetMetadataResponse& message) {
  auto& out = *message.add_topics();
  out.set_topic(name);
  *out.mutable_error() = ToRpcStatus(NoSuchTopic(name));
  bytes_ += out.SpaceUsedLong();
}

void MetadataDiff::TellDeleted(const TopicImage& topic, v1::GetMetadataResponse& message) {
  auto& out = *message.add_topics();
  out.set_topic(topic.name);
  out.set_topic_id(ToBytes(topic.id.bytes));
  *out.mutable_error() =
      ToRpcStatus(Error(Reason::kTopicNotFound, "topic \"" + topic.name + "\" was deleted"));
  bytes_ += out.SpaceUsedLong();
}

void MetadataDiff::TellChanged(const TopicImage* before, const TopicImage& after,
                               v1::GetMetadataResponse& message) {
  auto& out = *message.add_topics();
  FillTopic(after, out);
  bytes_ += out.SpaceUsedLong();
  const PartitionIndex from = std::exchange(partition_, PartitionIndex{0});
  after.partitions.VisitFrom(from, [&](PartitionIndex index, const auto& partition) {
    if (before != nullptr && IsSame(*before, partition)) return true;
    if (bytes_ >= options_.message_bytes_max && out.partitions_size() > 0) {
      partition_ = index;
      return false;
    }
    auto& told = *out.add_partitions();
    // Of this node's disks the metadata tell nothing, and watchers are told what those tell.
    FillPartition(after.id, *partition, {*options_.after, OfflineReplicas()}, told);
    bytes_ += told.SpaceUsedLong();
    return true;
  });
}

}  // namespace gregor
