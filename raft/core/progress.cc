#include "raft/core/progress.h"

#include <algorithm>

#include "base/check.h"

namespace gregor::raft {

bool Progress::IsReadyToSend(const Options& options) const {
  return state_ == State::kStream && !reading_ &&
         in_flight_.size() < options.in_flight_messages_max &&
         in_flight_bytes_ < options.in_flight_bytes_max;
}

void Progress::EndRead(Offset next, size_t bytes) {
  CHECK(reading_);
  reading_ = false;
  if (state_ != State::kStream || next <= next_) return;
  next_ = next;
  in_flight_.push_back({next, bytes});
  in_flight_bytes_ += bytes;
}

void Progress::Matched(MonotonicTime now, Offset received, Offset durable, bool is_answer) {
  const bool counts = is_answer || state_ == State::kStream;
  if (durable > match_ || (counts && received > received_)) moved_ = now;
  match_ = std::max(match_, durable);
  // In answer to a question it counts even if it is less than before: a restart loses what was not
  // durable.
  if (state_ == State::kStream) {
    received_ = std::max(received_, received);
    next_ = std::max(next_, received_);
  } else if (is_answer) {
    state_ = State::kStream;
    asked_ = false;
    received_ = std::max(received, match_);
    next_ = received_;
    ForgetBehind(received_);
  }
  while (!in_flight_.empty() && in_flight_.front().end <= durable) {
    in_flight_bytes_ -= in_flight_.front().bytes;
    in_flight_.pop_front();
  }
}

void Progress::ForgetBehind(Offset end) {
  while (!in_flight_.empty() && in_flight_.back().end > end) {
    in_flight_bytes_ -= in_flight_.back().bytes;
    in_flight_.pop_back();
  }
}

bool Progress::Diverged(Offset base, Offset next) {
  if (state_ == State::kSnapshot) return false;
  // The answer to an older question.
  if (state_ == State::kProbe ? base != next_ : base <= match_) return false;
  // A question is asked at match() only where a connection was new: what it does not have there it
  // has no more. It is not waited for to have it, but gets it again; what was committed by its
  // help stays committed.
  const bool is_lost = base <= match_;
  if (is_lost) match_ = std::min(next, match_);
  state_ = State::kProbe;
  asked_ = false;
  received_ = match_;
  next_ = std::max(match_, std::min(next, base));
  ForgetBehind(next_);  // what lies before it may have come: its answer tells
  return is_lost;
}

void Progress::Restart() {
  if (state_ == State::kStream) {
    state_ = State::kProbe;
    // Where nothing is known of it yet, its answer says where to look.
    const Offset known = std::max(match_, received_);
    if (known > Offset{0}) next_ = known;
  }
  // What it has received and not made durable is in flight still: its answer tells.
  asked_ = false;
}

void Progress::BeginSnapshot(MonotonicTime now) {
  state_ = State::kSnapshot;
  asked_ = false;
  moved_ = now;
  ForgetBehind(Offset{0});
}

}  // namespace gregor::raft
