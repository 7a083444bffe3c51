#ifndef GREGOR_STORAGE_GROUP_SYNC_IMPL_H_
#define GREGOR_STORAGE_GROUP_SYNC_IMPL_H_

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/thread_annotations.h"
#include "storage/group_sync.h"
#include "storage/mark_journal.h"

namespace gregor {

// GroupSync on the sync lane of a disk.
class JournaledGroupSync final : public GroupSync {
 public:
  // REQUIRES: all outlive it; its jobs have run when it goes.
  JournaledGroupSync(LogDirectory& directory, EventLoop& loop, MarkJournal journal,
                     MarkJournal::Marks marks)
      : directory_(directory),
        loop_(loop),
        clock_(loop.clock()),
        journal_(std::move(journal)),
        marks_(std::move(marks)) {}
  ~JournaledGroupSync() override { *open_ = false; }

  void Add(Part part) override;
  bool TryWrite(UniqueFunction<std::optional<Part>()> write) override;
  void Forget(const TopicIdPartition& partition) override;

  // The last mark that is known to be true: of what the journal had at the start, or was synced
  // since, be it in the journal yet or not (of a log that was cut only once the journal says that
  // this is done). Thread: any.
  std::optional<SyncedMark> MarkOf(const TopicIdPartition& partition) const;

  // The partitions that have one, in order. Thread: any.
  std::vector<TopicIdPartition> Marked() const;

  // Writes and syncs the marks that no later group took along; no group runs afterwards. Thread:
  // the sync lane.
  Result<void> Close();
  // Starts a group for them, if there are any. Thread: any.
  void FlushMarksSoon();

 private:
  // What a group takes along.
  struct Group {
    std::vector<Part> parts;
    MarkJournal::Changes changes;               // for the journal
    std::optional<MarkJournal::Marks> rewrite;  // ... or all of them
    bool must_rewrite = false;
  };
  void Start();
  void RunGroup();
  void NoteMark(const Part& part) TS_REQUIRES(mutex_);
  struct GroupResult {
    Result<void> files;
    Result<void> journal;  // kDiskFull alone is no failure of the directory
  };
  Group TakeGroup() TS_REQUIRES(mutex_);
  bool MarksAreDue() const TS_REQUIRES(mutex_);
  static MarkJournal::Changes LastOfEach(MarkJournal::Changes marks);
  // Writes those that no group has taken along yet, if the directory wants that.
  void NoteUnwrittenMarks();
  void NoteUnwritten(const TopicIdPartition& partition, std::optional<SyncedMark> mark)
      TS_REQUIRES(mutex_);
  GroupResult SyncGroup(const Group& group);
  Result<void> WriteJournal(const Group& group);
  Result<void> SyncTimed(const std::vector<FilePtr>& files,
                         const std::vector<std::string>& folders);
  Result<void> SyncAndClose(Group& group);
  void RunAgain(Group group);
  static void Answer(std::vector<Part>& parts, const GroupResult& result);

  LogDirectory& directory_;
  EventLoop& loop_;
  const Clock& clock_;
  MarkJournal journal_;  // sync lane
  // False once closed: jobs that are still in the lane may come when this has gone.
  std::shared_ptr<std::atomic<bool>> open_ = std::make_shared<std::atomic<bool>>(true);
  mutable Mutex mutex_;
  std::vector<Part> parts_ TS_GUARDED_BY(mutex_);
  MarkJournal::Marks marks_ TS_GUARDED_BY(mutex_);
  MarkJournal::Changes unwritten_ TS_GUARDED_BY(mutex_);  // of groups that are durable themselves
  MonotonicTime unwritten_since_ TS_GUARDED_BY(mutex_);   // the first of them
  // A mark was taken back. It must not return when the record that says so is damaged: nothing
  // would be known of what was synced since.
  bool lowered_ TS_GUARDED_BY(mutex_) = false;
  // Whose cut is done, and the journal does not say so yet: a start would cut them again. Nothing
  // is appended to them before it does.
  std::set<TopicIdPartition> cut_in_journal_ TS_GUARDED_BY(mutex_);
  bool running_ TS_GUARDED_BY(mutex_) = false;
  bool flush_wanted_ TS_GUARDED_BY(mutex_) = false;
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_GROUP_SYNC_IMPL_H_
