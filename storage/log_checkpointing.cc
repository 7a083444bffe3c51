// LogImpl: checkpoints.
#include <utility>

#include "storage/checkpoint_save.h"
#include "storage/log_impl.h"

namespace gregor {

LogCheckpoint LogImpl::CheckpointNow() const {
  LogCheckpoint checkpoint;
  checkpoint.log_start = ends_.log_start;
  checkpoint.end = ends_.log_end;
  checkpoint.clean_end = clean_end_;
  checkpoint.complete.assign(segments_.begin(), segments_.end() - 1);
  checkpoint.active = segments_.back();
  checkpoint.epochs = epochs_;
  return checkpoint;
}

void LogImpl::MaybeCheckpoint() {
  // A cut ends with one, and a close writes its own: two at a time are one file.
  if (quiet_running_) return;
  const bool due = bytes_since_checkpoint_ >= directory_.CheckpointBytes() || checkpoint_wanted_;
  if (due && checkpoint_ == nullptr && !checkpoint_running_ && !segments_.empty()) {
    CountUnread(0);
    checkpoint_wanted_ = false;
    const LogCheckpoint checkpoint = CheckpointNow();
    checkpoint_ = std::make_unique<PendingCheckpoint>(
        PendingCheckpoint{checkpoint.log_start, checkpoint.end, checkpoint.EncodeWith(producers_),
                          std::exchange(replaced_, {})});
  }
  if (checkpoint_ == nullptr || checkpoint_running_ || failure_ != nullptr) return;
  if (checkpoint_->end <= ends_.synced_end) {
    WriteCheckpoint();
  } else if (!checkpoint_->replaced.empty() || awaited_start_ > checkpoint_start_) {
    RequestSync();  // files wait for it
  }
}

// What a start would have to read of this log; the directory knows how many logs have some.
void LogImpl::CountUnread(uint64_t bytes) {
  const bool had_some = bytes_since_checkpoint_ > 0;
  bytes_since_checkpoint_ = bytes;
  if (had_some != (bytes > 0)) directory_.CountUnreadLog(bytes > 0 ? 1 : -1);
}

void LogImpl::WriteCheckpoint() {
  checkpoint_running_ = true;
  BeginFileJob();
  std::unique_ptr<PendingCheckpoint> pending = std::move(checkpoint_);
  // Files go only once it is known that this one names them no more.
  const bool is_awaited = !pending->replaced.empty() || awaited_start_ > checkpoint_start_;
  CheckpointSave save{directory_, loop_, options_.id, std::move(pending->content)};
  save.sync_name = is_awaited;
  SaveCheckpoint(std::move(save),
                 [this, &directory = directory_, alive = alive_, end = pending->end,
                  named_start = is_awaited ? pending->log_start : checkpoint_start_,
                  replaced = std::move(pending->replaced)](Result<void> saved) mutable {
                   const bool broken = !saved.ok() && !IsShortage(saved.error());
                   if (broken) directory.Fail(saved.error());
                   if (!*alive) return;
                   checkpoint_running_ = false;
                   if (broken) Fail(saved.error());
                   checkpoint_lacks_space_ = !saved.ok();
                   if (saved.ok()) {
                     checkpoint_end_ = end;
                     checkpoint_start_ = named_start;
                     checkpoint_wanted_ = checkpoint_wanted_ || named_start < awaited_start_;
                     DeleteFiles(std::move(replaced));
                   } else {
                     // They are named by the one before; the next one has another try.
                     replaced_.insert(replaced_.end(), replaced.begin(), replaced.end());
                   }
                   EndFileJob();
                 });
}

}  // namespace gregor
