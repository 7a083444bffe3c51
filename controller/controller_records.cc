// ControllerImpl: what operations write, in one batch or in a transaction.
#include <algorithm>
#include <utility>

#include "controller/controller_impl.h"

namespace gregor {
namespace {

// What a batch takes beside its records, and for each of them, at most.
constexpr size_t kBatchOverhead = 256;
constexpr size_t kRecordOverhead = 32;

// Applies records that were planned for the very image that `replay` builds on: they cannot
// contradict it. Returns the offset after the last one.
Offset ApplyPlanned(const std::vector<pb::MetadataRecord>& records, Offset base, Replay& replay) {
  for (const pb::MetadataRecord& record : records) {
    const auto applied = replay.Apply(base, record);
    CHECK(applied.ok()) << applied.error();
    base = base + 1;
  }
  return base;
}

Result<std::string> Serialize(const pb::MetadataRecord& record, size_t batch_bytes_max) {
  std::string bytes = SerializeRecord(record);
  // What cannot be read again must not get into the log. Partitions have no text.
  if (!record.has_partitions() && !ParseRecord(bytes).ok()) {
    return Error(Reason::kInvalidArgument,
                 "the operation has text that is not UTF-8: names, racks and hosts must be")
        .With("outcome", "NOT_APPLIED");
  }
  if (bytes.size() + kBatchOverhead <= batch_bytes_max) return bytes;
  return Error(Reason::kBatchTooLarge, "the operation makes a metadata record of " +
                                           std::to_string(bytes.size()) + " bytes, more than the " +
                                           std::to_string(batch_bytes_max) +
                                           " that one may have: split it")
      .With("outcome", "NOT_APPLIED");
}

pb::MetadataRecord BeginTransaction(const char* name) {
  pb::MetadataRecord record;
  record.mutable_begin_transaction()->set_name(name);
  return record;
}

std::string EndTransaction() {
  pb::MetadataRecord record;
  record.mutable_end_transaction();
  return SerializeRecord(record);
}

}  // namespace

void ControllerImpl::CountTransactions(const char* outcome, uint64_t count) {
  if (options_.metrics == nullptr) return;
  options_.metrics
      ->AddCounter("gregor_metadata_transactions_total",
                   "Operations that this node, as the active controller, wrote as metadata "
                   "transactions, and what another one left without its end and it aborted.",
                   {{"outcome", outcome}})
      .Add(count);
}

MetadataDelta ControllerImpl::Replayed(const std::vector<pb::MetadataRecord>& records) const {
  Replay replay(speculative_);
  const Offset end = ApplyPlanned(records, log_->end_offset(), replay);
  return replay.Finish({end, speculative_->last_term, speculative_->last_timestamp});
}

Result<ControllerImpl::Appended> ControllerImpl::Append(
    const char* name, const std::vector<pb::MetadataRecord>& records) {
  RETURN_IF_ERROR(AbortTransaction());
  ASSIGN_OR_RETURN(auto batches, MakeBatches(name, records));
  const bool is_transaction = batches.size() > 1;
  Appended appended;
  appended.base = log_->end_offset() + (is_transaction ? 1 : 0);
  Replay replay(speculative_);
  const Offset end = ApplyPlanned(records, appended.base, replay) + (is_transaction ? 1 : 0);
  const Term term = *leading_;
  ASSIGN_OR_RETURN(const AppendedRecords written, AppendBatches(std::move(batches)));
  CHECK_EQ(written.next_offset.value, end.value);
  appended.delta = replay.Finish({end, LeaderEpoch{term.value}, written.appended});
  speculative_ = appended.delta.after;
  if (is_transaction) CountTransactions("written", 1);
  return appended;
}

Result<std::vector<std::vector<std::string>>> ControllerImpl::MakeBatches(
    const char* name, const std::vector<pb::MetadataRecord>& records) const {
  const size_t bytes_max = options_.behavior.record_batch_bytes_max;
  const pb::MetadataRecord begin = BeginTransaction(name);
  const bool may_split = speculative_->feature_level >= FeatureLevelOf(begin);
  const size_t split_at =
      may_split ? std::min(options_.behavior.transaction_batch_bytes, bytes_max) : SIZE_MAX;
  std::vector<std::vector<std::string>> batches(1);
  size_t bytes = kBatchOverhead;
  for (const pb::MetadataRecord& record : records) {
    ASSIGN_OR_RETURN(std::string serialized, Serialize(record, bytes_max));
    const size_t more = serialized.size() + kRecordOverhead;
    if (bytes + more > split_at && !batches.back().empty()) {
      batches.emplace_back();
      bytes = kBatchOverhead;
    }
    bytes += more;
    batches.back().push_back(std::move(serialized));
  }
  if (batches.size() > 1) {
    batches.front().insert(batches.front().begin(), SerializeRecord(begin));
    batches.back().push_back(EndTransaction());
  }
  return batches;
}

// All in one turn: nothing else gets in between, and leadership is lost before or afterwards.
Result<AppendedRecords> ControllerImpl::AppendBatches(
    std::vector<std::vector<std::string>> batches) {
  const Term term = *leading_;
  const bool is_transaction = batches.size() > 1;
  AppendedRecords last;
  for (std::vector<std::string>& batch : batches) {
    auto appended = log_->Append(term, std::move(batch));
    if (appended.ok()) {
      last = *appended;
      is_in_transaction_ = is_transaction;
      continue;
    }
    if (!is_in_transaction_) return Error(appended.error()).With("outcome", "NOT_APPLIED");
    // What is there of it counts for nobody without its end, which is never written.
    const auto aborted = leading_.has_value() ? AbortTransaction() : Result<void>();
    LOG_IF(ERROR, !aborted.ok()) << "An operation that could not be written whole is not aborted "
                                 << "yet: " << aborted.error();
    return Error(appended.error()).With("outcome", "NOT_APPLIED");
  }
  is_in_transaction_ = false;
  return last;
}

Result<void> ControllerImpl::AbortTransaction() {
  if (!is_in_transaction_) return {};
  pb::MetadataRecord record;
  record.mutable_abort_transaction()->set_reason("its controller could not write all of it");
  const Term term = *leading_;
  const auto appended = log_->Append(term, {SerializeRecord(record)});
  if (!appended.ok()) return Error(appended.error()).With("outcome", "NOT_APPLIED");
  CountTransactions("aborted", 1);
  LOG(WARNING) << "An operation on the metadata of which only a part was written is aborted: "
               << "nothing of it counts";
  is_in_transaction_ = false;
  if (failure()) return {};  // meanwhile
  MetadataDelta delta =
      Replay(speculative_)
          .Finish({appended->next_offset, LeaderEpoch{term.value}, appended->appended});
  speculative_ = delta.after;
  waiting_.Add({delta.after->version, std::move(delta), [](const Error*) {}});
  return {};
}

}  // namespace gregor
