#include "broker/producer_ids.h"

#include <utility>

namespace gregor {

void ProducerIds::Next(Done done) {
  ProducerId id = kNoProducerId;
  bool ask = false;
  {
    const MutexLock lock(mutex_);
    if (waiting_.empty() && next_ < end_) {
      id = ProducerId{next_++};
    } else {
      waiting_.push_back(std::move(done));
      ask = !std::exchange(asking_, true);
    }
  }
  // NOLINTNEXTLINE(bugprone-use-after-move): with an id it was not moved.
  if (id != kNoProducerId) return done(id);
  if (ask)
    controller_.Run(AllocateProducerIds{kBlockSize},
                    [this](Result<ProducerIdBlock> block) { OnBlock(std::move(block)); });
}

void ProducerIds::OnBlock(Result<ProducerIdBlock> block) {
  std::vector<std::pair<Done, ProducerId>> served;
  std::deque<Done> failed;
  bool ask = false;
  {
    const MutexLock lock(mutex_);
    asking_ = false;
    if (!block.ok()) {
      failed.swap(waiting_);
    } else {
      next_ = block->first;
      end_ = block->first + block->count;
      while (!waiting_.empty() && next_ < end_) {
        served.emplace_back(std::move(waiting_.front()), ProducerId{next_++});
        waiting_.pop_front();
      }
      ask = asking_ = !waiting_.empty();
    }
  }
  for (Done& done : failed) done(block.error());
  for (auto& [done, id] : served) done(id);
  if (ask)
    controller_.Run(AllocateProducerIds{kBlockSize},
                    [this](Result<ProducerIdBlock> next) { OnBlock(std::move(next)); });
}

}  // namespace gregor
