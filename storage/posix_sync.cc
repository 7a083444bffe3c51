#include "storage/posix_sync.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <latch>

#include "base/check.h"
#include "base/clock.h"

namespace gregor {
namespace {

Descriptor OpenFolder(const std::string& path) {
  return Descriptor(
      Uninterrupted([&] { return open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
}

// Before Linux 5.17 syncfs() kept some errors to itself.
bool SyncfsTellsErrors() {
  struct utsname name;
  int major = 0, minor = 0;
  if (uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &major, &minor) != 2) return false;
  return major > 5 || (major == 5 && minor >= 17);
}

// Whether syncfs() is known to write everything there, and to tell if it could not. Ext4 has the
// disk empty its own cache even where nothing but data was written; others leave that to fsync().
bool SyncsAsWhole(int folder) {
  static const bool kernel_is_new = SyncfsTellsErrors();
  struct statfs status;
  if (!kernel_is_new || Uninterrupted([&] { return fstatfs(folder, &status); }) != 0) return false;
  return status.f_type == EXT4_SUPER_MAGIC;
}

}  // namespace

Result<void> SyncFolder(const std::string& path) {
  const Descriptor folder = OpenFolder(path);
  if (folder.get() < 0) return ErrnoError(errno, "open the folder", path);
  if (Uninterrupted([&] { return fsync(folder.get()); }) == 0) return {};
  // File systems without names to sync say EINVAL.
  if (errno == EINVAL) return {};
  return Lasting(ErrnoError(errno, "sync the folder", path));
}

PosixSync::PosixSync(int threads) : threads_(threads) {
  CHECK_GT(threads, 0);
  // The caller of SyncAll() is one of them.
  if (threads > 1) {
    pool_ = std::make_unique<WorkerPool>(
        std::vector<WorkerPool::Queue>{{.thread_name = "sync", .threads = threads - 1}});
  }
}

void PosixSync::NoteDisk(const PosixFile& file, const std::string& path) {
  const MutexLock lock(mutex_);
  const auto [disk, is_new] = disks_.try_emplace(file.device());
  if (!is_new) return;
  Descriptor folder = OpenFolder(ParentPath(path));
  if (folder.get() >= 0 && SyncsAsWhole(folder.get()))
    disk->second = std::make_unique<Disk>(std::move(folder));
}

PosixSync::Disk* PosixSync::DiskOf(const std::vector<PosixFile*>& files) {
  if (files.empty()) return nullptr;
  const dev_t device = files.front()->device();
  const bool is_one = std::all_of(files.begin(), files.end(),
                                  [&](const PosixFile* file) { return file->device() == device; });
  if (!is_one) return nullptr;
  const MutexLock lock(mutex_);
  const auto found = disks_.find(device);
  return found == disks_.end() ? nullptr : found->second.get();
}

// The names in `folders` are on the disk of the files: they are what the files lie in.
Result<void> PosixSync::SyncAll(const std::vector<PosixFile*>& files,
                                std::span<const std::string> folders) {
  for (const PosixFile* file : files) RETURN_IF_ERROR(file->CheckMaySync());
  Disk* const disk = DiskOf(files);
  if (disk == nullptr) return SyncEach(files, folders);
  const size_t count = files.size() + folders.size();
  const MonotonicTime start = SystemClock().Now();
  SyncChooser::Way way;
  {
    const MutexLock lock(disk->mutex);
    way = disk->chooser.Choose(count, start);
  }
  RETURN_IF_ERROR(way == SyncChooser::Way::kDisk ? SyncWhole(*disk, files)
                                                 : SyncEach(files, folders));
  const MonotonicTime now = SystemClock().Now();
  const MutexLock lock(disk->mutex);
  disk->chooser.Note(way, count, now - start, now);
  return {};
}

// An error is told once, so only one at a time may ask, and nobody any more after it.
Result<void> PosixSync::SyncWhole(Disk& disk, const std::vector<PosixFile*>& files) {
  const MutexLock lock(disk.syncing);
  if (!disk.failed && Uninterrupted([&] { return syncfs(disk.folder.get()); }) == 0) return {};
  const int number = disk.failed ? EIO : errno;
  disk.failed = true;
  for (PosixFile* file : files) (void)file->SyncFailed(number);
  return files.front()->SyncFailed(number);
}

Result<void> PosixSync::SyncEach(const std::vector<PosixFile*>& files,
                                 std::span<const std::string> folders) {
  if (files.size() > 1) {
    for (PosixFile* file : files) file->StartWriteback();
  }
  const size_t count = files.size() + folders.size();
  if (count == 0) return {};
  std::vector<Result<void>> results(count);
  std::atomic<size_t> next{0};
  const auto sync_some = [&] {
    for (size_t i = next++; i < count; i = next++)
      results[i] = i < files.size() ? files[i]->Sync() : SyncFolder(folders[i - files.size()]);
  };
  const size_t helpers = std::min<size_t>(static_cast<size_t>(threads_) - 1, count - 1);
  // Shared, because the last helper may still be inside of count_down() when wait() returns.
  const auto done = std::make_shared<std::latch>(static_cast<ptrdiff_t>(helpers));
  for (size_t i = 0; i < helpers; ++i) {
    pool_->Submit(0, [&sync_some, done] {
      sync_some();
      done->count_down();
    });
  }
  sync_some();
  done->wait();
  for (Result<void>& result : results) RETURN_IF_ERROR(std::move(result));
  return {};
}

}  // namespace gregor
