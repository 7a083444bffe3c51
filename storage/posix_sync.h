#ifndef GREGOR_STORAGE_POSIX_SYNC_H_
#define GREGOR_STORAGE_POSIX_SYNC_H_

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/thread_annotations.h"
#include "storage/posix_file.h"
#include "storage/sync_chooser.h"
#include "storage/worker_pool.h"

namespace gregor {

Result<void> SyncFolder(const std::string& path);

// How the machine's file system makes many files durable: each by itself on several threads, or
// their whole disk at once, whichever has lately been faster (docs/adr/0003). Thread: any disk
// thread.
class PosixSync {
 public:
  explicit PosixSync(int threads);

  // `file` was just opened, and its content may be synced with its whole disk from now on.
  void NoteDisk(const PosixFile& file, const std::string& path);
  // As FileSystem::SyncAll().
  Result<void> SyncAll(const std::vector<PosixFile*>& files, std::span<const std::string> folders);

 private:
  // A disk that may be synced as a whole.
  struct Disk {
    explicit Disk(Descriptor opened) : folder(std::move(opened)) {}
    // Open since before the first file there was written: it is told of any error since then.
    const Descriptor folder;
    Mutex syncing;
    bool failed TS_GUARDED_BY(syncing) = false;
    Mutex mutex;
    SyncChooser chooser TS_GUARDED_BY(mutex);
  };

  // nullptr unless all are on one disk, which may be synced as a whole.
  Disk* DiskOf(const std::vector<PosixFile*>& files);
  Result<void> SyncEach(const std::vector<PosixFile*>& files, std::span<const std::string> folders);
  static Result<void> SyncWhole(Disk& disk, const std::vector<PosixFile*>& files);

  const int threads_;
  std::unique_ptr<WorkerPool> pool_;
  Mutex mutex_;
  std::map<dev_t, std::unique_ptr<Disk>> disks_ TS_GUARDED_BY(mutex_);  // nullptr: each only
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_POSIX_SYNC_H_
