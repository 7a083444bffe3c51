#include <algorithm>
#include <utility>

#include "storage/group_sync_impl.h"

namespace gregor {

void JournaledGroupSync::Start() {
  directory_.disk().Submit(Lane::kSync, "group_sync", [this, open = open_] {
    if (*open) RunGroup();
  });
}

void JournaledGroupSync::Add(Part part) {
  bool start;
  {
    const MutexLock lock(mutex_);
    parts_.push_back(std::move(part));
    start = !std::exchange(running_, true);
  }
  if (start) Start();
}

void JournaledGroupSync::Forget(const TopicIdPartition& partition) {
  bool start;
  {
    const MutexLock lock(mutex_);
    unwritten_.emplace_back(partition, std::nullopt);
    marks_.erase(partition);
    flush_wanted_ = true;
    start = !std::exchange(running_, true);
  }
  if (start) Start();
}

std::optional<SyncedMark> JournaledGroupSync::MarkOf(const TopicIdPartition& partition) const {
  const MutexLock lock(mutex_);
  const auto found = marks_.find(partition);
  if (found == marks_.end()) return std::nullopt;
  return found->second;
}

void JournaledGroupSync::FlushMarksSoon() {
  bool start;
  {
    const MutexLock lock(mutex_);
    if (unwritten_.empty()) return;
    flush_wanted_ = true;
    start = !std::exchange(running_, true);
  }
  if (start) Start();
}

// One group; another one follows if something has gathered meanwhile.
void JournaledGroupSync::RunGroup() {
  std::vector<Part> parts;
  Changes changes;
  {
    const MutexLock lock(mutex_);
    parts.swap(parts_);
    changes.swap(unwritten_);
    flush_wanted_ = false;
  }
  const GroupResult result = SyncGroup(parts, changes);
  {
    const MutexLock lock(mutex_);
    if (!result.journal.ok()) unwritten_.insert(unwritten_.begin(), changes.begin(), changes.end());
    if (result.files.ok()) {
      for (const Part& part : parts) NoteMark(part);
    }
  }
  for (Part& part : parts) {
    const bool journal_failed = part.needs_journal && result.files.ok();
    part.reply->Post(
        "log.synced",
        [done = std::move(part.done),
         of_part = journal_failed ? result.journal : result.files]() mutable { done(of_part); });
  }
  bool again;
  {
    const MutexLock lock(mutex_);
    again = running_ = !parts_.empty() || flush_wanted_;
  }
  if (again) Start();
}

// Parts of one log may be in another order than their marks: what is synced stays so until a part
// says that it was cut.
void JournaledGroupSync::NoteMark(const Part& part) {
  if (!part.mark.has_value()) return;
  SyncedMark mark = *part.mark;
  const auto known = marks_.find(part.partition);
  if (known != marks_.end() && !part.replaces) {
    const Offset log_start = std::max(known->second.log_start, mark.log_start);
    const auto place = [](const SyncedMark& of) {
      return std::pair(of.end_offset, of.segment_base);
    };
    if (place(known->second) > place(mark)) mark = known->second;
    mark.log_start = log_start;
  }
  marks_[part.partition] = mark;
  unwritten_.emplace_back(part.partition, mark);
}

JournaledGroupSync::GroupResult JournaledGroupSync::SyncGroup(const std::vector<Part>& parts,
                                                              const Changes& changes) {
  GroupResult result;
  if (const auto failure = directory_.failure(); failure.has_value()) {
    result.files = result.journal = *failure;
    return result;
  }
  std::vector<FilePtr> files;
  for (const Part& part : parts) files.insert(files.end(), part.files.begin(), part.files.end());
  if (!changes.empty()) {
    result.journal = journal_.Append(changes);
    if (result.journal.ok()) files.push_back(journal_.file());
  }
  const bool journal_broken =
      !result.journal.ok() && result.journal.error().reason != Reason::kDiskFull;
  if (journal_broken) result.files = result.journal;
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  if (!journal_broken) result.files = directory_.disk().files().SyncAll(files);
  // Sticky: what a failed sync left behind nobody knows, so it is not tried again (D3, A9).
  if (!result.files.ok()) directory_.Fail(result.files.error());
  return result;
}

Result<void> JournaledGroupSync::Close() {
  *open_ = false;
  Changes changes;
  {
    const MutexLock lock(mutex_);
    changes.swap(unwritten_);
  }
  const GroupResult result = SyncGroup({}, changes);
  return result.files.ok() ? result.journal : result.files;
}

}  // namespace gregor
