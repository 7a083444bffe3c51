#include <algorithm>
#include <unordered_set>
#include <utility>

#include "storage/file_cache.h"
#include "storage/group_sync_impl.h"

namespace gregor {
namespace {

constexpr Duration kLackRetry = std::chrono::milliseconds(100);

bool LacksFiles(const Result<void>& synced) {
  return !synced.ok() && synced.error().reason == Reason::kQuotaExceeded;
}

}  // namespace

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

bool JournaledGroupSync::TryWrite(UniqueFunction<std::optional<Part>()> write) {
  {
    const MutexLock lock(mutex_);
    if (std::exchange(running_, true)) return false;
  }
  directory_.disk().Submit(Lane::kSync, "group_sync.write",
                           [this, open = open_, write = std::move(write)]() mutable {
                             if (!*open) return;
                             if (auto part = write()) {
                               const MutexLock lock(mutex_);
                               parts_.push_back(*std::move(part));
                             }
                             RunGroup();
                           });
  return true;
}

void JournaledGroupSync::Forget(const TopicIdPartition& partition) {
  bool start;
  {
    const MutexLock lock(mutex_);
    NoteUnwritten(partition, std::nullopt);
    lowered_ = marks_.erase(partition) > 0 || lowered_;
    cut_in_journal_.erase(partition);
    flush_wanted_ = true;
    start = !std::exchange(running_, true);
  }
  if (start) Start();
}

std::optional<SyncedMark> JournaledGroupSync::MarkOf(const TopicIdPartition& partition) const {
  const MutexLock lock(mutex_);
  const auto found = marks_.find(partition);
  if (found == marks_.end()) return std::nullopt;
  SyncedMark mark = found->second;
  mark.is_cut = mark.is_cut || cut_in_journal_.contains(partition);
  return mark;
}

std::vector<TopicIdPartition> JournaledGroupSync::Marked() const {
  std::vector<TopicIdPartition> marked;
  {
    const MutexLock lock(mutex_);
    marked.reserve(marks_.size());
    for (const auto& [partition, mark] : marks_) marked.push_back(partition);
  }
  std::sort(marked.begin(), marked.end());
  return marked;
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

JournaledGroupSync::Group JournaledGroupSync::TakeGroup() {
  Group group;
  if (MarksAreDue()) group.changes = LastOfEach(std::exchange(unwritten_, {}));
  group.parts.swap(parts_);
  flush_wanted_ = false;
  if (group.changes.empty()) return group;
  group.must_rewrite = std::exchange(lowered_, false);
  if (group.must_rewrite || journal_.IsFull(group.changes.size(), marks_.size()))
    group.rewrite = marks_;
  return group;
}

bool JournaledGroupSync::MarksAreDue() const {
  if (unwritten_.empty()) return false;
  if (flush_wanted_ || lowered_ || parts_.empty()) return true;
  const auto needs_them = [](const Part& part) { return part.needs_journal; };
  return std::any_of(parts_.begin(), parts_.end(), needs_them) ||
         clock_.Now() - unwritten_since_ >= directory_.options().marks_trail;
}

MarkJournal::Changes JournaledGroupSync::LastOfEach(MarkJournal::Changes marks) {
  const auto by_partition = [](const auto& a, const auto& b) { return a.first < b.first; };
  std::stable_sort(marks.begin(), marks.end(), by_partition);
  const auto is_same = [](const auto& a, const auto& b) { return a.first == b.first; };
  marks.erase(marks.begin(), std::unique(marks.rbegin(), marks.rend(), is_same).base());
  return marks;
}

// One group; another one follows if something has gathered meanwhile.
void JournaledGroupSync::RunGroup() {
  Group group;
  {
    const MutexLock lock(mutex_);
    group = TakeGroup();
  }
  GroupResult result = SyncGroup(group);
  if (LacksFiles(result.files) && !directory_.failure().has_value()) {
    result.files = SyncAndClose(group);
    if (result.files.ok()) return RunAgain(std::move(group));
  }
  {
    const MutexLock lock(mutex_);
    if (!result.journal.ok()) {
      unwritten_.insert(unwritten_.begin(), group.changes.begin(), group.changes.end());
      lowered_ = lowered_ || group.must_rewrite;
    } else {
      for (const auto& [partition, mark] : group.changes) cut_in_journal_.erase(partition);
    }
    if (result.files.ok()) {
      for (const Part& part : group.parts) NoteMark(part);
    }
  }
  NoteUnwrittenMarks();
  Answer(group.parts, result);
  bool again;
  {
    const MutexLock lock(mutex_);
    again = running_ = !parts_.empty() || flush_wanted_;
  }
  if (again) Start();
}

// Makes room for a folder that could not be opened: all open files may be the group's.
Result<void> JournaledGroupSync::SyncAndClose(Group& group) {
  std::vector<FilePtr> files;
  for (Part& part : group.parts) {
    for (FilePtr& file : part.files) {
      if (std::find(files.begin(), files.end(), file) == files.end())
        files.push_back(std::move(file));
    }
    part.files.clear();
  }
  Result<void> synced = files.empty() ? Result<void>() : SyncTimed(files, {});
  if (!synced.ok()) directory_.Fail(synced.error());
  files.clear();
  directory_.file_cache().CloseUnused();
  return synced;
}

// The group once more, a little later, for the names that it lacks.
void JournaledGroupSync::RunAgain(Group group) {
  {
    const MutexLock lock(mutex_);
    parts_.insert(parts_.begin(), std::make_move_iterator(group.parts.begin()),
                  std::make_move_iterator(group.parts.end()));
    unwritten_.insert(unwritten_.begin(), group.changes.begin(), group.changes.end());
    lowered_ = lowered_ || group.must_rewrite;
  }
  LOG_EVERY_T(WARNING, 1) << "Syncs in " << directory_.options().path << " wait for open files";
  loop_.After(kLackRetry, "group_sync.again", [this, open = open_] {
    if (*open) Start();
  });
}

void JournaledGroupSync::NoteUnwrittenMarks() {
  if (!directory_.options().notes_marks || directory_.failure().has_value()) return;
  MarkJournal::Changes marks;
  {
    const MutexLock lock(mutex_);
    marks = unwritten_;
  }
  const auto noted = journal_.Note(LastOfEach(std::move(marks)));
  if (!noted.ok() && !IsShortage(noted.error())) directory_.Fail(noted.error());
}

// One task for all parts of a loop.
void JournaledGroupSync::Answer(std::vector<Part>& parts, const GroupResult& result) {
  using Answers = std::vector<std::pair<UniqueFunction<void(Result<void>)>, Result<void>>>;
  std::vector<std::pair<EventLoop*, Answers>> loops;
  for (Part& part : parts) {
    const auto is_its = [&](const auto& loop) { return loop.first == part.reply; };
    auto loop = std::find_if(loops.begin(), loops.end(), is_its);
    if (loop == loops.end()) loop = loops.insert(loop, {part.reply, Answers()});
    const bool journal_failed = part.needs_journal && result.files.ok();
    loop->second.emplace_back(std::move(part.done), journal_failed ? result.journal : result.files);
  }
  for (auto& [loop, answers] : loops) {
    loop->Post("log.synced", [answers = std::move(answers)]() mutable {
      for (auto& [done, of_part] : answers) done(std::move(of_part));
    });
  }
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
  // So must no cut that is done.
  lowered_ = lowered_ || (known != marks_.end() &&
                          (known->second.is_cut || mark.log_start < known->second.log_start ||
                           mark.end_offset < known->second.end_offset));
  if (known != marks_.end() && known->second.is_cut && !mark.is_cut)
    cut_in_journal_.insert(part.partition);
  marks_[part.partition] = mark;
  NoteUnwritten(part.partition, mark);
}

void JournaledGroupSync::NoteUnwritten(const TopicIdPartition& partition,
                                       std::optional<SyncedMark> mark) {
  if (unwritten_.empty()) unwritten_since_ = clock_.Now();
  unwritten_.emplace_back(partition, std::move(mark));
}

Result<void> JournaledGroupSync::SyncTimed(const std::vector<FilePtr>& files,
                                           const std::vector<std::string>& folders) {
  const MonotonicTime start = clock_.Now();
  Result<void> result = directory_.disk().files().SyncAll(files, folders);
  const auto& on_synced = directory_.options().on_synced;
  if (on_synced) on_synced(clock_.Now() - start, files.size());
  return result;
}

Result<void> JournaledGroupSync::WriteJournal(const Group& group) {
  if (!group.rewrite.has_value()) return journal_.Append(group.changes);
  Result<void> written = journal_.Rewrite(*group.rewrite);
  const bool is_full = !written.ok() && IsShortage(written.error());
  // A longer one does as well until there is space.
  return is_full && !group.must_rewrite ? journal_.Append(group.changes) : std::move(written);
}

JournaledGroupSync::GroupResult JournaledGroupSync::SyncGroup(const Group& group) {
  GroupResult result;
  if (const auto failure = directory_.failure(); failure.has_value()) {
    result.files = result.journal = *failure;
    return result;
  }
  std::vector<FilePtr> files;
  std::vector<std::string> folders;
  for (const Part& part : group.parts) {
    files.insert(files.end(), part.files.begin(), part.files.end());
    folders.insert(folders.end(), part.folders.begin(), part.folders.end());
  }
  if (!group.changes.empty() || group.rewrite.has_value()) {
    result.journal = WriteJournal(group);
    if (result.journal.ok()) files.push_back(journal_.file());
  }
  const bool journal_broken = !result.journal.ok() && !IsShortage(result.journal.error());
  if (journal_broken) result.files = result.journal;
  // In the order in which they came: not in that of addresses, which no run has like another.
  std::unordered_set<const File*> known;
  std::erase_if(files, [&](const FilePtr& file) { return !known.insert(file.get()).second; });
  std::sort(folders.begin(), folders.end());
  folders.erase(std::unique(folders.begin(), folders.end()), folders.end());
  const bool has_some = !files.empty() || !folders.empty();
  if (!journal_broken && has_some) result.files = SyncTimed(files, folders);
  // Sticky: what a failed sync left behind nobody knows, so it is not tried again (D3, A9).
  if (!result.files.ok() && !LacksFiles(result.files)) directory_.Fail(result.files.error());
  return result;
}

Result<void> JournaledGroupSync::Close() {
  *open_ = false;
  Group group;
  {
    const MutexLock lock(mutex_);
    flush_wanted_ = true;
    group = TakeGroup();
    // Written as a whole nothing of it can be lost without being missed.
    const bool is_whole = group.changes.empty() && !journal_.has_appended();
    if (!group.rewrite.has_value() && !is_whole) group.rewrite = marks_;
  }
  group.parts.clear();
  const GroupResult result = SyncGroup(group);
  return result.files.ok() ? result.journal : result.files;
}

}  // namespace gregor
