#ifndef GREGOR_CONTROLLER_METADATA_LOG_FILES_H_
#define GREGOR_CONTROLLER_METADATA_LOG_FILES_H_

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/record_batch.h"
#include "base/result.h"
#include "controller/image/snapshot.h"
#include "storage/file_system.h"

namespace gregor {

// The metadata log and the snapshots in a node's data directory, as they lie there: for commands
// that look at a stopped node. Reads, changes nothing, takes no lock. Thread: any that may block.
class MetadataLogFiles {
 public:
  // Fails with kStorageError where there is no data directory, or it cannot be read.
  static Result<MetadataLogFiles> Find(FileSystem& files, const std::string& data_dir);

  // Where the log begins; what came before is in snapshots. nullopt: there is no log.
  std::optional<Offset> start() const;

  // Calls `visit` for each batch of the log, in order, control batches included, until it says
  // false. Fails with kStorageError where a part is missing or damaged, behind what comes before
  // that, and as `visit` does.
  using Visit = std::function<Result<bool>(const RecordBatch&)>;
  Result<void> Walk(const Visit& visit) const;

  // The newest snapshot from which the log goes on, is whole, and `fits`; nullptr: it begins at
  // offset 0, with an empty image. Damaged ones that might have done are told to `on_damaged`.
  // Fails with kOffsetOutOfRange where there is none.
  Result<ImagePtr> Base(const std::function<bool(const ImagePosition&)>& fits,
                        const std::function<void(const Error&)>& on_damaged) const;

 private:
  MetadataLogFiles(FileSystem& files, std::string metadata)
      : files_(&files), metadata_(std::move(metadata)) {}
  std::string LogFolder() const;
  Result<void> WalkSegment(size_t number, const Visit& visit, std::optional<Offset>* walked_to,
                           bool* goes_on) const;

  FileSystem* files_;
  std::string metadata_;
  std::vector<Offset> segments_;  // their base offsets, in order
  std::vector<SnapshotFile> snapshots_;
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_METADATA_LOG_FILES_H_
