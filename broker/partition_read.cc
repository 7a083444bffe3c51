// Partition: fetching and finding offsets.
#include <algorithm>
#include <charconv>
#include <utility>

#include "broker/fetch_memory.h"
#include "broker/partition.h"
#include "storage/epoch_cache.h"

namespace gregor {
namespace {

// How often a fetch or a search that waits for memory looks whether there is some: those who give
// it back know of no partition.
constexpr Duration kMemoryRetryDelay = std::chrono::milliseconds(50);

// Of the first batch, where a read failed because it is larger than what was allowed; else 0.
size_t NeededBytes(const Error& error) {
  size_t bytes = 0;
  if (error.reason != Reason::kFetchTooSmall) return bytes;
  for (const auto& [name, value] : error.details) {
    if (name == "needed_bytes") std::from_chars(value.data(), value.data() + value.size(), bytes);
  }
  return bytes;
}

Error OutOfRange(const std::string& topic, PartitionIndex partition, Offset from,
                 const LogEnds& ends, Offset high_watermark) {
  return Error(Reason::kOffsetOutOfRange,
               "offset " + std::to_string(from.value) + " is outside of partition " +
                   std::to_string(partition.value) + " of topic \"" + topic + "\", which has [" +
                   std::to_string(ends.log_start.value) + ", " +
                   std::to_string(high_watermark.value) + ")")
      .With("log_start_offset", std::to_string(ends.log_start.value))
      .With("high_watermark", std::to_string(high_watermark.value))
      .With("topic", topic)
      .With("partition", std::to_string(partition.value))
      .With("offset", std::to_string(from.value));
}

}  // namespace

std::optional<EpochEnd> Partition::FindDivergence(const Fetch& request) const {
  if (!request.last_fetched_epoch.has_value() || request.position.kind != Position::Kind::kOffset)
    return std::nullopt;
  const auto end = log_->epochs().EndOf(*request.last_fetched_epoch, log_->ends().log_end);
  if (!end.has_value()) return EpochEnd{kNoLeaderEpoch, log_->ends().log_start};
  if (end->epoch == *request.last_fetched_epoch && end->start >= Offset{request.position.value})
    return std::nullopt;
  return EpochEnd{end->epoch, end->start};
}

void Partition::Read(Fetch request, BrokerApi::Done<Fetched> done) {
  if (traffic_ != nullptr) traffic_->reads.Add();
  if (auto serving = CheckServing(request.current_leader_epoch); !serving.ok())
    return done(std::move(serving).error());
  if (const auto diverging = FindDivergence(request); diverging.has_value()) {
    Fetched fetched = DescribeFetch(Offset{request.position.value});
    fetched.diverging = diverging;
    return done(std::move(fetched));
  }
  WaitingFetch fetch;
  fetch.deadline = loop_.clock().Now() + request.wait_max;
  fetch.done = std::move(done);
  const Position position = request.position;
  fetch.request = std::move(request);
  if (position.kind == Position::Kind::kOffset) {
    fetch.from = Offset{position.value};
    return ReadAt(std::move(fetch), true);
  }
  Locate(position, {fetch.deadline, fetch.request.cancelled},
         [this, life = life_, fetch = std::move(fetch)](Result<TimedOffset> found) mutable {
           if (!life->alive) return fetch.done(Ended(*life));
           if (!found.ok()) return FailRead(std::move(fetch), std::move(found).error());
           // Nothing that late yet: from the end on, as a consumer that seeks by time does.
           fetch.from = found->offset.value < 0 ? high_watermark_ : found->offset;
           ReadAt(std::move(fetch), true);
         });
}

Fetched Partition::DescribeFetch(Offset from) const {
  Fetched fetched;
  fetched.from = from;
  fetched.next_offset = from;
  fetched.high_watermark = high_watermark_;
  fetched.last_stable_offset = high_watermark_;
  fetched.log_start = log_->ends().log_start;
  fetched.leader_epoch = metadata_.leader_epoch;
  return fetched;
}

void Partition::ReadAt(WaitingFetch fetch, bool may_wait) {
  if (auto serving = CheckServing(fetch.request.current_leader_epoch); !serving.ok()) {
    return fetch.done(std::move(serving).error());
  }
  const LogEnds ends = log_->ends();
  if (fetch.from < ends.log_start || fetch.from > ends.log_end) {
    return fetch.done(
        OutOfRange(metadata_.topic, id_.partition, fetch.from, ends, high_watermark_));
  }
  if (fetch.from >= high_watermark_) {
    LogRead nothing;
    nothing.base_offset = nothing.next_offset = fetch.from;
    return OnRead(std::move(fetch), may_wait, {}, high_watermark_, std::move(nothing));
  }
  const size_t bytes_max = std::max({fetch.request.bytes_max, fetch.first_batch_bytes, size_t{1}});
  // What exceeds the budget alone has it to itself.
  Budget& budget = context_.fetch_memory;
  const size_t needed = std::max(bytes_max, kBatchHeaderBytes) + kReadSlackBytes;
  Budget::Share memory = budget.TryAcquire(std::min(needed, budget.max()));
  if (!memory && may_wait && MayWait({fetch.deadline, fetch.request.cancelled})) {
    fetch.bytes_have = 0;
    return Purgatory().Add(std::move(fetch), kMemoryRetryDelay);
  }
  if (!memory) {
    return fetch.done(Error(Reason::kQuotaExceeded,
                            "the memory for answers to fetches (" + std::to_string(budget.max()) +
                                " bytes) is in use: retry, or ask for less at a time"));
  }
  const ReadSpec spec{.from = fetch.from,
                      .limit = high_watermark_,
                      .bytes_max = bytes_max,
                      .first_batch_may_exceed = false};
  log_->Read(spec,
             [this, life = life_, fetch = std::move(fetch), may_wait, limit = spec.limit,
              limit_bytes = bytes_max, memory = std::move(memory)](Result<LogRead> read) mutable {
               if (!life->alive) return fetch.done(Ended(*life));
               if (!read.ok() && fetch.request.first_batch_may_exceed) {
                 // Once more, with the memory that it takes.
                 fetch.first_batch_bytes = NeededBytes(read.error());
                 if (fetch.first_batch_bytes > limit_bytes) {
                   memory.Release();
                   return ReadAt(std::move(fetch), may_wait);
                 }
               }
               OnRead(std::move(fetch), may_wait, std::move(memory), limit, std::move(read));
             });
}

// What is about a stored batch names the partition that has it.
Error Partition::AtThis(Error error) const {
  if (error.reason == Reason::kCorruptBatch) {
    error.message = "partition " + metadata_.topic + "-" + std::to_string(id_.partition.value) +
                    ": " + error.message;
  } else if (error.reason != Reason::kFetchTooSmall) {
    return error;
  }
  return std::move(error)
      .With("topic", metadata_.topic)
      .With("partition", std::to_string(id_.partition.value));
}

// What went wrong is of no interest where the topic was deleted, or the broker stops.
void Partition::FailRead(WaitingFetch fetch, Error error) {
  const auto serving = CheckServing({});
  if (error.reason == Reason::kFetchTooSmall)
    error.With("offset", std::to_string(fetch.from.value));
  if (serving.ok()) error = AtThis(std::move(error));
  fetch.done(serving.ok() ? error : serving.error());
}

bool Partition::MayWait(const Patience& patience) const {
  return state_ == State::kOpen && patience.until > loop_.clock().Now() &&
         (patience.cancelled == nullptr || !patience.cancelled->load());
}

FetchPurgatory& Partition::Purgatory() {
  if (purgatory_ == nullptr) {
    purgatory_ = std::make_unique<FetchPurgatory>(
        loop_, context_.waiting_fetches,
        [this](WaitingFetch waiting, bool expired) { ReadAt(std::move(waiting), !expired); });
  }
  return *purgatory_;
}

void Partition::OnRead(WaitingFetch fetch, bool may_wait, Budget::Share memory, Offset limit,
                       Result<LogRead> read) {
  if (!read.ok()) return FailRead(std::move(fetch), std::move(read).error());
  const bool enough =
      read->batches.size() >= static_cast<size_t>(std::max(fetch.request.bytes_min, 1)) ||
      read->batches.size() >= fetch.request.bytes_max ||
      // There was more, and it did not fit: waiting would not change that.
      (!read->batches.empty() && read->next_offset < limit);
  if (!enough && may_wait && MayWait({fetch.deadline, fetch.request.cancelled})) {
    // More than was read may have come since.
    fetch.bytes_have = fetch.from < high_watermark_ ? read->batches.size() : 0;
    if (high_watermark_ > read->next_offset) return ReadAt(std::move(fetch), true);
    return Purgatory().Add(std::move(fetch));
  }
  Fetched fetched = DescribeFetch(fetch.from);
  fetched.next_offset = std::max(read->next_offset, fetch.from);
  if (traffic_ != nullptr) {
    traffic_->records_out.Add(static_cast<uint64_t>(read->record_count));
    traffic_->bytes_out.Add(read->batches.size());
  }
  if (!read->batches.empty()) {
    memory.ShrinkTo(read->memory_bytes);
    SetBatches(fetched, read->batches, std::move(memory));
  }
  fetch.done(std::move(fetched));
}

void Partition::Locate(const Position& position, Patience patience, Located done) {
  const LogEnds ends = log_->ends();
  const auto at = [this](Offset offset) {
    return TimedOffset{offset, kNoTimestamp,
                       log_->epochs().EpochAt(offset).value_or(metadata_.leader_epoch)};
  };
  switch (position.kind) {
    case Position::Kind::kEarliest:
      return done(at(ends.log_start));
    case Position::Kind::kLatest:
      return done(at(high_watermark_));
    case Position::Kind::kTail:
      return done(
          at(std::max(ends.log_start, high_watermark_ - std::max<int64_t>(0, position.value))));
    case Position::Kind::kOffset:
      if (Offset{position.value} < ends.log_start || Offset{position.value} > high_watermark_) {
        return done(OutOfRange(metadata_.topic, id_.partition, Offset{position.value}, ends,
                               high_watermark_));
      }
      return done(at(Offset{position.value}));
    case Position::Kind::kTimestamp:
    case Position::Kind::kMaxTimestamp:
      return Search(position, std::move(patience), std::move(done));
  }
}

void Partition::Search(const Position& position, Patience patience, Located done) {
  auto answer = [this, life = life_, position, patience = std::move(patience),
                 done = std::move(done)](Result<std::optional<TimedOffset>> found) mutable {
    if (!life->alive) return done(Ended(*life));
    if (!found.ok() && found.error().reason == Reason::kQuotaExceeded && MayWait(patience))
      return SearchLater(position, std::move(patience), std::move(done));
    if (!found.ok()) return done(std::move(found).error());
    done(found->value_or(TimedOffset{Offset{-1}, kNoTimestamp, kNoLeaderEpoch}));
  };
  if (position.kind == Position::Kind::kTimestamp)
    return log_->FindByTime(Timestamp{position.value}, high_watermark_, std::move(answer));
  log_->FindMaxTimestamp(high_watermark_, std::move(answer));
}

void Partition::SearchLater(const Position& position, Patience patience, Located done) {
  const Duration left = std::min(kMemoryRetryDelay, patience.until - loop_.clock().Now());
  const auto search = searches_.insert(searches_.end(), WaitingSearch());
  context_.waiting_fetches.Add(1);
  search->resume = [this, position, patience = std::move(patience),
                    done = std::move(done)]() mutable {
    if (auto serving = CheckServing({}); !serving.ok()) return done(std::move(serving).error());
    Search(position, std::move(patience), std::move(done));
  };
  search->timer = loop_.After(left, "search.again", [this, search] { ResumeSearch(search); });
}

void Partition::ResumeSearch(std::list<WaitingSearch>::iterator search) {
  Task resume = std::move(search->resume);
  searches_.erase(search);
  context_.waiting_fetches.Add(-1);
  resume();
}

void Partition::ResumeSearches() {
  // Those that are resumed may come back.
  for (size_t left = searches_.size(); left > 0 && !searches_.empty(); --left) {
    loop_.Cancel(searches_.front().timer);
    ResumeSearch(searches_.begin());
  }
}

void Partition::FindOffset(OffsetQuery query, BrokerApi::Done<FoundOffset> done) {
  if (auto serving = CheckServing(query.current_leader_epoch); !serving.ok())
    return done(std::move(serving).error());
  Locate(query.position, {loop_.clock().Now() + query.wait_max, nullptr},
         [this, life = life_, topic_id = id_.topic_id,
          done = std::move(done)](Result<TimedOffset> found) mutable {
           if (!found.ok() && life->alive) found = AtThis(std::move(found).error());
           if (!found.ok()) return done(std::move(found).error());
           done(FoundOffset{found->offset, found->timestamp, found->leader_epoch, topic_id});
         });
}

Result<EpochEnd> Partition::FindEpochEnd(LeaderEpoch epoch,
                                         std::optional<LeaderEpoch> current_leader_epoch) {
  RETURN_IF_ERROR(CheckServing(current_leader_epoch));
  // The leader's own epoch ends where the log does, also before its first record. Nothing is known
  // of later ones: whoever asks has been led by somebody else.
  if (epoch == metadata_.leader_epoch) return EpochEnd{epoch, high_watermark_};
  if (epoch > metadata_.leader_epoch || epoch.value < 0) return EpochEnd{};
  const auto end = log_->epochs().EndOf(epoch, log_->ends().log_end);
  // What it had is deleted: it ended before the first record there is.
  if (!end.has_value()) return EpochEnd{epoch, std::min(log_->ends().log_start, high_watermark_)};
  return EpochEnd{end->epoch, std::min(end->start, high_watermark_)};
}

void Partition::DeleteRecords(Offset before, BrokerApi::Done<Offset> done) {
  if (auto serving = CheckServing({}); !serving.ok()) return done(std::move(serving).error());
  if (!metadata_.settings->log.cleanup_delete) {
    return done(Error(
        Reason::kPolicyViolation,
        "topic \"" + metadata_.topic +
            "\" does not delete: records can be deleted where its cleanup.policy has delete"));
  }
  const Offset start = before.value < 0 ? high_watermark_ : before;
  if (start > high_watermark_)
    return done(OutOfRange(metadata_.topic, id_.partition, start, log_->ends(), high_watermark_));
  log_->DeleteBefore(start,
                     [this, life = life_, done = std::move(done)](Result<void> deleted) mutable {
                       if (!life->alive) return done(Ended(*life));
                       if (!deleted.ok()) return done(std::move(deleted).error());
                       done(log_->ends().log_start);
                     });
}

}  // namespace gregor
