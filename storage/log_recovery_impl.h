#ifndef GREGOR_STORAGE_LOG_RECOVERY_IMPL_H_
#define GREGOR_STORAGE_LOG_RECOVERY_IMPL_H_

#include <optional>
#include <string>
#include <vector>

#include "storage/file_cache.h"
#include "storage/log_checkpoint.h"
#include "storage/log_recovery.h"

namespace gregor {

// One run of RecoverLog().
class LogRecovery {
 public:
  LogRecovery(LogDirectory& directory, const RecoveryOptions& options)
      : files_(directory.disk().files()),
        cache_(directory.file_cache()),
        options_(options),
        folder_(directory.PathOf(options.id)) {
    UseMark(options.mark.has_value() ? options.mark : directory.MarkOf(options.id));
  }

  Result<RecoveredLog> Run();

 private:
  struct Found {
    SegmentName name;
    uint64_t size = 0;
    bool scanned = false;
  };

  void UseMark(std::optional<SyncedMark> mark);
  // What a checkpoint says, where the mark says less or there is none.
  void UseAsMark(const LogCheckpoint& checkpoint);

  Error Damaged(const std::string& what) const;
  Error Ahead(LeaderEpoch epoch) const;
  Error Missing(const SegmentName& name) const;
  Error Short(const Found& file, uint64_t synced) const;

  Result<void> ListFiles();
  // Everything up to a checkpoint was durable before it was written.
  Result<void> LoadCheckpoint();
  // The segment that the mark lies in must be there, with at least as many bytes.
  Result<void> CheckMarkedFile() const;
  void Leave(const Found& file);
  Result<void> ChooseFiles();
  // The file, which is not looked at again; nullopt if it is missing.
  std::optional<Found> TakeFound(const SegmentName& name);
  Result<void> ChooseListed();
  Result<void> ChooseListedActive();
  // Of producers whose batches were deleted a snapshot in front of what is left tells, unless the
  // checkpoint does.
  bool IsFolderDurable() const;
  Result<void> LoadProducers();
  // Those of a snapshot, if there is one.
  Result<void> LoadProducersAt(Offset begin);

  // Reading what no checkpoint tells (log_recovery_scan.cc).
  Result<void> Scan();
  // Where the file ends, if all that it can have lies before the log's start.
  std::optional<Offset> EndOfDeleted(const Found& file) const;
  // Nobody reads such a file any more, and it may be back only because its removal was not durable:
  // it is read for the producers' sake, and where something is wrong with it, it goes.
  void ScanDeleted(const Found& file, Offset next);
  // Without a checkpoint: what compaction wrote stands for all files within its offsets that are
  // older than it.
  bool IsReplaced(const Found& file) const;
  // Files reach the disk in any order: above the mark a segment may be there whose predecessor is
  // not, or not wholly. Below it gaps are what compaction left.
  bool FollowsOn(const Found& file);
  // Where the bytes end that may belong to the log.
  uint64_t EndOf(const Found& file) const;
  // Reads one segment on. False: nothing goes on after it.
  Result<bool> ScanFile(const Found& found);
  // Reads what lies behind the part of the segment that is known.
  Result<void> ReadOn(const Found& found, Segment& segment);
  // A bit may have flipped that no checksum covers: in the epoch, or in the offset, since what was
  // appended last continues without a gap.
  std::string ReasonToDoubt(const Segment& segment, const BatchHeader& header) const;
  // With a doubtful mark: what was found wrong is at the end, and so may be a torn write.
  Result<void> CheckNothingBehind() const;
  bool CouldFollow(const BatchHeader& header) const;
  bool IsGap(const Segment& segment, const BatchHeader& header) const;
  void Note(Segment& segment, const BatchHeader& header);
  // Reading has come to the mark's position, or beyond it in one step: it must be what was synced
  // there.
  Result<void> CheckAgainstMark(const Segment& segment);
  Result<void> CheckReachedMark() const;

  // The snapshot of producers in front of a segment is synced with the segment: above the mark it
  // may be torn, and what it should say is known only now, not once the segments before it are
  // deleted.
  Result<void> WriteProducers();

  // The last segment that has batches, unless only its checkpoint is known of it: then an empty one
  // follows.
  void ChooseActive();
  // How many bytes of the segment are known to be durable.
  uint64_t KnownSynced(const Segment& segment) const;
  // What lies behind the last whole batch is room, which stays, or a torn write that nobody was
  // promised, which goes; then nothing unsynced is left.
  Result<void> CutAndSync();
  Result<void> RemoveBadCheckpoint();
  // Cuts what must go, and adds the file to `dirty` if something of it may not be durable.
  Result<void> FinishFile(const Found& found, const Segment& segment, std::vector<FilePtr>& dirty);
  // A log that is cut goes on with the names that it had, and not with the files.
  Result<void> Remove(const std::string& name);
  // Files that are no part of the log. What says so must be durable before they go.
  Result<void> RemoveLeftovers();
  Result<RecoveredLog> Finish();

  FileSystem& files_;
  FileCache& cache_;
  const RecoveryOptions& options_;
  const std::string folder_;
  std::optional<SyncedMark> marked_;
  SyncedMark mark_;  // zeros where there is none
  bool is_doubtful_ = false;
  bool needs_mark_check_ = false;
  bool emptied_ = false;  // the mark says that the log begins there and has nothing yet
  bool folder_exists_ = false;
  bool has_checkpoint_ = false;
  std::vector<Found> found_;
  std::vector<SegmentName> indexes_;
  std::vector<Offset> snapshots_;       // of producers, at these offsets
  std::vector<FilePtr> dirty_;          // of those, what was written
  std::vector<std::string> leftovers_;  // names of files
  std::optional<LogCheckpoint> checkpoint_;
  std::optional<Segment> from_checkpoint_;  // the first of to_scan_, as far as it is known
  std::vector<Found> to_scan_;
  std::vector<Found> torn_;
  std::string what_;       // why the last scan ended, if not at the end of its file
  bool has_room_ = false;  // it ended where nothing was ever written
  uint64_t cut_bytes_ = 0;
  RecoveredLog log_;
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_LOG_RECOVERY_IMPL_H_
