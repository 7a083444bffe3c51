#include "storage/sync_chooser.h"

#include <algorithm>

namespace gregor {
namespace {

// Fewer are never worth to wait for what others wrote.
constexpr size_t kFilesMin = 8;
// After so long the disk gets another try, if it was found to be slow; and no sooner than that one
// try in vain costs a hundredth of the time.
constexpr Duration kTryAgain = std::chrono::seconds(5);
constexpr int kShareOfTries = 100;

Duration Average(Duration before, Duration now) { return (3 * before + now) / 4; }

}  // namespace

SyncChooser::Way SyncChooser::Choose(size_t files, MonotonicTime now) const {
  if (files < kFilesMin) return Way::kEach;
  const bool is_cheaper = disk_ < each_ * static_cast<int64_t>(files);
  const bool is_forgotten =
      !disk_tried_.has_value() ||
      now - *disk_tried_ > std::max<Duration>(kTryAgain, kShareOfTries * disk_last_);
  return is_cheaper || is_forgotten ? Way::kDisk : Way::kEach;
}

void SyncChooser::Note(Way way, size_t files, Duration took, MonotonicTime now) {
  if (way == Way::kDisk) {
    disk_ = Average(disk_, took);
    disk_last_ = took;
    disk_tried_ = now;
  } else if (files >= kFilesMin) {  // one alone costs more than one of many
    each_ = Average(each_, took / static_cast<int64_t>(files));
  }
}

}  // namespace gregor
