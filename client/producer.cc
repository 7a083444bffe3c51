#include "client/producer.h"

#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/murmur2.h"
#include "base/random.h"
#include "client/producer_lane.h"
#include "client/wire.h"
#include "gregor/v1/cluster.pb.h"
#include "gregor/v1/produce.pb.h"
#include "gregor/v1/topic.pb.h"

namespace gregor {
namespace {

using producer_internal::Batch;
using producer_internal::ChooseLane;
using producer_internal::IsRetriable;
using producer_internal::Lane;
using producer_internal::OpenMessage;
using producer_internal::SetSequence;
using producer_internal::Topic;

constexpr size_t kInFlightBatchesMax = 5;  // what a broker remembers of an idempotent producer
constexpr Duration kBackoffMin = std::chrono::milliseconds(20);
constexpr Duration kBackoffMax = std::chrono::seconds(1);
constexpr Duration kTick = std::chrono::milliseconds(200);

class StreamProducer final : public Producer {
 public:
  StreamProducer(ProducerOptions options, OnDelivery on_delivery)
      : options_(std::move(options)),
        on_delivery_(std::move(on_delivery)),
        channel_(Channel::Connect(options_.server)),
        random_(Random::FromSystem()) {}

  ~StreamProducer() override {
    if (reader_.joinable()) Flush();
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      if (stream_ != nullptr) stream_->Cancel();
      changed_.notify_all();
    }
    if (sender_.joinable()) sender_.join();
    if (reader_.joinable()) reader_.join();
  }

  Result<void> Start() {
    if (options_.idempotent && options_.acks != ClientAcks::kNone) {
      ASSIGN_OR_RETURN(const auto session,
                       channel_->Call<v1::InitProducerResponse>(
                           "/gregor.v1.ProduceService/InitProducer", v1::InitProducerRequest()));
      session_.producer_id = ProducerId{session.producer_id()};
      session_.producer_epoch = ProducerEpoch{static_cast<int16_t>(session.producer_epoch())};
    }
    session_.codec = options_.compression;
    reader_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "producer-acks");
      RunReader();
    });
    sender_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "producer-send");
      RunSender();
    });
    return {};
  }

  Result<void> Send(const std::string& name, std::optional<PartitionIndex> partition,
                    const NewRecord& record) override {
    std::unique_lock lock(mutex_);
    Topic* topic = last_topic_;
    if (topic == nullptr || topic->name != name) {
      ASSIGN_OR_RETURN(topic, FindTopic(lock, name));
      last_topic_ = topic;
    }
    ASSIGN_OR_RETURN(Lane* const lane, ChooseLane(*topic, partition, record));
    const size_t bound = BatchBuilder::SizeBound(record);
    while (memory_used_ > 0 && memory_used_ + bound > options_.memory_bytes &&
           !fatal_.has_value()) {
      CloseAll();  // lingering would only make everybody wait
      memory_freed_.wait(lock);
    }
    if (fatal_.has_value()) return *fatal_;
    if (lane->filling.record_count() > 0 && lane->filling.size() + bound > options_.batch_bytes)
      Close(*lane);
    if (lane->filling.record_count() == 0) {
      Open(*lane);
      memory_used_ += lane->filling.size();
    }
    const size_t before = lane->filling.size();
    lane->filling.Add(record);
    memory_used_ += lane->filling.size() - before;
    if (lane->filling.size() >= options_.batch_bytes) Close(*lane);
    return {};
  }

  void Flush() override {
    std::unique_lock lock(mutex_);
    CloseAll();
    delivered_.wait(lock, [&] { return batches_ == 0; });
  }

  std::optional<Error> first_error() const override {
    const std::lock_guard lock(mutex_);
    return first_error_;
  }

 private:
  using Lock = std::unique_lock<std::mutex>;
  struct Outcome {
    Lane* lane;
    Batch batch;
    Offset base_offset;
    std::optional<Error> error;
  };

  MonotonicTime Now() const { return SystemClock().Now(); }

  // --- filling ---

  Result<Topic*> FindTopic(Lock& lock, const std::string& name) {
    if (const auto found = topics_.find(name); found != topics_.end()) return found->second.get();
    lock.unlock();
    v1::GetTopicRequest request;
    request.set_topic(name);
    auto response =
        channel_->Call<v1::GetTopicResponse>("/gregor.v1.TopicService/GetTopic", request);
    lock.lock();
    if (!response.ok()) return std::move(response).error();
    auto& topic = topics_[name];
    if (topic != nullptr) return topic.get();
    topic = std::make_unique<Topic>();
    topic->name = name;
    const int32_t count =
        std::max(response->topic().partition_count(), response->topic().partitions_size());
    topic->lanes = std::vector<Lane>(static_cast<size_t>(count));
    for (size_t i = 0; i < topic->lanes.size(); ++i) {
      topic->lanes[i].topic = topic.get();
      topic->lanes[i].partition = PartitionIndex{static_cast<int32_t>(i)};
    }
    topic->sticky = random_.Below(topic->lanes.size());
    return topic.get();
  }

  void Open(Lane& lane) {
    BatchBuilder::Options options = session_;
    if (session_.producer_id != kNoProducerId) options.base_sequence = lane.next_sequence;
    lane.filling = BatchBuilder(options);
    lane.filling_since = Now();
    ++batches_;
    filling_.push_back({&lane, lane.filling_since});
    if (filling_.size() == 1) changed_.notify_all();
  }

  // The batch that is being filled becomes ready.
  void Close(Lane& lane) {
    const int32_t count = lane.filling.record_count();
    if (count == 0) return;
    lane.next_sequence = Advance(lane.next_sequence, count);
    const size_t memory = lane.filling.size();
    lane.ready.push_back({lane.filling.Build(), lane.filling_since, memory, 0});
    auto* const topic = const_cast<Topic*>(lane.topic);
    if (&topic->lanes[topic->sticky] == &lane) topic->sticky = random_.Below(topic->lanes.size());
    Queue(lane);
  }

  void CloseAll() {
    for (const auto& [lane, since] : std::exchange(filling_, {})) Close(*lane);
  }

  void CloseLingering(MonotonicTime now) {
    while (!filling_.empty()) {
      const auto [lane, since] = filling_.front();
      const bool is_open = lane->filling.record_count() > 0 && lane->filling_since == since;
      if (is_open && since + options_.linger > now) return;
      filling_.pop_front();
      if (is_open) Close(*lane);
    }
  }

  void Queue(Lane& lane) {
    if (lane.queued || lane.ready.empty()) return;
    lane.queued = true;
    ready_lanes_.push_back(&lane);
    changed_.notify_all();
  }

  // --- sending ---

  void RunSender() {
    Lock lock(mutex_);
    while (!stopping_) {
      const MonotonicTime now = Now();
      CloseLingering(now);
      Lane* const lane = TakeSendable(now);
      if (lane != nullptr) {
        SendNext(lock, *lane);
        continue;
      }
      Expire(now);
      changed_.wait_for(lock,
                        filling_.empty() ? kTick : std::min<Duration>(kTick, WaitForLinger(now)));
    }
  }

  Duration WaitForLinger(MonotonicTime now) const {
    return std::max<Duration>(Duration(0), filling_.front().since + options_.linger - now);
  }

  // A lane that may send its next batch now, taken out of the queue.
  Lane* TakeSendable(MonotonicTime now) {
    if (stream_ == nullptr || in_flight_bytes_ >= in_flight_bytes_max_ ||
        frames_.size() >= frames_max_)
      return nullptr;
    for (size_t i = ready_lanes_.size(); i > 0; --i) {
      Lane* const lane = ready_lanes_.front();
      ready_lanes_.pop_front();
      const bool idempotent = session_.producer_id != kNoProducerId;
      if (lane->ready.empty() || (idempotent && lane->sent.size() >= kInFlightBatchesMax)) {
        lane->queued = false;  // acknowledgements queue it again
        continue;
      }
      if (lane->not_before <= now) {
        lane->queued = false;
        return lane;
      }
      ready_lanes_.push_back(lane);
    }
    return nullptr;
  }

  void SendNext(Lock& lock, Lane& lane) {
    Batch batch = std::move(lane.ready.front());
    lane.ready.pop_front();
    batch.frame_id = ++last_frame_id_;
    const Bytes message = EncodeProduceFrame(batch.frame_id, lane.topic->name, lane.partition,
                                             lane.attempt, batch.data.bytes);
    in_flight_bytes_ += batch.data.bytes.size();
    frames_[batch.frame_id] = &lane;
    lane.sent.push_back(std::move(batch));
    Queue(lane);
    const std::shared_ptr<RawStream> stream = stream_;
    writing_ = true;
    lock.unlock();
    const bool written = stream->Write(message);
    lock.lock();
    writing_ = false;
    changed_.notify_all();
    // The reader finds out why.
    if (!written && stream_ == stream) stream_ = nullptr;
  }

  // Fails what waited for too long; ends the stream where something sent is not answered.
  void Expire(MonotonicTime now) {
    const MonotonicTime oldest = now - options_.delivery_timeout;
    std::vector<Outcome> outcomes;
    for (const auto& [name, topic] : topics_) {
      for (Lane& lane : topic->lanes) {
        if (!lane.sent.empty() && lane.sent.front().created < oldest && stream_ != nullptr)
          stream_->Cancel();
        while (lane.sent.empty() && !lane.ready.empty() && lane.ready.front().created < oldest) {
          outcomes.push_back(
              {&lane, std::move(lane.ready.front()), Offset{-1},
               Error(Reason::kCommitTimedOut, "not acknowledged within the delivery timeout")
                   .With("outcome", "UNKNOWN")});
          lane.ready.pop_front();
        }
      }
    }
    if (!outcomes.empty() && session_.producer_id != kNoProducerId) {
      // It may or may not be in the log: no later sequence can be right.
      fatal_ = outcomes.front().error;
    }
    Finish(std::move(outcomes));
  }

  // --- the stream ---

  void RunReader() {
    Duration backoff = kBackoffMin;
    while (true) {
      const auto stream = std::shared_ptr<RawStream>(
          channel_->OpenStream("/gregor.v1.ProduceService/ProduceStream"));
      Bytes message;
      if (Handshake(stream)) {
        backoff = kBackoffMin;
        while (stream->Read(&message)) OnMessage(message);
      }
      Lock lock(mutex_);
      stream_ = nullptr;
      changed_.wait(lock, [&] { return !writing_; });
      lock.unlock();
      const auto end = stream->Finish();
      lock.lock();
      Requeue();
      if (!end.ok()) OnBroken(end.error());
      if (stopping_) return;
      changed_.wait_for(lock, backoff, [&] { return stopping_; });
      if (stopping_) return;
      backoff = std::min(kBackoffMax, 2 * backoff);
    }
  }

  // Opens the session; once the broker has answered the sender may write.
  bool Handshake(const std::shared_ptr<RawStream>& stream) {
    Bytes message;
    if (!stream->Write(OpenMessage(options_, session_)) || !stream->Read(&message)) return false;
    OnMessage(message);
    const Lock lock(mutex_);
    if (!stopping_) stream_ = stream;
    changed_.notify_all();
    return !stopping_;
  }

  void OnMessage(const Bytes& message) {
    v1::ProduceStreamResponse response;
    if (!response.ParseFromString(message.ToString())) return;
    const Lock lock(mutex_);
    if (response.has_ack()) OnAck(response.ack().frame_id(), Offset{response.ack().base_offset()});
    if (response.has_error())
      OnError(response.error().frame_id(), ErrorOfStatus(response.error().status()));
    if (response.has_window()) SetWindow(response.window());
    if (response.has_opened()) SetWindow(response.opened().window());
  }

  void SetWindow(const v1::ProduceWindow& window) {
    in_flight_bytes_max_ = options_.in_flight_bytes_max;
    frames_max_ = SIZE_MAX;
    if (window.max_in_flight_bytes() > 0) {
      in_flight_bytes_max_ =
          std::min(in_flight_bytes_max_, static_cast<size_t>(window.max_in_flight_bytes()));
    }
    if (window.max_in_flight_frames() > 0)
      frames_max_ = static_cast<size_t>(window.max_in_flight_frames());
    changed_.notify_all();
  }

  // Everything sent and not answered goes back to the front of its lane, in order.
  void Requeue() {
    for (const auto& [frame_id, lane] : std::exchange(frames_, {})) {
      lane->attempt = 0;
      while (!lane->sent.empty()) {
        lane->ready.push_front(std::move(lane->sent.back()));
        lane->sent.pop_back();
      }
      Queue(*lane);
    }
    in_flight_bytes_ = 0;
  }

  // The stream ended with an error of the server that no repetition heals.
  void OnBroken(const Error& error) {
    if (IsRetriable(error) || stopping_) return;
    fatal_ = error;
    std::vector<Outcome> outcomes;
    CloseAll();
    for (const auto& [name, topic] : topics_) {
      for (Lane& lane : topic->lanes) {
        for (Batch& batch : std::exchange(lane.ready, {})) {
          outcomes.push_back({&lane, std::move(batch), Offset{-1}, error});
        }
      }
    }
    Finish(std::move(outcomes));
  }

  // --- answers ---

  void OnAck(int64_t frame_id, Offset base_offset) {
    const auto frame = frames_.find(frame_id);
    if (frame == frames_.end()) return;
    Lane& lane = *frame->second;
    frames_.erase(frame);
    CHECK(!lane.sent.empty() && lane.sent.front().frame_id == frame_id)
        << "acknowledgements out of order";
    Batch batch = std::move(lane.sent.front());
    lane.sent.pop_front();
    in_flight_bytes_ -= batch.data.bytes.size();
    Queue(lane);
    changed_.notify_all();
    std::vector<Outcome> outcomes;
    outcomes.push_back({&lane, std::move(batch), base_offset, std::nullopt});
    Finish(std::move(outcomes));
  }

  // A batch was refused, and with it all that were sent after it.
  void OnError(int64_t frame_id, Error error) {
    const auto frame = frames_.find(frame_id);
    if (frame == frames_.end()) return;  // sent again already
    Lane& lane = *frame->second;
    while (!lane.sent.empty() && lane.sent.back().frame_id >= frame_id) {
      Batch& batch = lane.sent.back();
      frames_.erase(batch.frame_id);
      in_flight_bytes_ -= batch.data.bytes.size();
      lane.ready.push_front(std::move(batch));
      lane.sent.pop_back();
    }
    ++lane.attempt;
    changed_.notify_all();
    if (IsRetriable(error)) {
      lane.not_before = Now() + std::chrono::milliseconds(100);
      Queue(lane);
      return;
    }
    Batch failed = std::move(lane.ready.front());
    lane.ready.pop_front();
    CloseGap(lane, failed.data.header.base_sequence);
    if (error.reason == Reason::kOutOfOrderSequence ||
        error.reason == Reason::kInvalidProducerEpoch)
      fatal_ = error;
    Queue(lane);
    std::vector<Outcome> outcomes;
    outcomes.push_back({&lane, std::move(failed), Offset{-1}, std::move(error)});
    Finish(std::move(outcomes));
  }

  // A batch with sequences from `sequence` on was not written: those behind it move up.
  void CloseGap(Lane& lane, Sequence sequence) {
    if (session_.producer_id == kNoProducerId) return;
    Close(lane);
    for (Batch& batch : lane.ready) {
      SetSequence(batch.data, sequence);
      sequence = Advance(sequence, batch.data.header.record_count);
    }
    lane.next_sequence = sequence;
  }

  // Reports outcomes. Runs under the lock, which deliveries must not need: see the contract of
  // OnDelivery.
  void Finish(std::vector<Outcome> outcomes) {
    for (Outcome& outcome : outcomes) {
      const RecordBatch& data = outcome.batch.data;
      const size_t bytes = data.bytes.size();
      if (outcome.error.has_value() && !first_error_.has_value()) first_error_ = outcome.error;
      if (on_delivery_) {
        on_delivery_({.topic = outcome.lane->topic->name,
                      .partition = outcome.lane->partition,
                      .record_count = data.header.record_count,
                      .bytes = bytes,
                      .base_offset = outcome.base_offset,
                      .first_sent_by_caller = outcome.batch.created,
                      .error = outcome.error.has_value() ? &*outcome.error : nullptr});
      }
      --batches_;
      memory_used_ -= outcome.batch.memory;
    }
    if (batches_ == 0) delivered_.notify_all();
    if (!outcomes.empty()) memory_freed_.notify_all();
  }

  struct Filling {
    Lane* lane;
    MonotonicTime since;
  };

  const ProducerOptions options_;
  const OnDelivery on_delivery_;
  const std::shared_ptr<Channel> channel_;
  BatchBuilder::Options session_;  // set before the threads start
  std::thread sender_;
  std::thread reader_;

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::condition_variable memory_freed_;
  std::condition_variable delivered_;
  Random random_;
  std::unordered_map<std::string, std::unique_ptr<Topic>> topics_;
  Topic* last_topic_ = nullptr;
  std::deque<Filling>
      filling_;  // lanes with a batch that is being filled, oldest first; stale entries are skipped
  std::deque<Lane*> ready_lanes_;
  std::map<int64_t, Lane*> frames_;    // sent and not answered
  std::shared_ptr<RawStream> stream_;  // null while there is none to write to
  bool writing_ = false;
  bool stopping_ = false;
  int64_t last_frame_id_ = 0;
  size_t in_flight_bytes_ = 0;
  size_t in_flight_bytes_max_ = 0;
  size_t frames_max_ = SIZE_MAX;
  size_t memory_used_ = 0;
  size_t batches_ = 0;  // not delivered yet
  std::optional<Error> first_error_;
  std::optional<Error> fatal_;  // no record can be taken any more
};

}  // namespace

Result<std::unique_ptr<Producer>> Producer::Create(ProducerOptions options,
                                                   OnDelivery on_delivery) {
  auto producer = std::make_unique<StreamProducer>(std::move(options), std::move(on_delivery));
  RETURN_IF_ERROR(producer->Start());
  return std::unique_ptr<Producer>(std::move(producer));
}

}  // namespace gregor
