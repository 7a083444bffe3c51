#ifndef GREGOR_BROKER_PRODUCER_IDS_H_
#define GREGOR_BROKER_PRODUCER_IDS_H_

#include <deque>

#include "base/thread_annotations.h"
#include "broker/api.h"

namespace gregor {

// Hands out producer ids from blocks that the controller allocates, so that no id is ever given
// twice. Thread: any.
class ProducerIds {
 public:
  using Done = UniqueFunction<void(Result<ProducerId>)>;

  // REQUIRES: `controller` outlives it.
  explicit ProducerIds(ControllerApi& controller) : controller_(controller) {}

  // The next id; fails as AllocateProducerIds.
  void Next(Done done);

 private:
  static constexpr int64_t kBlockSize = 1000;  // as Kafka's
  void OnBlock(Result<ProducerIdBlock> block);

  ControllerApi& controller_;
  Mutex mutex_;
  int64_t next_ TS_GUARDED_BY(mutex_) = 0;
  int64_t end_ TS_GUARDED_BY(mutex_) = 0;
  bool asking_ TS_GUARDED_BY(mutex_) = false;
  std::deque<Done> waiting_ TS_GUARDED_BY(mutex_);
};

}  // namespace gregor

#endif  // GREGOR_BROKER_PRODUCER_IDS_H_
