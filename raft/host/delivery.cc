#include "raft/host/delivery.h"

#include <algorithm>
#include <utility>

namespace gregor {
namespace {

constexpr size_t kReadBytes = 1u << 20;

}  // namespace

Delivery::Delivery(EventLoop& loop, LogStore& store, Offset from, Options options)
    : loop_(loop), store_(store), options_(std::move(options)), delivered_(from), commit_(from) {}

Delivery::~Delivery() { *alive_ = false; }

void Delivery::UpTo(Offset commit) {
  commit_ = std::max(commit_, commit);
  GoOn();
}

void Delivery::GoOn() {
  if (reading_ || delivered_ >= commit_) return;
  reading_ = true;
  store_.ReadFrom(delivered_, commit_, kReadBytes,
                  [this, alive = alive_, number = ++reads_](auto read) {
                    if (*alive && number == reads_) OnRead(std::move(read));
                  });
}

void Delivery::SkipTo(Offset from) {
  ++reads_;
  reading_ = false;
  delivered_ = from;
  commit_ = std::max(commit_, from);
}

void Delivery::OnRead(Result<LogStore::Read> read) {
  const auto alive = alive_;
  const auto given = read.ok() ? Give(*read) : Result<void>(read.error());
  if (!*alive) return;
  reading_ = false;
  if (!given.ok()) return options_.on_failure(given.error());
  if (delivered_ >= commit_) return options_.on_caught_up();
  // Posted, so that a long log neither nests nor holds up the loop.
  loop_.Post("raft.deliver", [this, alive] {
    if (*alive) GoOn();
  });
}

Result<void> Delivery::Give(const LogStore::Read& read) {
  if (read.batches.empty())
    return Error(Reason::kStorageError, "the metadata log lacks what is committed, at offset " +
                                            std::to_string(delivered_.value));
  std::vector<CommittedRecords> batches;
  size_t at = 0;
  for (const raft::BatchInfo& info : read.batches) {
    const Bytes bytes = read.bytes.Sub(at, info.bytes);
    at += info.bytes;
    ASSIGN_OR_RETURN(const BatchHeader header, PeekHeader(bytes, options_.batch_bytes_max));
    if (header.is_control()) continue;
    ASSIGN_OR_RETURN(CommittedRecords batch, Read({header, bytes}, delivered_));
    if (!batch.records.empty()) batches.push_back(std::move(batch));
  }
  const auto alive = alive_;
  if (!batches.empty()) options_.on_batches(std::move(batches));
  if (*alive) delivered_ = read.batches.back().next;
  return {};
}

Result<CommittedRecords> Delivery::Read(const RecordBatch& batch, Offset from) const {
  CommittedRecords committed;
  committed.base_offset = std::max(from, batch.header.base_offset);
  committed.term = Term{batch.header.leader_epoch.value};
  committed.appended = batch.header.max_timestamp;
  ASSIGN_OR_RETURN(RecordReader reader, RecordReader::Open(batch, options_.batch_bytes_max));
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<RecordView> record, reader.Next());
    if (!record.has_value()) break;
    if (record->offset >= from) committed.records.emplace_back(record->value.value_or(""));
  }
  return committed;
}

}  // namespace gregor
