#ifndef GREGOR_STORAGE_FILE_SYSTEM_H_
#define GREGOR_STORAGE_FILE_SYSTEM_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace gregor {

// The only door to the disk. Every call here may block, so all of them run on disk threads, inside
// a job (storage/disk.h); the one exception is File::ReadCached(). Implementations:
// PosixFileSystem, and the simulator's, which forgets what was not synced; one contract suite runs
// on both (tests/storage/file_system_contract.h).
//
// Durability: written bytes survive a power loss once Sync() of their file has returned; a new,
// renamed or removed name once SyncDirectory() of its folder has. Before that any part of them may
// survive, in any order, torn at 512 bytes. All calls fail with kStorageError (details "errno": the
// symbol, "path"), with kDiskFull where there is no space, and with kQuotaExceeded where the
// process or the machine has no open files left. Paths are absolute or relative to the working
// directory,
// '/' separated.

// Whether what failed lacked something that may be there again later (space, open files): nothing
// is broken.
inline bool IsShortage(const Error& error) {
  return error.reason == Reason::kDiskFull || error.reason == Reason::kQuotaExceeded;
}

// The error of what may not be tried again: a shortage becomes kStorageError, as waiting for it to
// pass would be wrong; others stay as they are.
Error Lasting(Error error);

// An open file. Thread: any disk thread; calls on one file may run at the same time.
class File {
 public:
  virtual ~File() = default;  // closes

  // Writes all of `data` at `position` (loops over short writes).
  virtual Result<void> Write(uint64_t position, const Bytes& data) = 0;
  // Fills `out` from `position`; returns how many bytes there were before the end of the file.
  virtual Result<size_t> Read(uint64_t position, std::span<uint8_t> out) = 0;
  // As Read(), but only if it needs no disk access: -1 otherwise (any error too). Thread: any,
  // event loops included.
  virtual int64_t ReadCached(uint64_t position, std::span<uint8_t> out) = 0;
  // Makes everything written so far durable, and the size. REQUIRES: never called again after a
  // failure (D3, A9).
  virtual Result<void> Sync() = 0;
  // Cuts or extends (with zeros) to `size`.
  virtual Result<void> Truncate(uint64_t size) = 0;
  // Extends the file to `size` with zeros that have their place on the disk, so that later syncs
  // inside of it need little or no file-system metadata. A no-op where the file is as long already.
  virtual Result<void> Allocate(uint64_t size) = 0;
  // Whether all from `position` on is such room, in which nothing was ever written. False where the
  // file system does not tell.
  virtual Result<bool> IsBlank(uint64_t position) = 0;
  virtual Result<uint64_t> Size() = 0;
  // The bytes in [position, position + size) will not be needed soon; clean pages may go.
  virtual void DropCache(uint64_t position, uint64_t size) = 0;
};
using FilePtr = std::shared_ptr<File>;

enum class OpenMode { kRead, kReadWrite, kCreate };  // kCreate: read and write, made if missing

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;
  uint64_t size = 0;
};

struct DiskSpace {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;  // what this process may still write
};

// Held as long as the object lives.
class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  // Fails with kStorageError and errno ENOENT if it is missing (kRead, kReadWrite).
  virtual Result<FilePtr> Open(const std::string& path, OpenMode mode) = 0;
  virtual Result<bool> Exists(const std::string& path) = 0;
  // Sorted by name.
  virtual Result<std::vector<DirectoryEntry>> List(const std::string& path) = 0;
  // Makes `path` and its missing parents; OK if it is there. Names are durable after SyncDirectory
  // of each parent: this call does that.
  virtual Result<void> MakeDirectory(const std::string& path) = 0;
  // Makes `path` in a parent that is there; OK if it is there. Durable after SyncDirectory of the
  // parent, which the caller owes.
  virtual Result<void> AddDirectory(const std::string& path) = 0;
  // Atomic; replaces `to`.
  virtual Result<void> Rename(const std::string& from, const std::string& to) = 0;
  // A file or an empty directory; OK if it is missing.
  virtual Result<void> Remove(const std::string& path) = 0;
  virtual Result<void> SyncDirectory(const std::string& path) = 0;
  virtual Result<DiskSpace> Space(const std::string& path) = 0;
  // Fails with kStorageError naming the holder's process id where `path` (a file, made if missing)
  // is locked.
  virtual Result<std::unique_ptr<DirectoryLock>> Lock(const std::string& path) = 0;
  // Makes everything written to `files` durable, as Sync() of each does, and the names in
  // `folders`, as SyncDirectory(); the implementation picks the fastest way for so many (measured:
  // docs/adr/0003). All or error. REQUIRES: `files` are this file system's.
  virtual Result<void> SyncAll(std::span<const FilePtr> files,
                               std::span<const std::string> folders) = 0;
};

// Helpers over the interface. Thread: disk.

// The whole file; fails with kStorageError if it exceeds `bytes_max`.
Result<std::string> ReadWholeFile(FileSystem& files, const std::string& path, uint64_t bytes_max);
// Replaces `path` so that after a crash it has either the old or the new content: temporary file,
// sync, rename, sync of the folder.
Result<void> ReplaceFile(FileSystem& files, const std::string& path, std::string_view content);
// Removes a folder and all in it.
Result<void> RemoveTree(FileSystem& files, const std::string& path);
std::string JoinPath(std::string_view folder, std::string_view name);
std::string ParentPath(std::string_view path);

// The machine's file system. `sync_threads`: how many files are synced at a time by SyncAll().
std::unique_ptr<FileSystem> NewPosixFileSystem(int sync_threads);

}  // namespace gregor

#endif  // GREGOR_STORAGE_FILE_SYSTEM_H_
