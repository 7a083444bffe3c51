#ifndef GREGOR_BASE_MEMORY_FILE_H_
#define GREGOR_BASE_MEMORY_FILE_H_

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gregor {

// A file that is only in memory and yet has a path, for libraries that read what they need from
// files: so that keys never lie on a disk where they did not lie before. Thread: any, Replace() one
// at a time.
class MemoryFile {
 public:
  // Fails with kStorageError (no memory, no file descriptors).
  static Result<std::unique_ptr<MemoryFile>> Create(std::string_view bytes);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  // Of use in this process, while this lives.
  std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }
  // Who opens the path from now on reads these bytes; who has opened it before still reads the
  // others. Fails with kStorageError; nothing has changed then.
  Result<void> Replace(std::string_view bytes);

 private:
  explicit MemoryFile(int file) : file_(file) {}

  const int file_;
};

}  // namespace gregor

#endif  // GREGOR_BASE_MEMORY_FILE_H_
