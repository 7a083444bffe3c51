#ifndef GREGOR_BROKER_GRPC_FETCH_PUMP_H_
#define GREGOR_BROKER_GRPC_FETCH_PUMP_H_

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/budget.h"
#include "base/thread_annotations.h"
#include "broker/api.h"
#include "broker/grpc/door.h"

namespace gregor {

// Reads many partitions for one stream: those that have something in turn, the others by waiting
// for it. How much is read ahead of what was sent is bounded, per stream and per connection, and
// with it what a client that does not read can hold. Thread: any. The sink is called on whatever
// thread, for one slot at a time.
class FetchPump : public std::enable_shared_from_this<FetchPump> {
  struct State;

 public:
  struct Slot {
    int32_t id = 0;
    TopicRef topic;
    PartitionIndex partition;
    Position position;
    std::optional<LeaderEpoch> current_leader_epoch;
    std::optional<LeaderEpoch> last_fetched_epoch;  // looked at by the first read
  };
  // Something that was read and has not been queued yet.
  using Ticket = std::shared_ptr<State>;

  // What comes of reading. Nothing here may block.
  class Sink {
   public:
    virtual ~Sink() = default;
    // Something was read. To be sent: Charge(), then it is queued, then Queued(), on any thread;
    // until then nothing more of the slot is read. Or FailRead().
    virtual void OnFetched(const Ticket& ticket, const Slot& slot, Fetched fetched) = 0;
    // The slot is at the high watermark, and no data have said so.
    virtual void OnCaughtUp(const Slot& slot, Offset offset) = 0;
    // The slot is closed.
    virtual void OnFailed(const Slot& slot, const Error& error) = 0;
    virtual void OnDiverged(const Slot& slot, const EpochEnd& end) = 0;
  };

  struct Options {
    Isolation isolation = Isolation::kReadCommitted;
    size_t message_bytes_max = 1 << 20;  // what one message carries at most
    // Whether a message can carry a part of a batch; else a batch above that fails its slot.
    bool splits_batches = false;
    int32_t bytes_min = 1;  // waited for at the end of the log, ...
    Duration wait_max{0};   // ... so long
    int64_t credit_bytes = 0;
  };

  // `connection`: what the streams of the caller's connection have not sent.
  FetchPump(std::shared_ptr<Door> door, std::shared_ptr<ByteGate> connection, Options options,
            std::weak_ptr<Sink> sink);

  // Fails with kQuotaExceeded where there are too many slots, kInvalidArgument where one of that id
  // is there.
  Result<void> Add(Slot slot);
  // No effect if there is no such slot. What was read already may still come.
  void Remove(int32_t id);
  size_t slot_count() const;
  void AddCredit(int64_t bytes);

  // What was read is about to be queued, and `bytes` of it count until Sent().
  void Charge(const Ticket& ticket, size_t bytes);
  // It is queued, charged or not, up to `next_offset`, where reading goes on.
  void Queued(const Ticket& ticket, const Fetched& fetched, Offset next_offset);
  // REQUIRES: nothing of it was queued yet.
  static const Slot& SlotOf(const Ticket& ticket);
  // Whether anybody still waits for what was read; if not, Queued() is all that is left to do.
  bool IsWanted(const Ticket& ticket) const;
  // What was read cannot be sent.
  void FailRead(const Ticket& ticket, const Error& error) { Fail(ticket, error); }
  // So many of the charged bytes have left.
  void Sent(size_t charged_bytes);
  // Reads no more, and forgets the slots and what is not sent.
  void Close();

 private:
  using StatePtr = Ticket;

  void Pump();
  StatePtr TakeReady();
  std::optional<Fetch> RequestOf(const State& state, bool waits);
  void Pull(const StatePtr& state);
  void Wait(const StatePtr& state);
  void OnPulled(const StatePtr& state, Result<Fetched> result);
  void OnWaited(const StatePtr& state, Result<Fetched> result);
  bool ReserveFor(State& state, size_t bytes);
  void Deliver(const StatePtr& state, Fetched fetched);
  void OnEmpty(const StatePtr& state, const Fetched& fetched);
  void OnDiverged(const StatePtr& state, const EpochEnd& end);
  void Fail(const StatePtr& state, const Error& error);
  void MakeReady(const StatePtr& state);
  void Release(State& state);
  bool Forget(const StatePtr& state) TS_REQUIRES(mutex_);
  bool IsGone(const State& state) const TS_REQUIRES(mutex_);

  const std::shared_ptr<Door> door_;
  const std::shared_ptr<ByteGate> connection_;
  const Options options_;
  const std::weak_ptr<Sink> sink_;

  mutable Mutex mutex_;
  std::unordered_map<int32_t, StatePtr> states_ TS_GUARDED_BY(mutex_);
  std::deque<StatePtr> ready_ TS_GUARDED_BY(mutex_);
  int64_t credit_ TS_GUARDED_BY(mutex_);
  size_t reading_ TS_GUARDED_BY(mutex_) = 0;  // bytes that reads may bring
  size_t unsent_ TS_GUARDED_BY(mutex_) = 0;   // bytes that were queued and have not left
  bool closed_ TS_GUARDED_BY(mutex_) = false;
  bool pumping_ TS_GUARDED_BY(mutex_) = false;
  bool pump_again_ TS_GUARDED_BY(mutex_) = false;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_FETCH_PUMP_H_
