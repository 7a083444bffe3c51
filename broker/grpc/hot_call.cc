#include "broker/grpc/hot_call.h"

#include <algorithm>
#include <utility>

#include "broker/grpc/byte_buffer.h"
#include "broker/grpc/hot_stream.h"
#include "broker/grpc/status.h"

namespace gregor {
namespace {

Duration TimeUntil(gpr_timespec deadline) {
  constexpr int64_t kSecondsMax = 1'000'000'000;  // a later one does not fit into nanoseconds
  const gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
  return std::chrono::seconds(std::min(left.tv_sec, kSecondsMax)) +
         std::chrono::nanoseconds(left.tv_nsec);
}

bool IsEndless(gpr_timespec deadline) {
  return gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0;
}

}  // namespace

UnaryMetrics::UnaryMetrics(Metrics& metrics, const std::string& method)
    : calls(metrics, method),
      latency(calls.AddLatency("gregor_grpc_call_seconds", "From a call's arrival to its answer.")),
      received_bytes(
          calls.AddBytes("gregor_grpc_received_bytes_total", "Bytes of messages received.")),
      sent_bytes(calls.AddBytes("gregor_grpc_sent_bytes_total", "Bytes of messages sent.")) {}

void HotUnary::Listen() {
  door_->queue.Begin([&] {
    if (notify_gone_) context_.AsyncNotifyWhenDone(done_.Begin(shared_from_this()));
    Ask(&context_, &request_, &responder_, door_->queue.get(), accept_.Begin(shared_from_this()));
  });
}

void HotUnary::OnAccepted(bool ok) {
  if (!ok) return done_.Forget();  // the server shuts down; it says so of this tag only
  if (!listens_later_) ListenAgain();
  arrived_ = SystemClock().Now();
  const bool is_endless = IsEndless(context_.raw_deadline());
  list_ = is_endless ? &door_->endless : &door_->bounded;
  place_ = list_->insert(list_->end(), weak_from_this());
  deadline_ =
      arrived_ + (is_endless ? door_->options.call_timeout : TimeUntil(context_.raw_deadline()));
  Bytes message;
  metrics_.received_bytes.Add(request_.Length());
  if (!TakeMessage(request_, &message))
    Fail(Error(Reason::kInvalidArgument, "the request cannot be decompressed"));
  if (!IsOver()) return OnRequest(message);
  if (listens_later_) ListenAgain();
}

bool HotUnary::IsOver() {
  if (TimeLeft() <= Duration(0)) {
    Fail(Error(Reason::kCommitTimedOut, "the call's deadline had passed before it was looked at")
             .With("outcome", "NOT_APPLIED"));
  }
  return answered_.load();
}

void HotUnary::Expire() {
  // Answered or not, somebody has to take the answer.
  door_->bounded.splice(door_->bounded.end(), *list_, place_);
  list_ = &door_->bounded;
  FailUnanswered(Reason::kCommitTimedOut, "the broker has not answered in time");
}

void HotUnary::CutIfUntaken(MonotonicTime time) {
  const MonotonicTime replied = replied_.load(std::memory_order_relaxed);
  if (!holds_fetch_memory_ || replied == MonotonicTime{} || replied > time) return;
  LOG_EVERY_T(INFO, 1) << "A client at " << context_.peer() << " does not take the answer of "
                       << metrics_.calls.method() << ": its call is cut off";
  context_.TryCancel();
}

void HotUnary::BreakOff() {
  FailUnanswered(Reason::kServerDraining,
                 MayHaveWritten() ? "the broker stops before it has answered; whether it was done "
                                    "is not known: look, then retry at another one"
                                  : "the broker stops: try another one");
}

void HotUnary::FailUnanswered(Reason reason, const std::string& message) {
  Error error(reason, message);
  Fail(MayHaveWritten() ? std::move(error).With("outcome", "UNKNOWN") : error);
}

void HotUnary::LeaveList() {
  if (auto* const list = std::exchange(list_, nullptr); list != nullptr) list->erase(place_);
}

void HotUnary::Reply(const grpc::ByteBuffer& answer) {
  if (answered_.exchange(true)) return;
  metrics_.sent_bytes.Add(answer.Length());
  replied_.store(SystemClock().Now(), std::memory_order_relaxed);
  door_->queue.Begin(
      [&] { responder_.Finish(answer, grpc::Status::OK, finish_.Begin(shared_from_this())); });
}

void HotUnary::Fail(const Error& error) { Fail(error, ToStatus(error)); }

void HotUnary::Fail(const Error& error, const grpc::Status& status) {
  if (answered_.exchange(true)) return;
  AddReasonTrailer(context_, error);
  FinishWith(status);
}

void HotUnary::Drop() {
  if (!answered_.exchange(true)) FinishWith(grpc::Status::CANCELLED);
}

void HotUnary::FinishWith(const grpc::Status& status) {
  code_ = status.error_code();
  door_->queue.Begin(
      [&] { responder_.FinishWithError(status, finish_.Begin(shared_from_this())); });
}

void HotUnary::OnFinished(bool ok) {
  LeaveList();
  metrics_.latency.Observe(SystemClock().Now() - arrived_);
  metrics_.calls.Ended(ok ? code_ : grpc::CANCELLED);
  OnFinished();
}

void HotUnary::OnDone(bool ok) { OnGone(); }

}  // namespace gregor
