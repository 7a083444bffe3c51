// FetchService.FetchStream: many partitions on one stream, for client libraries.
#include <algorithm>
#include <atomic>
#include <string>
#include <utility>

#include "broker/grpc/conversions.h"
#include "broker/grpc/fetch_call.h"
#include "broker/grpc/fetch_messages.h"
#include "broker/grpc/fetch_pump.h"
#include "broker/grpc/fetch_service.h"
#include "broker/grpc/fetch_wire.h"

namespace gregor {
namespace {

constexpr size_t kBytesDefault = 1u << 20;
// Messages that the client has not taken; beyond it no more requests are read.
constexpr size_t kUnsentMax = 1024;

class FetchStream final : public HotBidiStream, public FetchPump::Sink {
 public:
  FetchStream(std::shared_ptr<Door> door, FetchService& service, StreamMetrics& metrics)
      : HotBidiStream(std::move(door), metrics), service_(service) {
    SetHoldsFetchMemory();
  }

 private:
  void Ask(void* tag) override {
    auto* const queue = door().queue.get();
    service_.RequestFetchStream(&context(), rpc(), queue, queue, tag);
  }
  std::shared_ptr<HotStream> Another() override {
    return std::make_shared<FetchStream>(shared_door(), service_, metrics());
  }
  void OnBegin() override { BeginRead(); }
  void OnReadEnd() override;
  void OnMessage(const Bytes& message) override;
  void OnSent(size_t charge) override;
  void OnEnded() override { Close(); }
  void OnDrain(Duration close_in) override;
  grpc::ByteBuffer SignOfLife() override { return EncodeFetchHeartbeat(); }

  Result<void> Handle(const WireFetchStreamRequest& request);
  Result<void> Open(const WireFetchOpen& open);
  Result<void> Add(const WireFetchAdd& add);
  void ReadOn();
  void Close();

  // Thread: any, for all below.
  void OnFetched(const FetchPump::Ticket& ticket, const FetchPump::Slot& slot,
                 Fetched fetched) override;
  void OnCaughtUp(const FetchPump::Slot& slot, Offset offset) override {
    Send(EncodeCaughtUp(slot.id, offset));
  }
  void OnFailed(const FetchPump::Slot& slot, const Error& error) override {
    Send(EncodeSlotError(slot.id, error));
  }
  void OnDiverged(const FetchPump::Slot& slot, const EpochEnd& end) override {
    Send(EncodeDiverged(slot.id, end));
  }
  void DeliverRecords(const FetchPump::Ticket& ticket, int32_t slot, const Fetched& fetched);

  std::shared_ptr<FetchStream> Self() {
    return std::static_pointer_cast<FetchStream>(shared_from_this());
  }

  FetchService& service_;
  // Set when the stream is opened.
  FetchFormat format_ = FetchFormat::kRecords;
  FetchPump::Options options_;
  std::shared_ptr<FetchPump> pump_;
  bool reading_ = true;  // or a request is handled
  bool ended_ = false;
};

// --- requests ---

void FetchStream::OnMessage(const Bytes& message) {
  reading_ = false;
  CopyArena arena;
  WireFetchStreamRequest request;
  if (auto parsed = ParseFetchStreamRequest(message, arena, request); !parsed.ok())
    return End(parsed.error());
  if (auto handled = Handle(request); !handled.ok()) return End(handled.error());
  ReadOn();
}

void FetchStream::ReadOn() {
  if (reading_ || ended_ || unsent_count() > kUnsentMax) return;
  reading_ = true;
  BeginRead();
}

void FetchStream::OnReadEnd() {
  ended_ = true;
  Close();
  End();
}

void FetchStream::OnSent(size_t charge) {
  if (charge > 0) pump_->Sent(charge);
  ReadOn();
}

Result<void> FetchStream::Handle(const WireFetchStreamRequest& request) {
  using Kind = WireFetchStreamRequest::Kind;
  if (request.kind == Kind::kOpen) return Open(request.open);
  if (pump_ == nullptr)
    return Error(Reason::kInvalidArgument, "the first message of the stream has to be open");
  switch (request.kind) {
    case Kind::kAdd:
      return Add(request.add);
    case Kind::kRemove:
      pump_->Remove(request.remove_slot);
      return {};
    case Kind::kCredit:
      if (request.credit_bytes <= 0)
        return Error(Reason::kInvalidArgument, "credit_bytes has to be positive");
      pump_->AddCredit(request.credit_bytes);
      return {};
    case Kind::kOpen:
    case Kind::kRefreshAuthorization:
    case Kind::kNone:  // of a later version of the API
      return {};
  }
  return {};
}

Result<void> FetchStream::Open(const WireFetchOpen& open) {
  if (pump_ != nullptr) return Error(Reason::kInvalidArgument, "the stream is open already");
  static std::atomic<uint64_t> last_stream{0};
  const NodeId broker_id = door().broker.node_id();
  const std::string stream_id =
      std::to_string(broker_id.value) + "-f" + std::to_string(++last_stream);
  SetName(stream_id, open.client_id);
  ASSIGN_OR_RETURN(format_, FetchFormatOf(open.format));
  ASSIGN_OR_RETURN(options_.isolation, IsolationOf(open.isolation));
  RETURN_IF_ERROR(CheckRouting(open.routing));
  if (open.max_batch_bytes < 0 || open.min_bytes < 0 || open.max_wait_ms < 0) {
    return Error(Reason::kInvalidArgument,
                 "max_batch_bytes, min_bytes and max_wait_ms cannot be negative: 0 is the default");
  }
  options_.splits_batches = format_ == FetchFormat::kRecords;
  options_.message_bytes_max =
      open.max_batch_bytes == 0
          ? kBytesDefault
          : std::min(static_cast<size_t>(open.max_batch_bytes), AnswerBytesLimit(door().broker));
  options_.bytes_min =
      std::clamp<int32_t>(open.min_bytes, 1, static_cast<int32_t>(options_.message_bytes_max));
  options_.wait_max = std::chrono::milliseconds(open.max_wait_ms);
  pump_ = std::make_shared<FetchPump>(shared_door(), door().ConnectionOf(context().peer()),
                                      options_, std::weak_ptr<FetchPump::Sink>(Self()));
  Send(EncodeFetchOpened(stream_id, broker_id));
  SetSignsOfLife(door().options.heartbeat_interval);
  return {};
}

// What is wrong with one slot is said of that slot.
Result<void> FetchStream::Add(const WireFetchAdd& add) {
  FetchPump::Slot slot;
  slot.id = add.slot;
  auto topic = TopicOf(add.topic, add.topic_id);
  auto position = PositionOf(add.position);
  if (!topic.ok() || !position.ok()) {
    OnFailed(slot, topic.ok() ? position.error() : topic.error());
    return {};
  }
  slot.topic = std::move(*topic);
  // By its id from now on: another topic of the same name is not read on (C12).
  const ImagePtr image = door().broker.image();
  if (image != nullptr && !slot.topic.id.has_value()) {
    if (const TopicPtr found = image->Topic(slot.topic.name)) slot.topic.id = found->id;
  }
  slot.partition = PartitionIndex{add.partition};
  slot.position = *position;
  slot.current_leader_epoch = EpochOf(add.current_leader_epoch);
  slot.last_fetched_epoch = EpochOf(add.last_fetched_epoch);
  return pump_->Add(std::move(slot));
}

// --- answers ---

void FetchStream::OnFetched(const FetchPump::Ticket& ticket, const FetchPump::Slot& slot,
                            Fetched fetched) {
  const int32_t id = slot.id;
  if (format_ == FetchFormat::kBatches) {
    const size_t size = fetched.batches.size();
    pump_->Charge(ticket, size);
    Queue(EncodeFetchData(id, fetched), size);
    pump_->Queued(ticket, fetched, fetched.next_offset);
    return Flush();
  }
  if (!IsSlowToEncode(fetched.batches)) return DeliverRecords(ticket, id, fetched);
  door().Decode([self = Self(), ticket, id, fetched = std::move(fetched)] {
    self->DeliverRecords(ticket, id, fetched);
  });
}

void FetchStream::DeliverRecords(const FetchPump::Ticket& ticket, int32_t slot,
                                 const Fetched& fetched) {
  if (!pump_->IsWanted(ticket)) return pump_->Queued(ticket, fetched, fetched.next_offset);
  const EncodeLimits limits{.from = fetched.from,
                            .bytes_max = options_.message_bytes_max,
                            .bytes_limit = AnswerBytesLimit(door().broker),
                            .memory = &door().broker.decode_memory(),
                            .answer = fetched.memory.get()};
  const auto records =
      EncodeRecords(fetched.batches, fetched.next_offset, limits, kFetchDataRecords);
  if (!records.ok()) {
    const FetchPump::Slot& at = FetchPump::SlotOf(ticket);
    return pump_->FailRead(ticket,
                           AtPartition(records.error(), door().broker, at.topic, at.partition));
  }
  pump_->Charge(ticket, records->bytes.size());
  Queue(EncodeFetchData(slot, fetched, *records), records->bytes.size());
  pump_->Queued(ticket, fetched, records->next_offset);
  Flush();
}

// --- the end ---

void FetchStream::OnDrain(Duration close_in) {
  Send(EncodeFetchDraining(close_in));
  const auto weak = weak_from_this();
  door().queue.After(close_in, [weak] {
    const auto stream = std::static_pointer_cast<FetchStream>(weak.lock());
    if (stream == nullptr) return;
    stream->Close();
    stream->End();
  });
}

void FetchStream::Close() {
  if (pump_ != nullptr) pump_->Close();
}

}  // namespace

std::shared_ptr<HotStream> MakeFetchStream(std::shared_ptr<Door> door, FetchService& service,
                                           StreamMetrics& metrics) {
  return std::make_shared<FetchStream>(std::move(door), service, metrics);
}

}  // namespace gregor
