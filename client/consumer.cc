#include "client/consumer.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "base/thread_annotations.h"
#include "client/admin.h"
#include "client/io_loop.h"
#include "client/wire.h"
#include "gregor/v1/fetch.pb.h"

namespace gregor {
namespace {

constexpr char kFetchStream[] = "/gregor.v1.FetchService/FetchStream";
constexpr char kListOffsets[] = "/gregor.v1.FetchService/ListOffsets";
constexpr Duration kCallTimeout = std::chrono::seconds(10);
constexpr Duration kBackoffMin = std::chrono::milliseconds(20);
constexpr Duration kBackoffMax = std::chrono::seconds(1);
constexpr Duration kSlotBackoff = std::chrono::milliseconds(200);
constexpr size_t kMessageOverhead = 64u << 10;
constexpr size_t kQueriesMax = 5000;

v1::Position ToProto(const StartPosition& start) {
  v1::Position position;
  switch (start.kind) {
    case StartPosition::Kind::kEarliest:
      return AtAnchor(v1::Position::ANCHOR_EARLIEST);
    case StartPosition::Kind::kLatest:
      return AtAnchor(v1::Position::ANCHOR_LATEST);
    case StartPosition::Kind::kOffset:
      position.set_offset(start.value);
      break;
    case StartPosition::Kind::kTail:
      position.set_tail(start.value);
      break;
    case StartPosition::Kind::kTimestamp:
      position.set_timestamp_ms(start.value);
      break;
  }
  return position;
}

// One partition on the stream. Slots are never used again, so that what still comes of an old one
// is known to be old.
struct Slot {
  std::string topic;
  PartitionIndex partition;
  StartPosition start;
  std::optional<Offset> next;  // where to go on, once that is known
};

struct Item {
  int32_t slot = 0;
  Consumed consumed;
  int64_t charged_bytes = 0;
  std::optional<Error> error;
};

// The owner's thread says what to read and takes what came, under the lock. The loop's thread
// ("consumer") holds the stream. The credit bounds what is in the queue between them.
class StreamConsumer final : public Consumer, private IoStream::Events {
 public:
  explicit StreamConsumer(ConsumerOptions options)
      : options_(std::move(options)),
        channel_(options_.channel != nullptr
                     ? options_.channel
                     : Channel::Connect(
                           options_.server,
                           {.message_bytes_max = options_.message_bytes_max + kMessageOverhead,
                            .own_connection = true})),
        message_bytes_(std::min(options_.message_bytes, options_.message_bytes_max)) {
    loop_ = IoLoop::Start("consumer", [this](IoLoop& loop) { return Turn(loop); });
  }
  ~StreamConsumer() override {
    stopping_ = true;
    loop_.reset();
  }

  void Assign(const std::string& topic, PartitionIndex partition, StartPosition start) override {
    {
      const MutexLock lock(mutex_);
      Drop({topic, partition});
      Slot slot{topic, partition, start, std::nullopt};
      // Others are looked up first, so that a broken connection does not move them.
      if (start.kind == StartPosition::Kind::kOffset) slot.next = Offset{start.value};
      AddSlot(std::move(slot));
    }
    loop_->Wake();
  }

  void Unassign(const std::string& topic, PartitionIndex partition) override {
    {
      const MutexLock lock(mutex_);
      Drop({topic, partition});
    }
    loop_->Wake();
  }

  Result<std::optional<Consumed>> Poll(Duration timeout) override {
    Item item;
    bool wake = false;
    {
      const MutexLock lock(mutex_);
      if (queue_.empty() && timeout > Duration(0)) Wait(timeout);
      if (queue_.empty()) return std::optional<Consumed>();
      item = std::move(queue_.front());
      queue_.pop_front();
      credit_due_ += item.charged_bytes;
      wake = IsCreditDue();
    }
    if (wake) loop_->Wake();
    if (item.error.has_value()) return *std::move(item.error);
    return std::optional(std::move(item.consumed));
  }

  std::optional<Error> trouble() const override {
    const MutexLock lock(mutex_);
    return trouble_;
  }

 private:
  using Key = std::pair<std::string, PartitionIndex>;

  // --- under the lock ---

  void Wait(Duration timeout) TS_REQUIRES(mutex_) {
    std::unique_lock<std::mutex> lock(mutex_.native(), std::adopt_lock);
    arrived_.wait_for(lock, timeout, [this]() TS_NO_ANALYSIS { return !queue_.empty(); });
    lock.release();
  }

  // Returned in few messages: the stream runs dry only when all of the credit is used up.
  bool IsCreditDue() const TS_REQUIRES(mutex_) {
    return credit_due_ * 4 >= static_cast<int64_t>(options_.credit_bytes);
  }

  void AddSlot(Slot slot) TS_REQUIRES(mutex_) {
    const int32_t number = ++last_slot_;
    slots_by_key_[{slot.topic, slot.partition}] = number;
    (slot.next.has_value() ? to_add_ : to_resolve_).push_back(number);
    slots_.emplace(number, std::move(slot));
  }

  void EraseSlot(int32_t number) TS_REQUIRES(mutex_) {
    const auto slot = slots_.find(number);
    slots_by_key_.erase({slot->second.topic, slot->second.partition});
    slots_.erase(slot);
  }

  void Drop(const Key& key) TS_REQUIRES(mutex_) {
    std::erase_if(delayed_, [&](const auto& delayed) {
      return Key(delayed.second.topic, delayed.second.partition) == key;
    });
    const auto found = slots_by_key_.find(key);
    if (found == slots_by_key_.end()) return;
    const int32_t number = found->second;
    EraseSlot(number);
    to_remove_.push_back(number);
    std::erase_if(queue_, [&](const Item& item) TS_NO_ANALYSIS {
      if (item.slot != number) return false;
      credit_due_ += item.charged_bytes;
      return true;
    });
  }

  void Push(Item item) TS_REQUIRES(mutex_) {
    queue_.push_back(std::move(item));
    arrived_.notify_all();
  }

  void PushError(int32_t number, Error error) TS_REQUIRES(mutex_) {
    const Slot& slot = slots_.at(number);
    error.With("topic", slot.topic).With("partition", std::to_string(slot.partition.value));
    EraseSlot(number);
    Push({.slot = number, .consumed = {}, .charged_bytes = 0, .error = std::move(error)});
  }

  // The server gave the slot up, but may serve its partition later or elsewhere.
  void Retry(int32_t number, MonotonicTime now) TS_REQUIRES(mutex_) {
    delayed_.push_back({now + kSlotBackoff, slots_.at(number)});
    EraseSlot(number);
  }

  // --- the loop ---

  std::optional<MonotonicTime> Turn(IoLoop& loop) {
    if (stopping_) return std::nullopt;
    const MonotonicTime now = SystemClock().Now();
    MonotonicTime next = MonotonicTime::max();
    std::optional<v1::FetchStreamRequest> request;
    std::optional<Lookup> lookup;
    bool open = false;
    {
      const MutexLock lock(mutex_);
      ReviveSlots(now);
      if (!resolving_ && now >= resolve_at_) lookup = NextLookup();
      open = stream_ == nullptr && now >= reopen_at_ && !slots_.empty();
      if (open) {
        request = BeginStream();
      } else if (stream_ != nullptr && !writing_) {
        request = NextRequest();
      }
      if (!delayed_.empty()) next = delayed_.front().first;
      if (!to_resolve_.empty() && !resolving_) next = std::min(next, resolve_at_);
      if (stream_ == nullptr && !open && !slots_.empty()) next = std::min(next, reopen_at_);
    }
    if (lookup.has_value()) Resolve(loop, *std::move(lookup));
    if (open) stream_ = &loop.Open(*channel_, kFetchStream, *this);
    if (request.has_value()) {
      writing_ = true;
      stream_->Write(Slice::Own(request->SerializeAsString()));
    }
    return next;
  }

  void ReviveSlots(MonotonicTime now) TS_REQUIRES(mutex_) {
    while (!delayed_.empty() && delayed_.front().first <= now) {
      AddSlot(std::move(delayed_.front().second));
      delayed_.pop_front();
    }
  }

  // The first request of a stream; the rest is prepared.
  v1::FetchStreamRequest BeginStream() TS_REQUIRES(mutex_) {
    v1::FetchStreamRequest request;
    v1::FetchOpen& open = *request.mutable_open();
    open.set_format(v1::RECORD_FORMAT_BATCHES);
    open.set_client_id(options_.client_id);
    open.set_max_batch_bytes(static_cast<int32_t>(message_bytes_));
    open.set_min_bytes(1);
    open.set_max_wait_ms(static_cast<int32_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(options_.wait_max).count()));
    // What is in the queue counts against the credit of this stream, too, and is returned to it.
    credit_due_ = static_cast<int64_t>(options_.credit_bytes);
    for (const Item& item : queue_) credit_due_ -= item.charged_bytes;
    credit_due_ = std::max<int64_t>(1, credit_due_);
    credit_wanted_ = true;
    to_remove_.clear();
    to_add_.clear();
    for (const auto& [number, slot] : slots_) {
      if (slot.next.has_value()) to_add_.push_back(number);
    }
    return request;
  }

  std::optional<v1::FetchStreamRequest> NextRequest() TS_REQUIRES(mutex_) {
    v1::FetchStreamRequest request;
    if (credit_due_ > 0 && (credit_wanted_ || IsCreditDue())) {
      credit_wanted_ = false;
      request.set_credit_bytes(std::exchange(credit_due_, 0));
      return request;
    }
    if (!to_remove_.empty()) {
      request.mutable_remove()->set_slot(to_remove_.front());
      to_remove_.pop_front();
      return request;
    }
    while (!to_add_.empty()) {
      const int32_t number = to_add_.front();
      to_add_.pop_front();
      const auto slot = slots_.find(number);
      if (slot == slots_.end()) continue;
      v1::FetchAdd& add = *request.mutable_add();
      add.set_slot(number);
      add.mutable_partition()->set_topic(slot->second.topic);
      add.mutable_partition()->set_partition(slot->second.partition.value);
      add.mutable_position()->set_offset(slot->second.next->value);
      return request;
    }
    return std::nullopt;
  }

  void OnWritten() override { writing_ = false; }

  // A question for where slots begin that were not given an offset.
  struct Lookup {
    v1::ListOffsetsRequest request;
    std::vector<int32_t> numbers;  // the slots
  };

  std::optional<Lookup> NextLookup() TS_REQUIRES(mutex_) {
    Lookup lookup;
    while (!to_resolve_.empty() && lookup.numbers.size() < kQueriesMax) {
      const auto slot = slots_.find(to_resolve_.front());
      to_resolve_.pop_front();
      if (slot == slots_.end()) continue;
      auto& query = *lookup.request.add_queries();
      query.mutable_partition()->set_topic(slot->second.topic);
      query.mutable_partition()->set_partition(slot->second.partition.value);
      *query.mutable_position() = ToProto(slot->second.start);
      lookup.numbers.push_back(slot->first);
    }
    if (lookup.numbers.empty()) return std::nullopt;
    return lookup;
  }

  void Resolve(IoLoop& loop, Lookup lookup) {
    resolving_ = true;
    loop.Call(*channel_, kListOffsets, Slice::Own(lookup.request.SerializeAsString()), kCallTimeout,
              [this, numbers = std::move(lookup.numbers)](Result<Bytes> answer) {
                OnResolved(numbers, std::move(answer));
              });
  }

  void OnResolved(const std::vector<int32_t>& numbers, Result<Bytes> answer) {
    const MutexLock lock(mutex_);
    resolving_ = false;
    v1::ListOffsetsResponse response;
    if (answer.ok() && (!response.ParseFromString(answer->ToString()) ||
                        response.results_size() != static_cast<int>(numbers.size()))) {
      answer = Error(Reason::kUnspecified, "the server's answer cannot be parsed");
    }
    if (!answer.ok() && IsRetriable(answer.error())) {
      trouble_ = answer.error();
      resolve_at_ = SystemClock().Now() + kSlotBackoff;
      to_resolve_.insert(to_resolve_.begin(), numbers.begin(), numbers.end());
      return;
    }
    for (size_t i = 0; i < numbers.size(); ++i) {
      const auto slot = slots_.find(numbers[i]);
      if (slot == slots_.end()) continue;
      if (!answer.ok()) {
        PushError(numbers[i], answer.error());
        continue;
      }
      const auto& result = response.results(static_cast<int>(i));
      if (result.error().code() != 0) {
        OnSlotError(numbers[i], ErrorOfStatus(result.error()));
      } else if (result.offset() >= 0) {
        slot->second.next = Offset{result.offset()};
        to_add_.push_back(numbers[i]);
      } else {
        // No record is as young: the next one will be.
        slot->second.start = {StartPosition::Kind::kLatest, 0};
        to_resolve_.push_back(numbers[i]);
      }
    }
  }

  void OnMessage(Bytes message) override {
    FetchDataParts parts;
    v1::FetchData data;
    const bool is_data = SplitFetchData(message, &parts) && data.ParseFromString(parts.head);
    v1::FetchStreamResponse response;
    if (!is_data && !response.ParseFromString(message.ToString())) return stream_->Cancel();
    bool reopen = false;
    {
      const MutexLock lock(mutex_);
      trouble_.reset();
      backoff_ = kBackoffMin;
      if (is_data) return OnData(data, std::move(parts.payload));
      const size_t message_bytes = message_bytes_;
      if (response.has_event()) OnEvent(response.event());
      // Nothing is lost with a stream: the next one goes on where it was.
      reopen = response.has_draining() || message_bytes_ != message_bytes;
    }
    if (!reopen) return;
    reopening_ = true;
    stream_->Cancel();
  }

  void OnData(const v1::FetchData& data, Bytes payload) TS_REQUIRES(mutex_) {
    const auto found = slots_.find(data.slot());
    if (found == slots_.end()) {
      credit_due_ += data.charged_bytes();
      return;
    }
    Slot& slot = found->second;
    Item item{.slot = data.slot(),
              .consumed = {.topic = slot.topic,
                           .partition = slot.partition,
                           .batches = std::move(payload),
                           .from = *slot.next,
                           .next_offset = Offset{data.next_offset()},
                           .high_watermark = Offset{data.high_watermark()},
                           .caught_up = data.next_offset() >= data.high_watermark()},
              .charged_bytes = data.charged_bytes(),
              .error = std::nullopt};
    slot.next = item.consumed.next_offset;
    Push(std::move(item));
  }

  void OnEvent(const v1::FetchEvent& event) TS_REQUIRES(mutex_) {
    const auto found = slots_.find(event.slot());
    if (found == slots_.end()) return;
    Slot& slot = found->second;
    if (event.has_error()) {
      OnSlotError(event.slot(), ErrorOfStatus(event.error()));
    } else if (event.event_case() == v1::FetchEvent::kCaughtUpAt) {
      const Offset end{event.caught_up_at()};
      Item item{.slot = event.slot(),
                .consumed = {.topic = slot.topic,
                             .partition = slot.partition,
                             .batches = {},
                             .from = end,
                             .next_offset = end,
                             .high_watermark = end,
                             .caught_up = true},
                .charged_bytes = 0,
                .error = std::nullopt};
      slot.next = end;
      Push(std::move(item));
    } else {
      Retry(event.slot(), SystemClock().Now());
    }
  }

  void OnSlotError(int32_t number, Error error) TS_REQUIRES(mutex_) {
    if (error.reason == Reason::kFetchTooSmall && Enlarge(error)) return;
    if (!IsRetriable(error)) return PushError(number, std::move(error));
    trouble_ = std::move(error);
    Retry(number, SystemClock().Now());
  }

  // The stream is to be opened anew for messages as large as the batch that did not fit; false: too
  // large.
  bool Enlarge(const Error& error) TS_REQUIRES(mutex_) {
    const std::string_view text = DetailOf(error, "needed_bytes");
    size_t needed = 0;
    std::from_chars(text.data(), text.data() + text.size(), needed);
    if (needed <= message_bytes_ || needed > options_.message_bytes_max) return false;
    message_bytes_ = std::min(std::bit_ceil(needed), options_.message_bytes_max);
    return true;
  }

  void OnClosed(Result<void> end) override {
    const MutexLock lock(mutex_);
    stream_ = nullptr;
    writing_ = false;
    reopen_at_ = SystemClock().Now() + backoff_;
    backoff_ = std::min(kBackoffMax, 2 * backoff_);
    if (end.ok() || std::exchange(reopening_, false)) return;
    if (IsRetriable(end.error())) {
      trouble_ = end.error();
      return;
    }
    slots_.clear();
    slots_by_key_.clear();
    delayed_.clear();
    to_resolve_.clear();
    Push({.slot = 0, .consumed = {}, .charged_bytes = 0, .error = end.error()});
  }

  const ConsumerOptions options_;
  const std::shared_ptr<Channel> channel_;
  std::atomic<bool> stopping_{false};

  // Of the loop's thread.
  IoStream* stream_ = nullptr;
  bool writing_ = false;
  bool resolving_ = false;
  bool reopening_ = false;  // we closed the stream
  size_t message_bytes_;
  Duration backoff_ = kBackoffMin;
  MonotonicTime reopen_at_ = MonotonicTime::min();
  MonotonicTime resolve_at_ = MonotonicTime::min();

  mutable Mutex mutex_;
  std::condition_variable arrived_;
  std::map<int32_t, Slot> slots_ TS_GUARDED_BY(mutex_);
  std::map<Key, int32_t> slots_by_key_ TS_GUARDED_BY(mutex_);
  int32_t last_slot_ TS_GUARDED_BY(mutex_) = 0;
  std::deque<int32_t> to_resolve_ TS_GUARDED_BY(mutex_);
  std::deque<int32_t> to_add_ TS_GUARDED_BY(mutex_);
  std::deque<int32_t> to_remove_ TS_GUARDED_BY(mutex_);
  std::deque<std::pair<MonotonicTime, Slot>> delayed_ TS_GUARDED_BY(mutex_);  // earliest first
  std::deque<Item> queue_ TS_GUARDED_BY(mutex_);
  int64_t credit_due_ TS_GUARDED_BY(mutex_) = 0;      // to be returned to the server
  bool credit_wanted_ TS_GUARDED_BY(mutex_) = false;  // however little it is
  std::optional<Error> trouble_ TS_GUARDED_BY(mutex_);
  std::unique_ptr<IoLoop> loop_;  // last: its thread uses all of the above
};

}  // namespace

std::unique_ptr<Consumer> Consumer::Create(ConsumerOptions options) {
  return std::make_unique<StreamConsumer>(std::move(options));
}

}  // namespace gregor
