#include "broker/grpc/fetch_call.h"

#include <algorithm>
#include <string>
#include <utility>

#include "broker/grpc/conversions.h"
#include "broker/grpc/fetch_messages.h"
#include "broker/grpc/fetch_service.h"
#include "broker/grpc/fetch_wire.h"

namespace gregor {
namespace {

constexpr size_t kBytesDefault = 1u << 20;
// Before the caller's deadline, so that the answer arrives.
constexpr Duration kAnswerEarlier = std::chrono::milliseconds(50);
// How often a call that waits for memory to decompress in looks for some.
constexpr Duration kMemoryRetryDelay = std::chrono::milliseconds(50);
// A wait that lasts longer begins anew, so that those which nobody waits for any more end.
constexpr Duration kWaitMax = std::chrono::seconds(10);

// One Fetch.
class FetchCall final : public HotUnary {
 public:
  FetchCall(std::shared_ptr<Door> door, FetchService& service, UnaryMetrics& metrics)
      : HotUnary(std::move(door), metrics), service_(service), metrics_(metrics) {
    SetNotifyGone();
    SetHoldsFetchMemory();
  }

 private:
  void Ask(grpc::ServerContext* context, grpc::ByteBuffer* request, Responder* responder,
           grpc::ServerCompletionQueue* queue, void* tag) override {
    service_.RequestFetch(context, request, responder, queue, queue, tag);
  }
  std::shared_ptr<HotUnary> Another() override {
    return std::make_shared<FetchCall>(shared_door(), service_, metrics_);
  }
  void OnGone() override { cancelled_->store(true, std::memory_order_relaxed); }
  void OnFinished() override;
  bool MayHaveWritten() const override { return false; }

  void OnRequest(const Bytes& message) override {
    if (auto taken = Take(message); !taken.ok()) return Fail(taken.error());
    connection_ = door().ConnectionOf(peer());
    Read();
  }
  Result<void> Take(const Bytes& message);

  // Thread: any, for all below; one at a time.
  void Read();
  void Answer(Result<Fetched> result);
  bool HasRoom(size_t bytes);
  void OnRoom(size_t bytes);
  void Encode(const Fetched& fetched);

  std::shared_ptr<FetchCall> Self() {
    return std::static_pointer_cast<FetchCall>(shared_from_this());
  }

  FetchService& service_;
  UnaryMetrics& metrics_;
  Fetch request_;
  FetchFormat format_ = FetchFormat::kRecords;
  size_t bytes_max_ = kBytesDefault;
  MonotonicTime wait_until_;
  std::shared_ptr<ByteGate> connection_;
  Mutex mutex_;
  size_t unsent_ TS_GUARDED_BY(mutex_) = 0;  // taken of it
  bool finished_ TS_GUARDED_BY(mutex_) = false;
  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
};

Result<void> FetchCall::Take(const Bytes& message) {
  CopyArena arena;
  WireFetchRequest wire;
  RETURN_IF_ERROR(ParseFetchRequest(message, arena, wire));
  ASSIGN_OR_RETURN(request_.topic, TopicOf(wire.topic, wire.topic_id));
  ASSIGN_OR_RETURN(request_.position, PositionOf(wire.position));
  ASSIGN_OR_RETURN(request_.isolation, IsolationOf(wire.isolation));
  ASSIGN_OR_RETURN(format_, FetchFormatOf(wire.format));
  RETURN_IF_ERROR(CheckRouting(wire.routing));
  if (wire.max_wait_ms < 0 || wire.min_bytes < 0 || wire.max_bytes < 0) {
    return Error(Reason::kInvalidArgument,
                 "max_wait_ms, min_bytes and max_bytes cannot be negative: 0 is the default");
  }
  request_.partition = PartitionIndex{wire.partition};
  request_.current_leader_epoch = EpochOf(wire.current_leader_epoch);
  request_.last_fetched_epoch = EpochOf(wire.last_fetched_epoch);
  request_.cancelled = cancelled_;
  if (wire.max_bytes > 0) {
    bytes_max_ = std::min(static_cast<size_t>(wire.max_bytes), AnswerBytesLimit(door().broker));
  }
  request_.bytes_max = bytes_max_;
  // Records are cut to what fits, so a batch may be larger than all of them.
  request_.first_batch_may_exceed = format_ == FetchFormat::kRecords;
  request_.bytes_min = std::clamp<int32_t>(wire.min_bytes, 1, static_cast<int32_t>(bytes_max_));
  const Duration wait =
      std::min<Duration>(std::chrono::milliseconds(wire.max_wait_ms), TimeLeft() - kAnswerEarlier);
  wait_until_ = SystemClock().Now() + std::max(Duration(0), wait);
  return {};
}

void FetchCall::Read() {
  if (door().queue.closed()) return;
  const Duration left = std::max(Duration(0), wait_until_ - SystemClock().Now());
  request_.wait_max = std::min(left, kWaitMax);
  door().broker.Read(request_,
                     [self = Self()](Result<Fetched> result) { self->Answer(std::move(result)); });
}

void FetchCall::Answer(Result<Fetched> result) {
  if (!result.ok()) return Fail(result.error());
  const size_t size = result->batches.size();
  const bool enough = result->diverging.has_value() ||
                      size >= static_cast<size_t>(request_.bytes_min) ||
                      // There is more, which does not fit.
                      (size > 0 && result->next_offset < result->high_watermark);
  if (!enough && !cancelled_->load() && SystemClock().Now() < wait_until_) {
    request_.position = {Position::Kind::kOffset, result->from.value};
    return Read();
  }
  // Where the client's connection is full of answers that it has not read, the bytes are let go,
  // and read again when there is room.
  if (!HasRoom(size)) return;
  if (format_ == FetchFormat::kBatches) return Reply(EncodeFetchResponse(*result));
  if (!IsSlowToEncode(result->batches)) return Encode(*result);
  door().Decode([self = Self(), fetched = std::move(*result)] { self->Encode(fetched); });
}

bool FetchCall::HasRoom(size_t bytes) {
  const MutexLock lock(mutex_);
  if (bytes <= unsent_ || finished_) return true;
  const size_t more = bytes - unsent_;
  const bool room = connection_->Take(more, [self = Self(), more] {
    self->door().queue.Post([self, more] { self->OnRoom(more); });
  });
  if (room) unsent_ = bytes;
  return room;
}

void FetchCall::OnRoom(size_t bytes) {
  bool finished;
  {
    const MutexLock lock(mutex_);
    finished = finished_;
    if (!finished) unsent_ += bytes;
  }
  if (finished) return connection_->Give(bytes);
  Read();
}

void FetchCall::OnFinished() {
  size_t unsent;
  {
    const MutexLock lock(mutex_);
    finished_ = true;
    unsent = std::exchange(unsent_, 0);
  }
  if (unsent > 0) connection_->Give(unsent);
}

void FetchCall::Encode(const Fetched& fetched) {
  if (cancelled_->load()) return Drop();
  const EncodeLimits limits{.from = fetched.from,
                            .bytes_max = bytes_max_,
                            .bytes_limit = AnswerBytesLimit(door().broker),
                            .memory = &door().broker.decode_memory(),
                            .answer = fetched.memory.get()};
  const auto records =
      EncodeRecords(fetched.batches, fetched.next_offset, limits, kFetchResponseRecords);
  if (!records.ok() && records.error().reason == Reason::kQuotaExceeded && !cancelled_->load() &&
      SystemClock().Now() < wait_until_) {
    // The bytes are let go meanwhile: others may need them to be done with the memory.
    request_.position = {Position::Kind::kOffset, fetched.from.value};
    return door().queue.After(kMemoryRetryDelay, [self = Self()] { self->Read(); });
  }
  if (!records.ok())
    return Fail(AtPartition(records.error(), door().broker, request_.topic, request_.partition));
  Reply(EncodeFetchResponse(fetched, *records));
}

}  // namespace

std::shared_ptr<HotUnary> MakeFetchCall(std::shared_ptr<Door> door, FetchService& service,
                                        UnaryMetrics& metrics) {
  return std::make_shared<FetchCall>(std::move(door), service, metrics);
}

}  // namespace gregor
