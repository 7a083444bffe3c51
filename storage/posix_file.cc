#include "storage/posix_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace gregor {
namespace {

constexpr size_t kIovecMax = 1024;  // IOV_MAX of Linux: pwritev refuses more
constexpr uint64_t kBlockBytes = 4096;

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

}  // namespace

Error ErrnoError(int number, std::string_view doing, const std::string& path) {
  const bool full = number == ENOSPC || number == EDQUOT;
  const bool has_no_files = number == EMFILE || number == ENFILE;
  const char* symbol = strerrorname_np(number);
  const char* text = strerrordesc_np(number);
  return Error(full           ? Reason::kDiskFull
               : has_no_files ? Reason::kQuotaExceeded
                              : Reason::kStorageError,
               "Cannot " + std::string(doing) + " " + path + ": " +
                   (text != nullptr ? text : "unknown error") +
                   (has_no_files ? " (raise the limit: ulimit -n, LimitNOFILE of systemd)" : ""))
      .With("errno", symbol != nullptr ? symbol : std::to_string(number))
      .With("path", path);
}

Descriptor::~Descriptor() {
  if (value_ >= 0) close(value_);
}

Result<void> PosixFile::Write(uint64_t position, const Bytes& data) {
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

Result<size_t> PosixFile::Read(uint64_t position, std::span<uint8_t> out) {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = Uninterrupted([&] {
      return pread(fd(), out.data() + done, out.size() - done, static_cast<off_t>(position + done));
    });
    if (got < 0) return ErrnoError(errno, "read", path_);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

int64_t PosixFile::ReadCached(uint64_t position, std::span<uint8_t> out) {
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

Result<void> PosixFile::Sync() {
  RETURN_IF_ERROR(CheckMaySync());
  if (Uninterrupted([&] { return fdatasync(fd()); }) != 0) return SyncFailed(errno);
  return {};
}

Result<void> PosixFile::CheckMaySync() const {
  if (sync_failed_.load(std::memory_order_relaxed))
    return ErrnoError(EIO, "sync (again after a failure)", path_);
  return {};
}

Error PosixFile::SyncFailed(int number) {
  sync_failed_.store(true, std::memory_order_relaxed);
  return Lasting(ErrnoError(number, "sync", path_));
}

void PosixFile::StartWriteback() { (void)sync_file_range(fd(), 0, 0, SYNC_FILE_RANGE_WRITE); }

Result<void> PosixFile::Truncate(uint64_t size) {
  if (Uninterrupted([&] { return ftruncate(fd(), static_cast<off_t>(size)); }) != 0) {
    return ErrnoError(errno, "cut or extend", path_);
  }
  return {};
}

Result<void> PosixFile::Allocate(uint64_t size) {
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

Result<bool> PosixFile::IsBlank(uint64_t position) {
  // The rest of a block that has data may be looked at only by reading it.
  const uint64_t block_end = (position + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  ASSIGN_OR_RETURN(bool blank, IsZero(position, block_end));
  // What is said to be data may be room that somebody has read: then it is in the page cache.
  for (uint64_t at = block_end; blank;) {
    const off_t data = lseek(fd(), static_cast<off_t>(at), SEEK_DATA);
    if (data < 0) return errno == ENXIO;  // none from there on to the end
    const off_t hole = lseek(fd(), data, SEEK_HOLE);
    if (hole <= data) return false;
    at = static_cast<uint64_t>(hole);
    ASSIGN_OR_RETURN(blank, IsZero(static_cast<uint64_t>(data), at));
  }
  return false;
}

Result<bool> PosixFile::IsZero(uint64_t begin, uint64_t end) {
  std::array<uint8_t, 4 * kBlockBytes> bytes;
  while (begin < end) {
    const std::span<uint8_t> wanted(bytes.data(), std::min<uint64_t>(bytes.size(), end - begin));
    ASSIGN_OR_RETURN(const size_t got, Read(begin, wanted));
    const auto is_set = [](uint8_t byte) { return byte != 0; };
    if (std::any_of(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(got), is_set))
      return false;
    if (got < wanted.size()) break;
    begin += got;
  }
  return true;
}

Result<uint64_t> PosixFile::Size() {
  struct stat status;
  if (fstat(fd(), &status) != 0) return ErrnoError(errno, "take the size of", path_);
  return static_cast<uint64_t>(status.st_size);
}

void PosixFile::DropCache(uint64_t position, uint64_t size) {
  // Advice: a failure only keeps pages in memory.
  (void)posix_fadvise(fd(), static_cast<off_t>(position), static_cast<off_t>(size),
                      POSIX_FADV_DONTNEED);
}

}  // namespace gregor
