#ifndef GREGOR_STORAGE_SYNC_CHOOSER_H_
#define GREGOR_STORAGE_SYNC_CHOOSER_H_

#include <cstddef>
#include <optional>

#include "base/clock.h"

namespace gregor {

// Which way many files of one disk are synced: each by itself, or the whole disk at once. The one
// costs by the file, the other by what anybody has written to the disk, so that is learned while it
// goes on (figures: docs/adr/0003). Thread: its owner's.
class SyncChooser {
 public:
  enum class Way { kEach, kDisk };

  Way Choose(size_t files, MonotonicTime now) const;
  // What a sync of `files` files took.
  void Note(Way way, size_t files, Duration took, MonotonicTime now);

 private:
  // Averages over the last few; before the first, what was measured on a plain disk.
  Duration each_ = std::chrono::microseconds(120);  // of one file of many
  Duration disk_ = std::chrono::milliseconds(1);    // of the disk
  Duration disk_last_{0};
  std::optional<MonotonicTime> disk_tried_;
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_SYNC_CHOOSER_H_
