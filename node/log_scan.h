#ifndef GREGOR_NODE_LOG_SCAN_H_
#define GREGOR_NODE_LOG_SCAN_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/record_batch.h"
#include "storage/file_system.h"

namespace gregor {

// Reads the segments of stopped logs as they lie on the disk, without changing or locking anything.
// Thread: any that may block.

struct ScannedBatch {
  std::string file;
  uint64_t position = 0;
  RecordBatch batch;
};

// What is wrong in a segment file, and where.
struct ScanProblem {
  std::string file;
  uint64_t position = 0;
  std::string what;
};

struct ScanSummary {
  int64_t files = 0;
  int64_t batches = 0;
  int64_t records = 0;
  uint64_t bytes = 0;
  std::optional<Offset> first_offset;
  Offset next_offset{0};
  // Where the first problem is: everything before it can be read. Unset: there is none.
  std::optional<Offset> good_up_to;
  std::vector<ScanProblem> problems;
};

// Folders with segments, or a checkpoint, in `directory`: itself, or its subfolders (a log
// directory), or those of its folder "topics" (a data directory). Fails with kStorageError where
// the directory cannot be read, or holds no segments and is no log directory.
Result<std::vector<std::string>> FindLogFolders(FileSystem& files, const std::string& directory);

// Visits the batches of one folder, oldest first. Checks length, checksum, magic, that offsets and
// epochs never go back, and that the files have what the log's checkpoint knows (but for deleted
// ones in front, of which only the journal may know). A file ends at its size or where only zeros
// follow; anything else than a batch is a problem, behind which the scan goes on. So is a file that
// cannot be read. Fails with kStorageError where the folder cannot be read.
Result<ScanSummary> ScanLog(FileSystem& files, const std::string& folder,
                            const std::function<void(const ScannedBatch&)>& visit);

}  // namespace gregor

#endif  // GREGOR_NODE_LOG_SCAN_H_
