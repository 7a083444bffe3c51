#include "client/consumer.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "client/wire.h"
#include "gregor/v1/fetch.pb.h"

namespace gregor {
namespace {

struct Assignment {
  std::string topic;
  PartitionIndex partition;
  StartPosition start;
  std::optional<Offset> next;  // where to go on, once something came
};

void FillPosition(const Assignment& assignment, v1::Position& position) {
  if (assignment.next.has_value()) return position.set_offset(assignment.next->value);
  switch (assignment.start.kind) {
    case StartPosition::Kind::kEarliest:
      return position.set_anchor(v1::Position::ANCHOR_EARLIEST);
    case StartPosition::Kind::kLatest:
      return position.set_anchor(v1::Position::ANCHOR_LATEST);
    case StartPosition::Kind::kOffset:
      return position.set_offset(assignment.start.value);
    case StartPosition::Kind::kTail:
      return position.set_tail(assignment.start.value);
    case StartPosition::Kind::kTimestamp:
      return position.set_timestamp_ms(assignment.start.value);
  }
}

Result<std::vector<RecordBatch>> SplitBatches(const Bytes& bytes) {
  std::vector<RecordBatch> batches;
  for (size_t at = 0; at < bytes.size();) {
    const Bytes rest = bytes.Sub(at, bytes.size() - at);
    ASSIGN_OR_RETURN(const BatchHeader header, PeekHeader(rest, rest.size()));
    ASSIGN_OR_RETURN(RecordBatch batch, CheckBatch(bytes.Sub(at, header.size())));
    at += header.size();
    batches.push_back(std::move(batch));
  }
  return batches;
}

// One thread ("consumer") holds the stream and fills a queue; the credit bounds what is in it.
class StreamConsumer final : public Consumer {
 public:
  explicit StreamConsumer(ConsumerOptions options)
      : options_(std::move(options)),
        channel_(Channel::Connect(options_.server, options_.batch_bytes_max + (1u << 20))) {
    reader_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "consumer");
      Run();
    });
  }

  ~StreamConsumer() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      if (stream_ != nullptr) stream_->Cancel();
      changed_.notify_all();
    }
    reader_.join();
  }

  void Assign(const std::string& topic, PartitionIndex partition, StartPosition start) override {
    const std::lock_guard lock(mutex_);
    Drop(topic, partition);
    const int32_t slot = ++last_slot_;
    slots_[slot] = {topic, partition, start, std::nullopt};
    if (stream_ != nullptr) Write(AddRequest(slot));
    changed_.notify_all();
  }

  void Unassign(const std::string& topic, PartitionIndex partition) override {
    const std::lock_guard lock(mutex_);
    Drop(topic, partition);
  }

  Result<std::optional<Consumed>> Poll(Duration timeout) override {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, timeout, [&] { return !queue_.empty() || failure_.has_value(); });
    if (queue_.empty()) {
      if (failure_.has_value()) return *std::exchange(failure_, std::nullopt);
      return std::optional<Consumed>();
    }
    Item item = std::move(queue_.front());
    queue_.pop_front();
    if (stream_ != nullptr && item.charged > 0) {
      v1::FetchStreamRequest request;
      request.set_credit_bytes(item.charged);
      Write(request);
    }
    lock.unlock();
    if (item.error.has_value()) return std::move(*item.error);
    ASSIGN_OR_RETURN(item.consumed.batches, SplitBatches(item.payload));
    return std::optional(std::move(item.consumed));
  }

 private:
  struct Item {
    int32_t slot = 0;
    Consumed consumed;
    Bytes payload;
    int64_t charged = 0;
    std::optional<Error> error;
  };

  void Drop(const std::string& topic, PartitionIndex partition) {
    const auto found = std::find_if(slots_.begin(), slots_.end(), [&](const auto& slot) {
      return slot.second.topic == topic && slot.second.partition == partition;
    });
    if (found == slots_.end()) return;
    const int32_t slot = found->first;
    slots_.erase(found);
    int64_t charged = 0;
    std::erase_if(queue_, [&](const Item& item) {
      if (item.slot == slot) charged += item.charged;
      return item.slot == slot;
    });
    if (stream_ == nullptr) return;
    v1::FetchStreamRequest request;
    request.mutable_remove()->set_slot(slot);
    Write(request);
    if (charged == 0) return;
    request.set_credit_bytes(charged);
    Write(request);
  }

  v1::FetchStreamRequest AddRequest(int32_t slot) const {
    const Assignment& assignment = slots_.at(slot);
    v1::FetchStreamRequest request;
    v1::FetchAdd& add = *request.mutable_add();
    add.set_slot(slot);
    add.mutable_partition()->set_topic(assignment.topic);
    add.mutable_partition()->set_partition(assignment.partition.value);
    FillPosition(assignment, *add.mutable_position());
    return request;
  }

  // Requests are small and few: they never fill the peer's window, so this does not block.
  bool Write(const v1::FetchStreamRequest& request) {
    return stream_->Write(Slice::Own(request.SerializeAsString()));
  }

  void Run() {
    Duration backoff = std::chrono::milliseconds(20);
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      changed_.wait(lock, [&] { return stopping_ || !slots_.empty(); });
      if (stopping_) return;
      lock.unlock();
      const auto stream = channel_->OpenStream("/gregor.v1.FetchService/FetchStream");
      lock.lock();
      stream_ = stream.get();
      bool came = false;
      if (Open()) {
        lock.unlock();
        Bytes message;
        while (stream->Read(&message)) {
          came = true;
          OnMessage(message);
        }
        lock.lock();
      }
      stream_ = nullptr;
      const auto end = stream->Finish();
      if (stopping_) return;
      if (!end.ok() && SpecOf(end.error().reason).retry == RetryAdvice::kNever) {
        failure_ = end.error();
        slots_.clear();
        changed_.notify_all();
      }
      backoff = came ? std::chrono::milliseconds(20)
                     : std::min<Duration>(2 * backoff, std::chrono::seconds(1));
      changed_.wait_for(lock, backoff, [&] { return stopping_; });
    }
  }

  bool Open() {
    v1::FetchStreamRequest request;
    v1::FetchOpen& open = *request.mutable_open();
    open.set_format(v1::RECORD_FORMAT_BATCHES);
    open.set_max_batch_bytes(static_cast<int32_t>(options_.batch_bytes_max));
    open.set_min_bytes(1);
    open.set_max_wait_ms(static_cast<int32_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(options_.wait_max).count()));
    bool fine = Write(request);
    int64_t queued = 0;
    for (const Item& item : queue_) queued += item.charged;
    request.set_credit_bytes(
        std::max<int64_t>(1, static_cast<int64_t>(options_.credit_bytes) - queued));
    fine = fine && Write(request);
    for (const auto& [slot, assignment] : slots_) fine = fine && Write(AddRequest(slot));
    // What is in the queue still comes with credit of the last stream: it was taken off above.
    return fine;
  }

  void OnMessage(const Bytes& message) {
    FetchDataParts parts;
    v1::FetchStreamResponse response;
    v1::FetchData data;
    const bool is_data = SplitFetchData(message, &parts);
    const bool parsed =
        is_data ? data.ParseFromString(parts.head) : response.ParseFromString(message.ToString());
    if (!parsed) return;
    const std::lock_guard lock(mutex_);
    if (is_data) return OnData(data, std::move(parts.payload));
    if (response.has_event()) OnEvent(response.event());
  }

  void OnData(const v1::FetchData& data, Bytes payload) {
    const auto slot = slots_.find(data.slot());
    if (slot == slots_.end()) return;
    Assignment& assignment = slot->second;
    Item item;
    item.slot = data.slot();
    item.consumed.topic = assignment.topic;
    item.consumed.partition = assignment.partition;
    // Unknown before the first answer where the start is no offset: its batches begin at or after
    // it.
    item.consumed.from = assignment.next.value_or(
        Offset{assignment.start.kind == StartPosition::Kind::kOffset ? assignment.start.value : 0});
    item.consumed.next_offset = Offset{data.next_offset()};
    item.consumed.high_watermark = Offset{data.high_watermark()};
    item.consumed.caught_up = data.next_offset() >= data.high_watermark();
    item.payload = std::move(payload);
    item.charged = data.charged_bytes();
    assignment.next = item.consumed.next_offset;
    queue_.push_back(std::move(item));
    changed_.notify_all();
  }

  void OnEvent(const v1::FetchEvent& event) {
    const auto slot = slots_.find(event.slot());
    if (slot == slots_.end()) return;
    Item item;
    item.slot = event.slot();
    item.consumed.topic = slot->second.topic;
    item.consumed.partition = slot->second.partition;
    if (event.has_error()) {
      item.error = ErrorOfStatus(event.error());
      item.error->With("topic", slot->second.topic)
          .With("partition", std::to_string(slot->second.partition.value));
      slots_.erase(slot);
    } else if (event.event_case() == v1::FetchEvent::kCaughtUpAt) {
      item.consumed.from = item.consumed.next_offset = item.consumed.high_watermark =
          Offset{event.caught_up_at()};
      item.consumed.caught_up = true;
      slot->second.next = item.consumed.next_offset;
    } else {
      return;
    }
    queue_.push_back(std::move(item));
    changed_.notify_all();
  }

  const ConsumerOptions options_;
  const std::shared_ptr<Channel> channel_;
  std::thread reader_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int32_t, Assignment> slots_;
  int32_t last_slot_ = 0;
  std::deque<Item> queue_;
  RawStream* stream_ = nullptr;
  std::optional<Error> failure_;
  bool stopping_ = false;
};

}  // namespace

std::unique_ptr<Consumer> Consumer::Create(ConsumerOptions options) {
  return std::make_unique<StreamConsumer>(std::move(options));
}

}  // namespace gregor
