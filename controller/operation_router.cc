#include "controller/operation_router.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "controller/node_stops.h"
#include "controller/operation_codec.h"
#include "controller/operation_server.h"
#include "controller/operation_urgency.h"

namespace gregor {
namespace {

// How often what waits is looked at: a new leader is found that soon.
constexpr Duration kLookEvery = std::chrono::milliseconds(20);
// Between two tries to ask the same node.
constexpr Duration kBackoffMin = std::chrono::milliseconds(20);
constexpr Duration kBackoffMax = std::chrono::milliseconds(320);
// A node that leads no more answers what it was asked for with an error at once. One that is silent
// for so long after another began to lead is not waited for: its connection is found dead later.
constexpr Duration kLastAnswerMax = std::chrono::seconds(1);
// Nobody waits longer; and a wrong number does no harm.
constexpr Duration kTimeoutMax = std::chrono::hours(1);

bool MayBeTriedAgain(const Error& error) {
  return error.reason == Reason::kNotController && OperationOutcome(error) == "NOT_APPLIED";
}

}  // namespace

OperationRouter::OperationRouter(Options options)
    : options_(std::move(options)),
      waiting_count_(options_.metrics->AddGauge(
          "gregor_operations_waiting",
          "Operations on the metadata that wait for their answer; none of those with which brokers "
          "register and say that they live.")),
      forwarded_(options_.metrics->AddCounter(
          "gregor_operations_forwarded_total",
          "Operations on the metadata that another node was asked for and has answered.")),
      unknown_(options_.metrics->AddCounter(
          "gregor_operations_unknown_total",
          "Operations on the metadata of which it is not known whether they took place.")) {
  // Last: it may be called on the loop from here on.
  watch_ = options_.controller->Watch([this, alive = alive_](const MetadataDelta& delta) {
    if (*alive) OnImage(delta.after->version);
  });
}

OperationRouter::~OperationRouter() { *alive_ = false; }

void OperationRouter::Execute(MetadataOperation operation, const OperationContext& context,
                              OperationDone done) {
  const bool has_room = queued_count_.fetch_add(1) < options_.operations_queued_max;
  const bool is_full = !has_room && !IsUrgent(operation);
  Entry entry;
  entry.is_counted = !IsUrgent(operation);
  entry.operation = std::move(operation);
  entry.principal = context.principal;
  entry.deadline = options_.loop->clock().Now() + std::min(context.timeout, kTimeoutMax);
  entry.done = std::move(done);
  options_.loop->Post("controller.operation",
                      [this, alive = alive_, is_full, entry = std::move(entry)]() mutable {
                        if (*alive) return Take(std::move(entry), is_full);
                        entry.done(NodeStops(false));
                      });
}

void OperationRouter::Take(Entry entry, bool is_full) {
  const Id id = ++last_id_;
  const Entry& taken = entries_.emplace(id, std::move(entry)).first->second;
  if (taken.is_counted) waiting_count_.Add(1);
  if (is_full) {
    return Finish(id, Error(Reason::kQuotaExceeded,
                            std::to_string(options_.operations_queued_max) +
                                " operations wait for the controller already: retry more slowly")
                          .With("outcome", "NOT_APPLIED"));
  }
  if (CanTry(Leader())) return Try(id);
  waiting_.insert(id);
  StartTimer();
}

QuorumLeader OperationRouter::Leader() const {
  const QuorumLeader own = options_.controller->leader();
  const bool is_newer = told_.term > own.term || (told_.term == own.term && own.leader.value < 0);
  return is_newer && told_.leader.value >= 0 ? told_ : own;
}

// A controller whose disk failed knows of no leader any more; it says what is wrong.
bool OperationRouter::CanTry(const QuorumLeader& leader) const {
  return leader.leader.value >= 0 || options_.controller->failure().has_value();
}

void OperationRouter::Try(Id id) {
  const QuorumLeader leader = Leader();
  Entry& entry = entries_.at(id);
  waiting_.erase(id);
  entry.state = State::kAsked;
  if (leader.leader.value < 0 || leader.leader == options_.node_id) return AskOwn(id, leader);
  Send(id, leader);
}

void OperationRouter::AskOwn(Id id, const QuorumLeader& leader) {
  const Entry& entry = entries_.at(id);
  const OperationContext context{entry.principal, entry.deadline - options_.loop->clock().Now()};
  options_.controller->Execute(entry.operation, context,
                               [this, alive = alive_, id, leader](Result<OperationAnswer> answer) {
                                 if (*alive) OnOwnAnswer(id, leader, std::move(answer));
                               });
}

void OperationRouter::OnOwnAnswer(Id id, const QuorumLeader& leader,
                                  Result<OperationAnswer> answer) {
  if (!answer.ok() && MayBeTriedAgain(answer.error())) return TryLater(id, leader, answer.error());
  Finish(id, std::move(answer));
}

Result<void> OperationRouter::Encode(Entry& entry) const {
  if (entry.request != nullptr) return {};
  entry.request = std::make_unique<pb::OperationRequest>();
  entry.request->set_cluster_id(ToBytes(options_.cluster.bytes));
  entry.request->set_principal(entry.principal);
  entry.request->set_hop_count(1);
  return EncodeOperation(entry.operation, *entry.request);
}

void OperationRouter::Send(Id id, const QuorumLeader& leader) {
  Entry& entry = entries_.at(id);
  if (auto encoded = Encode(entry); !encoded.ok()) return Finish(id, std::move(encoded).error());
  const Duration left = entry.deadline - options_.loop->clock().Now();
  if (left < std::chrono::milliseconds(1)) return Finish(id, TimeIsUp(entry));
  entry.asked = leader;
  entry.replaced_at.reset();
  sent_.emplace(leader.term, id);
  StartTimer();
  options_.remote->Execute(leader.leader, *entry.request, left,
                           // Whoever answers knows nothing of this object's life.
                           [this, loop = options_.loop, alive = alive_, id,
                            leader](Result<pb::OperationResponse> response) mutable {
                             loop->Post("controller.response",
                                        [this, alive = std::move(alive), id, leader,
                                         response = std::move(response)]() mutable {
                                          if (*alive) OnResponse(id, leader, std::move(response));
                                        });
                           });
}

void OperationRouter::OnResponse(Id id, const QuorumLeader& leader,
                                 Result<pb::OperationResponse> response) {
  const auto asked = entries_.find(id);
  if (asked == entries_.end()) return;  // it was not waited for
  sent_.erase({asked->second.asked.term, id});
  if (!response.ok()) {
    if (MayBeTriedAgain(response.error())) return TryLater(id, leader, response.error());
    return Finish(id, std::move(response).error());
  }
  if (response->has_error()) {
    const Error error = DecodeError(response->error());
    const QuorumLeader told = LeaderOf(error);
    if (told.leader.value >= 0 && told.term > told_.term) told_ = told;
    if (MayBeTriedAgain(error)) return TryLater(id, leader, error);
  }
  Entry& entry = entries_.at(id);
  if (entry.is_counted) forwarded_.Add();
  entry.visible = Offset{response->visible_offset()};
  entry.response = std::make_unique<pb::OperationResponse>(*std::move(response));
  if (options_.controller->image()->version >= entry.visible) return AnswerFromImage(id);
  entry.state = State::kCatching;
  catching_.emplace(entry.visible, id);
  StartTimer();
}

void OperationRouter::TryLater(Id id, const QuorumLeader& leader, const Error& refused) {
  Entry& entry = entries_.at(id);
  entry.state = State::kWaiting;
  entry.tried = leader;
  entry.refused = refused;
  entry.backoff = std::clamp(2 * entry.backoff, kBackoffMin, kBackoffMax);
  entry.retry_at = options_.loop->clock().Now() + entry.backoff;
  waiting_.insert(id);
  StartTimer();
}

// The others that watch may have yet to be told: so the answers come in a task of their own.
void OperationRouter::OnImage(Offset version) {
  if (catching_.empty() || catching_.begin()->first > version) return;
  options_.loop->Post("controller.caught_up", [this, alive = alive_] {
    if (*alive) AnswerCaughtUp();
  });
}

void OperationRouter::AnswerCaughtUp() {
  const Offset version = options_.controller->image()->version;
  while (!catching_.empty() && catching_.begin()->first <= version)
    AnswerFromImage(catching_.begin()->second);
}

void OperationRouter::AnswerFromImage(Id id) {
  const Entry& entry = entries_.at(id);
  Finish(id, DecodeAnswer(entry.operation, *entry.response, *options_.controller->image()));
}

void OperationRouter::Finish(Id id, Result<OperationAnswer> answer) {
  auto node = entries_.extract(id);
  CHECK(!node.empty());
  Entry& entry = node.mapped();
  waiting_.erase(id);
  sent_.erase({entry.asked.term, id});
  catching_.erase({entry.visible, id});
  queued_count_.fetch_sub(1);
  if (entry.is_counted) {
    waiting_count_.Add(-1);
    if (!answer.ok() && OperationOutcome(answer.error()) == "UNKNOWN") unknown_.Add();
  }
  entry.done(std::move(answer));
}

void OperationRouter::StartTimer() {
  if (timer_.has_value()) return;
  timer_ = options_.loop->After(kLookEvery, "controller.retry", [this, alive = alive_] {
    if (*alive) OnTimer();
  });
}

void OperationRouter::OnTimer() {
  timer_.reset();
  const MonotonicTime now = options_.loop->clock().Now();
  const QuorumLeader leader = Leader();
  const bool can_try = CanTry(leader);
  std::vector<Id> due;
  for (const Id id : waiting_) {
    const Entry& entry = entries_.at(id);
    const bool try_now = can_try && (entry.retry_at <= now || entry.tried != leader);
    if (try_now || entry.deadline <= now) due.push_back(id);
  }
  for (const auto& [visible, id] : catching_) {
    if (entries_.at(id).deadline <= now) due.push_back(id);
  }
  std::vector<Id> forsaken;
  for (const auto& [term, id] : sent_) {
    if (term >= leader.term) break;
    if (IsForsaken(entries_.at(id), leader, now)) forsaken.push_back(id);
  }
  // What is answered may close the router, or ask for more.
  for (const Id id : due) {
    const auto found = entries_.find(id);
    if (found == entries_.end()) continue;
    if (found->second.deadline <= now) {
      Finish(id, TimeIsUp(found->second));
    } else {
      Try(id);
    }
  }
  for (const Id id : forsaken) {
    const auto found = entries_.find(id);
    if (found != entries_.end()) Finish(id, Forsaken(found->second, leader));
  }
  if (!waiting_.empty() || !catching_.empty() || !sent_.empty()) StartTimer();
}

bool OperationRouter::IsForsaken(Entry& entry, const QuorumLeader& leader,
                                 MonotonicTime now) const {
  if (leader.leader.value < 0 || leader.leader == entry.asked.leader) return false;
  if (!entry.replaced_at.has_value()) entry.replaced_at = now;
  return now - *entry.replaced_at >= kLastAnswerMax;
}

Error OperationRouter::Forsaken(const Entry& entry, const QuorumLeader& leader) {
  return Error(Reason::kNotController,
               "node " + std::to_string(entry.asked.leader.value) +
                   ", which was the active controller, does not answer, and node " +
                   std::to_string(leader.leader.value) +
                   " is it now; whether the operation took place is not known: look, then retry")
      .With("outcome", "UNKNOWN");
}

Error OperationRouter::TimeIsUp(const Entry& entry) {
  if (entry.state == State::kCatching) {
    return Error(Reason::kCommitTimedOut,
                 "the active controller has answered, but this node's copy of the metadata did not "
                 "catch up in time: look before you retry")
        .With("outcome", "UNKNOWN");
  }
  const std::string why = entry.refused.has_value() ? ": " + entry.refused->message : "";
  Error error(Reason::kNotController,
              "no active controller could be asked in time" + why + ". Retry a little later");
  return std::move(error).With("outcome", "NOT_APPLIED");
}

void OperationRouter::Close(Task done) {
  options_.loop->Post("controller.router_close", [this, done = std::move(done)]() mutable {
    *alive_ = false;
    watch_.reset();
    if (timer_.has_value()) options_.loop->Cancel(*timer_);
    waiting_.clear();
    sent_.clear();
    catching_.clear();
    for (auto& [id, entry] : std::exchange(entries_, {})) {
      if (entry.is_counted) waiting_count_.Add(-1);
      const bool is_untouched = entry.state == State::kWaiting;
      entry.done(NodeStops(!is_untouched));
    }
    done();
  });
}

}  // namespace gregor
