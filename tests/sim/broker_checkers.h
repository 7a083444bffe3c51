#ifndef GREGOR_TESTS_SIM_BROKER_CHECKERS_H_
#define GREGOR_TESTS_SIM_BROKER_CHECKERS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/api.h"
#include "controller/image/image.h"
#include "tests/sim/checkers.h"

namespace gregor {

// What the clients of a broker know of one partition, from requests and answers alone, over all
// crashes of the node:
//   an acknowledged record stays where it was said to be, and is served (P1, P3); offsets are dense
//   (P7); each value is in one place (T6) of the topic that it was sent to (C12); the high
//   watermark and the log start do not move back; the leader epoch rises with every start of the
//   node, and an (epoch, offset) has one content for ever (D1, R4).
// Every value is unique. Thread: the simulation's.
class PartitionChecker {
 public:
  // Which partition of a topic a value is in; shared by the partitions of the topic.
  using Places = std::map<uint64_t, int32_t>;

  PartitionChecker(std::string name, int32_t index, bool synced, Places& places, Verdict& verdict)
      : name_(std::move(name)),
        index_(index),
        synced_(synced),
        places_(places),
        verdict_(verdict) {}

  // The value may come, once.
  void OnSent(uint64_t value) { values_.emplace(value, std::nullopt); }
  // It was refused: it must not come, unless it is sent again.
  void OnNeverAppended(uint64_t value);
  void OnAcknowledged(const Produced& produced, const std::vector<uint64_t>& values);
  // What a fetch gave that began when acknowledged_end() was `acknowledged`. `from`: the offset
  // that was asked for.
  void OnFetched(Offset from, Offset acknowledged, const Fetched& fetched);
  void OnDelete(Offset before);
  void OnDeleted(Offset log_start);
  void OnHighWatermark(Offset high_watermark);
  // Log start and high watermark, asked for when `acknowledged` was acknowledged.
  void OnFound(Offset log_start, Offset high_watermark, Offset acknowledged);
  // Retention may delete what it likes.
  void OnRetention() { retention_ = true; }
  // The producer is told that its sequence does not follow, although it does.
  void OnOutOfOrder(const Error& error);
  void OnStopped(StopKind stop);

  // Whether records at `offset` may have been deleted, or lost where that is allowed.
  bool MayBeGone(Offset offset) const {
    return retention_ || may_have_lost_ || offset < log_start_max_;
  }
  Offset acknowledged_end() const { return acknowledged_end_; }
  Offset high_watermark() const { return high_watermark_; }
  Offset log_start() const { return log_start_min_; }

 private:
  template <typename... Parts>
  void Fail(const Parts&... parts) {
    verdict_.Fail(name_, ": ", parts...);
  }
  void SetContent(Offset offset, LeaderEpoch epoch, uint64_t value);
  void OnEpoch(LeaderEpoch epoch);

  const std::string name_;
  const int32_t index_;
  const bool synced_;  // durability
  Places& places_;
  Verdict& verdict_;
  std::map<uint64_t, std::optional<Offset>> values_;  // that were sent, and where they are
  std::map<Offset, uint64_t> content_;
  std::map<std::pair<int32_t, int64_t>, uint64_t> identity_;  // by epoch and offset, for ever
  Offset acknowledged_end_{0};
  Offset high_watermark_{0};
  Offset log_start_min_{0};
  Offset log_start_max_{0};
  bool retention_ = false;
  bool may_have_lost_ = false;
  LeaderEpoch epoch_{-1};         // last seen
  LeaderEpoch epoch_before_{-1};  // largest seen before this start
};

// What those know who administer the topics, one operation on a name at a time. After a crash it is
// open whether the operation that ran then was done: the next look decides, and holds.
class TopicsChecker {
 public:
  explicit TopicsChecker(Verdict& verdict) : verdict_(verdict) {}

  struct Topic {
    std::optional<TopicId> id;  // none: does not exist
    int32_t partitions = 0;
    ConfigMap configs;
    // An operation that is under way or whose outcome is not known: what may be instead. An id of
    // zero: any new one.
    std::optional<TopicId> other_id;
    bool may_be_absent = false;
    int32_t other_partitions = 0;
    std::optional<ConfigMap> other_configs;
    bool in_doubt = false;
  };
  Topic& At(const std::string& name) { return topics_[name]; }
  const std::map<std::string, Topic>& topics() const { return topics_; }

  // The operation on `name` was answered with success, or a look is needed.
  void OnCreated(const std::string& name, const TopicImage& topic);
  void OnDeleted(const std::string& name);
  void OnDone(const std::string& name);    // Add, Alter: `other` is so now
  void OnUndone(const std::string& name);  // it was refused: all is as before
  // Compares with what the node serves while no operation runs, and settles what was in doubt.
  void Compare(const MetadataImage& image);
  // A producer id that was handed out.
  void OnProducerId(ProducerId id);

  const std::vector<TopicId>& deleted() const { return deleted_; }

 private:
  void Settle(const std::string& name, Topic& topic, const TopicPtr& found);
  Verdict& verdict_;
  std::map<std::string, Topic> topics_;
  std::vector<TopicId> deleted_;  // acknowledged
  std::set<int64_t> producer_ids_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_BROKER_CHECKERS_H_
