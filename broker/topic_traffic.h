#ifndef GREGOR_BROKER_TOPIC_TRAFFIC_H_
#define GREGOR_BROKER_TOPIC_TRAFFIC_H_

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/metrics.h"
#include "base/thread_annotations.h"

namespace gregor {

// What came into a topic's partitions on this node and went out of them. Thread: any; relaxed
// atomic additions.
struct TopicCounts {
  Counter writes;  // batches that a partition was asked to append, those that it refused too
  Counter records_in;
  Counter bytes_in;
  Counter reads;  // of a partition, those that it refused or that found nothing too
  Counter records_out;
  Counter bytes_out;
};

// The counts of a node's topics, by name; those of a topic are there while one of its partitions
// is. A bounded number of topics have counts of their own. Further ones share the counts of "", and
// go on sharing them when there is room again: a count only grows. Thread: any.
class TopicTraffic {
 public:
  // `topics_max`: how many have their own.
  explicit TopicTraffic(size_t topics_max) : topics_max_(topics_max) {}
  TopicTraffic(const TopicTraffic&) = delete;
  TopicTraffic& operator=(const TopicTraffic&) = delete;

  // The counts for a partition of `topic`. REQUIRES: this outlives what is returned.
  std::shared_ptr<TopicCounts> Of(const std::string& topic);

  // All that there are, by name, "" first: that once some topic had to share.
  using Named = std::pair<std::string, std::shared_ptr<const TopicCounts>>;
  std::vector<Named> All() const;

 private:
  struct Topic {
    std::weak_ptr<TopicCounts> counts;
    bool shares = false;
  };

  // Its last partition is gone.
  void Forget(const std::string& topic);
  void Erase(std::map<std::string, Topic>::iterator topic) TS_REQUIRES(mutex_);

  const size_t topics_max_;
  TopicCounts shared_;
  mutable Mutex mutex_;
  std::map<std::string, Topic> topics_ TS_GUARDED_BY(mutex_);
  size_t own_count_ TS_GUARDED_BY(mutex_) = 0;  // of `topics_`, those that do not share
  bool was_shared_ TS_GUARDED_BY(mutex_) = false;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_TOPIC_TRAFFIC_H_
