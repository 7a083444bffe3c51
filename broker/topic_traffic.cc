#include "broker/topic_traffic.h"

namespace gregor {

std::shared_ptr<TopicCounts> TopicTraffic::Of(const std::string& topic) {
  const MutexLock lock(mutex_);
  auto found = topics_.find(topic);
  if (found != topics_.end()) {
    if (auto counts = found->second.counts.lock()) return counts;
    Erase(found);  // its last partition is going at this moment
  }
  const bool shares = own_count_ >= topics_max_;
  // A pointer of the topic's own in both cases, so that it is known when the topic has gone.
  const std::shared_ptr<TopicCounts> counts(shares ? &shared_ : new TopicCounts,
                                            [this, topic, shares](TopicCounts* gone) {
                                              Forget(topic);
                                              if (!shares) delete gone;
                                            });
  topics_.emplace(topic, Topic{counts, shares});
  if (shares) {
    was_shared_ = true;
  } else {
    ++own_count_;
  }
  return counts;
}

std::vector<TopicTraffic::Named> TopicTraffic::All() const {
  std::vector<Named> all;
  const MutexLock lock(mutex_);
  if (was_shared_)
    all.emplace_back("", std::shared_ptr<const TopicCounts>(std::shared_ptr<void>(), &shared_));
  for (const auto& [name, topic] : topics_) {
    if (topic.shares) continue;
    // Whoever has `all` may be the last to let go of it, and does that without the lock.
    if (auto counts = topic.counts.lock()) all.emplace_back(name, std::move(counts));
  }
  return all;
}

void TopicTraffic::Forget(const std::string& topic) {
  const MutexLock lock(mutex_);
  const auto found = topics_.find(topic);
  // Others may have come under the same name meanwhile.
  if (found != topics_.end() && found->second.counts.expired()) Erase(found);
}

void TopicTraffic::Erase(std::map<std::string, Topic>::iterator topic) {
  if (!topic->second.shares) --own_count_;
  topics_.erase(topic);
}

}  // namespace gregor
