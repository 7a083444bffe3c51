#ifndef GREGOR_RAFT_CORE_PROGRESS_H_
#define GREGOR_RAFT_CORE_PROGRESS_H_

#include <cstdint>
#include <deque>
#include <optional>

#include "base/time.h"
#include "raft/core/messages.h"
#include "raft/core/options.h"
#include "raft/core/types.h"

namespace gregor::raft {

// How far a follower is, as its leader knows. Thread: its owner's.
class Progress {
 public:
  enum class State : uint8_t {
    kStream,    // batches go out one behind the other, before they are answered
    kProbe,     // one question at a time, where the logs agree
    kSnapshot,  // it needs what lies before the log
  };

  Progress(VoterKey key, bool votes, Offset next, MonotonicTime now)
      : key_(key), votes_(votes), next_(next), heard_(now), moved_(now) {}

  const VoterKey& key() const { return key_; }
  bool votes() const { return votes_; }
  void SetVotes(bool votes) { votes_ = votes; }
  State state() const { return state_; }
  // Its log is the leader's, durably, up to here.
  Offset match() const { return match_; }
  // The same in its memory.
  Offset received() const { return received_; }
  // What is sent next.
  Offset next() const { return next_; }
  MonotonicTime heard() const { return heard_; }
  // When it last had everything that was committed; nullopt: never in this term.
  std::optional<MonotonicTime> caught_up() const { return caught_up_; }
  void SetCaughtUp(MonotonicTime now) { caught_up_ = now; }
  uint64_t round() const { return round_; }
  Offset told_commit() const { return told_commit_; }

  // Whether there is room for one more message, and no other is being made.
  bool IsReadyToSend(const Options& options) const;
  void BeginRead(MonotonicTime now) {
    reading_ = true;
    if (received_ >= next_) moved_ = now;  // until now there was nothing to wait for
  }
  // A message was made of what was read, up to `next` (or none: equal to next()).
  void EndRead(Offset next, size_t bytes);
  bool is_reading() const { return reading_; }
  // Whether what was asked to be read is still what should be sent.
  bool IsReading(Offset from) const {
    return reading_ && state_ == State::kStream && from == next_;
  }
  void SetToldCommit(Offset commit) { told_commit_ = commit; }

  bool is_question_open() const { return asked_; }
  void SetAsked(MonotonicTime now) {
    asked_ = true;
    moved_ = now;
  }

  // It answered, whatever.
  void Hear(MonotonicTime now) { heard_ = now; }
  void Answer(uint64_t round) { round_ = std::max(round_, round); }
  // Its log is the leader's up to `received`, and durable up to `durable`. `is_answer`: it said so
  // of what it was sent or asked, not only by the way.
  void Matched(MonotonicTime now, Offset received, Offset durable, bool is_answer);
  // Its log is another one before the question at `base`; look at `next`. Whether it had
  // acknowledged what it does not have: its disk has lost that.
  bool Diverged(Offset base, Offset next);
  // The connection was lost, or nothing has moved for too long: ask where it is.
  void Restart();
  void BeginSnapshot(MonotonicTime now);
  // Its questions may have been lost.
  bool IsStuck(MonotonicTime now, Duration timeout) const {
    return now - moved_ >= timeout && (state_ != State::kStream || received_ < next_);
  }
  // It says that its log is the leader's up to `received` only, less than it had said, and has said
  // so for too long: it followed somebody else, or nobody, meanwhile, and does not know any more
  // that they agree.
  bool HasForgotten(MonotonicTime now, Offset received, Duration timeout) const {
    return now - moved_ >= timeout && state_ == State::kStream && received < received_;
  }
  void Forgive(Duration lost) {
    heard_ += lost;
    moved_ += lost;
  }

 private:
  struct Sent {
    Offset end{0};
    size_t bytes = 0;
  };
  // What is not known to have come to it; it may be under way still.
  void ForgetBehind(Offset end);

  VoterKey key_;
  bool votes_;
  State state_ = State::kStream;
  Offset match_{0};
  Offset received_{0};
  Offset next_{0};
  Offset told_commit_{0};
  std::deque<Sent> in_flight_;
  size_t in_flight_bytes_ = 0;
  bool reading_ = false;
  bool asked_ = false;
  MonotonicTime heard_;  // of it, at all
  MonotonicTime moved_;  // it got further, or was asked
  std::optional<MonotonicTime> caught_up_;
  uint64_t round_ = 0;
};

}  // namespace gregor::raft

#endif  // GREGOR_RAFT_CORE_PROGRESS_H_
