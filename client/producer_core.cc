#include "client/producer_core.h"

#include <algorithm>
#include <utility>

#include "client/channel.h"
#include "client/produce_errors.h"
#include "client/timing.h"
#include "client/wire.h"

namespace gregor {
namespace {

constexpr size_t kInFlightBatchesMax = 5;  // what a broker remembers of an idempotent producer

}  // namespace

struct ProducerCore::Batch {
  FilledBatch filled;               // its builder is empty once `data` is there
  std::optional<RecordBatch> data;  // from the first attempt on
  int32_t record_count = 0;
  uint64_t session_number = 0;  // whose sequence it has; 0: none
  Sequence sequence = kNoSequence;
  int64_t frame_id = 0;        // while it is in flight
  bool maybe_written = false;  // it was sent once, and its fate is open
  bool releases = true;
};

// One partition's batches, in order: those in flight, then those to be sent.
struct ProducerCore::Lane {
  const ProducerPartition* partition = nullptr;
  std::deque<Batch> batches;
  size_t sent = 0;       // how many of them are in flight
  Link link = 0;         // where those are
  Link wanted_link = 0;  // where others go; the same, or nothing is sent until nothing is in flight
  Sequence next_sequence{0};
  int32_t attempt = 0;
  Duration backoff{0};
  MonotonicTime not_before = MonotonicTime::min();
  bool has_moved = false;
  bool queued = false;  // in `sendable` of its link
};

ProducerCore::ProducerCore(Options options, Session session)
    : options_(options), session_(session) {}
ProducerCore::~ProducerCore() = default;

ProducerCore::Lane& ProducerCore::LaneOf(const ProducerPartition& partition) {
  if (partition.id >= lanes_.size()) lanes_.resize(partition.id + 1);
  auto& lane = lanes_[partition.id];
  if (lane == nullptr) {
    lane = std::make_unique<Lane>();
    lane->partition = &partition;
  }
  return *lane;
}

const ProducerCore::Lane* ProducerCore::FindLane(const ProducerPartition& partition) const {
  return partition.id < lanes_.size() ? lanes_[partition.id].get() : nullptr;
}

bool ProducerCore::CanTake(const ProducerPartition& partition) {
  const Lane* const lane = FindLane(partition);
  if (restarting_ && lane == nullptr) sessionless_.push_back(&partition);
  if (restarting_ || fatal_.has_value()) return false;
  if (lane == nullptr) return true;
  return lane->sent == lane->batches.size() && lane->link == lane->wanted_link &&
         (!options_.idempotent || lane->sent < kInFlightBatchesMax);
}

void ProducerCore::Add(FilledBatch batch) {
  Lane& lane = LaneOf(*batch.partition);
  const int32_t count = batch.builder.record_count();
  lane.batches.push_back({.filled = std::move(batch), .data = {}, .record_count = count});
  ++batch_count_;
  Queue(lane);
}

void ProducerCore::Queue(Lane& lane) {
  if (lane.queued || lane.sent == lane.batches.size()) return;
  lane.queued = true;
  WireOf(lane.link).sendable.push_back(&lane);
}

// --- links ---

ProducerCore::Wire& ProducerCore::WireOf(Link link) {
  while (wires_.size() <= link) wires_.emplace_back();
  return wires_[link];
}

void ProducerCore::SetLink(const ProducerPartition& partition, Link link) {
  Lane& lane = LaneOf(partition);
  if (std::exchange(lane.wanted_link, link) != link) Move(lane);
}

void ProducerCore::Move(Lane& lane) {
  if (lane.sent > 0) return;
  if (lane.link != lane.wanted_link) {
    if (std::exchange(lane.queued, false)) std::erase(WireOf(lane.link).sendable, &lane);
    lane.link = lane.wanted_link;
    lane.not_before = MonotonicTime::min();
    lane.has_moved = true;
    if (CanTake(*lane.partition)) unblocked_.push_back(lane.partition);
  }
  Queue(lane);
}

ProducerCore::Link ProducerCore::LinkOf(const ProducerPartition& partition) const {
  const Lane* const lane = FindLane(partition);
  return lane == nullptr ? 0 : lane->wanted_link;
}

bool ProducerCore::HasStrays(Link link) const {
  return std::any_of(lanes_.begin(), lanes_.end(), [&](const auto& lane) {
    return lane != nullptr && lane->link == link && lane->wanted_link != link;
  });
}

Accumulator::Partitions ProducerCore::partitions() const {
  Accumulator::Partitions partitions;
  for (const auto& lane : lanes_) {
    if (lane != nullptr) partitions.push_back(lane->partition);
  }
  return partitions;
}

// --- sending ---

bool ProducerCore::CanSendNext(const Lane& lane) const {
  if (lane.sent == lane.batches.size() || lane.link != lane.wanted_link) return false;
  if (restarting_ && !lane.batches[lane.sent].maybe_written) return false;
  return !options_.idempotent || lane.sent < kInFlightBatchesMax;
}

std::optional<Bytes> ProducerCore::NextFrame(MonotonicTime now, Link link) {
  if (!HasRoom(link)) return std::nullopt;
  Wire& wire = WireOf(link);
  for (size_t left = wire.sendable.size(); left > 0; --left) {
    Lane& lane = *wire.sendable.front();
    wire.sendable.pop_front();
    lane.queued = false;
    if (!CanSendNext(lane)) continue;  // until an answer or a new session
    if (lane.not_before > now) {
      Queue(lane);
      continue;
    }
    if (!Prepare(lane, lane.batches[lane.sent])) {
      Queue(lane);
      if (lane.queued) ++left;  // it has other batches
      continue;
    }
    Batch& batch = lane.batches[lane.sent++];
    batch.frame_id = wire.frames.next_id();
    wire.frames.Add(lane, batch.data->bytes.size());
    Queue(lane);
    if (CanTake(*lane.partition)) unblocked_.push_back(lane.partition);
    return EncodeProduceFrame(batch.frame_id, lane.partition->topic, lane.partition->index,
                              lane.attempt, batch.data->bytes);
  }
  return std::nullopt;
}

bool ProducerCore::Prepare(Lane& lane, Batch& batch) {
  const bool numbered = batch.session_number == session_number_;
  if (options_.idempotent && !numbered) {
    batch.session_number = session_number_;
    batch.sequence = lane.next_sequence;
    lane.next_sequence = Advance(lane.next_sequence, batch.record_count);
  }
  if (!batch.data.has_value()) {
    if (options_.idempotent)
      batch.filled.builder.SetProducer(session_.id, session_.epoch, batch.sequence);
    batch.data = batch.filled.builder.Build();
  } else if (options_.idempotent && !numbered) {
    batch.data = WithProducer(*batch.data, session_.id, session_.epoch, batch.sequence);
  }
  const size_t limit = batch.filled.batch_bytes_max;
  if (batch.data->bytes.size() <= limit) return true;
  outdated_topics_.push_back(lane.partition->topic);
  if (batch.record_count > 1) {
    Split(lane, lane.sent);
  } else {
    GiveUp(lane, lane.sent, TooLarge(batch.data->bytes.size(), limit));
  }
  return false;
}

void ProducerCore::Split(Lane& lane, size_t index) {
  Batch whole = std::move(lane.batches[index]);
  auto reader = RecordReader::Open(*whole.data, SIZE_MAX);
  CHECK(reader.ok()) << reader.error();
  const int32_t half = whole.record_count / 2;
  Batch parts[2];
  for (Batch& part : parts) {
    part.filled = {.partition = lane.partition,
                   .builder = BatchBuilder({.codec = whole.data->header.codec()}),
                   .since = whole.filled.since,
                   .first_number = whole.filled.first_number,
                   .last_number = whole.filled.last_number,
                   .batch_bytes_max = whole.filled.batch_bytes_max,
                   .memory_bytes = 0,
                   .generation = whole.filled.generation};
    part.session_number = whole.session_number;
    part.maybe_written = whole.maybe_written;
    part.releases = false;
  }
  for (int32_t i = 0; i < whole.record_count; ++i) {
    const auto record = reader->Next();
    CHECK(record.ok() && record->has_value());
    const RecordView& view = **record;
    parts[i < half ? 0 : 1].filled.builder.Add(
        {view.key, view.value, DecodeHeaders(view), view.timestamp});
  }
  // Where records of other partitions came between, nobody knows which were the first half.
  if (whole.filled.last_number - whole.filled.first_number + 1 == whole.record_count) {
    parts[1].filled.first_number += half;
    parts[0].filled.last_number = parts[1].filled.first_number - 1;
  }
  parts[0].record_count = half;
  parts[1].record_count = whole.record_count - half;
  parts[1].releases = whole.releases;
  parts[1].filled.memory_bytes = whole.filled.memory_bytes;
  if (whole.session_number != 0) {
    parts[0].sequence = whole.sequence;
    parts[1].sequence = Advance(whole.sequence, half);
  }
  ++batch_count_;
  lane.batches[index] = std::move(parts[0]);
  lane.batches.insert(lane.batches.begin() + static_cast<ptrdiff_t>(index) + 1,
                      std::move(parts[1]));
}

// --- answers ---

void ProducerCore::OnWindow(int64_t bytes_max, int32_t frames_max, Link link) {
  size_t bytes = options_.in_flight_bytes_max > 0 ? options_.in_flight_bytes_max : SIZE_MAX;
  if (bytes_max > 0) bytes = std::min(bytes, static_cast<size_t>(bytes_max));
  WireOf(link).frames.SetBounds(bytes, frames_max > 0 ? static_cast<size_t>(frames_max) : SIZE_MAX);
}

Result<void> ProducerCore::OnAck(int64_t frame_id, Offset base_offset, Link link) {
  auto& frames = WireOf(link).frames;
  const auto* const frame = frames.Find(frame_id);
  if (frame == nullptr)
    return Error(Reason::kUnspecified, "the server acknowledged a frame that it did not get");
  Lane* const lane = frame->owner;
  frames.Forget(frame_id);
  if (lane == nullptr) return {};
  if (lane->sent == 0 || lane->batches.front().frame_id != frame_id) {
    return Error(Reason::kUnspecified,
                 "the server acknowledged frames of a partition in another order than they have");
  }
  Report(*lane, lane->batches.front(), base_offset, nullptr);
  lane->batches.pop_front();
  --lane->sent;
  lane->backoff = Duration(0);
  trouble_.reset();
  Move(*lane);
  Queue(*lane);
  if (CanTake(*lane->partition)) unblocked_.push_back(lane->partition);
  return {};
}

// The batches from `index` on are to be sent again; answers to what was sent do not count.
void ProducerCore::TakeBack(Lane& lane, size_t index) {
  auto& frames = WireOf(lane.link).frames;
  for (size_t i = index; i < lane.sent; ++i) {
    if (auto* const frame = frames.Find(lane.batches[i].frame_id)) frame->owner = nullptr;
  }
  lane.sent = index;
}

bool ProducerCore::MayRetry(const Batch& batch, const Error& error) const {
  // A broker may not have heard of a new topic yet.
  const bool is_behind = options_.is_new_topic && error.reason != Reason::kBatchTooLarge &&
                         IsAboutTopic(error.reason) &&
                         options_.is_new_topic(batch.filled.partition->topic);
  return (is_behind || IsRetriable(error)) && (MayRepeat() || !batch.maybe_written);
}

const ProducerPartition* ProducerCore::OnError(int64_t frame_id, Error error, MonotonicTime now,
                                               Link link) {
  auto& frames = WireOf(link).frames;
  const auto* const frame = frames.Find(frame_id);
  if (frame == nullptr) return nullptr;
  Lane* const lane = frame->owner;
  frames.Forget(frame_id);
  if (lane == nullptr) return nullptr;
  size_t index = 0;
  while (index < lane->sent && lane->batches[index].frame_id != frame_id) ++index;
  CHECK_LT(index, lane->sent);
  const bool ends_session = options_.idempotent && IsSessionError(error.reason);
  // Those behind it may be where it may be; their own answers do not count any more.
  if (!IsNotApplied(error) && !ends_session) {
    for (size_t i = index; i < lane->sent; ++i) lane->batches[i].maybe_written = true;
  }
  TakeBack(*lane, index);
  refusals_.Note(*lane->partition, link, error, now);
  ++lane->attempt;
  Batch& batch = lane->batches[index];
  if (IsAboutTopic(error.reason)) outdated_topics_.push_back(lane->partition->topic);
  if (ends_session) {
    trouble_ = error;
    restarting_ = true;
    // Where it was sent before it may be in the log by now, and would be there twice.
    if (batch.maybe_written) GiveUp(*lane, index, error);
  } else {
    if (error.reason == Reason::kProducerFenced) {
      fatal_ = error;
    } else if (error.reason == Reason::kBatchTooLarge && batch.record_count > 1 &&
               !batch.maybe_written) {
      Split(*lane, index);
    } else if (MayRetry(batch, error)) {
      lane->backoff = std::clamp(2 * lane->backoff, kBackoffMin, kBackoffMax);
      lane->not_before = now + std::max(lane->backoff, RetryDelayOf(error));
      trouble_ = std::move(error);
    } else {
      GiveUp(*lane, index, error);
      while (!MayRepeat() && index < lane->batches.size() && lane->batches[index].maybe_written)
        GiveUp(*lane, index, error);
    }
  }
  Move(*lane);
  Queue(*lane);
  return lane->partition;
}

void ProducerCore::OnBroken(const Error* error, Link link) {
  if (error != nullptr && error->reason == Reason::kBatchTooLarge) {
    // Larger than any message that the server takes: the largest of them must be it.
    Lane* lane = nullptr;
    size_t index = 0, bytes = 0;
    for (const auto& candidate : lanes_) {
      if (candidate == nullptr || candidate->link != link) continue;
      for (size_t i = 0; i < candidate->sent; ++i) {
        const size_t size = candidate->batches[i].data->bytes.size();
        if (size <= bytes) continue;
        lane = candidate.get(), index = i, bytes = size;
      }
    }
    if (lane != nullptr) {
      TakeBack(*lane, index);
      GiveUp(*lane, index, *error);
    }
  }
  WireOf(link).frames.Clear();
  if (error != nullptr) trouble_ = *error;
  for (const auto& lane : lanes_) {
    if (lane == nullptr || lane->link != link) continue;
    for (size_t i = 0; i < lane->sent; ++i) lane->batches[i].maybe_written = true;
    const size_t sent = std::exchange(lane->sent, 0);
    // A new stream knows of no attempts; one that the partition comes back to does.
    if (!lane->has_moved) lane->attempt = 0;
    if (!MayRepeat()) {
      static const Error kClosed(Reason::kServerDraining, "the server closed the stream");
      for (size_t i = 0; i < sent; ++i) GiveUp(*lane, 0, error == nullptr ? kClosed : *error);
    }
    Move(*lane);
    Queue(*lane);
  }
}

// --- sessions ---

bool ProducerCore::NeedsSession() const {
  if (!restarting_) return false;
  for (const auto& lane : lanes_) {
    if (lane == nullptr) continue;
    if (lane->sent > 0) return false;
    for (const Batch& batch : lane->batches) {
      if (batch.maybe_written) return false;
    }
  }
  return true;
}

void ProducerCore::BeginSession(Session session) {
  session_ = session;
  ++session_number_;
  restarting_ = false;
  unblocked_.insert(unblocked_.end(), sessionless_.begin(), sessionless_.end());
  sessionless_.clear();
  for (const auto& lane : lanes_) {
    if (lane == nullptr) continue;
    lane->next_sequence = Sequence{0};
    Queue(*lane);
    if (CanTake(*lane->partition)) unblocked_.push_back(lane->partition);
  }
}

// --- giving up ---

void ProducerCore::GiveUp(Lane& lane, size_t index, const Error& error) {
  const Batch batch = std::move(lane.batches[index]);
  lane.batches.erase(lane.batches.begin() + static_cast<ptrdiff_t>(index));
  Report(lane, batch, Offset{-1}, &error);
  if (options_.idempotent && batch.session_number == session_number_) {
    bool open = batch.maybe_written;
    for (size_t i = index; i < lane.batches.size(); ++i) open |= lane.batches[i].maybe_written;
    if (open) {
      restarting_ = true;
    } else {
      // It was not written, nor was anything behind it: those move up.
      lane.next_sequence = batch.sequence;
      for (size_t i = index; i < lane.batches.size(); ++i) lane.batches[i].session_number = 0;
    }
  }
  if (CanTake(*lane.partition)) unblocked_.push_back(lane.partition);
}

void ProducerCore::Report(const Lane& lane, const Batch& batch, Offset base_offset,
                          const Error* error) {
  --batch_count_;
  auto failure = error == nullptr ? std::nullopt : std::optional<Error>(*error);
  if (failure.has_value() && (batch.maybe_written || DetailOf(*failure, "outcome").empty()))
    SetOutcome(*failure, batch.maybe_written);
  outcomes_.push_back(
      {.partition = lane.partition,
       .record_count = batch.record_count,
       .bytes = batch.data.has_value() ? batch.data->bytes.size() : batch.filled.builder.size(),
       .since = batch.filled.since,
       .first_number = batch.filled.first_number,
       .last_number = batch.filled.last_number,
       .base_offset = base_offset,
       .error = std::move(failure),
       .releases = batch.releases,
       .memory_bytes = batch.filled.memory_bytes,
       .generation = batch.filled.generation});
}

bool ProducerCore::Expire(MonotonicTime now, Link link) {
  const MonotonicTime oldest = now - options_.delivery_timeout;
  bool stuck = false;
  for (const auto& lane : lanes_) {
    if (lane == nullptr || lane->link != link) continue;
    while (!lane->batches.empty() && lane->batches.front().filled.since < oldest) {
      if (lane->sent > 0) {
        stuck = true;
        break;
      }
      const bool maybe_written = lane->batches.front().maybe_written;
      GiveUp(*lane, 0, NotInTime(*lane, "acknowledged", trouble_, now, maybe_written));
    }
  }
  return stuck;
}

Error ProducerCore::NotInTime(const Lane& lane, const char* done,
                              const std::optional<Error>& trouble, MonotonicTime now,
                              bool maybe_written) const {
  // What came a moment before the batch may be what it waited for in vain.
  const Duration lately = 2 * std::min<Duration>(options_.delivery_timeout, std::chrono::hours(1));
  const auto* const refusal = refusals_.Find(*lane.partition, lane.link, now - lately);
  return TimedOut(done, trouble, refusal, now, maybe_written);
}

void ProducerCore::FailUnsent(FilledBatch batch, const std::optional<Error>& trouble,
                              MonotonicTime now) {
  const auto& known = trouble_.has_value() ? trouble_ : trouble;
  const Error error = NotInTime(LaneOf(*batch.partition), "sent", known, now, false);
  Fail(std::move(batch), error);
}

void ProducerCore::Fail(FilledBatch batch, const Error& error) {
  Lane& lane = LaneOf(*batch.partition);
  const int32_t count = batch.builder.record_count();
  ++batch_count_;
  Report(lane, {.filled = std::move(batch), .data = {}, .record_count = count}, Offset{-1}, &error);
}

void ProducerCore::FailAll(const Error& error) {
  for (Link link = 0; link < wires_.size(); ++link) OnBroken(&error, link);
  for (const auto& lane : lanes_) {
    if (lane == nullptr) continue;
    for (const Batch& batch : lane->batches) Report(*lane, batch, Offset{-1}, &error);
    lane->batches.clear();
  }
  restarting_ = false;
  fatal_ = error;
}

MonotonicTime ProducerCore::RetryTime(Link link) const {
  MonotonicTime time = MonotonicTime::max();
  if (link >= wires_.size()) return time;
  for (const Lane* const lane : wires_[link].sendable) {
    if (CanSendNext(*lane)) time = std::min(time, lane->not_before);
  }
  return time;
}

ProducerCore::Outcomes ProducerCore::TakeOutcomes() { return std::exchange(outcomes_, {}); }

Accumulator::Partitions ProducerCore::TakeUnblocked() { return std::exchange(unblocked_, {}); }

std::vector<std::string> ProducerCore::TakeOutdatedTopics() {
  return std::exchange(outdated_topics_, {});
}

}  // namespace gregor
