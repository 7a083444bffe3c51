#ifndef GREGOR_BROKER_REFUSED_LOGS_H_
#define GREGOR_BROKER_REFUSED_LOGS_H_

#include <unordered_set>

#include "base/thread_annotations.h"
#include "base/types.h"

namespace gregor {

// The partitions of a node that are offline though they are in use: their logs could not be opened.
// Thread: any.
class RefusedLogs {
 public:
  void Add(const TopicIdPartition& id) {
    const MutexLock lock(mutex_);
    ids_.insert(id);
  }
  void Remove(const TopicIdPartition& id) {
    const MutexLock lock(mutex_);
    ids_.erase(id);
  }
  bool Has(const TopicIdPartition& id) const {
    const MutexLock lock(mutex_);
    return ids_.count(id) != 0;
  }
  std::unordered_set<TopicIdPartition> All() const {
    const MutexLock lock(mutex_);
    return ids_;
  }

 private:
  mutable Mutex mutex_;
  std::unordered_set<TopicIdPartition> ids_ TS_GUARDED_BY(mutex_);
};

}  // namespace gregor

#endif  // GREGOR_BROKER_REFUSED_LOGS_H_
