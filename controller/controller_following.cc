// ControllerImpl: what becomes committed, and is shown to others.
#include <utility>

#include "controller/broker_news.h"
#include "controller/controller_impl.h"

namespace gregor {
namespace {

size_t BytesOf(const CommittedRecords& batch) {
  size_t bytes = 0;
  for (const std::string& record : batch.records) bytes += record.size();
  return bytes;
}

// For a known bug, by which the tests are tested: a transaction that counts as it goes.
bool BoundsTransaction(const std::string& bytes) {
  const auto record = ParseRecord(bytes);
  return record.ok() && (record->has_begin_transaction() || record->has_end_transaction());
}
std::string NoRecord() {
  pb::MetadataRecord record;
  record.mutable_no_op();
  return SerializeRecord(record);
}

// Whether what the record says is about the image of all records before it.
bool LooksAtImage(const std::string& bytes) {
  switch (RecordTypeOf(bytes)) {
    case pb::MetadataRecord::kStateHash:
    case pb::MetadataRecord::kFeatureLevel:
    case pb::MetadataRecord::kBeginTransaction:
      return true;
    default:
      return false;
  }
}

}  // namespace

void ControllerImpl::OnCommitted(std::vector<CommittedRecords> batches) {
  for (CommittedRecords& batch : batches) TakeCommitted(std::move(batch));
  if (failure() || leading_.has_value()) return;
  PublishFollowed();
  EndFollowing();
}

void ControllerImpl::TakeCommitted(CommittedRecords batch) {
  if (failure()) return;
  if (healing_.has_value() && healing_->image != nullptr) ReplayAgain(batch);
  // It came again, for a state that is made again.
  if (batch.next_offset() <= committed_) return;
  committed_ = batch.next_offset();
  if (leading_.has_value()) {
    led_.push_back(std::move(batch));
    return AnswerCommitted(committed_);
  }
  if (healing_.has_value() && healing_->behind.has_value()) return;
  if (const auto followed = Follow(batch); !followed.ok()) OnContradiction(followed.error());
}

Result<void> ControllerImpl::Apply(const CommittedRecords& batch, LogReplay& replay) const {
  ImagePosition position{batch.base_offset, LeaderEpoch{batch.term.value}, batch.appended};
  for (const std::string& record : batch.records) {
    position.version = position.version + 1;
    const bool is_ignored = raft::IsMutant(18, 'b') && BoundsTransaction(record);
    const auto applied =
        is_ignored ? replay.Apply(position, NoRecord()) : replay.Apply(position, record);
    if (!applied.ok()) return Refused(options_.data_dir, applied.error().message);
  }
  return {};
}

Result<void> ControllerImpl::Follow(const CommittedRecords& batch) {
  if (following_.has_value() && LooksAtImage(batch.records.front())) PublishFollowed();
  if (!following_.has_value()) following_.emplace(image_);
  RETURN_IF_ERROR(Apply(batch, *following_));
  following_bytes_ += BytesOf(batch);
  return {};
}

void ControllerImpl::PublishFollowed() {
  if (!following_.has_value() || following_->open_since().has_value()) return;
  Publish(following_->Finish(), following_bytes_);
}

Result<void> ControllerImpl::FollowLed() {
  for (const CommittedRecords& batch : std::exchange(led_, {})) RETURN_IF_ERROR(Follow(batch));
  PublishFollowed();
  return {};
}

void ControllerImpl::AnswerCommitted(Offset committed) {
  while (auto entry = waiting_.TakeCommitted(committed)) {
    if (entry->delta.has_value()) {
      CHECK_EQ(entry->delta->after->version.value, committed.value);
      size_t bytes = following_bytes_;
      for (const CommittedRecords& batch : led_) bytes += BytesOf(batch);
      Publish(*entry->delta, bytes);
    }
    entry->answer(nullptr);
  }
}

void ControllerImpl::Publish(const MetadataDelta& delta, size_t record_bytes) {
  std::atomic_store(&image_, delta.after);
  state_->hash = delta.after->state_hash;
  state_->bytes = delta.after->state_bytes;
  following_.reset();
  following_bytes_ = 0;
  led_.clear();
  // What happened before this node was there is no news.
  if (delta.brokers_changed && delta.before != nullptr && !opened_) {
    for (const std::string& line : BrokerNews(*delta.before, *delta.after)) LOG(INFO) << line;
  }
  std::erase_if(observers_, [](const auto& observer) { return observer.expired(); });
  // By number: an observer may be added meanwhile.
  for (size_t i = 0; i < observers_.size(); ++i) {
    if (const auto observer = observers_[i].lock()) observer->call(delta);
  }
  // First: of a state that is wrong nothing is kept.
  if (delta.hash_check.has_value()) OnHashCheck(*delta.hash_check);
  keeper_->OnImage(delta.after, record_bytes);
}

}  // namespace gregor
