#ifndef GREGOR_CONTROLLER_IMAGE_KEEPER_H_
#define GREGOR_CONTROLLER_IMAGE_KEEPER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/event_loop.h"
#include "controller/image/image_store.h"
#include "controller/image/snapshot.h"
#include "storage/disk.h"

namespace gregor {

// Keeps the committed image on disk, behind the log: in the store, which a restart loads, and as
// snapshots, behind which the log may be cut (DESIGN D9). Everything that blocks runs on the disk's
// background lane. Failures cost time at the next start, never metadata: they are logged, and the
// log is kept. Thread: the controller loop; callbacks run there.
class ImageKeeper {
 public:
  struct Options {
    EventLoop* loop = nullptr;
    Disk* disk = nullptr;
    std::string snapshot_folder;
    std::unique_ptr<ImageStore> store;  // may be null
    // A snapshot is written each time so many bytes of records were committed.
    size_t snapshot_record_bytes = 20u << 20;
    // And so long after the last one, if the image moves on.
    Duration snapshot_interval = std::chrono::hours(1);
    // The store gets what was committed in so long in one step.
    Duration store_delay = std::chrono::seconds(1);
    // Up to where the log is durable here: an image of more is not kept yet, as a start would find
    // it ahead of the log.
    std::function<Offset()> durable_end;
    // A snapshot is there, whole and durable: the newest.
    std::function<void(const SnapshotFile&)> on_snapshot;
    // Records before the offset are in a snapshot, in the one before it, and durable in the store,
    // if there is one: the log may drop them.
    std::function<void(Offset)> on_trimmable;
    // The image does not have the hash that it says, but `actual`: no snapshot was made of it.
    std::function<void(const ImagePtr& image, uint64_t actual)> on_damaged;
  };
  // Whether an image that stands there fits the log. An error ends the loading: nothing may be
  // served then.
  using Fits = std::function<Result<bool>(const ImagePosition&)>;

  explicit ImageKeeper(Options options);
  // REQUIRES: closed, or the loop has stopped.
  ~ImageKeeper();

  // Loads the newest image that is whole and `fits`; nullptr if there is none. What is damaged or
  // does not fit is set aside. Once, first. Fails with kStorageError.
  void Load(Fits fits, UniqueFunction<void(Result<ImagePtr>)> done);
  // The image moved on by records of so many bytes. REQUIRES: Load() has ended.
  void OnImage(ImagePtr image, size_t record_bytes);
  // Keeps what came from another node as the newest snapshot. `done` when it is durable.
  void Keep(DecodedSnapshot snapshot, UniqueFunction<void(Result<void>)> done);
  // The image is wrong, at the latest behind `right_until`: sets the store aside, and loads the
  // newest snapshot up to there that is whole and `fits`; nullptr if there is none. Nothing is kept
  // of any image until Resume(). Fails with kStorageError. While another one runs it comes after
  // that; of several only the last one is answered. REQUIRES: Load() has ended.
  void LoadAgain(Offset right_until, Fits fits, UniqueFunction<void(Result<ImagePtr>)> done);
  // `is_healed`: what LoadAgain() gave was right, or what was kept since: snapshots of offsets that
  // were not are set aside. Otherwise they count as before, as something is better than nothing.
  void Resume(bool is_healed);
  // The same as Keep(), for a node whose own snapshots may be wrong: they are set aside.
  void Replace(DecodedSnapshot snapshot, UniqueFunction<void(Result<void>)> done);
  // Begins to write a snapshot of the newest image, unless there is one, or one is being written.
  void WriteSoon();
  // Opens the snapshot of position `preferred`, or the newest where that is not kept, to be read
  // by another node; every byte of it was checked once. Fails with kLeaderNotAvailable where
  // there is none, and with kStorageError; one that is damaged is set aside, so that the next call
  // gets another one. `done` only while this is there.
  struct OpenSnapshot {
    SnapshotFile snapshot;  // with its size
    FilePtr file;
  };
  void Open(const std::optional<ImagePosition>& preferred,
            UniqueFunction<void(Result<OpenSnapshot>)> done);
  // Brings the store up to date and closes it. Nothing may be called afterwards.
  void Close(Task done);

 private:
  void LoadSnapshot(size_t number, Fits fits, UniqueFunction<void(Result<ImagePtr>)> done);
  void DropStore(Task done);
  // What may be of a wrong state.
  void SetAsideSnapshots(std::vector<std::string> paths);
  // It is set aside, and another one is written where that was the newest.
  void OnDamaged(const std::string& name, const Error& why);
  // Runs `task` once no job of this writes.
  void WhenIdle(Task task);
  void RunIdle();
  void FollowDurable();
  void ScheduleStore();
  void WriteStore(Task done);
  bool StoreLags() const;
  void Trim();
  bool SnapshotIsDue() const;
  void WriteSnapshotNow();
  void OnSnapshot(const SnapshotFile& written);
  std::string PathOf(const SnapshotFile& file) const;

  Options options_;
  // Shared with jobs, which may outlive this; nullptr: none, or given up.
  std::shared_ptr<ImageStore> store_;
  ImagePtr latest_;
  ImagePtr waiting_;              // kept as soon as its records are durable; nullptr: none
  ImagePtr durable_;              // what may be kept
  ImagePtr stored_;               // what the store has
  Offset stored_durable_end_{0};  // up to where it has that after a crash, too
  bool trim_waits_ = false;       // for the store
  bool store_scheduled_ = false;
  bool storing_ = false;
  std::vector<SnapshotFile> snapshots_;  // oldest first
  std::vector<SnapshotFile> suspects_;   // of which LoadAgain() made nothing
  std::string checked_;                  // name of the one that Open() found whole last
  // Since the last snapshot, or the last attempt.
  size_t bytes_since_snapshot_ = 0;
  Offset snapshot_tried_{0};
  MonotonicTime snapshot_tried_at_;
  bool snapshotting_ = false;
  bool suspended_ = false;  // from LoadAgain() to Resume()
  bool reloading_ = false;  // LoadAgain() runs
  Task reload_again_;       // the next one; empty: none
  Task idle_;               // of WhenIdle()
  bool closing_ = false;
  Task closed_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_KEEPER_H_
