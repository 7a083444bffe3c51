#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "storage/file_system.h"
#include "storage/posix_file.h"
#include "storage/posix_sync.h"

namespace gregor {
namespace {

constexpr mode_t kFileMode = 0640;
constexpr mode_t kDirectoryMode = 0750;

// An open-file-description lock (fcntl(2)): it goes with the descriptor, so it never outlives a
// killed process, and it excludes a second holder in the same process too.
class PosixLock final : public DirectoryLock {
 public:
  explicit PosixLock(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}

 private:
  Descriptor descriptor_;
};

class PosixFileSystem final : public FileSystem {
 public:
  explicit PosixFileSystem(int sync_threads) : sync_(sync_threads) {}

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
    auto file = std::make_shared<PosixFile>(std::move(descriptor), status.st_dev, path);
    sync_.NoteDisk(*file, path);
    return FilePtr(std::move(file));
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

  Result<void> AddDirectory(const std::string& path) override {
    if (mkdir(path.c_str(), kDirectoryMode) == 0) return {};
    struct stat status;
    if (errno == EEXIST && stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return {};
    return ErrnoError(errno == EEXIST ? ENOTDIR : errno, "make the folder", path);
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

  Result<void> SyncDirectory(const std::string& path) override { return SyncFolder(path); }

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
    return std::unique_ptr<DirectoryLock>(std::make_unique<PosixLock>(std::move(descriptor)));
  }

  Result<void> SyncAll(std::span<const FilePtr> files,
                       std::span<const std::string> folders) override {
    std::vector<PosixFile*> ours;
    for (const FilePtr& file : files) ours.push_back(static_cast<PosixFile*>(file.get()));
    return sync_.SyncAll(ours, folders);
  }

 private:
  PosixSync sync_;
};

}  // namespace

std::unique_ptr<FileSystem> NewPosixFileSystem(int sync_threads) {
  return std::make_unique<PosixFileSystem>(sync_threads);
}

}  // namespace gregor
