#include "client/produce_link.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "client/timing.h"

namespace gregor {
namespace {

constexpr char kProduceStream[] = "/gregor.v1.ProduceService/ProduceStream";

v1::Acks ToProto(ClientAcks acks) {
  switch (acks) {
    case ClientAcks::kAll:
      return v1::ACKS_ALL;
    case ClientAcks::kCount:
      return v1::ACKS_COUNT;
    case ClientAcks::kLeader:
      return v1::ACKS_LEADER;
    case ClientAcks::kNone:
      return v1::ACKS_NONE;
  }
  return v1::ACKS_ALL;
}

}  // namespace

v1::ProduceOpen OpenProduce(const ProducerOptions& options, const ProducerCore::Session& session) {
  v1::ProduceOpen open;
  open.set_acks(ToProto(options.acks));
  if (options.acks == ClientAcks::kCount) open.set_acks_count(options.acks_count);
  open.set_client_id(options.client_id);
  // A broker that does not lead says who does.
  open.set_routing(v1::ROUTING_DIRECT);
  if (session.id != kNoProducerId) {
    open.mutable_producer()->set_producer_id(session.id.value);
    open.mutable_producer()->set_producer_epoch(session.epoch.value);
  }
  open.set_max_in_flight_bytes(static_cast<int64_t>(options.in_flight_bytes_max));
  return open;
}

void ProduceLink::WakeUp() {
  if (IsResting()) open_at_ = MonotonicTime::min();
}

void ProduceLink::Open(IoLoop& loop, std::shared_ptr<Channel> channel, v1::ProduceOpen open) {
  CHECK(IsClosed());
  v1::ProduceStreamRequest request;
  *request.mutable_open() = std::move(open);
  channel_ = std::move(channel);
  state_ = State::kOpening;
  heard_at_ = SystemClock().Now();
  stream_ = &loop.Open(*channel_, kProduceStream, *this);
  writing_ = true;
  stream_->Write(Slice::Own(request.SerializeAsString()));
}

void ProduceLink::Write(const Bytes& frame) {
  writing_ = true;
  stream_->Write(frame);
}

void ProduceLink::Block(const ProducerPartition& partition) {
  if (is_blocked_.insert(&partition).second) blocked_.push_back(&partition);
}

const ProducerPartition* ProduceLink::Unblock() {
  if (blocked_.empty()) return nullptr;
  const ProducerPartition* const partition = blocked_.front();
  blocked_.pop_front();
  is_blocked_.erase(partition);
  return partition;
}

void ProduceLink::Break(const Error& error) {
  if (stream_ == nullptr || broken_.has_value()) return;
  broken_ = error;
  state_ = State::kEnding;
  stream_->Cancel();
}

void ProduceLink::CloseOnPurpose() {
  if (stream_ == nullptr || std::exchange(on_purpose_, true)) return;
  state_ = State::kEnding;
  stream_->Cancel();
}

void ProduceLink::OnWritten() {
  writing_ = false;
  if (state_ == State::kEnding) stream_->WritesDone();
}

void ProduceLink::OnMessage(Bytes message) {
  v1::ProduceStreamResponse response;
  const Slice flat = message.Flatten();
  if (!response.ParseFromArray(flat.data(), static_cast<int>(flat.size())))
    return Break(Error(Reason::kUnspecified, "the server's answer cannot be parsed"));
  heard_at_ = SystemClock().Now();
  if (response.has_opened()) {
    if (state_ == State::kOpening) state_ = State::kOpen;
    backoff_ = Duration(0);
  }
  if (!response.has_draining()) return host_.OnAnswer(*this, response);
  // No more frames on this stream; it ends once those on it are answered.
  if (state_ != State::kOpen) return;
  state_ = State::kEnding;
  if (!writing_) stream_->WritesDone();
}

void ProduceLink::OnClosed(Result<void> end) {
  stream_ = nullptr;
  writing_ = false;
  state_ = State::kClosed;
  if (broken_.has_value()) end = *std::exchange(broken_, std::nullopt);
  if (std::exchange(on_purpose_, false)) end = Result<void>();
  backoff_ = std::clamp(2 * backoff_, kBackoffMin, kBackoffMax);
  open_at_ = SystemClock().Now() + backoff_;
  host_.OnClosed(*this, end.ok() ? nullptr : &end.error());
}

}  // namespace gregor
