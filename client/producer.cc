#include "client/producer.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <utility>

#include "base/thread_annotations.h"
#include "client/accumulator.h"
#include "client/admin.h"
#include "client/io_loop.h"
#include "client/produce_errors.h"
#include "client/produce_link.h"
#include "client/producer_core.h"
#include "client/route_refresh.h"
#include "client/router.h"
#include "client/timing.h"
#include "client/topic_lookup.h"
#include "gregor/v1/produce.pb.h"

namespace gregor {
namespace {

constexpr char kInitProducer[] = "/gregor.v1.ProduceService/InitProducer";
constexpr Duration kExpiryTick = std::chrono::milliseconds(250);
// The loop counts in milliseconds, and wakes after what it was told, never before. So a batch that
// has lingered for so much less may go: on average they go in time.
constexpr Duration kEarly = std::chrono::microseconds(500);

// The link of partitions whose leader is not known: it never carries anything.
constexpr ProducerCore::Link kNowhere = 0;
// A broker that has not answered for so long while it should may not lead any more.
constexpr Duration kSilenceMax = std::chrono::seconds(2);
// How long a caller waits for news of a topic that is known well enough.
constexpr Duration kRefreshMax = std::chrono::seconds(1);
// How long an aborted producer waits for answers that are on their way.
constexpr Duration kAbortWait = std::chrono::seconds(1);

bool IsAboutLeader(Reason reason) {
  return reason == Reason::kNotLeader || reason == Reason::kLeaderNotAvailable ||
         reason == Reason::kFencedLeaderEpoch || reason == Reason::kUnknownLeaderEpoch;
}

ProducerCore::Session SessionOf(const v1::InitProducerResponse& response) {
  return {ProducerId{response.producer_id()},
          ProducerEpoch{static_cast<int16_t>(response.producer_epoch())}};
}

// Callers' threads fill the accumulator; the rest belongs to the loop's thread ("producer"): the
// core decides, links carry what it sends to the brokers, and the router knows which one leads.
class StreamProducer final : public Producer, private ProduceLink::Host {
 public:
  StreamProducer(ProducerOptions options, std::shared_ptr<Router> router,
                 ProducerCore::Session session, OnDelivery on_delivery)
      : options_(std::move(options)),
        on_delivery_(std::move(on_delivery)),
        router_(std::move(router)),
        refresh_(router_,
                 [this](const auto& topics, const Error* error) { OnRoutes(topics, error); }),
        core_({.idempotent = session.id != kNoProducerId,
               .retry_unknown = options_.retry_unknown,
               .delivery_timeout = options_.delivery_timeout,
               .in_flight_bytes_max = options_.in_flight_bytes_max,
               .is_new_topic = [this](const std::string& topic) { return router_->IsNew(topic); }},
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

  Result<void> Prepare(const std::string& topic) override { return LearnTopic(topic); }

  Result<void> Send(const std::string& topic, std::optional<PartitionIndex> partition,
                    const NewRecord& record) override {
    while (true) {
      ASSIGN_OR_RETURN(const auto added, accumulator_.Add(topic, partition, record));
      if (added == Accumulator::Added::kYes) return {};
      RETURN_IF_ERROR(LearnTopic(topic));
    }
  }

  void Flush() override { accumulator_.Flush(); }

  void Abort() override {
    accumulator_.Refuse(GivenUp());
    aborted_ = true;
    loop_->Wake();
  }

  std::optional<Error> first_error() const override {
    const MutexLock lock(mutex_);
    return first_error_;
  }
  std::optional<Error> trouble() const override {
    const MutexLock lock(mutex_);
    return trouble_;
  }

 private:
  // --- callers ---

  // Asks for a topic's partitions and limit. What is known already stays good enough while the
  // server cannot answer.
  Result<void> LearnTopic(const std::string& name) {
    const Duration patience =
        accumulator_.KnowsTopic(name) ? kRefreshMax : options_.delivery_timeout;
    const MonotonicTime deadline =
        SystemClock().Now() + std::min(patience, options_.delivery_timeout);
    Duration backoff = kBackoffMin;
    while (true) {
      auto info = LookUpTopic(router_, name, deadline);
      if (info.ok()) {
        accumulator_.SetTopic(name, *info);
        accumulator_.SetUnserved(name, router_->UnservedOf(name));
        return {};
      }
      if (SpecOf(info.error().reason).retry != RetryAdvice::kBackoff)
        return std::move(info).error();
      if (accumulator_.KnowsTopic(name)) return {};
      if (SystemClock().Now() > deadline) return std::move(info).error();
      std::unique_lock<std::mutex> lock(mutex_.native());
      never_.wait_for(lock, backoff);
      backoff = std::min(kBackoffMax, 2 * backoff);
    }
  }

  // --- the loop ---

  std::optional<MonotonicTime> Turn(IoLoop& loop) {
    if (stopping_) return std::nullopt;
    const MonotonicTime now = SystemClock().Now();
    if (now >= next_expiry_) Expire(now);
    if (aborted_) {
      GiveUp(now);
    } else {
      Work(loop, now);
    }
    Report();
    return NextTurn(now);
  }

  void Work(IoLoop& loop, MonotonicTime now) {
    if (core_.NeedsSession()) BeginSession(loop, now);
    refresh_.Turn(loop, now);
    for (const auto& link : links_) {
      if (!MayOpen() || !link->IsDue(now)) continue;
      const auto channel = router_->ChannelTo(link->node());
      if (channel != nullptr && IsUsed(*link)) {
        link->Open(loop, channel, OpenProduce(options_, core_.session()));
      } else {
        link->Rest();
        Doubt(*link);
      }
    }
    if (!core_.fatal().has_value()) SendAll(now);
  }

  MonotonicTime NextTurn(MonotonicTime now) {
    if (aborted_ && !core_.fatal().has_value()) return give_up_at_.value_or(now);
    const bool sending = !core_.fatal().has_value() && IsTaking();
    MonotonicTime next = accumulator_.Sleep(sending, !core_.InFlight());
    if (next != MonotonicTime::min()) next -= kEarly;
    if (core_.fatal().has_value()) return next;
    for (const auto& link : links_) {
      if (IsReady(*link)) next = std::min(next, core_.RetryTime(link->number()));
      if (MayOpen()) next = std::min(next, link->DueAt());
    }
    next = std::min(next, refresh_.NextTurn());
    const bool is_waiting = !homeless_later_.empty() || core_.HasBatches() ||
                            core_.IsRestarting() ||
                            std::any_of(links_.begin(), links_.end(),
                                        [](const auto& link) { return link->IsBlocking(); });
    if (is_waiting) next = std::min(next, next_expiry_);
    if (core_.NeedsSession() && !asking_ && AreClosed()) next = std::min(next, ask_at_);
    return next;
  }

  bool MayOpen() const { return !core_.fatal().has_value() && !core_.NeedsSession() && !asking_; }
  bool IsReady(const ProduceLink& link) const {
    return link.CanWrite() && core_.HasRoom(link.number());
  }
  // Whether batches can be taken: there is a link for them, or there may be one.
  bool IsTaking() const {
    return links_.size() < router_->BrokerCount() || links_.empty() ||
           std::any_of(links_.begin(), links_.end(),
                       [&](const auto& link) { return IsReady(*link) || link->IsResting(); });
  }
  bool AreClosed() const {
    return std::all_of(links_.begin(), links_.end(),
                       [](const auto& link) { return link->IsClosed(); });
  }
  bool IsUsed(const ProduceLink& link) const {
    const auto partitions = core_.partitions();
    return std::any_of(partitions.begin(), partitions.end(),
                       [&](const auto* each) { return core_.LinkOf(*each) == link.number(); });
  }

  // Writes what can be written: what the core has, then what callers have filled meanwhile.
  void SendAll(MonotonicTime now) {
    while (true) {
      Accumulator::Partitions unblocked = core_.TakeUnblocked();
      for (const auto& link : links_) {
        if (!IsReady(*link)) continue;
        if (const auto frame = core_.NextFrame(now, link->number())) {
          link->Write(*frame);
        } else if (const auto* const partition = link->Unblock()) {
          unblocked.push_back(partition);
        }
      }
      const bool again = !unblocked.empty();
      accumulator_.Unblock(unblocked);
      std::optional<FilledBatch> batch;
      if (IsTaking()) {
        batch = accumulator_.Take(
            now + kEarly, !core_.InFlight(),
            [this](const ProducerPartition& partition) { return CanTake(partition); });
      }
      if (batch.has_value()) core_.Add(*std::move(batch));
      if (!batch.has_value() && !FindHomes() && !again) return;
    }
  }

  // Whether a batch of the partition would be written at once. Those that are not are kept where
  // they are looked for when something changes.
  bool CanTake(const ProducerPartition& partition) {
    if (!core_.CanTake(partition)) return false;  // the core says when
    const ProducerCore::Link number = core_.LinkOf(partition);
    if (number == kNowhere) {
      homeless_.push_back(&partition);
      return false;
    }
    ProduceLink& link = *links_[number - 1];
    if (IsReady(link)) return true;
    link.Block(partition);
    link.WakeUp();
    return false;
  }

  // Links for partitions that have none; true: some have one now, and are not blocked any more.
  bool FindHomes() {
    Accumulator::Partitions found;
    for (const ProducerPartition* const partition : std::exchange(homeless_, {})) {
      if (Route(*partition)) {
        found.push_back(partition);
      } else {
        homeless_later_.push_back(partition);
        refresh_.Doubt(partition->topic);
      }
    }
    accumulator_.Unblock(found);
    return !found.empty();
  }

  // To the link of its leader, if that is known.
  bool Route(const ProducerPartition& partition) {
    const auto leader = router_->LeaderOf(partition.topic, partition.index);
    if (!leader.has_value()) return false;
    auto link = std::find_if(links_.begin(), links_.end(),
                             [&](const auto& each) { return each->node() == *leader; });
    if (link == links_.end()) {
      ProduceLink::Host& host = *this;
      links_.push_back(std::make_unique<ProduceLink>(host, links_.size() + 1, *leader));
      link = links_.end() - 1;
    }
    (*link)->WakeUp();
    core_.SetLink(partition, (*link)->number());
    return true;
  }

  // --- what happens on links ---

  void OnRoutes(const RouteRefresh::Topics& topics, const Error* error) {
    route_trouble_ = error == nullptr ? std::nullopt : std::optional<Error>(*error);
    if (error != nullptr) return;
    for (const std::string& topic : topics)
      accumulator_.SetUnserved(topic, router_->UnservedOf(topic));
    for (const ProducerPartition* const partition : core_.partitions()) {
      if (topics.count(partition->topic) == 0 || Route(*partition)) continue;
      if (core_.LinkOf(*partition) == kNowhere) continue;
      // Its leader is gone. It may come back, or there is another one soon.
      route_trouble_ = NoLeader(partition->topic, partition->index);
      if (links_[core_.LinkOf(*partition) - 1]->IsResting()) refresh_.Doubt(partition->topic);
    }
    for (const ProducerPartition* const partition : std::exchange(homeless_later_, {})) {
      homeless_.push_back(partition);
      if (!router_->LeaderOf(partition->topic, partition->index).has_value())
        route_trouble_ = NoLeader(partition->topic, partition->index);
    }
    // Who does not answer any more may not know yet that others lead now.
    const MonotonicTime now = SystemClock().Now();
    for (const auto& link : links_) {
      if (link->IsSilentSince(now - kSilenceMax) && core_.HasStrays(link->number()))
        link->Break(Error(Reason::kLeaderNotAvailable, "the broker does not answer any more"));
    }
  }

  // The leaders of what goes to the link may be others.
  void Doubt(const ProduceLink& link) {
    for (const ProducerPartition* const partition : core_.partitions()) {
      if (core_.LinkOf(*partition) == link.number()) refresh_.Doubt(partition->topic);
    }
  }

  void OnAnswer(ProduceLink& link, const v1::ProduceStreamResponse& response) override {
    switch (response.message_case()) {
      case v1::ProduceStreamResponse::kAck: {
        const auto taken = core_.OnAck(response.ack().frame_id(),
                                       Offset{response.ack().base_offset()}, link.number());
        if (!taken.ok()) link.Break(taken.error());
        return;
      }
      case v1::ProduceStreamResponse::kError:
        return OnFrameError(link, response.error().frame_id(),
                            ErrorOfStatus(response.error().status()));
      case v1::ProduceStreamResponse::kOpened:
        core_.OnOpened();
        return SetWindow(link, response.opened().window());
      case v1::ProduceStreamResponse::kWindow:
        return SetWindow(link, response.window());
      default:
        return;  // informational
    }
  }

  void SetWindow(const ProduceLink& link, const v1::ProduceWindow& window) {
    core_.OnWindow(window.max_in_flight_bytes(), window.max_in_flight_frames(), link.number());
  }

  void OnFrameError(ProduceLink& link, int64_t frame_id, const Error& error) {
    const auto* const partition =
        core_.OnError(frame_id, error, SystemClock().Now(), link.number());
    if (core_.fatal().has_value()) return Stop(*core_.fatal());
    if (partition == nullptr) return;
    if (error.reason == Reason::kStorageError) refresh_.Doubt(partition->topic);
    if (!IsAboutLeader(error.reason)) return;
    if (!router_->LearnFrom(error, partition->topic, partition->index, *link.channel()))
      return refresh_.Doubt(partition->topic);
    Route(*partition);
    // The leader has another address than the one where it was looked for.
    if (core_.LinkOf(*partition) == link.number() &&
        router_->ChannelTo(link.node()) != link.channel())
      link.Break(error);
  }

  void OnClosed(ProduceLink& link, const Error* error) override {
    core_.OnBroken(error, link.number());
    next_expiry_ = SystemClock().Now();  // what was stuck on the stream can be given up now
    if (error == nullptr) return;
    Doubt(link);
    if (IsRetriable(*error) || error->reason == Reason::kBatchTooLarge ||
        error->reason == Reason::kInvalidProducerEpoch)
      return;
    Stop(*error);
  }

  // A new producer id, once nothing of the old one is open.
  void BeginSession(IoLoop& loop, MonotonicTime now) {
    for (const auto& link : links_) link->CloseOnPurpose();
    if (!AreClosed() || asking_ || now < ask_at_) return;
    asking_ = true;
    const Bytes request = Slice::Own(v1::InitProducerRequest().SerializeAsString());
    const auto channel = router_->AnyNode();
    loop.Call(*channel, kInitProducer, request, kCallTimeout, [this, channel](Result<Bytes> got) {
      asking_ = false;
      ask_at_ = SystemClock().Now() + ask_backoff_;
      ask_backoff_ = std::min(kBackoffMax, 2 * ask_backoff_);
      v1::InitProducerResponse response;
      if (got.ok() && response.ParseFromString(got->ToString())) {
        ask_backoff_ = kBackoffMin;
        return core_.BeginSession(SessionOf(response));
      }
      router_->Avoid(*channel);
      if (!got.ok() && !IsRetriable(got.error())) Stop(got.error());
    });
  }

  // --- ends of batches ---

  void Expire(MonotonicTime now) {
    next_expiry_ = now + kExpiryTick;
    core_.Expire(now, kNowhere);
    bool is_stuck = false;
    for (const auto& link : links_) {
      if (link->IsSilentSince(now - kSilenceMax) && core_.InFlight(link->number())) Doubt(*link);
      if (!core_.Expire(now, link->number())) continue;
      is_stuck = true;
      link->Break(Error(Reason::kCommitTimedOut, "the server did not answer in time")
                      .With("outcome", "UNKNOWN"));
    }
    // What is behind it fails after it, once its stream is gone: deliveries come in order.
    if (is_stuck) return;
    for (FilledBatch& batch : accumulator_.TakeOlderThan(now - options_.delivery_timeout))
      core_.FailUnsent(std::move(batch), route_trouble_, now);
  }

  // Of an aborted producer: nothing is sent any more, and what is not answered soon fails.
  void GiveUp(MonotonicTime now) {
    if (core_.fatal().has_value()) return;
    if (!give_up_at_.has_value()) give_up_at_ = now + kAbortWait;
    if (!core_.InFlight() || now >= *give_up_at_) Stop(GivenUp());
  }

  // The producer as a whole is refused.
  void Stop(const Error& error) {
    core_.FailAll(error);
    for (FilledBatch& batch : accumulator_.Stop(error)) core_.Fail(std::move(batch), error);
    for (const auto& link : links_) link->CloseOnPurpose();
  }

  void Report() {
    accumulator_.Unblock(core_.TakeUnblocked());
    for (const std::string& topic : core_.TakeOutdatedTopics()) accumulator_.ForgetTopic(topic);
    {
      const MutexLock lock(mutex_);
      const auto& trouble = core_.trouble().has_value() ? core_.trouble() : route_trouble_;
      if (trouble_.has_value() || trouble.has_value()) trouble_ = trouble;
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
  const std::shared_ptr<Router> router_;

  // Of the loop's thread.
  RouteRefresh refresh_;
  ProducerCore core_;
  std::vector<std::unique_ptr<ProduceLink>> links_;  // of the core's link i+1: 0 is kNowhere
  // Partitions that were passed over since their leader is not known: to be looked for now, and
  // when there is news.
  std::deque<const ProducerPartition*> homeless_;
  std::deque<const ProducerPartition*> homeless_later_;
  std::optional<Error> route_trouble_;
  bool asking_ = false;  // for a producer id
  MonotonicTime ask_at_ = MonotonicTime::min();
  Duration ask_backoff_ = kBackoffMin;
  MonotonicTime next_expiry_ = MonotonicTime::min();
  std::optional<MonotonicTime> give_up_at_;  // once it is aborted

  Accumulator accumulator_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> aborted_{false};
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
  auto router = Router::Create(options.server, {.own_connection = true});
  ProducerCore::Session session;
  if (options.idempotent) {
    ASSIGN_OR_RETURN(const auto response,
                     router->Call<v1::InitProducerResponse>(
                         kInitProducer, v1::InitProducerRequest(), kCallTimeout, true));
    session = SessionOf(response);
  } else {
    RETURN_IF_ERROR(Admin(router).Ping());
  }
  return std::unique_ptr<Producer>(std::make_unique<StreamProducer>(
      std::move(options), std::move(router), session, std::move(on_delivery)));
}

}  // namespace gregor
