#include "tests/sim/cluster_checkers.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "controller/image/rows.h"

namespace gregor {
namespace {

uint64_t RowHash(std::string_view key, std::string_view record) {
  const std::hash<std::string_view> hash;
  return hash(key) * 0x9e3779b97f4a7c15u + hash(record);
}

bool IsActive(const MetadataImage& image, NodeId node) {
  const BrokerImage* const broker = image.Broker(node);
  return broker != nullptr && broker->IsActive();
}

}  // namespace

void ClusterChecker::OnImage(NodeId id, const MetadataDelta& delta, Offset commit) {
  Node& node = nodes_[id];
  const bool is_first = node.version == Offset{0};
  const MetadataImage* const before = is_first ? nullptr : delta.before.get();
  for (const RowChange& change : DiffRows(before, *delta.after)) {
    Node::Row& row = node.rows[change.key];
    const Node::Row was = std::exchange(row, {});
    if (change.record.has_value()) {
      row = {RowHash(change.key, *change.record), change.key.size() + change.record->size()};
    }
    node.hash += row.hash - was.hash;
    node.bytes += row.bytes - was.bytes;
    if (!change.record.has_value()) node.rows.erase(change.key);
  }
  const Offset version = delta.after->version;
  if (version < node.version)
    return verdict_.Fail("node ", id, "'s image went back from ", node.version, " to ", version);
  node.version = version;
  // Who goes on from a snapshot hears of what is committed after that.
  commit_ = std::max(commit_, commit);
  if (version > commit_)
    return verdict_.Fail("C11: node ", id, " serves version ", version, ", and up to ", commit_,
                         " is committed");
  const std::pair hash(node.hash, delta.after->state_hash);
  const auto [known, is_new] = hashes_.try_emplace(version, hash);
  if (is_new) ++version_count_;
  if (hashes_.size() > versions_kept_) hashes_.erase(hashes_.begin());
  if (known->second != hash)
    return verdict_.Fail("C1: node ", id, " has another image at ", version, " than others");
  if (version <= version_) return;
  version_ = version;
  CheckBrokers(*delta.after);
  for (const TopicPtr& topic : delta.created) CheckWhole(*topic);
  for (const TopicPtr& topic : delta.changed) CheckWhole(*topic);
  if (delta.before == nullptr) return;
  partitions_.OnImage(delta);
  for (const TopicPtr& topic : delta.changed) {
    if (const TopicPtr old = delta.before->Topic(topic->id)) CheckEpochs(*old, *topic);
  }
  // What holds of a partition depends on itself and on the brokers.
  if (delta.brokers_changed) {
    delta.after->topics.VisitAll(
        [&](const std::string&, const TopicPtr& topic) { CheckPartitions(*delta.after, *topic); });
    return;
  }
  for (const TopicPtr& topic : delta.created) CheckPartitions(*delta.after, *topic);
  for (const TopicPtr& topic : delta.changed) CheckPartitions(*delta.after, *topic);
}

void ClusterChecker::CheckPartitions(const MetadataImage& image, const TopicImage& topic) {
  topic.partitions.VisitAll([&](PartitionIndex, const PartitionPtr& partition) {
    CheckPartition(image, topic, *partition);
  });
}

size_t ClusterChecker::ImageBytes(NodeId node) const {
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? 0 : found->second.bytes;
}

void ClusterChecker::ForgetGone(const MetadataImage& image, MonotonicTime now) {
  constexpr Duration kLongAgo = std::chrono::hours(1);
  partitions_.ForgetPassed(image);
  std::erase_if(topics_, [&](const auto& topic) {
    const auto& [name, known] = topic;
    const bool is_settled =
        known.is_refused || known.is_deleted || !known.id.has_value() || known.may_be_deleted;
    return is_settled && now - known.asked_at > kLongAgo && image.Topic(name) == nullptr;
  });
}

void ClusterChecker::CheckBrokers(const MetadataImage& image) {
  std::set<DirectoryId> directories;
  image.brokers.VisitAll([&](NodeId node, const auto& broker) {
    BrokerEpoch& epoch = epochs_[node];
    if (broker->epoch < epoch)
      verdict_.Fail("C6: broker ", node, " has epoch ", broker->epoch, " after ", epoch);
    epoch = broker->epoch;
    for (const DirectoryId& id : broker->directories) {
      if (!directories.insert(id).second)
        verdict_.Fail("C9: log directory ", id, " is of two brokers at ", image.version);
    }
  });
}

// C3, C4, C5, and that nothing is offline without need.
void ClusterChecker::CheckPartition(const MetadataImage& image, const TopicImage& topic,
                                    const PartitionImage& partition) {
  const auto fail = [&](const char* what) {
    verdict_.Fail(what, ": partition ", partition.index, " of ", topic.name, " at ", image.version);
  };
  const auto is_active = [&](NodeId node) { return IsActive(image, node); };
  if (partition.leader.value != -1 && !partition.isr.Contains(partition.leader))
    fail("C3: the leader is not in sync");
  const auto is_replica = [&](NodeId node) { return partition.replicas.Contains(node); };
  if (!std::all_of(partition.isr.begin(), partition.isr.end(), is_replica) ||
      !std::all_of(partition.eligible.begin(), partition.eligible.end(), is_replica))
    fail("C4: who is in sync, or was, is no replica");
  if (!std::all_of(partition.isr.begin(), partition.isr.end(), is_active))
    fail("C4: a broker that is fenced, stops, or is not there is in sync");
  for (const NodeId node : partition.eligible) {
    if (partition.isr.Contains(node)) fail("C4: an eligible replica is in sync");
  }
  if (partition.isr.empty() && partition.eligible.empty())
    fail("C5: nobody has what was committed");
  // A replica whose disk was exchanged is no better than none.
  const auto has_records = [&](NodeId node) {
    const BrokerImage* const broker = image.Broker(node);
    const auto place =
        static_cast<size_t>(std::find(partition.replicas.begin(), partition.replicas.end(), node) -
                            partition.replicas.begin());
    return broker != nullptr && broker->IsActive() && place < partition.directories.size() &&
           broker->HasDirectory(partition.directories[place]);
  };
  const bool can_lead =
      std::any_of(partition.isr.begin(), partition.isr.end(), has_records) ||
      std::any_of(partition.eligible.begin(), partition.eligible.end(), has_records);
  if (partition.leader.value == -1 && can_lead) fail("L2: nobody leads, though somebody could");
}

void ClusterChecker::CheckEpochs(const TopicImage& before, const TopicImage& after) {
  after.partitions.VisitAll([&](PartitionIndex index, const PartitionPtr& now) {
    const PartitionImage* const was = before.Partition(index);
    if (was == nullptr || *was == *now) return;
    if (now->partition_epoch <= was->partition_epoch)
      verdict_.Fail("C2: partition ", index, " of ", after.name, " changed within its epoch");
    const bool leads_anew = now->leader != was->leader;
    if (now->leader_epoch < was->leader_epoch ||
        (leads_anew && now->leader_epoch == was->leader_epoch))
      verdict_.Fail("C2: partition ", index, " of ", after.name, " has a leader of an old epoch");
  });
}

// C8: all of what was asked for, or nothing.
void ClusterChecker::CheckWhole(const TopicImage& topic) {
  const auto known = topics_.find(topic.name);
  if (known == topics_.end()) return verdict_.Fail("nobody asked for topic ", topic.name);
  if (known->second.partitions.count(topic.partition_count()) == 0)
    verdict_.Fail("C8: topic ", topic.name, " has ", topic.partition_count(),
                  " partitions, and nobody asked for so many");
}

void ClusterChecker::OnProducerIds(const ProducerIdBlock& block) {
  const int64_t end = block.first + block.count;
  const auto next = producer_ids_.lower_bound(block.first);
  const bool overlaps = (next != producer_ids_.end() && next->first < end) ||
                        (next != producer_ids_.begin() && std::prev(next)->second > block.first);
  if (overlaps) verdict_.Fail("C10: producer ids from ", block.first, " on were given twice");
  // One block with what comes before it, where nothing lies between.
  if (next != producer_ids_.begin() && std::prev(next)->second == block.first) {
    std::prev(next)->second = end;
  } else {
    producer_ids_[block.first] = end;
  }
}

void ClusterChecker::OnCreating(const std::string& name, int32_t partitions, MonotonicTime now) {
  ++topic_count_;
  Topic& topic = topics_[name];
  topic.partitions = {partitions};
  topic.asked_at = now;
}

void ClusterChecker::OnCreated(const std::string& name, const TopicImage& topic) {
  Topic& known = topics_.at(name);
  known.id = topic.id;
  if (topic.name != name || topic.partition_count() < *known.partitions.begin())
    verdict_.Fail("C7: the answer for topic ", name, " shows another one");
}

// Others may be registered: a stranger that was let in with the log directory of a disk that is
// gone is fenced as nobody speaks for it, and stays so.
void ClusterChecker::CheckAlive(const MetadataImage& image, const std::vector<NodeId>& alive) {
  for (const NodeId node : alive) {
    const BrokerImage* const broker = image.Broker(node);
    if (broker != nullptr && broker->fenced && !broker->fenced_by_hand)
      verdict_.Fail("C12: broker ", node, " lives, and is fenced");
  }
}

void ClusterChecker::OnNotCreated(const std::string& name) {
  const auto known = topics_.find(name);
  if (known != topics_.end()) known->second.is_refused = true;
}

std::vector<std::string> ClusterChecker::names() const {
  std::vector<std::string> names;
  for (const auto& [name, topic] : topics_) {
    if (!topic.is_refused && !topic.is_deleted) names.push_back(name);
  }
  return names;
}

void ClusterChecker::CheckTopics(const MetadataImage& image) {
  for (const auto& [name, known] : topics_) {
    const TopicPtr topic = image.Topic(name);
    if (topic == nullptr) {
      if (known.id.has_value() && !known.may_be_deleted)
        verdict_.Fail("C7: topic ", name, " was made, and is not there");
      continue;
    }
    if (known.is_refused) verdict_.Fail("C7: topic ", name, " was not made, and is there");
    if (known.is_deleted) verdict_.Fail("C7: topic ", name, " was deleted, and is there");
    if (known.id.has_value() && topic->id != *known.id)
      verdict_.Fail("C7: topic ", name, " is another one than was answered");
  }
}

}  // namespace gregor
