#include "client/consumer.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "base/thread_annotations.h"
#include "client/consumed_item.h"
#include "client/fetch_link.h"
#include "client/io_loop.h"
#include "client/route_refresh.h"
#include "client/slot_table.h"
#include "client/timing.h"
#include "client/topic_watch.h"
#include "client/wire.h"
#include "gregor/v1/fetch.pb.h"
#include "gregor/v1/topic.pb.h"

namespace gregor {
namespace {

constexpr char kGetTopic[] = "/gregor.v1.TopicService/GetTopic";
constexpr char kListOffsets[] = "/gregor.v1.FetchService/ListOffsets";
constexpr Duration kSlotBackoff = std::chrono::milliseconds(200);
constexpr size_t kMessageOverhead = 64u << 10;

using Item = ConsumedItem;

// The owner's thread says what to read and takes what came, under the lock. The loop's thread
// ("consumer") holds the streams, one to each broker that leads something that is read. The credit
// bounds what is in the queue between them.
class StreamConsumer final : public Consumer, private FetchLink::Host {
 public:
  explicit StreamConsumer(ConsumerOptions options)
      : options_(std::move(options)),
        router_(options_.router != nullptr
                    ? options_.router
                    : Router::Create(
                          options_.server,
                          {.message_bytes_max = options_.message_bytes_max + kMessageOverhead,
                           .own_connection = true})),
        refresh_(router_,
                 [this](const auto& topics, const Error* error) { OnRoutes(topics, error); }),
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
      Slot slot{.topic = topic, .partition = partition, .start = start, .next = std::nullopt};
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
      wake = ReturnCredit(item);
    }
    if (wake) loop_->Wake();
    if (item.error.has_value()) return *std::move(item.error);
    return std::optional(std::move(item.consumed));
  }

  std::optional<Error> trouble() const override {
    const MutexLock lock(mutex_);
    for (const auto& [node, link] : links_) {
      if (link->trouble.has_value() && slots_.HasNode(node)) return link->trouble;
    }
    return trouble_;
  }

 private:
  // --- under the lock ---

  void Wait(Duration timeout) TS_REQUIRES(mutex_) {
    std::unique_lock<std::mutex> lock(mutex_.native(), std::adopt_lock);
    arrived_.wait_for(lock, timeout, [this]() TS_NO_ANALYSIS { return !queue_.empty(); });
    lock.release();
  }

  int64_t CreditOfAStream() const TS_REQUIRES(mutex_) {
    return std::max<int64_t>(
        1, static_cast<int64_t>(options_.credit_bytes / std::max<size_t>(1, stream_count_)));
  }

  // True: the loop is to be told.
  bool ReturnCredit(const Item& item) TS_REQUIRES(mutex_) {
    const auto link = links_.find(item.node);
    if (link == links_.end()) return false;
    link->second->credit_due += item.charged_bytes;
    return link->second->credit_due >= link->second->terms().credit_step;
  }

  void AddSlot(Slot slot) TS_REQUIRES(mutex_) {
    const std::string topic = slot.topic;
    topics_.Add(topic);
    const int32_t number = slots_.Add(std::move(slot));
    if (topics_.IdOf(topic) != nullptr) Begin(number);
  }

  // REQUIRES: the topic's id is known, so that offsets and records are all of the same topic.
  void Begin(int32_t number) TS_REQUIRES(mutex_) { to_place_.push_back(number); }

  void Drop(const SlotTable::Key& key) TS_REQUIRES(mutex_) {
    const NodeId node = slots_.NodeOf(key);
    if (const auto number = slots_.Drop(key); number.has_value()) Remove(*number, node);
    // Also what came under another number, or ended it.
    std::erase_if(queue_, [&](const Item& item) TS_NO_ANALYSIS {
      if (item.consumed.topic != key.first || item.consumed.partition != key.second) return false;
      ReturnCredit(item);
      return true;
    });
  }

  // Nothing more of the slot is to come.
  void Remove(int32_t number, NodeId node) TS_REQUIRES(mutex_) {
    if (const auto link = links_.find(node); link != links_.end())
      link->second->to_remove.push_back(number);
  }

  void Push(Item item) TS_REQUIRES(mutex_) {
    queue_.push_back(std::move(item));
    arrived_.notify_all();
  }

  void PushError(int32_t number, Error error) TS_REQUIRES(mutex_) {
    const Slot& slot = *slots_.Find(number);
    error.With("topic", slot.topic).With("partition", std::to_string(slot.partition.value));
    Consumed of{.topic = slot.topic, .partition = slot.partition, .batches = {}};
    slots_.Erase(number);
    Push({.consumed = std::move(of), .error = std::move(error)});
  }

  // The server gave the slot up, but may serve its partition later or elsewhere.
  void Retry(int32_t number, MonotonicTime now) TS_REQUIRES(mutex_) {
    slots_.Delay(number, now + kSlotBackoff);
  }

  // Nothing more comes of the topic.
  void EndTopic(const std::string& topic, const Error& error) TS_REQUIRES(mutex_) {
    for (Slot& slot : slots_.TakeDelayed(topic)) slots_.Add(std::move(slot));
    const auto numbers = slots_.NumbersOf(topic);
    if (numbers.empty()) Push({.consumed = {}, .error = error});
    for (const int32_t number : numbers) {
      Remove(number, slots_.Find(number)->node);
      PushError(number, error);
    }
  }

  // --- the loop ---

  // What is to be done once the lock is given back.
  struct Action {
    FetchLink* link = nullptr;
    std::shared_ptr<Channel> open = nullptr;                       // a stream is to be opened here
    std::optional<v1::FetchStreamRequest> request = std::nullopt;  // is to be written
    std::optional<FetchLink::Lookup> lookup = std::nullopt;        // is to be asked here
  };

  std::optional<MonotonicTime> Turn(IoLoop& loop) {
    if (stopping_) return std::nullopt;
    const MonotonicTime now = SystemClock().Now();
    MonotonicTime next = MonotonicTime::max();
    std::vector<Action> actions;
    std::vector<std::string> questions;
    {
      const MutexLock lock(mutex_);
      ReviveSlots(now);
      if (!to_place_.empty()) PlaceSlots();
      while (const auto topic = topics_.NextQuestion(now)) questions.push_back(*topic);
      for (const auto& [node, link] : links_) next = std::min(next, Decide(*link, now, actions));
      next = std::min({next, topics_.QuestionAt(), slots_.DueAt()});
    }
    for (const std::string& topic : questions) AskFor(loop, topic);
    for (Action& action : actions) {
      if (action.lookup.has_value()) Resolve(loop, *action.link, *std::move(action.lookup));
      if (action.open != nullptr) action.link->Open(loop, std::move(action.open));
      if (action.request.has_value()) action.link->Write(*action.request);
    }
    refresh_.Turn(loop, now);
    return std::min(next, refresh_.NextTurn());
  }

  // What is to be done with the link now; gives when there will be something without an event.
  MonotonicTime Decide(FetchLink& link, MonotonicTime now, std::vector<Action>& actions)
      TS_REQUIRES(mutex_) {
    MonotonicTime next = MonotonicTime::max();
    if (!link.resolving && !link.to_resolve.empty()) {
      if (now < link.resolve_at) {
        next = link.resolve_at;
      } else if (auto lookup = link.NextLookup(slots_, topics_)) {
        actions.push_back({.link = &link, .lookup = std::move(lookup)});
      }
    }
    if (link.CanWrite()) {
      if (auto request = link.NextRequest(slots_, topics_))
        actions.push_back({.link = &link, .request = std::move(request)});
    }
    if (link.IsOpen() || !slots_.HasNode(link.node())) return next;
    if (now < link.open_at()) return std::min(next, link.open_at());
    auto channel = router_->ChannelTo(link.node());
    if (channel == nullptr) {
      link.Delay();
      Doubt(link);
      return std::min(next, link.open_at());
    }
    actions.push_back({.link = &link, .open = std::move(channel), .request = BeginStream(link)});
    return next;
  }

  // To the brokers that lead their partitions.
  void PlaceSlots() TS_REQUIRES(mutex_) {
    for (const int32_t number : std::exchange(to_place_, {})) {
      Slot* const slot = slots_.Find(number);
      if (slot == nullptr) continue;
      const auto leader = router_->LeaderOf(slot->topic, slot->partition);
      if (!leader.has_value()) {
        homeless_.push_back(number);
        refresh_.Doubt(slot->topic);
        continue;
      }
      slot->node = *leader;
      auto& link = links_[*leader];
      FetchLink::Host& host = *this;
      if (link == nullptr) link = std::make_unique<FetchLink>(host, *leader);
      (slot->next.has_value() ? link->to_add : link->to_resolve).push_back(number);
    }
    stream_count_ = slots_.NodeCount();
  }

  // The leaders of what is read there may be others.
  void Doubt(const FetchLink& link) TS_REQUIRES(mutex_) {
    for (const auto& [number, slot] : slots_.slots()) {
      if (slot.node == link.node()) refresh_.Doubt(slot.topic);
    }
  }

  void OnRoutes(const RouteRefresh::Topics& topics, const Error* error) {
    const MutexLock lock(mutex_);
    if (error != nullptr) trouble_ = *error;
    if (error != nullptr) return;
    for (const int32_t number : std::exchange(homeless_, {})) {
      const Slot* const slot = slots_.Find(number);
      if (slot == nullptr) continue;
      to_place_.push_back(number);
      if (!router_->LeaderOf(slot->topic, slot->partition).has_value()) {
        trouble_ = NoLeader(slot->topic, slot->partition);
      }
    }
    // Where a stream is open, the broker says itself that it does not lead any more.
    for (const auto& [number, slot] : slots_.slots()) {
      if (slot.node.value < 0 || topics.count(slot.topic) == 0 || links_[slot.node]->IsOpen())
        continue;
      const auto leader = router_->LeaderOf(slot.topic, slot.partition);
      if (leader.has_value() && *leader != slot.node) to_place_.push_back(number);
    }
  }

  void AskFor(IoLoop& loop, const std::string& topic) {
    v1::GetTopicRequest request;
    request.set_topic(topic);
    request.mutable_page()->set_page_size(1);
    const auto channel = router_->AnyNode();
    loop.Call(*channel, kGetTopic, Slice::Own(request.SerializeAsString()), kCallTimeout,
              [this, topic, channel](Result<Bytes> answer) {
                if (!answer.ok() && IsUnreachable(answer.error())) router_->Avoid(*channel);
                OnTopic(topic, std::move(answer));
              });
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
      if (!was_known) Begin(number);
      if (slot.doubted) Retry(number, now);
    }
    for (const int32_t partition : verdict.new_partitions) {
      if (!slots_.Has({topic, PartitionIndex{partition}}))
        AddSlot({.topic = topic,
                 .partition = PartitionIndex{partition},
                 .start = StartPosition(),
                 .next = std::nullopt});
    }
  }

  void ReviveSlots(MonotonicTime now) TS_REQUIRES(mutex_) {
    while (auto slot = slots_.NextDue(now)) AddSlot(*std::move(slot));
  }

  // The first request of a stream; the rest is prepared.
  v1::FetchStreamRequest BeginStream(FetchLink& link) TS_REQUIRES(mutex_) {
    // What is in the queue counts against the credit of this stream, too, and is returned to it.
    const int64_t whole = CreditOfAStream();
    int64_t credit = whole;
    for (const Item& item : queue_) credit -= item.node == link.node() ? item.charged_bytes : 0;
    // Returned in few messages: a stream runs dry only when all of its credit is used up.
    link.Begin({.credit_bytes = std::max<int64_t>(1, credit),
                .credit_step = std::max<int64_t>(1, whole / 4),
                .message_bytes = message_bytes_},
               slots_, topics_);
    return OpenFetch(options_, message_bytes_);
  }

  void Resolve(IoLoop& loop, FetchLink& link, FetchLink::Lookup lookup) {
    const auto channel = router_->ChannelTo(link.node());
    if (channel == nullptr)
      return OnResolved(link, nullptr, lookup.numbers,
                        Error(Reason::kLeaderNotAvailable, "the leader's address is not known"));
    link.resolving = true;
    loop.Call(*channel, kListOffsets, Slice::Own(lookup.request.SerializeAsString()), kCallTimeout,
              [this, &link, channel, numbers = std::move(lookup.numbers)](Result<Bytes> answer) {
                OnResolved(link, channel, numbers, std::move(answer));
              });
  }

  void OnResolved(FetchLink& link, const std::shared_ptr<Channel>& channel,
                  const std::vector<int32_t>& numbers, Result<Bytes> answer) {
    const MutexLock lock(mutex_);
    link.resolving = false;
    const auto response = ParseOffsets(answer, numbers.size());
    if (!response.ok() && IsRetriable(response.error())) {
      link.trouble = response.error();
      link.resolve_at = SystemClock().Now() + kSlotBackoff;
      Doubt(link);
      to_place_.insert(to_place_.end(), numbers.begin(), numbers.end());
      return;
    }
    link.trouble.reset();
    for (size_t i = 0; i < numbers.size(); ++i) {
      Slot* const slot = slots_.Find(numbers[i]);
      if (slot == nullptr || slot->node != link.node() || slot->next.has_value()) continue;
      if (!response.ok()) {
        PushError(numbers[i], response.error());
        continue;
      }
      const auto& result = response->results(static_cast<int>(i));
      if (result.error().code() != 0) {
        OnSlotError(link, *channel, numbers[i], ErrorOfStatus(result.error()));
      } else if (result.offset() >= 0) {
        slot->next = Offset{result.offset()};
        link.to_add.push_back(numbers[i]);
      } else {
        // No record is as young: the next one will be.
        slot->start = {StartPosition::Kind::kLatest, 0};
        link.to_resolve.push_back(numbers[i]);
      }
    }
  }

  void Heard(FetchLink& link) TS_REQUIRES(mutex_) {
    trouble_.reset();
    link.trouble.reset();
    link.ResetBackoff();
  }

  void OnResponse(FetchLink& link, const v1::FetchStreamResponse& response) override {
    const MutexLock lock(mutex_);
    Heard(link);
    if (response.has_event()) OnEvent(link, response.event());
    // Nothing is lost with a stream: the next one goes on where it was.
    if (response.has_draining()) link.Reopen();
  }

  void OnData(FetchLink& link, const v1::FetchData& data, Bytes payload) override {
    const MutexLock lock(mutex_);
    Heard(link);
    Slot* const found = slots_.Find(data.slot());
    if (found == nullptr || found->node != link.node()) {
      link.credit_due += data.charged_bytes();
      return;
    }
    Push(TakeData(*found, data, std::move(payload)));
  }

  void OnEvent(FetchLink& link, const v1::FetchEvent& event) TS_REQUIRES(mutex_) {
    Slot* const found = slots_.Find(event.slot());
    if (found == nullptr || found->node != link.node()) return;
    if (event.has_error()) {
      OnSlotError(link, *link.channel(), event.slot(), ErrorOfStatus(event.error()));
    } else if (event.event_case() == v1::FetchEvent::kCaughtUpAt) {
      Push(TakeEnd(*found, Offset{event.caught_up_at()}));
    } else {
      Retry(event.slot(), SystemClock().Now());
    }
  }

  void OnSlotError(FetchLink& link, const Channel& from, int32_t number, Error error)
      TS_REQUIRES(mutex_) {
    if (const size_t bytes = MessageBytesFor(error, options_.message_bytes_max);
        bytes > link.terms().message_bytes) {
      message_bytes_ = std::max(message_bytes_, bytes);
      return link.Reopen();
    }
    if (error.reason == Reason::kUnknownTopicId || error.reason == Reason::kInconsistentTopicId) {
      Slot& slot = *slots_.Find(number);
      slot.doubted = true;
      return topics_.Doubt(slot.topic);
    }
    if (!IsRetriable(error)) return PushError(number, std::move(error));
    Slot slot = *slots_.Find(number);
    if (!router_->LearnFrom(error, slot.topic, slot.partition, from)) {
      refresh_.Doubt(slot.topic);
      trouble_ = std::move(error);
      return Retry(number, SystemClock().Now());
    }
    // With another number: what still comes of the old one is old.
    slots_.Erase(number);
    slot.node = NodeId{-1};
    AddSlot(std::move(slot));
    // The leader has another address than the one where it was looked for.
    if (router_->ChannelTo(link.node()) != link.channel()) link.Reopen();
  }

  void OnClosed(FetchLink& link, const Result<void>& end) override {
    const MutexLock lock(mutex_);
    if (end.ok()) return;
    Doubt(link);
    if (IsRetriable(end.error())) {
      link.trouble = end.error();
      return;
    }
    slots_.Clear();
    topics_.Clear();
    Push({.consumed = {}, .error = end.error()});
  }

  const ConsumerOptions options_;
  const std::shared_ptr<Router> router_;
  std::atomic<bool> stopping_{false};

  // Of the loop's thread.
  RouteRefresh refresh_;
  size_t message_bytes_;

  mutable Mutex mutex_;
  std::condition_variable arrived_;
  SlotTable slots_ TS_GUARDED_BY(mutex_);
  TopicWatch topics_ TS_GUARDED_BY(mutex_);
  std::map<NodeId, std::unique_ptr<FetchLink>> links_ TS_GUARDED_BY(mutex_);
  size_t stream_count_ TS_GUARDED_BY(mutex_) = 1;
  std::deque<int32_t> to_place_ TS_GUARDED_BY(mutex_);  // slots whose broker is to be chosen
  std::deque<int32_t> homeless_ TS_GUARDED_BY(mutex_);  // those for which there is none
  std::deque<Item> queue_ TS_GUARDED_BY(mutex_);
  std::optional<Error> trouble_ TS_GUARDED_BY(mutex_);
  std::unique_ptr<IoLoop> loop_;  // last: its thread uses all of the above
};

}  // namespace

std::unique_ptr<Consumer> Consumer::Create(ConsumerOptions options) {
  return std::make_unique<StreamConsumer>(std::move(options));
}

}  // namespace gregor
