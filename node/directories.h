#ifndef GREGOR_NODE_DIRECTORIES_H_
#define GREGOR_NODE_DIRECTORIES_H_

#include <string>

#include "base/random.h"
#include "controller/format.h"
#include "node/settings.h"
#include "storage/log_directory.h"

namespace gregor {

// A node's directories at start. Thread: main, before the loops serve.

// Whose data_dir it is. A directory that is empty or missing is formatted as a new single node,
// loudly, unless the settings come from a file. Fails with what ReadIdentity(), CheckIdentity() and
// FormatDirectory() fail with, and with kStorageError for an unformatted directory of a node with a
// settings file.
Result<NodeIdentity> OpenIdentity(FileSystem& files, const Settings& settings, Random& random);

// How a log directory is opened. Fails with kStorageError where the disk cannot be looked at.
Result<LogDirectory::Options> LogDirectoryOptions(FileSystem& files, const Settings& settings,
                                                  const NodeIdentity& identity,
                                                  const std::string& path);

}  // namespace gregor

#endif  // GREGOR_NODE_DIRECTORIES_H_
