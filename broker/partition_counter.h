#ifndef GREGOR_BROKER_PARTITION_COUNTER_H_
#define GREGOR_BROKER_PARTITION_COUNTER_H_

#include <memory>

#include "base/thread_annotations.h"
#include "broker/api.h"
#include "controller/image/partition_counts.h"

namespace gregor {

// What there is to count over all partitions of the cluster: counted when somebody asks, and kept
// until the metadata are others. Thread: any.
class PartitionCounter {
 public:
  // REQUIRES: `broker` outlives it.
  explicit PartitionCounter(const BrokerApi& broker) : broker_(broker) {}

  // Of an image that the broker gave.
  std::shared_ptr<const PartitionCounts> Of(const ImagePtr& image);

 private:
  const BrokerApi& broker_;
  Mutex mutex_;
  std::weak_ptr<const MetadataImage> image_ TS_GUARDED_BY(mutex_);  // that of `counts_`
  std::shared_ptr<const PartitionCounts> counts_ TS_GUARDED_BY(mutex_);
};

}  // namespace gregor

#endif  // GREGOR_BROKER_PARTITION_COUNTER_H_
