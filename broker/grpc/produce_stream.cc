#include "broker/grpc/produce_stream.h"

#include <algorithm>
#include <string>
#include <utility>

#include "broker/grpc/byte_buffer.h"
#include "broker/grpc/frame_order.h"
#include "broker/grpc/produce_requests.h"
#include "broker/grpc/produce_service.h"
#include "broker/grpc/status.h"

namespace gregor {
namespace {

constexpr size_t kWindowBytes = 16u << 20;
constexpr size_t kWindowBytesMax = 64u << 20;
constexpr int32_t kWindowFrames = 256;
constexpr int32_t kWindowFramesMax = 1024;
// Answers that the client has not taken; beyond it no more frames are read.
constexpr size_t kUnsentMax = 1024;
constexpr size_t kFailedLanesMax = 1024;
// What a plain record costs beside its bytes.
constexpr size_t kRecordBytes = 32;

class ProduceStream final : public HotBidiStream {
 public:
  ProduceStream(std::shared_ptr<Door> door, ProduceService& service, StreamMetrics& metrics,
                LatencyHistogram& latency)
      : HotBidiStream(std::move(door), metrics), service_(service), latency_(latency) {}

 private:
  using Order = FrameOrder<grpc::ByteBuffer>;

  // A frame that waits for its answer.
  struct Frame {
    std::shared_ptr<ProduceStream> stream;
    Order::Ticket ticket;
    int64_t id = 0;
    size_t message_bytes = 0;  // of the window
    size_t gate_bytes = 0;     // of what all streams share
    MonotonicTime arrived;
    bool names_partition = false;
  };
  using FramePtr = std::unique_ptr<Frame>;

  // A frame that waits for memory.
  struct Parked {
    std::shared_ptr<ReceivedMessage> message;
    WireProduceFrame request;
    FramePtr frame;
  };

  void Ask(void* tag) override {
    auto* const queue = door().queue.get();
    service_.RequestProduceStream(&context(), rpc(), queue, queue, tag);
  }
  std::shared_ptr<HotStream> Another() override {
    return std::make_shared<ProduceStream>(shared_door(), service_, metrics(), latency_);
  }

  void OnBegin() override { ReadIfRoom(); }
  void OnReadEnd() override;
  void OnMessage(const Bytes& bytes) override;
  void OnSent(size_t charge) override { ReadIfRoom(); }
  void OnDrain(Duration close_in) override;
  void OnEnded() override;
  grpc::ByteBuffer SignOfLife() override { return MakeMessage({"\x3a\x00", 2}); }  // Heartbeat

  void OnOpen(const WireProduceOpen& open);
  void OnFrame(std::shared_ptr<ReceivedMessage> message, WireProduceFrame request);
  void OnGranted();
  void Handle(Parked parked);
  void Submit(ProduceWork work, FramePtr frame);
  // Thread: any, for all below.
  void OnProduced(Frame& frame, const Result<Produced>& produced);
  void OnProduced(Frame& frame, const Result<ProducedRecords>& produced);
  void FailFrame(Frame& frame, const Error& error);
  void Settle(Frame& frame, grpc::ByteBuffer answer, bool failed);
  void CloseWhenIdle();
  void ReadIfRoom();
  bool HasRoom() const TS_REQUIRES(mutex_);
  bool IsIdle() const TS_REQUIRES(mutex_) { return in_flight_frames_ == 0 && !parked_.has_value(); }

  ProduceService& service_;
  LatencyHistogram& latency_;
  // Of the hot queue's thread.
  bool opened_ = false;
  ProduceStreamRules rules_;
  int64_t last_frame_id_ = 0;
  bool has_frames_ = false;

  Mutex mutex_;
  Order order_ TS_GUARDED_BY(mutex_);
  size_t window_bytes_ TS_GUARDED_BY(mutex_) = kWindowBytes;
  int32_t window_frames_ TS_GUARDED_BY(mutex_) = kWindowFrames;
  size_t in_flight_bytes_ TS_GUARDED_BY(mutex_) = 0;
  int32_t in_flight_frames_ TS_GUARDED_BY(mutex_) = 0;
  // One that names no partition: the broker chooses some, so nothing may overtake it.
  bool alone_in_flight_ TS_GUARDED_BY(mutex_) = false;
  std::optional<Parked> parked_ TS_GUARDED_BY(mutex_);
  bool reading_ TS_GUARDED_BY(mutex_) = false;
  bool read_ended_ TS_GUARDED_BY(mutex_) = false;
  bool closing_ TS_GUARDED_BY(mutex_) = false;
};

// --- reading ---

bool ProduceStream::HasRoom() const {
  return !reading_ && !read_ended_ && !closing_ && !alone_in_flight_ && !parked_.has_value() &&
         in_flight_bytes_ < window_bytes_ && in_flight_frames_ < window_frames_;
}

void ProduceStream::ReadIfRoom() {
  const size_t unsent = unsent_count();
  {
    const MutexLock lock(mutex_);
    if (!HasRoom() || unsent > kUnsentMax) return;
    reading_ = true;
  }
  BeginRead();
}

void ProduceStream::OnReadEnd() {
  bool idle;
  {
    const MutexLock lock(mutex_);
    reading_ = false;
    read_ended_ = true;
    idle = IsIdle();
  }
  if (idle) End();
}

void ProduceStream::OnMessage(const Bytes& bytes) {
  {
    const MutexLock lock(mutex_);
    reading_ = false;
  }
  auto message = std::make_shared<ReceivedMessage>(bytes);
  WireProduceStreamRequest request;
  const auto parsed = ParseProduceStreamRequest(message->bytes, message->arena, request);
  if (!parsed.ok()) return End(parsed.error());
  using Kind = WireProduceStreamRequest::Kind;
  if (!opened_ && request.kind != Kind::kOpen) {
    return End(Error(Reason::kInvalidArgument, "the first message of the stream has to be open"));
  }
  switch (request.kind) {
    case Kind::kOpen:
      OnOpen(request.open);
      break;
    case Kind::kFrame:
      return OnFrame(std::move(message), std::move(request.frame));
    case Kind::kRefreshAuthorization:
    case Kind::kNone:  // of a later version of the API
      break;
  }
  ReadIfRoom();
}

void ProduceStream::OnOpen(const WireProduceOpen& open) {
  if (std::exchange(opened_, true))
    return End(Error(Reason::kInvalidArgument, "the stream is open already"));
  static std::atomic<uint64_t> last_stream{0};
  const int32_t broker_id = door().broker.node_id().value;
  const std::string stream_id = std::to_string(broker_id) + "-p" + std::to_string(++last_stream);
  SetName(stream_id, open.client_id);
  auto rules = RulesOf(open);
  if (!rules.ok()) return End(rules.error());
  rules_ = *rules;
  const size_t bytes_max = std::min(kWindowBytesMax, door().options.produce_bytes_max);
  size_t bytes = std::min(kWindowBytes, bytes_max);
  if (open.max_in_flight_bytes > 0)
    bytes = std::min(static_cast<size_t>(open.max_in_flight_bytes), bytes_max);
  int32_t frames = kWindowFrames;
  if (open.max_in_flight_frames > 0) frames = std::min(open.max_in_flight_frames, kWindowFramesMax);
  {
    const MutexLock lock(mutex_);
    window_bytes_ = bytes;
    window_frames_ = frames;
  }
  WireWriter window;
  window.Int(1, static_cast<int64_t>(bytes));
  window.Int(2, frames);
  WireWriter opened;
  opened.Message(1, window);
  opened.Bytes(2, stream_id);
  opened.Int(3, broker_id);
  WireWriter response;
  response.Message(1, opened);
  Send(MakeMessage(response.bytes()));
  SetSignsOfLife(door().options.heartbeat_interval);
}

// --- frames ---

void ProduceStream::OnFrame(std::shared_ptr<ReceivedMessage> message, WireProduceFrame request) {
  if (has_frames_ && request.frame_id <= last_frame_id_) {
    return End(Error(Reason::kInvalidArgument,
                     "frame_id " + std::to_string(request.frame_id) + " comes after " +
                         std::to_string(last_frame_id_) + ": ids have to rise"));
  }
  has_frames_ = true;
  last_frame_id_ = request.frame_id;
  auto frame = std::make_unique<Frame>();
  frame->stream = std::static_pointer_cast<ProduceStream>(shared_from_this());
  frame->id = request.frame_id;
  frame->message_bytes = message->bytes.size();
  frame->gate_bytes = frame->message_bytes + kRecordBytes * request.records.size();
  frame->arrived = SystemClock().Now();
  frame->names_partition = request.partition.has_value();
  const size_t gate_bytes = frame->gate_bytes;
  Parked parked{std::move(message), std::move(request), std::move(frame)};
  {
    // Parked before it is known to be: the grant may come at once, on another thread.
    const MutexLock lock(mutex_);
    parked_ = std::move(parked);
  }
  const auto self = std::static_pointer_cast<ProduceStream>(shared_from_this());
  const bool granted = door().produce_gate.Take(
      gate_bytes, [self] { self->door().queue.Post([self] { self->OnGranted(); }); });
  if (granted) OnGranted();
}

void ProduceStream::OnGranted() {
  Parked parked;
  {
    const MutexLock lock(mutex_);
    parked = std::move(*parked_);
    parked_.reset();
  }
  Handle(std::move(parked));
}

void ProduceStream::Handle(Parked parked) {
  WireProduceFrame& request = parked.request;
  FramePtr frame = std::move(parked.frame);
  {
    const MutexLock lock(mutex_);
    frame->ticket = order_.Admit({.topic = request.topic,
                                  .topic_id = request.topic_id,
                                  .partition = request.partition.value_or(-1)},
                                 request.attempt);
    in_flight_bytes_ += frame->message_bytes;
    ++in_flight_frames_;
    if (!frame->names_partition) alone_in_flight_ = true;
  }
  if (frame->ticket.first_failed == nullptr) {
    door().broker.CountRefused(Reason::kPriorRequestFailed);
    FailFrame(*frame, Error(Reason::kPriorRequestFailed,
                            "an earlier frame for this partition failed: send again from that one "
                            "on, with a higher attempt")
                          .With("outcome", "NOT_APPLIED"));
    return ReadIfRoom();
  }
  auto work = WorkOf(std::move(request), rules_, parked.message,
                     {frame->ticket.first_failed, frame->ticket.number});
  if (work.ok()) {
    Submit(std::move(*work), std::move(frame));
  } else {
    door().broker.CountRefused(work.error().reason);
    FailFrame(*frame, work.error());
  }
  ReadIfRoom();
}

void ProduceStream::Submit(ProduceWork work, FramePtr frame) {
  if (auto* const batch = std::get_if<ProduceBatch>(&work)) {
    return door().broker.Produce(std::move(*batch),
                                 [frame = std::move(frame)](Result<Produced> produced) {
                                   frame->stream->OnProduced(*frame, produced);
                                 });
  }
  door().broker.Produce(std::get<ProduceRecords>(std::move(work)),
                        [frame = std::move(frame)](Result<ProducedRecords> produced) {
                          frame->stream->OnProduced(*frame, produced);
                        });
}

// --- answers ---

void ProduceStream::OnProduced(Frame& frame, const Result<Produced>& produced) {
  if (!produced.ok()) {
    // First of all: frames after this one may be next on this thread.
    frame.ticket.Fail();
    return FailFrame(frame, WithOutcome(produced.error()));
  }
  Settle(frame, MakeMessage(EncodeAck(frame.id, *produced).bytes()), false);
}

void ProduceStream::OnProduced(Frame& frame, const Result<ProducedRecords>& produced) {
  const bool failed = !produced.ok() || produced->error.has_value();
  if (failed) frame.ticket.Fail();
  if (!produced.ok()) return FailFrame(frame, WithOutcome(produced.error()));
  if (failed) {
    const auto status = ToRpcStatus(PartialFailure(*produced), PartialOf(*produced));
    return Settle(frame, MakeMessage(EncodeError(frame.id, status).bytes()), true);
  }
  Settle(frame, MakeMessage(EncodeAck(frame.id, *produced, frame.names_partition).bytes()), false);
}

void ProduceStream::FailFrame(Frame& frame, const Error& error) {
  // Those that were refused because of another one are no failure of their own.
  const bool failed = error.reason != Reason::kPriorRequestFailed;
  Settle(frame, MakeMessage(EncodeError(frame.id, ToRpcStatus(error)).bytes()), failed);
}

void ProduceStream::Settle(Frame& frame, grpc::ByteBuffer answer, bool failed) {
  latency_.Observe(SystemClock().Now() - frame.arrived);
  bool over, too_many;
  {
    const MutexLock lock(mutex_);
    // Queued under the lock: no other thread may get in between with a later answer.
    order_.Settle(frame.ticket, std::move(answer), failed,
                  [&](grpc::ByteBuffer message) { Queue(std::move(message)); });
    in_flight_bytes_ -= frame.message_bytes;
    --in_flight_frames_;
    if (!frame.names_partition) alone_in_flight_ = false;
    over = (read_ended_ || closing_) && IsIdle();
    too_many = order_.failed_count() > kFailedLanesMax;
  }
  Flush();
  door().produce_gate.Give(frame.gate_bytes);
  if (over) return End();
  if (too_many) {
    return End(Error(Reason::kQuotaExceeded,
                     "more than " + std::to_string(kFailedLanesMax) +
                         " partitions of this stream have failed and were not sent again"));
  }
  ReadIfRoom();
}

// --- the end ---

void ProduceStream::OnDrain(Duration close_in) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(close_in).count();
  WireWriter draining;
  draining.Int(1, ms);
  WireWriter response;
  response.Message(6, draining);
  Send(MakeMessage(response.bytes()));
  const auto weak = weak_from_this();
  door().queue.After(close_in, [weak] {
    const auto stream = std::static_pointer_cast<ProduceStream>(weak.lock());
    if (stream != nullptr) stream->CloseWhenIdle();
  });
}

void ProduceStream::CloseWhenIdle() {
  bool idle;
  {
    const MutexLock lock(mutex_);
    closing_ = true;
    idle = IsIdle();
  }
  if (idle) End();
}

void ProduceStream::OnEnded() {
  const MutexLock lock(mutex_);
  read_ended_ = true;
}

}  // namespace

std::shared_ptr<HotStream> MakeProduceStream(std::shared_ptr<Door> door, ProduceService& service,
                                             StreamMetrics& metrics, LatencyHistogram& latency) {
  return std::make_shared<ProduceStream>(std::move(door), service, metrics, latency);
}

}  // namespace gregor
