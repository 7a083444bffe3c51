#ifndef GREGOR_BROKER_ROUTING_H_
#define GREGOR_BROKER_ROUTING_H_

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "broker/shard.h"

namespace gregor {

// Runs `work(Partition&, done)` on the partition's loop once its log is open; `done` gets the
// reason when there is no such partition (any more), which is counted in `missing`. Thread: any.
template <typename T, typename Work>
void OnPartition(Shard& shard, const TopicIdPartition& id, const char* name, Work work,
                 UniqueFunction<void(Result<T>)> done, ErrorCounts* missing = nullptr) {
  shard.loop().Post(
      name, [&shard, id, work = std::move(work), done = std::move(done), missing]() mutable {
        auto partition = shard.Get(id);
        if (!partition.ok()) {
          if (missing != nullptr) missing->Add(partition.error().reason);
          return done(std::move(partition).error());
        }
        Partition& found = **partition;
        if (found.is_open()) return work(found, std::move(done));
        found.WhenOpen([&found, work = std::move(work), done = std::move(done)]() mutable {
          work(found, std::move(done));
        });
      });
}

// Collects the answers of several partitions, in the order of the questions. Thread: any.
template <typename T>
class Gather {
 public:
  using Done = UniqueFunction<void(std::vector<Result<T>>)>;

  // `done` gets `size` results once all are set; at once where there are none to wait for.
  static std::shared_ptr<Gather> Make(size_t size, Done done) {
    auto gather = std::make_shared<Gather>(size, std::move(done));
    if (size == 0) gather->done_({});
    return gather;
  }
  Gather(size_t size, Done done) : results_(size), left_(size), done_(std::move(done)) {}

  // Once per index.
  void Set(size_t index, Result<T> result) {
    results_[index].emplace(std::move(result));
    if (left_.fetch_sub(1) != 1) return;
    std::vector<Result<T>> results;
    results.reserve(results_.size());
    for (auto& each : results_) results.push_back(std::move(*each));
    done_(std::move(results));
  }

 private:
  std::vector<std::optional<Result<T>>> results_;
  std::atomic<size_t> left_;
  Done done_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_ROUTING_H_
