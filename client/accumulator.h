#ifndef GREGOR_CLIENT_ACCUMULATOR_H_
#define GREGOR_CLIENT_ACCUMULATOR_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/record_batch.h"
#include "base/result.h"
#include "base/thread_annotations.h"

namespace gregor {

// A partition that a producer writes to: the same object for the producer's whole life.
struct ProducerPartition {
  std::string topic;
  PartitionIndex index;
  size_t id = 0;  // 0, 1, 2 ... in the order in which partitions became known
};

// A batch as it was filled: not compressed, without sequence and checksum.
struct FilledBatch {
  const ProducerPartition* partition = nullptr;
  BatchBuilder builder;
  MonotonicTime since;       // when its first record came
  int64_t first_number = 0;  // of its first record: which one it is of all that were added, from 1
  int64_t last_number = 0;   // of its last record
  size_t batch_bytes_max = 0;  // what the topic takes
  size_t memory_bytes = 0;     // what it counts for
  uint64_t generation = 0;
};

// Where a producer's records become batches: by partition, within a bound of memory.
// Callers add records; one thread (the loop) takes batches out and gives the memory back.
class Accumulator {
 public:
  struct Options {
    size_t batch_bytes = 0;
    size_t memory_bytes = 0;
    // How long a batch waits to be filled; none: kDefaultLinger, and while nothing is on its way
    // it does not wait.
    std::optional<Duration> linger;
    Codec codec = Codec::kNone;
  };
  static constexpr Duration kDefaultLinger = std::chrono::milliseconds(1);
  struct TopicInfo {
    int32_t partition_count = 0;
    size_t batch_bytes_max = 0;
  };
  enum class Added { kYes, kTopicUnknown };
  using Partitions = std::vector<const ProducerPartition*>;

  // `wake` is called, without a lock, when the loop sleeps and has something to do.
  Accumulator(Options options, const Clock& clock, Random random, std::function<void()> wake);

  // --- for callers. Thread: any ---

  // Copies the record into its partition's batch: the one asked for, else by murmur2 of the key,
  // else the topic's sticky one, which changes with every batch. Waits while memory_bytes are in
  // use. kTopicUnknown: SetTopic() has to come first; also said, now and then, when what is known
  // is old, or stands in the record's way. Fails with kPartitionNotFound, with kBatchTooLarge, and
  // with what Refuse() was given.
  Result<Added> Add(const std::string& topic, std::optional<PartitionIndex> partition,
                    const NewRecord& record);
  // A topic as of now. Partitions do not become fewer.
  void SetTopic(const std::string& topic, const TopicInfo& info);
  // Records that may go to any partition go to others than these from now on, unless those are all.
  void SetUnserved(const std::string& topic, const std::set<int32_t>& partitions);
  bool KnowsTopic(const std::string& topic) const;
  // No record can be added any more: Add() fails with that, or what was said first.
  void Refuse(const Error& error);
  // Everything added so far is to be sent now; waits until it is released.
  void Flush();

  // --- for the loop ---

  // The next batch to send: one that is full, or has waited for its linger, or any while callers
  // wait for memory or for Flush(), or, where the options name no linger, while nothing is on its
  // way (`idle`: what comes meanwhile has company when the answer is there). A partition for which
  // `can_send` says no is passed over until Unblock(); its batch goes on being filled. `can_send`
  // looks at what belongs to the loop, and nothing else: it is called under the lock.
  std::optional<FilledBatch> Take(MonotonicTime now, bool idle,
                                  const std::function<bool(const ProducerPartition&)>& can_send);
  void Unblock(const Partitions& partitions);
  // What Take() would not give before `oldest`: batches that are older, for whatever reason.
  std::vector<FilledBatch> TakeOlderThan(MonotonicTime oldest);
  // The batch's memory may be used again.
  void Release(size_t memory_bytes, uint64_t generation);
  // What is known of the topic is out of date.
  void ForgetTopic(const std::string& topic);
  // When Take() will have something: now, later, or (max) after a wake. With `sending` false the
  // loop cannot take anything, and is not woken either.
  MonotonicTime Sleep(bool sending, bool idle);
  // Refuse(), and gives all that is here.
  std::vector<FilledBatch> Stop(const Error& error);

 private:
  struct Topic;
  enum class State : uint8_t { kIdle, kDue, kBlocked };
  struct Lane : ProducerPartition {
    Topic* owner = nullptr;
    BatchBuilder filling;
    MonotonicTime since;        // of `filling`
    int64_t first_number = 0;   // of `filling`
    int64_t last_number = 0;    // of `filling`
    uint64_t number = 0;        // of `filling`
    uint64_t generation = 0;    // of `filling`
    bool filling_due = false;   // it has waited for long enough
    size_t first_capacity = 0;  // what the next batch allocates at first
    bool is_unserved = false;
    std::deque<FilledBatch> closed;
    State state = State::kIdle;
  };
  struct Topic {
    std::string name;
    std::deque<Lane> lanes;  // their addresses stay
    size_t sticky = 0;
    size_t unserved = 0;  // how many lanes are
    size_t batch_bytes = 0;
    size_t batch_bytes_max = 0;
    MonotonicTime asked_at;
    MonotonicTime refresh_at;
  };
  struct Lingering {
    Lane* lane;
    uint64_t number;  // of the batch; another one: it was sent meanwhile
  };

  Topic* FindTopic(const std::string& name) TS_REQUIRES(mutex_);
  // To another lane, and one that is served if there is one.
  void MoveSticky(Topic& topic) TS_REQUIRES(mutex_);
  Result<Lane*> ChooseLane(Topic& topic, std::optional<PartitionIndex> partition,
                           const NewRecord& record) TS_REQUIRES(mutex_);
  Result<Added> AddSlowly(const std::string& name, std::optional<PartitionIndex> partition,
                          const NewRecord& record, size_t bound);
  // The step of AddSlowly() under the lock; nullopt: wait for memory, and try again.
  std::optional<Result<Added>> TryAdd(const std::string& name,
                                      std::optional<PartitionIndex> partition,
                                      const NewRecord& record, size_t bound) TS_REQUIRES(mutex_);
  // Whether what is known of the topic is to be asked for again before it is relied on.
  bool IsOutdated(Topic& topic, MonotonicTime now) TS_REQUIRES(mutex_);
  void Open(Lane& lane, MonotonicTime now) TS_REQUIRES(mutex_);
  void Append(Lane& lane, const NewRecord& record) TS_REQUIRES(mutex_);
  FilledBatch Close(Lane& lane) TS_REQUIRES(mutex_);
  void MarkDue(Lane& lane) TS_REQUIRES(mutex_);
  void MarkLingered(MonotonicTime now, bool idle) TS_REQUIRES(mutex_);
  bool IsStale(const Lingering& lingering) const TS_REQUIRES(mutex_);
  // When the batch that is being filled is to be sent.
  MonotonicTime DueTime(const Lane& lane, bool idle) const TS_REQUIRES(mutex_);
  void WakeBy(MonotonicTime time) TS_REQUIRES(mutex_);
  void WakeIfAsked();
  void Wait(std::condition_variable& condition) TS_REQUIRES(mutex_);

  const Options options_;
  const Clock& clock_;
  const std::function<void()> wake_;

  mutable Mutex mutex_;
  std::condition_variable memory_freed_;
  std::condition_variable released_;
  Random random_ TS_GUARDED_BY(mutex_);
  std::unordered_map<std::string, std::unique_ptr<Topic>> topics_ TS_GUARDED_BY(mutex_);
  Topic* last_topic_ TS_GUARDED_BY(mutex_) = nullptr;
  size_t partition_count_ TS_GUARDED_BY(mutex_) = 0;
  std::deque<Lane*> due_ TS_GUARDED_BY(mutex_);
  std::deque<Lingering> lingering_ TS_GUARDED_BY(mutex_);  // oldest first
  uint64_t last_number_ TS_GUARDED_BY(mutex_) = 0;
  int64_t record_count_ TS_GUARDED_BY(mutex_) = 0;               // added so far
  uint64_t generation_ TS_GUARDED_BY(mutex_) = 0;                // rises with every Flush()
  std::map<uint64_t, size_t> unreleased_ TS_GUARDED_BY(mutex_);  // batches by generation
  size_t memory_used_ TS_GUARDED_BY(mutex_) = 0;
  size_t waiting_count_ TS_GUARDED_BY(mutex_) = 0;
  std::optional<Error> stopped_ TS_GUARDED_BY(mutex_);
  // The loop sleeps until then; min: it does not sleep, or has been woken.
  MonotonicTime sleeps_until_ TS_GUARDED_BY(mutex_) = MonotonicTime::min();
  bool idle_ TS_GUARDED_BY(mutex_) = false;  // it would send a batch at once
  bool wake_asked_ TS_GUARDED_BY(mutex_) = false;
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_ACCUMULATOR_H_
