#ifndef GREGOR_CONTROLLER_SNAPSHOT_FILES_H_
#define GREGOR_CONTROLLER_SNAPSHOT_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "controller/image/snapshot.h"
#include "storage/file_system.h"

namespace gregor {

// The folder of a node's metadata snapshots. Thread of all of these: disk.

// The snapshots that are there, oldest first; what a crash left half written is removed. Fails with
// kStorageError.
Result<std::vector<SnapshotFile>> CleanSnapshots(FileSystem& files, const std::string& folder);

// Removes one that is not needed; a failure is logged.
void RemoveSnapshot(FileSystem& files, const std::string& path);

// Gives one that must not be used another name, and says why in the log. The latest ones stay, for
// whoever wants to know what happened.
void SetAsideSnapshot(FileSystem& files, const std::string& path, const std::string& why);

// Its bytes, for people only; 0 where that is not known.
uint64_t SnapshotSize(FileSystem& files, const std::string& path);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_SNAPSHOT_FILES_H_
