#ifndef GREGOR_NODE_DIRECTORIES_H_
#define GREGOR_NODE_DIRECTORIES_H_

#include <memory>
#include <optional>
#include <string>

#include "base/random.h"
#include "controller/format.h"
#include "node/settings.h"
#include "storage/log_directory.h"
#include "storage/reserved_files.h"

namespace gregor {

// A node's directories at start. Thread: main, before the loops serve.

// Takes data_dir, so that no two processes format it or serve from it; makes it where it is
// missing. A folder that is not a node's stays as it is. Fails with kStorageError where another
// process has it (naming the process), where it holds something else (as ReadIdentity()), and, with
// settings from a file, where it holds nothing.
Result<std::unique_ptr<DirectoryLock>> LockDataDirectory(FileSystem& files,
                                                         const Settings& settings);

// Whose data_dir it is. A directory that is empty or missing is formatted as a new single node,
// loudly, unless the settings come from a file. Fails with what ReadIdentity(), CheckIdentity() and
// FormatDirectory() fail with, and with kStorageError for an unformatted directory of a node with a
// settings file. REQUIRES: the data directory is locked.
Result<NodeIdentity> OpenIdentity(FileSystem& files, const Settings& settings, Random& random);

// The process that has `path` or the folder around it: a node whose data or log directory that is.
// nullopt: none. Changes nothing.
std::optional<std::string> ProcessUsing(const std::string& path);

// What the metadata log and the vote may fall back on when the disk is full.
ReservedFiles::Options MetadataReserve(const Settings& settings);

// How a log directory is opened. Fails with kStorageError where the disk cannot be looked at.
Result<LogDirectory::Options> LogDirectoryOptions(FileSystem& files, const Settings& settings,
                                                  const NodeIdentity& identity,
                                                  const std::string& path);

}  // namespace gregor

#endif  // GREGOR_NODE_DIRECTORIES_H_
