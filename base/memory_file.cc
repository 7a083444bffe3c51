#include "base/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gregor {
namespace {

Error Failed(const std::string& what) {
  return Error(Reason::kStorageError,
               "a file in memory could not be " + what + ": " + std::strerror(errno));
}

// A descriptor of a new file with these bytes.
Result<int> NewFile(std::string_view bytes) {
  const int file = memfd_create("gregor", MFD_CLOEXEC);
  if (file < 0) return Failed("made");
  while (!bytes.empty()) {
    const ssize_t written = write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      Error error = Failed("written");
      close(file);
      return error;
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return file;
}

}  // namespace

Result<std::unique_ptr<MemoryFile>> MemoryFile::Create(std::string_view bytes) {
  ASSIGN_OR_RETURN(const int file, NewFile(bytes));
  return std::unique_ptr<MemoryFile>(new MemoryFile(file));
}

MemoryFile::~MemoryFile() { close(file_); }

Result<void> MemoryFile::Replace(std::string_view bytes) {
  ASSIGN_OR_RETURN(const int file, NewFile(bytes));
  Result<void> result;
  if (dup3(file, file_, O_CLOEXEC) < 0) result = Failed("replaced");
  close(file);
  return result;
}

}  // namespace gregor
