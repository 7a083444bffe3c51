// StorageScenario: what callers of the logs do.
#include <algorithm>
#include <utility>

#include "tests/sim/storage_scenario.h"
#include "tests/sim/swarm.h"

namespace gregor {
namespace {

constexpr size_t kInFlightMax = ProducerState::kBatchesMax;
constexpr size_t kRequestsKept = 10;

}  // namespace

void StorageScenario::ScheduleStep() {
  scheduler_.After(About(random_, swarm_.step_interval), "client", [this] {
    if (!chaos_) return;
    ++steps_done_;
    Step();
    ScheduleStep();
  });
}

StorageScenario::SimLog* StorageScenario::PickOpen() {
  std::vector<SimLog*> open;
  for (const auto& log : logs_) {
    if (log->state == State::kOpen) open.push_back(log.get());
  }
  return open.empty() ? nullptr : open[random_.Below(open.size())];
}

void StorageScenario::Step() {
  SimLog* log = PickOpen();
  if (log == nullptr || stopping_) return;
  const auto op = static_cast<StorageSwarm::Op>(PickWeighted(random_, swarm_.op_weights));
  Note("client", op, log->number);
  node_.loop(log->loop).Run([&] {
    ForgetAcknowledged(*log);
    Do(op, *log);
  });
}

void StorageScenario::Do(StorageSwarm::Op op, SimLog& log) {
  switch (op) {
    case StorageSwarm::kAppend:
      return AppendPlain(log);
    case StorageSwarm::kAppendIdempotent:
      return AppendIdempotent(log);
    case StorageSwarm::kAppendRequest:
      return AppendRequest(log);
    case StorageSwarm::kRead:
      return Read(log);
    case StorageSwarm::kFindByTime:
      return FindByTime(log);
    case StorageSwarm::kSync:
      return log.log->RequestSync();
    case StorageSwarm::kTruncate:
      return Truncate(log);
    case StorageSwarm::kReset:
      return Reset(log);
    case StorageSwarm::kDelete:
      return Delete(log);
    case StorageSwarm::kRetention:
      return log.log->ApplyRetention(log.checker.visible_end());
    case StorageSwarm::kSetConfig:
      return SetConfig(log);
    case StorageSwarm::kReopen:
      return Close(log, true);
    case StorageSwarm::kRemove:
      return Remove(log);
    case StorageSwarm::kOpCount:
      break;
  }
}

StorageScenario::Pending StorageScenario::MakeBatch(SimLog& log, ProducerId id, ProducerEpoch epoch,
                                                    Sequence sequence) {
  BatchBuilder::Options options;
  options.producer_id = id;
  options.producer_epoch = epoch;
  options.base_sequence = sequence;
  BatchBuilder builder(options);
  Pending pending;
  const size_t uniform = swarm_.uniform_bytes;
  const int64_t count = uniform > 0 ? 1 : random_.Between(1, 4);
  const Timestamp now = scheduler_.clock().WallNow();
  for (int64_t i = 0; i < count; ++i) {
    std::string value = std::to_string(++last_nonce_) + "/";
    value.resize(uniform > 0 ? uniform : 10 + random_.Below(300), 'x');
    NewRecord record;
    record.value = value;
    record.timestamp = uniform > 0 ? now : now + random_.Between(-50, 50);
    pending.records.push_back({.time = record.timestamp.value});
    std::string key;
    if (log.config.cleanup_compact) {
      KnownRecord& known = pending.records.back();
      known.key = static_cast<int32_t>(random_.Below(6));
      key = LogChecker::KeyOf(known.key);
      record.key = key;
      known.value = last_nonce_;
      if (random_.Chance(0.1)) {
        record.value.reset();
        known.value = 0;
      }
    }
    builder.Add(record);
  }
  pending.batch = builder.Build();
  return pending;
}

// The end of the batch in the log; nullopt where it was refused.
std::optional<Offset> StorageScenario::Append(SimLog& log, const Pending& pending) {
  RecordBatch batch = pending.batch;
  StampBatch(batch, log.log->ends().log_end, log.epoch, TimestampType::kCreateTime,
             scheduler_.clock().WallNow());
  const BatchHeader header = batch.header;
  const Result<void> appended = log.log->Append(std::move(batch));
  Note("append", log.number, static_cast<uint64_t>(header.base_offset.value),
       appended.ok() ? "" : appended.error().ToString());
  if (!appended.ok()) {
    const bool excused =
        appended.error().reason == Reason::kDiskFull ? full_seen_ : log.log->failure().has_value();
    if (!excused) verdict_.Fail("log ", log.number, " refuses an append: ", appended.error());
    Count("refused appends");
    return std::nullopt;
  }
  Count("appends");
  log.checker.OnAppended(header, pending.records);
  return header.next_offset();
}

void StorageScenario::AppendPlain(SimLog& log) {
  Append(log, MakeBatch(log, kNoProducerId, kNoProducerEpoch, kNoSequence));
}

// As a leader does with what a producer sends, for the first time or again.
bool StorageScenario::Send(SimLog& log, Pending& pending) {
  const BatchHeader& header = pending.batch.header;
  const auto known = log.log->producers().Check(header);
  if (!known.ok()) {
    Count("refused sequences");
    log.checker.OnOutOfOrder(header, known.error());
    return false;
  }
  if (known->has_value()) {
    Count("duplicates");
    log.checker.OnDuplicate(header, **known);
    pending.end = (*known)->last_offset + 1;
  } else {
    const auto end = Append(log, pending);
    if (!end.has_value()) return true;
    pending.end = *end;
  }
  pending.sent = true;
  return true;
}

void StorageScenario::AppendIdempotent(SimLog& log) {
  Producer& producer = log.producers[random_.Below(log.producers.size())];
  const bool resend = std::any_of(producer.pending.begin(), producer.pending.end(),
                                  [](const Pending& pending) { return !pending.sent; });
  if (!resend && producer.pending.size() < kInFlightMax && !random_.Chance(0.1)) {
    producer.pending.push_back(MakeBatch(log, producer.id, producer.epoch, producer.next));
    producer.next = Advance(producer.pending.back().batch.header.last_sequence(), 1);
  }
  for (Pending& pending : producer.pending) {
    if (pending.sent && !random_.Chance(0.05)) continue;
    if (!Send(log, pending)) {
      // What it had acknowledged is gone, which some stops may do: it begins again.
      producer.pending.clear();
      producer.epoch.value += 1;
      producer.next = Sequence{0};
      return;
    }
    if (!pending.sent) return;
  }
}

void StorageScenario::AppendRequest(SimLog& log) {
  if (!log.requests.empty() && random_.Chance(0.4)) {
    Send(log, log.requests[random_.Below(log.requests.size())]);
    return;
  }
  const ProducerId id{kRequestIdRange + static_cast<int64_t>(++last_nonce_)};
  const Sequence content{static_cast<int32_t>(random_.Below(1u << 31))};
  log.requests.push_back(MakeBatch(log, id, ProducerEpoch{0}, content));
  Send(log, log.requests.back());
  if (log.requests.size() > kRequestsKept) log.requests.erase(log.requests.begin());
}

void StorageScenario::ForgetAcknowledged(SimLog& log) {
  for (Producer& producer : log.producers) {
    while (!producer.pending.empty() && producer.pending.front().sent &&
           producer.pending.front().end <= log.checker.visible_end()) {
      Count("acknowledged");
      producer.pending.pop_front();
    }
  }
}

void StorageScenario::Read(SimLog& log) {
  const Offset start = log.log->ends().log_start;
  const Offset end = log.checker.visible_end();
  const Offset from = end < start || random_.Chance(0.2)
                          ? std::max(start, end)
                          : Offset{random_.Between(start.value, end.value)};
  const size_t sizes[] = {1, 200, 1000, 100'000};
  ReadFrom(log, from, sizes[random_.Below(4)], [](Offset) {});
}

void StorageScenario::ReadFrom(SimLog& log, Offset from, size_t bytes_max,
                               std::function<void(Offset)> then) {
  ReadSpec spec;
  spec.from = from;
  spec.limit = log.checker.visible_end();
  spec.bytes_max = bytes_max;
  spec.first_batch_may_exceed = !random_.Chance(0.1);
  const uint64_t cuts = log.checker.cut_count();
  const uint64_t reads = log.checker.read_count();
  const uint64_t errors = files_.counts().io_errors;
  log.log->Read(spec, [this, &log, spec, cuts, reads, errors, then](Result<LogRead> read) {
    Note("read", log.number, static_cast<uint64_t>(spec.from.value),
         read.ok() ? "" : read.error().ToString());
    if (read.ok()) {
      Count("reads");
      log.checker.OnRead(spec.from, spec.limit, *read, cuts, reads);
      return then(read->next_offset);
    }
    NoteDamage();
    const bool too_small =
        read.error().reason == Reason::kFetchTooSmall && !spec.first_batch_may_exceed;
    const bool excused = too_small || MayFail(errors) || cuts != log.checker.cut_count() ||
                         log.log == nullptr || log.state != State::kOpen;
    if (!excused) log.checker.OnReadFailed(spec.from, read.error());
    Count("failed reads");
    then(spec.from);
  });
}

// Everything that readers may see; ends early where a read fails.
void StorageScenario::ReadWhole(SimLog& log, std::function<void()> then) {
  const Offset start = log.log->ends().log_start;
  const auto next = std::make_shared<std::function<void(Offset)>>();
  const uint64_t cuts = log.checker.cut_count();
  auto last = std::make_shared<Offset>(start - 1);
  *next = [this, &log, cuts, last, then, again = std::weak_ptr(next)](Offset from) {
    const auto self = again.lock();
    if (self == nullptr || from >= log.checker.visible_end() || from <= *last ||
        log.log == nullptr || log.state != State::kOpen || cuts != log.checker.cut_count())
      return then();
    *last = from;
    ReadFrom(log, from, 2000, [self](Offset at) { (*self)(at); });
  };
  (*next)(start);
}

void StorageScenario::FindByTime(SimLog& log) {
  const Timestamp time = scheduler_.clock().WallNow() - random_.Between(-100, 2000);
  const Offset limit = log.checker.visible_end();
  const uint64_t cuts = log.checker.cut_count();
  const uint64_t errors = files_.counts().io_errors;
  log.log->FindByTime(
      time, limit,
      [this, &log, time, limit, cuts, errors](Result<std::optional<TimedOffset>> found) {
        NoteDamage();
        if (found.ok()) {
          Count("searches");
          if (!log.config.cleanup_compact) log.checker.OnFoundByTime(time, limit, *found, cuts);
        } else if (!MayFail(errors) && cuts == log.checker.cut_count() && log.log != nullptr &&
                   log.state == State::kOpen) {
          log.checker.OnReadFailed(limit, found.error());
        }
      });
}

void StorageScenario::Cut(SimLog& log, std::function<void(Log::Done)> cut) {
  log.state = State::kCutting;
  const uint64_t errors = life_errors_;
  cut([this, &log, errors](Result<void> done) {
    Note("cut", log.number, done.ok() ? 1 : 0, done.ok() ? "" : done.error().ToString());
    NoteDamage();
    if (!done.ok()) {
      const bool excused = MayFail(errors) || full_seen_ || log.checker.is_damaged() ||
                           node_.directory(log.directory).failure().has_value();
      if (!excused) verdict_.Fail("log ", log.number, " cannot be cut: ", done.error());
      // What it is now only a start can tell.
      scheduler_.After(std::chrono::milliseconds(1), "end of a failed", [this, life = life_] {
        if (life == life_ && node_.is_running()) Crash(StopKind::kKill);
      });
      return;
    }
    log.checker.OnCutDone(log.log->ends());
    log.epoch.value += 1;  // as a new leader would have
    for (Producer& producer : log.producers) {
      for (Pending& pending : producer.pending)
        pending.sent = pending.sent && pending.end <= log.log->ends().log_end;
    }
    log.state = State::kOpen;
  });
}

void StorageScenario::Truncate(SimLog& log) {
  const LogEnds ends = log.log->ends();
  // What is compacted is never cut: it is committed.
  const Offset begin = log.config.cleanup_compact
                           ? log.checker.visible_end()
                           : std::max(ends.log_start, log.checker.known_begin());
  if (begin >= ends.log_end) return;
  const Offset end{random_.Between(begin.value, ends.log_end.value - 1)};
  // Whether deletions that run come before the cut is not known.
  const Offset start_max = log.checker.log_start_max();
  if (log.checker.CutPlace(end) <= start_max && ends.log_start < start_max) return;
  Count("truncations");
  Note("truncate", log.number, static_cast<uint64_t>(end.value));
  log.checker.OnTruncate(end);
  Cut(log, [&log, end](Log::Done done) { log.log->TruncateTo(end, std::move(done)); });
}

void StorageScenario::Reset(SimLog& log) {
  const Offset end = log.log->ends().log_end;
  const Offset start = random_.Chance(0.7) ? end + static_cast<int64_t>(random_.Below(50))
                                           : Offset{random_.Between(0, end.value)};
  Count("resets");
  Note("reset", log.number, static_cast<uint64_t>(start.value));
  log.checker.OnReset(start);
  Cut(log, [&log, start](Log::Done done) { log.log->ResetTo(start, std::move(done)); });
}

void StorageScenario::Delete(SimLog& log) {
  const Offset start = log.log->ends().log_start;
  const Offset end = log.checker.visible_end();
  if (start >= end) return;
  const Offset before{random_.Between(start.value, end.value)};
  Count("deletions");
  Note("delete", log.number, static_cast<uint64_t>(before.value));
  log.checker.OnDelete(before);
  log.log->DeleteBefore(before, [this, &log, before](Result<void> done) {
    if (done.ok()) {
      if (log.log != nullptr) log.checker.OnEnds(log.log->ends());
      log.checker.OnDeleted(before);
    } else if (!MayFail(life_errors_) && !full_seen_ &&
               !node_.directory(log.directory).failure().has_value()) {
      verdict_.Fail("log ", log.number, " cannot delete: ", done.error());
    }
  });
}

void StorageScenario::SetConfig(SimLog& log) {
  const LogConfig before = log.config;
  log.config = DrawConfig();
  log.config.durability = before.durability;
  log.config.cleanup_compact = before.cleanup_compact;
  log.config.cleanup_delete = before.cleanup_delete;
  log.config.delete_retention_ms = before.delete_retention_ms;
  log.log->SetConfig(ConfigOf(log));
}

void StorageScenario::Close(SimLog& log, bool reopen) {
  log.state = State::kClosing;
  const auto close = [this, &log, reopen] {
    log.log->Close([this, &log, reopen](Result<void> closed) {
      Note("closed", log.number, closed.ok() ? 1 : 0, closed.ok() ? "" : closed.error().ToString());
      NoteDamage();
      const bool excused = MayFail(life_errors_) || full_seen_ || log.checker.is_damaged() ||
                           node_.directory(log.directory).failure().has_value();
      if (!closed.ok() && !excused)
        verdict_.Fail("log ", log.number, " cannot be closed: ", closed.error());
      log.checker.OnEnds(log.log->ends());
      log.checker.OnStopped(closed.ok() ? StopKind::kClean : StopKind::kKill);
      scheduler_.After(std::chrono::microseconds(10), "closed", [this, &log, reopen] {
        if (log.state != State::kClosing || log.log == nullptr) return;
        log.log.reset();
        log.state = State::kDown;
        if (reopen && !stopping_) {
          Count("reopened");
          Open(log);
        }
      });
    });
  };
  EventLoop& loop = node_.loop(log.loop);
  if (loop.InLoop()) return close();
  node_.loop(log.loop).Run(close);
}

void StorageScenario::Remove(SimLog& log) {
  log.state = State::kRemoving;
  Count("removals");
  log.log->Remove([this, &log](Result<void> removed) {
    NoteDamage();
    const bool excused =
        MayFail(life_errors_) || full_seen_ || node_.directory(log.directory).failure().has_value();
    if (!removed.ok() && !excused)
      verdict_.Fail("log ", log.number, " cannot be removed: ", removed.error());
    scheduler_.After(std::chrono::microseconds(10), "removed", [this, &log] {
      if (log.state != State::kRemoving) return;
      log.log.reset();
      log.state = State::kGone;
      AddLog();
      if (node_.is_running() && !stopping_) Open(*logs_.back());
    });
  });
}

}  // namespace gregor
