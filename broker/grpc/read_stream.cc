// FetchService.Read: records of a topic, as they come, for a plain loop.
#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "broker/grpc/byte_buffer.h"
#include "broker/grpc/conversions.h"
#include "broker/grpc/convert.h"
#include "broker/grpc/fetch_call.h"
#include "broker/grpc/fetch_messages.h"
#include "broker/grpc/fetch_pump.h"
#include "broker/grpc/fetch_service.h"
#include "broker/resolve.h"

namespace gregor {
namespace {

constexpr int64_t kCreditWithoutEnd = int64_t{1} << 40;
constexpr size_t kBytesDefault = 1u << 20;
// With the rest of the response below 3 MiB, which all clients take.
constexpr size_t kRecordBytesDefault = (3u << 20) - 64;
constexpr size_t kBytesMin = 4096;
constexpr Duration kHeartbeatMin = std::chrono::seconds(1);

class ReadStream final : public HotServerStream, public FetchPump::Sink {
 public:
  ReadStream(std::shared_ptr<Door> door, FetchService& service, StreamMetrics& metrics)
      : HotServerStream(std::move(door), metrics), service_(service) {
    SetHoldsFetchMemory();
  }

 private:
  void Ask(void* tag) override {
    auto* const queue = door().queue.get();
    service_.RequestRead(&context(), request(), rpc(), queue, queue, tag);
  }
  std::shared_ptr<HotStream> Another() override {
    return std::make_shared<ReadStream>(shared_door(), service_, metrics());
  }
  void OnRequest(const Bytes& message) override;
  void OnSent(size_t charge) override {
    if (charge > 0) pump_->Sent(charge);
  }
  void OnEnded() override { Close(); }
  void OnDrain(Duration close_in) override {
    End(Error(Reason::kServerDraining, "the broker stops: read on from next_offset"));
  }
  grpc::ByteBuffer SignOfLife() override { return MakeMessage(""); }  // an empty ReadResponse

  Result<void> Take(const Bytes& message);
  Result<std::vector<PartitionIndex>> PartitionsOf(const v1::ReadRequest& request,
                                                   const TopicImage& topic) const;
  void FindEnds();
  void Begin(const std::vector<Result<FoundOffset>>& ends);
  void Close();

  // Thread: any, for all below.
  void OnFetched(const FetchPump::Ticket& ticket, const FetchPump::Slot& slot,
                 Fetched fetched) override;
  void OnCaughtUp(const FetchPump::Slot& slot, Offset offset) override { StopAt(slot.id, offset); }
  void OnFailed(const FetchPump::Slot& slot, const Error& error) override { End(error); }
  void OnDiverged(const FetchPump::Slot& slot, const EpochEnd& end) override {}
  void Deliver(const FetchPump::Ticket& ticket, int32_t partition, const Fetched& fetched);
  Result<EncodedRecords> Encode(const Fetched& fetched, EncodeLimits limits) const;
  bool BeginDelivery(int32_t partition, EncodeLimits& limits);
  bool TakeRecords(int64_t count, EncodeLimits& limits);
  bool EndDelivery();
  // The partition is done with where it has come to its end.
  void StopAt(int32_t partition, Offset next_offset);

  std::shared_ptr<ReadStream> Self() {
    return std::static_pointer_cast<ReadStream>(shared_from_this());
  }

  FetchService& service_;
  // Set before anything is read.
  TopicRef topic_;
  std::string topic_id_;  // as it is sent
  std::vector<PartitionIndex> partitions_;
  Position start_;
  Isolation isolation_ = Isolation::kReadCommitted;
  bool stop_at_end_ = false;
  size_t bytes_max_ = kBytesDefault;
  size_t record_bytes_max_ = 0;  // where one record may have more, or 0
  std::shared_ptr<FetchPump> pump_;
  bool closed_ = false;

  Mutex mutex_;
  std::map<int32_t, Offset> ends_ TS_GUARDED_BY(mutex_);  // of partitions that are read
  int64_t records_left_ TS_GUARDED_BY(mutex_) = INT64_MAX;
  int delivering_ TS_GUARDED_BY(mutex_) = 0;  // partitions whose records are about to be queued
};

// --- the request ---

void ReadStream::OnRequest(const Bytes& message) {
  if (auto taken = Take(message); !taken.ok()) return End(taken.error());
  if (stop_at_end_) return FindEnds();
  Begin({});
}

Result<std::vector<PartitionIndex>> ReadStream::PartitionsOf(const v1::ReadRequest& request,
                                                             const TopicImage& topic) const {
  std::vector<PartitionIndex> partitions;
  for (const int32_t partition : request.partitions()) partitions.push_back({partition});
  if (partitions.empty()) {
    for (int32_t i = 0; i < topic.partition_count(); ++i) partitions.push_back({i});
  }
  std::sort(partitions.begin(), partitions.end());
  partitions.erase(std::unique(partitions.begin(), partitions.end()), partitions.end());
  for (const PartitionIndex partition : partitions) {
    if (topic.Partition(partition) != nullptr) continue;
    return Error(Reason::kPartitionNotFound, "topic \"" + topic.name + "\" has no partition " +
                                                 std::to_string(partition.value) +
                                                 ": it has 0 to " +
                                                 std::to_string(topic.partition_count() - 1))
        .With("topic", topic.name)
        .With("partition", std::to_string(partition.value))
        .With("partition_count", std::to_string(topic.partition_count()));
  }
  return partitions;
}

Result<void> ReadStream::Take(const Bytes& message) {
  v1::ReadRequest request;
  RETURN_IF_ERROR(ParseMessage(message, request));
  ASSIGN_OR_RETURN(topic_, TopicOf(request.topic(), request.topic_id()));
  if (request.max_records() < 0 || request.heartbeat_ms() < 0 || request.max_bytes() < 0) {
    return Error(Reason::kInvalidArgument,
                 "max_records, heartbeat_ms and max_bytes cannot be negative: 0 is the default");
  }
  if (request.max_bytes() == 0) {
    record_bytes_max_ = kRecordBytesDefault;
  } else {
    bytes_max_ = std::clamp(static_cast<size_t>(request.max_bytes()), kBytesMin,
                            AnswerBytesLimit(door().broker));
  }
  ASSIGN_OR_RETURN(start_, PositionOf(request.start()));
  ASSIGN_OR_RETURN(isolation_, IsolationOf(request.isolation()));
  ASSIGN_OR_RETURN(const ImagePtr image, ImageOf(door().broker));
  ASSIGN_OR_RETURN(const TopicPtr topic, ResolveTopic(*image, topic_));
  // By its id from now on: another topic of the same name is not read on (C12).
  topic_ = {.name = topic->name, .id = topic->id};
  topic_id_ = ToBytes(topic->id.bytes);
  ASSIGN_OR_RETURN(partitions_, PartitionsOf(request, *topic));
  stop_at_end_ = request.stop_at_end();
  if (request.max_records() > 0) {
    const MutexLock lock(mutex_);
    records_left_ = request.max_records();
  }
  const Duration heartbeat = std::chrono::milliseconds(request.heartbeat_ms());
  const Duration standard = door().options.heartbeat_interval;
  SetSignsOfLife(heartbeat == Duration(0) ? standard
                                          : std::max(std::min(kHeartbeatMin, standard), heartbeat));
  return {};
}

void ReadStream::FindEnds() {
  std::vector<OffsetQuery> queries;
  for (const PartitionIndex partition : partitions_) {
    queries.push_back({.topic = topic_,
                       .partition = partition,
                       .position = {Position::Kind::kLatest, 0},
                       .isolation = isolation_,
                       .current_leader_epoch = {}});
  }
  door().broker.FindOffsets(
      std::move(queries), [self = Self()](std::vector<Result<FoundOffset>> ends) {
        self->door().queue.Post([self, ends = std::move(ends)] { self->Begin(ends); });
      });
}

void ReadStream::Begin(const std::vector<Result<FoundOffset>>& ends) {
  if (closed_) return;
  for (const auto& end : ends) {
    if (!end.ok()) return End(end.error());
  }
  FetchPump::Options options;
  options.isolation = isolation_;
  options.splits_batches = true;
  options.message_bytes_max = bytes_max_;
  options.credit_bytes = kCreditWithoutEnd;
  pump_ = std::make_shared<FetchPump>(shared_door(), door().ConnectionOf(context().peer()), options,
                                      std::weak_ptr<FetchPump::Sink>(Self()));
  {
    const MutexLock lock(mutex_);
    for (size_t i = 0; i < partitions_.size(); ++i)
      ends_[partitions_[i].value] = stop_at_end_ ? ends[i]->offset : Offset{INT64_MAX};
  }
  for (const PartitionIndex partition : partitions_) {
    FetchPump::Slot slot;
    slot.id = partition.value;
    slot.topic = topic_;
    slot.partition = partition;
    slot.position = start_;
    if (auto added = pump_->Add(std::move(slot)); !added.ok()) return End(added.error());
  }
}

// --- records ---

void ReadStream::OnFetched(const FetchPump::Ticket& ticket, const FetchPump::Slot& slot,
                           Fetched fetched) {
  const int32_t partition = slot.id;
  if (!IsSlowToEncode(fetched.batches)) return Deliver(ticket, partition, fetched);
  door().Decode([self = Self(), ticket, partition, fetched = std::move(fetched)] {
    self->Deliver(ticket, partition, fetched);
  });
}

void ReadStream::Deliver(const FetchPump::Ticket& ticket, int32_t partition,
                         const Fetched& fetched) {
  if (!pump_->IsWanted(ticket)) return pump_->Queued(ticket, fetched, fetched.next_offset);
  EncodeLimits limits{.from = fetched.from,
                      .bytes_limit = AnswerBytesLimit(door().broker),
                      .memory = &door().broker.decode_memory(),
                      .answer = fetched.memory.get()};
  if (!BeginDelivery(partition, limits)) {
    pump_->Remove(partition);
    return pump_->Queued(ticket, fetched, fetched.next_offset);
  }
  Result<EncodedRecords> records = EncodedRecords();
  do {
    records = EncodedRecords();  // lets go of its memory before
    records = Encode(fetched, limits);
    // Again with less where another partition has meanwhile taken of what max_records leaves.
  } while (records.ok() && !TakeRecords(records->count, limits));
  if (!records.ok()) {
    if (EndDelivery()) return End();
    return pump_->FailRead(
        ticket, AtPartition(records.error(), door().broker, topic_, PartitionIndex{partition}));
  }
  if (records->count > 0) {
    pump_->Charge(ticket, records->bytes.size());
    Queue(
        EncodeReadResponse(topic_id_, PartitionIndex{partition}, *records, fetched.high_watermark),
        records->bytes.size());
  }
  pump_->Queued(ticket, fetched, records->next_offset);
  Flush();
  StopAt(partition, records->next_offset);
  if (EndDelivery()) End();
}

Result<EncodedRecords> ReadStream::Encode(const Fetched& fetched, EncodeLimits limits) const {
  limits.bytes_max = bytes_max_;
  auto records = EncodeRecords(fetched.batches, fetched.next_offset, limits, kReadResponseRecords);
  if (records.ok() || records.error().reason != Reason::kFetchTooSmall || record_bytes_max_ == 0)
    return records;
  // One record alone.
  limits.bytes_max = record_bytes_max_;
  limits.records_max = 1;
  return EncodeRecords(fetched.batches, fetched.next_offset, limits, kReadResponseRecords);
}

bool ReadStream::BeginDelivery(int32_t partition, EncodeLimits& limits) {
  const MutexLock lock(mutex_);
  const auto end = ends_.find(partition);
  if (end == ends_.end() || records_left_ == 0) return false;
  limits.before = end->second;
  limits.records_max = records_left_;
  ++delivering_;
  return true;
}

bool ReadStream::TakeRecords(int64_t count, EncodeLimits& limits) {
  const MutexLock lock(mutex_);
  limits.records_max = records_left_;
  if (count > records_left_) return false;
  records_left_ -= count;
  return true;
}

// True where that was the last one: all that max_records allows is queued.
bool ReadStream::EndDelivery() {
  const MutexLock lock(mutex_);
  return --delivering_ == 0 && records_left_ == 0;
}

void ReadStream::StopAt(int32_t partition, Offset next_offset) {
  bool all;
  {
    const MutexLock lock(mutex_);
    const auto end = ends_.find(partition);
    if (end == ends_.end() || next_offset < end->second) return;
    ends_.erase(end);
    all = ends_.empty();
  }
  pump_->Remove(partition);
  if (all) End();
}

void ReadStream::Close() {
  closed_ = true;
  if (pump_ != nullptr) pump_->Close();
}

}  // namespace

std::shared_ptr<HotStream> MakeReadStream(std::shared_ptr<Door> door, FetchService& service,
                                          StreamMetrics& metrics) {
  return std::make_shared<ReadStream>(std::move(door), service, metrics);
}

}  // namespace gregor
