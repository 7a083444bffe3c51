#ifndef GREGOR_CONTROLLER_IMAGE_IMAGE_STORE_H_
#define GREGOR_CONTROLLER_IMAGE_IMAGE_STORE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "controller/image/rows.h"
#include "storage/file_system.h"

namespace gregor {

// Keeps an image on disk as rows, so that a restart loads it and replays only what came after
// (DESIGN D9). It trails the log, which stays the truth: whatever is wrong with a store, it is set
// aside and built again. Thread: disk, one call at a time.
class ImageStore {
 public:
  virtual ~ImageStore() = default;

  // The stored image; nullptr where there is none yet. Fails with kStorageError where what is there
  // is damaged or incomplete, kDiskFull.
  virtual Result<ImagePtr> Load() = 0;
  // Makes the changes and notes the position, in one step: a crash leaves all of it or nothing, and
  // may take back the last writes, each as a whole. Returns the position up to which it does not.
  // That is this one with `durable`, or where an implementation finds that replaying what was
  // written since would take too long; all of it is when the store is closed. Fails with
  // kStorageError, kDiskFull; later writes may fail then, too. REQUIRES: Load() or Reset() came
  // before.
  virtual Result<Offset> Write(const std::vector<RowChange>& changes, const ImagePosition& position,
                               bool durable) = 0;
  // Sets aside what is there, for people to look at, and begins empty.
  virtual Result<void> Reset() = 0;
};

// RocksDB in the folder `path`, which is made by the first write. One that the process did not
// survive opening is damaged. `files` must be the machine's file system.
std::unique_ptr<ImageStore> NewRocksDbStore(FileSystem& files, std::string path);

// The same in memory, for tests and simulations; what it holds outlives the process that uses it.
struct MemoryRows {
  std::map<std::string, std::string, std::less<>> rows;
  bool has_position = false;
  ImagePosition position;
  // Whether it has what need not be durable, too; else that is gone with the process, whichever way
  // it ends.
  bool keeps_all = true;
  bool fails = false;  // writes do
  uint64_t write_count = 0;
};
std::unique_ptr<ImageStore> NewMemoryStore(std::shared_ptr<MemoryRows> rows);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_IMAGE_STORE_H_
