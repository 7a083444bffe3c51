// ControllerImpl: operations, from the call to the answer.
#include <utility>

#include "controller/controller_impl.h"
#include "controller/image/feature_needs.h"
#include "controller/node_stops.h"
#include "controller/operation_urgency.h"

namespace gregor {

void ControllerImpl::Execute(MetadataOperation operation, const OperationContext& context,
                             OperationDone done) {
  const bool has_room = queued_count_.fetch_add(1) < options_.behavior.operations_queued_max;
  const bool is_full = !has_room && !IsUrgent(operation);
  OperationDone counted = [this, alive = alive_,
                           done = std::move(done)](Result<OperationAnswer> answer) mutable {
    if (*alive) queued_count_.fetch_sub(1);
    done(std::move(answer));
  };
  const char* const event = std::visit([](const auto& each) { return each.kName; }, operation);
  const MonotonicTime deadline = options_.loop->clock().Now() + context.timeout;
  options_.loop->Post(event, [this, alive = alive_, operation = std::move(operation), is_full,
                              deadline, done = std::move(counted)]() mutable {
    if (!*alive) return done(NodeStops(false));
    if (is_full) return done(TooManyWait());
    // A heartbeat says who lives: it waits for nobody.
    if (std::holds_alternative<BrokerHeartbeat>(operation)) {
      Take(operation, deadline, std::move(done));
      return;
    }
    turns_.Add(
        [this, operation = std::move(operation), deadline, done = std::move(done)]() mutable {
          return Take(operation, deadline, std::move(done));
        });
  });
}

Error ControllerImpl::TooManyWait() const {
  return Error(Reason::kQuotaExceeded,
               std::to_string(options_.behavior.operations_queued_max) +
                   " operations wait for the controller already: retry more slowly")
      .With("outcome", "NOT_APPLIED");
}

void ControllerImpl::Take(const MetadataOperation& operation, MonotonicTime deadline,
                          OperationDone done) {
  if (const auto refused = WhyNotNow(deadline)) return done(*refused);
  const PlanContext context{*speculative_,
                            options_.behavior,
                            options_.random,
                            sessions_,
                            options_.loop->clock().Now(),
                            producer_ids_from_,
                            [this] { return quorum(); }};
  std::visit(
      [&](const auto& each) {
        Settle(each.kName, Plan(each, context), IsValidateOnly(each), std::move(done));
      },
      operation);
}

std::optional<Error> ControllerImpl::WhyNotNow(MonotonicTime deadline) const {
  if (const auto failed = failure()) return Error(*failed).With("outcome", "NOT_APPLIED");
  if (!leading_.has_value()) {
    if (closing_) return NodeStops(false);
    return Error(Reason::kNotController, "the metadata quorum has no leader here: retry")
        .With("outcome", "NOT_APPLIED");
  }
  if (options_.loop->clock().Now() >= deadline) {
    return Error(Reason::kCommitTimedOut,
                 "the time was up before the active controller came to it: retry more slowly")
        .With("outcome", "NOT_APPLIED");
  }
  return std::nullopt;
}

void ControllerImpl::Settle(const char* name, Result<Planned> plan, bool validate_only,
                            OperationDone done) {
  const Offset base = log_->end_offset();
  Result<OperationAnswer> answer = OperationAnswer();
  std::optional<MetadataDelta> delta;
  if (plan.ok()) {
    const auto checked = CheckLevels(plan->records, speculative_->feature_level);
    if (!checked.ok()) plan = checked.error();
  }
  if (!plan.ok()) {
    answer = std::move(plan).error();
  } else if (plan->records.empty()) {
    answer = plan->answer(*speculative_, base);
  } else if (validate_only) {
    answer = plan->answer(*Replayed(plan->records).after, base);
  } else {
    auto appended = Append(name, plan->records);
    if (appended.ok()) {
      answer = plan->answer(*appended->delta.after, appended->base);
      delta = std::move(appended->delta);
      if (raft::IsMutant(18, 'c')) Publish(*delta, 0);
    } else {
      answer = std::move(appended).error();
    }
  }
  const Offset end =
      delta.has_value() ? delta->after->version : (waiting_.empty() ? committed_ : waiting_.end());
  AnswerWhenCommitted(
      end, std::move(delta),
      [answer = std::move(answer), done = std::move(done)](const Error* failed) mutable {
        if (failed == nullptr) return done(std::move(answer));
        done(*failed);
      });
}

void ControllerImpl::OnConnection(NodeId node, bool is_there) {
  if (is_there) {
    lost_.erase(node);
  } else if (lost_.insert(node).second && leading_.has_value()) {
    sessions_.OnLost(node, options_.loop->clock().Now());
  }
}

void ControllerImpl::WatchBrokers() {
  std::vector<NodeId> unfenced;
  speculative_->brokers.VisitAll([&](NodeId node, const auto& broker) {
    if (!broker->fenced) unfenced.push_back(node);
  });
  const MonotonicTime now = options_.loop->clock().Now();
  sessions_.Begin(unfenced, now);
  if (raft::IsMutant(20)) {
    for (const NodeId node : unfenced)
      sessions_.OnLost(node, now - options_.behavior.broker_sessions.timeout);
  }
  // Whoever ended together with the last leader is not waited for either.
  for (const NodeId node : lost_) sessions_.OnLost(node, now);
  if (!sessions_timer_.has_value()) FenceSilent();
}

void ControllerImpl::FenceSilent() {
  sessions_timer_.reset();
  if (!leading_.has_value()) return;
  // One after the other: what one leaves may be what the next one cannot take.
  for (const NodeId node : sessions_.Expired(options_.loop->clock().Now())) {
    Planned planned{PlanFence(node, *speculative_, options_.behavior),
                    [](const MetadataImage&, Offset) { return std::monostate(); }};
    if (planned.records.empty()) {
      sessions_.Forget(node);
      continue;
    }
    const auto* const broker = speculative_->brokers.Find(node);
    const bool was_stopping = broker != nullptr && (*broker)->in_controlled_shutdown;
    LOG_IF(INFO, was_stopping) << "Broker " << node
                               << ", which was about to stop, is gone: it is fenced";
    LOG_IF(WARNING, !was_stopping)
        << "Broker " << node << " is not heard of any more: it is fenced";
    Settle("fence_silent_broker", std::move(planned), false,
           [node](Result<OperationAnswer> answer) {
             LOG_IF(WARNING, !answer.ok())
                 << "Broker " << node << " could not be fenced: " << answer.error();
           });
  }
  sessions_timer_ = options_.loop->After(options_.behavior.broker_sessions.heartbeat_interval / 4,
                                         "controller.sessions", [this, alive = alive_] {
                                           if (*alive) FenceSilent();
                                         });
}

void ControllerImpl::AnswerWhenCommitted(Offset end, std::optional<MetadataDelta> delta,
                                         CommitQueue::Answer answer) {
  if (const auto failed = failure()) {  // meanwhile
    const Error unknown = Error(*failed).With("outcome", "UNKNOWN");
    return answer(&unknown);
  }
  if (waiting_.empty() && !delta.has_value()) return answer(nullptr);
  waiting_.Add({end, std::move(delta), std::move(answer)});
}

}  // namespace gregor
