#ifndef GREGOR_TESTS_SIM_CLUSTER_CHECKERS_H_
#define GREGOR_TESTS_SIM_CLUSTER_CHECKERS_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "controller/image/image.h"
#include "controller/image/operation.h"
#include "tests/sim/checkers.h"
#include "tests/sim/partition_checker.h"

namespace gregor {

// What must hold of the metadata of a cluster, as its nodes see them (scenarios.md, C1-C12).
class ClusterChecker {
 public:
  explicit ClusterChecker(Verdict& verdict) : verdict_(verdict), partitions_(verdict) {}

  // The node's process began anew: it has no image.
  void OnStart(NodeId node) { nodes_.erase(node); }
  // Its image moved on; up to `commit` it knows that the log is committed.
  void OnImage(NodeId node, const MetadataDelta& delta, Offset commit);
  // How much the node's image is, as rows.
  size_t ImageBytes(NodeId node) const;
  // C12: of the brokers that live nobody is fenced, but by hand.
  void CheckAlive(const MetadataImage& image, const std::vector<NodeId>& alive);
  // C10.
  void OnProducerIds(const ProducerIdBlock& block);

  // --- topics: each name is asked for once ---
  void OnCreating(const std::string& name, int32_t partitions, MonotonicTime now);
  void OnCreated(const std::string& name, const TopicImage& topic);
  // Its partitions are to be so many, if that is more than there are.
  void OnGrowing(const std::string& name, int32_t partitions) {
    std::set<int32_t>& asked = topics_.at(name).partitions;
    if (partitions > *asked.begin()) asked.insert(partitions);
  }
  // The leader of a partition says who is in sync.
  void OnAsked(const AlterPartitions& asked) { partitions_.OnAsked(asked); }
  // It is known that the topic was not made.
  void OnNotCreated(const std::string& name);
  void OnDeleting(const std::string& name) { topics_.at(name).may_be_deleted = true; }
  void OnDeleted(const std::string& name) {
    // It is gone, and may be forgotten before the answer comes.
    const auto topic = topics_.find(name);
    if (topic != topics_.end()) topic->second.is_deleted = true;
  }
  // A name that may be there.
  std::vector<std::string> names() const;
  // What was answered is so in the end.
  void CheckTopics(const MetadataImage& image);

  // For long runs: forgets all but so many of the newest versions, and topics of long ago that are
  // not there; whatever comes back of those is what nobody asked for.
  void SetVersionsKept(size_t count) { versions_kept_ = count; }
  void ForgetGone(const MetadataImage& image, MonotonicTime now);

  Offset version() const { return version_; }
  size_t version_count() const { return version_count_; }
  size_t topic_count() const { return topic_count_; }

 private:
  struct Node {
    struct Row {
      uint64_t hash = 0;
      size_t bytes = 0;
    };
    std::map<std::string, Row> rows;
    uint64_t hash = 0;  // of all of them
    size_t bytes = 0;
    Offset version{0};
  };
  struct Topic {
    std::set<int32_t> partitions;  // how many were asked for, at first the fewest
    MonotonicTime asked_at;
    std::optional<TopicId> id;  // where it was answered
    bool is_refused = false;
    bool may_be_deleted = false;
    bool is_deleted = false;
  };

  void CheckBrokers(const MetadataImage& image);
  void CheckPartitions(const MetadataImage& image, const TopicImage& topic);
  void CheckPartition(const MetadataImage& image, const TopicImage& topic,
                      const PartitionImage& partition);
  void CheckEpochs(const TopicImage& before, const TopicImage& after);
  void CheckWhole(const TopicImage& topic);

  Verdict& verdict_;
  PartitionStepChecker partitions_;
  std::map<NodeId, Node> nodes_;
  Offset commit_{0};  // as far as any node has known
  std::map<NodeId, BrokerEpoch> epochs_;
  // Of rows, and the state's own, by version.
  std::map<Offset, std::pair<uint64_t, uint64_t>> hashes_;
  size_t versions_kept_ = SIZE_MAX;
  size_t version_count_ = 0;
  size_t topic_count_ = 0;
  Offset version_{0};                        // the newest that any node has had
  std::map<int64_t, int64_t> producer_ids_;  // first, after the last
  std::map<std::string, Topic> topics_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_CLUSTER_CHECKERS_H_
