#include "broker/grpc/fetch_pump.h"

#include <algorithm>
#include <string>

#include "broker/grpc/conversions.h"

namespace gregor {
namespace {

// What is read ahead of the sending: a message that is being sent, and the next one.
constexpr size_t kMessagesAhead = 2;
// Less is not read at a time because of records that take more room than their batch.
constexpr size_t kReadBytesMin = 64u << 10;
constexpr size_t kSlotsMax = 32'768;
constexpr size_t kSlotBytes = 512;  // about what a slot costs
// A read that waits longer begins anew, so that those which nobody waits for any more end.
constexpr Duration kWaitMax = std::chrono::seconds(10);
constexpr Duration kWaitMin = std::chrono::milliseconds(10);
constexpr Duration kRetryDelay = std::chrono::milliseconds(50);

}  // namespace

struct FetchPump::State {
  explicit State(Slot slot) : slot(std::move(slot)) {}
  // Of the read or the answer that the slot is in; it is in one at a time.
  Slot slot;
  // Where messages carry parts of batches: what one of them took lately, or twice of it.
  size_t read_bytes = SIZE_MAX;
  size_t reserved = 0;        // of the bytes that may be read ahead
  int64_t granted = 0;        // of the credit
  bool is_caught_up = false;  // and the client knows
  Budget::Share memory;
  std::shared_ptr<std::atomic<bool>> removed = std::make_shared<std::atomic<bool>>(false);
};

FetchPump::FetchPump(std::shared_ptr<Door> door, std::shared_ptr<ByteGate> connection,
                     Options options, std::weak_ptr<Sink> sink)
    : door_(std::move(door)),
      connection_(std::move(connection)),
      options_(std::move(options)),
      sink_(std::move(sink)),
      credit_(options_.credit_bytes) {}

// --- slots ---

Result<void> FetchPump::Add(Slot slot) {
  const int32_t id = slot.id;
  const auto state = std::make_shared<State>(std::move(slot));
  state->memory = door_->slot_memory.TryAcquire(kSlotBytes);
  {
    const MutexLock lock(mutex_);
    if (states_.size() >= kSlotsMax || !state->memory) {
      return Error(Reason::kQuotaExceeded,
                   "too many partitions are read at the same time: a stream can have " +
                       std::to_string(kSlotsMax) + ", the server's memory for them is limited");
    }
    if (!states_.emplace(id, state).second) {
      return Error(Reason::kInvalidArgument,
                   "slot " + std::to_string(id) + " is taken: remove it, and use each id once");
    }
    ready_.push_back(state);
  }
  Pump();
  return {};
}

void FetchPump::Remove(int32_t id) {
  const MutexLock lock(mutex_);
  const auto found = states_.find(id);
  if (found != states_.end()) Forget(StatePtr(found->second));
}

size_t FetchPump::slot_count() const {
  const MutexLock lock(mutex_);
  return states_.size();
}

bool FetchPump::Forget(const StatePtr& state) {
  if (state->removed->exchange(true)) return false;
  const auto found = states_.find(state->slot.id);
  if (found != states_.end() && found->second == state) states_.erase(found);
  return true;
}

bool FetchPump::IsGone(const State& state) const { return closed_ || state.removed->load(); }

void FetchPump::AddCredit(int64_t bytes) {
  constexpr int64_t kCreditMax = int64_t{1} << 50;
  {
    const MutexLock lock(mutex_);
    credit_ = std::min(kCreditMax, credit_ + std::min(bytes, kCreditMax));
  }
  Pump();
}

void FetchPump::Close() {
  size_t unsent;
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    for (const auto& [id, state] : states_) state->removed->store(true);
    states_.clear();
    ready_.clear();
    unsent = std::exchange(unsent_, 0);
  }
  connection_->Give(unsent);
}

// --- reading ---

// A read may fail at once, and so come back here: one call at a time goes round.
void FetchPump::Pump() {
  {
    const MutexLock lock(mutex_);
    if (std::exchange(pumping_, true)) {
      pump_again_ = true;
      return;
    }
  }
  while (true) {
    const StatePtr state = TakeReady();
    if (state == nullptr) {
      const MutexLock lock(mutex_);
      if (std::exchange(pump_again_, false)) continue;
      pumping_ = false;
      return;
    }
    const auto self = shared_from_this();
    const bool granted = connection_->Take(state->reserved, [self, state] {
      self->door_->queue.Post([self, state] { self->Pull(state); });
    });
    if (granted) Pull(state);
  }
}

FetchPump::StatePtr FetchPump::TakeReady() {
  const MutexLock lock(mutex_);
  if (closed_ || door_->queue.closed()) return nullptr;
  while (!ready_.empty() && ready_.front()->removed->load()) ready_.pop_front();
  const size_t message = options_.message_bytes_max;
  if (ready_.empty() || credit_ <= 0 || reading_ + unsent_ + message > kMessagesAhead * message)
    return nullptr;
  StatePtr state = std::move(ready_.front());
  ready_.pop_front();
  state->reserved = message;
  state->granted = std::min(credit_, static_cast<int64_t>(message));
  reading_ += state->reserved;
  credit_ -= state->granted;
  return state;
}

std::optional<Fetch> FetchPump::RequestOf(const State& state, bool waits) {
  const MutexLock lock(mutex_);
  if (IsGone(state) || door_->queue.closed()) return std::nullopt;
  const Slot& slot = state.slot;
  Fetch request;
  request.topic = slot.topic;
  request.partition = slot.partition;
  request.position = slot.position;
  request.isolation = options_.isolation;
  request.current_leader_epoch = slot.current_leader_epoch;
  request.last_fetched_epoch = slot.last_fetched_epoch;
  request.cancelled = state.removed;
  request.bytes_max = options_.message_bytes_max;
  request.first_batch_may_exceed = options_.splits_batches;
  if (waits) {
    const bool patient = options_.bytes_min > 1;
    request.bytes_min = options_.bytes_min;
    request.wait_max = patient ? std::clamp(options_.wait_max, kWaitMin, kWaitMax) : kWaitMax;
  } else if (options_.splits_batches) {
    request.bytes_max = std::min(request.bytes_max, state.read_bytes);
  } else if (state.granted < static_cast<int64_t>(request.bytes_max)) {
    // One batch may overdraw the credit.
    request.bytes_max = static_cast<size_t>(state.granted);
    request.first_batch_may_exceed = true;
  }
  return request;
}

// Reads what is there.
void FetchPump::Pull(const StatePtr& state) {
  auto request = RequestOf(*state, false);
  if (!request.has_value()) {
    Release(*state);
    return Pump();
  }
  door_->broker.Read(std::move(*request),
                     [self = shared_from_this(), state](Result<Fetched> fetched) {
                       self->OnPulled(state, std::move(fetched));
                     });
}

// Waits until there is something.
void FetchPump::Wait(const StatePtr& state) {
  auto request = RequestOf(*state, true);
  if (!request.has_value()) return;
  door_->broker.Read(std::move(*request),
                     [self = shared_from_this(), state](Result<Fetched> fetched) {
                       self->OnWaited(state, std::move(fetched));
                     });
}

void FetchPump::OnPulled(const StatePtr& state, Result<Fetched> result) {
  if (!result.ok()) return Fail(state, result.error());
  if (result->diverging.has_value()) return OnDiverged(state, *result->diverging);
  if (!result->batches.empty()) return Deliver(state, std::move(*result));
  OnEmpty(state, *result);
}

void FetchPump::OnWaited(const StatePtr& state, Result<Fetched> result) {
  if (!result.ok()) return Fail(state, result.error());
  if (result->diverging.has_value()) return OnDiverged(state, *result->diverging);
  if (result->batches.empty()) return OnEmpty(state, *result);
  if (ReserveFor(*state, result->batches.size())) return Deliver(state, std::move(*result));
  // No room, or no credit: it is read again when its turn comes.
  MakeReady(state);
}

bool FetchPump::ReserveFor(State& state, size_t bytes) {
  const size_t reserved = options_.splits_batches ? options_.message_bytes_max : bytes;
  const MutexLock lock(mutex_);
  if (IsGone(state) || credit_ < static_cast<int64_t>(bytes)) return false;
  if (reading_ + unsent_ + reserved > kMessagesAhead * options_.message_bytes_max) return false;
  if (!connection_->TryTake(reserved)) return false;
  state.reserved = reserved;
  state.granted = static_cast<int64_t>(bytes);
  reading_ += reserved;
  credit_ -= state.granted;
  return true;
}

void FetchPump::Deliver(const StatePtr& state, Fetched fetched) {
  const size_t size = fetched.batches.size();
  if (!options_.splits_batches && size > options_.message_bytes_max) {
    Error error = Error(Reason::kFetchTooSmall,
                        "the next batch has " + std::to_string(size) +
                            " bytes, more than max_batch_bytes: open a stream with more")
                      .With("needed_bytes", std::to_string(size))
                      .With("offset", std::to_string(fetched.from.value));
    return Fail(state, AtPartition(std::move(error), door_->broker, state->slot.topic,
                                   state->slot.partition));
  }
  const auto sink = sink_.lock();
  bool gone;
  {
    const MutexLock lock(mutex_);
    gone = sink == nullptr || IsGone(*state);
  }
  if (gone) {
    Release(*state);
    return Pump();
  }
  // Where it cannot be sent now it is read again: then it must begin at the same place.
  state->slot.position = {Position::Kind::kOffset, fetched.from.value};
  sink->OnFetched(state, state->slot, std::move(fetched));
}

void FetchPump::OnEmpty(const StatePtr& state, const Fetched& fetched) {
  Release(*state);
  state->slot.position = {Position::Kind::kOffset, fetched.next_offset.value};
  state->slot.last_fetched_epoch.reset();
  // Offsets that compaction or control batches left empty were passed over.
  if (fetched.next_offset < fetched.high_watermark) return MakeReady(state);
  if (!std::exchange(state->is_caught_up, true)) {
    const auto sink = sink_.lock();
    if (sink == nullptr) return;
    sink->OnCaughtUp(state->slot, fetched.next_offset);
  }
  Wait(state);
  Pump();
}

void FetchPump::Charge(const Ticket& ticket, size_t bytes) {
  size_t reserved, charged;
  {
    const MutexLock lock(mutex_);
    reserved = std::exchange(ticket->reserved, 0);
    // Once the stream is closed nobody says when it leaves.
    charged = closed_ ? 0 : bytes;
    reading_ -= reserved;
    unsent_ += charged;
    credit_ += std::exchange(ticket->granted, 0) - static_cast<int64_t>(bytes);
    // One record may need more than was expected of a message.
    if (charged > reserved) connection_->TakeAnyway(charged - reserved);
  }
  if (reserved > charged) connection_->Give(reserved - charged);
}

const FetchPump::Slot& FetchPump::SlotOf(const Ticket& ticket) { return ticket->slot; }

bool FetchPump::IsWanted(const Ticket& ticket) const {
  const MutexLock lock(mutex_);
  return !IsGone(*ticket);
}

void FetchPump::Queued(const Ticket& ticket, const Fetched& fetched, Offset next_offset) {
  Release(*ticket);
  const bool at_end = next_offset >= fetched.high_watermark;
  const size_t message = options_.message_bytes_max;
  {
    const MutexLock lock(mutex_);
    size_t& read = ticket->read_bytes;
    read = std::min(read, message);
    read = next_offset < fetched.next_offset ? std::max(read / 2, std::min(message, kReadBytesMin))
                                             : std::min(2 * read, message);
    ticket->slot.position = {Position::Kind::kOffset, next_offset.value};
    ticket->slot.last_fetched_epoch.reset();
    ticket->is_caught_up = at_end;
    if (!at_end && !IsGone(*ticket)) ready_.push_back(ticket);
  }
  if (at_end) Wait(ticket);
  Pump();
}

void FetchPump::Sent(size_t charged_bytes) {
  {
    const MutexLock lock(mutex_);
    if (closed_) return;
    CHECK_GE(unsent_, charged_bytes);
    unsent_ -= charged_bytes;
  }
  connection_->Give(charged_bytes);
  Pump();
}

// --- the other ends of a read ---

void FetchPump::OnDiverged(const StatePtr& state, const EpochEnd& end) {
  Release(*state);
  bool was_there;
  {
    const MutexLock lock(mutex_);
    was_there = Forget(state);
  }
  if (const auto sink = sink_.lock(); sink != nullptr && was_there)
    sink->OnDiverged(state->slot, end);
  Pump();
}

void FetchPump::Fail(const StatePtr& state, const Error& error) {
  Release(*state);
  if (error.reason == Reason::kQuotaExceeded) {
    // The memory for answers, or to decompress in, is in use: that passes.
    door_->queue.After(kRetryDelay, [weak = weak_from_this(), state] {
      if (const auto self = weak.lock()) self->MakeReady(state);
    });
    return Pump();
  }
  bool was_there;
  {
    const MutexLock lock(mutex_);
    was_there = Forget(state);
  }
  if (const auto sink = sink_.lock(); sink != nullptr && was_there)
    sink->OnFailed(state->slot, error);
  Pump();
}

void FetchPump::MakeReady(const StatePtr& state) {
  {
    const MutexLock lock(mutex_);
    if (IsGone(*state)) return;
    ready_.push_back(state);
  }
  Pump();
}

void FetchPump::Release(State& state) {
  size_t give;
  {
    const MutexLock lock(mutex_);
    reading_ -= state.reserved;
    credit_ += state.granted;
    give = std::exchange(state.reserved, 0);
    state.granted = 0;
  }
  if (give > 0) connection_->Give(give);
}

}  // namespace gregor
