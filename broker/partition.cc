#include "broker/partition.h"

#include <algorithm>
#include <utility>

#include "broker/leader_hint.h"
#include "broker/request_id.h"
#include "storage/epoch_cache.h"
#include "storage/producer_state.h"

namespace gregor {
namespace {

constexpr Duration kOpenRetry = std::chrono::seconds(1);

}  // namespace

Partition::Partition(EventLoop& loop, const PartitionContext& context, TopicIdPartition id,
                     Metadata metadata)
    : loop_(loop),
      context_(context),
      id_(id),
      metadata_(std::move(metadata)),
      traffic_(context.traffic == nullptr ? nullptr : context.traffic->Of(metadata_.topic)) {}

Partition::~Partition() {
  life_->alive = false;
  for (const WaitingSearch& search : searches_) loop_.Cancel(search.timer);
  context_.waiting_fetches.Add(-static_cast<int64_t>(searches_.size()));
  if (offline_.has_value()) context_.refused.Remove(id_);
}

Error Partition::Ended(const Life& life) {
  if (life.removed) return Error(Reason::kUnknownTopicId, "the topic was deleted");
  return Error(Reason::kServerDraining, "the broker stops: try another one");
}

void Partition::Open(LogDirectory& directory) {
  CHECK(state_ == State::kNew);
  state_ = State::kOpening;
  directory_ = &directory;
  OpenLog();
}

void Partition::OpenLog() {
  reopening_ = state_ == State::kOffline;
  Log::Options options;
  options.id = id_;
  options.config = metadata_.settings->log;
  options.epoch_max = metadata_.leader_epoch;
  options.producer_id_expiration_ms = context_.producer_id_expiration_ms;
  options.producer_ids_max = context_.producer_ids_max;
  options.producer_budget = &context_.producer_budget;
  options.search_memory = &context_.fetch_memory;
  options.on_progress = [this, life = life_] {
    if (life->alive) OnProgress();
  };
  options.stable_end = [this, life = life_] { return life->alive ? high_watermark_ : Offset{0}; };
  Log::Open(*directory_, loop_, std::move(options),
            [this, life = life_](Result<std::unique_ptr<Log>> log) {
              if (!life->alive) return;
              reopening_ = false;
              if (!log.ok()) return OnNotOpened(std::move(log).error());
              OnOpened(*std::move(log));
            });
}

// Where only open files were missing it is tried again; until then calls get that error.
void Partition::OnNotOpened(Error error) {
  const bool passes = error.reason == Reason::kQuotaExceeded && !ending_;
  if (state_ == State::kOffline) {
    offline_ = WithName(std::move(error));
    for (Task& task : std::exchange(when_open_, {})) task();
  } else {
    SetOffline(std::move(error));
  }
  if (!passes) return;
  loop_.After(kOpenRetry, "partition.open_again", [this, life = life_] {
    if (life->alive && state_ == State::kOffline && !ending_) OpenLog();
  });
}

void Partition::OnOpened(std::unique_ptr<Log> log) {
  if (offline_.has_value()) {
    LOG(INFO) << "Partition " << metadata_.topic << "-" << id_.partition << " is open now";
    offline_.reset();
    context_.refused.Remove(id_);
  }
  log_ = std::move(log);
  log_->SetConfig(metadata_.settings->log);  // what changed while it was opened
  high_watermark_ = log_->ends().synced_end;
  state_ = State::kOpen;
  for (Task& task : std::exchange(when_open_, {})) task();
}

// For callers, to whom files' names say nothing.
Error Partition::WithName(Error error) const {
  error.message = "partition " + metadata_.topic + "-" + std::to_string(id_.partition.value) +
                  " is offline: " + error.message;
  return error;
}

void Partition::SetOffline(Error error) {
  LOG(ERROR) << "Partition " << metadata_.topic << "-" << id_.partition << " (" << id_
             << ") is offline: " << error;
  state_ = State::kOffline;
  offline_ = WithName(std::move(error));
  context_.refused.Add(id_);
  for (Task& task : std::exchange(when_open_, {})) task();
}

void Partition::WhenOpen(Task task) {
  // Who ends it waits for a log that is being opened once more, too.
  if (state_ == State::kOpening || state_ == State::kNew || (reopening_ && ending_)) {
    when_open_.push_back(std::move(task));
  } else {
    task();
  }
}

void Partition::SetMetadata(Metadata metadata) {
  const bool config_changed = *metadata.settings != *metadata_.settings;
  metadata_ = std::move(metadata);
  if (!config_changed || log_ == nullptr) return;
  log_->SetConfig(metadata_.settings->log);
  // Writes that repeat what was only written so far wait for this.
  if (state_ == State::kOpen && metadata_.settings->log.durability == Durability::kSynced)
    log_->RequestSync();
}

std::optional<Error> Partition::failure() const {
  if (offline_.has_value()) return offline_;
  return log_ == nullptr ? std::nullopt : log_->failure();
}

Result<void> Partition::CheckServing(std::optional<LeaderEpoch> current_leader_epoch) const {
  if (state_ == State::kClosing) return Ended(*life_);
  if (state_ == State::kRemoved) {
    return Error(Reason::kUnknownTopicId,
                 "topic \"" + metadata_.topic + "\" (" + id_.topic_id.ToString() + ") was deleted")
        .With("topic", metadata_.topic)
        .With("topic_id", id_.topic_id.ToString());
  }
  if (offline_.has_value()) return *offline_;
  if (metadata_.leader != context_.node_id) {
    const std::string who = metadata_.leader.value < 0
                                ? "nobody does"
                                : "broker " + std::to_string(metadata_.leader.value) + " does";
    return Hinted(Error(Reason::kNotLeader, "this broker does not lead partition " +
                                                std::to_string(id_.partition.value) +
                                                " of topic \"" + metadata_.topic + "\": " + who));
  }
  if (!current_leader_epoch.has_value() || *current_leader_epoch == metadata_.leader_epoch)
    return {};
  const bool old = *current_leader_epoch < metadata_.leader_epoch;
  return Hinted(
      Error(old ? Reason::kFencedLeaderEpoch : Reason::kUnknownLeaderEpoch,
            "the request names leader epoch " + std::to_string(current_leader_epoch->value) +
                ", partition " + std::to_string(id_.partition.value) + " of topic \"" +
                metadata_.topic + "\" is at " + std::to_string(metadata_.leader_epoch.value) +
                (old ? ": refresh the metadata" : ": this broker has yet to hear of it, retry")));
}

Error Partition::Hinted(Error error) const {
  return WithLeader(std::move(error), metadata_.leader, metadata_.leader_epoch,
                    metadata_.leading_broker.get());
}

Result<void> Partition::CheckAcks(const AckRule& ack) const {
  if (metadata_.replica_count > 1) {
    return Error(Reason::kNotEnoughReplicas,
                 "partition " + std::to_string(id_.partition.value) + " of topic \"" +
                     metadata_.topic + "\" is to have " + std::to_string(metadata_.replica_count) +
                     " replicas, but brokers do not replicate yet: only this one would have what "
                     "is written. Use a topic with replication factor 1")
        .With("isr", "1")
        .With("needed", std::to_string(metadata_.replica_count));
  }
  int32_t needed = 1;
  // More than there are replicas can never be in sync.
  if (ack.acks == Acks::kAll)
    needed = std::min(metadata_.settings->min_insync_replicas, metadata_.replica_count);
  if (ack.acks == Acks::kCount) {
    if (ack.count < 1 || ack.count > metadata_.replica_count) {
      return Error(Reason::kInvalidRequiredAcks, "acks of " + std::to_string(ack.count) +
                                                     " replicas cannot be had: the partition has " +
                                                     std::to_string(metadata_.replica_count));
    }
    needed = ack.count;
  }
  if (metadata_.isr_count >= needed) return {};
  return Error(Reason::kNotEnoughReplicas,
               std::to_string(metadata_.isr_count) + " replica(s) in sync, " +
                   std::to_string(needed) + " needed" +
                   (ack.acks == Acks::kAll ? " by min.insync.replicas" : ""))
      .With("isr", std::to_string(metadata_.isr_count))
      .With("needed", std::to_string(needed));
}

ProduceRules Partition::RulesNow() const {
  const TopicSettings& settings = *metadata_.settings;
  return {.batch_bytes_max = std::min(settings.message_bytes_max, context_.message_bytes_limit),
          .timestamp_type = settings.timestamp_type,
          .now = loop_.clock().WallNow(),
          .timestamp_before_max_ms = settings.timestamp_before_max_ms,
          .timestamp_after_max_ms = settings.timestamp_after_max_ms,
          .keys_required = settings.log.cleanup_compact,
          .memory = &context_.produce_memory};
}

Result<RecordBatch> Partition::Check(Bytes batch) const {
  return CheckProducedBatch(std::move(batch), RulesNow());
}

Produced Partition::Describe(Offset base, int32_t record_count) const {
  Produced produced;
  produced.partition = id_.partition;
  produced.base_offset = base;
  produced.record_count = record_count;
  produced.leader_epoch = metadata_.leader_epoch;
  produced.log_start = log_->ends().log_start;
  return produced;
}

Result<std::optional<Produced>> Partition::FindDuplicate(const Append& append,
                                                         const BatchHeader& header) {
  if (!append.is_request && IsRequestId(header.producer_id)) {
    return Error(Reason::kInvalidArgument, "producer id " +
                                               std::to_string(header.producer_id.value) +
                                               " is reserved: use one that InitProducer gave");
  }
  // Whoever gets the id later must not find batches under it.
  const bool is_known = append.is_request || header.producer_id == kNoProducerId ||
                        header.producer_id.value < context_.producer_ids_end.load();
  if (!is_known) {
    return Error(Reason::kUnknownProducerId,
                 "producer id " + std::to_string(header.producer_id.value) +
                     " was not given by this cluster, or its metadata were restored from before "
                     "that: begin a new session with InitProducer");
  }
  ASSIGN_OR_RETURN(const auto earlier, log_->producers().Check(header));
  if (!earlier.has_value()) return std::optional<Produced>();
  Produced produced = Describe(
      earlier->base_offset, static_cast<int32_t>(earlier->last_offset - earlier->base_offset) + 1);
  produced.duplicate = true;
  return std::optional<Produced>(std::move(produced));
}

std::optional<Sequence> Partition::ContentOf(ProducerId id) const {
  if (log_ == nullptr || state_ == State::kRemoved) return std::nullopt;
  const auto batch = log_->producers().LastOf(id);
  if (!batch.has_value()) return std::nullopt;
  return batch->first_sequence;
}

Result<Produced> Partition::AppendToLog(RecordBatch batch) {
  const TopicSettings& settings = *metadata_.settings;
  const Timestamp now = loop_.clock().WallNow();
  StampBatch(batch, log_->ends().log_end, metadata_.leader_epoch, settings.timestamp_type, now);
  Produced produced = Describe(batch.header.base_offset, batch.header.record_count);
  if (settings.timestamp_type == TimestampType::kLogAppendTime) produced.log_append_time = now;
  const size_t size = batch.bytes.size();
  RETURN_IF_ERROR(log_->Append(std::move(batch)));
  if (context_.on_appended) context_.on_appended(size, produced.record_count);
  if (traffic_ != nullptr) {
    traffic_->records_in.Add(static_cast<uint64_t>(produced.record_count));
    traffic_->bytes_in.Add(size);
  }
  return produced;
}

Result<Partition::PendingAck> Partition::CheckAndAppend(Append& append) {
  RETURN_IF_ERROR(CheckServing(append.current_leader_epoch));
  if (append.abandoned.IsSet()) {
    return Error(Reason::kPriorRequestFailed,
                 "an earlier write of this stream to the partition failed: send again from that "
                 "one on");
  }
  RETURN_IF_ERROR(CheckAcks(append.ack));
  if (!append.checked.has_value()) {
    ASSIGN_OR_RETURN(append.checked, Check(std::move(append.batch)));
  }
  RecordBatch batch = *std::move(append.checked);
  ASSIGN_OR_RETURN(auto duplicate, FindDuplicate(append, batch.header));
  PendingAck pending;
  if (duplicate.has_value()) {
    pending.produced = std::move(*duplicate);
  } else {
    pending.bytes = batch.bytes.size();
    ASSIGN_OR_RETURN(pending.produced, AppendToLog(std::move(batch)));
  }
  pending.end = pending.produced.base_offset + pending.produced.record_count;
  pending.memory = std::move(append.memory);
  pending.wants_receipt = append.ack.receipt && append.ack.acks != Acks::kNone;
  return pending;
}

void Partition::Produce(Append append, BrokerApi::Done<Produced> done) {
  if (traffic_ != nullptr) traffic_->writes.Add();
  auto pending = CheckAndAppend(append);
  if (!pending.ok()) {
    context_.produce_errors.Add(pending.error().reason);
    return done(std::move(pending).error());
  }
  pending->done = std::move(done);
  Acknowledge(std::move(*pending), append.ack);
}

void Partition::Acknowledge(PendingAck pending, const AckRule& ack) {
  if (ack.acks == Acks::kNone) {
    auto done = std::move(pending.done);
    const Produced produced = pending.produced;
    // Its memory stays accounted for until the bytes are written.
    pending.done = [](Result<Produced>) {};
    acks_.push_back(std::move(pending));
    done(produced);
  } else {
    acks_.push_back(std::move(pending));
  }
  OnProgress();
}

Receipt Partition::ReceiptNow(Offset end) const {
  Receipt receipt;
  const bool is_synced = end <= log_->ends().synced_end;
  (is_synced ? receipt.synced : receipt.held).push_back(context_.node_id);
  return receipt;
}

void Partition::OnProgress() {
  if (log_ == nullptr || state_ == State::kRemoved) return;
  if (const auto failure = log_->failure(); failure.has_value()) {
    FailPending(*failure);
    return;
  }
  const LogEnds ends = log_->ends();
  const bool synced = metadata_.settings->log.durability == Durability::kSynced;
  const Offset held = synced ? ends.synced_end : ends.written_end;
  // Never back: what was visible once stays visible, also when durability becomes stricter. What is
  // acknowledged from then on is held to that all the same: a retry waits until its original is
  // synced.
  high_watermark_ = std::max(high_watermark_, held);
  size_t bytes = 0;
  while (acks_done_ < acks_.size() && acks_[acks_done_].end <= held) {
    PendingAck pending = std::move(acks_[acks_done_]);
    bytes += pending.bytes;
    ++acks_done_;
    if (pending.wants_receipt) pending.produced.receipt = ReceiptNow(pending.end);
    pending.done(std::move(pending.produced));
  }
  ForgetDone();
  if (bytes > 0 && purgatory_ != nullptr) purgatory_->OnBytes(bytes);
}

// So that neither a partition that never rests nor one that rests after a burst keeps what it does
// not need.
void Partition::ForgetDone() {
  constexpr size_t kKept = 64;
  if (acks_done_ == acks_.size()) {
    if (acks_.capacity() > kKept) acks_ = std::vector<PendingAck>();
    acks_.clear();
    acks_done_ = 0;
  } else if (acks_done_ > kKept && acks_done_ > acks_.size() / 2) {
    acks_.erase(acks_.begin(), acks_.begin() + static_cast<ptrdiff_t>(acks_done_));
    acks_done_ = 0;
  }
}

std::vector<Partition::PendingAck> Partition::FailPending(const Error& error) {
  auto pending = std::exchange(acks_, {});
  const size_t first = std::exchange(acks_done_, 0);
  for (size_t i = first; i < pending.size(); ++i) {
    context_.produce_errors.Add(error.reason);
    // The bytes may have reached the disk or not.
    pending[i].done(Error(error).With("outcome", "UNKNOWN"));
  }
  if (purgatory_ != nullptr) purgatory_->DrainAll();
  ResumeSearches();
  return pending;
}

void Partition::ApplyRetention() {
  if (log_ != nullptr && state_ == State::kOpen) log_->ApplyRetention(high_watermark_);
}

void Partition::Close(UniqueFunction<void(Result<void>)> done) {
  ending_ = true;
  WhenOpen([this, done = std::move(done)]() mutable {
    if (purgatory_ != nullptr) purgatory_->DrainAll();
    // From here on the log takes nothing, and calls may still come that were on their way.
    state_ = State::kClosing;
    ResumeSearches();
    if (log_ == nullptr) return done({});
    log_->Close([this, life = life_, done = std::move(done)](Result<void> closed) mutable {
      if (life->alive) {
        OnProgress();
        FailPending(Ended(*life));
      }
      done(std::move(closed));
    });
  });
}

void Partition::Remove(UniqueFunction<void(Result<void>)> done) {
  ending_ = true;
  WhenOpen([this, done = std::move(done)]() mutable {
    state_ = State::kRemoved;
    life_->removed = true;
    auto pending = FailPending(CheckServing({}).error());
    if (log_ != nullptr) {
      // The log has their bytes until it is gone.
      return log_->Remove(
          [pending = std::move(pending), done = std::move(done)](Result<void> removed) mutable {
            pending.clear();
            done(std::move(removed));
          });
    }
    if (directory_ == nullptr) return done({});
    // What could not be opened goes as a whole.
    directory_->Discard(id_, loop_, std::move(done));
  });
}

}  // namespace gregor
