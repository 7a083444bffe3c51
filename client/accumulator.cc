#include "client/accumulator.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/murmur2.h"

namespace gregor {
namespace {

constexpr size_t kCapacityMin = 1024;
constexpr Duration kTopicAgeMax = std::chrono::minutes(5);
// Who is told that a topic's metadata is old refreshes it; others go on with it meanwhile.
constexpr Duration kRefreshPatience = std::chrono::seconds(10);

// Before everything, but far enough from the first time there is to add to it.
constexpr MonotonicTime kLongAgo = MonotonicTime() - std::chrono::hours(24);

Error NoPartition(const std::string& topic, PartitionIndex partition, size_t count) {
  return Error(Reason::kPartitionNotFound,
               "topic \"" + topic + "\" has no partition " + std::to_string(partition.value) +
                   ": it has " + (count == 1 ? "only 0" : "0 to " + std::to_string(count - 1)));
}

Error RecordTooLarge(const std::string& topic, size_t size, size_t limit) {
  return Error(Reason::kBatchTooLarge, "a record needs " + std::to_string(size) +
                                           " bytes, and topic \"" + topic +
                                           "\" takes batches of at most " + std::to_string(limit) +
                                           " (its config max.message.bytes)")
      .With("limit_bytes", std::to_string(limit))
      .With("actual_bytes", std::to_string(size))
      .With("outcome", "NOT_APPLIED");
}

size_t SizeAlone(const NewRecord& record) {
  BatchBuilder builder;
  builder.Add(record);
  return builder.size();
}

}  // namespace

Accumulator::Accumulator(Options options, const Clock& clock, Random random,
                         std::function<void()> wake)
    : options_(options), clock_(clock), wake_(std::move(wake)), random_(random) {}

// --- adding ---

Result<Accumulator::Added> Accumulator::Add(const std::string& name,
                                            std::optional<PartitionIndex> partition,
                                            const NewRecord& record) {
  const size_t bound = BatchBuilder::SizeBound(record);
  {
    const MutexLock lock(mutex_);
    Topic* const topic = FindTopic(name);
    if (topic == nullptr) return Added::kTopicUnknown;
    if (const auto lane = ChooseLane(*topic, partition, record); lane.ok()) {
      BatchBuilder& filling = (*lane)->filling;
      const size_t room = std::min(filling.capacity(), topic->batch_bytes);
      const bool fits = filling.record_count() > 0 && filling.size() + bound <= room;
      if (fits && !stopped_.has_value()) {
        filling.Add(record);
        (*lane)->last_number = ++record_count_;
        return Added::kYes;
      }
    }
  }
  return AddSlowly(name, partition, record, bound);
}

Result<Accumulator::Added> Accumulator::AddSlowly(const std::string& name,
                                                  std::optional<PartitionIndex> partition,
                                                  const NewRecord& record, size_t bound) {
  while (true) {
    std::optional<Result<Added>> result;
    {
      const MutexLock lock(mutex_);
      result = TryAdd(name, partition, record, bound);
      if (!result.has_value()) {
        ++waiting_count_;
        WakeBy(MonotonicTime::min());  // lingering would only make everybody wait
      }
    }
    WakeIfAsked();
    if (result.has_value()) return *std::move(result);
    const MutexLock lock(mutex_);
    if (memory_used_ > 0 && !stopped_.has_value()) Wait(memory_freed_);
    --waiting_count_;
  }
}

std::optional<Result<Accumulator::Added>> Accumulator::TryAdd(
    const std::string& name, std::optional<PartitionIndex> partition, const NewRecord& record,
    size_t bound) {
  if (stopped_.has_value()) return *stopped_;
  Topic* const topic = FindTopic(name);
  const MonotonicTime now = clock_.Now();
  if (topic == nullptr || (topic->refresh_at <= now && IsOutdated(*topic, now)))
    return Added::kTopicUnknown;
  auto chosen = ChooseLane(*topic, partition, record);
  if (!chosen.ok()) {
    if (IsOutdated(*topic, now)) return Added::kTopicUnknown;  // there may be more partitions now
    return std::move(chosen).error();
  }
  Lane& lane = **chosen;
  const bool fits = lane.filling.size() + bound <= topic->batch_bytes;
  if (lane.filling.record_count() > 0 && !fits) {
    lane.closed.push_back(Close(lane));
    MarkDue(lane);
    if (!partition.has_value() && !record.key.has_value()) {
      return TryAdd(name, partition, record, bound);  // another partition is sticky now
    }
  }
  const size_t needed = lane.filling.size() + bound;
  if (needed > topic->batch_bytes_max && options_.codec == Codec::kNone) {
    if (const size_t size = SizeAlone(record); size > topic->batch_bytes_max) {
      if (IsOutdated(*topic, now)) return Added::kTopicUnknown;  // the limit may be higher now
      return RecordTooLarge(name, size, topic->batch_bytes_max);
    }
  }
  const bool empty = lane.filling.record_count() == 0;
  const size_t capacity = lane.filling.capacity();
  const size_t growth = empty               ? std::max(lane.first_capacity, needed)
                        : needed > capacity ? std::max(2 * capacity, needed) - capacity
                                            : 0;
  if (memory_used_ > 0 && memory_used_ + growth > options_.memory_bytes) return std::nullopt;
  if (empty) Open(lane, now);
  Append(lane, record);
  if (lane.filling.size() >= topic->batch_bytes) {
    lane.closed.push_back(Close(lane));
    MarkDue(lane);
  }
  return Added::kYes;
}

bool Accumulator::IsOutdated(Topic& topic, MonotonicTime now) {
  if (topic.asked_at + kRefreshPatience > now) return false;
  topic.asked_at = now;
  topic.refresh_at = now + kRefreshPatience;
  return true;
}

Accumulator::Topic* Accumulator::FindTopic(const std::string& name) {
  if (last_topic_ != nullptr && last_topic_->name == name) return last_topic_;
  const auto found = topics_.find(name);
  if (found == topics_.end()) return nullptr;
  last_topic_ = found->second.get();
  return last_topic_;
}

Result<Accumulator::Lane*> Accumulator::ChooseLane(Topic& topic,
                                                   std::optional<PartitionIndex> partition,
                                                   const NewRecord& record) {
  const size_t count = topic.lanes.size();
  if (!partition.has_value()) {
    if (!record.key.has_value()) {
      if (topic.lanes[topic.sticky].is_unserved && topic.unserved < count) MoveSticky(topic);
      return &topic.lanes[topic.sticky];
    }
    partition = PartitionOfKey(*record.key, static_cast<int32_t>(count));
  }
  const auto index = static_cast<size_t>(partition->value);
  if (partition->value < 0 || index >= count) return NoPartition(topic.name, *partition, count);
  return &topic.lanes[index];
}

void Accumulator::MoveSticky(Topic& topic) {
  const size_t count = topic.lanes.size();
  if (topic.unserved == 0 || topic.unserved == count) {
    if (count > 1) topic.sticky = (topic.sticky + 1 + random_.Below(count - 1)) % count;
    return;
  }
  const size_t self = topic.lanes[topic.sticky].is_unserved ? 0 : 1;
  const size_t others = count - topic.unserved - self;
  if (others == 0) return;
  size_t skip = random_.Below(others);
  for (size_t lane = 0; lane < count; ++lane) {
    if (lane == topic.sticky || topic.lanes[lane].is_unserved || skip-- > 0) continue;
    topic.sticky = lane;
    return;
  }
}

void Accumulator::Open(Lane& lane, MonotonicTime now) {
  lane.filling = BatchBuilder({.codec = options_.codec, .capacity = lane.first_capacity});
  lane.since = now;
  lane.first_number = record_count_ + 1;
  lane.number = ++last_number_;
  lane.generation = generation_;
  lane.filling_due = false;
  ++unreleased_[generation_];
  lingering_.push_back({&lane, lane.number});
  WakeBy(idle_ ? MonotonicTime::min() : now + options_.linger.value_or(kDefaultLinger));
}

void Accumulator::Append(Lane& lane, const NewRecord& record) {
  const size_t before = lane.filling.capacity();
  lane.filling.Add(record);
  lane.last_number = ++record_count_;
  memory_used_ += lane.filling.capacity() - before;
}

FilledBatch Accumulator::Close(Lane& lane) {
  Topic& topic = *lane.owner;
  FilledBatch batch{.partition = &lane,
                    .builder = std::move(lane.filling),
                    .since = lane.since,
                    .first_number = lane.first_number,
                    .last_number = lane.last_number,
                    .batch_bytes_max = topic.batch_bytes_max,
                    .memory_bytes = 0,
                    .generation = lane.generation};
  batch.memory_bytes = batch.builder.capacity();
  lane.filling = BatchBuilder();
  lane.filling_due = false;
  // Busy partitions allocate once per batch, and quiet ones little.
  lane.first_capacity =
      std::min(std::max(std::bit_ceil(batch.builder.size()), kCapacityMin), topic.batch_bytes);
  if (&topic.lanes[topic.sticky] == &lane) MoveSticky(topic);
  return batch;
}

// --- topics ---

void Accumulator::SetTopic(const std::string& name, const TopicInfo& info) {
  const MutexLock lock(mutex_);
  auto& topic = topics_[name];
  const bool is_new = topic == nullptr;
  if (is_new) {
    topic = std::make_unique<Topic>();
    topic->name = name;
  }
  topic->batch_bytes_max = info.batch_bytes_max;
  topic->batch_bytes = std::min(options_.batch_bytes, info.batch_bytes_max);
  topic->asked_at = clock_.Now();
  topic->refresh_at = topic->asked_at + kTopicAgeMax;
  while (topic->lanes.size() < static_cast<size_t>(info.partition_count)) {
    Lane& lane = topic->lanes.emplace_back();
    lane.topic = name;
    lane.index = PartitionIndex{static_cast<int32_t>(topic->lanes.size()) - 1};
    lane.id = partition_count_++;
    lane.owner = topic.get();
    lane.first_capacity = kCapacityMin;
  }
  if (is_new && !topic->lanes.empty()) topic->sticky = random_.Below(topic->lanes.size());
}

void Accumulator::SetUnserved(const std::string& name, const std::set<int32_t>& partitions) {
  const MutexLock lock(mutex_);
  const auto found = topics_.find(name);
  if (found == topics_.end()) return;
  Topic& topic = *found->second;
  topic.unserved = 0;
  for (Lane& lane : topic.lanes) {
    lane.is_unserved = partitions.count(lane.index.value) != 0;
    topic.unserved += lane.is_unserved ? 1 : 0;
  }
  // So that they are used again soon once they are served.
  if (topic.unserved > 0)
    topic.refresh_at = std::min(topic.refresh_at, clock_.Now() + kRefreshPatience);
}

bool Accumulator::KnowsTopic(const std::string& topic) const {
  const MutexLock lock(mutex_);
  return topics_.count(topic) > 0;
}

void Accumulator::ForgetTopic(const std::string& name) {
  const MutexLock lock(mutex_);
  if (Topic* const topic = FindTopic(name)) topic->asked_at = topic->refresh_at = kLongAgo;
}

// --- sending ---

void Accumulator::MarkDue(Lane& lane) {
  if (lane.state != State::kIdle) return;
  lane.state = State::kDue;
  due_.push_back(&lane);
  WakeBy(MonotonicTime::min());
}

bool Accumulator::IsStale(const Lingering& lingering) const {
  const Lane& lane = *lingering.lane;
  return lane.number != lingering.number || lane.filling.record_count() == 0;
}

MonotonicTime Accumulator::DueTime(const Lane& lane, bool idle) const {
  if (waiting_count_ > 0 || (idle && !options_.linger.has_value())) return MonotonicTime::min();
  return lane.since + options_.linger.value_or(kDefaultLinger);
}

void Accumulator::MarkLingered(MonotonicTime now, bool idle) {
  while (!lingering_.empty()) {
    const Lingering oldest = lingering_.front();
    if (!IsStale(oldest)) {
      if (DueTime(*oldest.lane, idle) > now) return;
      oldest.lane->filling_due = true;
      MarkDue(*oldest.lane);
      idle = false;  // the next one is not alone
    }
    lingering_.pop_front();
  }
}

std::optional<FilledBatch> Accumulator::Take(
    MonotonicTime now, bool idle, const std::function<bool(const ProducerPartition&)>& can_send) {
  const MutexLock lock(mutex_);
  MarkLingered(now, idle);
  while (!due_.empty()) {
    Lane& lane = *due_.front();
    due_.pop_front();
    if (!can_send(lane)) {
      lane.state = State::kBlocked;
      continue;
    }
    lane.state = State::kIdle;
    FilledBatch batch;
    if (!lane.closed.empty()) {
      batch = std::move(lane.closed.front());
      lane.closed.pop_front();
    } else if (lane.filling.record_count() > 0) {
      batch = Close(lane);
    } else {
      continue;
    }
    if (!lane.closed.empty() || lane.filling_due) MarkDue(lane);
    return batch;
  }
  return std::nullopt;
}

void Accumulator::Unblock(const Partitions& partitions) {
  if (partitions.empty()) return;
  const MutexLock lock(mutex_);
  for (const ProducerPartition* const partition : partitions) {
    auto& lane = const_cast<Lane&>(static_cast<const Lane&>(*partition));
    if (lane.state != State::kBlocked) continue;
    lane.state = State::kIdle;
    MarkDue(lane);
  }
}

MonotonicTime Accumulator::Sleep(bool sending, bool idle) {
  const MutexLock lock(mutex_);
  wake_asked_ = false;
  idle_ = sending && idle && !options_.linger.has_value();
  sleeps_until_ = MonotonicTime::min();
  if (!sending) return MonotonicTime::max();
  while (!lingering_.empty() && IsStale(lingering_.front())) lingering_.pop_front();
  if (!due_.empty()) return MonotonicTime::min();
  sleeps_until_ =
      lingering_.empty() ? MonotonicTime::max() : DueTime(*lingering_.front().lane, idle);
  return sleeps_until_;
}

void Accumulator::WakeBy(MonotonicTime time) {
  if (time >= sleeps_until_) return;
  sleeps_until_ = MonotonicTime::min();
  wake_asked_ = true;
}

void Accumulator::WakeIfAsked() {
  {
    const MutexLock lock(mutex_);
    if (!std::exchange(wake_asked_, false)) return;
  }
  wake_();
}

// --- the end of a batch ---

void Accumulator::Release(size_t memory_bytes, uint64_t generation) {
  const MutexLock lock(mutex_);
  memory_used_ -= memory_bytes;
  const auto batches = unreleased_.find(generation);
  CHECK(batches != unreleased_.end());
  if (--batches->second == 0) {
    unreleased_.erase(batches);
    released_.notify_all();
  }
  if (waiting_count_ > 0) memory_freed_.notify_all();
}

void Accumulator::Flush() {
  uint64_t generation = 0;
  {
    const MutexLock lock(mutex_);
    generation = ++generation_;
    for (const auto& [name, topic] : topics_) {
      for (Lane& lane : topic->lanes) {
        if (lane.filling.record_count() == 0) continue;
        lane.closed.push_back(Close(lane));
        MarkDue(lane);
      }
    }
  }
  WakeIfAsked();
  const MutexLock lock(mutex_);
  while (!unreleased_.empty() && unreleased_.begin()->first < generation) Wait(released_);
}

std::vector<FilledBatch> Accumulator::TakeOlderThan(MonotonicTime oldest) {
  const MutexLock lock(mutex_);
  std::vector<FilledBatch> batches;
  for (const auto& [name, topic] : topics_) {
    for (Lane& lane : topic->lanes) {
      while (!lane.closed.empty() && lane.closed.front().since < oldest) {
        batches.push_back(std::move(lane.closed.front()));
        lane.closed.pop_front();
      }
      if (lane.filling.record_count() > 0 && lane.since < oldest) batches.push_back(Close(lane));
    }
  }
  return batches;
}

void Accumulator::Refuse(const Error& error) {
  const MutexLock lock(mutex_);
  if (!stopped_.has_value()) stopped_ = error;
  memory_freed_.notify_all();
}

std::vector<FilledBatch> Accumulator::Stop(const Error& error) {
  Refuse(error);
  return TakeOlderThan(MonotonicTime::max());
}

void Accumulator::Wait(std::condition_variable& condition) {
  std::unique_lock<std::mutex> lock(mutex_.native(), std::adopt_lock);
  condition.wait(lock);
  lock.release();  // stays locked: the caller unlocks
}

}  // namespace gregor
