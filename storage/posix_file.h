#ifndef GREGOR_STORAGE_POSIX_FILE_H_
#define GREGOR_STORAGE_POSIX_FILE_H_

#include <sys/types.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include "storage/file_system.h"

namespace gregor {

// kDiskFull, kQuotaExceeded (open files) or kStorageError, of errno's value `number`.
Error ErrnoError(int number, std::string_view doing, const std::string& path);

// Calls `call` again for as long as a signal interrupts it.
template <typename Call>
auto Uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// Owns a file descriptor. -1: none.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : value_(other.Release()) {}
  Descriptor& operator=(Descriptor&&) = delete;
  int get() const { return value_; }
  int Release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

// A file of the machine's file system.
class PosixFile final : public File {
 public:
  PosixFile(Descriptor descriptor, dev_t device, std::string path)
      : descriptor_(std::move(descriptor)), device_(device), path_(std::move(path)) {}

  Result<void> Write(uint64_t position, const Bytes& data) override;
  Result<size_t> Read(uint64_t position, std::span<uint8_t> out) override;
  int64_t ReadCached(uint64_t position, std::span<uint8_t> out) override;
  Result<void> Sync() override;
  Result<void> Truncate(uint64_t size) override;
  Result<void> Allocate(uint64_t size) override;
  Result<bool> IsBlank(uint64_t position) override;
  Result<uint64_t> Size() override;
  void DropCache(uint64_t position, uint64_t size) override;

  // The disk that it is on.
  dev_t device() const { return device_; }
  // Fails if a sync failed before: the kernel reports a lost page once and then calls the file
  // clean, so a second try would be a lie.
  Result<void> CheckMaySync() const;
  Error SyncFailed(int number);
  // Begins to write what is dirty, without waiting for it.
  void StartWriteback();

 private:
  Result<bool> IsZero(uint64_t begin, uint64_t end);
  int fd() const { return descriptor_.get(); }

  const Descriptor descriptor_;
  const dev_t device_;
  const std::string path_;
  std::atomic<bool> sync_failed_{false};
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_POSIX_FILE_H_
