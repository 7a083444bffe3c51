#include "client/producer.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <utility>

#include "base/random.h"
#include "base/thread_annotations.h"
#include "client/accumulator.h"
#include "client/admin.h"
#include "client/io_loop.h"
#include "client/producer_core.h"
#include "gregor/v1/produce.pb.h"

namespace gregor {
namespace {

constexpr char kProduceStream[] = "/gregor.v1.ProduceService/ProduceStream";
constexpr char kInitProducer[] = "/gregor.v1.ProduceService/InitProducer";
constexpr Duration kCallTimeout = std::chrono::seconds(10);
constexpr Duration kBackoffMin = std::chrono::milliseconds(20);
constexpr Duration kBackoffMax = std::chrono::seconds(1);
constexpr Duration kExpiryTick = std::chrono::milliseconds(250);
// The loop counts in milliseconds, and wakes after what it was told, never before. So a batch that
// has lingered for so much less may go: on average they go in time.
constexpr Duration kEarly = std::chrono::microseconds(500);

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

ProducerCore::Session SessionOf(const v1::InitProducerResponse& response) {
  return {ProducerId{response.producer_id()},
          ProducerEpoch{static_cast<int16_t>(response.producer_epoch())}};
}

// Callers' threads fill the accumulator; the rest belongs to the loop's thread ("producer"): the
// core decides, the stream carries.
class StreamProducer final : public Producer, private IoStream::Events {
 public:
  StreamProducer(ProducerOptions options, std::shared_ptr<Channel> channel,
                 ProducerCore::Session session, OnDelivery on_delivery)
      : options_(std::move(options)),
        on_delivery_(std::move(on_delivery)),
        channel_(std::move(channel)),
        core_({.idempotent = session.id != kNoProducerId,
               .retry_unknown = options_.retry_unknown,
               .delivery_timeout = options_.delivery_timeout,
               .in_flight_bytes_max = options_.in_flight_bytes_max},
              session),
        accumulator_({.batch_bytes = options_.batch_bytes,
                      .memory_bytes = options_.memory_bytes,
                      .linger = options_.linger,
                      .codec = options_.compression},
                     SystemClock(), Random::FromSystem(), [this] { loop_->Wake(); }) {
    loop_ = IoLoop::Start("producer", [this](IoLoop& loop) { return Turn(loop); });
  }

  ~StreamProducer() override {
    accumulator_.Flush();
    stopping_ = true;
    loop_.reset();
  }

  Result<void> Send(const std::string& topic, std::optional<PartitionIndex> partition,
                    const NewRecord& record) override {
    while (true) {
      ASSIGN_OR_RETURN(const auto added, accumulator_.Add(topic, partition, record));
      if (added == Accumulator::Added::kYes) return {};
      RETURN_IF_ERROR(LearnTopic(topic));
    }
  }

  void Flush() override { accumulator_.Flush(); }

  std::optional<Error> first_error() const override {
    const MutexLock lock(mutex_);
    return first_error_;
  }
  std::optional<Error> trouble() const override {
    const MutexLock lock(mutex_);
    return trouble_;
  }

 private:
  enum class State : uint8_t {
    kClosed,      // no stream; it is opened at reopen_at_
    kOpening,     // waits for the broker's `opened`
    kOpen,        // carries frames
    kEnding,      // carries answers only
    kNewSession,  // no stream; a producer id was asked for
  };

  // --- callers ---

  // Asks for a topic's partitions and limit. What is known already stays good enough while the
  // server cannot answer.
  Result<void> LearnTopic(const std::string& name) {
    const MonotonicTime start = SystemClock().Now();
    Duration backoff = kBackoffMin;
    while (true) {
      auto info = AskForTopic(name);
      if (info.ok()) {
        accumulator_.SetTopic(name, *info);
        return {};
      }
      if (SpecOf(info.error().reason).retry != RetryAdvice::kBackoff)
        return std::move(info).error();
      if (accumulator_.KnowsTopic(name)) return {};
      if (SystemClock().Now() - start > options_.delivery_timeout) return std::move(info).error();
      std::unique_lock<std::mutex> lock(mutex_.native());
      never_.wait_for(lock, backoff);
      backoff = std::min(kBackoffMax, 2 * backoff);
    }
  }

  Result<Accumulator::TopicInfo> AskForTopic(const std::string& name) {
    const Admin admin(channel_);
    Accumulator::TopicInfo info;
    ASSIGN_OR_RETURN(info.partition_count, admin.PartitionCount(name));
    if (info.partition_count <= 0)
      return Error(Reason::kUnspecified, "the server gives topic \"" + name + "\" no partitions");
    info.batch_bytes_max = ProduceRules().batch_bytes_max;
    const auto limit = admin.TopicConfig(name, "max.message.bytes");
    if (!limit.ok()) {
      if (IsRetriable(limit.error())) return limit.error();
      return info;  // the server decides
    }
    size_t bytes = 0;
    std::from_chars(limit->data(), limit->data() + limit->size(), bytes);
    if (bytes > 0) info.batch_bytes_max = bytes;
    return info;
  }

  // --- the loop ---

  std::optional<MonotonicTime> Turn(IoLoop& loop) {
    if (stopping_) return std::nullopt;
    MonotonicTime now = SystemClock().Now();
    if (now >= next_expiry_) Expire(now);
    if (core_.NeedsSession()) BeginSession(loop, now);
    if (MayOpen() && now >= reopen_at_) OpenStream(loop);
    while (state_ == State::kOpen && !writing_ && SendNext(now)) {
    }
    Report();
    return NextTurn(now);
  }

  MonotonicTime NextTurn(MonotonicTime now) {
    const bool sending = state_ == State::kOpen && !writing_ && core_.HasRoom();
    MonotonicTime next = accumulator_.Sleep(sending, !core_.InFlight());
    if (next != MonotonicTime::min()) next -= kEarly;
    if (sending) next = std::min(next, core_.RetryTime());
    if (MayOpen()) next = std::min(next, reopen_at_);
    if (core_.fatal().has_value()) return next;
    if (state_ != State::kOpen || core_.HasBatches()) next = std::min(next, next_expiry_);
    return next;
  }

  bool MayOpen() const { return state_ == State::kClosed && !core_.fatal().has_value(); }

  // Writes the next frame; false: there is none.
  bool SendNext(MonotonicTime now) {
    auto frame = core_.NextFrame(now);
    if (!frame.has_value() && core_.HasRoom()) {
      accumulator_.Unblock(core_.TakeUnblocked());
      auto batch = accumulator_.Take(
          now + kEarly, !core_.InFlight(),
          [this](const ProducerPartition& partition) { return core_.CanTake(partition); });
      if (!batch.has_value()) return false;
      core_.Add(*std::move(batch));
      frame = core_.NextFrame(now);
    }
    if (!frame.has_value()) return false;
    writing_ = true;
    stream_->Write(*frame);
    return true;
  }

  void OpenStream(IoLoop& loop) {
    v1::ProduceStreamRequest request;
    v1::ProduceOpen& open = *request.mutable_open();
    open.set_acks(ToProto(options_.acks));
    if (options_.acks == ClientAcks::kCount) open.set_acks_count(options_.acks_count);
    open.set_client_id(options_.client_id);
    const ProducerCore::Session& session = core_.session();
    if (session.id != kNoProducerId) {
      open.mutable_producer()->set_producer_id(session.id.value);
      open.mutable_producer()->set_producer_epoch(session.epoch.value);
    }
    open.set_max_in_flight_bytes(static_cast<int64_t>(options_.in_flight_bytes_max));
    state_ = State::kOpening;
    stream_ = &loop.Open(*channel_, kProduceStream, *this);
    writing_ = true;
    stream_->Write(Slice::Own(request.SerializeAsString()));
  }

  void OnWritten() override {
    writing_ = false;
    if (state_ == State::kEnding) stream_->WritesDone();
  }

  void OnMessage(Bytes message) override {
    v1::ProduceStreamResponse response;
    const Slice flat = message.Flatten();
    if (!response.ParseFromArray(flat.data(), static_cast<int>(flat.size())))
      return Break(Error(Reason::kUnspecified, "the server's answer cannot be parsed"));
    switch (response.message_case()) {
      case v1::ProduceStreamResponse::kAck: {
        const auto taken =
            core_.OnAck(response.ack().frame_id(), Offset{response.ack().base_offset()});
        if (!taken.ok()) Break(taken.error());
        return;
      }
      case v1::ProduceStreamResponse::kError:
        core_.OnError(response.error().frame_id(), ErrorOfStatus(response.error().status()),
                      SystemClock().Now());
        if (core_.fatal().has_value()) Stop(*core_.fatal());
        return;
      case v1::ProduceStreamResponse::kOpened:
        if (state_ == State::kOpening) state_ = State::kOpen;
        backoff_ = kBackoffMin;
        core_.OnOpened();
        return SetWindow(response.opened().window());
      case v1::ProduceStreamResponse::kWindow:
        return SetWindow(response.window());
      case v1::ProduceStreamResponse::kDraining:
        return End();
      default:
        return;  // informational
    }
  }

  void SetWindow(const v1::ProduceWindow& window) {
    core_.OnWindow(window.max_in_flight_bytes(), window.max_in_flight_frames());
  }

  // No more frames on this stream; it ends once those on it are answered.
  void End() {
    if (state_ != State::kOpen) return;
    state_ = State::kEnding;
    if (!writing_) stream_->WritesDone();
  }

  void Break(const Error& error) {
    broken_ = error;
    state_ = State::kEnding;
    stream_->Cancel();
  }

  void OnClosed(Result<void> end) override {
    stream_ = nullptr;
    writing_ = false;
    state_ = State::kClosed;
    const MonotonicTime now = SystemClock().Now();
    if (broken_.has_value()) end = *std::exchange(broken_, std::nullopt);
    if (std::exchange(on_purpose_, false)) end = Result<void>();
    core_.OnBroken(end.ok() ? nullptr : &end.error());
    reopen_at_ = now + backoff_;
    next_expiry_ = now;  // what was stuck on the stream can be given up now
    backoff_ = std::min(kBackoffMax, 2 * backoff_);
    if (end.ok() || IsRetriable(end.error()) || end.error().reason == Reason::kBatchTooLarge ||
        end.error().reason == Reason::kInvalidProducerEpoch)
      return;
    Stop(end.error());
  }

  // A new producer id, once nothing of the old one is open.
  void BeginSession(IoLoop& loop, MonotonicTime now) {
    if (state_ == State::kOpen || state_ == State::kOpening) {
      state_ = State::kEnding;
      on_purpose_ = true;
      stream_->Cancel();
    }
    if (state_ != State::kClosed || now < reopen_at_) return;
    state_ = State::kNewSession;
    const Bytes request = Slice::Own(v1::InitProducerRequest().SerializeAsString());
    loop.Call(*channel_, kInitProducer, request, kCallTimeout, [this](Result<Bytes> answer) {
      state_ = State::kClosed;
      reopen_at_ = SystemClock().Now() + backoff_;
      backoff_ = std::min(kBackoffMax, 2 * backoff_);
      v1::InitProducerResponse response;
      if (answer.ok() && response.ParseFromString(answer->ToString()))
        return core_.BeginSession(SessionOf(response));
      if (!answer.ok() && !IsRetriable(answer.error())) Stop(answer.error());
    });
  }

  // --- ends of batches ---

  void Expire(MonotonicTime now) {
    next_expiry_ = now + kExpiryTick;
    if (core_.Expire(now) && stream_ != nullptr && !broken_.has_value())
      Break(Error(Reason::kCommitTimedOut, "the server did not answer in time")
                .With("outcome", "UNKNOWN"));
    for (FilledBatch& batch : accumulator_.TakeOlderThan(now - options_.delivery_timeout)) {
      std::string why = "not sent within the delivery timeout";
      if (core_.trouble().has_value()) why += ": " + core_.trouble()->message;
      core_.Fail(std::move(batch),
                 Error(Reason::kCommitTimedOut, why).With("outcome", "NOT_APPLIED"));
    }
  }

  // The producer as a whole is refused.
  void Stop(const Error& error) {
    core_.FailAll(error);
    for (FilledBatch& batch : accumulator_.Stop(error)) core_.Fail(std::move(batch), error);
    if (stream_ != nullptr) stream_->Cancel();
    state_ = State::kEnding;
  }

  void Report() {
    accumulator_.Unblock(core_.TakeUnblocked());
    for (const std::string& topic : core_.TakeOutdatedTopics()) accumulator_.ForgetTopic(topic);
    {
      const MutexLock lock(mutex_);
      if (trouble_.has_value() || core_.trouble().has_value()) trouble_ = core_.trouble();
    }
    for (const ProducerOutcome& outcome : core_.TakeOutcomes()) {
      const Error* const error = outcome.error.has_value() ? &*outcome.error : nullptr;
      if (error != nullptr) {
        const MutexLock lock(mutex_);
        if (!first_error_.has_value()) first_error_ = *error;
      }
      if (on_delivery_) {
        on_delivery_({.topic = outcome.partition->topic,
                      .partition = outcome.partition->index,
                      .record_count = outcome.record_count,
                      .bytes = outcome.bytes,
                      .base_offset = outcome.base_offset,
                      .first_record = outcome.since,
                      .first_number = outcome.first_number,
                      .last_number = outcome.last_number,
                      .error = error});
      }
      if (outcome.releases) accumulator_.Release(outcome.memory_bytes, outcome.generation);
    }
  }

  const ProducerOptions options_;
  const OnDelivery on_delivery_;
  const std::shared_ptr<Channel> channel_;

  // Of the loop's thread.
  ProducerCore core_;
  State state_ = State::kClosed;
  IoStream* stream_ = nullptr;
  bool writing_ = false;
  std::optional<Error> broken_;  // why we broke the stream
  bool on_purpose_ = false;      // we ended it without a reason to complain
  MonotonicTime reopen_at_ = MonotonicTime::min();
  Duration backoff_ = kBackoffMin;
  MonotonicTime next_expiry_ = MonotonicTime::min();

  Accumulator accumulator_;
  std::atomic<bool> stopping_{false};
  mutable Mutex mutex_;
  std::condition_variable never_;
  std::optional<Error> first_error_ TS_GUARDED_BY(mutex_);
  std::optional<Error> trouble_ TS_GUARDED_BY(mutex_);
  std::unique_ptr<IoLoop> loop_;  // last: its thread uses all of the above
};

}  // namespace

Result<std::unique_ptr<Producer>> Producer::Create(ProducerOptions options,
                                                   OnDelivery on_delivery) {
  if (options.acks == ClientAcks::kNone) options.idempotent = false;
  auto channel = Channel::Connect(options.server, {.own_connection = true});
  ProducerCore::Session session;
  if (options.idempotent) {
    ASSIGN_OR_RETURN(const auto response,
                     channel->Call<v1::InitProducerResponse>(
                         kInitProducer, v1::InitProducerRequest(), kCallTimeout));
    session = SessionOf(response);
  } else {
    RETURN_IF_ERROR(Admin(channel).Ping());
  }
  return std::unique_ptr<Producer>(std::make_unique<StreamProducer>(
      std::move(options), std::move(channel), session, std::move(on_delivery)));
}

}  // namespace gregor
