#include "client/consumer.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <utility>
#include <vector>

#include "base/thread_annotations.h"
#include "client/io_loop.h"
#include "client/slot_table.h"
#include "client/topic_watch.h"
#include "client/wire.h"
#include "gregor/v1/fetch.pb.h"
#include "gregor/v1/topic.pb.h"

namespace gregor {
namespace {

constexpr char kFetchStream[] = "/gregor.v1.FetchService/FetchStream";
constexpr char kGetTopic[] = "/gregor.v1.TopicService/GetTopic";
constexpr char kListOffsets[] = "/gregor.v1.FetchService/ListOffsets";
constexpr Duration kCallTimeout = std::chrono::seconds(10);
constexpr Duration kBackoffMin = std::chrono::milliseconds(20);
constexpr Duration kBackoffMax = std::chrono::seconds(1);
constexpr Duration kSlotBackoff = std::chrono::milliseconds(200);
constexpr size_t kMessageOverhead = 64u << 10;
constexpr size_t kQueriesMax = 5000;

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
        message_bytes_(std::min(options_.message_bytes, options_.message_bytes_max)),
        topics_(options_.topic_interval) {
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
      Slot slot{topic, partition, start, std::nullopt, false};
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
      if (!slots_.HasTopic(topic)) topics_.Release(topic);
    }
    loop_->Wake();
  }

  void FollowTopic(const std::string& topic, PartitionIndex first_new) override {
    {
      const MutexLock lock(mutex_);
      topics_.Follow(topic, first_new.value);
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
    const std::string topic = slot.topic;
    topics_.Add(topic);
    const int32_t number = slots_.Add(std::move(slot));
    if (topics_.IdOf(topic) != nullptr) Begin(number, *slots_.Find(number));
  }

  // REQUIRES: the topic's id is known, so that offsets and records are all of the same topic.
  void Begin(int32_t number, const Slot& slot) TS_REQUIRES(mutex_) {
    (slot.next.has_value() ? to_add_ : to_resolve_).push_back(number);
  }

  void Drop(const SlotTable::Key& key) TS_REQUIRES(mutex_) {
    const auto number = slots_.Drop(key);
    if (!number.has_value()) return;
    to_remove_.push_back(*number);
    std::erase_if(queue_, [&](const Item& item) TS_NO_ANALYSIS {
      if (item.slot != *number) return false;
      credit_due_ += item.charged_bytes;
      return true;
    });
  }

  void Push(Item item) TS_REQUIRES(mutex_) {
    queue_.push_back(std::move(item));
    arrived_.notify_all();
  }

  void PushError(int32_t number, Error error) TS_REQUIRES(mutex_) {
    const Slot& slot = *slots_.Find(number);
    error.With("topic", slot.topic).With("partition", std::to_string(slot.partition.value));
    slots_.Erase(number);
    Push({.slot = number, .consumed = {}, .charged_bytes = 0, .error = std::move(error)});
  }

  // The server gave the slot up, but may serve its partition later or elsewhere.
  void Retry(int32_t number, MonotonicTime now) TS_REQUIRES(mutex_) {
    slots_.Delay(number, now + kSlotBackoff);
  }

  // Nothing more comes of the topic.
  void EndTopic(const std::string& topic, const Error& error) TS_REQUIRES(mutex_) {
    for (Slot& slot : slots_.TakeDelayed(topic)) slots_.Add(std::move(slot));
    const auto numbers = slots_.NumbersOf(topic);
    if (numbers.empty()) Push({.slot = 0, .consumed = {}, .charged_bytes = 0, .error = error});
    for (const int32_t number : numbers) {
      to_remove_.push_back(number);
      PushError(number, error);
    }
  }

  // --- the loop ---

  std::optional<MonotonicTime> Turn(IoLoop& loop) {
    if (stopping_) return std::nullopt;
    const MonotonicTime now = SystemClock().Now();
    MonotonicTime next = MonotonicTime::max();
    std::optional<v1::FetchStreamRequest> request;
    std::optional<Lookup> lookup;
    std::vector<std::string> questions;
    bool open = false;
    {
      const MutexLock lock(mutex_);
      ReviveSlots(now);
      while (const auto topic = topics_.NextQuestion(now)) questions.push_back(*topic);
      if (!resolving_ && now >= resolve_at_) lookup = NextLookup();
      open = stream_ == nullptr && now >= reopen_at_ && !slots_.slots().empty();
      if (open) {
        request = BeginStream();
      } else if (stream_ != nullptr && !writing_ && !reopening_) {
        request = NextRequest();
      }
      next = std::min(topics_.QuestionAt(), slots_.DueAt());
      if (!to_resolve_.empty() && !resolving_) next = std::min(next, resolve_at_);
      if (stream_ == nullptr && !open && !slots_.slots().empty()) next = std::min(next, reopen_at_);
    }
    for (const std::string& topic : questions) AskFor(loop, topic);
    if (lookup.has_value()) Resolve(loop, *std::move(lookup));
    if (open) stream_ = &loop.Open(*channel_, kFetchStream, *this);
    if (request.has_value()) {
      writing_ = true;
      stream_->Write(Slice::Own(request->SerializeAsString()));
    }
    return next;
  }

  void AskFor(IoLoop& loop, const std::string& topic) {
    v1::GetTopicRequest request;
    request.set_topic(topic);
    request.mutable_page()->set_page_size(1);
    loop.Call(*channel_, kGetTopic, Slice::Own(request.SerializeAsString()), kCallTimeout,
              [this, topic](Result<Bytes> answer) { OnTopic(topic, std::move(answer)); });
  }

  void OnTopic(const std::string& topic, Result<Bytes> answer) {
    const MutexLock lock(mutex_);
    const MonotonicTime now = SystemClock().Now();
    const bool was_known = topics_.IdOf(topic) != nullptr;
    auto verdict = topics_.OnAnswer(topic, std::move(answer), now);
    if (verdict.trouble.has_value()) trouble_ = std::move(verdict.trouble);
    if (verdict.gone.has_value()) return EndTopic(topic, *verdict.gone);
    if (topics_.IdOf(topic) == nullptr) return;
    for (const int32_t number : slots_.NumbersOf(topic)) {
      const Slot& slot = *slots_.Find(number);
      if (!was_known) Begin(number, slot);
      if (slot.doubted) Retry(number, now);
    }
    for (const int32_t partition : verdict.new_partitions) {
      if (!slots_.Has({topic, PartitionIndex{partition}}))
        AddSlot({topic, PartitionIndex{partition}, StartPosition(), std::nullopt, false});
    }
  }

  void ReviveSlots(MonotonicTime now) TS_REQUIRES(mutex_) {
    while (auto slot = slots_.NextDue(now)) AddSlot(*std::move(slot));
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
    for (const auto& [number, slot] : slots_.slots()) {
      if (slot.next.has_value() && !slot.doubted && topics_.IdOf(slot.topic) != nullptr)
        to_add_.push_back(number);
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
      const Slot* const slot = slots_.Find(number);
      const std::string* const id = slot == nullptr ? nullptr : topics_.IdOf(slot->topic);
      if (id != nullptr) return AddRequest(number, *slot, *id);
    }
    return std::nullopt;
  }

  void OnWritten() override {
    writing_ = false;
    if (reopening_) stream_->WritesDone();
  }

  // A question for where slots begin that were not given an offset.
  struct Lookup {
    v1::ListOffsetsRequest request;
    std::vector<int32_t> numbers;  // the slots
  };

  std::optional<Lookup> NextLookup() TS_REQUIRES(mutex_) {
    Lookup lookup;
    while (!to_resolve_.empty() && lookup.numbers.size() < kQueriesMax) {
      const int32_t number = to_resolve_.front();
      to_resolve_.pop_front();
      const Slot* const slot = slots_.Find(number);
      if (slot == nullptr) continue;
      *lookup.request.add_queries() = QueryOf(*slot, topics_.IdOf(slot->topic));
      lookup.numbers.push_back(number);
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
      Slot* const slot = slots_.Find(numbers[i]);
      if (slot == nullptr) continue;
      if (!answer.ok()) {
        PushError(numbers[i], answer.error());
        continue;
      }
      const auto& result = response.results(static_cast<int>(i));
      if (result.error().code() != 0) {
        OnSlotError(numbers[i], ErrorOfStatus(result.error()));
      } else if (result.offset() >= 0) {
        slot->next = Offset{result.offset()};
        to_add_.push_back(numbers[i]);
      } else {
        // No record is as young: the next one will be.
        slot->start = {StartPosition::Kind::kLatest, 0};
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
    if (!reopen || std::exchange(reopening_, true)) return;
    if (!writing_) stream_->WritesDone();
  }

  void OnData(const v1::FetchData& data, Bytes payload) TS_REQUIRES(mutex_) {
    Slot* const found = slots_.Find(data.slot());
    if (found == nullptr) {
      credit_due_ += data.charged_bytes();
      return;
    }
    Slot& slot = *found;
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
    Slot* const found = slots_.Find(event.slot());
    if (found == nullptr) return;
    Slot& slot = *found;
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
    if (error.reason == Reason::kUnknownTopicId || error.reason == Reason::kInconsistentTopicId) {
      Slot& slot = *slots_.Find(number);
      slot.doubted = true;
      return topics_.Doubt(slot.topic);
    }
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
    if (std::exchange(reopening_, false) || end.ok()) return;
    if (IsRetriable(end.error())) {
      trouble_ = end.error();
      return;
    }
    slots_.Clear();
    topics_.Clear();
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
  bool reopening_ = false;  // we are done with the stream
  size_t message_bytes_;
  Duration backoff_ = kBackoffMin;
  MonotonicTime reopen_at_ = MonotonicTime::min();
  MonotonicTime resolve_at_ = MonotonicTime::min();

  mutable Mutex mutex_;
  std::condition_variable arrived_;
  SlotTable slots_ TS_GUARDED_BY(mutex_);
  TopicWatch topics_ TS_GUARDED_BY(mutex_);
  std::deque<int32_t> to_resolve_ TS_GUARDED_BY(mutex_);
  std::deque<int32_t> to_add_ TS_GUARDED_BY(mutex_);
  std::deque<int32_t> to_remove_ TS_GUARDED_BY(mutex_);
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
