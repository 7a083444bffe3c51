#ifndef GREGOR_STORAGE_FILE_CACHE_H_
#define GREGOR_STORAGE_FILE_CACHE_H_

#include <list>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "base/thread_annotations.h"
#include "storage/file_system.h"

namespace gregor {

// Open files of a log directory, the least recently used closed first. Thread: any; what opens a
// file runs on disk threads.
class FileCache {
 public:
  FileCache(FileSystem& files, size_t files_max) : files_(files), files_max_(files_max) {}

  // The open file; opened if it is not. With `create` opened anew, and made if missing. Where no
  // more files can be open those go that nobody is using. Fails as FileSystem::Open().
  // Thread: disk.
  Result<FilePtr> Get(const std::string& path, bool create);
  // The file if it is open, else nullptr.
  FilePtr Find(const std::string& path);
  // Closes it once nobody else holds it.
  void Forget(const std::string& path);
  // Closes what was not asked for since the last call.
  void CloseIdle();
  // Closes what nobody holds; whether that was anything.
  bool CloseUnused();
  size_t size() const;

 private:
  struct Entry {
    std::string path;
    FilePtr file;
    bool used = true;  // since the last CloseIdle()
  };

  Result<FilePtr> Open(const std::string& path, bool create);
  FileSystem& files_;
  const size_t files_max_;
  mutable Mutex mutex_;
  std::list<Entry> entries_ TS_GUARDED_BY(mutex_);  // most recently used first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_path_ TS_GUARDED_BY(mutex_);
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_FILE_CACHE_H_
