#include "raft/host/log_store.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/host/control_records.h"

namespace gregor {
namespace {

raft::BatchInfo InfoOf(const BatchHeader& header) {
  return {.base = header.base_offset,
          .next = header.next_offset(),
          .term = Term{header.leader_epoch.value},
          .bytes = header.size(),
          .voters = {}};
}

}  // namespace

Result<std::vector<raft::BatchInfo>> DescribeBatches(const Bytes& bytes, size_t batch_bytes_max) {
  std::vector<raft::BatchInfo> batches;
  for (size_t at = 0; at < bytes.size();) {
    ASSIGN_OR_RETURN(const BatchHeader header,
                     PeekHeader(bytes.Sub(at, bytes.size() - at), batch_bytes_max));
    if (header.size() > bytes.size() - at)
      return Error(Reason::kCorruptBatch, "a batch of the metadata log is cut short");
    ASSIGN_OR_RETURN(const RecordBatch batch, CheckBatch(bytes.Sub(at, header.size())));
    at += header.size();
    batches.push_back(InfoOf(header));
    if (!header.is_control()) continue;
    ASSIGN_OR_RETURN(const ControlRecord record, DecodeControl(batch));
    if (const auto* const voters = std::get_if<VoterSet>(&record)) batches.back().voters = *voters;
  }
  return batches;
}

LogStore::LogStore(std::unique_ptr<Log> log, Options options)
    : log_(std::move(log)), options_(std::move(options)), end_(log_->ends().log_end) {}

LogStore::~LogStore() { *alive_ = false; }

std::optional<Offset> LogStore::SyncedEnd() const {
  if (IsBusy()) return std::nullopt;
  return log_->ends().synced_end;
}

void LogStore::OnProgress() {
  if (failed_) return;
  if (const auto failure = log_->failure()) return Fail(*failure);
  ForgetOld();
  options_.on_progress();
}

void LogStore::Fail(const Error& error) {
  if (std::exchange(failed_, true)) return;
  waiting_.clear();
  options_.on_failure(error);
}

Result<void> LogStore::Append(RecordBatch batch) {
  CHECK_EQ(batch.header.base_offset, end_);
  Recent recent{InfoOf(batch.header), batch.bytes};
  const Offset next = batch.header.next_offset();
  if (IsBusy()) {
    waiting_.emplace_back(std::move(batch));
  } else {
    RETURN_IF_ERROR(log_->Append(std::move(batch)));
  }
  end_ = next;
  recent_bytes_ += recent.bytes.size();
  recent_.push_back(std::move(recent));
  ForgetOld();
  return {};
}

void LogStore::ForgetOld() {
  if (IsBusy()) return;  // behind a cut the files still have what was before
  const Offset written = log_->ends().written_end;
  while (recent_bytes_ > options_.recent_bytes_max && recent_.size() > 1 &&
         recent_.front().info.next <= written) {
    recent_bytes_ -= recent_.front().bytes.size();
    recent_.pop_front();
  }
}

void LogStore::TruncateTo(Offset end) {
  CHECK_LE(end, end_);
  end_ = end;
  while (!recent_.empty() && recent_.back().info.base >= end) {
    recent_bytes_ -= recent_.back().bytes.size();
    recent_.pop_back();
  }
  if (IsBusy()) {
    waiting_.emplace_back(Cut{end});
  } else {
    CutNow(end);
  }
}

void LogStore::CutNow(Offset end) {
  if (failed_) return;
  cutting_ = true;
  log_->TruncateTo(end, [this, alive = alive_](Result<void> cut) {
    if (!*alive) return;
    cutting_ = false;
    if (!cut.ok()) return Fail(cut.error());
    options_.on_cut();
    GoOn();
  });
}

void LogStore::ResetTo(Offset start, UniqueFunction<void()> done) {
  end_ = start;
  recent_.clear();
  recent_bytes_ = 0;
  Reset reset{start, std::move(done)};
  if (IsBusy()) {
    waiting_.emplace_back(std::move(reset));
  } else {
    ResetNow(std::move(reset));
  }
}

void LogStore::ResetNow(Reset reset) {
  if (failed_) return;
  cutting_ = true;
  log_->ResetTo(reset.start,
                [this, alive = alive_, done = std::move(reset.done)](Result<void> emptied) mutable {
                  if (!*alive) return;
                  cutting_ = false;
                  if (!emptied.ok()) return Fail(emptied.error());
                  done();
                  if (*alive) GoOn();
                });
}

void LogStore::GoOn() {
  if (closing_) return;
  while (!cutting_ && !waiting_.empty() && !failed_) {
    auto next = std::move(waiting_.front());
    waiting_.pop_front();
    if (auto* const batch = std::get_if<RecordBatch>(&next)) {
      const auto appended = log_->Append(std::move(*batch));
      if (!appended.ok()) Fail(appended.error());
    } else if (auto* const reset = std::get_if<Reset>(&next)) {
      ResetNow(std::move(*reset));
    } else {
      CutNow(std::get<Cut>(next).end);
    }
  }
  if (!cutting_ && !failed_) OnProgress();
}

bool LogStore::ReadRecent(Offset from, Offset limit, size_t bytes_max, Read* read) const {
  const auto first =
      std::partition_point(recent_.begin(), recent_.end(),
                           [&](const Recent& recent) { return recent.info.next <= from; });
  if (first == recent_.end() || first->info.base > from) return false;
  for (auto at = first; at != recent_.end() && at->info.next <= limit; ++at) {
    if (!read->batches.empty() && read->bytes.size() + at->bytes.size() > bytes_max) break;
    read->batches.push_back(at->info);
    read->bytes.Append(at->bytes);
  }
  return true;
}

void LogStore::ReadFrom(Offset from, Offset limit, size_t bytes_max,
                        UniqueFunction<void(Result<Read>)> done) {
  Read recent;
  if (from >= end_ || ReadRecent(from, limit, bytes_max, &recent)) return done(std::move(recent));
  ReadSpec spec;
  spec.from = from;
  // What is in memory is newer than the files where a cut is not done yet.
  spec.limit = recent_.empty() ? std::min(limit, end_) : std::min(limit, recent_.front().info.base);
  spec.bytes_max = bytes_max;
  log_->Read(spec, [this, alive = alive_, limit = spec.limit,
                    done = std::move(done)](Result<LogRead> read) mutable {
    if (!*alive) return;
    if (!read.ok()) return done(std::move(read).error());
    done(FromLog(*read, limit));
  });
}

Result<LogStore::Read> LogStore::FromLog(const LogRead& read, Offset limit) const {
  Read result;
  size_t at = 0;
  while (at < read.batches.size()) {
    const Bytes rest = read.batches.Sub(at, read.batches.size() - at);
    ASSIGN_OR_RETURN(const BatchHeader header, PeekHeader(rest, options_.batch_bytes_max));
    if (header.next_offset() > limit) break;
    result.batches.push_back(InfoOf(header));
    at += header.size();
  }
  // In one piece where it came so: a slice for each of thousands of batches would be walked by
  // whoever looks at one of them.
  result.bytes = read.batches.Sub(0, at);
  return result;
}

void LogStore::Close(UniqueFunction<void(Result<void>)> done) {
  closing_ = true;
  waiting_.clear();
  log_->Close(std::move(done));
}

}  // namespace gregor
