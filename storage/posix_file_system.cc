#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <latch>
#include <utility>

#include "base/check.h"
#include "storage/file_system.h"
#include "storage/worker_pool.h"

namespace gregor {
namespace {

constexpr mode_t kFileMode = 0640;
constexpr mode_t kDirectoryMode = 0750;
constexpr size_t kIovecMax = 1024;  // IOV_MAX of Linux: pwritev refuses more

Error ErrnoError(int number, std::string_view doing, const std::string& path) {
  const bool full = number == ENOSPC || number == EDQUOT;
  const char* symbol = strerrorname_np(number);
  const char* text = strerrordesc_np(number);
  return Error(full ? Reason::kDiskFull : Reason::kStorageError,
               "Cannot " + std::string(doing) + " " + path + ": " +
                   (text != nullptr ? text : "unknown error"))
      .With("errno", symbol != nullptr ? symbol : std::to_string(number))
      .With("path", path);
}

// Calls `call` again for as long as a signal interrupts it.
template <typename Call>
auto Uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }
  int Release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

// Takes up to kIovecMax pieces of `data`, from `skip` bytes into slice `first` on.
size_t Gather(const std::vector<Slice>& slices, size_t first, size_t skip, iovec* out) {
  size_t count = 0;
  for (size_t i = first; i < slices.size() && count < kIovecMax; ++i, skip = 0) {
    if (slices[i].size() == skip) continue;
    out[count].iov_base = const_cast<uint8_t*>(slices[i].data()) + skip;
    out[count].iov_len = slices[i].size() - skip;
    ++count;
  }
  return count;
}

class PosixFile final : public File {
 public:
  PosixFile(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}

  Result<void> Write(uint64_t position, const Bytes& data) override {
    const std::vector<Slice>& slices = data.slices();
    iovec pieces[kIovecMax];
    size_t slice = 0;  // the next byte to write is `skip` bytes into this one
    size_t skip = 0;
    size_t left = data.size();
    while (left > 0) {
      const size_t count = Gather(slices, slice, skip, pieces);
      const ssize_t written = Uninterrupted([&] {
        return pwritev(fd(), pieces, static_cast<int>(count), static_cast<off_t>(position));
      });
      if (written < 0) return ErrnoError(errno, "write to", path_);
      if (written == 0) return ErrnoError(EIO, "write to", path_);
      position += static_cast<uint64_t>(written);
      left -= static_cast<size_t>(written);
      size_t advance = static_cast<size_t>(written);
      while (advance > 0) {
        const size_t step = std::min(advance, slices[slice].size() - skip);
        advance -= step;
        skip += step;
        if (skip < slices[slice].size()) break;
        ++slice;
        skip = 0;
      }
    }
    return {};
  }

  Result<size_t> Read(uint64_t position, std::span<uint8_t> out) override {
    size_t done = 0;
    while (done < out.size()) {
      const ssize_t got = Uninterrupted([&] {
        return pread(fd(), out.data() + done, out.size() - done,
                     static_cast<off_t>(position + done));
      });
      if (got < 0) return ErrnoError(errno, "read", path_);
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

  int64_t ReadCached(uint64_t position, std::span<uint8_t> out) override {
    size_t done = 0;
    while (done < out.size()) {
      const iovec piece{out.data() + done, out.size() - done};
      const ssize_t got = preadv2(fd(), &piece, 1, static_cast<off_t>(position + done), RWF_NOWAIT);
      if (got < 0) return -1;
      if (got == 0) {
        // Linux 5.9 and 5.10 may say 0 for "not in memory" (preadv2(2), BUGS).
        struct stat status;
        if (fstat(fd(), &status) != 0) return -1;
        if (position + done < static_cast<uint64_t>(status.st_size)) return -1;
        break;
      }
      done += static_cast<size_t>(got);
    }
    return static_cast<int64_t>(done);
  }

  Result<void> Sync() override {
    // The kernel reports a lost page once and then calls the file clean, so a second try would be a
    // lie.
    if (sync_failed_.load(std::memory_order_relaxed))
      return ErrnoError(EIO, "sync (again after a failure)", path_);
    if (Uninterrupted([&] { return fdatasync(fd()); }) != 0) {
      sync_failed_.store(true, std::memory_order_relaxed);
      return ErrnoError(errno, "sync", path_);
    }
    return {};
  }

  Result<void> Truncate(uint64_t size) override {
    if (Uninterrupted([&] { return ftruncate(fd(), static_cast<off_t>(size)); }) != 0) {
      return ErrnoError(errno, "cut or extend", path_);
    }
    return {};
  }

  Result<void> Allocate(uint64_t size) override {
    ASSIGN_OR_RETURN(const uint64_t current, Size());
    if (current >= size) return {};
    const int failed = Uninterrupted([&] {
      return fallocate(fd(), 0, static_cast<off_t>(current), static_cast<off_t>(size - current));
    });
    if (failed == 0) return {};
    // Without support for it the zeros have no place yet, which costs time at the next syncs and
    // nothing else.
    if (errno == EOPNOTSUPP || errno == ENOSYS) return Truncate(size);
    return ErrnoError(errno, "allocate space for", path_);
  }

  Result<uint64_t> Size() override {
    struct stat status;
    if (fstat(fd(), &status) != 0) return ErrnoError(errno, "take the size of", path_);
    return static_cast<uint64_t>(status.st_size);
  }

  void DropCache(uint64_t position, uint64_t size) override {
    // Advice: a failure only keeps pages in memory.
    (void)posix_fadvise(fd(), static_cast<off_t>(position), static_cast<off_t>(size),
                        POSIX_FADV_DONTNEED);
  }

 private:
  int fd() const { return descriptor_.get(); }

  Descriptor descriptor_;
  const std::string path_;
  std::atomic<bool> sync_failed_{false};
};

// An open-file-description lock (fcntl(2)): it goes with the descriptor, so it never outlives a
// killed process, and it excludes a second holder in the same process too.
class PosixLock final : public DirectoryLock {
 public:
  explicit PosixLock(int descriptor) : descriptor_(descriptor) {}

 private:
  Descriptor descriptor_;
};

class PosixFileSystem final : public FileSystem {
 public:
  explicit PosixFileSystem(int sync_threads) : sync_threads_(sync_threads) {
    CHECK_GT(sync_threads, 0);
    // The caller of SyncAll() is one of them.
    if (sync_threads > 1) {
      sync_pool_ = std::make_unique<WorkerPool>(
          std::vector<WorkerPool::Queue>{{.thread_name = "sync", .threads = sync_threads - 1}});
    }
  }

  Result<FilePtr> Open(const std::string& path, OpenMode mode) override {
    const int flags = mode == OpenMode::kRead        ? O_RDONLY
                      : mode == OpenMode::kReadWrite ? O_RDWR
                                                     : O_RDWR | O_CREAT;
    Descriptor descriptor(
        Uninterrupted([&] { return open(path.c_str(), flags | O_CLOEXEC, kFileMode); }));
    if (descriptor.get() < 0) return ErrnoError(errno, "open", path);
    struct stat status;
    if (fstat(descriptor.get(), &status) != 0) return ErrnoError(errno, "open", path);
    if (S_ISDIR(status.st_mode)) return ErrnoError(EISDIR, "open", path);
    return FilePtr(std::make_shared<PosixFile>(descriptor.Release(), path));
  }

  Result<bool> Exists(const std::string& path) override {
    struct stat status;
    if (stat(path.c_str(), &status) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return ErrnoError(errno, "look for", path);
  }

  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path.c_str()), closedir);
    if (folder == nullptr) return ErrnoError(errno, "list", path);
    std::vector<DirectoryEntry> entries;
    while (true) {
      errno = 0;
      const dirent* entry = readdir(folder.get());
      if (entry == nullptr) {
        if (errno != 0) return ErrnoError(errno, "list", path);
        break;
      }
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      // Links are not followed, so that RemoveTree() never leaves the tree.
      struct stat status;
      if (fstatat(dirfd(folder.get()), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) continue;  // removed meanwhile
        return ErrnoError(errno, "list", JoinPath(path, name));
      }
      const bool is_directory = S_ISDIR(status.st_mode);
      entries.push_back({std::string(name), is_directory,
                         is_directory ? 0 : static_cast<uint64_t>(status.st_size)});
    }
    std::sort(entries.begin(), entries.end(),
              [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
    return entries;
  }

  Result<void> MakeDirectory(const std::string& path) override {
    struct stat status;
    if (stat(path.c_str(), &status) == 0) {
      if (!S_ISDIR(status.st_mode)) return ErrnoError(ENOTDIR, "make the folder", path);
      // It may stem from a run that was killed before it could sync the name. A folder that others
      // made above ours may be one that this process cannot open; its name is their affair.
      Result<void> synced = SyncDirectory(ParentPath(path));
      if (!synced.ok() && access(ParentPath(path).c_str(), R_OK) != 0) return {};
      return synced;
    }
    if (errno != ENOENT) return ErrnoError(errno, "make the folder", path);
    const std::string parent = ParentPath(path);
    if (parent != path) RETURN_IF_ERROR(MakeDirectory(parent));
    if (mkdir(path.c_str(), kDirectoryMode) != 0 && errno != EEXIST) {
      return ErrnoError(errno, "make the folder", path);
    }
    return SyncDirectory(parent);
  }

  Result<void> Rename(const std::string& from, const std::string& to) override {
    if (rename(from.c_str(), to.c_str()) != 0)
      return ErrnoError(errno, "rename to " + to + " the file", from);
    return {};
  }

  Result<void> Remove(const std::string& path) override {
    if (unlink(path.c_str()) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR) return ErrnoError(errno, "remove", path);
    if (rmdir(path.c_str()) == 0 || errno == ENOENT) return {};
    return ErrnoError(errno, "remove", path);
  }

  Result<void> SyncDirectory(const std::string& path) override {
    const Descriptor folder(
        Uninterrupted([&] { return open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (folder.get() < 0) return ErrnoError(errno, "open the folder", path);
    if (Uninterrupted([&] { return fsync(folder.get()); }) == 0) return {};
    // File systems without names to sync say EINVAL.
    if (errno == EINVAL) return {};
    return ErrnoError(errno, "sync the folder", path);
  }

  Result<DiskSpace> Space(const std::string& path) override {
    struct statvfs status;
    if (Uninterrupted([&] { return statvfs(path.c_str(), &status); }) != 0) {
      return ErrnoError(errno, "take the free space of", path);
    }
    const uint64_t block_bytes = status.f_frsize;
    return DiskSpace{.total_bytes = status.f_blocks * block_bytes,
                     .free_bytes = status.f_bavail * block_bytes};
  }

  Result<std::unique_ptr<DirectoryLock>> Lock(const std::string& path) override {
    Descriptor descriptor(
        Uninterrupted([&] { return open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode); }));
    if (descriptor.get() < 0) return ErrnoError(errno, "open the lock file", path);
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    if (fcntl(descriptor.get(), F_OFD_SETLK, &lock) != 0) {
      if (errno != EAGAIN && errno != EACCES) return ErrnoError(errno, "lock", path);
      char holder[16] = {};
      (void)!pread(descriptor.get(), holder, sizeof holder - 1, 0);
      const long pid = std::strtol(holder, nullptr, 10);
      const std::string who = pid > 0 ? "process " + std::to_string(pid) : "another process";
      return Error(Reason::kStorageError,
                   path + " is locked by " + who + "; stop it, or use another data directory")
          .With("errno", "EAGAIN")
          .With("path", path)
          .With("pid", std::to_string(pid));
    }
    const std::string pid = std::to_string(getpid()) + "\n";
    if (ftruncate(descriptor.get(), 0) != 0 ||
        pwrite(descriptor.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
      // The name is for people; the lock holds without it, on a full disk too.
      PLOG(WARNING) << "Cannot write the process id to " << path;
    }
    return std::unique_ptr<DirectoryLock>(std::make_unique<PosixLock>(descriptor.Release()));
  }

  Result<void> SyncAll(std::span<const FilePtr> files) override {
    const size_t helpers =
        files.empty() ? 0
                      : std::min<size_t>(static_cast<size_t>(sync_threads_) - 1, files.size() - 1);
    if (helpers == 0) {
      for (const FilePtr& file : files) RETURN_IF_ERROR(file->Sync());
      return {};
    }
    std::atomic<size_t> next{0};
    std::vector<Result<void>> results(files.size());
    const auto sync_some = [&] {
      for (size_t i = next++; i < files.size(); i = next++) results[i] = files[i]->Sync();
    };
    // Shared, because the last helper may still be inside of count_down() when wait() returns.
    const auto done = std::make_shared<std::latch>(static_cast<ptrdiff_t>(helpers));
    for (size_t i = 0; i < helpers; ++i) {
      sync_pool_->Submit(0, [&sync_some, done] {
        sync_some();
        done->count_down();
      });
    }
    sync_some();
    done->wait();
    for (Result<void>& result : results) RETURN_IF_ERROR(std::move(result));
    return {};
  }

 private:
  const int sync_threads_;
  std::unique_ptr<WorkerPool> sync_pool_;
};

}  // namespace

std::unique_ptr<FileSystem> NewPosixFileSystem(int sync_threads) {
  return std::make_unique<PosixFileSystem>(sync_threads);
}

}  // namespace gregor
