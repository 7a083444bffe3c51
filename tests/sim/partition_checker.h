#ifndef GREGOR_TESTS_SIM_PARTITION_CHECKER_H_
#define GREGOR_TESTS_SIM_PARTITION_CHECKER_H_

#include <map>
#include <tuple>
#include <vector>

#include "controller/image/image.h"
#include "controller/image/operation.h"
#include "tests/sim/checkers.h"

namespace gregor {

// What must hold of each step of a partition (scenarios.md): as many as a commit needs have
// everything, once they did, unless a leader was elected uncleanly or disks are gone (C5); who gets
// in sync is asked for by the leader, in the life that its broker has; and who may have lost what
// it had is in sync no more (C6). Thread: the simulation's.
class PartitionStepChecker {
 public:
  explicit PartitionStepChecker(Verdict& verdict) : verdict_(verdict) {}

  // A leader asks for it.
  void OnAsked(const AlterPartitions& asked);
  // The first node's image that came so far. REQUIRES: there is one before.
  void OnImage(const MetadataDelta& delta);
  // Forgets what was asked of partitions that have changed since.
  void ForgetPassed(const MetadataImage& image);

 private:
  using Place = std::tuple<TopicId, PartitionIndex, PartitionEpoch>;
  struct Step {
    const MetadataDelta& delta;
    const TopicImage& topic;
    const PartitionImage& before;
    const PartitionImage& now;
  };

  void CheckTopic(const MetadataDelta& delta, const TopicImage& topic);
  void CheckCount(const Step& step);
  void CheckGrowth(const Step& step);
  void CheckRestarted(const Step& step);
  bool HasGone(const Step& step, NodeId node) const;
  void Fail(const char* what, const Step& step);

  Verdict& verdict_;
  // Members with the epochs of their brokers, by the partition's epoch that the leader knew.
  std::map<Place, std::vector<std::vector<AlterPartitions::Member>>> asked_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_PARTITION_CHECKER_H_
