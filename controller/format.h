#ifndef GREGOR_CONTROLLER_FORMAT_H_
#define GREGOR_CONTROLLER_FORMAT_H_

#include <array>
#include <optional>
#include <string>

#include "base/random.h"
#include "base/result.h"
#include "base/types.h"
#include "controller/image/feature_level.h"
#include "storage/file_system.h"

namespace gregor {

// Who a data directory belongs to: data_dir/meta.properties (docs/formats.md). Written once, at
// formatting.
struct NodeIdentity {
  int format = 1;
  ClusterId cluster_id;
  NodeId node_id{-1};
  DirectoryId directory_id;  // of the metadata directory: with the node id it names a voter
  friend bool operator==(const NodeIdentity&, const NodeIdentity&) = default;
};

// Where things lie in a data directory.
std::string MetadataPath(const std::string& data_dir);
// The cluster's first records, as a snapshot at offset 0; there until the first leader has appended
// them.
std::string BootstrapPath(const std::string& data_dir);

// What a directory holds. Fails with kStorageError where meta.properties is damaged or of a newer
// format, naming what to do; nullopt where the directory is missing, empty, or holds no more than a
// formatting that was cut off. A directory with other files but without meta.properties is refused:
// it may be half of something. Thread: disk, or start-up.
Result<std::optional<NodeIdentity>> ReadIdentity(FileSystem& files, const std::string& data_dir);

struct FormatOptions {
  NodeId node_id{1};
  ClusterId cluster_id;  // zero: a new one
  // Key of the ids made of request_ids (secret). Zero: random, from the operating system.
  std::array<uint8_t, 16> request_id_key{};
  // That the cluster begins with. REQUIRES: kFeatureLevelMin to kFeatureLevel.
  int32_t feature_level = kFeatureLevel;
};

// Prepares an empty (or missing) directory for its first start: identity, and the cluster's first
// records, which the first leader appends. Durable when it returns; a crash in between leaves a
// directory that can be formatted again. Fails with kStorageError (not empty, formatted already,
// cannot be written). Thread: disk, or start-up.
Result<NodeIdentity> FormatDirectory(FileSystem& files, const std::string& data_dir,
                                     const FormatOptions& options, Random& random);

// OK where `identity` is that of this node. Fails with kStorageError (other node id) or
// kInconsistentClusterId, saying which directory belongs to whom. Zero cluster id: any.
Result<void> CheckIdentity(const NodeIdentity& identity, const std::string& data_dir,
                           NodeId node_id, const ClusterId& cluster_id);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_FORMAT_H_
