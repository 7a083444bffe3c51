#ifndef GREGOR_TESTS_BROKER_GRPC_MEMORY_BROKER_H_
#define GREGOR_TESTS_BROKER_GRPC_MEMORY_BROKER_H_

#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/event_loop.h"
#include "broker/api.h"
#include "broker/error_counts.h"
#include "broker/fetch_memory.h"

namespace gregor {

// A broker of partitions in memory, for tests of the data plane. Everything runs on its own loop,
// as the partitions of a broker do; writes can be held back and made to fail.
class MemoryBroker final : public BrokerApi {
 public:
  MemoryBroker() : loop_(NewThreadLoop("memory-broker")) {}
  ~MemoryBroker() override { loop_.reset(); }

  // --- for the test ---

  // Runs `work` on the loop and waits for it.
  template <typename Work>
  auto Run(Work work) {
    std::promise<decltype(work())> result;
    auto future = result.get_future();
    loop_->Post("test", [&] {
      if constexpr (std::is_void_v<decltype(work())>) {
        work();
        result.set_value();
      } else {
        result.set_value(work());
      }
    });
    return future.get();
  }

  TopicId AddTopic(const std::string& name, int32_t partitions) {
    auto image = image_ == nullptr ? std::make_shared<MetadataImage>()
                                   : std::make_shared<MetadataImage>(*image_);
    auto topic = std::make_shared<TopicImage>();
    topic->name = name;
    topic->id.bytes[0] = static_cast<uint8_t>(++topics_made_);
    topic->configs = std::make_shared<const ConfigMap>();
    for (int32_t i = 0; i < partitions; ++i) {
      auto partition = std::make_shared<PartitionImage>();
      partition->index = PartitionIndex{i};
      partition->leader = node_id();
      topic->partitions.Set(PartitionIndex{i}, partition);
    }
    const TopicId id = topic->id;
    if (const TopicPtr old = image->Topic(name)) image->topic_names.Erase(old->id);
    image->topics.Set(name, topic);
    image->topic_names.Set(id, name);
    std::atomic_store(&image_, ImagePtr(image));
    Run([&] {
      for (int32_t i = 0; i < partitions; ++i) logs_[{name, i}];
    });
    return id;
  }

  // Appends as if somebody else wrote.
  void Append(const std::string& topic, int32_t partition, RecordBatch batch) {
    Run([&] { AppendNow(logs_.at({topic, partition}), std::move(batch)); });
  }
  // Answers to writes wait from now on, or no longer.
  void HoldWrites(bool hold) {
    Run([&] {
      holding_ = hold;
      if (!hold) ReleaseWrites(SIZE_MAX);
    });
  }
  void ReleaseSome(size_t count) {
    Run([&] { ReleaseWrites(count); });
  }
  size_t held_count() {
    return Run([&] { return held_.size(); });
  }
  // The next `count` writes to a partition are refused.
  void FailWrites(const std::string& topic, int32_t partition, int count, Error error) {
    Run([&] { failures_.insert_or_assign({topic, partition}, std::make_pair(count, error)); });
  }
  // When writes are said to be appended, as on a topic of LogAppendTime.
  void SetLogAppendTime(Timestamp time) {
    Run([&] { log_append_time_ = time; });
  }
  // Nothing is written before `until`.
  void StandStill(std::shared_future<void> until) {
    loop_->Post("stand_still", [until = std::move(until)] { until.wait(); });
  }
  // What was read and what is made of it draw on a budget of so many bytes. REQUIRES: nobody asks
  // it yet.
  void SetFetchMemory(size_t bytes) {
    Run([&] { fetch_memory_ = std::make_unique<Budget>(bytes); });
  }
  Budget& fetch_memory() { return *fetch_memory_; }
  const Budget& fetch_memory() const override {
    return fetch_memory_ != nullptr ? *fetch_memory_ : decode_memory_;
  }
  void DropEverything() {
    Run([&] { dropping_ = true; });
  }
  Offset LogEnd(const std::string& topic, int32_t partition) {
    return Run([&] { return logs_.at({topic, partition}).end; });
  }
  // Values of a partition's records, in order.
  std::vector<std::string> Values(const std::string& topic, int32_t partition) {
    return Run([&] {
      std::vector<std::string> values;
      for (const RecordBatch& batch : logs_.at({topic, partition}).batches) {
        auto reader = RecordReader::Open(batch, 64 << 20);
        while (true) {
          const auto record = reader->Next();
          if (!record.ok() || !record->has_value()) break;
          values.emplace_back((*record)->value.value_or("<null>"));
        }
      }
      return values;
    });
  }
  // What the last write of each kind asked for.
  ProduceBatch last_batch() {
    return Run([&] { return last_batch_; });
  }
  std::string last_request_id() {
    return Run([&] { return last_request_id_; });
  }
  AckRule last_ack() {
    return Run([&] { return last_ack_; });
  }
  size_t waiting_fetches() {
    return Run([&] {
      size_t count = 0;
      for (const auto& [key, log] : logs_) count += log.waiting.size();
      return count;
    });
  }
  int64_t reads() {
    return Run([&] { return reads_; });
  }

  ErrorCounts refused;  // by the front end
  // Refuses a batch on the thread that brings it. Set before one comes.
  std::function<std::optional<Error>(const ProduceBatch&)> on_batch;

  // --- BrokerApi ---

  void Produce(ProduceBatch request, Done<Produced> done) override {
    if (on_batch) {
      if (auto error = on_batch(request); error.has_value()) return done(*std::move(error));
    }
    loop_->Post("produce", [this, request = std::move(request), done = std::move(done)]() mutable {
      if (dropping_) return Keep(std::move(done));
      last_batch_ = request;
      last_ack_ = request.ack;
      auto produced = Write(request.topic, request.partition, request.batch, request.abandoned);
      if (!produced.ok()) return done(std::move(produced).error());
      AddReceipt(request.ack, *produced);
      Answer([done = std::move(done), produced = *produced]() mutable { done(produced); });
    });
  }

  void Produce(ProduceRecords request, Done<ProducedRecords> done) override {
    loop_->Post("produce", [this, request = std::move(request), done = std::move(done)]() mutable {
      if (dropping_) return Keep(std::move(done));
      last_request_id_ = request.request_id;
      last_ack_ = request.ack;
      auto produced = WriteRecords(request);
      if (!produced.ok()) return done(std::move(produced).error());
      Answer([done = std::move(done), produced = std::move(*produced)]() mutable {
        done(std::move(produced));
      });
    });
  }

  void CountRefused(Reason reason) override { refused.Add(reason); }

  void Init(InitProducer request, Done<InitializedProducer> done) override {
    loop_->Post("init", [request, done = std::move(done)]() mutable {
      if (!request.producer_id.has_value())
        return done(InitializedProducer{ProducerId{4000}, ProducerEpoch{0}});
      const auto epoch = static_cast<int16_t>(request.producer_epoch.value + 1);
      done(InitializedProducer{*request.producer_id, ProducerEpoch{epoch}});
    });
  }

  void Read(Fetch request, Done<Fetched> done) override {
    loop_->Post("read", [this, request = std::move(request), done = std::move(done)]() mutable {
      ++reads_;
      if (dropping_) return Keep(std::move(done));
      auto log = Find(request.topic, request.partition);
      if (!log.ok()) return done(std::move(log).error());
      ReadNow(**log, std::move(request), std::move(done), true);
    });
  }

  void FindOffsets(std::vector<OffsetQuery> queries,
                   UniqueFunction<void(std::vector<Result<FoundOffset>>)> done) override {
    loop_->Post("find", [this, queries = std::move(queries), done = std::move(done)]() mutable {
      std::vector<Result<FoundOffset>> results;
      for (const OffsetQuery& query : queries) {
        auto log = Find(query.topic, query.partition);
        if (!log.ok()) {
          results.emplace_back(log.error());
          continue;
        }
        const auto offset = Locate(**log, query.position);
        if (offset.ok()) {
          results.emplace_back(FoundOffset{
              *offset, Timestamp{5}, LeaderEpoch{3},
              query.topic.id.has_value() ? *query.topic.id : image()->Topic(query.topic.name)->id});
        } else {
          results.emplace_back(offset.error());
        }
      }
      done(std::move(results));
    });
  }

  void FindEpochEnd(TopicRef topic, PartitionIndex partition, LeaderEpoch epoch,
                    std::optional<LeaderEpoch>, Done<EpochEnd> done) override {
    loop_->Post("epoch", [this, topic, partition, epoch, done = std::move(done)]() mutable {
      auto log = Find(topic, partition);
      if (!log.ok()) return done(std::move(log).error());
      done(EpochEnd{epoch, (*log)->end});
    });
  }

  void Delete(std::vector<DeleteRecords>,
              UniqueFunction<void(std::vector<Result<Offset>>)> done) override {
    done({});
  }
  ImagePtr image() const override { return std::atomic_load(&image_); }
  std::shared_ptr<void> Watch(UniqueFunction<void(const MetadataDelta&)>) override {
    return nullptr;
  }
  ControllerApi& controller() override { LOG(FATAL) << "there is no controller"; }
  NodeId node_id() const override { return NodeId{7}; }
  Result<DescribedConfigs> DescribeTopicConfigs(const std::string&) const override {
    return DescribedConfigs{};
  }
  Result<DescribedConfigs> DescribeBrokerConfigs(NodeId) const override {
    return DescribedConfigs{};
  }
  OfflineReplicas offline_replicas() const override { return {}; }
  void DescribeLogDirs(std::vector<std::string>,
                       UniqueFunction<void(std::vector<LogDirUsage>)> done) override {
    done({});
  }
  size_t message_bytes_limit() const override { return message_bytes_limit_; }
  Budget& decode_memory() override { return decode_memory_; }

  size_t message_bytes_limit_ = 32u << 20;

 private:
  struct WaitingRead {
    Fetch request;
    Done<Fetched> done;
    TimerId timer;
    uint64_t number = 0;
  };
  struct Log {
    std::vector<RecordBatch> batches;
    Offset start{0};
    Offset end{0};
    std::vector<WaitingRead> waiting;
  };
  using Key = std::pair<std::string, int32_t>;

  Result<Log*> Find(const TopicRef& ref, PartitionIndex partition) {
    std::string name = ref.name;
    if (ref.id.has_value()) {
      const TopicPtr topic = image()->Topic(*ref.id);
      if (topic == nullptr) return Error(Reason::kUnknownTopicId, "no such topic id");
      name = topic->name;
    }
    const auto found = logs_.find({name, partition.value});
    if (found != logs_.end()) return &found->second;
    if (image() == nullptr || image()->Topic(name) == nullptr)
      return Error(Reason::kTopicNotFound, "topic \"" + name + "\" does not exist");
    return Error(Reason::kPartitionNotFound, "no such partition");
  }

  Offset AppendNow(Log& log, RecordBatch batch) {
    const Offset base = log.end;
    StampBatch(batch, base, LeaderEpoch{3}, TimestampType::kCreateTime, Timestamp{0});
    log.end = batch.header.next_offset();
    log.batches.push_back(std::move(batch));
    for (WaitingRead& waiting : std::exchange(log.waiting, {})) {
      ResumeRead(log, std::move(waiting));
    }
    return base;
  }
  void ResumeRead(Log& log, WaitingRead waiting) {
    const size_t have =
        Collect(log, Offset{waiting.request.position.value}, waiting.request).size();
    if (have < static_cast<size_t>(std::max(1, waiting.request.bytes_min))) {
      log.waiting.push_back(std::move(waiting));
      return;
    }
    ReadWithoutWait(log, waiting.request, std::move(waiting.done));
  }

  Result<Produced> Write(const TopicRef& topic, PartitionIndex partition, const Bytes& bytes,
                         const AbandonFlag& abandoned) {
    auto log = Find(topic, partition);
    if (!log.ok()) return log.error();
    if (abandoned.IsSet()) return Error(Reason::kPriorRequestFailed, "an earlier write failed");
    const auto failure = failures_.find({topic.name, partition.value});
    if (failure != failures_.end() && failure->second.first > 0) {
      --failure->second.first;
      return failure->second.second;
    }
    auto batch = CheckProducedBatch(
        bytes,
        {.batch_bytes_max = SIZE_MAX, .now = Timestamp{0}, .timestamp_after_max_ms = INT64_MAX});
    if (!batch.ok()) return batch.error();
    Produced produced;
    produced.partition = partition;
    produced.record_count = batch->header.record_count;
    produced.leader_epoch = LeaderEpoch{3};
    produced.log_append_time = log_append_time_;
    produced.base_offset = AppendNow(**log, std::move(*batch));
    return produced;
  }

  Result<ProducedRecords> WriteRecords(const ProduceRecords& request) {
    ProducedRecords result;
    for (size_t i = 0; i < request.records.size(); ++i) {
      const NewRecord& record = request.records[i];
      // Without a partition: by the last digit of the key.
      const int32_t partition = request.partition.has_value() ? request.partition->value
                                : record.key.has_value()      ? record.key->back() - '0'
                                                              : 0;
      BatchBuilder builder;
      builder.Add(record);
      auto produced =
          Write(request.topic, PartitionIndex{partition}, builder.Build().bytes, request.abandoned);
      if (!produced.ok()) {
        if (!result.error.has_value()) result.error = produced.error();
        continue;
      }
      AddReceipt(request.ack, *produced);
      result.ranges.push_back({.first_index = static_cast<int32_t>(i),
                               .count = 1,
                               .base_offset = produced->base_offset,
                               .batch = result.batches.size()});
      result.batches.push_back(*produced);
    }
    if (result.ranges.empty()) return *result.error;
    return result;
  }

  static void AddReceipt(const AckRule& ack, Produced& produced) {
    if (ack.receipt) produced.receipt = Receipt{{NodeId{7}, NodeId{300}}, {NodeId{8}}};
  }

  void Answer(Task task) {
    if (holding_) {
      held_.push_back(std::move(task));
    } else {
      task();
    }
  }
  void ReleaseWrites(size_t count) {
    while (count-- > 0 && !held_.empty()) {
      Task task = std::move(held_.front());
      held_.pop_front();
      task();
    }
  }
  // Never answered while the broker lives.
  template <typename D>
  void Keep(D done) {
    dropped_.push_back([done = std::move(done)] {});
  }

  static Result<Offset> Locate(const Log& log, const Position& position) {
    switch (position.kind) {
      case Position::Kind::kEarliest:
        return log.start;
      case Position::Kind::kTail:
        return std::max(log.start, log.end - position.value);
      case Position::Kind::kOffset:
        if (Offset{position.value} < log.start || Offset{position.value} > log.end) {
          return Error(Reason::kOffsetOutOfRange, "offset is outside of the log")
              .With("log_start_offset", std::to_string(log.start.value))
              .With("high_watermark", std::to_string(log.end.value));
        }
        return Offset{position.value};
      default:
        return log.end;
    }
  }

  static Bytes Collect(const Log& log, Offset from, const Fetch& request, Offset* next = nullptr,
                       size_t* needed = nullptr) {
    Bytes bytes;
    for (const RecordBatch& batch : log.batches) {
      if (batch.header.next_offset() <= from) continue;
      const size_t size = batch.bytes.size();
      const bool may = bytes.empty() && request.first_batch_may_exceed;
      if (bytes.size() + size > request.bytes_max && !may) {
        if (bytes.empty() && needed != nullptr) *needed = size;
        break;
      }
      bytes.Append(batch.bytes);
      if (next != nullptr) *next = batch.header.next_offset();
    }
    return bytes;
  }

  void ReadWithoutWait(const Log& log, const Fetch& request, Done<Fetched> done) {
    const auto from = Locate(log, request.position);
    if (!from.ok()) return done(from.error());
    Fetched fetched;
    fetched.from = *from;
    fetched.next_offset = *from;
    fetched.high_watermark = log.end;
    fetched.last_stable_offset = log.end;
    fetched.log_start = log.start;
    fetched.leader_epoch = LeaderEpoch{3};
    size_t needed = 0;
    fetched.batches = Collect(log, *from, request, &fetched.next_offset, &needed);
    if (needed > 0) {
      return done(Error(Reason::kFetchTooSmall, "the next batch does not fit")
                      .With("needed_bytes", std::to_string(needed)));
    }
    if (fetch_memory_ != nullptr && !fetched.batches.empty()) {
      auto share =
          fetch_memory_->TryAcquire(std::min(fetched.batches.size(), fetch_memory_->max()));
      if (!share) return done(Error(Reason::kQuotaExceeded, "the memory is in use"));
      SetBatches(fetched, Bytes(fetched.batches), std::move(share));
    }
    done(std::move(fetched));
  }

  void ReadNow(Log& log, Fetch request, Done<Fetched> done, bool may_wait) {
    const auto from = Locate(log, request.position);
    if (!from.ok()) return done(from.error());
    const size_t have = Collect(log, *from, request).size();
    const bool enough = have >= static_cast<size_t>(std::max(1, request.bytes_min));
    if (enough || !may_wait || request.wait_max == Duration(0) || *from < log.end - 1'000'000)
      return ReadWithoutWait(log, request, std::move(done));
    request.position = {Position::Kind::kOffset, from->value};
    const uint64_t number = ++last_wait_;
    const TimerId timer = loop_->After(request.wait_max, "expire", [this, &log, number] {
      for (size_t i = 0; i < log.waiting.size(); ++i) {
        if (log.waiting[i].number != number) continue;
        WaitingRead waiting = std::move(log.waiting[i]);
        log.waiting.erase(log.waiting.begin() + static_cast<std::ptrdiff_t>(i));
        return ReadWithoutWait(log, waiting.request, std::move(waiting.done));
      }
    });
    log.waiting.push_back({std::move(request), std::move(done), timer, number});
  }

  std::unique_ptr<Budget> fetch_memory_;  // outlives what the loop has
  ImagePtr image_;
  int topics_made_ = 0;
  Budget decode_memory_{256u << 20};
  std::map<Key, Log> logs_;
  std::map<Key, std::pair<int, Error>> failures_;
  bool holding_ = false;
  Timestamp log_append_time_{-1};
  bool dropping_ = false;
  std::deque<Task> held_;
  std::vector<Task> dropped_;
  ProduceBatch last_batch_;
  std::string last_request_id_;
  AckRule last_ack_;
  int64_t reads_ = 0;
  uint64_t last_wait_ = 0;
  std::unique_ptr<EventLoop> loop_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_BROKER_GRPC_MEMORY_BROKER_H_
