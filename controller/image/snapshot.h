#ifndef GREGOR_CONTROLLER_IMAGE_SNAPSHOT_H_
#define GREGOR_CONTROLLER_IMAGE_SNAPSHOT_H_

#include <string>
#include <vector>

#include "base/result.h"
#include "controller/image/rows.h"
#include "storage/file_system.h"

namespace gregor {

// Logical snapshots of the metadata: files that hold an image's rows between header and footer,
// with checksums (docs/formats.md "Metadata snapshot"). They do not depend on the store, so nodes
// of different versions can exchange them. Thread: disk.

// "<end offset, 20 digits>-<term, 10 digits>.snapshot"
std::string SnapshotFileName(const ImagePosition& position);

struct SnapshotFile {
  std::string name;
  Offset end_offset{0};
  LeaderEpoch term{-1};  // of the last record
  uint64_t size_bytes = 0;
  friend bool operator==(const SnapshotFile&, const SnapshotFile&) = default;
};
// The snapshots of a folder, oldest first; none where it is missing.
Result<std::vector<SnapshotFile>> ListSnapshots(FileSystem& files, const std::string& folder);

// Writes the image as the snapshot `path`; it is there whole, or not at all. Durable when it
// returns. Fails with kStorageError, kDiskFull.
Result<void> WriteSnapshot(FileSystem& files, const std::string& path, const MetadataImage& image);
// The same of one that came from elsewhere, as it came. REQUIRES: DecodeSnapshot() took the bytes.
Result<void> WriteSnapshotBytes(FileSystem& files, const std::string& path, std::string_view bytes);

// The image of a snapshot, every byte of which was checked. Fails with kStorageError where it is
// damaged or incomplete.
Result<ImagePtr> ReadSnapshot(FileSystem& files, const std::string& path);

// Reads all of a snapshot's bytes, and makes nothing of them: fails as ReadSnapshot() does where
// checksums, the number of rows or the file's end are wrong. Holds some MiB at a time.
Result<void> CheckSnapshot(FileSystem& files, const std::string& path);

// From bytes: what WriteSnapshot() and ReadSnapshot() put in and take out of files.
std::string EncodeSnapshot(const MetadataImage& image);
struct DecodedSnapshot {
  std::string bytes;
  ImagePtr image;  // that they make
};
Result<ImagePtr> DecodeSnapshot(std::string_view bytes);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_SNAPSHOT_H_
