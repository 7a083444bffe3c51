// A library to be preloaded into a server: lets a disk fail that does not. The file that
// FAILING_DISK names says what fails while it is there: a folder, errno's value, and the calls
// (write, sync, open), as in "/disks/b 5 sync". `open` is opening for writing.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

template <typename Function>
Function* Real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

// errno's value for this call on `path`; 0: it goes on.
int FailureOf(const char* call, const std::string& path) {
  const char* const settings = getenv("FAILING_DISK");
  FILE* const file = settings == nullptr ? nullptr : std::fopen(settings, "re");
  if (file == nullptr) return 0;
  char folder[PATH_MAX];
  char calls[64];
  int number = 0;
  const bool read = std::fscanf(file, "%4095s %d %63s", folder, &number, calls) == 3;
  std::fclose(file);
  const bool fails = read && std::strstr(calls, call) != nullptr && path.starts_with(folder);
  return fails ? number : 0;
}

std::string PathOf(int descriptor) {
  char path[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  const ssize_t size = readlink(link.c_str(), path, sizeof path);
  return size < 0 ? std::string() : std::string(path, static_cast<size_t>(size));
}

bool Fails(const char* call, const std::string& path) {
  const int before = errno;
  const int number = FailureOf(call, path);
  errno = number == 0 ? before : number;
  return number != 0;
}

}  // namespace

extern "C" {

ssize_t pwritev(int fd, const iovec* pieces, int count, off_t position) {
  if (Fails("write", PathOf(fd))) return -1;
  return Real<decltype(pwritev)>("pwritev")(fd, pieces, count, position);
}
ssize_t pwrite(int fd, const void* bytes, size_t size, off_t position) {
  if (Fails("write", PathOf(fd))) return -1;
  return Real<decltype(pwrite)>("pwrite")(fd, bytes, size, position);
}
int fallocate(int fd, int mode, off_t position, off_t size) {
  if (Fails("write", PathOf(fd))) return -1;
  return Real<decltype(fallocate)>("fallocate")(fd, mode, position, size);
}
int ftruncate(int fd, off_t size) noexcept {
  if (Fails("write", PathOf(fd))) return -1;
  return Real<int(int, off_t)>("ftruncate")(fd, size);
}
int fdatasync(int fd) {
  if (Fails("sync", PathOf(fd))) return -1;
  return Real<decltype(fdatasync)>("fdatasync")(fd);
}
int fsync(int fd) {
  if (Fails("sync", PathOf(fd))) return -1;
  return Real<decltype(fsync)>("fsync")(fd);
}
int syncfs(int fd) noexcept {
  if (Fails("sync", PathOf(fd))) return -1;
  return Real<int(int)>("syncfs")(fd);
}
int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & O_CREAT) != 0) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  if ((flags & O_ACCMODE) != O_RDONLY && Fails("open", path)) return -1;
  return Real<int(const char*, int, ...)>("open")(path, flags, mode);
}

}  // extern "C"
